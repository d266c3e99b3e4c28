//! Predictive load analyzer: what shards did (history for forecasters, the archive at several resolutions for people), did and will do (heat
//! map), what nodes are about to use (node forecast), how good the forecasts were (scoring), and which shards deserve attention (ranking).
//!
//! Architecture invariant: pure, and knows only the model. Forecasts come in as values; who made them is not known here.

mod archive;
mod heat_map;
mod history;
mod node_forecast;
mod pyramid;
mod ranking;
mod resample;
mod scoring;

pub use archive::{Archive, ArchiveChunk, ArchiveStatus, BadImport, BadQuery, Family, NodeLoad, ShardLoad};
pub use heat_map::{HeatMap, HeatMapSpec};
pub use history::{BadBatch, History, HistorySpec, TickLoad};
pub use node_forecast::{NodeForecaster, NodeSeen, ShardPart, standard_error};
pub use pyramid::{Chunk, ChunkError, Dropped, LevelSpec, Pyramid, PyramidSpec, Sample, Thinned};
pub use ranking::{RankInput, RankedShard, Recommendation, rank};
pub use resample::resample;
pub use scoring::{HorizonScore, Score, Scorer, ScorerSpec};
