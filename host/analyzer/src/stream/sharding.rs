//! Which shard of a log's keyspace holds a key.

use crate::stream::query_event::key_hash;
use isobar_model::keyspace::MAX_SHARDS_PER_KEYSPACE;
use isobar_model::{Partitioning, ShardId};
use std::cmp::Ordering;

/// Shards that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSharding {
    /// None, or too many.
    #[error("{0} shards: from 1 to {MAX_SHARDS_PER_KEYSPACE} are possible")]
    Count(usize),
    /// Boundaries out of order.
    #[error("boundary {0} is not above the one before: give them in ascending order, each once, none empty")]
    Order(usize),
}

/// The shards of one keyspace: ranges of internal keys, as the store has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharding {
    partitioning: Partitioning,
    shards: Vec<ShardId>,
    /// First internal key of each shard but the first, ascending.
    boundaries: Vec<Vec<u8>>,
    /// Even ranges of slots: found without a search.
    even: bool,
}

impl Sharding {
    /// A hashed keyspace cut into so many even ranges of slots, as the store creates it; the shards are numbered from 1.
    pub fn even(shards: usize) -> Result<Self, BadSharding> {
        let count = u32::try_from(shards).map_err(|_| BadSharding::Count(shards))?;
        let slots = Partitioning::even_slots(count).iter().map(|slot| slot.to_vec()).collect();
        Ok(Self { even: true, ..Self::at(Partitioning::Hash, slots, first_numbers(shards))? })
    }

    /// Shards at these boundaries: the first internal key of each but the first. Numbered from 1.
    pub fn bounded(partitioning: Partitioning, boundaries: Vec<Vec<u8>>) -> Result<Self, BadSharding> {
        let shards = first_numbers(boundaries.len() + 1);
        Self::at(partitioning, boundaries, shards)
    }

    /// Shards at these boundaries with these numbers, one number more than boundaries.
    pub fn at(partitioning: Partitioning, boundaries: Vec<Vec<u8>>, shards: Vec<ShardId>) -> Result<Self, BadSharding> {
        if shards.is_empty() || shards.len() > MAX_SHARDS_PER_KEYSPACE || shards.len() != boundaries.len() + 1 {
            return Err(BadSharding::Count(shards.len()));
        }
        let mut before: &[u8] = &[];
        for (i, boundary) in boundaries.iter().enumerate() {
            if boundary.as_slice() <= before {
                return Err(BadSharding::Order(i + 1));
            }
            before = boundary;
        }
        Ok(Self { partitioning, shards, boundaries, even: false })
    }

    /// How keys are spread.
    #[must_use]
    pub fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    /// The shards, in the order of their keys.
    #[must_use]
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// First internal key of the shard at this place; empty for the first.
    #[must_use]
    pub fn start(&self, place: usize) -> &[u8] {
        place.checked_sub(1).and_then(|at| self.boundaries.get(at)).map_or(&[], Vec::as_slice)
    }

    /// The slot of a key by its [`key_hash`]; none where the keyspace has no slots.
    #[must_use]
    pub fn slot(&self, hash: u64) -> Option<u16> {
        match self.partitioning {
            Partitioning::Hash => Some((hash & 0xffff) as u16),
            Partitioning::Range => None,
        }
    }

    /// Place of the shard that holds a client's key, whose [`key_hash`] is given.
    #[must_use]
    pub fn place(&self, hash: u64, key: &[u8]) -> usize {
        match self.slot(hash) {
            // The last i with floor(i × 65 536 / n) <= slot.
            Some(slot) if self.even => (((u64::from(slot) + 1) * self.shards.len() as u64 - 1) >> 16) as usize,
            Some(slot) => self.boundaries.partition_point(|start| compare(start, slot, key) != Ordering::Greater),
            None => self.boundaries.partition_point(|start| start.as_slice() <= key),
        }
    }

    /// Place of the shard that holds a client's key.
    #[must_use]
    pub fn place_of(&self, key: &[u8]) -> usize {
        self.place(key_hash(key), key)
    }
}

fn first_numbers(count: usize) -> Vec<ShardId> {
    (1..=count.min(MAX_SHARDS_PER_KEYSPACE + 1) as u64).map(ShardId).collect()
}

/// A boundary against the internal key `[slot] key`, without putting that together.
fn compare(boundary: &[u8], slot: u16, key: &[u8]) -> Ordering {
    let slot = slot.to_be_bytes();
    let (head, tail) = boundary.split_at(boundary.len().min(2));
    head.cmp(&slot[..]).then_with(|| tail.cmp(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Promise 3, for logs: the shard of a key is the one whose range the store would find it in.
        #[test]
        fn a_key_is_where_the_store_has_it(
            key in prop::collection::vec(any::<u8>(), 0..12),
            count in 1usize..300,
            bounds in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..5), 0..20),
        ) {
            let even = Sharding::even(count).unwrap();
            let ragged = |p| Sharding::bounded(p, bounds.iter().cloned().collect()).unwrap();
            for sharding in [even, ragged(Partitioning::Hash), ragged(Partitioning::Range)] {
                let internal = sharding.partitioning().internal_key(&key);
                let place = sharding.place_of(&key);
                prop_assert!(sharding.start(place) <= &internal[..]);
                prop_assert!(place + 1 == sharding.shards().len() || &internal[..] < sharding.start(place + 1));
            }
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        assert_eq!(Sharding::even(0), Err(BadSharding::Count(0)));
        assert!(matches!(Sharding::even(MAX_SHARDS_PER_KEYSPACE + 1), Err(BadSharding::Count(_))));
        let range = |bounds: &[&str]| {
            Sharding::bounded(Partitioning::Range, bounds.iter().map(|b| b.as_bytes().to_vec()).collect())
        };
        assert_eq!(range(&["b", "a"]), Err(BadSharding::Order(2)));
        assert_eq!(range(&[""]), Err(BadSharding::Order(1)));
        assert_eq!(range(&["a", "b"]).unwrap().place_of(b"a"), 1);
    }
}
