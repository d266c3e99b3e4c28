//! The HTTP API of a node: one file per resource, and a [`Backend`] trait that the node implements. The only crate that names axum.
//!
//! Architecture invariant: a request passes [`gate`] before anything else, so limits, authority, counting and the form of errors are
//! in one place; handlers only translate between JSON and the model.

pub mod backend;
mod bindings;
mod body;
mod decisions;
mod events;
mod explain;
mod forecasts;
mod forward;
mod gains;
mod gate;
mod halt;
mod health;
mod heat_map;
mod history;
mod insights;
mod key_text;
mod keyspaces;
mod kv;
mod metrics;
mod migrations;
mod node_usage;
mod nodes;
mod number;
mod openapi;
mod placement_rules;
mod plans;
mod policies;
mod problem;
mod ranking;
mod routes;
mod scores;
mod serve;
mod shard_profile;
mod shards;
mod status;
mod what_if;

pub use backend::{Backend, BackendError, Served};
pub use bindings::{BindingInfo, RollBack, SetBinding};
pub use decisions::{DecisionInfo, DecisionQuery, EvaluationInfo, JudgedMove, MoveInfo};
pub use events::{Event, EventLog, Subscription};
pub use explain::{ConsideredInfo, NodeExplainInfo, OutlookInfo, PartInfo, ProposedInfo, ShardExplainInfo};
pub use forecasts::{ForecastInfo, ForecastQuery, MAX_HORIZON, ShardForecast};
pub use gains::{GainInfo, GainStanding, GainsInfo, SetAbstain, WorldInfo};
pub use halt::HaltInfo;
pub use heat_map::{HeatMapInfo, HeatMapQuery, HeatMapRow};
pub use history::{
    COMPACT_HISTORY, HistoryAsk, HistoryBatch, HistoryInfo, ImportInfo, MAX_HISTORY_BYTES, ShardHistory, StepLists,
};
pub use insights::{ClusterInfo, DriverInfo, InsightsInfo, InsightsQuery, LinkInfo, TogetherInfo};
pub use key_text::{decode_key, encode_key};
pub use keyspaces::{CreateKeyspace, KeyspaceInfo, SetMode};
pub use kv::{CONSISTENCY_HEADER, INDEX_HEADER, MAX_SCAN_ROWS, NODE_HEADER, Page, Row, SHARD_HEADER};
pub use migrations::{MigrationInfo, MigrationQuery};
pub use node_usage::{NodeForecastInfo, NodeHistoryInfo, NodeHistoryRow, NodePathInfo, UsageInfo, WindowAsk};
pub use nodes::NodeInfo;
pub use placement_rules::PlacementRulesInfo;
pub use plans::{PlanInfo, ReleasePlan};
pub use policies::{PolicyInfo, Standing};
pub use problem::{PROBLEM_JSON, Problem};
pub use ranking::{PeakInterval, RankedInfo, RankingQuery};
pub use routes::{NodeAddress, RouteQuery, RouteTable};
pub use scores::{
    ForecasterScoreInfo, GuardBandInfo, HorizonScoreInfo, PeakScoreInfo, RankingScoreInfo, ScoresInfo, ScoresQuery,
};
pub use serve::check_bind;
pub use shard_profile::{HotKey, LatencyQuantiles, OperationShare, ShardProfileInfo, SplitPoint};
pub use shards::{
    DigestInfo, GroupInfo, MoveShard, ReplicaInfo, ShardDetail, ShardInfo, ShardPage, ShardQuery, TransferLeader,
    Verification,
};
pub use status::{NodeCounts, StatusInfo};
pub use what_if::{WhatIf, WhatIfAsk, WhatIfInfo, WhatIfNode};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use gate::Gate;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The bearer token that callers must send; none: local callers only, without one.
    pub token: Option<String>,
    /// Key-value requests served at a time; more get 503. Each holds a key and a value: 2 GiB if all were at their largest.
    pub kv_at_once: usize,
    /// Deadline of a key-value request.
    pub kv_deadline: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { token: None, kv_at_once: 2048, kv_deadline: Duration::from_secs(10) }
    }
}

/// Operators' requests at a time: far more than there are operators; each answer has 8 MiB at worst.
const OPERATOR_AT_ONCE: usize = 256;
/// Deadline of an operator's request: creating a keyspace waits for every shard's leader.
const OPERATOR_DEADLINE: Duration = Duration::from_secs(30);
/// Uploads of policies and history at a time: 40 MiB each.
const UPLOAD_AT_ONCE: usize = 4;
/// Deadline of an upload: 40 MiB at 1 MiB/s.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(60);
/// Streams and long polls at a time: each holds a connection and a queue of events.
const STREAM_AT_ONCE: usize = 256;
/// Deadline for the beginning of a stream, and of a long poll (30 s).
const STREAM_DEADLINE: Duration = Duration::from_secs(40);
/// Probes at a time.
const PROBE_AT_ONCE: usize = 256;
/// Deadline of a probe.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// What handlers share.
#[derive(Debug)]
struct ApiState {
    backend: Arc<dyn Backend>,
    metrics: metrics::Metrics,
    /// Passes operators' requests on; connections are kept.
    forwarder: reqwest::Client,
    token: Option<String>,
    stop: watch::Receiver<bool>,
    /// The OpenAPI document, known once the routes are.
    document: OnceLock<Arc<str>>,
}

