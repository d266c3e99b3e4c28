//! `/v1/heatmap`.

use crate::ApiState;
use crate::backend::HeatMapAsk;
use crate::key_text::encode_key;
use crate::number;
use crate::problem::Problem;
use crate::shards::keyspace_of;
use axum::extract::{Query, State};
use isobar_model::history::Resolution;
use isobar_model::{InstantMs, Metric, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Steps of the past where the caller names none.
const PAST: u32 = 24;
/// Steps of the future where the caller names none.
const FUTURE: u32 = 12;
/// Most steps of the past: 28 days of 5-minute steps, all the history there is.
const MAX_PAST: u32 = 8064;
/// Most steps of the future: a day of 5-minute steps.
const MAX_FUTURE: u32 = 288;
/// Most columns: what the widest screens show, with room to zoom. As many as that where the caller names none.
const MAX_COLUMNS: u32 = 4096;
/// Fewest columns: one on either side of now.
const MIN_COLUMNS: u32 = 2;
/// Most rows, likewise.
const MAX_ROWS: u32 = 2000;
/// Most values in one answer: 1 000 shards over 2 000 columns, some 16 MiB as JSON.
const MAX_VALUES: usize = 1 << 21;

/// What to show, and how large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeatMapQuery {
    /// `load` (the default), `read-ops`, `write-ops`, `read-bytes` or `write-bytes`. The latter four are of what was measured only: nothing
    /// but load is forecast.
    #[param(value_type = Option<String>, example = "load")]
    pub metric: Option<Metric>,
    /// Steps back, 0 to 8064; 24 by default. A step is the cluster's own; of operations and bytes 5 minutes (kept for 2 days), or an hour
    /// (4 weeks) with `resolution=1h`.
    #[param(example = 24)]
    pub past: Option<u32>,
    /// Steps ahead, 0 to 288; of load 12 by default.
    #[param(example = 12)]
    pub future: Option<u32>,
    /// Shortest column: `10s`, `1m`, `5m`, `1h`, or `auto` (the default): a step. A column is whole steps, and shows the highest of them.
    #[param(value_type = Option<String>, example = "auto")]
    pub resolution: Option<Resolution>,
    /// Most columns, 2 to 4096 (the default). Where there are more steps, several share a column, which shows the highest of them.
    #[param(example = 200)]
    pub columns: Option<u32>,
    /// Most rows, 1 to 2000 (the default). Where there are more shards, those with the highest peaks are shown.
    #[param(example = 100)]
    pub rows: Option<u32>,
}

impl HeatMapQuery {
    /// The question with all bounds checked, nothing left open.
    fn checked(&self) -> Result<HeatMapAsk, Problem> {
        let metric = self.metric.unwrap_or(Metric::Load);
        let forecast = match metric {
            Metric::Load => FUTURE,
            Metric::ReadOps | Metric::WriteOps | Metric::ReadBytes | Metric::WriteBytes => 0,
            Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes => {
                return Err(Problem::bad_request(
                    "metric is load, read-ops, write-ops, read-bytes or write-bytes: the others are not of shards.",
                ));
            }
        };
        let (past, future) = (self.past.unwrap_or(PAST), self.future.unwrap_or(forecast));
        if past > MAX_PAST || future > MAX_FUTURE {
            return Err(Problem::bad_request(format!("past is at most {MAX_PAST} steps, future {MAX_FUTURE}.")));
        }
        if future > 0 && forecast == 0 {
            return Err(Problem::bad_request("nothing but load is forecast: leave future out, or ask for load."));
        }
        if past + future == 0 {
            return Err(Problem::bad_request("past and future are both 0: ask for one step at least."));
        }
        let columns = self.columns.unwrap_or(MAX_COLUMNS);
        if !(MIN_COLUMNS..=MAX_COLUMNS).contains(&columns) {
            return Err(Problem::bad_request(format!("columns is {MIN_COLUMNS} to {MAX_COLUMNS}.")));
        }
        let rows = self.rows.unwrap_or(MAX_ROWS);
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(Problem::bad_request(format!("rows is 1 to {MAX_ROWS}.")));
        }
        let shortest_column_ms = self.resolution.unwrap_or_default().step_ms().map_or(0, u64::from);
        Ok(HeatMapAsk { metric, past, future, shortest_column_ms, columns, rows })
    }
}

/// One shard's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatMapRow {
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// The name of its keyspace.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// First internal key, percent-encoded, as in `/v1/shards`.
    #[schema(example = "g")]
    pub start: String,
    /// First internal key past it, percent-encoded; null: up to the last.
    #[schema(example = "n")]
    pub end: Option<String>,
    /// Its leader's node.
    #[schema(value_type = Option<u64>, example = 3)]
    pub leader: Option<NodeId>,
    /// Units per second, a value a column: first what was measured, of load on its leader, then the forecast median. Null: missing.
    #[schema(example = json!([30.1, 31.0, null]))]
    pub values: Vec<Option<f32>>,
}

/// What was measured, and the forecast of what will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatMapInfo {
    /// What is counted.
    #[schema(value_type = String, example = "load")]
    pub metric: Metric,
    /// Start of the first column, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a column, milliseconds.
    #[schema(example = 300_000)]
    pub column_ms: u64,
    /// Columns measured; now is where the last of them ends.
    #[schema(example = 2)]
    pub past: u32,
    /// Columns forecast, after those.
    #[schema(example = 1)]
    pub future: u32,
    /// By shard.
    pub rows: Vec<HeatMapRow>,
    /// Shards left out, all of them cooler: there were more than rows.
    #[schema(example = 0)]
    pub omitted: u64,
}

/// Show the heat map
#[utoipa::path(
    get, path = "/v1/heatmap", tag = "forecasts", params(HeatMapQuery),
    responses(
        (status = 200, description = "The heat map", body = HeatMapInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 413, description = "More values than one answer holds", body = Problem),
        (status = 503, description = "Nobody leads the control group now", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<HeatMapQuery>,
) -> Result<axum::Json<HeatMapInfo>, Problem> {
    let ask = query.checked()?;
    let map = state.backend.shard_map();
    let rows = map.shards.len().min(ask.rows as usize);
    let columns = (ask.past + ask.future).min(ask.columns) as usize;
    if rows.saturating_mul(columns) > MAX_VALUES {
        return Err(Problem::too_large(
            MAX_VALUES,
            format!(
                "{rows} shards in {columns} columns are more values than the {MAX_VALUES} of one answer: ask for fewer rows or columns."
            ),
        ));
    }
    let heat = state.backend.heat_map(ask).await?;
    let columns = (heat.past + heat.future) as usize;
    let rows = heat.shards.iter().enumerate().map(|(row, id)| {
        let shard = map.shards.get(id);
        let values = heat.values.get(row * columns..(row + 1) * columns).unwrap_or_default();
        HeatMapRow {
            shard: *id,
            keyspace: shard.map(|s| keyspace_of(&map, s.keyspace)).unwrap_or_default(),
            start: shard.map(|s| encode_key(&s.range.start)).unwrap_or_default(),
            end: shard.and_then(|s| s.range.end.as_ref()).map(|end| encode_key(end)),
            leader: shard.and_then(|s| s.leader),
            values: values.iter().copied().map(number::known).collect(),
        }
    });
    Ok(axum::Json(HeatMapInfo {
        metric: ask.metric,
        start: heat.start,
        column_ms: heat.column_ms,
        past: heat.past,
        future: heat.future,
        rows: rows.collect(),
        omitted: heat.omitted,
    }))
}
