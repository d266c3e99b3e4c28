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
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// The highest forecast load over the horizon, upper quantile.
    #[schema(example = 55.0)]
    pub predicted_peak: Option<f32>,
    /// When that peak begins, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_316_000_000_u64)]
    pub peak_at: InstantMs,
    /// What the last plan would do about it.
    pub recommended: Option<MoveInfo>,
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
        RankedInfo {
            rank,
            shard: ranked.shard,
            keyspace: shard.map(|s| keyspace_of(&map, s.keyspace)).unwrap_or_default(),
            leader: shard.and_then(|s| s.leader),
            load: number::known(ranked.load),
            predicted_peak: number::known(ranked.predicted_peak),
            peak_at: ranked.peak_at,
            recommended: ranked.recommended.map(MoveInfo::from),
        }
    });
    Ok(axum::Json(rows.collect()))
}
