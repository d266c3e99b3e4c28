//! What the first-party policies cost in the sandbox: compile, instantiate, observe, predict, save, propose, each the least of some runs.
//!
//! `cargo run -p isobar-tests --example policy_cost`

#![expect(clippy::unwrap_used, reason = "an example that can not set up its host has nothing to show")]

use isobar::track_run::tool_host;
use isobar_bundle::first_party;
use isobar_model::{
    ClusterView, ForecastRequest, InstantMs, KeyspaceId, LoadBatch, Metric, NodeColumns, NodeId, NodeState,
    PlacementLimits, Role, ShardColumns, ShardId, ZoneId,
};
use isobar_ports::{PolicyHost, Usage};
use std::time::Instant;

const SHARDS: usize = 1_000;
const NODES: usize = 20;
const STEPS: u32 = 288;
const DAYS: u32 = 7;
const STEP_MS: u32 = 300_000;
const RUNS: usize = 5;

fn batch(first: u32, steps: u32) -> LoadBatch {
    let shards: Vec<_> = (1..=SHARDS as u64).map(ShardId).collect();
    let load = |shard: u64, step: u32| {
        let phase = (step % STEPS) as f32 / STEPS as f32 + shard as f32 / SHARDS as f32;
        20.0 + 15.0 * (phase * std::f32::consts::TAU).sin()
            + ((step as u64 * 7919 + shard * 104_729) % 100) as f32 / 50.0
    };
    let values = shards.iter().flat_map(|shard| (first..first + steps).map(|step| load(shard.0, step))).collect();
    let start = InstantMs(1_789_948_800_000 + u64::from(first) * u64::from(STEP_MS));
    LoadBatch { metric: Metric::Load, start, step_ms: STEP_MS, steps, shards, values }
}

/// Shard i leads on node i modulo their number; the higher the node's number, the heavier its shards: the upper ones are overloaded.
fn view() -> ClusterView {
    let steps = 12;
    let quantiles = vec![0.1, 0.5, 0.9];
    let leader_load: Vec<f32> = (0..SHARDS).map(|shard| 5.0 + 2.0 * (shard % NODES) as f32).collect();
    let replicas = |shard: usize| [0, 7, 14].map(|far| (shard + far) % NODES);
    let mut load = vec![0.0; NODES];
    for (shard, leader) in leader_load.iter().enumerate() {
        for (place, node) in replicas(shard).into_iter().enumerate() {
            load[node] += leader * if place == 0 { 1.0 } else { 0.2 };
        }
    }
    let predicted = leader_load
        .iter()
        .flat_map(|load| [0.8, 1.0, 1.2].map(|spread| load * spread))
        .flat_map(|load| std::iter::repeat_n(load, steps))
        .collect();
    ClusterView {
        now: InstantMs(1_789_948_800_000),
        step_ms: STEP_MS,
        steps: steps as u32,
        quantiles,
        nodes: NodeColumns {
            ids: (1..=NODES as u64).map(NodeId).collect(),
            zones: (0..NODES as u32).map(ZoneId).collect(),
            states: vec![NodeState::Up; NODES],
            capacity: vec![2_000.0; NODES],
            load,
            background: vec![0.0; NODES * steps],
            used_bytes: vec![1 << 30; NODES],
            capacity_bytes: vec![1 << 40; NODES],
            labels: Vec::new(),
        },
        shards: ShardColumns {
            ids: (1..=SHARDS as u64).map(ShardId).collect(),
            keyspaces: vec![KeyspaceId(1); SHARDS],
            bytes: vec![1 << 26; SHARDS],
            leader_load,
            follower_share: vec![0.2; SHARDS],
            predicted,
            replica_offsets: (0..=SHARDS as u32).map(|shard| shard * 3).collect(),
            replicas: (0..SHARDS).flat_map(replicas).map(|node| node as u32).collect(),
            last_moved: vec![InstantMs(0); SHARDS],
            move_steps: vec![2.0; SHARDS],
            move_cost: vec![0.0; SHARDS],
        },
        moving: vec![],
        limits: PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 16,
            cool_down_ms: 0,
            max_utilisation: 0.9,
            leader_steps: 0.1,
        },
        placement: Vec::new(),
        resources: Vec::new(),
        scenarios: None,
        seed: 1,
    }
}

/// The least of the runs' wall times, with the fuel of the last.
fn least(what: &str, mut run: impl FnMut(usize) -> Usage) {
    let usages: Vec<_> = (0..RUNS).map(&mut run).collect();
    let wall_us = usages.iter().map(|usage| usage.wall_us).min().unwrap();
    let last = usages[RUNS - 1];
    println!(
        "  {what:<44} {:>9.3} ms {:>10.2} M fuel {:>7} KiB",
        wall_us as f64 / 1e3,
        last.fuel as f64 / 1e6,
        last.memory_bytes >> 10
    );
}

fn main() {
    let (host, _folder) = tool_host().unwrap();
    for policy in first_party() {
        let inspection = host.inspect(policy.component).unwrap();
        println!("{} ({} KiB): compiled in {} ms", policy.name, policy.component.len() >> 10, inspection.compile_ms);
        let digest = inspection.digest;
        match policy.role {
            Role::Forecast => {
                least("instantiate and open", |_| {
                    let started = Instant::now();
                    let forecaster = host.forecaster(&digest, "{}", None).unwrap();
                    Usage { wall_us: started.elapsed().as_micros() as u64, ..forecaster.usage() }
                });
                let mut forecaster = host.forecaster(&digest, "{}", None).unwrap();
                // History first, so that every day observed below replaces an old one.
                (0..DAYS).for_each(|day| forecaster.observe(&batch(day * STEPS, STEPS)).unwrap());
                let mut next = DAYS * STEPS;
                least(&format!("observe {SHARDS} shards x {STEPS} steps"), |_| {
                    forecaster.observe(&batch(next, STEPS)).unwrap();
                    next += STEPS;
                    forecaster.usage()
                });
                least(&format!("observe {SHARDS} shards x 1 step"), |_| {
                    forecaster.observe(&batch(next, 1)).unwrap();
                    next += 1;
                    forecaster.usage()
                });
                let request = ForecastRequest {
                    metric: Metric::Load,
                    shards: (1..=SHARDS as u64).map(ShardId).collect(),
                    horizon: 12,
                    quantiles: vec![0.1, 0.5, 0.9],
                    peak_steps: 6,
                };
                least(&format!("predict {SHARDS} shards x 12 steps x 3 quantiles"), |_| {
                    forecaster.predict(&request).unwrap();
                    forecaster.usage()
                });
                let mut saved = Vec::new();
                least("save", |_| {
                    saved = forecaster.save().unwrap();
                    forecaster.usage()
                });
                least(&format!("swap: instantiate and open {} KiB saved", saved.len() >> 10), |_| {
                    let started = Instant::now();
                    let forecaster = host.forecaster(&digest, "{}", Some(&saved)).unwrap();
                    Usage { wall_us: started.elapsed().as_micros() as u64, ..forecaster.usage() }
                });
            }
            Role::Place => {
                let mut placer = host.placer(&digest, "{}", None).unwrap();
                let mut moves = 0;
                least(&format!("propose for {SHARDS} shards on {NODES} nodes"), |_| {
                    moves = placer.propose(&view()).unwrap().moves.len();
                    placer.usage()
                });
                println!("  {moves} moves");
            }
        }
    }
}
