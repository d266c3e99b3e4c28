//! The forecast in force: who made it, and each shard's part of it.

use super::slot::Bound;
use isobar_model::{Digest, ForecastAnswerer, ForecastBatch, ForecastRequest, InstantMs, Metric, ShardId};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// One shard's forecast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardForecast {
    /// Which.
    pub shard: ShardId,
    /// Leader load units per second, one path a quantile, one value a step.
    pub paths: Vec<Vec<f32>>,
    /// Quantiles of the maximum over the first steps; empty where none were made.
    pub peaks: Vec<f32>,
    /// Who made it.
    pub answerer: ForecastAnswerer,
}

/// A forecast, and who made it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastAnswer {
    /// The policy that made it.
    pub policy: String,
    /// Its revision; none for the native one.
    pub revision: Option<Digest>,
    /// Why the bound policy did not, where the native one did instead.
    pub fallback: Option<String>,
    /// Start of its first step.
    pub start: InstantMs,
    /// Length of a step.
    pub step_ms: u32,
    /// Quantiles of the paths, ascending.
    pub quantiles: Vec<f32>,
    /// Steps whose maximum the peaks are of.
    pub peak_steps: u32,
    /// By shard, as asked. A shard without history is left out.
    pub shards: Vec<ShardForecast>,
}

/// A forecast of all shards with history.
#[derive(Clone, Debug)]
pub(super) struct Forecasts {
    pub(super) by: Option<Bound>,
    pub(super) fallback: Option<String>,
    pub(super) start: InstantMs,
    pub(super) request: ForecastRequest,
    /// Shared with the native forecast where that is in force: of a thousand shards it is megabytes.
    pub(super) batch: Arc<ForecastBatch>,
    rows: HashMap<ShardId, usize>,
    /// Shards whose forecast is not, or not all, of who the whole is by.
    others: HashMap<ShardId, ForecastAnswerer>,
}

impl Forecasts {
    pub(super) fn none() -> Self {
        let request =
            ForecastRequest { metric: Metric::Load, shards: vec![], horizon: 0, quantiles: vec![], peak_steps: 0 };
        Self::new(None, None, InstantMs(0), request, Arc::default())
    }

    pub(super) fn new(
        by: Option<Bound>,
        fallback: Option<String>,
        start: InstantMs,
        request: ForecastRequest,
        batch: Arc<ForecastBatch>,
    ) -> Self {
        let rows = request.shards.iter().copied().zip(0..).collect();
        Self { by, fallback, start, request, batch, rows, others: HashMap::new() }
    }

    /// Says which shards were forecast by another.
    pub(super) fn with_others(mut self, others: HashMap<ShardId, ForecastAnswerer>) -> Self {
        self.others = others;
        self
    }

    /// All of a shard's paths, `[q * horizon + step]`.
    pub(super) fn paths(&self, shard: ShardId) -> Option<&[f32]> {
        let row = *self.rows.get(&shard)?;
        let width = self.request.quantiles.len() * self.request.horizon as usize;
        self.batch.values.get(row * width..(row + 1) * width)
    }

    /// The path of the quantile next to one half; empty where there is none.
    pub(super) fn median(&self, shard: ShardId) -> &[f32] {
        let horizon = self.request.horizon as usize;
        let q = nearest(&self.request.quantiles, 0.5);
        self.paths(shard).and_then(|paths| paths.get(q * horizon..(q + 1) * horizon)).unwrap_or_default()
    }

    /// The uppermost quantile of a shard's step, 0 being the first forecast.
    pub(super) fn feared(&self, shard: ShardId, step: usize) -> Option<f32> {
        let (paths, horizon) = (self.paths(shard)?, self.request.horizon as usize);
        if step >= horizon {
            return None;
        }
        paths.chunks_exact(horizon).next_back()?.get(step).copied()
    }

    /// Who made the forecast of a shard.
    pub(super) fn answerer(&self, shard: ShardId) -> ForecastAnswerer {
        self.others.get(&shard).copied().unwrap_or_default()
    }

    /// The shard's peaks, one a quantile; empty where none were made.
    pub(super) fn peaks(&self, shard: ShardId) -> &[f32] {
        let quantiles = self.request.quantiles.len();
        let row = self.rows.get(&shard);
        row.and_then(|row| self.batch.peaks.get(row * quantiles..(row + 1) * quantiles)).unwrap_or_default()
    }
}

pub(super) fn nearest(quantiles: &[f32], wanted: f32) -> usize {
    let off = |q: &f32| (q - wanted).abs();
    let best = quantiles.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)));
    best.map_or(0, |(i, _)| i)
}
