//! `/v1/history`: measured load from elsewhere.

use crate::ApiState;
use crate::backend::Imported;
use crate::body;
use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header;
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Most bytes of one batch: 28 days of 5-minute steps for 1000 shards in the compact form.
pub const MAX_HISTORY_BYTES: usize = 40 << 20;
/// The compact form: a [`LoadBatch`] as postcard has it.
pub const COMPACT_HISTORY: &str = "application/octet-stream";

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
/// Load that was measured before, so that forecasts need not wait for weeks. JSON, or as `application/octet-stream` the same as postcard.
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
