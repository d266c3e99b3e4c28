//! Policies: revisions, what is bound, what was decided, and what waits for an operator.

use super::{Client, ClientResult, UPLOAD, segment};
use bytes::Bytes;
use isobar_api::{
    BindingInfo, DecisionInfo, DecisionQuery, HaltInfo, PlanInfo, PolicyInfo, ReleasePlan, RollBack, SetBinding,
    Standing,
};
use isobar_model::{Digest, Role};
use reqwest::Method;
use std::time::Duration;

impl Client {
    /// Uploads a component; poll [`Client::policy`] until it is judged, or use [`Client::judged_policy`].
    pub async fn upload_policy(&self, component: Bytes) -> ClientResult<PolicyInfo> {
        let request = self.request(Method::POST, "/v1/policies").header("content-type", "application/wasm");
        self.read(request.timeout(UPLOAD).body(component)).await
    }

    /// All revisions.
    pub async fn policies(&self) -> ClientResult<Vec<PolicyInfo>> {
        self.get_json("/v1/policies").await
    }

    /// One revision.
    pub async fn policy(&self, digest: Digest) -> ClientResult<PolicyInfo> {
        self.get_json(&format!("/v1/policies/{digest}")).await
    }

    /// Polls a revision until it is no longer being checked, for `patience` at most; then gives it as it is.
    pub async fn judged_policy(&self, digest: Digest, patience: Duration) -> ClientResult<PolicyInfo> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let policy = self.policy(digest).await?;
            if policy.status != Standing::Uploaded || tokio::time::Instant::now() >= deadline {
                return Ok(policy);
            }
            // A Rust policy is compiled in a tenth of a second, a Python one in ten.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// All bindings ever made.
    pub async fn bindings(&self) -> ClientResult<Vec<BindingInfo>> {
        self.get_json("/v1/bindings").await
    }

    /// The binding of a role, for all keyspaces or one; number 0 where it was never made.
    pub async fn binding(&self, role: Role, keyspace: Option<&str>) -> ClientResult<BindingInfo> {
        self.get_json(&binding_path(role, keyspace)).await
    }

    /// Changes a binding: a compare-and-swap.
    pub async fn bind(&self, role: Role, keyspace: Option<&str>, set: &SetBinding) -> ClientResult<BindingInfo> {
        self.read(self.request(Method::PUT, &binding_path(role, keyspace)).json(set)).await
    }

    /// Binds what served before.
    pub async fn roll_back(
        &self,
        role: Role,
        keyspace: Option<&str>,
        expected: Option<u64>,
    ) -> ClientResult<BindingInfo> {
        self.post(&format!("{}/rollback", binding_path(role, keyspace)), &RollBack { expected }).await
    }

    /// Decisions, newest first.
    pub async fn decisions(&self, query: &DecisionQuery) -> ClientResult<Vec<DecisionInfo>> {
        self.query("/v1/decisions", query).await
    }

    /// The decision of a tick.
    pub async fn decision(&self, tick: u64) -> ClientResult<DecisionInfo> {
        self.get_json(&format!("/v1/decisions/{tick}")).await
    }

    /// Plans that wait for an operator.
    pub async fn pending_plans(&self) -> ClientResult<Vec<PlanInfo>> {
        self.get_json("/v1/plans/pending").await
    }

    /// Releases the plan of a tick.
    pub async fn release_plan(&self, tick: u64) -> ClientResult<PlanInfo> {
        self.post("/v1/plans/release", &ReleasePlan { tick }).await
    }

    /// Halts, or lets go on, all automatic moves.
    pub async fn set_halted(&self, halted: bool) -> ClientResult<HaltInfo> {
        self.read(self.request(if halted { Method::PUT } else { Method::DELETE }, "/v1/halt")).await
    }
}

fn binding_path(role: Role, keyspace: Option<&str>) -> String {
    let role = match role {
        Role::Forecast => "forecast",
        Role::Place => "place",
    };
    keyspace.map_or_else(
        || format!("/v1/bindings/{role}"),
        |keyspace| format!("/v1/bindings/{role}/{}", segment(keyspace.as_bytes())),
    )
}
