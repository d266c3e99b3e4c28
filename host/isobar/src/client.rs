//! A typed client of a node's HTTP API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use isobar_api::{
    BindingInfo, COMPACT_HISTORY, CreateKeyspace, DecisionInfo, DecisionQuery, Event, ForecastInfo, ForecastQuery,
    HaltInfo, HeatMapInfo, HeatMapQuery, HistoryAsk, ImportInfo, InsightsInfo, InsightsQuery, KeyspaceInfo,
    MigrationInfo, MigrationQuery, MoveShard, NODE_HEADER, NodeForecastInfo, NodeInfo, Page, PlanInfo, PolicyInfo,
    Problem, RankedInfo, RankingQuery, ReleasePlan, RollBack, RouteQuery, RouteTable, SHARD_HEADER, ScoresInfo,
    ScoresQuery, SetBinding, SetMode, ShardDetail, ShardPage, ShardProfileInfo, ShardQuery, Standing, StatusInfo,
    TransferLeader, Verification, decode_key,
};
use isobar_model::history::HistoryPage;
use isobar_model::{Consistency, Digest, LoadBatch, Mode, NodeId, OperationId, Role, ShardId};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Time to connect: nodes are near.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a whole answer: a little more than the server's own deadline for operators' requests, so that its problem arrives.
const ANSWER: Duration = Duration::from_secs(35);
/// Time for uploads, likewise.
const UPLOAD: Duration = Duration::from_secs(90);
/// Longest event that is read: the server's own are far below.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nobody answered.
    #[error(
        "no answer from {endpoint}: {cause}. Is the node running there? Give another with --endpoint or ISOBAR_ENDPOINT."
    )]
    Unreachable {
        /// Whom was asked.
        endpoint: String,
        /// Why it failed.
        cause: String,
    },
    /// Something answered that is not this API.
    #[error("{endpoint} answered {status}, but not as a node of this version does: {cause}")]
    Unexpected {
        /// Whom was asked.
        endpoint: String,
        /// The status.
        status: u16,
        /// What did not fit.
        cause: String,
    },
    /// The call can't be made.
    #[error("{0}")]
    Usage(String),
}

impl ClientError {
    /// The status of the node's problem, where there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Unreachable { .. } | Self::Unexpected { .. } | Self::Usage(_) => None,
        }
    }
}

/// What a call gives.
pub type ClientResult<T> = Result<T, ClientError>;

/// An answer to a key-value request, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The shard that answered; none where the node did not say.
    pub shard: Option<ShardId>,
    /// The node whose replica answered; none where the node did not say.
    pub node: Option<NodeId>,
}

