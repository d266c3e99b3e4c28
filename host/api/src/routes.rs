//! `/v1/routes`: the shard map, for clients that route by themselves.

use crate::ApiState;
use crate::keyspaces::KeyspaceInfo;
use crate::problem::Problem;
use crate::shards::ShardInfo;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use isobar_model::{NodeId, RouteVersion};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Longest wait for a newer table: below what proxies and our own idle limit allow.
const MAX_WAIT_MS: u64 = 30_000;

/// Where a node's API is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeAddress {
    /// Which.
    #[schema(value_type = u64, example = 3)]
    pub id: NodeId,
    /// `host:port`.
    #[schema(example = "127.0.0.1:7403")]
    pub http_addr: String,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteTable {
    /// Never goes back.
    #[schema(value_type = u64, example = 88)]
    pub version: RouteVersion,
    /// By number.
    pub keyspaces: Vec<KeyspaceInfo>,
    /// By number.
    pub shards: Vec<ShardInfo>,
    /// By number.
    pub nodes: Vec<NodeAddress>,
}

/// What the caller has, and how long it waits for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RouteQuery {
    /// The version you have: only a newer one is given.
    #[param(example = 87)]
    pub after: Option<u64>,
    /// Wait so long for a newer one, 30 000 at most; 0 by default.
    #[param(example = 10_000)]
    pub wait_ms: Option<u64>,
}

/// Show the route table
///
/// With `after` and `wait_ms` a long poll.
#[utoipa::path(
    get, path = "/v1/routes", tag = "routes", params(RouteQuery),
    responses(
        (status = 200, description = "The table", body = RouteTable),
        (status = 204, description = "Nothing newer than `after` within `wait_ms`"),
        (status = 400, description = "A parameter can't be read", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<RouteQuery>,
) -> Result<Response, Problem> {
    let wait_ms = query.wait_ms.unwrap_or(0);
    if wait_ms > MAX_WAIT_MS {
        return Err(Problem::bad_request(format!("wait_ms is {MAX_WAIT_MS} at most: ask again instead.")));
    }
    let mut map = state.backend.shard_map();
    if let Some(after) = query.after.filter(|&after| map.version.0 <= after) {
        let newer = state.backend.newer_map(RouteVersion(after));
        let newer = tokio::select! {
            newer = tokio::time::timeout(Duration::from_millis(wait_ms), newer) => newer.ok(),
            () = Arc::clone(&state).stopped() => None,
        };
        match newer {
            Some(newer) => map = newer,
            None => return Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
    let nodes = state.backend.nodes().await?;
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    for shard in map.shards.values() {
        *counts.entry(shard.keyspace).or_default() += 1;
    }
    let table = RouteTable {
        version: map.version,
        keyspaces: map
            .keyspaces
            .values()
            .map(|k| KeyspaceInfo::new(k, counts.get(&k.id).copied().unwrap_or(0)))
            .collect(),
        shards: map.shards.values().map(|shard| ShardInfo::new(&map, shard, None)).collect(),
        nodes: nodes
            .into_iter()
            .map(|report| NodeAddress { id: report.node.id, http_addr: report.node.http_addr })
            .collect(),
    };
    Ok(axum::Json(table).into_response())
}
