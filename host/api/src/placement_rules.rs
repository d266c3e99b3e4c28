//! `/v1/keyspaces/{name}/rules`.

use crate::ApiState;
use crate::body::Json;
use crate::keyspaces::named;
use crate::problem::Problem;
use axum::extract::{Path, State};
use isobar_model::placement_rules::MAX_RULE_ENTRIES;
use isobar_model::{KeyspaceId, Label, PlacementRules, ShardMap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

/// Where a keyspace's replicas may live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementRulesInfo {
    /// Labels, `key=value`: of each key named here a node has one of the values named.
    #[schema(example = json!(["region=eu", "region=us", "disk=ssd"]))]
    pub require: Vec<String>,
    /// Labels of which a node has none.
    #[schema(example = json!(["disk=hdd"]))]
    pub forbid: Vec<String>,
    /// Names of keyspaces: no node holds replicas of this one and of one of those.
    #[schema(example = json!(["batch"]))]
    pub apart: Vec<String>,
    /// Names of keyspaces: every node that holds replicas of this one holds some of each of those.
    #[schema(example = json!([]))]
    pub together: Vec<String>,
}

impl PlacementRulesInfo {
    pub(crate) fn new(map: &ShardMap, rules: &PlacementRules) -> Self {
        let labels = |labels: &BTreeSet<Label>| labels.iter().map(Label::to_string).collect();
        let names = |ids: &BTreeSet<KeyspaceId>| {
            ids.iter().filter_map(|id| map.keyspaces.get(id)).map(|keyspace| keyspace.name.clone()).collect()
        };
        Self {
            require: labels(&rules.require),
            forbid: labels(&rules.forbid),
            apart: names(&rules.apart),
            together: names(&rules.together),
        }
    }

    /// As the cluster knows them.
    pub(crate) fn read(&self, map: &ShardMap) -> Result<PlacementRules, Problem> {
        for part in [&self.require, &self.forbid, &self.apart, &self.together] {
            if part.len() > MAX_RULE_ENTRIES {
                return Err(Problem {
                    limit: Some(MAX_RULE_ENTRIES as u64),
                    ..Problem::invalid(format!("{} entries: {MAX_RULE_ENTRIES} at most in each part.", part.len()))
                });
            }
        }
        let labels = |texts: &[String]| {
            let read = |text: &String| text.parse::<Label>().map_err(|error| Problem::invalid(format!("{error}.")));
            texts.iter().map(read).collect::<Result<BTreeSet<_>, _>>()
        };
        let ids = |names: &[String]| {
            let id = |name: &String| named(map, name).map(|keyspace| keyspace.id);
            names.iter().map(id).collect::<Result<BTreeSet<_>, _>>()
        };
        Ok(PlacementRules {
            require: labels(&self.require)?,
            forbid: labels(&self.forbid)?,
            apart: ids(&self.apart)?,
            together: ids(&self.together)?,
        })
    }
}

/// Show where a keyspace's replicas may live
#[utoipa::path(
    get, path = "/v1/keyspaces/{name}/rules", tag = "keyspaces", params(("name" = String, Path, example = "tenants")),
    responses((status = 200, description = "Its placement rules; all empty: anywhere", body = PlacementRulesInfo), (status = 404, description = "No such keyspace", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
) -> Result<axum::Json<PlacementRulesInfo>, Problem> {
    let map = state.backend.shard_map();
    let rules = state.backend.placement_rules(named(&map, &name)?.id).await?;
    Ok(axum::Json(PlacementRulesInfo::new(&map, &rules)))
}

/// Say where a keyspace's replicas may live
///
/// In place of what was said before. Replicas that live elsewhere are moved by the host, whatever the keyspace's mode, unless all moves are halted.
#[utoipa::path(
    put, path = "/v1/keyspaces/{name}/rules", tag = "keyspaces", params(("name" = String, Path, example = "tenants")), request_body = PlacementRulesInfo,
    responses(
        (status = 200, description = "The rules as they are now", body = PlacementRulesInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such keyspace, or one that is named does not exist", body = Problem),
        (status = 422, description = "No label, too many entries, or rules that contradict each other", body = Problem),
    )
)]
pub(crate) async fn set(
    State(state): State<Arc<ApiState>>,
    Path(name): Path<String>,
    Json(rules): Json<PlacementRulesInfo>,
) -> Result<axum::Json<PlacementRulesInfo>, Problem> {
    let map = state.backend.shard_map();
    let keyspace = named(&map, &name)?.id;
    let rules = rules.read(&map)?;
    rules.check(keyspace).map_err(|why| Problem::invalid(format!("{why}.")))?;
    let rules = state.backend.set_placement_rules(keyspace, rules).await?;
    Ok(axum::Json(PlacementRulesInfo::new(&map, &rules)))
}
