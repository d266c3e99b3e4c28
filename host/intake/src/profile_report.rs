//! Shard profiles as a file for people and programs.

use isobar_analyzer::stream::{Cut, DistinctKeys, KeyPrefix, LatencyHistogram, Operation, QueryStream, ShardProfile};
use isobar_model::{Partitioning, ShardId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;

/// Heavy hitters told of each shard.
const TOLD_HITTERS: usize = 20;
/// Keys are written as the API writes them: percent-encoded but for what needs no encoding in a URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// 95 % of a normal distribution lies within so many standard errors.
const TWO_SIDED_95: f64 = 1.96;

/// What a log told of all shards.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamReport {
    /// How keys are spread over shards.
    pub partitioning: Partitioning,
    /// Share of all queries that the log holds.
    pub sample_rate: f64,
    /// Queries read.
    pub queries: u64,
    /// Of them, those too late for their step: not in the load, but in the profile.
    pub late: u64,
    /// Of them, those with a time too far ahead: counted nowhere.
    pub ahead: u64,
    /// The shards, in the order of their keys.
    pub shards: Vec<ProfileReport>,
}

/// What a log told of one shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileReport {
    /// The shard.
    pub shard: ShardId,
    /// First internal key, percent-encoded.
    pub start: String,
    /// Queries, scaled up by the sample rate.
    pub queries: f64,
    /// The number of queries is within this share of it, 19 times of 20; 0 where every query is in the log.
    pub queries_error: f64,
    /// Load units of all queries, scaled up by the sample rate.
    pub load: f64,
    /// Operations.
    pub operations: Vec<OperationReport>,
    /// Where to split it in two of equal load; null: all load is on one key, or there is none.
    pub split: Option<CutReport>,
    /// Boundaries of eight parts of equal load.
    pub eighths: Vec<CutReport>,
    /// The keys with most load.
    pub heavy_hitters: Vec<HitterReport>,
    /// No key that is not among them has more than this share of the load.
    pub heavy_hitter_bound: f64,
    /// Different keys in the log; a sample holds fewer than there are.
    pub distinct_keys: f64,
    /// Standard error of that, as a share of it.
    pub distinct_keys_error: f64,
    /// How long queries took; null: the log does not say.
    pub latency: Option<LatencyReport>,
}

/// One operation of a shard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationReport {
    /// Which.
    pub operation: &'static str,
    /// How many, scaled up by the sample rate.
    pub count: f64,
    /// Bytes, scaled up by the sample rate.
    pub bytes: f64,
    /// Share of all operations.
    pub share: f64,
}

/// A place to cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CutReport {
    /// First internal key of the right part, percent-encoded.
    pub at: String,
    /// Share of the load left of it.
    pub left_share: f64,
    /// The true share differs by no more than this.
    pub error: f64,
}

/// A key and its load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HitterReport {
    /// The client's key, percent-encoded; only its beginning where `goes_on`.
    pub key: String,
    /// Whether the key is longer than what stands there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Its share of the shard's load is at most this …
    pub at_most: f64,
    /// … and at least this.
    pub at_least: f64,
}

/// Latencies in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyReport {
    /// Half of the queries took no longer.
    pub p50_us: f64,
    /// 90 % took no longer.
    pub p90_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Each is within this share of itself.
    pub error: f64,
}

fn encode(key: &[u8]) -> String {
    percent_encode(key, KEPT).to_string()
}

impl StreamReport {
    /// Of all shards of a stream.
    #[must_use]
    pub fn of(stream: &QueryStream) -> Self {
        let sharding = stream.sharding();
        let shards = sharding.shards().iter().zip(stream.profiles()).enumerate();
        Self {
            partitioning: sharding.partitioning(),
            sample_rate: stream.sample_rate(),
            queries: stream.seen(),
            late: stream.dropped().late,
            ahead: stream.dropped().ahead,
            shards: shards
                .map(|(at, (shard, profile))| {
                    ProfileReport::of(*shard, sharding.start(at), profile, stream.sample_rate())
                })
                .collect(),
        }
    }
}

impl ProfileReport {
    /// Of one shard that begins at this internal key.
    #[must_use]
    pub fn of(shard: ShardId, start: &[u8], profile: &ShardProfile, sample_rate: f64) -> Self {
        let scale = 1.0 / sample_rate;
        let seen = profile.mix.count();
        let total = profile.hitters.total().max(1) as f64;
        let cut =
            |cut: Cut| CutReport { at: encode(&cut.boundary), left_share: cut.left_share, error: cut.error_share };
        let operations = Operation::ALL.into_iter().filter(|operation| profile.mix.of(*operation).count > 0);
        let quantile = |share| profile.latency.quantile_us(share);
        let hitter_key = |key: KeyPrefix| (encode(&key.bytes()), key.goes_on());
        Self {
            shard,
            start: encode(start),
            queries: seen as f64 * scale,
            queries_error: if seen == 0 { 0.0 } else { TWO_SIDED_95 * ((1.0 - sample_rate) / seen as f64).sqrt() },
            load: profile.hitters.total() as f64 / 1000.0 * scale,
            operations: operations
                .map(|operation| OperationReport {
                    operation: operation.name(),
                    count: profile.mix.of(operation).count as f64 * scale,
                    bytes: profile.mix.of(operation).bytes as f64 * scale,
                    share: profile.mix.share(operation),
                })
                .collect(),
            split: profile.keys.cut(0.5).map(cut),
            eighths: profile.keys.cuts(8).into_iter().map(cut).collect(),
            heavy_hitters: profile
                .hitters
                .top(TOLD_HITTERS)
                .into_iter()
                .map(|hitter| {
                    let (key, goes_on) = hitter_key(hitter.key);
                    HitterReport {
                        key,
                        goes_on,
                        at_most: hitter.at_most as f64 / total,
                        at_least: hitter.at_least as f64 / total,
                    }
                })
                .collect(),
            heavy_hitter_bound: profile.hitters.bound() as f64 / total,
            distinct_keys: profile.distinct.estimate().round(),
            distinct_keys_error: DistinctKeys::STANDARD_ERROR,
            latency: quantile(0.5).map(|p50_us| LatencyReport {
                p50_us,
                p90_us: quantile(0.9).unwrap_or(p50_us),
                p99_us: quantile(0.99).unwrap_or(p50_us),
                max_us: quantile(1.0).unwrap_or(p50_us),
                error: LatencyHistogram::RELATIVE_ERROR,
            }),
        }
    }
}
