//! `/v1/migrations`.

use crate::ApiState;
use crate::problem::Problem;
use crate::shards::keyspace_of;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isobar_model::{InstantMs, Migration, MigrationKind, NodeId, OperationId, ShardId, ShardMap, Stage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Migrations of one list.
const LIMIT: usize = 200;
/// Most migrations of one list.
const MAX_LIMIT: usize = 5000;

/// A move being carried out, or the record of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MigrationInfo {
    /// Its number.
    #[schema(value_type = u64, example = 12)]
    pub id: OperationId,
    /// Which shard.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// The name of its keyspace.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// `replica` (data) or `leader`.
    #[schema(value_type = String, example = "replica")]
    pub kind: MigrationKind,
    /// From which node.
    #[schema(value_type = u64, example = 3)]
    pub from: NodeId,
    /// To which node.
    #[schema(value_type = u64, example = 5)]
    pub to: NodeId,
    /// `planned`, `learner`, `copy`, `catch-up`, `verify`, `switch`, `retire`, `done`, `aborting`, `aborted`.
    #[schema(value_type = String, example = "copy")]
    pub stage: Stage,
    /// When it was recorded, on the control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_846_000_u64)]
    pub started: InstantMs,
    /// When it reached this stage, on the control clock.
    #[schema(value_type = u64, example = 1_376_314_850_000_u64)]
    pub stage_since: InstantMs,
    /// Bytes copied so far.
    #[schema(example = 524_288)]
    pub copied_bytes: u64,
    /// Bytes to copy, as far as known.
    #[schema(example = 1_048_576)]
    pub total_bytes: u64,
    /// Wall time until the copy is done at its pace, milliseconds; null: not copying, or not known.
    #[schema(example = 3200)]
    pub eta_ms: Option<u64>,
    /// Failures of the current stage so far.
    #[schema(example = 0)]
    pub failures: u32,
    /// The last failure, or why it was aborted.
    #[schema(example = json!(null))]
    pub error: Option<String>,
    /// Who asked for it and why.
    #[schema(example = "operator")]
    pub reason: String,
}

impl MigrationInfo {
    pub(crate) fn new(map: &ShardMap, migration: &Migration) -> Self {
        let m = migration.clone();
        let keyspace = map.shards.get(&m.shard).map(|shard| keyspace_of(map, shard.keyspace)).unwrap_or_default();
        let left = m.total_bytes.saturating_sub(m.copied_bytes);
        let copying = m.stage == Stage::Copy && left > 0;
        let eta_ms = if copying { left.saturating_mul(1000).checked_div(m.copy_bytes_per_s) } else { None };
        Self {
            id: m.id,
            shard: m.shard,
            keyspace,
            kind: m.kind,
            from: m.source,
            to: m.target,
            stage: m.stage,
            started: m.started,
            stage_since: m.stage_since,
            copied_bytes: m.copied_bytes,
            total_bytes: m.total_bytes,
            eta_ms,
            failures: m.failures,
            error: m.error,
            reason: m.reason,
        }
    }
}

/// The answer to whoever began a migration.
pub(crate) fn begun(map: &ShardMap, migration: &Migration) -> Response {
    let location = format!("/v1/migrations/{}", migration.id);
    let info = MigrationInfo::new(map, migration);
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], axum::Json(info)).into_response()
}

/// Which migrations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MigrationQuery {
    /// Only those not yet ended.
    #[param(example = true)]
    pub active: Option<bool>,
    /// Only those of this shard.
    #[param(example = 7)]
    pub shard: Option<u64>,
    /// Most migrations, the newest are given: 1 to 5000, 200 by default.
    #[param(example = 50)]
    pub limit: Option<usize>,
}

/// List migrations
///
/// Those in flight and the last ones that ended, the newest first.
#[utoipa::path(
    get, path = "/v1/migrations", tag = "migrations", params(MigrationQuery),
    responses((status = 200, description = "Newest first", body = Vec<MigrationInfo>), (status = 400, description = "A parameter can't be read", body = Problem))
)]
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<MigrationQuery>,
) -> Result<axum::Json<Vec<MigrationInfo>>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {MAX_LIMIT}.")));
    }
    let map = state.backend.shard_map();
    let active = query.active.unwrap_or(false);
    let mut migrations = state.backend.migrations().await?;
    migrations.retain(|m| !(active && m.stage.is_final()) && query.shard.is_none_or(|shard| m.shard.0 == shard));
    migrations.sort_by_key(|m| std::cmp::Reverse(m.id));
    Ok(axum::Json(migrations.iter().take(limit).map(|m| MigrationInfo::new(&map, m)).collect()))
}

/// Show a migration
#[utoipa::path(
    get, path = "/v1/migrations/{id}", tag = "migrations", params(("id" = u64, Path, example = 12)),
    responses((status = 200, description = "The migration", body = MigrationInfo), (status = 404, description = "No such migration, or it ended long ago", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<MigrationInfo>, Problem> {
    let migrations = state.backend.migrations().await?;
    let migration = migrations.iter().find(|m| m.id.0 == id).ok_or_else(|| {
        Problem::not_found(format!("no migration {id} is in flight or among the last that ended: see /v1/migrations."))
    })?;
    Ok(axum::Json(MigrationInfo::new(&state.backend.shard_map(), migration)))
}

/// Cancel a migration
///
/// Undoes it: the destination's replica is removed. Too late once the new membership is committed. A no-op where it ended already.
#[utoipa::path(
    post, path = "/v1/migrations/{id}/cancel", tag = "migrations", params(("id" = u64, Path, example = 12)),
    responses(
        (status = 202, description = "Being undone", body = MigrationInfo),
        (status = 404, description = "No such migration", body = Problem),
        (status = 409, description = "Past the point of return: move it back instead", body = Problem),
    )
)]
pub(crate) async fn cancel(State(state): State<Arc<ApiState>>, Path(id): Path<u64>) -> Result<Response, Problem> {
    let migration = state.backend.cancel_migration(OperationId(id)).await?;
    Ok(begun(&state.backend.shard_map(), &migration))
}
