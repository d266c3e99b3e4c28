use isobar_model::ShardId;
use isobar_ports::MAX_BLOB_BYTES;

/// First byte of what is stored: the number of this format.
const FORMAT: u8 = 1;

/// A state to open the next instance from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// What the policy gave.
    pub(super) bytes: Vec<u8>,
    /// First step it has not seen.
    pub(super) through: u64,
    /// Shards that it knows, ascending; none: a placer's.
    pub(super) shards: Vec<ShardId>,
}

impl Saved {
    /// As it is stored: the format, the number of shards and their ids, little endian, then the policy's bytes. None where that is more than
    /// can be stored.
    pub(super) fn to_stored(&self) -> Option<Vec<u8>> {
        let length = 1 + 4 + 8 * self.shards.len() + self.bytes.len();
        let count = u32::try_from(self.shards.len()).ok().filter(|_| length <= MAX_BLOB_BYTES)?;
        let mut stored = Vec::with_capacity(length);
        stored.push(FORMAT);
        stored.extend(count.to_le_bytes());
        self.shards.iter().for_each(|shard| stored.extend(shard.0.to_le_bytes()));
        stored.extend(&self.bytes);
        Some(stored)
    }

    /// What was stored; none where it is of another format, or cut off.
    pub(super) fn from_stored(stored: &[u8], through: u64) -> Option<Self> {
        let rest = stored.strip_prefix(&[FORMAT])?;
        let (count, rest) = rest.split_first_chunk()?;
        let ids = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
        let (ids, bytes) = rest.split_at_checked(ids)?;
        let (ids, _) = ids.as_chunks::<8>();
        let shards = ids.iter().map(|id| ShardId(u64::from_le_bytes(*id))).collect();
        Some(Self { bytes: bytes.to_vec(), through, shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read_and_nothing_else() {
        let saved = Saved { bytes: b"state".to_vec(), through: 7, shards: vec![ShardId(3), ShardId(1 << 40)] };
        let stored = saved.to_stored().unwrap();
        assert_eq!(Saved::from_stored(&stored, 7), Some(saved));
        for length in 0..1 + 4 + 16 {
            assert_eq!(Saved::from_stored(&stored[..length], 7), None, "cut to {length}");
        }
        assert_eq!(Saved::from_stored(&[&[9], &stored[1..]].concat(), 7), None, "another format");
        let large = Saved { bytes: vec![0; MAX_BLOB_BYTES], through: 0, shards: vec![] };
        assert_eq!(large.to_stored(), None);
    }
}
