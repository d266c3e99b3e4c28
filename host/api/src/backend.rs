//! What the API needs of a node, in the words of the model. No HTTP here.

use crate::events::EventLog;
use crate::explain::{NodeExplainInfo, ShardExplainInfo};
use crate::gains::GainsInfo;
use crate::node_usage::UsageInfo;
use crate::ranking::PeakInterval;
use crate::scores::ScoresInfo;
use crate::shard_profile::ShardProfileInfo;
use crate::what_if::{WhatIfAsk, WhatIfInfo};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::history::{HistoryPage, HistoryQuery, Window};
use isobar_model::{
    Binding, Capacities, Consistency, DecisionRecord, Digest, ForecastAnswerer, ForecastBatch, ForecastRequest,
    Insights, InstantMs, Keyspace, KeyspaceId, Label, LoadBatch, Metric, Migration, Mode, Move, Node, NodeForecast,
    NodeId, NodeMetric, NodeState, OperationId, Partitioning, PlacementRules, Revision, Role, RouteVersion, ShardId,
    ShardMap,
};
use isobar_ports::{ReplicaDigest, ShardStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a node did not do as asked. The texts go to the caller as they are: sentences that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// There is no such thing: check the name, or create it first.
    #[error("{0}")]
    NotFound(String),
    /// The request can't be meant so: mend it.
    #[error("{0}")]
    Invalid(String),
    /// Something is larger than it may be.
    #[error("{detail}")]
    TooLarge {
        /// What to do.
        detail: String,
        /// The limit, in bytes or as a count: the detail says which.
        limit: u64,
    },
    /// Another change came first, or the state does not allow it: look again, then decide.
    #[error("{detail}")]
    Conflict {
        /// What to do.
        detail: String,
        /// The number the caller gave, where it gave one.
        expected: Option<u64>,
        /// The number in force.
        actual: Option<u64>,
    },
    /// No leader, no quorum, a full queue: try again.
    #[error("{0}")]
    Unavailable(String),
    /// No answer within the deadline; whether a write took effect is not known: try again.
    #[error("{0}")]
    Timeout(String),
    /// Something broke here: it is in the node's log.
    #[error("{0}")]
    Internal(String),
}

impl BackendError {
    /// A conflict without numbers.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into(), expected: None, actual: None }
    }
}

/// What a shard answered, and who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// The shard that answered.
    pub shard: ShardId,
    /// The node whose replica answered.
    pub node: NodeId,
}

/// A page of an ordered scan over a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// First client key. Empty: the first there is.
    pub start: Bytes,
    /// First client key past the range; none: up to the last.
    pub end: Option<Bytes>,
    /// Most rows to return, at least 1.
    pub limit: u32,
    /// Where the page before ended: its `next`, given back as it was. It then stands in for `start`.
    pub resume: Option<Bytes>,
    /// How fresh.
    pub consistency: Consistency,
}

/// Rows of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Client keys and values, in the order of the internal key.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Where to go on, opaque to callers; none: the range is through. A page may be short of its limit and still have a next.
    pub next: Option<Bytes>,
}

/// A keyspace to be created. The API has checked the name, the factor and the number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeyspace {
    /// Its name, valid by [`Keyspace::is_valid_name`].
    pub name: String,
    /// How keys are spread.
    pub partitioning: Partitioning,
    /// Internal keys that cut it into shards, ascending, none of them empty: one fewer than shards.
    pub split_points: Vec<Bytes>,
    /// 1, 3 or 5.
    pub replication_factor: u32,
    /// None: the cluster's own default (`advise`, or `auto` when embedded).
    pub mode: Option<Mode>,
    /// Where the replicas of shard i start, leader first; empty: the node spreads them evenly, as far as the rules let it.
    pub placement: Vec<Vec<NodeId>>,
    /// Where replicas may live.
    pub rules: PlacementRules,
}

/// A node as the cluster sees it now.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// As it declared itself.
    pub node: Node,
    /// What it says of itself.
    pub labels: BTreeSet<Label>,
    /// What it declares to have beside load.
    pub capacities: Capacities,
    /// Its state.
    pub state: NodeState,
    /// Measured load units per second; NaN: not known.
    pub load: f32,
    /// Bytes stored.
    pub used_bytes: u64,
    /// What its process uses; none: it is silent.
    pub usage: Option<UsageInfo>,
}

