//! What a forecaster costs in a cluster of many shards: whom it serves, how large its saved state is, how long a tick and a change of leader take.
//!
//! `cargo run -p isobar-tests --example many_shards -- [POLICY] [SHARDS] [DAYS]`, by default `best 10000 7`

#![expect(clippy::unwrap_used, reason = "an example that can not set up its host has nothing to show")]

use isobar::track_run::tool_host;
use isobar_bundle::first_party;
use isobar_control::{Brain, BrainConfig, Recording, RoundRules, Tick};
use isobar_model::{
    ForecastAnswerer, InstantMs, KeyspaceId, LoadBatch, Metric, Mode, NodeId, NodeState, Role, ShardId, ZoneId,
};
use isobar_planner::KeyspaceRule;
use isobar_ports::{NodeObservation, Observation, PolicyHost, ShardObservation};
use std::sync::Arc;
use std::time::Instant;

const NODES: u64 = 50;
const STEP_MS: u64 = 300_000;
const DAY_STEPS: u64 = 288;
/// Shards imported at a time, to keep this program's own memory flat.
const ROWS: u64 = 500;
const TICKS: u64 = 14;

/// Waves of the day, the hour of their crest and their height differing from shard to shard, with a little noise.
fn load(shard: u64, step: u64) -> f32 {
    let phase = (step % DAY_STEPS) as f32 / DAY_STEPS as f32 + shard as f32 * 0.618_034;
    let height = 5.0 + (shard * 2_654_435_761 % 1_000) as f32 / 20.0;
    let noise = ((step * 7_919 + shard * 104_729) % 1_000) as f32 / 1_000.0;
    height * (1.0 + 0.8 * (phase * std::f32::consts::TAU).sin() + 0.2 * noise)
}

fn observation(shards: u64, step: u64) -> Observation {
    let node = |id| NodeObservation {
        id: NodeId(id),
        zone: ZoneId(id as u32),
        state: NodeState::Up,
        capacity: 1e6,
        used_bytes: 0,
        capacity_bytes: 1 << 50,
        resources: Default::default(),
    };
    let shard = |id: u64| ShardObservation {
        id: ShardId(id),
        keyspace: KeyspaceId(1),
        replication_factor: 3,
        replicas: [0, 7, 14].map(|far| NodeId(1 + (id + far) % NODES)).to_vec(),
        bytes: 1 << 26,
        leader_load: load(id, step - 1),
        follower_load: load(id, step - 1) / 6.0,
        uses: Default::default(),
    };
    Observation {
        now: InstantMs(step * STEP_MS),
        span_ms: STEP_MS,
        nodes: (1..=NODES).map(node).collect(),
        shards: (1..=shards).map(shard).collect(),
        moving: vec![],
    }
}

fn history(shards: std::ops::RangeInclusive<u64>, steps: std::ops::Range<u64>) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(steps.start * STEP_MS),
        step_ms: STEP_MS as u32,
        steps: (steps.end - steps.start) as u32,
        shards: shards.clone().map(ShardId).collect(),
        values: shards.flat_map(|shard| steps.clone().map(move |step| load(shard, step))).collect(),
    }
}

fn brain(host: &Arc<dyn PolicyHost>, shards: u64, steps: std::ops::Range<u64>) -> Brain {
    let mut brain =
        Brain::new(BrainConfig { recording: Recording::Digests, ..BrainConfig::default() }, Arc::clone(host));
    for first in (1..=shards).step_by(ROWS as usize) {
        brain.import_history(&history(first..=(first + ROWS - 1).min(shards), steps.clone())).unwrap();
    }
    brain
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "best".into());
    let shards: u64 = arguments.next().map_or(10_000, |text| text.parse().unwrap());
    let days: u64 = arguments.next().map_or(7, |text| text.parse().unwrap());

    let (host, _folder) = tool_host().unwrap();
    let policy = first_party().iter().find(|policy| policy.name == name).unwrap();
    let digest = host.inspect(policy.component).unwrap().digest;
    let host: Arc<dyn PolicyHost> = Arc::new(host);
    let (first, rule) = (20_000 * DAY_STEPS, KeyspaceRule { mode: Mode::Advise, replication_factor: 3 });
    let rules = RoundRules { keyspaces: [(KeyspaceId(1), rule)].into(), ..RoundRules::default() };
    let mut end = first + days * DAY_STEPS;
    let mut serving = brain(&host, shards, first..end);
    let revision = Some((digest, name.clone()));

    let began = Instant::now();
    let prepared = serving.prepare(Role::Forecast, revision.clone(), "{}").unwrap();
    println!("{name}, {shards} shards with {days} days of history: readied in {:.1} s", began.elapsed().as_secs_f64());
    serving.activate(prepared).unwrap();

    let mut saved = None;
    for _ in 0..TICKS {
        end += 1;
        let observation = observation(shards, end);
        let began = Instant::now();
        let Tick { saved: states, record, .. } = serving.tick(&observation, &rules);
        let took = began.elapsed().as_secs_f64();
        let by_policy =
            serving.forecast_of_all().shards.iter().filter(|s| s.answerer != ForecastAnswerer::Unasked).count();
        let policy = record.evaluations.iter().find(|evaluation| evaluation.role == Role::Forecast).unwrap();
        println!(
            "tick {}: {took:.2} s, of which the forecast {:.2} s and {:.2} G of fuel; {by_policy} shards served by {}",
            record.tick,
            policy.wall_us as f64 / 1e6,
            policy.fuel as f64 / 1e9,
            policy.policy
        );
        for state in states.into_iter().filter(|state| state.role == Role::Forecast) {
            println!("  saved {} KiB", state.bytes.len() >> 10);
            saved = Some(state);
        }
    }

    let saved = saved.unwrap();
    let mut next = brain(&host, shards, first..end);
    let preparation = next.preparation(Role::Forecast, revision, "{}");
    let began = Instant::now();
    let prepared = preparation.with_saved(&next, &saved.bytes, saved.observed_until).run(host.as_ref()).unwrap();
    let report = next.activate(prepared).unwrap();
    println!(
        "the next leader's was readied in {:.2} s, {} and shown {} steps since",
        began.elapsed().as_secs_f64(),
        if report.restored { "restored from that" } else { "not restored" },
        report.observed_steps
    );
}
