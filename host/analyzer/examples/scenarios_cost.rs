//! What joint scenarios of 64 shards cost: 16 days of five-minute steps as their template, a day ahead, the least of some runs.
//!
//! `cargo run --release -p isobar-analyzer --example scenarios_cost`

#![expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]

use isobar_analyzer::{History, HistorySpec, Marginal, joint_scenarios};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use std::time::Instant;

const SHARDS: u64 = 64;
const DAY: u32 = 288;
const STEP_MS: u32 = 300_000;

/// A daily wave, each shard's at its own time, with noise.
fn load(shard: u64, step: u32) -> f32 {
    let phase = (step % DAY) as f32 / DAY as f32 + shard as f32 / SHARDS as f32;
    let noise = (u64::from(step).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ shard.wrapping_mul(0xd1b5_4a32_d192_ed03)) >> 40;
    20.0 + 15.0 * (phase * std::f32::consts::TAU).sin() + (noise % 1_000) as f32 / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shards: Vec<ShardId> = (1..=SHARDS).map(ShardId).collect();
    let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: 28 * 288 });
    let steps = 28 * DAY;
    let values = shards.iter().flat_map(|shard| (0..steps).map(move |step| load(shard.0, step))).collect();
    let start = InstantMs(288 * u64::from(STEP_MS));
    let batch = LoadBatch { metric: Metric::Load, start, step_ms: STEP_MS, steps, shards: shards.clone(), values };
    history.import(&batch)?;
    let quantiles = [0.05, 0.25, 0.5, 0.75, 0.9, 0.97];
    let paths: Vec<f32> = quantiles.iter().flat_map(|q| vec![20.0 + 20.0 * q; DAY as usize]).collect();
    let marginals: Vec<Marginal<'_>> = shards.iter().map(|&shard| Marginal { shard, paths: &paths }).collect();
    let mut least = f64::INFINITY;
    for _ in 0..20 {
        let clock = Instant::now();
        let found = joint_scenarios(&history, DAY as usize, &quantiles, &marginals).ok_or("no scenarios")?;
        least = least.min(clock.elapsed().as_secs_f64() * 1e3);
        assert_eq!((found.shards.len(), found.count), (64, 16));
    }
    println!("{least:.2} ms");
    Ok(())
}
