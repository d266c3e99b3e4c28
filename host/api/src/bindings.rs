//! `/v1/bindings`: which revision serves a role, for all keyspaces or one.

use crate::ApiState;
use crate::backend::{BindingChange, Bound};
use crate::body::{Json, OptionalJson};
use crate::keyspaces;
use crate::problem::Problem;
use crate::shards::keyspace_of;
use axum::extract::{Path, State};
use isobar_model::policy::MAX_CONFIG_BYTES;
use isobar_model::{Binding, Digest, KeyspaceId, Role, ShardMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The word that stands for the native policy, as null does.
const BUILTIN: &str = "builtin";

/// A binding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BindingInfo {
    /// `forecast` or `place`.
    #[schema(value_type = String, example = "forecast")]
    pub role: Role,
    /// One keyspace; null: all that have no binding of their own.
    #[schema(example = json!(null))]
    pub keyspace: Option<String>,
    /// What serves; null: the native built-in policy.
    #[schema(value_type = Option<String>, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub revision: Option<Digest>,
    /// Its configuration.
    #[schema(value_type = Object, example = json!({"season": "week"}))]
    pub config: serde_json::Value,
    /// Raised with every change: give it as `expected`.
    #[schema(example = 4)]
    pub number: u64,
    /// What served before, for rolling back.
    #[schema(value_type = Option<String>, example = json!(null))]
    pub previous: Option<Digest>,
    /// Whether it is what a new cluster begins with, not an operator's choice.
    pub default: bool,
    /// In the answer to a change: milliseconds from the request to the new instance serving, compilation not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3.2)]
    pub swap_ms: Option<f64>,
}

impl BindingInfo {
    fn new(map: &ShardMap, bound: Bound) -> Self {
        let Bound { binding, by_default, swap_ms } = bound;
        // The configuration of a binding never made is empty; any other was checked when it was set.
        let config = serde_json::from_str(&binding.config).unwrap_or_else(|_| serde_json::json!({}));
        Self {
            role: binding.role,
            keyspace: binding.keyspace.map(|id| keyspace_of(map, id)),
            revision: binding.revision,
            config,
            number: binding.number,
            previous: binding.previous,
            default: by_default,
            swap_ms,
        }
    }
}

/// A binding to be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBinding {
    /// A digest; null or `builtin`: the native policy.
    #[serde(deserialize_with = "required")]
    #[schema(required, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub revision: Option<String>,
    /// Its configuration, by the policy's schema; `{}` where left out.
    #[serde(default = "no_config")]
    #[schema(value_type = Object, example = json!({"season": "week"}))]
    pub config: serde_json::Value,
    /// The binding's number as you know it; 0: not bound yet.
    #[schema(example = 3)]
    pub expected: u64,
}

fn no_config() -> serde_json::Value {
    serde_json::json!({})
}

/// A field that may be null but not left out: leaving it out would silently mean the built-in policy.
fn required<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// A roll-back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    /// The binding's number as you know it; left out: whatever is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 4)]
    pub expected: Option<u64>,
}

impl SetBinding {
    fn check(self) -> Result<BindingChange, Problem> {
        let revision = match self.revision.as_deref() {
            None | Some(BUILTIN) => None,
            Some(digest) => {
                let digest: Result<Digest, _> = digest.parse();
                Some(digest.map_err(|error| {
                    Problem::invalid(format!("{error}: see /v1/policies, or give null for the built-in policy."))
                })?)
            }
        };
        let config = self.config.to_string();
        if config.len() > MAX_CONFIG_BYTES {
            let detail =
                format!("the configuration has {} bytes, {MAX_CONFIG_BYTES} at most: shorten it.", config.len());
            return Err(Problem::too_large(MAX_CONFIG_BYTES, detail));
        }
        Ok(BindingChange { revision, config, expected: self.expected })
    }
}

fn parse_role(text: &str) -> Result<Role, Problem> {
    match text {
        "forecast" => Ok(Role::Forecast),
        "place" => Ok(Role::Place),
        _ => {
            let text: String = text.chars().take(64).collect();
            Err(Problem::not_found(format!("there is no role {text:?}: roles are `forecast` and `place`.")))
        }
    }
}

fn scope(map: &ShardMap, role: &str, keyspace: Option<&str>) -> Result<(Role, Option<KeyspaceId>), Problem> {
    let role = parse_role(role)?;
    let keyspace = keyspace.map(|name| keyspaces::named(map, name)).transpose()?;
    Ok((role, keyspace.map(|k| k.id)))
}

async fn shown(state: &ApiState, role: &str, keyspace: Option<&str>) -> Result<axum::Json<BindingInfo>, Problem> {
    let map = state.backend.shard_map();
    let (role, keyspace) = scope(&map, role, keyspace)?;
    let mut bindings = state.backend.bindings().await?.into_iter();
    // Never bound is a state too: number 0, so that the first change has something to expect.
    let never = || Binding {
        role,
        keyspace,
        revision: None,
        config: String::new(),
        number: 0,
        previous: None,
        previous_config: String::new(),
    };
    let bound = bindings
        .find(|bound| bound.binding.role == role && bound.binding.keyspace == keyspace)
        .unwrap_or_else(|| Bound { binding: never(), by_default: false, swap_ms: None });
    Ok(axum::Json(BindingInfo::new(&map, bound)))
}

async fn bound(
    state: &ApiState,
    role: &str,
    keyspace: Option<&str>,
    body: SetBinding,
) -> Result<axum::Json<BindingInfo>, Problem> {
    let map = state.backend.shard_map();
    let (role, keyspace) = scope(&map, role, keyspace)?;
    Ok(axum::Json(BindingInfo::new(&map, state.backend.bind(role, keyspace, body.check()?).await?)))
}

