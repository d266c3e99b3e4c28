//! `/v1/keyspaces`.

use crate::ApiState;
use crate::backend::NewKeyspace;
use crate::body::Json;
use crate::key_text::decode_key;
use crate::placement_rules::PlacementRulesInfo;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_SHARDS_PER_KEYSPACE};
use isobar_model::{Keyspace, KeyspaceId, Mode, NodeId, Partitioning, ShardMap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

/// Most bytes of a creation's body: 25 600 split points of some hundred bytes each.
const MAX_CREATE_BYTES: usize = 8 << 20;
/// Shards of a hashed keyspace where the caller names no number: some for each node of a small cluster.
const HASH_SHARDS: u32 = 8;
/// Replicas where the caller names no factor.
const REPLICATION_FACTOR: u32 = 3;
/// Can't name a keyspace, as `/v1/bindings/{role}/rollback` is a resource of its own.
const RESERVED_NAME: &str = "rollback";

/// A keyspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyspaceInfo {
    /// Its number.
    #[schema(value_type = u32, example = 1)]
    pub id: KeyspaceId,
    /// Its name.
    #[schema(example = "tenants")]
    pub name: String,
    /// `hash` or `range`.
    #[schema(value_type = String, example = "range")]
    pub partitioning: Partitioning,
    /// Copies of each shard.
    #[schema(example = 3)]
    pub replication_factor: u32,
    /// What the loop may do here by itself: `observe`, `advise`, `approve`, `auto`.
    #[schema(value_type = String, example = "auto")]
    pub mode: Mode,
    /// Number of shards.
    #[schema(example = 56)]
    pub shards: u64,
}

impl KeyspaceInfo {
    pub(crate) fn new(keyspace: &Keyspace, shards: u64) -> Self {
        Self {
            id: keyspace.id,
            name: keyspace.name.clone(),
            partitioning: keyspace.partitioning,
            replication_factor: keyspace.replication_factor,
            mode: keyspace.mode,
            shards,
        }
    }

    fn of(map: &ShardMap, keyspace: &Keyspace) -> Self {
        Self::new(keyspace, map.shards.values().filter(|s| s.keyspace == keyspace.id).count() as u64)
    }
}

/// A keyspace to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyspace {
    /// 1–64 of `a-z 0-9 - _`, a letter first.
    #[schema(example = "tenants")]
    pub name: String,
    /// `hash` (even load) or `range` (ordered scans).
    #[schema(value_type = String, example = "range")]
    pub partitioning: Partitioning,
    /// Shards of a hashed keyspace, of even size; 8 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub shards: Option<u32>,
    /// Keys that cut a range keyspace into shards, percent-encoded, ascending: one fewer than shards. None: one shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["g", "n", "t"]))]
    pub split_points: Option<Vec<String>>,
    /// Copies of each shard: 1, 3 or 5; 3 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub replication_factor: Option<u32>,
    /// `observe`, `advise`, `approve` or `auto`; the cluster's default where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "advise")]
    pub mode: Option<Mode>,
    /// The nodes of each shard's replicas in the order of the key, leader first; spread evenly where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<u64>>>, example = json!(null))]
    pub placement: Option<Vec<Vec<NodeId>>>,
    /// Where replicas may live; anywhere where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<PlacementRulesInfo>,
}

impl CreateKeyspace {
    fn check(self, map: &ShardMap) -> Result<NewKeyspace, Problem> {
        let Self { name, partitioning, shards, split_points, replication_factor, mode, placement, rules } = self;
        if !Keyspace::is_valid_name(&name) || name == RESERVED_NAME {
            return Err(Problem::invalid(format!(
                "a keyspace's name has 1 to 64 of `a-z 0-9 - _`, a letter first, and is not `{RESERVED_NAME}`: choose another."
            )));
        }
        let replication_factor = replication_factor.unwrap_or(REPLICATION_FACTOR);
        if ![1, 3, 5].contains(&replication_factor) {
            return Err(Problem::invalid(
                "replication_factor is 1, 3 or 5: even numbers cost a copy and survive no more failures.",
            ));
        }
        let split_points = match (partitioning, split_points, shards) {
            (Partitioning::Hash, Some(_), _) => {
                return Err(Problem::invalid(
                    "a hashed keyspace is cut evenly: give `shards` instead of `split_points`.",
                ));
            }
            (Partitioning::Hash, None, shards) => {
                let shards = shards.unwrap_or(HASH_SHARDS);
                check_count(u64::from(shards))?;
                Partitioning::even_slots(shards)
            }
            (Partitioning::Range, points, shards) => {
                let points = points.unwrap_or_default();
                if shards.is_some_and(|n| n as usize != points.len() + 1) {
                    return Err(Problem::invalid(format!(
                        "a range keyspace has one shard more than `split_points`, here {}: leave `shards` out, or name the keys that part its shards.",
                        points.len() + 1
                    )));
                }
                check_count(points.len() as u64 + 1)?;
                let points: Vec<Bytes> = points.iter().map(|point| decode_key(point)).collect();
                if let Some(long) = points.iter().find(|point| point.len() > MAX_KEY_BYTES) {
                    let detail =
                        format!("a split point has {} bytes, {MAX_KEY_BYTES} at most: shorten it.", long.len());
                    return Err(Problem::too_large(MAX_KEY_BYTES, detail));
                }
                if points.first().is_some_and(Bytes::is_empty) || points.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return Err(Problem::invalid(
                        "split points ascend, and none is empty or there twice: sort them by their bytes.",
                    ));
                }
                points
            }
        };
        let placement = placement.unwrap_or_default();
        if !placement.is_empty() && placement.len() != split_points.len() + 1 {
            return Err(Problem::invalid(format!(
                "placement has {} entries for {} shards: give one list of nodes a shard, or leave it out.",
                placement.len(),
                split_points.len() + 1
            )));
        }
        let distinct = |nodes: &Vec<NodeId>| nodes.iter().collect::<BTreeSet<_>>().len() == replication_factor as usize;
        if placement.iter().any(|nodes| nodes.len() != replication_factor as usize || !distinct(nodes)) {
            return Err(Problem::invalid(format!(
                "each entry of placement names {replication_factor} distinct nodes, the leader first."
            )));
        }
        let rules = rules.unwrap_or_default().read(map)?;
        // Its number is not known yet; it can't be named among the others either.
        rules.check(KeyspaceId(0)).map_err(|why| Problem::invalid(format!("{why}.")))?;
        Ok(NewKeyspace { name, partitioning, split_points, replication_factor, mode, placement, rules })
    }
}

