//! What one shard's forecast costs in the sandbox, by the wall clock.

use crate::entrant::Track;
use anyhow::{Context as _, anyhow};
use isobar_analyzer::track::{LEVELS, Series};
use isobar_model::{Digest, ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use isobar_policy::WasmHost;
use isobar_ports::{Forecaster, PolicyHost};
use std::time::Instant;

/// Shards observed, and of these forecast in one call. Fewer than a tick's, so that a forecast of milliseconds a shard stays within a call's limits.
const OBSERVED_SHARDS: usize = 1_000;
const FORECAST_SHARDS: usize = 200;
/// Days of history before, and shards shown in one batch of it: as many as a node shows a new instance.
const HISTORY_DAYS: usize = 14;
const HISTORY_ROWS: usize = 32;
/// Rounds over all policies in turn, so that a busy moment of the machine meets all alike; ticks in each.
const ROUNDS: usize = 15;
const TICKS: usize = 4;
/// Shards that replay the same series do so this many steps apart.
const APART_STEPS: usize = 17;

/// Microseconds a shard.
pub(crate) struct Speed {
    pub(crate) policy: String,
    /// A day's steps ahead, five quantiles and the peak's: median over rounds.
    pub(crate) predict_us: f64,
    /// One new tick: median over ticks.
    pub(crate) observe_us: f64,
    /// The same, its mean: with what is done now and then, such as fitting again.
    pub(crate) observe_mean_us: f64,
    /// Fuel of both, means: the same on every machine, however busy.
    pub(crate) predict_fuel: f64,
    pub(crate) observe_fuel: f64,
}

struct Runner {
    forecaster: Box<dyn Forecaster>,
    predicts: Vec<f64>,
    observes: Vec<f64>,
    predict_fuel: u64,
    observe_fuel: u64,
}

pub(crate) fn measure(
    host: &WasmHost,
    policies: &[(&'static str, Digest)],
    tracks: &[Track],
) -> anyhow::Result<Vec<Speed>> {
    // The shortest steps: the most of them.
    let shortest = |track: &&Track| track.series.iter().map(|series| series.step_s).min();
    let track = tracks.iter().min_by_key(shortest).context("there is no track")?;
    let load = Load::of(&track.series)?;
    let mut runners = Vec::new();
    for (name, digest) in policies {
        let mut forecaster = host.forecaster(digest, "{}", None)?;
        for rows in (0..OBSERVED_SHARDS).collect::<Vec<_>>().chunks(HISTORY_ROWS) {
            let batch = load.batch(rows, 0..load.history);
            forecaster.observe(&batch).map_err(|failure| anyhow!("{name} does not observe the history: {failure}"))?;
        }
        let (predicts, observes) = (Vec::new(), Vec::new());
        runners.push(Runner { forecaster, predicts, observes, predict_fuel: 0, observe_fuel: 0 });
    }
    let all: Vec<usize> = (0..OBSERVED_SHARDS).collect();
    let request = ForecastRequest {
        metric: Metric::Load,
        shards: all[..FORECAST_SHARDS].iter().map(|row| shard(*row)).collect(),
        horizon: load.day as u32,
        quantiles: LEVELS.map(|(_, level)| level).to_vec(),
        peak_steps: load.day as u32,
    };
    for round in 0..ROUNDS {
        for ((name, _), runner) in policies.iter().zip(&mut runners) {
            let failed = |failure| anyhow!("{name} failed while its speed was measured: {failure}");
            for tick in 0..TICKS {
                let step = load.history + round * TICKS + tick;
                let batch = load.batch(&all, step..step + 1);
                let started = Instant::now();
                runner.forecaster.observe(&batch).map_err(failed)?;
                runner.observes.push(started.elapsed().as_secs_f64() * 1e6 / OBSERVED_SHARDS as f64);
                runner.observe_fuel += runner.forecaster.usage().fuel;
            }
            let started = Instant::now();
            runner.forecaster.predict(&request).map_err(failed)?;
            runner.predicts.push(started.elapsed().as_secs_f64() * 1e6 / FORECAST_SHARDS as f64);
            runner.predict_fuel += runner.forecaster.usage().fuel;
        }
    }
    let speed = |(policy, mut runner): (&(&str, _), Runner)| Speed {
        policy: policy.0.to_owned(),
        predict_fuel: runner.predict_fuel as f64 / (ROUNDS * FORECAST_SHARDS) as f64,
        observe_fuel: runner.observe_fuel as f64 / (ROUNDS * TICKS * OBSERVED_SHARDS) as f64,
        observe_mean_us: runner.observes.iter().sum::<f64>() / runner.observes.len() as f64,
        predict_us: median(&mut runner.predicts),
        observe_us: median(&mut runner.observes),
    };
    Ok(policies.iter().zip(runners).map(speed).collect())
}

fn shard(row: usize) -> ShardId {
    ShardId(row as u64 + 1)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Real series, each replayed by several shards.
struct Load<'a> {
    series: Vec<&'a Series>,
    step_s: u32,
    day: usize,
    history: usize,
}

impl<'a> Load<'a> {
    fn of(series: &'a [Series]) -> anyhow::Result<Self> {
        let (step_s, day) = series.iter().map(|s| (s.step_s, s.day_steps)).min().context("the track has no series")?;
        let same: Vec<&Series> = series.iter().filter(|s| s.step_s == step_s).collect();
        let apart = OBSERVED_SHARDS.div_ceil(same.len()) * APART_STEPS;
        let shortest = same.iter().map(|s| s.y.len()).min().unwrap_or(0);
        let spare = shortest
            .checked_sub(apart + ROUNDS * TICKS)
            .context("the track's series are too short to measure the speed on")?;
        Ok(Self { series: same, step_s, day, history: spare.min(HISTORY_DAYS * day) })
    }

    fn batch(&self, rows: &[usize], steps: std::ops::Range<usize>) -> LoadBatch {
        let mut values = Vec::with_capacity(rows.len() * steps.len());
        for row in rows {
            let from = row / self.series.len() * APART_STEPS;
            let y = &self.series[row % self.series.len()].y[from + steps.start..from + steps.end];
            values.extend(y.iter().map(|load| *load as f32));
        }
        let step_ms = self.step_s * 1_000;
        LoadBatch {
            metric: Metric::Load,
            start: InstantMs(self.series[0].start_s * 1_000 + steps.start as u64 * u64::from(step_ms)),
            step_ms,
            steps: steps.len() as u32,
            shards: rows.iter().map(|row| shard(*row)).collect(),
            values,
        }
    }
}
