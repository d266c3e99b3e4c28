//! Keyspaces: named sets of keys with a partitioning, a replication factor and a mode.

use crate::ids::KeyspaceId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Longest key a client may send, in bytes.
pub const MAX_KEY_BYTES: usize = 4 << 10;
/// Longest value a client may send, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Most shards one keyspace may be created with: what one node holds for real today, times a hundred nodes.
pub const MAX_SHARDS_PER_KEYSPACE: usize = 25_600;

/// How keys are spread over shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioning {
    /// By a 16-bit slot, the low bits of XXH3-64 of the key; even load, scans only within a slot.
    Hash,
    /// By the key itself; ordered scans, hot ranges.
    Range,
}

/// What the control loop may do in a keyspace by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Forecast only.
    Observe,
    /// Plan and show the plan, carry nothing out.
    Advise,
    /// Plan, and carry out what an operator releases.
    Approve,
    /// Plan and carry out.
    Auto,
}

/// A named set of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyspace {
    /// Its number.
    pub id: KeyspaceId,
    /// Its name: 1–64 of `a-z 0-9 - _`, a letter first.
    pub name: String,
    /// How keys are spread over shards.
    pub partitioning: Partitioning,
    /// Copies of each shard: 1, 3 or 5.
    pub replication_factor: u32,
    /// What the loop may do here by itself.
    pub mode: Mode,
}

impl Keyspace {
    /// Whether `name` may name a keyspace.
    #[must_use]
    pub fn is_valid_name(name: &str) -> bool {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    }
}

impl Partitioning {
    /// The internal key of `key`: `[16-bit hash slot, big endian] key` when hashed, else `key` itself. A shard is a range of these.
    #[must_use]
    pub fn internal_key(self, key: &[u8]) -> Bytes {
        match self {
            Self::Range => Bytes::copy_from_slice(key),
            Self::Hash => {
                let slot = (xxhash_rust::xxh3::xxh3_64(key) & 0xffff) as u16;
                let mut internal = Vec::with_capacity(2 + key.len());
                internal.extend_from_slice(&slot.to_be_bytes());
                internal.extend_from_slice(key);
                internal.into()
            }
        }
    }

    /// The key that a client knows an internal key by; the inverse of [`Self::internal_key`].
    #[must_use]
    pub fn client_key(self, internal: &Bytes) -> Bytes {
        match self {
            Self::Range => internal.clone(),
            Self::Hash => internal.slice(2.min(internal.len())..),
        }
    }

    /// Boundaries that cut a hashed keyspace into `shards` even ranges of slots (`shards` − 1 keys, ascending).
    #[must_use]
    pub fn even_slots(shards: u32) -> Vec<Bytes> {
        let shards = shards.clamp(1, 1 << 16);
        (1..shards)
            .map(|i| {
                let slot = (u64::from(i) * (1 << 16) / u64::from(shards)) as u16;
                Bytes::copy_from_slice(&slot.to_be_bytes())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_key_comes_back_from_its_internal_key() {
        let internal = Partitioning::Hash.internal_key(b"user/7");
        assert_eq!(internal.len(), 8);
        assert_eq!(Partitioning::Hash.client_key(&internal), Bytes::from_static(b"user/7"));
    }

    #[test]
    fn even_slots_are_ascending_and_even() {
        assert_eq!(Partitioning::even_slots(1), Vec::<Bytes>::new());
        assert_eq!(
            Partitioning::even_slots(4),
            [[0x40u8, 0], [0x80, 0], [0xc0, 0]].map(|k| Bytes::copy_from_slice(&k))
        );
    }

    #[test]
    fn names_are_checked() {
        assert!(Keyspace::is_valid_name("tenants-2"));
        for bad in ["", "2a", "A", "a/b", "a b"] {
            assert!(!Keyspace::is_valid_name(bad), "{bad}");
        }
    }
}
