//! `/v1/ranking`.

use crate::ApiState;
use crate::decisions::MoveInfo;
use crate::number;
use crate::problem::Problem;
use crate::shards::keyspace_of;
use axum::extract::{Query, State};
use isobar_model::{InstantMs, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Shards where the caller names no limit.
const LIMIT: usize = 20;
/// Most shards in one answer.
const MAX_LIMIT: usize = 10_000;

/// How many to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RankingQuery {
    /// Most shards, 1 to 10 000; 20 by default.
    #[param(example = 5)]
    pub limit: Option<usize>,
}

/// A shard in the order of its predicted load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankedInfo {
    /// 1: the highest.
    #[schema(example = 1)]
    pub rank: u64,
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// The name of its keyspace.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// Its leader's node.
    #[schema(value_type = Option<u64>, example = 3)]
    pub leader: Option<NodeId>,
    /// Load units per second of its leader now; null: not known.
    #[schema(example = 31.4)]
    pub load: Option<f32>,
    /// The highest load forecast over the lead (an hour), upper quantile: what it is ranked by.
    #[schema(example = 55.0)]
    pub predicted_peak: Option<f32>,
    /// Between what the peak is expected to be.
    pub peak_interval: PeakInterval,
    /// Start of the step of the peak, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_316_000_000_u64)]
    pub peak_at: InstantMs,
    /// Start of the first step that may be the peak: forecast to be within 3 % of it.
    #[schema(value_type = u64, example = 1_376_315_700_000_u64)]
    pub peak_from: InstantMs,
    /// End of the last such step.
    #[schema(value_type = u64, example = 1_376_316_900_000_u64)]
    pub peak_until: InstantMs,
    /// Nodes of its replicas, the leader first.
    #[schema(value_type = Vec<u64>, example = json!([3, 1, 4]))]
    pub replicas: Vec<NodeId>,
    /// What the last plan would do about it.
    pub recommended: Option<MoveInfo>,
    /// Nodes of its replicas after that, the leader first.
    #[schema(value_type = Option<Vec<u64>>, example = json!([5, 1, 4]))]
    pub recommended_replicas: Option<Vec<NodeId>>,
    /// 0 can wait, 1 at once: the recommended move's. Without one: 0 where its node is not expected to be overloaded, else the nearer to 1 the
    /// nearer the latest start.
    #[schema(example = 0.8)]
    pub urgency: Option<f32>,
    /// When a move of it must begin to be done before the peak, by the measured speed of the last moves; of the recommended move, else of its
    /// data. Past: too late.
    #[schema(value_type = u64, example = 1_376_315_100_000_u64)]
    pub latest_start: InstantMs,
}

/// Quantiles of the highest load over the lead, in load units per second of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeakInterval {
    /// The lower end; null: not known.
    #[schema(example = 41.0)]
    pub low: Option<f32>,
    /// The upper end.
    #[schema(example = 58.0)]
    pub high: Option<f32>,
    /// The quantile of the lower end.
    #[schema(example = 0.05)]
    pub low_quantile: f32,
    /// That of the upper end.
    #[schema(example = 0.97)]
    pub high_quantile: f32,
}

/// Rank shards by predicted load
#[utoipa::path(
    get, path = "/v1/ranking", tag = "forecasts", params(RankingQuery),
    responses(
        (status = 200, description = "The highest first, with recommended moves", body = Vec<RankedInfo>),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 503, description = "No forecast yet", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<RankingQuery>,
) -> Result<axum::Json<Vec<RankedInfo>>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}.")));
    }
    let map = state.backend.shard_map();
    let ranking = state.backend.ranking().await?;
    let rows = (1..).zip(ranking.into_iter().take(limit)).map(|(rank, ranked)| {
        let shard = map.shards.get(&ranked.shard);
        let [peak_from, peak_until] = ranked.peak_window;
        let (recommended, recommended_replicas) = ranked.recommended.unzip();
        RankedInfo {
            rank,
            shard: ranked.shard,
            keyspace: shard.map(|s| keyspace_of(&map, s.keyspace)).unwrap_or_default(),
            leader: shard.and_then(|s| s.leader),
            load: number::known(ranked.load),
            predicted_peak: number::known(ranked.predicted_peak),
            peak_interval: ranked.peak_interval,
            peak_at: ranked.peak_at,
            peak_from,
            peak_until,
            replicas: ranked.replicas,
            recommended: recommended.map(MoveInfo::from),
            recommended_replicas,
            urgency: number::known(ranked.urgency),
            latest_start: ranked.latest_start,
        }
    });
    Ok(axum::Json(rows.collect()))
}
