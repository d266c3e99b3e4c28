//! Predictive load analyzer: what shards did (history), did and will do (heat map), how good the forecasts were (scoring), and which shards
//! deserve attention (ranking).
//!
//! Architecture invariant: pure, and knows only the model. Forecasts come in as values; who made them is not known here.

mod heat_map;
mod history;
mod insights;
mod ranking;
mod scoring;

pub use heat_map::{HeatMap, HeatMapSpec};
pub use history::{BadBatch, History, HistorySpec, TickLoad};
pub use insights::{
    DriverColumn, InsightsSpec, MAX_CLUSTERS, MAX_LAG_STEPS, MAX_LINKS_PER_FOLLOWER, Search, find_insights,
};
pub use ranking::{RankInput, RankedShard, Recommendation, rank};
pub use scoring::{HorizonScore, Score, Scorer, ScorerSpec};
