use std::fmt;

/// First bytes of a file of weights.
const MAGIC: &[u8; 8] = b"ISOBLSTM";
/// Raised whenever the layout, or what the network is shown, changes.
const FORMAT: u16 = 3;
/// No layer is wider, so that a damaged header can't ask for memory.
const MAX_WIDTH: usize = 256;
/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 8;

/// Reads what `train/export.py` wrote: magic, format, sizes, then numbers of 16 bits (IEEE 754 half precision), all little-endian, and a
/// checksum (FNV-1a, 64 bits) of all before it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// Why bytes are no weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Magic,
    Format(u16),
    Checksum,
    Short,
    Long,
    Width(usize),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => write!(f, "these are no weights: export them with train/export.py"),
            Self::Format(format) => write!(f, "weights of format {format}, not {FORMAT}: export them anew"),
            Self::Checksum => write!(f, "the weights are damaged: export them anew"),
            Self::Short => write!(f, "the weights end too early: export them anew"),
            Self::Long => write!(f, "there is more than the weights: export them anew"),
            Self::Width(width) => {
                write!(f, "a layer of {width}, where another width is needed: export the weights anew")
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Damage> {
        let payload = bytes.strip_prefix(MAGIC).ok_or(Damage::Magic)?;
        let (_, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Damage::Short)?;
        let rest = payload.len().checked_sub(CHECKSUM_BYTES).and_then(|end| payload.get(..end)).ok_or(Damage::Short)?;
        if fnv1a(&bytes[..bytes.len() - CHECKSUM_BYTES]) != u64::from_le_bytes(*sum) {
            return Err(Damage::Checksum);
        }
        let mut reader = Self { rest };
        match reader.integer()? {
            FORMAT => Ok(reader),
            other => Err(Damage::Format(other)),
        }
    }

    fn integer(&mut self) -> Result<u16, Damage> {
        let (integer, rest) = self.rest.split_first_chunk::<2>().ok_or(Damage::Short)?;
        self.rest = rest;
        Ok(u16::from_le_bytes(*integer))
    }

    /// A size that the code leaves open.
    pub(crate) fn width(&mut self) -> Result<usize, Damage> {
        match usize::from(self.integer()?) {
            width @ 1..=MAX_WIDTH => Ok(width),
            width => Err(Damage::Width(width)),
        }
    }

    /// A size that the code depends on.
    pub(crate) fn fixed(&mut self, wanted: usize) -> Result<(), Damage> {
        let width = self.width()?;
        if width == wanted { Ok(()) } else { Err(Damage::Width(width)) }
    }

    pub(crate) fn numbers(&mut self, count: usize) -> Result<Vec<f32>, Damage> {
        (0..count).map(|_| self.integer().map(from_half)).collect()
    }

    pub(crate) fn end(self) -> Result<(), Damage> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damage::Long) }
    }
}

/// Half precision, exactly. Infinities and NaN, which weights never are, become large numbers.
fn from_half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    if exponent == 0 {
        // 2^-24: the unit of the smallest numbers.
        return sign * fraction as f32 * 5.960_464_5e-8;
    }
    sign * f32::from_bits((exponent + 112) << 23 | fraction << 13)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one size and two numbers.
    fn file() -> Vec<u8> {
        let mut bytes =
            [&MAGIC[..], &FORMAT.to_le_bytes(), &[2, 0], &0x3c00u16.to_le_bytes(), &0xc100u16.to_le_bytes()].concat();
        bytes.extend(fnv1a(&bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = file();
        let mut reader = Reader::new(&bytes).unwrap();
        let count = reader.width().unwrap();
        assert_eq!(reader.numbers(count).unwrap(), [1.0, -2.5]);
        reader.end().unwrap();
    }

    #[test]
    fn damage_is_named() {
        let bytes = file();
        assert_eq!(Reader::new(b"weights").unwrap_err(), Damage::Magic);
        assert_eq!(Reader::new(&MAGIC[..]).unwrap_err(), Damage::Short);
        for at in MAGIC.len()..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(Reader::new(&damaged).unwrap_err(), Damage::Checksum, "byte {at}");
        }
        let mut reader = Reader::new(&bytes).unwrap();
        assert_eq!(reader.fixed(3), Err(Damage::Width(2)));
        assert_eq!(reader.numbers(3), Err(Damage::Short));
        let mut reader = Reader::new(&bytes).unwrap();
        reader.width().unwrap();
        assert_eq!(reader.end(), Err(Damage::Long));
    }

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0xbc00, -1.0),
        ] {
            assert_eq!(from_half(bits), value, "{bits:#06x}");
        }
    }
}
