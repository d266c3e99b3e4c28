//! Profiles of a live stream: one request in N is looked at, and stands for N.
//!
//! N follows the rate of requests, so that looking costs the same whatever the load. What was seen is kept for a window of time and the one
//! before it, so that a profile tells of now. Sampling is systematic: every Nth request, which for requests in no particular order errs no
//! more than independent draws. A count made of samples that stand for N₁, N₂, … has a standard error of at most √Σ Nᵢ(Nᵢ − 1).
//!
//! How unevenly keys are used is told by Simpson's index (Simpson 1949, "Measurement of diversity"): the chance that two load units fall on the
//! same key. His estimate without bias counts pairs of samples, Σ nₖ(nₖ − 1) / n(n − 1): one that did not would fall as load, and with it the
//! number of samples, rises, and so go with load for no other reason.

use crate::stream::query_event::QueryEvent;
use crate::stream::shard_profile::ShardProfile;
use isobar_model::{InstantMs, ShardId};
use std::collections::BTreeMap;

/// Chooses N: one request in so many is looked at.
#[derive(Clone, Copy, Debug)]
pub struct SampleRate {
    most_per_s: u64,
    every: u64,
}

impl SampleRate {
    /// Looks at about `most_per_s` requests a second at most, at all of them until the rate is known.
    #[must_use]
    pub fn new(most_per_s: u64) -> Self {
        Self { most_per_s: most_per_s.max(1), every: 1 }
    }

    /// N.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Takes in that so many requests came within `elapsed_ms`; gives the new N.
    pub fn adapt(&mut self, requests: u64, elapsed_ms: u64) -> u64 {
        if elapsed_ms > 0 {
            let allowed = u128::from(self.most_per_s) * u128::from(elapsed_ms);
            let every = (u128::from(requests) * 1000).div_ceil(allowed);
            self.every = u64::try_from(every).unwrap_or(u64::MAX).max(1);
        }
        self.every
    }
}

/// Fewest samples to tell the use of keys by: the index of a key with half of the load has a standard error of a fifth of itself then.
const MIN_SKEW_SAMPLES: u64 = 100;

/// One shard in one window.
#[derive(Clone, Debug, Default)]
pub struct LiveProfile {
    /// Start of its window.
    pub from: InstantMs,
    /// Counts and weights stand for all requests, seen or not.
    pub profile: ShardProfile,
    /// Requests looked at.
    pub sampled: u64,
    /// Σ N(N − 1) over the samples.
    variance: f64,
}

impl LiveProfile {
    /// Nothing seen in a window that begins at `from`.
    #[must_use]
    pub fn since(from: InstantMs) -> Self {
        Self { from, ..Self::default() }
    }

    /// Standard error of the number of requests, as a share of it.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        self.variance.sqrt() / self.profile.mix.count().max(1) as f64
    }

    /// How unevenly the keys are used: the chance that two load units fall on the same key, 0 to 1; none: too few samples to tell. Keys that
    /// are not certainly heavy count for nothing.
    #[must_use]
    pub fn key_skew(&self) -> Option<f32> {
        let total = self.profile.hitters.total();
        if self.sampled < MIN_SKEW_SAMPLES || total == 0 {
            return None;
        }
        // Samples weigh differently: a key is taken to have as many as its share of the load says.
        let samples = self.sampled as f64;
        let of_key = |weight: u64| weight as f64 / total as f64 * samples;
        let pairs: f64 = self.profile.hitters.certain().map(of_key).map(|n| n * (n - 1.0).max(0.0)).sum();
        Some((pairs / (samples * (samples - 1.0))).min(1.0) as f32)
    }
}

/// Profiles of a node's shards.
#[derive(Clone, Debug)]
pub struct LiveProfiles {
    window_ms: u64,
    began: Option<InstantMs>,
    current: BTreeMap<ShardId, LiveProfile>,
    before: BTreeMap<ShardId, LiveProfile>,
}

impl LiveProfiles {
    /// Empty, with windows of this length, 1 ms at least. Memory: two [`ShardProfile`]s for each shard that requests come for.
    #[must_use]
    pub fn new(window_ms: u64) -> Self {
        Self { window_ms: window_ms.max(1), began: None, current: BTreeMap::new(), before: BTreeMap::new() }
    }

    /// Takes in one request that stands for `every`: its key's hash and slot, and what it weighs in thousandths of a load unit.
    pub fn record(
        &mut self,
        shard: ShardId,
        event: &QueryEvent<'_>,
        (hash, slot): (u64, Option<u16>),
        milli: u64,
        every: u64,
    ) {
        let from = self.turn(event.at);
        let live = self.current.entry(shard).or_insert_with(|| LiveProfile::since(from));
        live.profile.record_many(event, hash, slot, milli, every);
        live.sampled += 1;
        live.variance += every as f64 * every.saturating_sub(1) as f64;
    }

    /// Length of a window.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// What is known of a shard at `now`: the last whole window, or the current one where there is none; none: no request came for it.
    #[must_use]
    pub fn profile(&mut self, shard: ShardId, now: InstantMs) -> Option<&LiveProfile> {
        self.turn(now);
        self.before.get(&shard).or_else(|| self.current.get(&shard))
    }

