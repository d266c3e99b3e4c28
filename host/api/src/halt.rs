//! `/v1/halt`: the brake on all automatic moves.

use crate::ApiState;
use crate::problem::Problem;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Whether all automatic moves are halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltInfo {
    /// Whether they are.
    pub halted: bool,
}

/// Halt all automatic moves
///
/// None begins from now on; migrations in flight go on, cancel them one by one where needed. Operators' own moves still work.
#[utoipa::path(put, path = "/v1/halt", tag = "operations", responses((status = 200, description = "Halted", body = HaltInfo), (status = 503, description = "No quorum for now", body = Problem)))]
pub(crate) async fn halt(State(state): State<Arc<ApiState>>) -> Result<axum::Json<HaltInfo>, Problem> {
    state.backend.set_halted(true).await?;
    Ok(axum::Json(HaltInfo { halted: true }))
}

/// Let automatic moves go on
#[utoipa::path(delete, path = "/v1/halt", tag = "operations", responses((status = 200, description = "Going on", body = HaltInfo), (status = 503, description = "No quorum for now", body = Problem)))]
pub(crate) async fn resume(State(state): State<Arc<ApiState>>) -> Result<axum::Json<HaltInfo>, Problem> {
    state.backend.set_halted(false).await?;
    Ok(axum::Json(HaltInfo { halted: false }))
}
