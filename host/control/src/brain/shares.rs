//! What followers carry, learned from what they did: load of a follower per unit of leader load, by shard.

use isobar_model::ShardId;
use std::collections::BTreeMap;

/// What a tick leaves of the sums before it: at ten ticks a share has forgotten two thirds.
const FADE: f64 = 0.9;
/// Below this leader load, in load units, a ratio is noise.
const LEAST_LEADER: f64 = 1.0;
/// No follower does more than its leader twice over; a larger ratio is a counter gone wrong.
const LARGEST: f64 = 2.0;

/// Fading sums of follower and leader load.
#[derive(Clone, Debug)]
pub(super) struct FollowerShares {
    first_guess: f32,
    sums: BTreeMap<ShardId, (f64, f64)>,
}

impl FollowerShares {
    pub(super) fn new(first_guess: f32) -> Self {
        Self { first_guess, sums: BTreeMap::new() }
    }

    pub(super) fn record(&mut self, shard: ShardId, leader: f32, follower: f32) {
        if !leader.is_finite() || !follower.is_finite() {
            return;
        }
        let (led, followed) = self.sums.entry(shard).or_default();
        *led = *led * FADE + f64::from(leader.max(0.0));
        *followed = *followed * FADE + f64::from(follower.max(0.0));
    }

    pub(super) fn of(&self, shard: ShardId) -> f32 {
        match self.sums.get(&shard) {
            Some((led, followed)) if *led >= LEAST_LEADER => (followed / led).min(LARGEST) as f32,
            Some(_) | None => self.first_guess,
        }
    }

    pub(super) fn forget(&mut self, shards: &[ShardId]) {
        self.sums.retain(|shard, _| !shards.contains(shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_learned_and_idle_shards_keep_the_first_guess() {
        let mut shares = FollowerShares::new(0.25);
        assert_eq!(shares.of(ShardId(1)), 0.25);
        shares.record(ShardId(1), 0.01, 0.01);
        assert_eq!(shares.of(ShardId(1)), 0.25);
        (0..50).for_each(|_| shares.record(ShardId(1), 12.0, 2.0));
        assert!((shares.of(ShardId(1)) - 1.0 / 6.0).abs() < 1e-3);
        shares.record(ShardId(1), f32::NAN, 9.0);
        assert!((shares.of(ShardId(1)) - 1.0 / 6.0).abs() < 1e-3);
    }
}
