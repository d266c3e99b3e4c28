//! `/v1/what-if`.

use crate::ApiState;
use crate::body::Json;
use crate::decisions::JudgedMove;
use crate::keyspaces::named;
use crate::problem::Problem;
use axum::extract::State;
use isobar_model::{Digest, KeyspaceId, NodeId, NodeState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// Most nodes that may be supposed to be added.
const MAX_ADDED: u32 = 100;
/// Most times that a load may be supposed to be: enough for any flash crowd.
const MAX_LOAD_FACTOR: f32 = 1000.0;

/// What is to be supposed; what is left out is as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhatIf {
    /// Nodes that do not answer any more.
    #[schema(value_type = Vec<u64>, example = json!([3]))]
    pub nodes_down: Vec<NodeId>,
    /// Nodes that are emptied.
    #[schema(value_type = Vec<u64>, example = json!([]))]
    pub nodes_draining: Vec<NodeId>,
    /// More nodes, each as large as the median one, in zones of their own; at most 100.
    #[schema(example = 0)]
    pub nodes_added: u32,
    /// By the names of keyspaces: their load, times so much.
    #[schema(example = json!({"tenants": 1.4}))]
    pub load: BTreeMap<String, f32>,
    /// Digest of the revision of another placer, with its configuration; null: the native one; left out: the one that serves.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = json!(null))]
    pub placer: Option<Option<Digest>>,
    /// The other placer's configuration; `{}` where left out.
    #[schema(example = json!({}))]
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// A field that is there, be it null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Digest>>, D::Error> {
    Option::<Digest>::deserialize(deserializer).map(Some)
}

/// What was asked, with the cluster's own numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhatIfAsk {
    /// Nodes that do not answer.
    pub down: BTreeSet<NodeId>,
    /// Nodes that are emptied.
    pub draining: BTreeSet<NodeId>,
    /// More nodes.
    pub added: u32,
    /// Load by keyspace, times so much.
    pub load: BTreeMap<KeyspaceId, f32>,
    /// Another placer, with its configuration, JSON; inner none: the native one.
    pub placer: Option<Option<(Digest, String)>>,
}

/// One node, in shares of its capacity: 1 is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhatIfNode {
    /// Its number; of a node that was added, one that no node has yet.
    #[schema(value_type = u64, example = 4)]
    pub node: NodeId,
    /// Whether it was added.
    pub added: bool,
    /// Its state as supposed.
    #[schema(value_type = String, example = "up")]
    pub state: NodeState,
    /// Highest median load forecast, as things are; null: it was added.
    #[schema(example = 0.61)]
    pub as_it_is: Option<f32>,
    /// The same as supposed, with nothing moved.
    #[schema(example = 1.12)]
    pub unmoved: f32,
    /// The same as supposed, all of the plan done.
    #[schema(example = 0.83)]
    pub planned: f32,
    /// Highest load at the uppermost quantile of all shards at once, all of the plan done: a bound from above.
    #[schema(example = 1.02)]
    pub feared: f32,
}

/// What would be planned. Nothing is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhatIfInfo {
    /// Who planned.
    #[schema(example = "predictive")]
    pub policy: String,
    /// Why the built-in placer planned instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// By number.
    pub nodes: Vec<WhatIfNode>,
    /// Moves that would be made, in this order.
    pub moves: Vec<JudgedMove>,
    /// Moves that were proposed and refused, with the rule.
    pub refused: Vec<JudgedMove>,
    /// Replicas that would be copied.
    #[schema(example = 3)]
    pub data_moves: u64,
    /// Leaderships that would be handed over.
    #[schema(example = 5)]
    pub leader_transfers: u64,
    /// Bytes that would be copied.
    #[schema(example = 268_435_456_u64)]
    pub bytes: u64,
    /// How long it would take, by the measured speed of the last moves, milliseconds of the control clock.
    #[schema(example = 900_000)]
    pub takes_ms: u64,
    /// Whether the plan goes on beyond what is shown.
    pub cut: bool,
    /// What policies and the host had to say.
    pub notes: Vec<String>,
}

/// Suppose
///
/// What would be planned if nodes were lost, emptied or added, loads were others, or another placer served: by the forecasts in force, all keyspaces
/// that are not only observed taken to be in `auto`. Nothing is carried out.
#[utoipa::path(
    post, path = "/v1/what-if", tag = "plans", request_body = WhatIf,
    responses(
        (status = 200, description = "The plan, and each node's load before and after", body = WhatIfInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "A node, keyspace or revision that does not exist", body = Problem),
        (status = 422, description = "A figure out of range", body = Problem),
    )
)]
pub(crate) async fn suppose(
    State(state): State<Arc<ApiState>>,
    Json(asked): Json<WhatIf>,
) -> Result<axum::Json<WhatIfInfo>, Problem> {
    let map = state.backend.shard_map();
    if asked.nodes_added > MAX_ADDED {
        return Err(Problem {
            limit: Some(u64::from(MAX_ADDED)),
            ..Problem::invalid(format!("nodes_added is 0 to {MAX_ADDED}, not {}.", asked.nodes_added))
        });
    }
    let nodes: BTreeSet<NodeId> = state.backend.nodes().await?.into_iter().map(|report| report.node.id).collect();
    if let Some(unknown) = asked.nodes_down.iter().chain(&asked.nodes_draining).find(|node| !nodes.contains(node)) {
        return Err(Problem::not_found(format!("there is no node {unknown}: see /v1/nodes.")));
    }
    let mut load = BTreeMap::new();
    for (name, factor) in asked.load {
        if !(0.0..=MAX_LOAD_FACTOR).contains(&factor) {
            return Err(Problem::invalid(format!("load is 0 to {MAX_LOAD_FACTOR} times what it is, not {factor}.")));
        }
        load.insert(named(&map, &name)?.id, factor);
    }
    let config = serde_json::Value::Object(asked.config).to_string();
    let ask = WhatIfAsk {
        down: asked.nodes_down.into_iter().collect(),
        draining: asked.nodes_draining.into_iter().collect(),
        added: asked.nodes_added,
        load,
        placer: asked.placer.map(|revision| revision.map(|digest| (digest, config))),
    };
    Ok(axum::Json(state.backend.what_if(ask).await?))
}