/// A client of one node. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the node at `endpoint` (`http://host:port`, or `host:port`). Connects at the first call.
    pub fn new(endpoint: &str, token: Option<String>) -> ClientResult<Self> {
        let usage = |what: &str| {
            ClientError::Usage(format!("{endpoint:?} is no endpoint: {what}, as in http://127.0.0.1:7400."))
        };
        let base = match endpoint.split_once("://") {
            None => format!("http://{endpoint}"),
            Some(("http", _)) => endpoint.to_owned(),
            Some(_) => return Err(usage("only plain http is spoken; put a proxy or a tunnel before it for TLS")),
        };
        let url = reqwest::Url::parse(&base).map_err(|error| usage(&format!("{error}; give a host and port")))?;
        if url.path() != "/" || url.query().is_some() || url.host().is_none() {
            return Err(usage("give a host and port only"));
        }
        let http = reqwest::Client::builder().connect_timeout(CONNECT).tcp_nodelay(true).build();
        let http = http.map_err(|error| ClientError::Usage(format!("no HTTP client can be made here: {error}")))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token })
    }

    /// Whom it asks.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.base
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).timeout(ANSWER);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        // The innermost cause is the one that says something ("connection refused").
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
        ClientError::Unreachable { endpoint: self.base.clone(), cause }
    }

    fn unexpected(&self, status: StatusCode, cause: impl ToString) -> ClientError {
        ClientError::Unexpected { endpoint: self.base.clone(), status: status.as_u16(), cause: cause.to_string() }
    }

    async fn send(&self, request: RequestBuilder) -> ClientResult<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(error) => Err(self.unexpected(status, error)),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> ClientResult<T> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(status, error))
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> ClientResult<T> {
        self.read(self.request(Method::GET, path)).await
    }

    async fn query<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> ClientResult<T> {
        self.get_json(&with_query(path, query)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> ClientResult<T> {
        self.read(self.request(Method::POST, path).json(body)).await
    }

    /// Reads a key; no value where there is no such key.
    pub async fn get(
        &self,
        keyspace: &str,
        key: &[u8],
        consistency: Consistency,
    ) -> ClientResult<Answered<Option<Bytes>>> {
        let stale = match consistency {
            Consistency::Linearizable => "",
            Consistency::Stale => "?consistency=stale",
        };
        let path = format!("{}{stale}", key_path(keyspace, key)?);
        match self.send(self.request(Method::GET, &path)).await {
            Ok(response) => {
                let (shard, node) = served_by(&response);
                let value = response.bytes().await.map_err(|error| self.unreachable(&error))?;
                Ok(Answered { value: Some(value), shard, node })
            }
            Err(ClientError::Problem(problem)) if &*problem.kind == "urn:isobar:problem:no-such-key" => {
                Ok(Answered { value: None, shard: None, node: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a key; gives back once a majority has it on disk.
    pub async fn put(&self, keyspace: &str, key: &[u8], value: Bytes) -> ClientResult<Answered<()>> {
        let response = self.send(self.request(Method::PUT, &key_path(keyspace, key)?).body(value)).await?;
        let (shard, node) = served_by(&response);
        Ok(Answered { value: (), shard, node })
    }

    /// Removes a key; removing what is not there is no error.
    pub async fn delete(&self, keyspace: &str, key: &[u8]) -> ClientResult<Answered<()>> {
        let response = self.send(self.request(Method::DELETE, &key_path(keyspace, key)?)).await?;
        let (shard, node) = served_by(&response);
        Ok(Answered { value: (), shard, node })
    }

    /// A page of a scan.
    pub async fn scan(&self, keyspace: &str, query: &ScanQuery) -> ClientResult<Page> {
        let mut pairs = Vec::new();
        let mut give = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                pairs.push(format!("{name}={value}"));
            }
        };
        give("start", query.start.as_deref().map(segment));
        give("end", query.end.as_deref().map(segment));
        give("prefix", query.prefix.as_deref().map(segment));
        give("limit", query.limit.map(|n| n.to_string()));
        give("after", query.after.clone());
        self.get_json(&format!("/v1/kv/{}?{}", segment(keyspace.as_bytes()), pairs.join("&"))).await
    }

    /// All keyspaces.
    pub async fn keyspaces(&self) -> ClientResult<Vec<KeyspaceInfo>> {
        self.get_json("/v1/keyspaces").await
    }

    /// One keyspace.
    pub async fn keyspace(&self, name: &str) -> ClientResult<KeyspaceInfo> {
        self.get_json(&format!("/v1/keyspaces/{}", segment(name.as_bytes()))).await
    }

    /// Creates a keyspace; gives back once every shard has a leader.
    pub async fn create_keyspace(&self, create: &CreateKeyspace) -> ClientResult<KeyspaceInfo> {
        self.post("/v1/keyspaces", create).await
    }

    /// Sets a keyspace's mode.
    pub async fn set_mode(&self, name: &str, mode: Mode) -> ClientResult<KeyspaceInfo> {
        let path = format!("/v1/keyspaces/{}/mode", segment(name.as_bytes()));
        self.read(self.request(Method::PUT, &path).json(&SetMode { mode })).await
    }

    /// All nodes.
    pub async fn nodes(&self) -> ClientResult<Vec<NodeInfo>> {
        self.get_json("/v1/nodes").await
    }

    /// One node.
    pub async fn node(&self, id: NodeId) -> ClientResult<NodeInfo> {
        self.get_json(&format!("/v1/nodes/{id}")).await
    }

    /// Begins, or ends, emptying a node.
    pub async fn set_draining(&self, id: NodeId, draining: bool) -> ClientResult<NodeInfo> {
        let method = if draining { Method::POST } else { Method::DELETE };
        self.read(self.request(method, &format!("/v1/nodes/{id}/drain"))).await
    }

    /// A page of shards.
    pub async fn shards(&self, query: &ShardQuery) -> ClientResult<ShardPage> {
        self.query("/v1/shards", query).await
    }

    /// One shard, with its group.
    pub async fn shard(&self, id: ShardId) -> ClientResult<ShardDetail> {
        self.get_json(&format!("/v1/shards/{id}")).await
    }

    /// What a shard's requests are like.
    pub async fn shard_profile(&self, id: ShardId) -> ClientResult<ShardProfileInfo> {
        self.get_json(&format!("/v1/shards/{id}/profile")).await
    }

    /// Compares a shard's replicas by digest.
    pub async fn verify_shard(&self, id: ShardId) -> ClientResult<Verification> {
        self.read(self.request(Method::POST, &format!("/v1/shards/{id}/verify"))).await
    }

    /// Begins moving a replica.
    pub async fn move_shard(&self, id: ShardId, from: NodeId, to: NodeId) -> ClientResult<MigrationInfo> {
        self.post(&format!("/v1/shards/{id}/move"), &MoveShard { from, to }).await
    }

    /// Begins giving leadership to another replica.
    pub async fn transfer_leader(&self, id: ShardId, to: NodeId) -> ClientResult<MigrationInfo> {
        self.post(&format!("/v1/shards/{id}/transfer-leader"), &TransferLeader { to }).await
    }

    /// Migrations, newest first.
    pub async fn migrations(&self, query: &MigrationQuery) -> ClientResult<Vec<MigrationInfo>> {
        self.query("/v1/migrations", query).await
    }

    /// One migration.
    pub async fn migration(&self, id: OperationId) -> ClientResult<MigrationInfo> {
        self.get_json(&format!("/v1/migrations/{id}")).await
    }

    /// Gives a migration up.
    pub async fn cancel_migration(&self, id: OperationId) -> ClientResult<MigrationInfo> {
        self.read(self.request(Method::POST, &format!("/v1/migrations/{id}/cancel"))).await
    }

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

    /// Forecasts load.
    pub async fn forecast(&self, query: &ForecastQuery) -> ClientResult<ForecastInfo> {
        self.query("/v1/forecasts", query).await
    }

    /// The heat map.
    pub async fn heat_map(&self, query: &HeatMapQuery) -> ClientResult<HeatMapInfo> {
        self.query("/v1/heatmap", query).await
    }

    /// How good forecasts were, over all shards or of one.
    pub async fn forecast_scores(&self, query: &ScoresQuery) -> ClientResult<ScoresInfo> {
        self.query("/v1/forecasts/scores", query).await
    }

    /// Shards by predicted load.
    pub async fn ranking(&self, query: &RankingQuery) -> ClientResult<Vec<RankedInfo>> {
        self.query("/v1/ranking", query).await
    }

    /// What drives what.
    pub async fn insights(&self, query: &InsightsQuery) -> ClientResult<InsightsInfo> {
        self.query("/v1/insights", query).await
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

    /// Imports history.
    pub async fn import_history(&self, batch: &LoadBatch) -> ClientResult<ImportInfo> {
        let body = postcard::to_allocvec(batch)
            .map_err(|error| ClientError::Usage(format!("the batch can't be written: {error}")))?;
        let request = self.request(Method::POST, "/v1/history").header("content-type", COMPACT_HISTORY);
        self.read(request.timeout(UPLOAD).body(body)).await
    }

    /// A page of recorded history, in the compact form.
    pub async fn history_page(&self, ask: &HistoryAsk) -> ClientResult<HistoryPage<ShardId>> {
        let request = self.request(Method::GET, &with_query("/v1/history", ask)).header("accept", COMPACT_HISTORY);
        let response = self.send(request.timeout(UPLOAD)).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        postcard::from_bytes(&body).map_err(|error| self.unexpected(status, error))
    }

    /// What a node is about to use.
    pub async fn node_forecast(&self, id: NodeId) -> ClientResult<NodeForecastInfo> {
        self.get_json(&format!("/v1/nodes/{id}/forecast")).await
    }

    /// The route table; none: nothing newer than `after` within `wait_ms`.
    pub async fn routes(&self, query: &RouteQuery) -> ClientResult<Option<RouteTable>> {
        let mut path = format!("/v1/routes?wait_ms={}", query.wait_ms.unwrap_or(0));
        if let Some(after) = query.after {
            path.push_str(&format!("&after={after}"));
        }
        let request =
            self.request(Method::GET, &path).timeout(ANSWER + Duration::from_millis(query.wait_ms.unwrap_or(0)));
        let response = self.send(request).await?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map(Some).map_err(|error| self.unexpected(status, error))
    }

    /// The cluster at a glance.
    pub async fn status(&self) -> ClientResult<StatusInfo> {
        self.get_json("/v1/status").await
    }

    /// Whether the node can serve; the problem says what it waits for.
    pub async fn ready(&self) -> ClientResult<()> {
        self.send(self.request(Method::GET, "/readyz")).await.map(drop)
    }

    /// Figures as OpenMetrics text.
    pub async fn metrics(&self) -> ClientResult<String> {
        let response = self.send(self.request(Method::GET, "/metrics")).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// Events after `after` (0: the oldest kept; none: only those to come). The stream ends with the connection.
    pub async fn events(&self, after: Option<u64>) -> ClientResult<impl Stream<Item = ClientResult<Event>> + use<>> {
        // No deadline: a stream goes on; the server's comments tell that it lives.
        let mut request = self.http.get(format!("{}/v1/events", self.base)).header("accept", "text/event-stream");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.send(request).await?;
        let client = self.clone();
        let mut text = Vec::new();
        let parsed = response.bytes_stream().map(move |chunk| {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return vec![Err(client.unreachable(&error))],
            };
            text.extend_from_slice(&chunk);
            let mut events = Vec::new();
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = text.drain(..end + 2).collect();
                let block = String::from_utf8_lossy(&block);
                // A `missed` event has no number, and is for readers that keep a copy of the state; others may go on.
                if let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: "))
                    && block.lines().any(|line| line.starts_with("id: "))
                {
                    events.push(serde_json::from_str(data).map_err(|error| client.unexpected(StatusCode::OK, error)));
                }
            }
            if text.len() > MAX_EVENT_BYTES {
                text.clear();
                events.push(Err(client.unexpected(StatusCode::OK, "an event without an end")));
            }
            events
        });
        Ok(parsed.flat_map(futures::stream::iter))
    }
}

/// Which keys to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanQuery {
    /// First key.
    pub start: Option<Vec<u8>>,
    /// First key past the range.
    pub end: Option<Vec<u8>>,
    /// Instead: all keys that begin so.
    pub prefix: Option<Vec<u8>>,
    /// Most rows, 1000 at most.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// The key and value of a row of a scan.
pub fn row(row: &isobar_api::Row) -> ClientResult<(Bytes, Bytes)> {
    let value = STANDARD.decode(&row.value);
    let value = value.map_err(|error| ClientError::Usage(format!("the value of {} is no base64: {error}", row.key)))?;
    Ok((decode_key(&row.key), value.into()))
}

/// A path with the fields of `query` that are there.
fn with_query(path: &str, query: &impl Serialize) -> String {
    // The query types have scalars only, so an object of scalars is all there is.
    let value = serde_json::to_value(query).unwrap_or_default();
    let pairs = value.as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        format!("{name}={}", segment(text.as_bytes()))
    });
    let pairs = pairs.collect::<Vec<_>>().join("&");
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{pairs}") }
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

/// Bytes as one segment of a path, or one value of a query: a slash is encoded too, so that no `..` between slashes is resolved away.
fn segment(bytes: &[u8]) -> String {
    isobar_api::encode_key(bytes).replace('/', "%2F")
}

fn key_path(keyspace: &str, key: &[u8]) -> ClientResult<String> {
    if key == b"." || key == b".." {
        return Err(ClientError::Usage("the keys `.` and `..` can't be sent in a URL: choose another.".into()));
    }
    if key.is_empty() {
        return Err(ClientError::Usage("a key has one byte at least.".into()));
    }
    Ok(format!("/v1/kv/{}/{}", segment(keyspace.as_bytes()), segment(key)))
}

fn served_by(response: &Response) -> (Option<ShardId>, Option<NodeId>) {
    let number = |name| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    (number(&SHARD_HEADER).map(ShardId), number(&NODE_HEADER).map(NodeId))
}
