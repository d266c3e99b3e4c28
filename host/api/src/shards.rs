//! `/v1/shards`.

use crate::ApiState;
use crate::backend::ShardFigures;
use crate::body::Json;
use crate::key_text::encode_key;
use crate::keyspaces;
use crate::migrations::{MigrationInfo, begun};
use crate::number;
use crate::problem::Problem;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use isobar_model::{Generation, Incarnation, KeyspaceId, NodeId, Shard, ShardId, ShardMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Shards of one page.
const PAGE: usize = 1000;
/// Most shards of one page.
const MAX_PAGE: usize = 10_000;

/// One copy of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaInfo {
    /// Where it lives.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Which life of it.
    #[schema(value_type = u64, example = 12)]
    pub incarnation: Incarnation,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardInfo {
    /// Its number.
    #[schema(value_type = u64, example = 7)]
    pub id: ShardId,
    /// The name of its keyspace.
    #[schema(example = "tenants")]
    pub keyspace: String,
    /// First internal key, percent-encoded. In a hashed keyspace these begin with the two bytes of the hash slot.
    #[schema(example = "g")]
    pub start: String,
    /// First internal key past it, percent-encoded; null: up to the last.
    #[schema(example = "n")]
    pub end: Option<String>,
    /// Raised with every change of the range.
    #[schema(value_type = u64, example = 1)]
    pub generation: Generation,
    /// Its voters.
    pub replicas: Vec<ReplicaInfo>,
    /// The leader last heard of.
    #[schema(value_type = Option<u64>, example = 3)]
    pub leader: Option<NodeId>,
    /// Load units per second of its leader; null: not known.
    #[schema(example = 31.4)]
    pub leader_load: Option<f32>,
    /// Load units per second of each follower; null: not known.
    #[schema(example = 5.2)]
    pub follower_load: Option<f32>,
    /// Bytes of one replica; null: not known.
    #[schema(example = 1_048_576)]
    pub bytes: Option<u64>,
}

impl ShardInfo {
    pub(crate) fn new(map: &ShardMap, shard: &Shard, figures: Option<&ShardFigures>) -> Self {
        Self {
            id: shard.id,
            keyspace: keyspace_of(map, shard.keyspace),
            start: encode_key(&shard.range.start),
            end: shard.range.end.as_ref().map(|end| encode_key(end)),
            generation: shard.generation,
            replicas: shard.replicas.iter().map(|r| ReplicaInfo { node: r.node, incarnation: r.incarnation }).collect(),
            leader: shard.leader,
            leader_load: figures.and_then(|f| number::known(f.leader_load)),
            follower_load: figures.and_then(|f| number::known(f.follower_load)),
            bytes: figures.map(|f| f.bytes),
        }
    }
}

/// A keyspace's name; its number where the map does not know it.
pub(crate) fn keyspace_of(map: &ShardMap, id: KeyspaceId) -> String {
    map.keyspaces.get(&id).map_or_else(|| id.to_string(), |keyspace| keyspace.name.clone())
}

/// A page of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardPage {
    /// By number.
    pub shards: Vec<ShardInfo>,
    /// Give it as `after` to go on; absent: that was all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 1000)]
    pub next: Option<ShardId>,
}

/// A shard's Raft group, asked now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupInfo {
    /// The leader.
    #[schema(value_type = Option<u64>, example = 3)]
    pub leader: Option<NodeId>,
    /// Its Raft term.
    #[schema(example = 2)]
    pub term: u64,
    /// Voters of the committed membership.
    #[schema(value_type = Vec<u64>, example = json!([1, 3, 5]))]
    pub voters: Vec<NodeId>,
    /// Learners.
    #[schema(value_type = Vec<u64>, example = json!([]))]
    pub learners: Vec<NodeId>,
    /// Whether a joint membership is still in force.
    pub joint: bool,
    /// Index of the last applied entry.
    #[schema(example = 90210)]
    pub applied: u64,
}

/// What a replica recorded at a verify entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DigestInfo {
    /// Whose.
    #[schema(value_type = u64, example = 3)]
    pub node: NodeId,
    /// Log index of the entry.
    #[schema(example = 90000)]
    pub index: u64,
    /// 128-bit modular sum of the hashes of its rows, 32 hexadecimal digits.
    #[schema(example = "00f1e2d3c4b5a69788796a5b4c3d2e1f")]
    pub digest: String,
    /// Rows.
    #[schema(example = 5000)]
    pub rows: u64,
}

/// A shard, with its group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardDetail {
    /// As the shard map has it.
    #[serde(flatten)]
    pub shard: ShardInfo,
    /// As its leader sees it; null: nobody answered.
    pub group: Option<GroupInfo>,
}

/// The replicas of a shard, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Which shard.
    #[schema(value_type = u64, example = 7)]
    pub shard: ShardId,
    /// Whether all replicas that answered hold the same rows.
    pub equal: bool,
    /// Nodes whose replicas did not answer: down, or far behind.
    #[schema(value_type = Vec<u64>, example = json!([]))]
    pub missing: Vec<NodeId>,
    /// By node.
    pub digests: Vec<DigestInfo>,
}

/// Which shards to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShardQuery {
    /// Only those of this keyspace.
    #[param(example = "tenants")]
    pub keyspace: Option<String>,
    /// Only those with a replica on this node.
    #[param(example = 3)]
    pub node: Option<u64>,
    /// The `next` of the page before.
    #[param(example = 1000)]
    pub after: Option<u64>,
    /// Most shards, 1 to 10 000; 1000 by default.
    #[param(example = 100)]
    pub limit: Option<usize>,
}