fn check_count(shards: u64) -> Result<(), Problem> {
    if (1..=MAX_SHARDS_PER_KEYSPACE as u64).contains(&shards) {
        return Ok(());
    }
    Err(Problem {
        limit: Some(MAX_SHARDS_PER_KEYSPACE as u64),
        ..Problem::invalid(format!("{shards} shards are asked for: 1 to {MAX_SHARDS_PER_KEYSPACE} will do."))
    })
}

/// A mode to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// `observe`, `advise`, `approve` or `auto`.
    #[schema(value_type = String, example = "auto")]
    pub mode: Mode,
}

/// The keyspace called `name`, or a problem that says so.
pub(crate) fn named<'m>(map: &'m ShardMap, name: &str) -> Result<&'m Keyspace, Problem> {
    map.keyspace_named(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        Problem::not_found(format!(
            "there is no keyspace {name:?}: create it first, or see /v1/keyspaces for those there are."
        ))
    })
}

/// List keyspaces
#[utoipa::path(get, path = "/v1/keyspaces", tag = "keyspaces", responses((status = 200, description = "All keyspaces, by number", body = Vec<KeyspaceInfo>)))]
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> axum::Json<Vec<KeyspaceInfo>> {
    let map = state.backend.shard_map();
    let mut counts = std::collections::BTreeMap::<KeyspaceId, u64>::new();
    for shard in map.shards.values() {
        *counts.entry(shard.keyspace).or_default() += 1;
    }
    let count = |keyspace: &Keyspace| counts.get(&keyspace.id).copied().unwrap_or(0);
    axum::Json(map.keyspaces.values().map(|keyspace| KeyspaceInfo::new(keyspace, count(keyspace))).collect())
}

/// Create a keyspace
///
/// Answers once every shard has a leader.
#[utoipa::path(
    post, path = "/v1/keyspaces", tag = "keyspaces", request_body = CreateKeyspace,
    responses(
        (status = 201, description = "Created; `Location` names it", body = KeyspaceInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 409, description = "The name is taken", body = Problem),
        (status = 413, description = "A split point or the body is too large", body = Problem),
        (status = 422, description = "A field is missing, unknown or out of range", body = Problem),
    )
)]
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Json(body): Json<CreateKeyspace, MAX_CREATE_BYTES>,
) -> Result<impl IntoResponse, Problem> {
    let new = body.check(&state.backend.shard_map())?;
    let shards = new.split_points.len() as u64 + 1;
    let keyspace = state.backend.create_keyspace(new).await?;
    let location = format!("/v1/keyspaces/{}", keyspace.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(KeyspaceInfo::new(&keyspace, shards))))
}

/// Show a keyspace
#[utoipa::path(
    get, path = "/v1/keyspaces/{name}", tag = "keyspaces", params(("name" = String, Path, example = "tenants")),
    responses((status = 200, description = "The keyspace", body = KeyspaceInfo), (status = 404, description = "No such keyspace", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
) -> Result<axum::Json<KeyspaceInfo>, Problem> {
    let map = state.backend.shard_map();
    Ok(axum::Json(KeyspaceInfo::of(&map, named(&map, &name)?)))
}

/// Set a keyspace's mode
#[utoipa::path(
    put, path = "/v1/keyspaces/{name}/mode", tag = "keyspaces", params(("name" = String, Path, example = "tenants")), request_body = SetMode,
    responses(
        (status = 200, description = "The keyspace as it is now", body = KeyspaceInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such keyspace", body = Problem),
        (status = 422, description = "No such mode", body = Problem),
    )
)]
pub(crate) async fn set_mode(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
    Json(SetMode { mode }): Json<SetMode>,
) -> Result<axum::Json<KeyspaceInfo>, Problem> {
    let map = state.backend.shard_map();
    let keyspace = state.backend.set_mode(named(&map, &name)?.id, mode).await?;
    Ok(axum::Json(KeyspaceInfo::of(&map, &keyspace)))
}
