//! The keys that a shard's load falls on.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005, "Efficient computation of frequent and top-k elements in data streams") with weights: a key
//! that is not counted takes over the smallest counter, and its count as possible error. With m counters every key with more than 1/m of the
//! load has one, and no count is off by more than 1/m of the load.
//!
//! The smallest counter is found by a cursor that goes round: weights are few and small, so many counters share the smallest value and a
//! round is paid for by as many take-overs.

use crate::stream::key_prefix::KeyPrefix;

/// A key and what is known of its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeavyHitter {
    /// The key's hash, by which it was told apart.
    pub hash: u64,
    /// The client's key, or its beginning.
    pub key: KeyPrefix,
    /// Its weight is not above this.
    pub at_most: u64,
    /// Its weight is not below this.
    pub at_least: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    hash: u64,
    key: KeyPrefix,
    count: u64,
    /// What of the count another key may have left.
    error: u64,
}

/// The heaviest keys of a stream, in a fixed number of counters.
#[derive(Clone, Debug)]
pub struct HeavyHitters {
    capacity: usize,
    counters: Vec<Counter>,
    /// Open addressing, linear probing: counter's number + 1, 0 where free.
    index: Vec<u16>,
    /// No counter is below this.
    smallest: u64,
    cursor: usize,
    /// The largest count that was ever taken over.
    bound: u64,
    total: u64,
}

/// Most counters of one sketch: numbers of counters fit 16 bits.
const MAX_COUNTERS: usize = 1 << 14;

impl HeavyHitters {
    /// A sketch with so many counters, at least 1, at most 16 384.
    #[must_use]
    pub fn new(counters: usize) -> Self {
        let capacity = counters.clamp(1, MAX_COUNTERS);
        Self {
            capacity,
            counters: Vec::with_capacity(capacity),
            index: vec![0; (2 * capacity).next_power_of_two()],
            smallest: 0,
            cursor: 0,
            bound: 0,
            total: 0,
        }
    }

    /// Bytes that a sketch with so many counters holds.
    #[must_use]
    pub const fn memory_bytes(counters: usize) -> usize {
        counters * size_of::<Counter>() + (2 * counters).next_power_of_two() * 2
    }

    /// Adds to a key's weight. `key` is asked for only where the key takes a counter over.
    pub fn record(&mut self, hash: u64, weight: u64, key: impl FnOnce() -> KeyPrefix) {
        if weight == 0 {
            return;
        }
        self.total = self.total.saturating_add(weight);
        let at = self.probe(hash);
        if let Some(counter) = usize::from(self.index[at]).checked_sub(1) {
            self.counters[counter].count = self.counters[counter].count.saturating_add(weight);
            return;
        }
        if self.counters.len() < self.capacity {
            self.counters.push(Counter { hash, key: key(), count: weight, error: 0 });
            self.index[at] = self.counters.len() as u16;
            return;
        }
        let taken = self.find_smallest();
        let before = self.counters[taken];
        self.remove(before.hash);
        self.bound = self.bound.max(before.count);
        let count = before.count.saturating_add(weight);
        self.counters[taken] = Counter { hash, key: key(), count, error: before.count };
        // The removal may have moved what was in the way.
        let at = self.probe(hash);
        self.index[at] = taken as u16 + 1;
    }

