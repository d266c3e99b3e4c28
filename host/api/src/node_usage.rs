//! What nodes use: `usage` of `/v1/nodes`, `/v1/nodes/{id}/history`, `/v1/nodes/{id}/forecast`.

use crate::ApiState;
use crate::history::StepLists;
use crate::number;
use crate::problem::Problem;
use axum::extract::{Path, Query, State};
use isobar_model::history::{Resolution, Window};
use isobar_model::{InstantMs, NodeId, NodeMetric};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What a node's process uses, as its system tells it. Null: not known, as where several nodes share one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageInfo {
    /// Thousandths of a core, over the last tick.
    #[schema(example = 412.0)]
    pub cpu_millicores: Option<f32>,
    /// The most it may use, where its control group says.
    #[schema(example = 2_000)]
    pub cpu_limit_millicores: Option<u64>,
    /// Resident bytes.
    #[schema(example = 214_958_080_u64)]
    pub memory_bytes: Option<u64>,
    /// The most it may use, where its control group says.
    #[schema(example = 2_147_483_648_u64)]
    pub memory_limit_bytes: Option<u64>,
    /// Calls that read or write, a second: those on sockets, too.
    #[schema(example = 1_830.5)]
    pub storage_iops: Option<f32>,
    /// Bytes a second to and from the storage, past the page cache.
    #[schema(example = 1_048_576.0)]
    pub storage_bytes_per_s: Option<f32>,
    /// Bytes used on the file system of its data, by whomever.
    #[schema(example = 21_474_836_480_u64)]
    pub disk_used_bytes: Option<u64>,
    /// Bytes free on it.
    #[schema(example = 85_899_345_920_u64)]
    pub disk_free_bytes: Option<u64>,
    /// Bytes a second sent and received in its network namespace, loopback included.
    #[schema(example = 524_288.0)]
    pub network_bytes_per_s: Option<f32>,
}

/// A time, and how finely it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WindowAsk {
    /// `1m` (kept for 2 days), `5m` (4 weeks), `1h` (13 months), or `auto` (the default).
    #[param(value_type = Option<String>, example = "auto")]
    pub resolution: Option<Resolution>,
    /// The first instant, milliseconds since the Unix epoch.
    #[param(value_type = Option<u64>, example = 1_376_314_800_000_u64)]
    pub from: Option<InstantMs>,
    /// The instant after the last; now where left out.
    #[param(value_type = Option<u64>, example = 1_376_318_400_000_u64)]
    pub to: Option<InstantMs>,
}

/// One figure's past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeHistoryRow {
    /// Which figure.
    #[schema(value_type = String, example = "cpu-millicores")]
    pub metric: NodeMetric,
    /// Its steps.
    #[serde(flatten)]
    pub steps: StepLists,
}

/// What a node used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeHistoryInfo {
    /// Which.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 60_000)]
    pub step_ms: u32,
    /// Steps of each row.
    #[schema(example = 2)]
    pub steps: u32,
    /// A row a figure that is known.
    pub rows: Vec<NodeHistoryRow>,
}

/// What a figure costs, and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodePathInfo {
    /// Which figure.
    #[schema(value_type = String, example = "cpu-millicores")]
    pub metric: NodeMetric,
    /// What the node uses without any load.
    pub idle: Option<f32>,
    /// What a load unit a second of a shard that it leads adds.
    pub per_led: Option<f32>,
    /// What a load unit a second of a follower adds.
    pub per_followed: Option<f32>,
    /// One path a quantile, one value a step.
    #[schema(example = json!([[410.0, 420.5]]))]
    pub paths: Vec<Vec<Option<f32>>>,
}

/// What a node is about to use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeForecastInfo {
    /// Which.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Quantiles of the paths, ascending.
    #[schema(example = json!([0.5]))]
    pub quantiles: Vec<f32>,
    /// Correlation of the shards' errors with each other, as measured.
    #[schema(example = 0.2)]
    pub correlation: f32,
    /// A figure each.
    pub figures: Vec<NodePathInfo>,
}

/// Show what a node used
#[utoipa::path(
    get, path = "/v1/nodes/{id}/history", tag = "nodes", params(("id" = u64, Path, example = 3), WindowAsk),
    responses(
        (status = 200, description = "A row a figure", body = NodeHistoryInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such node", body = Problem),
        (status = 422, description = "Not kept so finely, or nothing lies between `from` and `to`", body = Problem),
    )
)]
pub(crate) async fn history(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
    Query(ask): Query<WindowAsk>,
) -> Result<axum::Json<NodeHistoryInfo>, Problem> {
    let window = Window { resolution: ask.resolution.unwrap_or_default(), from: ask.from, to: ask.to };
    let page = state.backend.node_history(NodeId(id), window).await?;
    let rows = page.rows.iter().map(|row| NodeHistoryRow { metric: row.key, steps: StepLists::of(&row.steps) });
    let rows = rows.collect();
    let info = NodeHistoryInfo { node: NodeId(id), start: page.start, step_ms: page.step_ms, steps: page.steps, rows };
    Ok(axum::Json(info))
}

/// Forecast what a node uses
///
/// From the forecasts of its shards, where they live now, and what their load has cost so far. Sums of quantiles are no quantiles of sums: means
/// and variances are added, with the correlation of the shards' errors as it is measured. Memory and disk are taken to stay as they are.
#[utoipa::path(
    get, path = "/v1/nodes/{id}/forecast", tag = "nodes", params(("id" = u64, Path, example = 3)),
    responses(
        (status = 200, description = "The forecast", body = NodeForecastInfo),
        (status = 404, description = "No such node", body = Problem),
        (status = 503, description = "Nobody leads the control group now", body = Problem),
    )
)]
pub(crate) async fn forecast(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<NodeForecastInfo>, Problem> {
    let forecast = state.backend.node_forecast(NodeId(id)).await?;
    let figures = forecast.paths.into_iter().map(|path| NodePathInfo {
        metric: path.metric,
        idle: number::known(path.idle),
        per_led: number::known(path.per_led),
        per_followed: number::known(path.per_followed),
        paths: path.paths.into_iter().map(|path| path.into_iter().map(number::known).collect()).collect(),
    });
    Ok(axum::Json(NodeForecastInfo {
        node: forecast.node,
        start: forecast.start,
        step_ms: forecast.step_ms,
        quantiles: forecast.quantiles,
        correlation: forecast.correlation,
        figures: figures.collect(),
    }))
}
