//! `/v1/forecasts`.

use crate::ApiState;
use crate::number;
use crate::problem::Problem;
use crate::shards;
use axum::extract::{Query, State};
use isobar_model::{Digest, ForecastAnswerer, InstantMs, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Steps ahead where the caller names none: an hour of 5-minute steps.
const HORIZON: u32 = 12;
/// Most steps ahead: a day of 5-minute steps.
pub const MAX_HORIZON: u32 = 288;
/// Most values in one answer (shards × quantiles × steps): some 8 MiB as JSON.
const MAX_VALUES: usize = 1 << 20;

/// What to forecast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// A shard, or several with commas; all where left out.
    #[param(example = "7,8")]
    pub shard: Option<String>,
    /// Steps ahead, 1 to 288; 12 by default.
    #[param(example = 12)]
    pub horizon: Option<u32>,
}

/// The forecast of one shard's leader load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardForecast {
    /// Which.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// One path a quantile, one value a step, in load units per second.
    #[schema(example = json!([[30.1, 31.0], [36.0, 38.5]]))]
    pub paths: Vec<Vec<Option<f32>>>,
    /// One a quantile: the maximum over the first steps, where the policy gives it.
    #[schema(example = json!([31.5, 40.0]))]
    pub peaks: Vec<Option<f32>>,
    /// Who forecast it: `policy`, the one named; `guarded`, for some horizons the native forecaster, as the policy's recent forecasts of this
    /// shard were worse there; `unasked`, the native forecaster, since the shard is not among the hottest that a tick's fuel allows for; `burst`, what is measured, carried on for
    /// as long as bursts last, since nobody foresaw it.
    #[schema(value_type = String, example = "policy")]
    pub answerer: ForecastAnswerer,
}

/// A forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecastInfo {
    /// Start of the first step, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub start: InstantMs,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Steps ahead.
    #[schema(example = 2)]
    pub horizon: u32,
    /// Ascending.
    #[schema(example = json!([0.5, 0.9]))]
    pub quantiles: Vec<f32>,
    /// The policy that answered; `builtin` for the native one.
    #[schema(example = "seasonal-naive")]
    pub policy: String,
    /// Its revision.
    #[schema(value_type = Option<String>, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub revision: Option<Digest>,
    /// Why the bound policy did not answer, where the native one did instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub fallback: Option<String>,
    /// By shard.
    pub shards: Vec<ShardForecast>,
}

/// Forecast load
#[utoipa::path(
    get, path = "/v1/forecasts", tag = "forecasts", params(ForecastQuery),
    responses(
        (status = 200, description = "The forecast", body = ForecastInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 413, description = "More values than one answer holds", body = Problem),
        (status = 503, description = "No history yet", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<ForecastQuery>,
) -> Result<axum::Json<ForecastInfo>, Problem> {
    let horizon = query.horizon.unwrap_or(HORIZON);
    if !(1..=MAX_HORIZON).contains(&horizon) {
        return Err(Problem::bad_request(format!("horizon is a number of steps from 1 to {MAX_HORIZON}.")));
    }
    let map = state.backend.shard_map();
    let mut wanted = Vec::new();
    for id in query.shard.as_deref().unwrap_or_default().split(',').filter(|id| !id.is_empty()) {
        let id = id.trim().parse::<u64>();
        let id =
            id.map_err(|_| Problem::bad_request("shard is a shard's number, or several with commas, as in `7,8`."))?;
        wanted.push(shards::numbered(&map, id)?.id);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let count = if wanted.is_empty() { map.shards.len() } else { wanted.len() };
    // Policies are asked for up to 9 quantiles.
    if count.saturating_mul(9).saturating_mul(horizon as usize) > MAX_VALUES {
        return Err(Problem::too_large(
            MAX_VALUES,
            format!(
                "{count} shards over {horizon} steps are more than one answer holds: name fewer shards, or a shorter horizon."
            ),
        ));
    }
    let report = state.backend.forecast(wanted, horizon).await?;
    let (request, batch) = (&report.request, &report.batch);
    let quantiles = request.quantiles.len();
    let known = |values: &[f32]| values.iter().copied().map(number::known).collect::<Vec<_>>();
    let shards = request.shards.iter().enumerate().map(|(row, &shard)| ShardForecast {
        shard,
        paths: (0..quantiles).map(|q| known(batch.path(request, row, q))).collect(),
        peaks: batch.peaks.get(row * quantiles..(row + 1) * quantiles).map(known).unwrap_or_default(),
        answerer: report.answerers.get(row).copied().unwrap_or_default(),
    });
    let shards = shards.collect();
    Ok(axum::Json(ForecastInfo {
        start: report.start,
        step_ms: report.step_ms,
        horizon: request.horizon,
        quantiles: request.quantiles.clone(),
        policy: report.policy,
        revision: report.revision,
        fallback: report.fallback,
        shards,
    }))
}
