//! What the gain ledger costs a step: `cargo run --release -p isobar-planner --example gain_ledger_cost -- [SHARDS] [NODES] [KEYSPACES]`.
//!
//! Three replicas a shard, loads that wander, nodes that are full now and then; the placers asked propose nothing, so that theirs is no part of it.

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]

use isobar_model::{
    ClusterView, InstantMs, KeyspaceId, Mode, Move, NodeId, NodeState, PlacementLimits, ShardId, ZoneId,
};
use isobar_planner::{Advisor, CheckSettings, GainLedger, GainSpec, KeyspaceRule, NodeFact, PlacedShard, StepFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const STEP_MS: u32 = 300_000;
const QUANTILES: [f32; 6] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.97];
const HORIZON: u32 = 288;

struct Idle;

fn load(shard: u64, step: u64) -> f32 {
    let phase = (shard * 37 % 288 + step) % 288;
    100.0 + 90.0 * (phase as f32 / 288.0 * std::f32::consts::TAU).sin()
}

impl Advisor for Idle {
    fn react(&mut self, _: &ClusterView) -> Vec<Move> {
        Vec::new()
    }

    fn predict(&mut self, _: &ClusterView) -> Vec<Move> {
        Vec::new()
    }

    fn forecast_shape(&self) -> (Vec<f32>, u32) {
        (QUANTILES.to_vec(), HORIZON)
    }

    fn forecast(&self, shard: ShardId) -> Option<Vec<f32>> {
        Some(vec![load(shard.0, 0); QUANTILES.len() * HORIZON as usize])
    }

    fn recorded(&self, shard: ShardId, steps: usize) -> Vec<f32> {
        (0..steps as u64).map(|step| load(shard.0, 24 * step)).collect()
    }
}

fn main() {
    let mut given = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let mut next = |default| given.next().unwrap_or(default);
    let (shards, nodes, keyspaces) = (next(10_000), next(100), next(1));
    // A tenth of what nodes carry on average is left free.
    let capacity = 1.1 * 100.0 * shards as f32 * 1.4 / nodes as f32;
    let node = |id| NodeFact {
        id: NodeId(id),
        zone: ZoneId((id % 3) as u32),
        state: NodeState::Up,
        capacity,
        used_bytes: 0,
        capacity_bytes: 1 << 50,
        labels: BTreeSet::new(),
        resources: Default::default(),
    };
    let facts_of_nodes: Vec<NodeFact> = (1..=nodes).map(node).collect();
    let rule = KeyspaceRule { mode: Mode::Auto, replication_factor: 3 };
    let rules: BTreeMap<KeyspaceId, KeyspaceRule> = (1..=keyspaces).map(|k| (KeyspaceId(k as u32), rule)).collect();
    let all: BTreeSet<KeyspaceId> = rules.keys().copied().collect();
    for (name, live) in [("moves carried out", all), ("moves not carried out", BTreeSet::new())] {
        let (mut ledger, spec) = (GainLedger::default(), GainSpec::default());
        let mut took = Vec::new();
        for step in 1..=20_u64 {
            let placed: Vec<PlacedShard> = (1..=shards)
                .map(|id| PlacedShard {
                    id: ShardId(id),
                    keyspace: KeyspaceId((id % keyspaces + 1) as u32),
                    replicas: (0..3).map(|slot| NodeId((id * 7 + slot * 11) % nodes + 1)).collect(),
                    bytes: 1 << 30,
                    load: load(id, step),
                    follower_share: 0.2,
                    move_steps: 6.0,
                    last_moved: InstantMs(0),
                })
                .collect();
            let facts = StepFacts {
                now: InstantMs(step * u64::from(STEP_MS)),
                step_ms: STEP_MS,
                rounds: 30,
                nodes: &facts_of_nodes,
                shards: &placed,
                moving: &[],
                limits: PlacementLimits {
                    moves_per_node: 2,
                    moves_per_round: 16,
                    cool_down_ms: 1_800_000,
                    max_utilisation: 0.9,
                    leader_steps: 0.1,
                },
                settings: CheckSettings::default(),
                keyspaces: &rules,
                placement: &BTreeMap::new(),
                live: &live,
                heeded: &BTreeSet::new(),
                policy: "idle",
                seed: 0,
            };
            let clock = Instant::now();
            ledger.record(&spec, &facts, &mut Idle);
            took.push(clock.elapsed());
        }
        let opening = took.remove(0);
        took.sort();
        println!(
            "{shards} shards, {nodes} nodes, {keyspaces} keyspaces, {name}: {opening:?} to open, {:?} a step (median of {})",
            took[took.len() / 2],
            took.len()
        );
    }
}
