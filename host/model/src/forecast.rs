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

/// What a forecaster answers, in the metric's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastBatch {
    /// `values[(row * quantiles + q) * horizon + step]`.
    pub values: Vec<f32>,
    /// `peaks[row * quantiles + q]`, or empty where none were asked for.
    pub peaks: Vec<f32>,
}

impl ForecastBatch {
    /// The path of quantile number `q` of row `row`, one value a step.
    #[must_use]
    pub fn path(&self, request: &ForecastRequest, row: usize, q: usize) -> &[f32] {
        let horizon = request.horizon as usize;
        let at = (row * request.quantiles.len() + q) * horizon;
        &self.values[at..at + horizon]
    }
}

/// The most links that one follower may have: more leaders than these add next to nothing.
pub const MAX_LINKS_PER_FOLLOWER: usize = 4;

/// What `leader` does, `follower` does some steps later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The later one.
    pub follower: ShardId,
    /// The earlier one.
    pub leader: ShardId,
    /// By how many steps, at least 1.
    pub lag_steps: u32,
    /// Correlation of what is left of both loads when their daily pattern is taken away, -1 to 1.
    pub strength: f32,
}