    /// All that was added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// No key without a counter weighs more than this.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// The heaviest keys, by their upper bound, then by hash so that the order is always the same.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<HeavyHitter> {
        let known =
            |c: &Counter| HeavyHitter { hash: c.hash, key: c.key, at_most: c.count, at_least: c.count - c.error };
        let mut top: Vec<_> = self.counters.iter().map(known).collect();
        top.sort_unstable_by(|a, b| b.at_most.cmp(&a.at_most).then(a.hash.cmp(&b.hash)));
        top.truncate(most);
        top
    }

    /// What weighs on each counted key for certain.
    pub fn certain(&self) -> impl Iterator<Item = u64> + '_ {
        self.counters.iter().map(|counter| counter.count - counter.error)
    }

    /// The next counter, going round, that holds the smallest count.
    fn find_smallest(&mut self) -> usize {
        loop {
            while self.cursor < self.counters.len() {
                let at = self.cursor;
                self.cursor += 1;
                if self.counters[at].count <= self.smallest {
                    return at;
                }
            }
            self.cursor = 0;
            // Counts only grow: a whole round without one this small means that the smallest is larger by now.
            self.smallest = self.counters.iter().map(|counter| counter.count).min().unwrap_or(0);
        }
    }

    fn slot_of(&self, hash: u64) -> usize {
        // The low bits are alike within a shard of a hashed keyspace.
        (hash >> 32) as usize & (self.index.len() - 1)
    }

    /// Where in the index the hash is, or would be.
    fn probe(&self, hash: u64) -> usize {
        let mut at = self.slot_of(hash);
        loop {
            match usize::from(self.index[at]).checked_sub(1) {
                Some(counter) if self.counters[counter].hash != hash => at = (at + 1) & (self.index.len() - 1),
                Some(_) | None => return at,
            }
        }
    }

    /// Takes a hash out of the index, and moves back what was pushed on by it (Knuth, The Art of Computer Programming 6.4, algorithm R).
    fn remove(&mut self, hash: u64) {
        let mask = self.index.len() - 1;
        let mut hole = self.probe(hash);
        let mut at = hole;
        loop {
            self.index[hole] = 0;
            loop {
                at = (at + 1) & mask;
                let Some(counter) = usize::from(self.index[at]).checked_sub(1) else { return };
                let home = self.slot_of(self.counters[counter].hash);
                // Whether its home lies outside the stretch from behind the hole to here: then a search would end at the hole.
                if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                    break;
                }
            }
            self.index[hole] = self.index[at];
            hole = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::key_hash;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn record(sketch: &mut HeavyHitters, key: u32, weight: u64) {
        let text = key.to_be_bytes();
        sketch.record(key_hash(&text), weight, || KeyPrefix::new(None, &text));
    }

    proptest! {
        #[test]
        fn bounds_hold_for_every_key(
            // Squared, so that small numbers come often.
            stream in prop::collection::vec(((0u32..20).prop_map(|k| k * k / 4), 1u64..4), 0..600),
            counters in 1usize..24,
        ) {
            let mut sketch = HeavyHitters::new(counters);
            let mut exact = BTreeMap::<Vec<u8>, u64>::new();
            for &(key, weight) in &stream {
                record(&mut sketch, key, weight);
                *exact.entry(key.to_be_bytes().to_vec()).or_default() += weight;
            }
            let total: u64 = exact.values().sum();
            prop_assert_eq!(sketch.total(), total);
            prop_assert!(sketch.bound() <= total / counters as u64);
            let top = sketch.top(usize::MAX);
            for hitter in &top {
                let weight = exact[&hitter.key.bytes()];
                prop_assert!(hitter.at_least <= weight && weight <= hitter.at_most);
                prop_assert!(hitter.at_most - hitter.at_least <= sketch.bound());
            }
            for (key, &weight) in &exact {
                let counted = top.iter().any(|hitter| hitter.key.bytes() == *key);
                prop_assert!(counted || weight <= sketch.bound(), "{:?} weighs {} of {}", key, weight, total);
            }
        }
    }

    #[test]
    fn nothing_is_lost_while_counters_are_free() {
        let mut sketch = HeavyHitters::new(10);
        (0..10).for_each(|key| record(&mut sketch, key, u64::from(key) + 1));
        assert_eq!(sketch.bound(), 0);
        let top = sketch.top(2);
        assert_eq!(top[0].key.bytes(), [0, 0, 0, 9]);
        assert!(top.iter().all(|hitter| hitter.at_least == hitter.at_most));
    }
}