    /// How unevenly the keys of each shard were used in the last whole window, where enough requests came to tell.
    pub fn key_skews(&mut self, now: InstantMs) -> Vec<(ShardId, f32)> {
        self.turn(now);
        self.before.iter().filter_map(|(&shard, live)| Some((shard, live.key_skew()?))).collect()
    }

    /// Begins a new window where the current one is over; gives its start. After a silence of two windows nothing is known. A clock that goes
    /// back changes nothing.
    fn turn(&mut self, now: InstantMs) -> InstantMs {
        let began = *self.began.get_or_insert(now);
        let windows = now.since_ms(began) / self.window_ms;
        if windows == 0 {
            return began;
        }
        let current = std::mem::take(&mut self.current);
        self.before = if windows == 1 { current } else { BTreeMap::new() };
        *self.began.insert(began.plus_ms(windows.saturating_mul(self.window_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Operation, key_hash};

    const SHARD: ShardId = ShardId(7);

    fn record(live: &mut LiveProfiles, at_ms: u64, key: u64, every: u64) {
        let key = key.to_be_bytes();
        let operation = Operation::Get;
        let event = QueryEvent { at: InstantMs(at_ms), operation, key: &key, bytes: 10, latency_us: Some(500) };
        live.record(SHARD, &event, (key_hash(&key), None), 1_000, every);
    }

    #[test]
    fn samples_stand_for_what_was_not_seen() {
        let mut live = LiveProfiles::new(60_000);
        (0..1_000).for_each(|i| record(&mut live, i, i % 50, 20));
        let profile = live.profile(SHARD, InstantMs(1_000)).unwrap();
        assert_eq!((profile.sampled, profile.profile.mix.count()), (1_000, 20_000));
        assert_eq!(profile.profile.hitters.total(), 20_000 * 1_000);
        assert!((profile.relative_error() - (19.0f64 / 20_000.0).sqrt()).abs() < 1e-9);
        assert!((profile.profile.distinct.estimate() - 50.0).abs() < 5.0);
    }

    #[test]
    fn a_profile_is_of_the_last_window_and_is_forgotten_after_two() {
        let mut live = LiveProfiles::new(1_000);
        (0..10).for_each(|i| record(&mut live, i, 1, 1));
        assert_eq!(live.profile(SHARD, InstantMs(500)).map(|p| p.sampled), Some(10));
        record(&mut live, 1_200, 1, 1);
        assert_eq!(live.profile(SHARD, InstantMs(1_300)).map(|p| p.sampled), Some(10));
        assert_eq!(live.profile(SHARD, InstantMs(2_300)).map(|p| (p.sampled, p.from.0)), Some((1, 1_000)));
        assert!(live.profile(SHARD, InstantMs(9_000)).is_none());
        assert!(live.profile(ShardId(8), InstantMs(9_000)).is_none());
    }

    #[test]
    fn key_skew_is_the_chance_of_the_same_key_twice_however_few_samples() {
        let skew = |samples: u64, every: u64, key: fn(u64) -> u64| {
            let mut live = LiveProfiles::new(1_000);
            (0..samples).for_each(|i| record(&mut live, i * 999 / samples, key(i), every));
            live.key_skews(InstantMs(1_000)).first().map(|&(_, skew)| skew)
        };
        let near = |skew: Option<f32>, wanted: f32| skew.is_some_and(|skew| (skew - wanted).abs() < 0.001);
        assert_eq!(skew(99, 1, |_| 1), None, "too few to tell");
        assert_eq!(skew(100, 8, |_| 1), Some(1.0));
        for samples in [100, 1_000, 20_000] {
            // Every key once; fifty keys evenly; half on one key, the rest on keys of their own.
            assert!(near(skew(samples, 1, |i| i), 0.0), "{samples}");
            assert!(near(skew(samples, 3, |i| i % 50), 0.02 * (1.0 - 49.0 / (samples as f32 - 1.0))), "{samples}");
            assert!(
                near(skew(samples, 3, |i| if i % 2 == 0 { 0 } else { i }), 0.25 - 0.25 / (samples as f32 - 1.0)),
                "{samples}"
            );
        }
    }

    #[test]
    fn key_skew_is_told_of_a_window_that_is_over_and_no_longer() {
        let mut live = LiveProfiles::new(1_000);
        (0..200).for_each(|i| record(&mut live, i, 1, 1));
        assert_eq!(live.key_skews(InstantMs(999)), []);
        assert_eq!(live.key_skews(InstantMs(1_000)), [(SHARD, 1.0)]);
        assert_eq!(live.key_skews(InstantMs(2_000)), []);
    }

    #[test]
    fn looking_costs_the_same_whatever_the_load() {
        let mut rate = SampleRate::new(1_000);
        for (requests, every) in
            [(10, 1), (1_000, 1), (50_000, 50), (50_001, 51), (0, 1), (u64::MAX, u64::MAX / 1_000 + 1)]
        {
            assert_eq!(rate.adapt(requests, 1_000), every, "{requests}");
        }
        assert_eq!(rate.adapt(5, 0), rate.every());
    }
}
