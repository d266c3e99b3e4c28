//! `/v1/status`: the cluster at a glance.

use crate::ApiState;
use crate::problem::Problem;
use axum::extract::State;
use isobar_model::{InstantMs, NodeId, NodeState, RouteVersion};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Nodes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeCounts {
    /// Serving.
    #[schema(example = 6)]
    pub up: u64,
    /// Being emptied.
    pub draining: u64,
    /// Missed their last samples.
    pub suspect: u64,
    /// Not seen for long.
    pub down: u64,
}

/// The cluster at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusInfo {
    /// Version of the node that answers.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// The cluster's name.
    #[schema(example = "demo")]
    pub cluster: String,
    /// The node that answers.
    #[schema(value_type = u64, example = 1)]
    pub node: NodeId,
    /// The control group's leader; null: none for now.
    #[schema(value_type = Option<u64>, example = 1)]
    pub control_leader: Option<NodeId>,
    /// Its term.
    #[schema(example = 1)]
    pub control_term: u64,
    /// The control clock, milliseconds since the Unix epoch.
    #[schema(value_type = u64, example = 1_376_314_800_000_u64)]
    pub now: InstantMs,
    /// The last tick.
    #[schema(example = 4021)]
    pub tick: u64,
    /// Length of a tick on the control clock, milliseconds.
    #[schema(example = 10_000)]
    pub tick_ms: u64,
    /// Length of a forecast step, milliseconds.
    #[schema(example = 300_000)]
    pub step_ms: u32,
    /// Whether all automatic moves are halted.
    pub halted: bool,
    /// Nodes by state.
    pub nodes: NodeCounts,
    /// Keyspaces.
    #[schema(example = 1)]
    pub keyspaces: u64,
    /// Shards.
    #[schema(example = 112)]
    pub shards: u64,
    /// Shards of which no leader was heard.
    #[schema(example = 0)]
    pub leaderless: u64,
    /// Migrations in flight.
    #[schema(example = 2)]
    pub migrations: u64,
    /// The route table's version.
    #[schema(value_type = u64, example = 88)]
    pub route_version: RouteVersion,
}

/// Show the cluster at a glance
#[utoipa::path(get, path = "/v1/status", tag = "operations", responses((status = 200, description = "The cluster as this node sees it", body = StatusInfo), (status = 503, description = "Not known for now", body = Problem)))]
pub(crate) async fn show(State(state): State<Arc<ApiState>>) -> Result<axum::Json<StatusInfo>, Problem> {
    let map = state.backend.shard_map();
    let report = state.backend.status().await?;
    let mut nodes = NodeCounts::default();
    for node in state.backend.nodes().await? {
        let count = match node.state {
            NodeState::Up => &mut nodes.up,
            NodeState::Draining => &mut nodes.draining,
            NodeState::Suspect => &mut nodes.suspect,
            NodeState::Down => &mut nodes.down,
        };
        *count += 1;
    }
    let migrations = state.backend.migrations().await?.iter().filter(|m| !m.stage.is_final()).count() as u64;
    Ok(axum::Json(StatusInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: report.cluster,
        node: report.node,
        control_leader: report.control_leader,
        control_term: report.control_term,
        now: report.now,
        tick: report.tick,
        tick_ms: report.tick_ms,
        step_ms: report.step_ms,
        halted: report.halted,
        nodes,
        keyspaces: map.keyspaces.len() as u64,
        shards: map.shards.len() as u64,
        leaderless: map.shards.values().filter(|s| s.leader.is_none()).count() as u64,
        migrations,
        route_version: map.version,
    }))
}
