//! `/v1/nodes`.

use crate::ApiState;
use crate::backend::NodeReport;
use crate::node_usage::UsageInfo;
use crate::number;
use crate::problem::Problem;
use axum::extract::{Path, State};
use isobar_model::{Capacities, NodeId, NodeState, ShardMap, ZoneId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// Its number.
    #[schema(value_type = u64, example = 3)]
    pub id: NodeId,
    /// Its failure domain.
    #[schema(value_type = u32, example = 1)]
    pub zone: ZoneId,
    /// What it says of itself, `key=value`, for the placement rules of keyspaces.
    #[serde(default)]
    #[schema(example = json!(["disk=ssd"]))]
    pub labels: Vec<String>,
    /// `up`, `draining`, `suspect` or `down`.
    #[schema(value_type = String, example = "up")]
    pub state: NodeState,
    /// Where other nodes reach it.
    #[schema(example = "127.0.0.1:7503")]
    pub peer_addr: String,
    /// Where clients reach it.
    #[schema(example = "127.0.0.1:7403")]
    pub http_addr: String,
    /// Load units per second it can carry.
    #[schema(example = 900.0)]
    pub capacity: f32,
    /// Measured load units per second; null: not known.
    #[schema(example = 412.5)]
    pub load: Option<f32>,
    /// What else it declares to have, by metric (rates are per second); what is missing has no limit.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, f32>, example = json!({"cpu-millicores": 8000.0, "network-bytes": 1e9}))]
    pub resources: Capacities,
    /// Bytes that fit.
    #[schema(example = 1_000_000_000_u64)]
    pub capacity_bytes: u64,
    /// Bytes stored.
    #[schema(example = 73_400_320)]
    pub used_bytes: u64,
    /// Shards it leads, by the last that was heard.
    #[schema(example = 17)]
    pub leaders: u64,
    /// Replicas it holds.
    #[schema(example = 52)]
    pub replicas: u64,
    /// What its process uses; null where it is silent.
    pub usage: Option<UsageInfo>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    leaders: u64,
    replicas: u64,
}

fn counts(map: &ShardMap) -> BTreeMap<NodeId, Counts> {
    let mut counts = BTreeMap::<NodeId, Counts>::new();
    for shard in map.shards.values() {
        if let Some(leader) = shard.leader {
            counts.entry(leader).or_default().leaders += 1;
        }
        for replica in &shard.replicas {
            counts.entry(replica.node).or_default().replicas += 1;
        }
    }
    counts
}

fn info(report: NodeReport, counts: &BTreeMap<NodeId, Counts>) -> NodeInfo {
    let NodeReport { node, labels, capacities, state, load, used_bytes, usage } = report;
    let Counts { leaders, replicas } = counts.get(&node.id).copied().unwrap_or_default();
    NodeInfo {
        id: node.id,
        zone: node.zone,
        labels: labels.iter().map(ToString::to_string).collect(),
        state,
        peer_addr: node.peer_addr,
        http_addr: node.http_addr,
        capacity: node.capacity,
        load: number::known(load),
        resources: capacities,
        capacity_bytes: node.capacity_bytes,
        used_bytes,
        leaders,
        replicas,
        usage,
    }
}

/// List nodes
#[utoipa::path(
    get, path = "/v1/nodes", tag = "nodes",
    responses((status = 200, description = "All nodes, by number", body = Vec<NodeInfo>), (status = 503, description = "Not known for now", body = Problem))
)]
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> Result<axum::Json<Vec<NodeInfo>>, Problem> {
    let counts = counts(&state.backend.shard_map());
    let nodes = state.backend.nodes().await?;
    Ok(axum::Json(nodes.into_iter().map(|report| info(report, &counts)).collect()))
}

/// Show a node
#[utoipa::path(
    get, path = "/v1/nodes/{id}", tag = "nodes", params(("id" = u64, Path, example = 3)),
    responses((status = 200, description = "The node", body = NodeInfo), (status = 404, description = "No such node", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<NodeInfo>, Problem> {
    let nodes = state.backend.nodes().await?;
    let report = nodes.into_iter().find(|report| report.node.id.0 == id);
    let report = report
        .ok_or_else(|| Problem::not_found(format!("there is no node {id}: see /v1/nodes for those there are.")))?;
    Ok(axum::Json(info(report, &counts(&state.backend.shard_map()))))
}

async fn set_draining(state: &ApiState, id: u64, draining: bool) -> Result<axum::Json<NodeInfo>, Problem> {
    let report = state.backend.set_draining(NodeId(id), draining).await?;
    Ok(axum::Json(info(report, &counts(&state.backend.shard_map()))))
}

/// Drain a node
///
/// It takes no new replicas or leaders, and the loop moves away what it has; follow `/v1/migrations`, or its `replicas` going to 0.
#[utoipa::path(
    post, path = "/v1/nodes/{id}/drain", tag = "nodes", params(("id" = u64, Path, example = 3)),
    responses(
        (status = 200, description = "Draining", body = NodeInfo),
        (status = 404, description = "No such node", body = Problem),
        (status = 409, description = "The others could not hold its replicas", body = Problem),
    )
)]
pub(crate) async fn drain(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<NodeInfo>, Problem> {
    set_draining(&state, id, true).await
}

/// End draining a node
#[utoipa::path(
    delete, path = "/v1/nodes/{id}/drain", tag = "nodes", params(("id" = u64, Path, example = 3)),
    responses((status = 200, description = "Takes replicas again", body = NodeInfo), (status = 404, description = "No such node", body = Problem))
)]
pub(crate) async fn undrain(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<NodeInfo>, Problem> {
    set_draining(&state, id, false).await
}
