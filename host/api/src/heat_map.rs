//! `/v1/heatmap`.

use crate::ApiState;
use crate::number;
use crate::problem::Problem;
use crate::shards::keyspace_of;
use axum::extract::{Query, State};
use isobar_model::{InstantMs, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Columns of the past where the caller names none.
const PAST: u32 = 24;
/// Columns of the future where the caller names none.
const FUTURE: u32 = 12;
/// Most columns of the past: 28 days of 5-minute steps, all the history there is.
const MAX_PAST: u32 = 8064;
/// Most columns of the future: a day of 5-minute steps.
const MAX_FUTURE: u32 = 288;
/// Most values in one answer: some 8 MiB as JSON.
const MAX_VALUES: usize = 1 << 20;

/// How far to look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeatMapQuery {
    /// Steps back, 0 to 8064; 24 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = 24)]
    pub past: Option<u32>,
    /// Steps ahead, 0 to 288; 12 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = 12)]
    pub future: Option<u32>,
}

/// One shard's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatMapRow {
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// The name of its keyspace.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// Its leader's node.
    #[schema(value_type = Option<u64>, example = 3)]
    pub leader: Option<NodeId>,
    /// Load units per second of its leader, a value a step: first the past, then the forecast median. Null: missing.
    #[schema(example = json!([30.1, 31.0, null]))]
    pub load: Vec<Option<f32>>,
}

/// Load of the past and the forecast of the future.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatMapInfo {
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Steps measured.
    #[schema(example = 2)]
    pub past: u32,
    /// Steps forecast, after those.
    #[schema(example = 1)]
    pub future: u32,
    /// By shard.
    pub rows: Vec<HeatMapRow>,
}

/// Show the heat map
#[utoipa::path(
    get, path = "/v1/heatmap", tag = "forecasts", params(HeatMapQuery),
    responses(
        (status = 200, description = "The heat map", body = HeatMapInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 413, description = "More values than one answer holds", body = Problem),
        (status = 503, description = "No history yet", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<HeatMapQuery>,
) -> Result<axum::Json<HeatMapInfo>, Problem> {
    let (past, future) = (query.past.unwrap_or(PAST), query.future.unwrap_or(FUTURE));
    if past > MAX_PAST || future > MAX_FUTURE {
        return Err(Problem::bad_request(format!("past is at most {MAX_PAST} steps, future {MAX_FUTURE}.")));
    }
    let map = state.backend.shard_map();
    if map.shards.len().saturating_mul((past + future) as usize) > MAX_VALUES {
        return Err(Problem::too_large(
            MAX_VALUES,
            format!(
                "{} shards over {} steps are more than one answer holds: ask for fewer steps.",
                map.shards.len(),
                past + future
            ),
        ));
    }
    let heat = state.backend.heat_map(past, future).await?;
    let columns = (heat.past + heat.future) as usize;
    let rows = heat.shards.iter().enumerate().map(|(row, id)| {
        let shard = map.shards.get(id);
        let load = heat.values.get(row * columns..(row + 1) * columns).unwrap_or_default();
        HeatMapRow {
            shard: *id,
            keyspace: shard.map(|s| keyspace_of(&map, s.keyspace)).unwrap_or_default(),
            leader: shard.and_then(|s| s.leader),
            load: load.iter().copied().map(number::known).collect(),
        }
    });
    let rows = rows.collect();
    Ok(axum::Json(HeatMapInfo { start: heat.start, step_ms: heat.step_ms, past: heat.past, future: heat.future, rows }))
}
