//! What the archive of 1 000 busy shards takes, in bytes and in time: `cargo run --release -p isobar-analyzer --example archive_budget`.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use isobar_analyzer::{Archive, ShardLoad};
use isobar_model::history::{HistoryQuery, Resolution, Window};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use std::time::Instant;

const SHARDS: u64 = 1_000;
const TICK_MS: u64 = 10_000;
const HOUR_MS: u64 = 3_600_000;

/// A load that is never twice the same.
fn load(shard: u64, at: u64) -> f32 {
    let noise = (shard.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 40;
    100.0 + noise as f32 / 65_536.0
}

fn main() {
    let now = 20_000 * HOUR_MS;
    let mut archive = Archive::default();
    // The past, each level from steps of its own.
    let began = Instant::now();
    for (step_ms, steps) in [(3_600_000u32, 396 * 24u32), (300_000, 28 * 288), (60_000, 2 * 1440)] {
        let start = now - u64::from(step_ms) * u64::from(steps);
        for first in (0..SHARDS).step_by(100) {
            let shards: Vec<ShardId> = (first..first + 100).map(ShardId).collect();
            let values = shards.iter().flat_map(|s| (0..u64::from(steps)).map(move |i| load(s.0, i))).collect();
            for metric in [Metric::Load, Metric::ReadOps, Metric::WriteOps, Metric::ReadBytes, Metric::WriteBytes] {
                let batch = LoadBatch {
                    metric,
                    start: InstantMs(start),
                    step_ms,
                    steps,
                    shards: shards.clone(),
                    values: Vec::clone(&values),
                };
                if let Err(error) = archive.import(&batch) {
                    println!("{error}");
                    return;
                }
            }
        }
    }
    println!("imported in {:.1} s", began.elapsed().as_secs_f64());

    // Six hours of ticks.
    let (mut worst, began) = (0.0f64, Instant::now());
    let ticks = 6 * HOUR_MS / TICK_MS;
    for tick in 1..=ticks {
        let of = |shard: u64| {
            let load = load(shard, tick);
            ShardLoad {
                shard: ShardId(shard),
                span_ms: TICK_MS,
                load,
                reads: load,
                writes: load,
                read_bytes: load,
                write_bytes: load,
                key_skew: load / 1e6,
            }
        };
        let loads: Vec<ShardLoad> = (0..SHARDS).map(of).collect();
        let one = Instant::now();
        for told in archive.record(InstantMs(now + tick * TICK_MS), &loads, &[]) {
            println!("{told}");
        }
        worst = worst.max(one.elapsed().as_secs_f64());
        for chunk in archive.due() {
            archive.saved(chunk.family, chunk.step_ms, chunk.until);
        }
    }
    let mean_ms = began.elapsed().as_secs_f64() * 1000.0 / ticks as f64;
    println!(
        "a tick of {SHARDS} shards, chunks made: {mean_ms:.2} ms on average; recording alone {:.2} ms at worst",
        worst * 1000.0
    );
    for status in archive.status() {
        println!(
            "{}: {} series, {:.1} MB of {:.1} MB",
            status.family,
            status.series,
            status.bytes as f64 / 1e6,
            status.budget_bytes as f64 / 1e6
        );
    }
    let query = HistoryQuery {
        metric: Metric::Load,
        window: Window {
            resolution: Resolution::FiveMinutes,
            from: Some(InstantMs(now - 2_000 * 300_000)),
            to: Some(InstantMs(now)),
        },
        shards: Vec::new(),
        after: None,
        max_steps: usize::MAX,
    };
    let began = Instant::now();
    if let Ok(page) = archive.history(&query) {
        let took = began.elapsed().as_secs_f64() * 1000.0;
        println!("read {} rows of {} steps in {took:.1} ms", page.rows.len(), page.steps);
    }
}