/// The shard numbered `id`, or a problem that says so.
pub(crate) fn numbered(map: &ShardMap, id: u64) -> Result<&Shard, Problem> {
    map.shards
        .get(&ShardId(id))
        .ok_or_else(|| Problem::not_found(format!("there is no shard {id}: see /v1/shards for those there are.")))
}

/// List shards
#[utoipa::path(
    get, path = "/v1/shards", tag = "shards", params(ShardQuery),
    responses(
        (status = 200, description = "A page of shards, by number", body = ShardPage),
        (status = 400, description = "A parameter can't be read", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<ShardQuery>,
) -> Result<axum::Json<ShardPage>, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {MAX_PAGE}; go on with `after`.")));
    }
    let map = state.backend.shard_map();
    let keyspace = query.keyspace.as_deref().map(|name| keyspaces::named(&map, name)).transpose()?.map(|k| k.id);
    let figures = state.backend.shard_figures().await?;
    let first = query.after.map_or(0, |after| after.saturating_add(1));
    let mut found = map.shards.range(ShardId(first)..).map(|(_, shard)| shard).filter(|shard| {
        keyspace.is_none_or(|id| shard.keyspace == id) && query.node.is_none_or(|node| shard.is_on(NodeId(node)))
    });
    let shards: Vec<_> =
        found.by_ref().take(limit).map(|shard| ShardInfo::new(&map, shard, figures.get(&shard.id))).collect();
    let next = found.next().and_then(|_| shards.last().map(|last| last.id));
    Ok(axum::Json(ShardPage { shards, next }))
}

/// Show a shard
///
/// With its Raft group, asked now.
#[utoipa::path(
    get, path = "/v1/shards/{id}", tag = "shards", params(("id" = u64, Path, example = 7)),
    responses((status = 200, description = "The shard", body = ShardDetail), (status = 404, description = "No such shard", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<ShardDetail>, Problem> {
    let map = state.backend.shard_map();
    let shard = numbered(&map, id)?;
    let figures = state.backend.shard_figures().await?;
    let group = state.backend.shard_status(shard.id).await?.map(|status| GroupInfo {
        leader: status.leader,
        term: status.term,
        voters: status.voters.into_iter().collect(),
        learners: status.learners.into_iter().collect(),
        joint: status.joint,
        applied: status.applied,
    });
    let shard = ShardInfo::new(&map, shard, figures.get(&shard.id));
    Ok(axum::Json(ShardDetail { shard, group }))
}

/// Compare a shard's replicas
///
/// Writes one verify entry to the shard's log, at which every replica records the digest of its rows, and compares them.
#[utoipa::path(
    post, path = "/v1/shards/{id}/verify", tag = "shards", params(("id" = u64, Path, example = 7)),
    responses(
        (status = 200, description = "Compared; `equal` says how it went", body = Verification),
        (status = 404, description = "No such shard", body = Problem),
        (status = 503, description = "The shard has no leader that answers", body = Problem),
    )
)]
pub(crate) async fn verify(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
) -> Result<axum::Json<Verification>, Problem> {
    let map = state.backend.shard_map();
    let shard = numbered(&map, id)?;
    let recorded = state.backend.verify_shard(shard.id).await?;
    let first = recorded.values().next();
    let equal = recorded.values().all(|d| Some(d) == first);
    let missing = shard.replicas.iter().map(|r| r.node).filter(|node| !recorded.contains_key(node)).collect();
    let digests = recorded.into_iter().map(|(node, d)| DigestInfo {
        node,
        index: d.index,
        digest: format!("{:032x}", d.digest),
        rows: d.rows,
    });
    Ok(axum::Json(Verification { shard: shard.id, equal, missing, digests: digests.collect() }))
}

/// Where to move a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveShard {
    /// The node that holds the replica.
    #[schema(value_type = u64, example = 3)]
    pub from: NodeId,
    /// The node that shall hold it.
    #[schema(value_type = u64, example = 5)]
    pub to: NodeId,
}

/// Move a replica
///
/// As an operator's order: safety rules hold, the policies' budgets do not. Answers at once with the migration.
#[utoipa::path(
    post, path = "/v1/shards/{id}/move", tag = "shards", params(("id" = u64, Path, example = 7)), request_body = MoveShard,
    responses(
        (status = 202, description = "Begun; `Location` names the migration", body = MigrationInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 409, description = "A rule forbids it, or it is moving already", body = Problem),
        (status = 422, description = "The nodes can't be meant so", body = Problem),
    )
)]
pub(crate) async fn begin_move(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
    Json(MoveShard { from, to }): Json<MoveShard>,
) -> Result<Response, Problem> {
    let map = state.backend.shard_map();
    let shard = numbered(&map, id)?;
    if from == to {
        return Err(Problem::invalid(format!(
            "from and to are both node {from}: nothing would move; name another node."
        )));
    }
    Ok(begun(&map, &state.backend.move_replica(shard.id, from, to).await?))
}

/// Who shall lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferLeader {
    /// A node that holds a replica.
    #[schema(value_type = u64, example = 5)]
    pub to: NodeId,
}

/// Transfer leadership
#[utoipa::path(
    post, path = "/v1/shards/{id}/transfer-leader", tag = "shards", params(("id" = u64, Path, example = 7)), request_body = TransferLeader,
    responses(
        (status = 202, description = "Begun; `Location` names the migration", body = MigrationInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such shard", body = Problem),
        (status = 409, description = "A rule forbids it, or it is moving already", body = Problem),
        (status = 422, description = "The node can't be meant so", body = Problem),
    )
)]
pub(crate) async fn begin_transfer(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<u64>,
    Json(TransferLeader { to }): Json<TransferLeader>,
) -> Result<Response, Problem> {
    let map = state.backend.shard_map();
    let shard = numbered(&map, id)?;
    Ok(begun(&map, &state.backend.transfer_leader(shard.id, to).await?))
}