/// What the last tick measured of a shard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardFigures {
    /// Load units per second of its leader; NaN: not known.
    pub leader_load: f32,
    /// Load units per second of each follower; NaN: not known.
    pub follower_load: f32,
    /// Bytes of one replica.
    pub bytes: u64,
}

/// A change of a binding, a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingChange {
    /// What is to serve; none: the native built-in policy.
    pub revision: Option<Digest>,
    /// Its configuration, JSON.
    pub config: String,
    /// The binding's number as the caller knows it; 0: not bound yet.
    pub expected: u64,
}

/// A binding, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// As it is now.
    pub binding: Binding,
    /// Whether the cluster began with it by itself, and no operator has changed it since.
    pub by_default: bool,
    /// Of a change just made: milliseconds from the request to the new instance serving, compilation not counted; none: not yet serving.
    pub swap_ms: Option<f64>,
}

/// A forecast with what it is a forecast of.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastReport {
    /// What was asked of the policy.
    pub request: ForecastRequest,
    /// What it answered.
    pub batch: ForecastBatch,
    /// Start of the first step.
    pub start: InstantMs,
    /// Length of a step.
    pub step_ms: u32,
    /// The policy that answered; `builtin` for the native one.
    pub policy: String,
    /// Its revision; none for the native one.
    pub revision: Option<Digest>,
    /// Why the bound policy did not answer, where the native one did instead.
    pub fallback: Option<String>,
    /// Who answered for each shard, in the request's order.
    pub answerers: Vec<ForecastAnswerer>,
}

/// What of the heat map is asked for; all of it is within the API's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatMapAsk {
    /// What is counted: load, or operations or bytes of shards.
    pub metric: Metric,
    /// Steps back.
    pub past: u32,
    /// Steps ahead; 0 for all but load.
    pub future: u32,
    /// Columns are no shorter than this; 0: a step is long enough.
    pub shortest_column_ms: u64,
    /// Most columns.
    pub columns: u32,
    /// Most rows, the hottest.
    pub rows: u32,
}

/// What was measured and the forecast median of the future, in the metric's units per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// Start of the first column.
    pub start: InstantMs,
    /// Length of a column.
    pub column_ms: u64,
    /// Columns measured.
    pub past: u32,
    /// Columns forecast, after those.
    pub future: u32,
    /// Rows.
    pub shards: Vec<ShardId>,
    /// `values[row * (past + future) + column]`; NaN: missing.
    pub values: Vec<f32>,
    /// Shards left out.
    pub omitted: u64,
}

/// A shard in the order of its predicted load.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedShard {
    /// Which.
    pub shard: ShardId,
    /// Load units per second of its leader now; NaN: not known.
    pub load: f32,
    /// The highest load forecast over the lead, upper quantile: what it is ranked by.
    pub predicted_peak: f32,
    /// Between what the peak is expected to be.
    pub peak_interval: PeakInterval,
    /// Start of the step of the peak.
    pub peak_at: InstantMs,
    /// Start of the first step, and end of the last, that may be the peak.
    pub peak_window: [InstantMs; 2],
    /// Where its replicas are, the leader first.
    pub replicas: Vec<NodeId>,
    /// What the last plan would do about it, and where the replicas would be then.
    pub recommended: Option<(Move, Vec<NodeId>)>,
    /// 0 can wait, 1 at once.
    pub urgency: f32,
    /// When a move must begin to be done before the peak.
    pub latest_start: InstantMs,
}

/// A plan that waits for an operator (mode `approve`).
#[derive(Clone, Debug, PartialEq)]
pub struct PendingPlan {
    /// The tick that made it: its name.
    pub tick: u64,
    /// When, on the control clock.
    pub made: InstantMs,
    /// The moves held, in order.
    pub moves: Vec<Move>,
}

/// What came of a history import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Shards whose history grew.
    pub shards: u64,
    /// Steps taken in.
    pub steps: u64,
}

