//! Small clusters for tests.

use crate::{CheckSettings, KeyspaceRule, NodeFact, RoundInput, ShardFact, Spent, ViewInput};
use isobar_model::{
    Action, ClusterView, InFlight, InstantMs, KeyspaceId, Mode, Move, NodeId, NodeState, PlacementLimits,
    PlacementRules, ShardId, ZoneId,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const NOW: InstantMs = InstantMs(100_000_000);
pub(crate) const COOL_DOWN_MS: u64 = 3_600_000;

pub(crate) fn limits() -> PlacementLimits {
    PlacementLimits {
        moves_per_node: 2,
        moves_per_round: 8,
        cool_down_ms: COOL_DOWN_MS,
        max_utilisation: 0.9,
        leader_steps: 0.0,
    }
}

/// Node `id` in zone `zone`, capacity 100 load units and 1 000 bytes.
pub(crate) fn node(id: u64, zone: u32) -> NodeFact {
    NodeFact {
        id: NodeId(id),
        zone: ZoneId(zone),
        state: NodeState::Up,
        capacity: 100.0,
        used_bytes: 0,
        capacity_bytes: 1_000,
        labels: BTreeSet::new(),
        resources: BTreeMap::new(),
    }
}

/// Shard `id` of keyspace 1: 10 bytes, followers at a tenth, the present load forecast to go on for two steps.
pub(crate) fn shard(id: u64, replicas: &[u64], load: f32) -> ShardFact {
    ShardFact {
        id: ShardId(id),
        keyspace: KeyspaceId(1),
        replicas: replicas.iter().copied().map(NodeId).collect(),
        bytes: 10,
        leader_load: load,
        follower_share: 0.1,
        predicted: vec![load; 2],
        last_moved: InstantMs(0),
        move_steps: 1.0,
        move_cost: 0.0,
        uses: BTreeMap::new(),
        in_scope: true,
    }
}

pub(crate) fn view(nodes: Vec<NodeFact>, shards: Vec<ShardFact>, moving: Vec<InFlight>) -> ClusterView {
    input(nodes, shards, moving).build()
}

/// With nothing in flight, and placement rules.
pub(crate) fn placed(
    nodes: Vec<NodeFact>,
    shards: Vec<ShardFact>,
    placement: BTreeMap<KeyspaceId, PlacementRules>,
) -> ClusterView {
    ViewInput { placement, ..input(nodes, shards, vec![]) }.build()
}

fn input(nodes: Vec<NodeFact>, shards: Vec<ShardFact>, moving: Vec<InFlight>) -> ViewInput {
    ViewInput {
        now: NOW,
        step_ms: 300_000,
        steps: 2,
        quantiles: vec![0.5],
        nodes,
        shards,
        moving,
        limits: limits(),
        placement: BTreeMap::new(),
        scenarios: None,
        seed: 1,
    }
}

pub(crate) fn keyspaces(mode: Mode) -> BTreeMap<KeyspaceId, KeyspaceRule> {
    [(KeyspaceId(1), KeyspaceRule { mode, replication_factor: 3 })].into()
}

pub(crate) fn round(keyspaces: &BTreeMap<KeyspaceId, KeyspaceRule>) -> RoundInput<'_> {
    RoundInput { settings: CheckSettings::default(), keyspaces, halted: false, spent: Spent::default(), expected: &[] }
}

pub(crate) fn wanted(shard: u64, action: Action) -> Move {
    Move { shard: ShardId(shard), action, urgency: 0.5, start_by: NOW, gain: 10.0, reason: "test".into() }
}

pub(crate) fn relocate(shard: u64, source: u64, target: u64) -> Move {
    wanted(shard, Action::MoveReplica { source: NodeId(source), target: NodeId(target) })
}

pub(crate) fn transfer(shard: u64, target: u64) -> Move {
    wanted(shard, Action::TransferLeader(NodeId(target)))
}
