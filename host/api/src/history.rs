//! `/v1/history`: measured load, at several resolutions; and load from elsewhere.

use crate::ApiState;
use crate::backend::{BackendError, Imported};
use crate::body;
use crate::number;
use crate::problem::Problem;
use crate::shards;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use isobar_model::history::{HistoryPage, HistoryQuery, Resolution, Step, Window};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Most bytes of one batch: 28 days of 5-minute steps for 1000 shards in the compact form.
pub const MAX_HISTORY_BYTES: usize = 40 << 20;
/// The compact form: a [`LoadBatch`] as postcard has it.
pub const COMPACT_HISTORY: &str = "application/octet-stream";

/// Most steps of all rows of one answer together: some 4 MiB as JSON. One row is always given, of 9 504 steps at most.
const MAX_PAGE_STEPS: usize = 1 << 17;

/// What to show of history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryAsk {
    /// `load` (the default), `read-ops`, `write-ops`, `read-bytes` or `write-bytes`; the latter four at `5m` and `1h` only.
    #[param(value_type = Option<String>, example = "load")]
    pub metric: Option<Metric>,
    /// `10s` (kept for 6 hours), `1m` (2 days), `5m` (4 weeks), `1h` (13 months), or `auto` (the default): the finest that reaches back to
    /// `from` in at most 2 000 steps.
    #[param(value_type = Option<String>, example = "auto")]
    pub resolution: Option<Resolution>,
    /// The first instant, milliseconds since the Unix epoch; as far back as is kept where left out, for `auto` an hour.
    #[param(value_type = Option<u64>, example = 1_376_314_800_000_u64)]
    pub from: Option<InstantMs>,
    /// The instant after the last; now where left out.
    #[param(value_type = Option<u64>, example = 1_376_318_400_000_u64)]
    pub to: Option<InstantMs>,
    /// One shard's number, or several with commas; all where left out.
    #[param(example = "7,8")]
    pub shard: Option<String>,
    /// The `next` of the page before. Give `from`, `to` and `resolution` as that page has them, so that pages fit each other.
    #[param(value_type = Option<u64>, example = 7)]
    pub after: Option<ShardId>,
}

/// Steps of one series: three lists of the same length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepLists {
    /// Means over the time covered, per second; null: missing.
    #[schema(example = json!([30.1, null]))]
    pub mean: Vec<Option<f32>>,
    /// The largest sample in each step; null: missing.
    #[schema(example = json!([41.5, null]))]
    pub max: Vec<Option<f32>>,
    /// Share of each step that samples cover, 0 to 1.
    #[schema(example = json!([1.0, 0.0]))]
    pub coverage: Vec<f32>,
}

impl StepLists {
    pub(crate) fn of(steps: &[Step]) -> Self {
        Self {
            mean: steps.iter().map(|step| number::known(step.mean)).collect(),
            max: steps.iter().map(|step| number::known(step.peak)).collect(),
            coverage: steps.iter().map(|step| (step.coverage * 1000.0).round() / 1000.0).collect(),
        }
    }
}

/// One shard's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardHistory {
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// Its steps.
    #[serde(flatten)]
    pub steps: StepLists,
}

/// A page of history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryInfo {
    /// What is counted.
    #[schema(value_type = String, example = "load")]
    pub metric: Metric,
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 60_000)]
    pub step_ms: u32,
    /// Steps of each row.
    #[schema(example = 2)]
    pub steps: u32,
    /// By shard.
    pub rows: Vec<ShardHistory>,
    /// Give it back as `after` for the next page; left out on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 7)]
    pub next: Option<ShardId>,
}

/// Show history
///
/// Mean, peak and coverage of each step. JSON, or with `Accept: application/octet-stream` a page as postcard has it. A page holds some shards;
/// the last step may still be filling.
#[utoipa::path(
    get, path = "/v1/history", tag = "forecasts", params(HistoryAsk),
    responses(
        (status = 200, description = "A page", content(
            (HistoryInfo = "application/json"), (Vec<u8> = "application/octet-stream")
        )),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 422, description = "The metric is not kept so finely, or nothing lies between `from` and `to`", body = Problem),
        (status = 503, description = "Nobody leads the control group now", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(ask): Query<HistoryAsk>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let map = state.backend.shard_map();
    let mut wanted = Vec::new();
    for id in ask.shard.iter().flat_map(|list| list.split(',')) {
        let id = id.trim().parse::<u64>();
        let id =
            id.map_err(|_| Problem::bad_request("shard is a shard's number, or several with commas, as in `7,8`."))?;
        wanted.push(shards::numbered(&map, id)?.id);
    }
    let metric = ask.metric.unwrap_or(Metric::Load);
    let window = Window { resolution: ask.resolution.unwrap_or_default(), from: ask.from, to: ask.to };
    let query = HistoryQuery { metric, window, shards: wanted, after: ask.after, max_steps: MAX_PAGE_STEPS };
    let page: HistoryPage<ShardId> = state.backend.history(query).await?;
    if headers.get(header::ACCEPT).is_some_and(|accept| accept == COMPACT_HISTORY) {
        let bytes = postcard::to_allocvec(&page)
            .map_err(|error| Problem::from(BackendError::Internal(format!("the page can't be written: {error}"))))?;
        return Ok(([(header::CONTENT_TYPE, COMPACT_HISTORY)], bytes).into_response());
    }
    let row = |row: &isobar_model::history::HistoryRow<ShardId>| ShardHistory {
        shard: row.key,
        steps: StepLists::of(&row.steps),
    };
    let rows = page.rows.iter().map(row).collect();
    let HistoryPage { start, step_ms, steps, next, .. } = page;
    Ok(axum::Json(HistoryInfo { metric, start, step_ms, steps, rows, next }).into_response())
}

