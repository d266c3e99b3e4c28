//! The first bytes of a key, in a fixed size, in the order of keys.

use std::fmt;

/// Bytes of a key that are kept. Long enough to tell keys such as `tenant/00001/orders/2024-11` apart, short enough for hundreds in one shard.
pub const PREFIX_BYTES: usize = 39;
const WORDS: usize = 5;
/// In place of the length, where the key goes on beyond the prefix: sorts after the key that ends there.
const GOES_ON: u8 = 40;

/// The first [`PREFIX_BYTES`] bytes of a key, and whether it goes on.
///
/// Held as big-endian words, the bytes first, padded with zeros, the length in the last byte: comparing the words compares the keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix([u64; WORDS]);

impl KeyPrefix {
    /// The prefix of a key given in two parts: a slot, where there is one, and the client's key.
    #[must_use]
    pub fn new(slot: Option<u16>, key: &[u8]) -> Self {
        let mut bytes = [0u8; WORDS * 8];
        let mut at = 0;
        if let Some(slot) = slot {
            bytes[..2].copy_from_slice(&slot.to_be_bytes());
            at = 2;
        }
        let kept = key.len().min(PREFIX_BYTES - at);
        bytes[at..at + kept].copy_from_slice(&key[..kept]);
        bytes[PREFIX_BYTES] = if kept < key.len() { GOES_ON } else { (at + kept) as u8 };
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        Self(words)
    }

    /// The bytes kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_be_bytes()).collect();
        let length = bytes.pop().map_or(0, usize::from);
        bytes.truncate(length.min(PREFIX_BYTES));
        bytes
    }

    /// Whether the key goes on beyond the bytes kept.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.0[WORDS - 1] & 0xff == u64::from(GOES_ON)
    }

    /// The first key that this stands for: the key itself, or the first one that goes on from the prefix.
    #[must_use]
    pub fn first(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        if self.goes_on() {
            bytes.push(0);
        }
        bytes
    }

    /// The first key past all that this stands for; none: there is no such key.
    #[must_use]
    pub fn after(&self) -> Option<Vec<u8>> {
        let mut bytes = self.bytes();
        if !self.goes_on() {
            bytes.push(0);
            return Some(bytes);
        }
        while let Some(last) = bytes.pop() {
            if last < u8::MAX {
                bytes.push(last + 1);
                return Some(bytes);
            }
        }
        None
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = if self.goes_on() { "…" } else { "" };
        write!(f, "KeyPrefix({:?}{dots})", String::from_utf8_lossy(&self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prefixes_sort_as_keys_do(a in prop::collection::vec(0u8..3, 0..44), b in prop::collection::vec(0u8..3, 0..44)) {
            let (p, q) = (KeyPrefix::new(None, &a), KeyPrefix::new(None, &b));
            if a <= b {
                prop_assert!(p <= q);
            }
            let cut = |key: &[u8]| key[..key.len().min(PREFIX_BYTES)].to_vec();
            prop_assert_eq!(p.bytes(), cut(&a));
            prop_assert_eq!(p.goes_on(), a.len() > PREFIX_BYTES);
            if let Some(after) = p.after() {
                prop_assert!(a < after);
                prop_assert_eq!(b < after, q <= p);
            }
        }
    }

    #[test]
    fn a_slot_comes_first() {
        assert_eq!(KeyPrefix::new(Some(0x0102), b"ab").bytes(), [1, 2, b'a', b'b']);
        let long = KeyPrefix::new(Some(0xffff), &[0xff; 60]);
        assert_eq!((long.bytes().len(), long.goes_on(), long.after()), (PREFIX_BYTES, true, None));
    }
}
