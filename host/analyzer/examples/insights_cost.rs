//! What a search for insights costs, by the clock of whoever runs it:
//!
//!     cargo build --release -p isobar-analyzer --example insights_cost
//!     time target/release/examples/insights_cost 1000
//!
//! Takes the number of shards; each has two weeks of 5-minute steps, every tenth follows the one before. Prints the calls of 512 units that it took, as the
//! node makes them between ticks.

use isobar_analyzer::{History, HistorySpec, InsightsSpec, Search};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};

const DAY_STEPS: usize = 288;
const STEPS: usize = 14 * DAY_STEPS;
const STEP_MS: u32 = 300_000;
const UNITS: u64 = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shards: usize = std::env::args().nth(1).map_or(Ok(1_000), |count| count.parse())?;
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut values: Vec<f32> = Vec::with_capacity(shards * STEPS);
    for shard in 0..shards {
        let mut drift = 0.0;
        for step in 0..STEPS {
            drift = 0.8 * drift + noise();
            let led = if shard % 10 == 1 && step >= 5 { values[(shard - 1) * STEPS + step - 5] / 2.0 } else { 0.0 };
            let day = (step as f32 / DAY_STEPS as f32 * std::f32::consts::TAU).sin();
            values.push(100.0 + 60.0 * day + 10.0 * drift + led);
        }
    }
    let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: STEPS });
    history.import(&LoadBatch {
        metric: Metric::Load,
        start: InstantMs(0),
        step_ms: STEP_MS,
        steps: STEPS as u32,
        shards: (1..=shards as u64).map(ShardId).collect(),
        values,
    })?;
    let mut search =
        Search::begin(&history, Vec::new(), InsightsSpec { max_shards: shards, ..InsightsSpec::default() });
    let mut calls = 1;
    let found = loop {
        if let Some(found) = search.work(&history, UNITS) {
            break found;
        }
        calls += 1;
    };
    println!(
        "{} shards compared in {calls} calls of {UNITS} units: {} links, {} clusters",
        found.compared,
        found.links.len(),
        found.clusters.len()
    );
    Ok(())
}
