//! The demo's cluster as any client sees it: over HTTP.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use isobar_model::ShardId;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Whatever is waited for comes within this time, or the demo fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the control API.
#[derive(Clone, Debug)]
pub(crate) struct ClusterClient {
    http: reqwest::Client,
    endpoint: String,
}

impl ClusterClient {
    pub(crate) fn new(endpoint: String) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().timeout(PATIENCE).build()?, endpoint })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.http.get(format!("{}{path}", self.endpoint))).await.with_context(|| format!("GET {path}"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.http.post(format!("{}{path}", self.endpoint)).json(body))
            .await
            .with_context(|| format!("POST {path}"))
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.http.put(format!("{}{path}", self.endpoint)).json(body))
            .await
            .with_context(|| format!("PUT {path}"))
    }

    /// Posts bytes as they are.
    pub(crate) async fn post_bytes(&self, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.endpoint));
        let request = request.header("content-type", "application/octet-stream").body(body);
        self.answer(request).await.with_context(|| format!("POST {path}"))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            let problem: Value = serde_json::from_str(&text).unwrap_or_default();
            bail!("{status}: {}", problem["detail"].as_str().unwrap_or(&text));
        }
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Has a shard's replicas compared, again while one of them has not answered.
    pub(crate) async fn verify_shard(&self, shard: ShardId) -> anyhow::Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let compared = self.post(&format!("/v1/shards/{shard}/verify"), &json!({})).await?;
            let missing = compared["missing"].as_array().is_none_or(|nodes| !nodes.is_empty());
            if !missing || Instant::now() > end {
                ensure!(!missing, "not all replicas of shard {shard} answered: {compared}");
                return Ok(compared);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks until `done` gives something, for a minute at most.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        path: &str,
        limit: Duration,
        done: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + limit;
        loop {
            let mut last = match self.get(path).await {
                Ok(answer) => match done(&answer) {
                    Some(result) => return Ok(result),
                    None => answer.to_string(),
                },
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end {
                last.truncate(600);
                bail!("{what} did not come within {} s; the last answer: {last}", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until all nodes have joined.
    pub(crate) async fn wait_for_nodes(&self, nodes: usize) -> anyhow::Result<()> {
        let joined = |answer: &Value| items(answer).filter(|all| all.len() == nodes).map(|_| ());
        self.wait("the cluster's nodes", "/v1/nodes", PATIENCE, joined).await
    }

    /// Uploads a component and waits until it may be bound; gives its digest.
    pub(crate) async fn upload(&self, name: &str, component: &'static [u8]) -> anyhow::Result<String> {
        let accepted = self.post_bytes("/v1/policies", Bytes::from_static(component)).await?;
        let digest = accepted["digest"].as_str().context("an upload's answer names the digest")?.to_owned();
        let judged = |answer: &Value| match answer["status"].as_str() {
            Some("ready") => Some(Ok(())),
            Some("uploaded") | None => None,
            Some(other) => Some(Err(anyhow::anyhow!("{name} is {other}: {}", answer["reason"]))),
        };
        self.wait("a policy's verdict", &format!("/v1/policies/{digest}"), PATIENCE, judged).await??;
        Ok(digest)
    }

    /// Binds a revision by compare-and-swap on the binding's present number; gives the milliseconds it took to serve.
    pub(crate) async fn bind(&self, role: &str, digest: &str, config: Value) -> anyhow::Result<f64> {
        let now = self.get(&format!("/v1/bindings/{role}")).await?;
        let expected = now["number"].as_u64().unwrap_or(0);
        let change = json!({ "revision": digest, "config": config, "expected": expected });
        let began = Instant::now();
        let bound = self.put(&format!("/v1/bindings/{role}"), &change).await?;
        let seen_ms = began.elapsed().as_secs_f64() * 1000.0;
        tracing::info!(role, swap_ms = bound["swap_ms"].as_f64(), seen_ms, "policy bound");
        // From request to effect as the caller sees it: the answer comes when the new instance serves.
        Ok(seen_ms)
    }
}

/// The rows of a list, whatever the resource calls them.
pub(crate) fn items(answer: &Value) -> Option<&Vec<Value>> {
    answer.as_array().or_else(|| answer.as_object()?.values().find_map(Value::as_array))
}
