//! What is known of one shard's queries, in a fixed amount of memory.

use crate::stream::distinct_keys::DistinctKeys;
use crate::stream::heavy_hitters::HeavyHitters;
use crate::stream::key_histogram::KeyHistogram;
use crate::stream::key_prefix::KeyPrefix;
use crate::stream::latency_histogram::LatencyHistogram;
use crate::stream::op_mix::OpMix;
use crate::stream::query_event::QueryEvent;

/// Counters of a shard's heavy hitters: each key with more than 1/144 of the shard's load is found.
pub const HITTERS: usize = 144;
/// Tuples of a shard's key histogram: halves are within about 2 % of the load.
pub const HISTOGRAM_TUPLES: usize = 96;

/// No profile holds more than this: six megabytes for the 256 shards of a node.
pub const MAX_PROFILE_BYTES: usize = 24 << 10;
const _: () = assert!(ShardProfile::MEMORY_BYTES <= MAX_PROFILE_BYTES);

/// One shard's queries.
#[derive(Clone, Debug)]
pub struct ShardProfile {
    /// Operations.
    pub mix: OpMix,
    /// Internal keys by load, in thousandths of a load unit.
    pub keys: KeyHistogram,
    /// Client keys by load, in thousandths of a load unit.
    pub hitters: HeavyHitters,
    /// Different keys.
    pub distinct: DistinctKeys,
    /// Latencies, of the queries that told theirs.
    pub latency: LatencyHistogram,
}

impl Default for ShardProfile {
    fn default() -> Self {
        Self {
            mix: OpMix::default(),
            keys: KeyHistogram::new(HISTOGRAM_TUPLES),
            hitters: HeavyHitters::new(HITTERS),
            distinct: DistinctKeys::default(),
            latency: LatencyHistogram::default(),
        }
    }
}

impl ShardProfile {
    /// Bytes that one profile holds, at most.
    pub const MEMORY_BYTES: usize = size_of::<Self>()
        + KeyHistogram::memory_bytes(HISTOGRAM_TUPLES)
        + HeavyHitters::memory_bytes(HITTERS)
        + DistinctKeys::MEMORY_BYTES
        + LatencyHistogram::MEMORY_BYTES;

    /// Takes in one query: its key's hash and slot, and what it weighs in thousandths of a load unit.
    pub fn record(&mut self, event: &QueryEvent<'_>, hash: u64, slot: Option<u16>, milli: u64) {
        self.record_many(event, hash, slot, milli, 1);
    }

    /// Takes in one query that stands for `times` like it.
    pub fn record_many(&mut self, event: &QueryEvent<'_>, hash: u64, slot: Option<u16>, milli: u64, times: u64) {
        let milli = milli.saturating_mul(times);
        self.mix.record(event.operation, event.bytes, times);
        self.keys.record(KeyPrefix::new(slot, event.key), milli);
        self.hitters.record(hash, milli, || KeyPrefix::new(None, event.key));
        self.distinct.record(hash);
        // Quantiles of latency need no scale as long as N changes little within a window.
        if let Some(latency_us) = event.latency_us {
            self.latency.record(latency_us);
        }
    }
}
