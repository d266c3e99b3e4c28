//! `/healthz` and `/readyz`.

use crate::ApiState;
use crate::problem::Problem;
use axum::extract::State;
use std::sync::Arc;

/// Whether the process lives
///
/// Needs no token, and answers even where all else is busy.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses((status = 200, description = "It does", content_type = "text/plain", body = String, example = "ok\n")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Whether this node can serve
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "It can", content_type = "text/plain", body = String, example = "ready\n"),
    (status = 503, description = "Not yet; the detail says what it waits for", body = Problem),
))]
pub(crate) async fn ready(State(state): State<Arc<ApiState>>) -> Result<&'static str, Problem> {
    state.backend.ready().await.map(|()| "ready\n").map_err(Problem::unavailable)
}
