//! `/v1/shards/{id}/profile`: what a shard's requests are like now, as its leader sees them.

use crate::ApiState;
use crate::problem::Problem;
use crate::shards::numbered;
use axum::extract::{Path, State};
use isobar_model::{InstantMs, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationShare {
    /// `get`, `scan`, `put` or `delete`.
    #[schema(example = "get")]
    pub operation: String,
    /// How many there were, those not looked at included.
    #[schema(example = 5_400)]
    pub requests: u64,
    /// Their share of all requests, 0 to 1.
    #[schema(example = 0.9)]
    pub share: f64,
    /// Bytes of key and value read or written by one, on average.
    #[schema(example = 118.5)]
    pub bytes_per_op: f64,
}

/// How long requests took on the leader, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyQuantiles {
    /// Half of the requests took less.
    #[schema(example = 210.0)]
    pub p50: f64,
    /// Nine tenths did.
    #[schema(example = 480.0)]
    pub p90: f64,
    /// 99 % did.
    #[schema(example = 1_900.0)]
    pub p99: f64,
    /// 99.9 % did.
    #[schema(example = 4_600.0)]
    pub p999: f64,
    /// Each is off by no more than this share of itself, sampling aside.
    #[schema(example = 0.0625)]
    pub error: f64,
}

/// A key on which much of the load falls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HotKey {
    /// The client's key, percent-encoded; its first 39 bytes where it goes on.
    #[schema(example = "user/7")]
    pub key: String,
    /// Whether the key is longer than that.
    #[schema(example = false)]
    pub goes_on: bool,
    /// Share of the load that is certainly on it, 0 to 1, sampling aside.
    #[schema(example = 0.31)]
    pub at_least: f64,
    /// Share of the load that is on it at most.
    #[schema(example = 0.32)]
    pub at_most: f64,
}

/// A place where the shard could be cut in two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SplitPoint {
    /// First internal key of the right part, percent-encoded, as shards' ranges have it.
    #[schema(example = "g")]
    pub boundary: String,
    /// Share of the load left of it, 0 to 1.
    #[schema(example = 0.5)]
    pub left_share: f64,
    /// The true share differs by no more than this, sampling aside.
    #[schema(example = 0.02)]
    pub error: f64,
}

/// What a shard's requests are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardProfileInfo {
    /// Which shard.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// The node that leads it and saw the requests.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Start of the time looked at, milliseconds since the Unix epoch on the control clock.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub from: InstantMs,
    /// Its end.
    #[schema(value_type = u64, example = 1_376_314_860_000_u64)]
    pub until: InstantMs,
    /// One request in so many is looked at now: the node chooses, so that looking costs the same whatever the load.
    #[schema(example = 4)]
    pub every: u64,
    /// Requests looked at, of this shard.
    #[schema(example = 1_500)]
    pub sampled: u64,
    /// Requests of all the node's shards since it started that should have been looked at and were not, rather than wait.
    #[schema(example = 0)]
    pub missed: u64,
    /// Requests answered, estimated.
    #[schema(example = 6_000)]
    pub requests: u64,
    /// Standard error of `requests`, as a share of it.
    #[schema(example = 0.022)]
    pub requests_error: f64,
    /// Standard error that sampling adds to any share of requests below, at most; 0 where all were looked at.
    #[schema(example = 0.013)]
    pub sampling_error: f64,
    /// By kind, those that came.
    pub operations: Vec<OperationShare>,
    /// Null: no request came.
    pub latency_us: Option<LatencyQuantiles>,
    /// Different keys among the requests looked at, estimated.
    #[schema(example = 812.4)]
    pub distinct_keys: f64,
    /// Its standard error, as a share of it.
    #[schema(example = 0.023)]
    pub distinct_error: f64,
    /// How unevenly the keys are used: the chance that two load units fall on the same key, 0 to 1; null: too few requests to tell.
    #[schema(example = 0.11)]
    pub key_skew: Option<f32>,
    /// The heaviest first; only keys that are certainly heavy.
    pub hot_keys: Vec<HotKey>,
    /// Ascending: where quarters of the load end. Fewer where keys are too few or too hot.
    pub split_points: Vec<SplitPoint>,
}

/// Show what a shard's requests are like
///
/// As the node that leads the shard saw them over the last whole minute of its wall clock, or since it sees any. Requests answered by followers
/// (`eventual` reads) are not among them. After two minutes without a request nothing is known, and all is 0.
#[utoipa::path(
    get, path = "/v1/shards/{id}/profile", tag = "shards", params(("id" = u64, Path, example = 7)),
    responses(
        (status = 200, description = "The profile", body = ShardProfileInfo),
        (status = 404, description = "No such shard", body = Problem),
        (status = 503, description = "The shard has no leader that answers", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<ShardProfileInfo>, Problem> {
    let map = state.backend.shard_map();
    let shard = numbered(&map, id)?.id;
    Ok(axum::Json(state.backend.shard_profile(shard).await?))
}
