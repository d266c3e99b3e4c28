//! From the counters of all nodes to what the brain sees: the live half of the `Fleet` port's *observe*.

use crate::node::services::NodeSamples;
use isobar_control::ControlState;
use isobar_model::{InFlight, InstantMs, MigrationKind, NodeId, NodeState, ShardId};
use isobar_ports::{NodeObservation, Observation, ShardObservation};
use std::collections::BTreeMap;

/// Rounds a node may miss before it counts as down rather than suspect: three ticks, as a restart takes less.
const MISSED_UNTIL_DOWN: u32 = 3;

/// Counters of one shard, summed over its replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    reads: u64,
    writes: u64,
}

/// Counters of the round before, for differences.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    at: Option<InstantMs>,
    /// By node: when it started, and what its replicas had done.
    nodes: BTreeMap<NodeId, (u64, BTreeMap<ShardId, Counts>)>,
    missed: BTreeMap<NodeId, u32>,
    loads: BTreeMap<ShardId, (f32, f32)>,
    bytes: BTreeMap<ShardId, u64>,
    used: BTreeMap<NodeId, u64>,
}

/// What one round of questions to all nodes gave.
pub(crate) type Round = BTreeMap<NodeId, Option<NodeSamples>>;

impl Baseline {
    /// Takes in a round at `now`; gives who leads what by the samples, and whether rates since the round before are known.
    pub(crate) fn take(
        &mut self,
        state: &ControlState,
        round: &Round,
        now: InstantMs,
    ) -> (Vec<(ShardId, NodeId)>, bool) {
        let weights = state.settings().weights;
        let span_s = self.at.map(|at| now.since_ms(at) as f64 / 1000.0).filter(|s| *s > 0.0);
        let mut done: BTreeMap<ShardId, Counts> = BTreeMap::new();
        let (mut leaders, mut bytes) = (BTreeMap::new(), BTreeMap::new());
        for (&node, samples) in round {
            let Some(samples) = samples else {
                *self.missed.entry(node).or_default() += 1;
                continue;
            };
            self.missed.remove(&node);
            self.used.insert(node, samples.used_bytes);
            let before = self.nodes.remove(&node).filter(|(started, _)| *started == samples.started_ms);
            let mut counts = BTreeMap::new();
            for sample in &samples.samples {
                let now = Counts { reads: sample.reads, writes: sample.writes };
                counts.insert(sample.shard, now);
                if sample.leads {
                    leaders.insert(sample.shard, node);
                }
                let size = bytes.entry(sample.shard).or_insert(0);
                *size = sample.stored_bytes.max(*size);
                // A replica or node that is new since then began at zero, so all that it did is of this span.
                let was =
                    before.as_ref().and_then(|(_, counts)| counts.get(&sample.shard)).copied().unwrap_or_default();
                let sum = done.entry(sample.shard).or_default();
                sum.reads += now.reads.saturating_sub(was.reads);
                sum.writes += now.writes.saturating_sub(was.writes);
            }
            self.nodes.insert(node, (samples.started_ms, counts));
        }
        if let Some(span_s) = span_s {
            let rate = |count: u64| (count as f64 / span_s) as f32;
            self.loads = done
                .into_iter()
                .map(|(shard, c)| {
                    (shard, (weights.leader(rate(c.reads), rate(c.writes)), weights.follower(rate(c.writes))))
                })
                .collect();
        }
        self.bytes = bytes;
        self.at = Some(now);
        (leaders.into_iter().collect(), span_s.is_some())
    }

    /// Load of a shard's leader and of each follower, load units per second; NaN: not known.
    pub(crate) fn load(&self, shard: ShardId) -> (f32, f32) {
        self.loads.get(&shard).copied().unwrap_or((f32::NAN, f32::NAN))
    }

    /// Bytes of one replica.
    pub(crate) fn bytes(&self, shard: ShardId) -> u64 {
        self.bytes.get(&shard).copied().unwrap_or(0)
    }

    /// Bytes stored on a node.
    pub(crate) fn used(&self, node: NodeId) -> u64 {
        self.used.get(&node).copied().unwrap_or(0)
    }

    /// The state of a node, by its samples and its operator's wish.
    pub(crate) fn node_state(&self, node: &isobar_model::Node) -> NodeState {
        match self.missed.get(&node.id) {
            Some(&missed) if missed >= MISSED_UNTIL_DOWN => NodeState::Down,
            Some(_) => NodeState::Suspect,
            None if node.draining => NodeState::Draining,
            None => NodeState::Up,
        }
    }

    /// What the brain sees at `now`, `span_ms` after the round before.
    pub(crate) fn observation(&self, state: &ControlState, now: InstantMs, span_ms: u64) -> Observation {
        let settings = state.settings();
        let nodes = state.nodes().values().map(|node| NodeObservation {
            id: node.id,
            zone: node.zone,
            state: self.node_state(node),
            capacity: node.capacity,
            used_bytes: self.used(node.id),
            capacity_bytes: node.capacity_bytes,
        });
        let map = state.map();
        let shards = map.shards.values().map(|shard| {
            let leader = shard.leader.filter(|leader| shard.is_on(*leader));
            let mut replicas: Vec<NodeId> = shard.replicas.iter().map(|replica| replica.node).collect();
            if let Some(at) = leader.and_then(|leader| replicas.iter().position(|node| *node == leader)) {
                replicas.swap(0, at);
            }
            let (leader_load, follower_load) = self.load(shard.id);
            ShardObservation {
                id: shard.id,
                keyspace: shard.keyspace,
                replication_factor: map.keyspaces.get(&shard.keyspace).map_or(1, |k| k.replication_factor),
                replicas,
                bytes: self.bytes(shard.id),
                leader_load,
                follower_load,
            }
        });
        let declared_ms = u64::from(settings.move_steps) * u64::from(settings.step_ms);
        let moving = state.live_migrations().values().filter(|m| !m.stage.is_switched()).map(|migration| InFlight {
            shard: migration.shard,
            source: migration.source,
            target: migration.target,
            done_by: migration.not_before.max(migration.started.plus_ms(match migration.kind {
                MigrationKind::Replica => declared_ms,
                MigrationKind::Leader => 0,
            })),
            leader_only: migration.kind == MigrationKind::Leader,
        });
        Observation { now, span_ms, nodes: nodes.collect(), shards: shards.collect(), moving: moving.collect() }
    }
}
