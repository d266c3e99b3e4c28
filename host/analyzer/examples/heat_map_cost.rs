//! What drawing a heat map of 1 000 shards × 2 000 columns costs: a week of the past and a day of forecast, the least of some runs.
//!
//! `cargo run --release -p isobar-analyzer --example heat_map_cost`

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]

use isobar_analyzer::{HeatMap, HeatMapSpec, History, HistorySpec};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use std::time::Instant;

const SHARDS: u64 = 1_000;
const PAST: u32 = 1_712;
const FUTURE: usize = 288;
const STEP_MS: u32 = 300_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shards: Vec<ShardId> = (1..=SHARDS).map(ShardId).collect();
    let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: 8_064 });
    let values = shards.iter().flat_map(|shard| (0..PAST).map(|step| (step % 288) as f32 * shard.0 as f32)).collect();
    let start = InstantMs(6_000 * u64::from(STEP_MS));
    history.import(&LoadBatch {
        metric: Metric::Load,
        start,
        step_ms: STEP_MS,
        steps: PAST,
        shards: shards.clone(),
        values,
    })?;
    let forecast = vec![7.0; FUTURE];
    let spec = HeatMapSpec {
        past_steps: PAST as usize,
        future_steps: FUTURE,
        max_rows: 1_000,
        max_columns: 2_000,
        shortest_column_ms: 0,
    };
    let mut least = f64::INFINITY;
    for _ in 0..10 {
        let clock = Instant::now();
        let map = HeatMap::draw(&history, &shards, |_, ahead| ahead.copy_from_slice(&forecast), spec);
        least = least.min(clock.elapsed().as_secs_f64() * 1e3);
        assert_eq!((map.shards.len(), map.columns), (1_000, 2_000));
    }
    println!("{least:.1} ms");
    Ok(())
}