/// The cluster as this node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterReport {
    /// The cluster's name or id.
    pub cluster: String,
    /// The node that answers.
    pub node: NodeId,
    /// The control group's leader.
    pub control_leader: Option<NodeId>,
    /// Its term.
    pub control_term: u64,
    /// The control clock.
    pub now: InstantMs,
    /// The last tick.
    pub tick: u64,
    /// Length of a tick, milliseconds of the control clock.
    pub tick_ms: u64,
    /// Length of a forecast step, milliseconds.
    pub step_ms: u32,
    /// Whether all automatic moves are halted.
    pub halted: bool,
}

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric of the node for `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name without the `isobar_` prefix and, for a counter, without `_total`.
    pub name: &'static str,
    /// What it counts, with its unit.
    pub help: &'static str,
    /// Its kind.
    pub kind: FigureKind,
    /// Label names and values, with the value; the label names are the same in each.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// A node, as the API sees it. Every call is bounded in time by the node; the API cuts it off at its own deadline too.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Reads a key wherever it lives. `NotFound` where there is no such keyspace; no value where there is no such key.
    async fn get(
        &self,
        keyspace: &str,
        key: Bytes,
        consistency: Consistency,
    ) -> Result<Served<Option<Bytes>>, BackendError>;
    /// Writes a key; gives the index of its log entry once a majority has it on disk.
    async fn put(&self, keyspace: &str, key: Bytes, value: Bytes) -> Result<Served<u64>, BackendError>;
    /// Removes a key; gives the index of its log entry. Removing what is not there is no error.
    async fn delete(&self, keyspace: &str, key: Bytes) -> Result<Served<u64>, BackendError>;
    /// Reads keys in order, over shards.
    async fn scan(&self, keyspace: &str, scan: Scan) -> Result<ScanPage, BackendError>;

    /// The newest shard map this node has. Never blocks.
    fn shard_map(&self) -> Arc<ShardMap>;
    /// The first shard map newer than `after`. May wait for ever: the caller bounds it.
    async fn newer_map(&self, after: RouteVersion) -> Arc<ShardMap>;

    /// Creates a keyspace and returns once every shard has a leader. `Conflict` where the name is taken.
    async fn create_keyspace(&self, new: NewKeyspace) -> Result<Keyspace, BackendError>;
    /// Sets what the loop may do in a keyspace by itself.
    async fn set_mode(&self, keyspace: KeyspaceId, mode: Mode) -> Result<Keyspace, BackendError>;
    /// Where a keyspace's replicas may live.
    async fn placement_rules(&self, keyspace: KeyspaceId) -> Result<PlacementRules, BackendError>;
    /// Says where they may live, in place of what was said before; gives it as it is now.
    async fn set_placement_rules(
        &self,
        keyspace: KeyspaceId,
        rules: PlacementRules,
    ) -> Result<PlacementRules, BackendError>;

    /// The books of the gain ledger, by keyspace.
    async fn gains(&self) -> Result<Vec<GainsInfo>, BackendError>;
    /// Says whether moves by forecast stop in a keyspace where they are not shown to pay.
    async fn set_abstain(&self, keyspace: KeyspaceId, abstain: bool) -> Result<(), BackendError>;
    /// Begins the book of a keyspace from nothing.
    async fn reset_gains(&self, keyspace: KeyspaceId) -> Result<(), BackendError>;

    /// All nodes, by number.
    async fn nodes(&self) -> Result<Vec<NodeReport>, BackendError>;
    /// Begins (or ends) emptying a node.
    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<NodeReport, BackendError>;

    /// What the last tick measured; shards it knows nothing of are left out.
    async fn shard_figures(&self) -> Result<BTreeMap<ShardId, ShardFigures>, BackendError>;
    /// Asks a shard's group.
    async fn shard_status(&self, shard: ShardId) -> Result<Option<ShardStatus>, BackendError>;
    /// What a shard's requests are like, asked of the node that leads it. `Unavailable` where none does, or it does not answer.
    async fn shard_profile(&self, shard: ShardId) -> Result<ShardProfileInfo, BackendError>;
    /// Has every replica of a shard record its digest at one log index; gives them by node.
    async fn verify_shard(&self, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, BackendError>;
    /// Begins moving the replica on `from` to `to`, as an operator's order: the plan check's safety rules hold, its budgets do not.
    async fn move_replica(&self, shard: ShardId, from: NodeId, to: NodeId) -> Result<Migration, BackendError>;
    /// Begins giving the leadership to the replica on `to`.
    async fn transfer_leader(&self, shard: ShardId, to: NodeId) -> Result<Migration, BackendError>;

    /// Stores an artifact and begins checking it. The same bytes twice give the same revision.
    async fn upload_policy(&self, artifact: Bytes) -> Result<Revision, BackendError>;
    /// All revisions, by digest.
    async fn policies(&self) -> Result<Vec<Revision>, BackendError>;
    /// One revision; none: no such digest.
    async fn policy(&self, digest: Digest) -> Result<Option<Revision>, BackendError>;

    /// All bindings.
    async fn bindings(&self) -> Result<Vec<Bound>, BackendError>;
    /// Changes a binding. `Conflict` with both numbers where `expected` is stale.
    async fn bind(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
    ) -> Result<Bound, BackendError>;
    /// Binds what served before. `expected` as in [`BindingChange`]; none: whatever is in force.
    async fn roll_back(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: Option<u64>,
    ) -> Result<Bound, BackendError>;

    /// Forecasts the load of these shards (none given: all) over `horizon` steps.
    async fn forecast(&self, shards: Vec<ShardId>, horizon: u32) -> Result<ForecastReport, BackendError>;
    /// The heat map.
    async fn heat_map(&self, ask: HeatMapAsk) -> Result<HeatMap, BackendError>;
    /// How good forecasts were, over all shards or of one.
    async fn forecast_scores(&self, shard: Option<ShardId>) -> Result<ScoresInfo, BackendError>;
    /// Shards by predicted load, the highest first.
    async fn ranking(&self) -> Result<Vec<RankedShard>, BackendError>;
    /// What drives what, as the last search found it. `Unavailable` before the first has ended.
    async fn insights(&self) -> Result<Insights, BackendError>;

    /// Migrations in flight and the last ones that ended, by number.
    async fn migrations(&self) -> Result<Vec<Migration>, BackendError>;
    /// Gives a migration up. `Conflict` where it is past the point of return.
    async fn cancel_migration(&self, id: OperationId) -> Result<Migration, BackendError>;

    /// Why a shard is where it is, and what could be done with it; without what the last plans and migrations were.
    async fn explain_shard(&self, shard: ShardId) -> Result<ShardExplainInfo, BackendError>;
    /// What becomes of a node; without what the last plans were.
    async fn explain_node(&self, node: NodeId) -> Result<NodeExplainInfo, BackendError>;
    /// What would be planned if things were otherwise; nothing is carried out.
    async fn what_if(&self, ask: WhatIfAsk) -> Result<WhatIfInfo, BackendError>;
    /// The last decision records before tick `before` (none: up to the newest), newest first, at most `limit`.
    async fn decisions(&self, before: Option<u64>, limit: u32) -> Result<Vec<DecisionRecord>, BackendError>;
    /// Plans that wait for an operator.
    async fn pending_plans(&self) -> Result<Vec<PendingPlan>, BackendError>;
    /// Releases the plan of a tick, to be carried out at the next one; gives the plan. `NotFound` where it no longer waits, `Conflict` while
    /// all moves are halted.
    async fn release_plan(&self, tick: u64) -> Result<PendingPlan, BackendError>;
    /// Halts (or lets go on) all automatic moves.
    async fn set_halted(&self, halted: bool) -> Result<(), BackendError>;

    /// Takes in measured history from elsewhere. The API has checked that the batch is well formed and its values are sound.
    async fn import_history(&self, batch: LoadBatch) -> Result<Imported, BackendError>;

    /// Steps of shards, a page at a time.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage<ShardId>, BackendError>;
    /// Steps of all that is known of what a node uses. `NotFound` where there is no such node.
    async fn node_history(&self, node: NodeId, window: Window) -> Result<HistoryPage<NodeMetric>, BackendError>;
    /// What a node is about to use. `NotFound` where there is no such node.
    async fn node_forecast(&self, node: NodeId) -> Result<NodeForecast, BackendError>;

    /// The node's events.
    fn events(&self) -> &EventLog;
    /// The cluster as this node sees it.
    async fn status(&self) -> Result<ClusterReport, BackendError>;
    /// Whether this node can serve; the text says what it waits for.
    async fn ready(&self) -> Result<(), String>;
    /// Figures for `/metrics`. Called at each scrape: cheap, never blocks.
    fn figures(&self) -> Vec<Figure>;
    /// Where the node lives that answers operators' requests (`http://host:port`), where it is known and not this one.
    fn control_endpoint(&self) -> Option<String>;
}
