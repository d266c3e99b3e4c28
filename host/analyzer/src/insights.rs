//! What drives what: which shards lead others and by how long, which move together, which share the shape of their day, and what goes with their load.
//!
//! A [`Search`] looks at the last two weeks of the busiest shards, a bounded piece of work at a time, so that it can run beside the control loop. All pairs are
//! compared at all lags by [`sketch`]es of two bits a step; what stands out there is judged by [`lead_lag`] on the innovations ([`residual`]).
//!
//! Of 1 000 shards × 4 032 steps the search is some 3 s of one core in all; see `examples/insights_cost.rs`.

mod clusters;
mod correlation;
mod groups;
mod lead_lag;
mod residual;
mod search;
mod sketch;

pub use lead_lag::MAX_LAG_STEPS;
pub use search::Search;

use crate::History;
use isobar_model::{DriverKind, Insights, ShardId};

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsightsSpec {
    /// Most shards compared with each other, the busiest first; pairs grow with its square.
    pub max_shards: usize,
    /// Days looked back on. At most 4 096 steps are, and at least 2 016, where the history has them.
    pub days: u32,
}

impl Default for InsightsSpec {
    /// A thousand shards, two weeks: some 3 s of work and 30 MiB while it lasts.
    fn default() -> Self {
        Self { max_shards: 1_000, days: 14 }
    }
}

/// A shard's query mix or key distribution, a value a step.
#[derive(Clone, Debug, PartialEq)]
pub struct DriverColumn {
    /// Whose.
    pub shard: ShardId,
    /// What.
    pub kind: DriverKind,
    /// Number of the first step, as the history numbers them.
    pub first_step: u64,
    /// One a step; NaN: missing.
    pub values: Vec<f32>,
}

/// All of a search at once: for callers that have the time.
#[must_use]
pub fn find_insights(history: &History, drivers: Vec<DriverColumn>, spec: InsightsSpec) -> Insights {
    let mut search = Search::begin(history, drivers, spec);
    loop {
        if let Some(found) = search.work(history, u64::MAX) {
            return found;
        }
    }
}

#[cfg(test)]
mod tests;