/// Consecutive steps of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryBatch {
    /// What is counted: `load` is what placement balances.
    #[schema(value_type = String, example = "load")]
    pub metric: Metric,
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_000_000_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Steps.
    #[schema(example = 3)]
    pub steps: u32,
    /// Rows.
    #[schema(value_type = Vec<u64>, example = json!([7, 8]))]
    pub shards: Vec<ShardId>,
    /// Row by row, per second; null: missing.
    #[schema(example = json!([30.1, 31.0, null, 4.0, 4.5, 4.0]))]
    pub values: Vec<Option<f32>>,
}

impl From<HistoryBatch> for LoadBatch {
    fn from(batch: HistoryBatch) -> Self {
        Self {
            metric: batch.metric,
            start: batch.start,
            step_ms: batch.step_ms,
            steps: batch.steps,
            shards: batch.shards,
            values: batch.values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect(),
        }
    }
}

/// What came of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportInfo {
    /// Shards whose history grew.
    #[schema(example = 2)]
    pub shards: u64,
    /// Steps taken in.
    #[schema(example = 3)]
    pub steps: u64,
}

fn check(batch: &LoadBatch) -> Result<(), Problem> {
    if batch.step_ms == 0 || batch.steps == 0 || batch.shards.is_empty() {
        return Err(Problem::invalid("a batch has one step and one shard at least, and a step's length is not 0."));
    }
    let wanted = batch.shards.len().checked_mul(batch.steps as usize);
    if wanted != Some(batch.values.len()) {
        return Err(Problem::invalid(format!(
            "{} shards times {} steps do not make {} values: send one value a shard and step, null where it is missing.",
            batch.shards.len(),
            batch.steps,
            batch.values.len()
        )));
    }
    let end = u64::from(batch.steps).checked_mul(u64::from(batch.step_ms)).and_then(|ms| ms.checked_add(batch.start.0));
    if end.is_none_or(|end| end >= isobar_model::ids::MAX_ID) {
        return Err(Problem::invalid("the batch ends beyond 2^53 ms: start is in milliseconds since the Unix epoch."));
    }
    if let Some(at) = batch.values.iter().position(|v| v.is_infinite() || *v < 0.0) {
        return Err(Problem::invalid(format!(
            "value {at} is negative or infinite: loads are neither; null stands for missing."
        )));
    }
    let mut ids = batch.shards.clone();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Problem::invalid("a shard is there twice: one row a shard."));
    }
    Ok(())
}

/// Import history
///
/// Load that was measured before, so that forecasts need not wait for weeks; operations and bytes, too. Steps may have any length up to three
/// hours; load in steps no longer than the cluster's own goes to the forecasters. JSON, or as `application/octet-stream` the same as postcard.
#[utoipa::path(
    post, path = "/v1/history", tag = "forecasts", request_body(
        content((HistoryBatch = "application/json"), (Vec<u8> = "application/octet-stream")), description = "A batch"
    ),
    responses(
        (status = 200, description = "Taken in", body = ImportInfo),
        (status = 400, description = "Not readable", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 409, description = "Older than what is there", body = Problem),
        (status = 413, description = "Over 40 MiB", body = Problem),
        (status = 422, description = "Lengths or values are wrong", body = Problem),
    )
)]
pub(crate) async fn import(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<axum::Json<ImportInfo>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, MAX_HISTORY_BYTES, "a batch of history").await?;
    let batch = if parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == COMPACT_HISTORY) {
        postcard::from_bytes(&bytes).map_err(|error| {
            Problem::bad_request(format!(
                "the body is no load batch in postcard's form ({error}): send JSON, or mend it."
            ))
        })?
    } else {
        LoadBatch::from(body::parse::<HistoryBatch>(&bytes)?)
    };
    check(&batch)?;
    let Imported { shards, steps } = state.backend.import_history(batch).await?;
    Ok(axum::Json(ImportInfo { shards, steps }))
}