impl ApiState {
    /// Done once the server stops.
    async fn stopped(self: Arc<Self>) {
        // An error means that the server is gone: stopped as well.
        let _ = self.stop.clone().wait_for(|stopped| *stopped).await;
    }
}

impl std::fmt::Debug for dyn Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backend")
    }
}

/// The API of one node, ready to [`serve`](Api::serve).
#[derive(Debug)]
pub struct Api {
    router: Router,
    stop: watch::Sender<bool>,
    document: Arc<str>,
}

impl Api {
    /// The API in front of `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, config: ApiConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        let metrics = metrics::Metrics::new(Arc::clone(&backend));
        let state = Arc::new(ApiState {
            backend,
            metrics,
            forwarder: reqwest::Client::new(),
            token: config.token,
            stop: stopped,
            document: OnceLock::new(),
        });
        let gated =
            |routes: OpenApiRouter<Arc<ApiState>>, gate: Gate| routes.layer(from_fn_with_state(gate, gate::pass));

        let to_leader = from_fn_with_state(Arc::clone(&state), forward::to_leader);
        let kv = OpenApiRouter::new()
            .routes(routes!(kv::scan))
            .route("/v1/kv/{keyspace}/", axum::routing::any(kv::empty_key))
            .route("/v1/kv/{keyspace}/{*key}", axum::routing::get(kv::get).put(kv::put).delete(kv::delete));
        let operator = OpenApiRouter::new()
            .routes(routes!(keyspaces::list, keyspaces::create))
            .routes(routes!(keyspaces::show))
            .routes(routes!(keyspaces::set_mode))
            .routes(routes!(placement_rules::show, placement_rules::set))
            .routes(routes!(gains::list))
            .routes(routes!(gains::show, gains::set_abstain, gains::reset))
            .routes(routes!(nodes::list))
            .routes(routes!(nodes::show))
            .routes(routes!(nodes::drain, nodes::undrain))
            .routes(routes!(shards::list))
            .routes(routes!(shards::show))
            .routes(routes!(shards::verify))
            .routes(routes!(shards::begin_move))
            .routes(routes!(shards::begin_transfer))
            .routes(routes!(policies::list))
            .routes(routes!(policies::show))
            .routes(routes!(bindings::list))
            .routes(routes!(bindings::show, bindings::bind))
            .routes(routes!(bindings::roll_back))
            .routes(routes!(bindings::show_for, bindings::bind_for))
            .routes(routes!(bindings::roll_back_for))
            .routes(routes!(forecasts::show))
            .routes(routes!(scores::show))
            .routes(routes!(heat_map::show))
            .routes(routes!(ranking::show))
            .routes(routes!(insights::show))
            .routes(routes!(node_usage::history))
            .routes(routes!(node_usage::forecast))
            .routes(routes!(migrations::list))
            .routes(routes!(migrations::show))
            .routes(routes!(migrations::cancel))
            .routes(routes!(what_if::suppose))
            .routes(routes!(explain::shard))
            .routes(routes!(explain::node))
            .routes(routes!(decisions::list))
            .routes(routes!(decisions::show))
            .routes(routes!(plans::pending))
            .routes(routes!(plans::release))
            .routes(routes!(halt::halt, halt::resume))
            .layer(to_leader.clone());
        // Each node's own, or of a node other than the control group's leader.
        let local = OpenApiRouter::new()
            .routes(routes!(status::show))
            .routes(routes!(metrics::scrape))
            .routes(routes!(openapi::show))
            .routes(routes!(shard_profile::show))
            .fallback(unknown_route);
        let upload = OpenApiRouter::new()
            .routes(routes!(policies::upload))
            .routes(routes!(history::import, history::show))
            .layer(to_leader.clone());
        let stream =
            OpenApiRouter::new().routes(routes!(events::follow)).layer(to_leader).routes(routes!(routes::show));
        let probe = OpenApiRouter::new().routes(routes!(health::ready));
        let open = OpenApiRouter::new().routes(routes!(health::live));

        let operators = Gate::new(&state, OPERATOR_AT_ONCE, OPERATOR_DEADLINE);
        let probes = Gate::new(&state, PROBE_AT_ONCE, PROBE_DEADLINE);
        let (router, document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
            .merge(gated(kv, Gate::new(&state, config.kv_at_once, config.kv_deadline)))
            .merge(gated(operator, operators.clone()))
            .merge(gated(local, operators))
            .merge(gated(upload, Gate::new(&state, UPLOAD_AT_ONCE, UPLOAD_DEADLINE)))
            .merge(gated(stream, Gate::new(&state, STREAM_AT_ONCE, STREAM_DEADLINE).streaming()))
            .merge(gated(probe, probes.clone()))
            .merge(gated(open, probes.open()))
            .split_for_parts();
        let document: Arc<str> = document.to_json().unwrap_or_default().into();
        // Nobody else sets it.
        let _ = state.document.set(Arc::clone(&document));
        // Every body is read with a limit of its own, which says what was too large.
        let router = router.layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&state));
        Self { router, stop, document }
    }

    /// The OpenAPI document, JSON.
    #[must_use]
    pub fn openapi(&self) -> &str {
        &self.document
    }
}

async fn unknown_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::not_found(format!("nothing is at {path}: see /openapi.json for all there is."))
}
