//! `/v1/plans`: plans that wait for an operator, where a keyspace's mode is `approve`.

use crate::ApiState;
use crate::backend::PendingPlan;
use crate::body::Json;
use crate::decisions::MoveInfo;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use isobar_model::InstantMs;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A plan that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanInfo {
    /// The tick that made it: its name.
    #[schema(example = 4021)]
    pub tick: u64,
    /// When, on the control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub made: InstantMs,
    /// In order.
    pub moves: Vec<MoveInfo>,
}

impl From<PendingPlan> for PlanInfo {
    fn from(plan: PendingPlan) -> Self {
        Self { tick: plan.tick, made: plan.made, moves: plan.moves.into_iter().map(MoveInfo::from).collect() }
    }
}

/// A plan to be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleasePlan {
    /// Its tick.
    #[schema(example = 4021)]
    pub tick: u64,
}

/// List plans that wait for an operator
#[utoipa::path(get, path = "/v1/plans/pending", tag = "decisions", responses((status = 200, description = "Oldest first", body = Vec<PlanInfo>), (status = 503, description = "Not known for now", body = Problem)))]
pub(crate) async fn pending(State(state): State<Arc<ApiState>>) -> Result<axum::Json<Vec<PlanInfo>>, Problem> {
    Ok(axum::Json(state.backend.pending_plans().await?.into_iter().map(PlanInfo::from).collect()))
}

/// Release a plan
///
/// At the next tick its moves are checked once more, against the cluster as it will be then, and begun: see `/v1/migrations`.
#[utoipa::path(
    post, path = "/v1/plans/release", tag = "decisions", request_body = ReleasePlan,
    responses(
        (status = 202, description = "The plan, released", body = PlanInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No plan of that tick waits (any more)", body = Problem),
        (status = 409, description = "All moves are halted", body = Problem),
    )
)]
pub(crate) async fn release(
    State(state): State<Arc<ApiState>>,
    Json(ReleasePlan { tick }): Json<ReleasePlan>,
) -> Result<Response, Problem> {
    let released = PlanInfo::from(state.backend.release_plan(tick).await?);
    Ok((StatusCode::ACCEPTED, axum::Json(released)).into_response())
}
