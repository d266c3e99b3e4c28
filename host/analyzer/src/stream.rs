//! From single queries to what a balancer wants to know, in fixed memory: load per shard and step, where to split a shard, which operations,
//! which keys, how many of them, how slow.
//!
//! The queries come from a recorded log or from a sampled live stream; either way one [`QueryStream`] takes them one by one. All sketches are
//! deterministic: same queries in the same order, same answers.

mod distinct_keys;
mod heavy_hitters;
mod key_histogram;
mod key_prefix;
mod latency_histogram;
mod live_profiles;
mod load_builder;
mod op_mix;
mod query_event;
mod query_stream;
mod shard_profile;
mod sharding;

pub use distinct_keys::DistinctKeys;
pub use heavy_hitters::{HeavyHitter, HeavyHitters};
pub use key_histogram::{Cut, KeyHistogram};
pub use key_prefix::{KeyPrefix, PREFIX_BYTES};
pub use latency_histogram::LatencyHistogram;
pub use live_profiles::{LiveProfile, LiveProfiles, SampleRate};
pub use load_builder::{LOAD_METRICS, LoadBuilder, LoadBuilderSpec, LoadCounts, Timing};
pub use op_mix::{OpMix, OpTotals};
pub use query_event::{LoadMilli, Operation, QueryEvent, key_hash};
pub use query_stream::{Dropped, QueryStream, QueryStreamSpec};
pub use shard_profile::{HISTOGRAM_TUPLES, HITTERS, MAX_PROFILE_BYTES, ShardProfile};
pub use sharding::{BadSharding, Sharding};