async fn rolled_back(
    state: &ApiState,
    role: &str,
    keyspace: Option<&str>,
    body: RollBack,
) -> Result<axum::Json<BindingInfo>, Problem> {
    let map = state.backend.shard_map();
    let (role, keyspace) = scope(&map, role, keyspace)?;
    Ok(axum::Json(BindingInfo::new(&map, state.backend.roll_back(role, keyspace, body.expected).await?)))
}

/// List bindings
#[utoipa::path(
    get, path = "/v1/bindings", tag = "bindings",
    responses((status = 200, description = "Every binding ever made", body = Vec<BindingInfo>), (status = 503, description = "Not known for now", body = Problem))
)]
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> Result<axum::Json<Vec<BindingInfo>>, Problem> {
    let map = state.backend.shard_map();
    let bindings = state.backend.bindings().await?;
    Ok(axum::Json(bindings.into_iter().map(|bound| BindingInfo::new(&map, bound)).collect()))
}

/// Show the binding of a role for all keyspaces
#[utoipa::path(
    get, path = "/v1/bindings/{role}", tag = "bindings", params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast")),
    responses((status = 200, description = "The binding; number 0 where it was never made", body = BindingInfo), (status = 404, description = "No such role", body = Problem))
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(role): Path<String>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    shown(&state, &role, None).await
}

/// Bind a policy for all keyspaces
///
/// One replicated compare-and-swap. Calls in flight finish on the old instance.
#[utoipa::path(
    put, path = "/v1/bindings/{role}", tag = "bindings", params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast")),
    request_body = SetBinding,
    responses(
        (status = 200, description = "Bound", body = BindingInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such role or revision", body = Problem),
        (status = 409, description = "`expected` is stale: see `actual`; or the revision may not be bound", body = Problem),
        (status = 413, description = "The configuration is over 64 KiB", body = Problem),
        (status = 422, description = "A field is missing or wrong, or the configuration does not fit the policy", body = Problem),
    )
)]
pub(crate) async fn bind(
    State(state): State<Arc<ApiState>>,
    Path(role): Path<String>,
    Json(body): Json<SetBinding>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    bound(&state, &role, None, body).await
}

/// Roll the binding of a role back
///
/// Binds what served before, as one more change.
#[utoipa::path(
    post, path = "/v1/bindings/{role}/rollback", tag = "bindings", params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast")),
    request_body(content = RollBack, description = "May be left out"),
    responses(
        (status = 200, description = "Bound", body = BindingInfo),
        (status = 404, description = "No such role", body = Problem),
        (status = 409, description = "`expected` is stale, or nothing served before", body = Problem),
    )
)]
pub(crate) async fn roll_back(
    State(state): State<Arc<ApiState>>,
    Path(role): Path<String>,
    OptionalJson(body): OptionalJson<RollBack>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    rolled_back(&state, &role, None, body).await
}

/// Show the binding of a role for one keyspace
#[utoipa::path(
    get, path = "/v1/bindings/{role}/{keyspace}", tag = "bindings",
    params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast"), ("keyspace" = String, Path, example = "tenants")),
    responses((status = 200, description = "The binding; number 0 where it was never made", body = BindingInfo), (status = 404, description = "No such role or keyspace", body = Problem))
)]
pub(crate) async fn show_for(
    State(state): State<Arc<ApiState>>,
    Path((role, keyspace)): Path<(String, String)>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    shown(&state, &role, Some(&keyspace)).await
}

/// Bind a policy for one keyspace
#[utoipa::path(
    put, path = "/v1/bindings/{role}/{keyspace}", tag = "bindings",
    params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast"), ("keyspace" = String, Path, example = "tenants")),
    request_body = SetBinding,
    responses(
        (status = 200, description = "Bound", body = BindingInfo),
        (status = 400, description = "No JSON", body = Problem),
        (status = 404, description = "No such role, keyspace or revision", body = Problem),
        (status = 409, description = "`expected` is stale: see `actual`; or the revision may not be bound", body = Problem),
        (status = 413, description = "The configuration is over 64 KiB", body = Problem),
        (status = 422, description = "A field is missing or wrong, or the configuration does not fit the policy", body = Problem),
    )
)]
pub(crate) async fn bind_for(
    State(state): State<Arc<ApiState>>,
    Path((role, keyspace)): Path<(String, String)>,
    Json(body): Json<SetBinding>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    bound(&state, &role, Some(&keyspace), body).await
}

/// Roll the binding of a role for one keyspace back
#[utoipa::path(
    post, path = "/v1/bindings/{role}/{keyspace}/rollback", tag = "bindings",
    params(("role" = String, Path, description = "`forecast` or `place`", example = "forecast"), ("keyspace" = String, Path, example = "tenants")),
    request_body(content = RollBack, description = "May be left out"),
    responses(
        (status = 200, description = "Bound", body = BindingInfo),
        (status = 404, description = "No such role or keyspace", body = Problem),
        (status = 409, description = "`expected` is stale, or nothing served before", body = Problem),
    )
)]
pub(crate) async fn roll_back_for(
    State(state): State<Arc<ApiState>>,
    Path((role, keyspace)): Path<(String, String)>,
    OptionalJson(body): OptionalJson<RollBack>,
) -> Result<axum::Json<BindingInfo>, Problem> {
    rolled_back(&state, &role, Some(&keyspace), body).await
}
