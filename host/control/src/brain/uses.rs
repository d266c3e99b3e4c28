//! What replicas use of each metric beside load, learned from what they did: per unit of their shard's leader load, by shard.

use isobar_model::{Metric, ReplicaUse, ShardId};
use std::collections::BTreeMap;

/// What a tick leaves of the sums before it: at ten ticks a figure has forgotten two thirds, as the share of followers has.
const FADE: f64 = 0.9;
/// Below this leader load, in load units, a ratio is noise.
const LEAST_LEADER: f64 = 1.0;

/// Fading sums of leader load, and of what its leader and each follower used.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    load: f64,
    leader: f64,
    follower: f64,
}

impl Sums {
    fn record(&mut self, load: f64, used: ReplicaUse) {
        let add = |sum: &mut f64, value: f64| *sum = *sum * FADE + value;
        add(&mut self.load, load);
        add(&mut self.leader, f64::from(used.leader.max(0.0)));
        add(&mut self.follower, f64::from(used.follower.max(0.0)));
    }

    fn ratio(&self) -> Option<ReplicaUse> {
        let of = |sum: f64| (sum / self.load) as f32;
        (self.load >= LEAST_LEADER).then(|| ReplicaUse { leader: of(self.leader), follower: of(self.follower) })
    }
}

/// Use per unit of leader load. Empty, and of no cost, where nothing is measured.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplicaUses {
    of_shards: BTreeMap<(ShardId, Metric), Sums>,
    /// What a shard that did nothing yet is taken to use.
    of_all: BTreeMap<Metric, Sums>,
}

impl ReplicaUses {
    /// Takes in what a shard's replicas used in one tick, beside its leader's load.
    pub(super) fn record(&mut self, shard: ShardId, leader_load: f32, used: &BTreeMap<Metric, ReplicaUse>) {
        if !leader_load.is_finite() {
            return;
        }
        for (&metric, &used) in used.iter().filter(|(_, used)| used.leader.is_finite() && used.follower.is_finite()) {
            let load = f64::from(leader_load.max(0.0));
            self.of_shards.entry((shard, metric)).or_default().record(load, used);
            self.of_all.entry(metric).or_default().record(load, used);
        }
    }

    /// Use per unit of leader load, of the metrics that are measured.
    pub(super) fn of(&self, shard: ShardId) -> BTreeMap<Metric, ReplicaUse> {
        let of = |(metric, all): (&Metric, &Sums)| {
            let own = self.of_shards.get(&(shard, *metric)).and_then(Sums::ratio);
            Some((*metric, own.or_else(|| all.ratio())?))
        };
        self.of_all.iter().filter_map(of).collect()
    }

    pub(super) fn forget(&mut self, shards: &[ShardId]) {
        self.of_shards.retain(|(shard, _), _| !shards.contains(shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_learned_and_idle_shards_are_taken_for_the_others() {
        let mut uses = ReplicaUses::default();
        assert!(uses.of(ShardId(1)).is_empty());
        let used = |leader: f32, follower: f32| BTreeMap::from([(Metric::WriteOps, ReplicaUse { leader, follower })]);
        (0..50).for_each(|_| uses.record(ShardId(1), 10.0, &used(4.0, 2.0)));
        uses.record(ShardId(2), 0.01, &used(0.01, 0.01));
        uses.record(ShardId(1), f32::NAN, &used(9.0, 9.0));
        for shard in [1, 2] {
            let ReplicaUse { leader, follower } = uses.of(ShardId(shard))[&Metric::WriteOps];
            assert!((leader - 0.4).abs() < 1e-3 && (follower - 0.2).abs() < 1e-3, "{leader} {follower}");
        }
        uses.forget(&[ShardId(1)]);
        assert_eq!(uses.of_shards.len(), 1);
    }
}
