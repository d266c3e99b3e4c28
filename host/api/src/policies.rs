//! `/v1/policies`: uploaded revisions.

use crate::ApiState;
use crate::body;
use crate::problem::Problem;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_model::{Digest, Revision, RevisionStatus, Role};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The standing of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Stored, being compiled and checked.
    Uploaded,
    /// Compiled and within the contract; may be bound.
    Ready,
    /// Not a policy of this contract.
    Rejected,
    /// Was bound and misbehaved; may not be bound again.
    Quarantined,
}

/// One uploaded version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyInfo {
    /// SHA-256 of its bytes: its name, 64 hexadecimal digits.
    #[schema(value_type = String, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub digest: Digest,
    /// Size of the artifact.
    #[schema(example = 18_233)]
    pub bytes: u64,
    /// Its standing.
    #[schema(example = "ready")]
    pub status: Standing,
    /// Why it was rejected or quarantined, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub reason: Option<String>,
    /// `forecast` or `place`, once known.
    #[schema(value_type = Option<String>, example = "forecast")]
    pub role: Option<Role>,
    /// Its policy's name, once known: revisions of one policy share it.
    #[schema(example = "seasonal-naive")]
    pub name: Option<String>,
    /// Its author's version, once known.
    #[schema(example = "0.1.0")]
    pub version: Option<String>,
    /// JSON Schema of its configuration, once known.
    #[schema(value_type = Option<Object>, example = json!({"type": "object"}))]
    pub config_schema: Option<serde_json::Value>,
    /// What it imports, once known.
    #[schema(example = json!(["isobar:policy/log@0.1.0"]))]
    pub imports: Vec<String>,
    /// Where to ask how it goes on.
    #[schema(example = "/v1/policies/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    pub href: String,
}

impl From<Revision> for PolicyInfo {
    fn from(revision: Revision) -> Self {
        let Revision { digest, bytes, status, role, description, imports } = revision;
        let (status, reason) = match status {
            RevisionStatus::Uploaded => (Standing::Uploaded, None),
            RevisionStatus::Ready => (Standing::Ready, None),
            RevisionStatus::Rejected { reason } => (Standing::Rejected, Some(reason)),
            RevisionStatus::Quarantined { reason } => (Standing::Quarantined, Some(reason)),
        };
        // A schema that is no JSON is shown as the text that it is.
        let schema = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.into()));
        Self {
            digest,
            bytes,
            status,
            reason,
            role,
            config_schema: description.as_ref().map(|d| schema(&d.config_schema)),
            version: description.as_ref().map(|d| d.version.clone()),
            name: description.map(|d| d.name),
            imports,
            href: format!("/v1/policies/{digest}"),
        }
    }
}

/// Upload a policy
///
/// The body is a WebAssembly component, up to 32 MiB. Answers as soon as it is stored; poll `href` until `ready` or `rejected`.
#[utoipa::path(
    post, path = "/v1/policies", tag = "policies",
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component"),
    responses(
        (status = 202, description = "Stored; being checked (or known already)", body = PolicyInfo),
        (status = 400, description = "No WebAssembly at all", body = Problem),
        (status = 413, description = "Over 32 MiB", body = Problem),
        (status = 503, description = "Too many uploads at a time, or no quorum to store it: `Retry-After`", body = Problem),
    )
)]
pub(crate) async fn upload(State(state): State<Arc<ApiState>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let artifact = body::read(&parts.headers, body, MAX_ARTIFACT_BYTES, "a policy").await?;
    if !artifact.starts_with(b"\0asm") {
        return Err(Problem::bad_request(
            "the body is no WebAssembly: send the component's bytes as they are, as in `curl --data-binary @policy.wasm`.",
        ));
    }
    let info = PolicyInfo::from(state.backend.upload_policy(artifact).await?);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, info.href.clone())], axum::Json(info)).into_response())
}

/// List policies
#[utoipa::path(
    get, path = "/v1/policies", tag = "policies",
    responses((status = 200, description = "All revisions, by digest", body = Vec<PolicyInfo>), (status = 503, description = "Not known for now", body = Problem))
)]
pub(crate) async fn list(State(state): State<Arc<ApiState>>) -> Result<axum::Json<Vec<PolicyInfo>>, Problem> {
    Ok(axum::Json(state.backend.policies().await?.into_iter().map(PolicyInfo::from).collect()))
}

/// Show a policy
#[utoipa::path(
    get, path = "/v1/policies/{digest}", tag = "policies",
    params(("digest" = String, Path, example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
    responses(
        (status = 200, description = "The revision", body = PolicyInfo),
        (status = 400, description = "Not a digest", body = Problem),
        (status = 404, description = "No such revision", body = Problem),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(digest): Path<String>,
) -> Result<axum::Json<PolicyInfo>, Problem> {
    let digest: Digest = digest.parse().map_err(|error| Problem::bad_request(format!("{error}: see /v1/policies.")))?;
    let revision = state.backend.policy(digest).await?.ok_or_else(|| {
        Problem::not_found(format!(
            "there is no policy {}: upload it, or see /v1/policies for those there are.",
            digest.short()
        ))
    })?;
    Ok(axum::Json(revision.into()))
}
