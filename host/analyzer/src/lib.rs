//! Predictive load analyzer: what shards did (history for forecasters, the archive at several resolutions for people, [`stream`]s of queries), did
//! and will do (heat map), what leads what (insights), what the hottest may do together (joint
//! scenarios), what nodes are about to use (node forecast), how good forecasts were (scoring; on
//! recorded load, [`track`]), who answers in place of a policy that does badly (guard), what none
//! of them foresaw (bursts), and which shards deserve attention (ranking).
//!
//! Architecture invariant: pure, and knows only the model. Forecasts come in as values; who made them is not known here.

mod archive;
mod burst;
mod guard;
mod heat_map;
mod history;
mod insights;
mod joint_scenarios;
mod node_forecast;
mod pyramid;
mod ranking;
mod resample;
mod scoring;
pub mod stream;
pub mod track;

pub use archive::{Archive, ArchiveChunk, ArchiveStatus, BadImport, BadQuery, Family, NodeLoad, ShardLoad};
pub use burst::{Burst, BurstChange, BurstSpec, Bursts, Usual};
pub use guard::{Answerer, BandStanding, GuardSpec, Guards};
pub use heat_map::{HeatMap, HeatMapSpec};
pub use history::{BadBatch, History, HistorySpec, TickLoad};
pub use insights::{DriverColumn, InsightsSpec, MAX_LAG_STEPS, Search, find_insights};
pub use joint_scenarios::{JointScenarios, Marginal, joint_scenarios};
pub use node_forecast::{NodeForecaster, NodeSeen, ShardPart, UnitCosts, standard_error};
pub use pyramid::{Chunk, ChunkError, Dropped, LevelSpec, Pyramid, PyramidSpec, Sample, Thinned};
pub use ranking::{
    PeakBand, PrecisionSpec, RankInput, RankPrecision, RankScorer, RankedShard, Recommendation, rank, top_precision,
};
pub use resample::resample;
pub use scoring::{HorizonScore, PeakScore, Score, Scorer, ScorerSpec};
