//! `/v1/forecasts/scores`.

use crate::ApiState;
use crate::problem::Problem;
use crate::shards;
use axum::extract::{Query, State};
use isobar_model::{Digest, ShardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Of which shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ScoresQuery {
    /// Only of this shard; over all where left out.
    #[param(value_type = Option<u64>, example = 7)]
    pub shard: Option<ShardId>,
}

/// How good forecasts so many steps ahead were; recent days count most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HorizonScoreInfo {
    /// Steps ahead: 1 is the next.
    #[schema(example = 12)]
    pub horizon: u32,
    /// Absolute error of the median over the load; null: nothing scored yet.
    #[schema(example = 0.08)]
    pub wape: Option<f64>,
    /// Pinball loss over the load, mean of the quantiles.
    #[schema(example = 0.03)]
    pub pinball: Option<f64>,
    /// How far the median was above the load on average, over the load: above 0 too much was forecast.
    #[schema(example = -0.01)]
    pub bias: Option<f64>,
    /// Share of loads at or below each quantile's forecast: the quantile itself is perfect.
    #[schema(example = json!([0.06, 0.24, 0.51, 0.76, 0.9, 0.96]))]
    pub coverage: Vec<f64>,
    /// Steps scored.
    #[schema(example = 288)]
    pub steps: u64,
}

/// How often the highest load over the first steps was above what was feared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeakScoreInfo {
    /// So many first steps.
    #[schema(example = 12)]
    pub steps: u32,
    /// The quantile of their maximum that was to hold: one less it is the share of misses of a perfect forecast.
    #[schema(example = 0.97)]
    pub quantile: f32,
    /// Share of maxima above it; null: nothing scored yet.
    #[schema(example = 0.04)]
    pub misses: Option<f64>,
    /// Maxima scored.
    #[schema(example = 21_000)]
    pub windows: u64,
}

/// The scores of a forecaster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecasterScoreInfo {
    /// Its name; `builtin` for the native one.
    #[schema(example = "seasonal-naive")]
    pub policy: String,
    /// Its revision.
    #[schema(value_type = Option<String>, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub revision: Option<Digest>,
    /// By steps ahead.
    pub horizons: Vec<HorizonScoreInfo>,
    /// Peaks missed; null: none forecast.
    pub peaks: Option<PeakScoreInfo>,
}

/// How the bound forecaster stands against the native one, over a band of steps ahead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuardBandInfo {
    /// The last step ahead of the band.
    #[schema(example = 12)]
    pub end_step: u32,
    /// Shards of which enough was judged.
    #[schema(example = 60)]
    pub judged: u64,
    /// Shards that the native forecaster answers for, since the bound one's recent forecasts were worse.
    #[schema(example = 4)]
    pub yielded: u64,
    /// Pinball loss of the bound forecaster over these shards, faded sum, in the load's unit.
    #[schema(example = 210.5)]
    pub policy_loss: f64,
    /// That of the native one.
    #[schema(example = 260.1)]
    pub native_loss: f64,
    /// Values judged, faded.
    #[schema(example = 2880.0)]
    pub evidence: f64,
}

/// Of the shards forecast to become the hottest, how many did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RankingScoreInfo {
    /// Steps ahead.
    #[schema(example = 12)]
    pub horizon: u32,
    /// Share of the shards that are the hottest.
    #[schema(example = 0.1)]
    pub share: f64,
    /// Share of the shards forecast to be among them that were; null: nothing scored yet.
    #[schema(example = 0.93)]
    pub precision: Option<f64>,
    /// The same of ranking by the last measured load.
    #[schema(example = 0.81)]
    pub baseline: Option<f64>,
    /// Steps scored.
    #[schema(example = 288)]
    pub steps: u64,
}

/// How good forecasts turned out to be, since this leader began or the forecaster was bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoresInfo {
    /// The shard; null: over all.
    #[schema(value_type = Option<u64>, example = 7)]
    pub shard: Option<ShardId>,
    /// Length of a step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Quantiles that coverage is told of, ascending.
    #[schema(example = json!([0.05, 0.25, 0.5, 0.75, 0.9, 0.97]))]
    pub quantiles: Vec<f32>,
    /// The bound forecaster; null: none is bound, or nothing of the shard was scored yet.
    pub bound: Option<ForecasterScoreInfo>,
    /// The native forecaster, which always runs along; null: nothing of the shard was scored yet.
    pub native: Option<ForecasterScoreInfo>,
    /// The guard between them, by band; empty while none is bound.
    pub guard: Vec<GuardBandInfo>,
    /// The ranking by the forecast in force, over all shards.
    pub ranking: RankingScoreInfo,
}

/// Show how good forecasts were
#[utoipa::path(
    get, path = "/v1/forecasts/scores", tag = "forecasts", params(ScoresQuery),
    responses(
        (status = 200, description = "Scores by steps ahead", body = ScoresInfo),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 503, description = "No leader", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<ScoresQuery>,
) -> Result<axum::Json<ScoresInfo>, Problem> {
    if let Some(shard) = query.shard {
        shards::numbered(&state.backend.shard_map(), shard.0)?;
    }
    Ok(axum::Json(state.backend.forecast_scores(query.shard).await?))
}
