//! Forecasts: load to come, as quantiles.

use crate::ids::ShardId;
use crate::load::Metric;
use serde::{Deserialize, Serialize};

/// What a forecaster is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastRequest {
    /// What is counted.
    pub metric: Metric,
    /// Rows.
    pub shards: Vec<ShardId>,
    /// Steps ahead of the last one observed.
    pub horizon: u32,
    /// Ascending, each strictly within 0 to 1.
    pub quantiles: Vec<f32>,
    /// Also give the quantiles of the maximum over the first so many steps; 0: none.
    pub peak_steps: u32,
}

/// Who forecast a shard, where a policy is bound and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForecastAnswerer {
    /// The policy.
    #[default]
    Policy,
    /// For some horizons the native forecaster, as the policy's recent forecasts of this shard were worse there.
    Guarded,
    /// The native forecaster: the shard is not among the hottest, as many as the policy serves within a tick's fuel and the size of its state.
    Unasked,
    /// Nobody foresaw its load: what is measured, carried on for as long as bursts last, above whoever's forecast it is.
    Burst,
}

/// What a forecaster answers, in the metric's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastBatch {
    /// `values[(row * quantiles + q) * horizon + step]`.
    pub values: Vec<f32>,
    /// `peaks[row * quantiles + q]`, or empty where none were asked for.
    pub peaks: Vec<f32>,
}

impl ForecastBatch {
    /// The answer for some rows of `request`, as if only they had been asked for.
    #[must_use]
    pub fn of_rows(&self, request: &ForecastRequest, rows: &[usize]) -> Self {
        let quantiles = request.quantiles.len();
        let pick = |values: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect()
        };
        let peaks = if self.peaks.is_empty() { Vec::new() } else { pick(&self.peaks, quantiles) };
        Self { values: pick(&self.values, quantiles * request.horizon as usize), peaks }
    }

    /// Puts another answer, which is of these rows only, in their place.
    pub fn put_rows(&mut self, request: &ForecastRequest, rows: &[usize], of_rows: &Self) {
        let quantiles = request.quantiles.len();
        let put = |values: &mut [f32], others: &[f32], width: usize| {
            for (row, other) in rows.iter().zip(others.chunks_exact(width.max(1))) {
                values[row * width..(row + 1) * width].copy_from_slice(other);
            }
        };
        put(&mut self.values, &of_rows.values, quantiles * request.horizon as usize);
        if !self.peaks.is_empty() {
            put(&mut self.peaks, &of_rows.peaks, quantiles);
        }
    }

    /// The path of quantile number `q` of row `row`, one value a step.
    #[must_use]
    pub fn path(&self, request: &ForecastRequest, row: usize, q: usize) -> &[f32] {
        let horizon = request.horizon as usize;
        let at = (row * request.quantiles.len() + q) * horizon;
        &self.values[at..at + horizon]
    }
}
