//! The wrapping of saved states: `ISBR`, the length and text of the policy's name, the format's number, the checksum (XXH3-64, little
//! endian) of what follows, then the state itself.

use crate::contract::MAX_SAVE_BYTES;
use crate::failure::Failure;
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"ISBR";

/// What [`SeriesModel`](crate::SeriesModel)s and others save: `state`, wrapped so that only the same policy and format read it again.
///
/// # Errors
/// [`Failure::Other`] where it would be over the contract's limit: the next instance is then to observe the history again.
pub fn seal<S: Serialize>(name: &str, format: u16, state: &S) -> Result<Vec<u8>, Failure> {
    let state = postcard::to_allocvec(state).map_err(|error| Failure::Other(error.to_string()))?;
    let sealed = wrap(name, format, &state);
    if sealed.len() > MAX_SAVE_BYTES {
        return Err(Failure::Other(format!(
            "the state takes {} bytes, over the limit of {MAX_SAVE_BYTES}: observe the history again instead",
            sealed.len()
        )));
    }
    Ok(sealed)
}

/// The state that [`seal`] wrapped.
///
/// # Errors
/// Why it is none that this policy could read.
pub fn unseal<S: DeserializeOwned>(name: &str, format: u16, sealed: &[u8]) -> Result<S, String> {
    let state = unwrap(name, format, sealed)?;
    postcard::from_bytes(state).map_err(|error| format!("the saved state can't be read: {error}"))
}

fn wrap(name: &str, format: u16, state: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAGIC.len() + 1 + name.len() + 10 + state.len());
    out.extend(MAGIC);
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
    out.extend(format.to_le_bytes());
    out.extend(xxh3_64(state).to_le_bytes());
    out.extend(state);
    out
}

fn unwrap<'a>(name: &str, format: u16, sealed: &'a [u8]) -> Result<&'a [u8], String> {
    let rest = sealed.strip_prefix(MAGIC).ok_or("the saved state was not written by a forecasting policy of Isobar")?;
    let (&length, rest) = rest.split_first().ok_or("the saved state is cut off")?;
    let (found, rest) = rest.split_at_checked(usize::from(length)).ok_or("the saved state is cut off")?;
    if found != name.as_bytes() {
        return Err(format!("the saved state is of {:?}, not of {name}", String::from_utf8_lossy(found)));
    }
    let (found, rest) = rest.split_first_chunk().ok_or("the saved state is cut off")?;
    let found = u16::from_le_bytes(*found);
    if found != format {
        return Err(format!("the saved state has format {found}, this revision of {name} reads format {format}"));
    }
    let (sum, state) = rest.split_first_chunk().ok_or("the saved state is cut off")?;
    if u64::from_le_bytes(*sum) != xxh3_64(state) {
        return Err("the saved state is damaged: its checksum does not fit".to_owned());
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_it_is_read() {
        let sealed = wrap("x", 1, b"state");
        assert_eq!(unwrap("x", 1, &sealed), Ok(&b"state"[..]));
        assert!(unwrap("y", 1, &sealed).is_err_and(|text| text.contains("not of y")));
        assert!(unwrap("x", 2, &sealed).is_err_and(|text| text.contains("format 1")));
        for length in 0..sealed.len() {
            assert!(unwrap("x", 1, &sealed[..length]).is_err(), "cut to {length}");
        }
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 0x10;
            assert!(unwrap("x", 1, &damaged).is_err(), "byte {byte} flipped");
        }
    }
}
