//! The node behind its HTTP API.

pub(super) mod figures;
mod forecast_report;
mod node_report;

use crate::gateway::Gateway;
use crate::node::control::{Control, backend_error};
use crate::node::controller::Controller;
use crate::node::directory::Directory;
use crate::node::forecast_scores;
use crate::node::handlers::SamplesHandler;
use crate::node::services::{self, decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use forecast_report::{forecast_report, heat_map, ranked_shard};
use isobar_analyzer::HeatMapSpec;
use isobar_api::backend::{
    Backend, BackendError, BindingChange, Bound, ClusterReport, Figure, ForecastReport, HeatMap, HeatMapAsk, Imported,
    NewKeyspace, NodeReport, PendingPlan, RankedShard, Scan, ScanPage, Served, ShardFigures,
};
use isobar_api::{
    EventLog, GainsInfo, NodeExplainInfo, ScoresInfo, ShardExplainInfo, ShardProfileInfo, WhatIfAsk, WhatIfInfo,
};
use isobar_control::{ControlCommand, ControlReply, ControlState, HeldPlan, ShardCount};
use isobar_model::history::{HistoryPage, HistoryQuery, Window};
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_model::{
    Action, Binding, Consistency, DecisionRecord, Digest, Insights, Keyspace, KeyspaceId, LoadBatch, Metric, Migration,
    Mode, NodeForecast, NodeId, NodeMetric, OperationId, PlacementRules, Revision, Role, RouteVersion, ShardId,
    ShardMap,
};
use isobar_ports::{BlobStore, Clock, ReplicaDigest, ShardOps, ShardStatus};
use isobar_raft::{ControlGroup, RaftShardOps, ShardHost, ShardPlace};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A new keyspace's groups elect their leaders within this time.
const LEADERS_DEADLINE: Duration = Duration::from_secs(25);
/// A shard's leader tells of it within this time: it has all at hand.
const PROFILE_DEADLINE: Duration = Duration::from_secs(2);
/// Shards ranked.
const MAX_RANKED: usize = 1_000;

/// One node's answers.
pub(crate) struct NodeBackend {
    pub(crate) id: NodeId,
    pub(crate) cluster: String,
    pub(crate) default_mode: Mode,
    pub(crate) gateway: Gateway,
    pub(crate) directory: Arc<Directory>,
    pub(crate) shards: Arc<ShardHost>,
    pub(crate) samples: Arc<SamplesHandler>,
    pub(crate) control: Arc<Control>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Set while this node leads the control group.
    pub(crate) controller: Arc<RwLock<Option<Arc<Controller>>>>,
}

impl NodeBackend {
    fn controller(&self) -> Result<Arc<Controller>, BackendError> {
        let none = || {
            BackendError::Unavailable("this node does not lead the control group: try again, another node will".into())
        };
        self.controller.read().clone().ok_or_else(none)
    }

    fn group(&self) -> Result<&Arc<ControlGroup<ControlState>>, BackendError> {
        let none = || BackendError::Unavailable("this node has no replica of the control group: ask another".into());
        self.control.group.as_ref().ok_or_else(none)
    }

    fn read<R>(&self, look: impl FnOnce(&ControlState) -> R) -> Result<R, BackendError> {
        Ok(self.group()?.read(look))
    }

    /// What can be asked of one shard's group.
    fn shard_ops(&self, shard: ShardId) -> Result<RaftShardOps, BackendError> {
        let missing = || BackendError::NotFound(format!("there is no shard {shard}: see /v1/shards"));
        let record = self.directory.map().shards.get(&shard).cloned().ok_or_else(missing)?;
        let place = ShardPlace { shard: record, others: Default::default() };
        Ok(RaftShardOps::new(Arc::clone(&self.control.peers), Arc::new(move |_| Some(place.clone()))))
    }

    fn keyspace(&self, id: KeyspaceId) -> Result<Keyspace, BackendError> {
        let missing = || BackendError::NotFound(format!("there is no keyspace number {id}"));
        self.read(|state| state.map().keyspaces.get(&id).cloned())?.ok_or_else(missing)
    }

    async fn wait_for_leaders(&self, keyspace: KeyspaceId) -> Result<(), BackendError> {
        let end = Instant::now() + LEADERS_DEADLINE;
        loop {
            let waiting = self.read(|state| {
                let shards = state.map().shards.values();
                shards.filter(|s| s.keyspace == keyspace && s.leader.is_none()).count()
            })?;
            if waiting == 0 {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(BackendError::Timeout(format!(
                    "the keyspace is created, but {waiting} of its shards have no leader yet: see /v1/shards, and that all nodes are up"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[async_trait]
impl Backend for NodeBackend {
    async fn get(
        &self,
        keyspace: &str,
        key: Bytes,
        consistency: Consistency,
    ) -> Result<Served<Option<Bytes>>, BackendError> {
        self.gateway.get(keyspace, key, consistency).await
    }

    async fn put(&self, keyspace: &str, key: Bytes, value: Bytes) -> Result<Served<u64>, BackendError> {
        self.gateway.put(keyspace, key, value).await
    }

    async fn delete(&self, keyspace: &str, key: Bytes) -> Result<Served<u64>, BackendError> {
        self.gateway.delete(keyspace, key).await
    }

    async fn scan(&self, keyspace: &str, scan: Scan) -> Result<ScanPage, BackendError> {
        self.gateway.scan(keyspace, scan).await
    }

    fn shard_map(&self) -> Arc<ShardMap> {
        self.directory.map()
    }

    async fn newer_map(&self, after: RouteVersion) -> Arc<ShardMap> {
        let mut news = self.directory.watch_map();
        match news.wait_for(|map| map.version > after).await {
            Ok(map) => Arc::clone(&map),
            Err(_) => self.directory.map(),
        }
    }

    async fn create_keyspace(&self, new: NewKeyspace) -> Result<Keyspace, BackendError> {
        let mut placement = (!new.placement.is_empty()).then_some(new.placement);
        if placement.is_none() && !new.rules.is_empty() {
            let (shards, factor) = (new.split_points.len() + 1, new.replication_factor as usize);
            let within = self.read(|state| state.placement_within(&new.rules, shards, factor))?;
            placement = Some(within.map_err(backend_error)?);
        }
        let command = ControlCommand::CreateKeyspace {
            name: new.name,
            partitioning: new.partitioning,
            replication_factor: new.replication_factor,
            mode: new.mode.unwrap_or(self.default_mode),
            shards: ShardCount::SplitAt(new.split_points),
            placement,
        };
        match self.control.command(command).await? {
            ControlReply::Keyspace(id) => {
                if !new.rules.is_empty() {
                    let rules = new.rules;
                    self.control.command(ControlCommand::SetPlacementRules { keyspace: id, rules }).await?;
                }
                self.wait_for_leaders(id).await?;
                self.keyspace(id)
            }
            ControlReply::Done | ControlReply::Bound { .. } | ControlReply::Migration(_) | ControlReply::Refused(_) => {
                Err(BackendError::Internal("the control group gave another kind of answer".into()))
            }
        }
    }

    async fn set_mode(&self, keyspace: KeyspaceId, mode: Mode) -> Result<Keyspace, BackendError> {
        self.control.command(ControlCommand::SetMode { keyspace, mode }).await?;
        self.keyspace(keyspace)
    }

    async fn placement_rules(&self, keyspace: KeyspaceId) -> Result<PlacementRules, BackendError> {
        self.read(|state| state.placement_rules().get(&keyspace).cloned().unwrap_or_default())
    }

    async fn set_placement_rules(
        &self,
        keyspace: KeyspaceId,
        rules: PlacementRules,
    ) -> Result<PlacementRules, BackendError> {
        self.control.command(ControlCommand::SetPlacementRules { keyspace, rules }).await?;
        self.placement_rules(keyspace).await
    }

    async fn gains(&self) -> Result<Vec<GainsInfo>, BackendError> {
        self.controller()?.gains().await
    }

    async fn set_abstain(&self, keyspace: KeyspaceId, abstain: bool) -> Result<(), BackendError> {
        self.control.command(ControlCommand::SetAbstain { keyspace, abstain }).await.map(|_| ())
    }

    async fn reset_gains(&self, keyspace: KeyspaceId) -> Result<(), BackendError> {
        self.controller()?.reset_gains(keyspace).await
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, BackendError> {
        self.node_reports()
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<NodeReport, BackendError> {
        self.control.command(ControlCommand::SetDraining { node, draining }).await?;
        self.node_report(node)
    }

    async fn shard_figures(&self) -> Result<BTreeMap<ShardId, ShardFigures>, BackendError> {
        let controller = self.controller()?;
        let shards: Vec<ShardId> = self.directory.map().shards.keys().copied().collect();
        Ok(controller.with_baseline(|baseline| {
            let figures = |shard: ShardId| {
                let (leader_load, follower_load) = baseline.load(shard);
                (shard, ShardFigures { leader_load, follower_load, bytes: baseline.bytes(shard) })
            };
            shards.into_iter().map(figures).collect()
        }))
    }

    async fn shard_profile(&self, shard: ShardId) -> Result<ShardProfileInfo, BackendError> {
        let leader = self.directory.map().shards.get(&shard).and_then(|shard| shard.leader);
        let nobody = || BackendError::Unavailable(format!("shard {shard} has no leader now: try again in a second"));
        let leader = leader.ok_or_else(nobody)?;
        if leader == self.id {
            return self.gateway.shards.profile(shard).map_err(BackendError::Unavailable);
        }
        let silent = |error| {
            BackendError::Unavailable(format!(
                "node {leader} leads shard {shard} and gave no answer ({error}): try again in a second"
            ))
        };
        let call = self.control.peers.call(leader, services::PROFILE, encode(&shard), PROFILE_DEADLINE);
        let answer = decode::<Result<ShardProfileInfo, String>>(&call.await.map_err(silent)?);
        answer.map_err(BackendError::Internal)?.map_err(BackendError::Unavailable)
    }

    async fn shard_status(&self, shard: ShardId) -> Result<Option<ShardStatus>, BackendError> {
        Ok(self.shard_ops(shard)?.status(shard).await.ok())
    }

    async fn verify_shard(&self, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, BackendError> {
        let fence = self.control.fence()?;
        let unverified = |error| {
            BackendError::Unavailable(format!("the replicas of shard {shard} were not compared: {error}; try again"))
        };
        self.shard_ops(shard)?.verify(fence, shard).await.map_err(unverified)
    }

    async fn move_replica(&self, shard: ShardId, from: NodeId, to: NodeId) -> Result<Migration, BackendError> {
        self.controller()?.move_by_hand(shard, Action::MoveReplica { source: from, target: to }).await
    }

    async fn transfer_leader(&self, shard: ShardId, to: NodeId) -> Result<Migration, BackendError> {
        self.controller()?.move_by_hand(shard, Action::TransferLeader(to)).await
    }

    async fn upload_policy(&self, artifact: Bytes) -> Result<Revision, BackendError> {
        if artifact.len() > MAX_ARTIFACT_BYTES {
            return Err(BackendError::TooLarge {
                detail: format!("a component of {} bytes is over the limit of {MAX_ARTIFACT_BYTES}", artifact.len()),
                limit: MAX_ARTIFACT_BYTES as u64,
            });
        }
        let digest = self.control.upload(self.blobs.as_ref(), artifact).await?;
        let lost =
            || BackendError::Unavailable("the revision is recorded, but not applied here yet: ask for it again".into());
        self.policy(digest).await?.ok_or_else(lost)
    }

    async fn policies(&self) -> Result<Vec<Revision>, BackendError> {
        self.read(|state| state.revisions().values().cloned().collect())
    }

    async fn policy(&self, digest: Digest) -> Result<Option<Revision>, BackendError> {
        self.read(|state| state.revisions().get(&digest).cloned())
    }

    async fn bindings(&self) -> Result<Vec<Bound>, BackendError> {
        let shown = |state: &ControlState, binding: &Binding| Bound {
            binding: binding.clone(),
            by_default: state.is_default(binding),
            swap_ms: None,
        };
        self.read(|state| state.bindings().map(|binding| shown(state, binding)).collect())
    }

    async fn bind(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
    ) -> Result<Bound, BackendError> {
        self.controller()?.bind(role, keyspace, change).await
    }

    async fn roll_back(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: Option<u64>,
    ) -> Result<Bound, BackendError> {
        self.controller()?.roll_back(role, keyspace, expected).await
    }

    async fn forecast(&self, shards: Vec<ShardId>, horizon: u32) -> Result<ForecastReport, BackendError> {
        let controller = self.controller()?;
        let answer = controller
            .brain
            .call(move |brain| if shards.is_empty() { brain.forecast_of_all() } else { brain.forecast(&shards) })
            .await?;
        Ok(forecast_report(answer, horizon))
    }

    async fn heat_map(&self, ask: HeatMapAsk) -> Result<HeatMap, BackendError> {
        let spec = HeatMapSpec {
            past_steps: ask.past as usize,
            future_steps: ask.future as usize,
            max_rows: ask.rows as usize,
            max_columns: ask.columns as usize,
            shortest_column_ms: ask.shortest_column_ms,
        };
        let controller = self.controller()?;
        let map = match ask.metric {
            // The brain's own: only there the past and the forecast have the same steps.
            Metric::Load => controller.brain.call(move |brain| brain.heat_map(spec)).await?,
            metric @ (Metric::ReadOps
            | Metric::WriteOps
            | Metric::ReadBytes
            | Metric::WriteBytes
            | Metric::StorageIops
            | Metric::CpuMillicores
            | Metric::MemoryBytes
            | Metric::NetworkBytes) => controller
                .with_archive(|archive| archive.heat_map(metric, spec))
                .map_err(|error| BackendError::Invalid(error.to_string()))?,
        };
        Ok(heat_map(map))
    }

    async fn ranking(&self) -> Result<Vec<RankedShard>, BackendError> {
        let controller = self.controller()?;
        let (ranked, interval) =
            controller.brain.call(|brain| (brain.ranking(MAX_RANKED), brain.ranked_interval())).await?;
        Ok(ranked.into_iter().map(|shard| ranked_shard(shard, interval)).collect())
    }

    async fn forecast_scores(&self, shard: Option<ShardId>) -> Result<ScoresInfo, BackendError> {
        let scores = self.controller()?.brain.call(move |brain| brain.forecast_scores(shard)).await?;
        Ok(forecast_scores::scores_info(shard, scores))
    }

    async fn insights(&self) -> Result<Insights, BackendError> {
        let found = self.controller()?.brain.call(|brain| brain.insights()).await?;
        let none = || {
            BackendError::Unavailable(
                "no search for insights has ended on this node since it leads: one begins with each hour's steps; try again".into(),
            )
        };
        found.map(|found| Insights::clone(&found)).ok_or_else(none)
    }

    async fn migrations(&self) -> Result<Vec<Migration>, BackendError> {
        self.read(|state| {
            let all = state.finished_migrations().iter().chain(state.live_migrations().values());
            let mut all: Vec<Migration> = all.cloned().collect();
            all.sort_by_key(|migration| migration.id);
            all
        })
    }

    async fn cancel_migration(&self, id: OperationId) -> Result<Migration, BackendError> {
        let controller = self.controller()?;
        self.control.command(ControlCommand::CancelMigration { id }).await?;
        controller.wake_mover();
        controller.migration(id)
    }

    async fn explain_shard(&self, shard: ShardId) -> Result<ShardExplainInfo, BackendError> {
        self.controller()?.explain_shard(shard).await
    }

    async fn explain_node(&self, node: NodeId) -> Result<NodeExplainInfo, BackendError> {
        self.controller()?.explain_node(node).await
    }

    async fn what_if(&self, ask: WhatIfAsk) -> Result<WhatIfInfo, BackendError> {
        self.controller()?.what_if(ask).await
    }

    async fn decisions(&self, before: Option<u64>, limit: u32) -> Result<Vec<DecisionRecord>, BackendError> {
        let digests: Vec<Digest> = self.read(|state| {
            let newest_first = state.decisions().iter().rev();
            let wanted = newest_first.filter(|entry| before.is_none_or(|before| entry.tick < before));
            wanted.take(limit as usize).map(|entry| entry.decision).collect()
        })?;
        let mut records = Vec::with_capacity(digests.len());
        for digest in digests {
            let gone =
                |error: std::io::Error| BackendError::Unavailable(format!("decision {digest} can't be read: {error}"));
            let bytes = self.blobs.get(digest).await.map_err(gone)?;
            let broken =
                |error: serde_json::Error| BackendError::Internal(format!("decision {digest} is damaged: {error}"));
            records.push(serde_json::from_slice(&bytes).map_err(broken)?);
        }
        Ok(records)
    }

    async fn pending_plans(&self) -> Result<Vec<PendingPlan>, BackendError> {
        self.read(|state| state.held_plans().iter().filter(|plan| !plan.released).map(pending).collect())
    }

    async fn release_plan(&self, tick: u64) -> Result<PendingPlan, BackendError> {
        let (plan, halted) = self
            .read(|state| (state.held_plans().iter().find(|plan| plan.tick == tick).map(pending), state.is_halted()))?;
        if halted {
            return Err(BackendError::conflict(
                "all automatic moves are halted, those of released plans too: let them go on first (`isobar resume`)",
            ));
        }
        self.control.command(ControlCommand::ReleaseMoves { tick }).await?;
        let gone = || BackendError::NotFound(format!("no plan of tick {tick} waits (any more): see /v1/plans/pending"));
        plan.ok_or_else(gone)
    }

    async fn set_halted(&self, halted: bool) -> Result<(), BackendError> {
        self.control.command(ControlCommand::SetHalted(halted)).await.map(|_| ())
    }

    async fn import_history(&self, batch: LoadBatch) -> Result<Imported, BackendError> {
        let imported = Imported { shards: batch.shards.len() as u64, steps: u64::from(batch.steps) };
        self.controller()?.import_history(batch).await?;
        Ok(imported)
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage<ShardId>, BackendError> {
        self.controller()?.history(&query)
    }

    async fn node_history(&self, node: NodeId, window: Window) -> Result<HistoryPage<NodeMetric>, BackendError> {
        let controller = self.controller()?;
        self.node_report(node)?;
        controller.node_history(node, window)
    }

    async fn node_forecast(&self, node: NodeId) -> Result<NodeForecast, BackendError> {
        let controller = self.controller()?;
        let state = self.read(ControlState::clone)?;
        controller.node_forecast(&state, node, self.clock.now())
    }

    fn events(&self) -> &EventLog {
        &self.events
    }

    async fn status(&self) -> Result<ClusterReport, BackendError> {
        let (tick, settings, halted) = match &self.control.group {
            Some(group) => group.read(|state| (state.tick(), *state.settings(), state.is_halted())),
            None => Default::default(),
        };
        Ok(ClusterReport {
            cluster: self.cluster.clone(),
            node: self.id,
            control_leader: self.directory.control_leader(),
            control_term: self.control.group.as_ref().map_or(0, |group| group.term()),
            now: self.clock.now(),
            tick,
            tick_ms: u64::from(settings.tick_ms),
            step_ms: settings.step_ms,
            halted,
        })
    }

    async fn ready(&self) -> Result<(), String> {
        if !self.directory.nodes().contains_key(&self.id) {
            return Err("this node has not joined the cluster yet".into());
        }
        if self.directory.control_leader().is_none() {
            return Err("the control group has no leader yet".into());
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        self.node_figures()
    }

    fn control_endpoint(&self) -> Option<String> {
        if self.controller.read().is_some() {
            return None;
        }
        let leader = self.directory.control_leader().filter(|leader| *leader != self.id)?;
        self.directory.nodes().get(&leader).map(|node| format!("http://{}", node.http_addr))
    }
}

fn pending(plan: &HeldPlan) -> PendingPlan {
    let moves = plan.moves.iter().map(|checked| checked.proposed.clone()).collect();
    PendingPlan { tick: plan.tick, made: plan.at, moves }
}
