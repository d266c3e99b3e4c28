//! The control loop at work, on the control group's leader: asks the nodes, ticks the brain, records, begins moves, swaps policies.

use crate::node::brain_thread::{BrainThread, Stopped, lower_priority};
use crate::node::control::Control;
use crate::node::handlers::SamplesHandler;
use crate::node::housekeeping::compact_history;
use crate::node::observe::{Baseline, Round};
use crate::node::records::Records;
use crate::node::services::{self, NodeSamples, decode};
use bytes::Bytes;
use isobar_api::EventLog;
use isobar_api::backend::{BackendError, BindingChange, Bound};
use isobar_control::{
    Brain, BrainConfig, BrainEvent, ControlCommand, ControlReply, ControlState, HistoryBlob, MovePace, Prepared,
    Recording, RoundRules, SavedState, Settings, Tick,
};
use isobar_model::{
    Action, Binding, CheckedMove, Digest, InstantMs, KeyspaceId, LoadBatch, Migration, MigrationKind, Mode, Move,
    NodeId, OperationId, RevisionStatus, Role, ShardId, Verdict,
};
use isobar_mover::{Mover, Pace};
use isobar_planner::KeyspaceRule;
use isobar_ports::{BlobStore, Clock, PolicyHost};
use isobar_raft::{RaftShardOps, ShardPlace};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A node that does not give its counters within this time has missed the round.
const SAMPLES_DEADLINE: Duration = Duration::from_secs(2);
/// The control clock may stand still, or change its speed: it is looked at this often at least.
const CLOCK_LOOK: Duration = Duration::from_millis(20);
/// How often leaders are looked for; an election takes longer.
const LEADERS_LOOK: Duration = Duration::from_secs(1);
/// The same while a shard has none yet: somebody waits for a keyspace.
const LEADERS_LOOK_WAITING: Duration = Duration::from_millis(100);
/// How often new revisions are looked for.
const REVISIONS_LOOK: Duration = Duration::from_millis(100);
/// A copy is paced to be through well before the declared time of the move, so that catching up and verifying fit in.
const COPY_SHARE: f64 = 0.6;
/// Slowest pace of a copy, bytes per second: below it small shards would take minutes.
const MIN_COPY_BYTES_PER_S: u64 = 64 << 10;

/// What the controller needs of its node.
pub(crate) struct Surroundings {
    pub(crate) id: NodeId,
    pub(crate) control: Arc<Control>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) samples: Arc<SamplesHandler>,
    pub(crate) policies: Arc<dyn PolicyHost>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) seed: u64,
}

/// The controller of one control term.
pub(crate) struct Controller {
    here: Arc<Surroundings>,
    pub(crate) brain: BrainThread,
    mover: Arc<Mover>,
    baseline: Mutex<Baseline>,
    /// Held while a binding changes: swaps follow one another.
    binding: tokio::sync::Mutex<()>,
    /// Forecasters that have observed the stored history already, so that binding one of them is a matter of milliseconds.
    standby: Mutex<Vec<Standby>>,
}

/// Most forecasters on standby: each has some 30 KiB of memory a shard.
const MOST_ON_STANDBY: usize = 3;
/// The configuration that standbys are opened with; binding with another one takes the time to observe.
const STANDBY_CONFIG: &str = "{}";

/// A forecaster ready to serve.
struct Standby {
    digest: Digest,
    prepared: Prepared,
}

impl Controller {
    /// Wakes a brain from the replicated state. Its tasks run until `stop` turns true.
    pub(crate) async fn start(
        here: Arc<Surroundings>,
        term: u64,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<(Arc<Self>, JoinSet<()>)> {
        let began = Instant::now();
        let state = here.state();
        let settings = *state.settings();
        let mut brain = Brain::new(brain_config(&settings, here.seed, here.clock()), Arc::clone(&here.policies));
        brain.continue_after(state.tick());
        for blob in state.history() {
            let bytes = here.blobs.get(blob.digest).await?;
            match postcard::from_bytes::<Vec<LoadBatch>>(&bytes) {
                Ok(batches) => {
                    for batch in &batches {
                        if let Err(error) = brain.import_history(batch) {
                            tracing::error!(digest = %blob.digest, %error, "a batch of recorded history was left out");
                        }
                    }
                }
                Err(error) => tracing::error!(digest = %blob.digest, %error, "recorded history can't be read"),
            }
        }
        brain.note_moved(state.map().shards.keys().map(|&shard| (shard, state.last_moved(shard))));
        let brain = BrainThread::start(brain)?;
        let locator = {
            let here = Arc::clone(&here);
            move |shard: ShardId| here.place(shard)
        };
        let ops = RaftShardOps::new(Arc::clone(&here.control.peers), Arc::new(locator));
        let records = Arc::new(Records(Arc::clone(&here.control)));
        let clock: Arc<dyn Clock> = Arc::clone(&here.control.clock);
        let pace = Pace { poll: Duration::from_millis(50), ..Pace::default() };
        let mover = Arc::new(Mover::new(records, Arc::new(ops), clock, pace));
        let controller = Arc::new(Self {
            here,
            brain,
            mover,
            baseline: Mutex::default(),
            binding: tokio::sync::Mutex::default(),
            standby: Mutex::default(),
        });
        for binding in state.bindings() {
            controller.restore_binding(&state, binding).await;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&controller.mover).run(term, stop));
        tasks.spawn(Arc::clone(&controller).tick_for_ever());
        tasks.spawn(Arc::clone(&controller).judge_revisions());
        tasks.spawn(Arc::clone(&controller).watch_leaders());
        tracing::info!(term, took_ms = began.elapsed().as_millis() as u64, "this node leads the control group");
        Ok((controller, tasks))
    }

    async fn restore_binding(&self, state: &ControlState, binding: &Binding) {
        let Some(digest) = binding.revision else { return };
        if binding.keyspace.is_some() {
            return;
        }
        let outcome = async {
            self.compile(digest).await?;
            let name = policy_name(state, digest)?;
            let (role, config) = (binding.role, binding.config.clone());
            let prepared = self.prepare(role, Some((digest, name)), config).await?;
            self.brain.call(move |brain| brain.activate(prepared)).await?.map_err(unfit)
        };
        if let Err(error) = outcome.await {
            self.here.publish(
                "policy",
                format!(
                    "the {:?} policy {} can't serve, the built-in one answers: {error}",
                    binding.role,
                    digest.short()
                ),
            );
        }
    }

    /// Makes sure that the policy host has an artifact compiled.
    async fn compile(&self, digest: Digest) -> Result<(), BackendError> {
        let unreadable =
            |error: std::io::Error| BackendError::Unavailable(format!("the artifact can't be read: {error}"));
        let bytes = self.here.blobs.get(digest).await.map_err(unreadable)?;
        let host = Arc::clone(&self.here.policies);
        policy_work(move || host.inspect(&bytes))
            .await?
            .map(|_| ())
            .map_err(|rejection| BackendError::Invalid(rejection.0))
    }

    async fn prepare(
        &self,
        role: Role,
        revision: Option<(Digest, String)>,
        config: String,
    ) -> Result<Prepared, BackendError> {
        let preparation = self.brain.call(move |brain| brain.preparation(role, revision, &config)).await?;
        let host = Arc::clone(&self.here.policies);
        policy_work(move || preparation.run(host.as_ref())).await?.map_err(unfit)
    }

    /// Binds a policy: the new instance is readied while the old one serves, the change is committed, then they are swapped.
    pub(crate) async fn bind(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        change: BindingChange,
    ) -> Result<Bound, BackendError> {
        let began = Instant::now();
        let _one_at_a_time = self.binding.lock().await;
        if keyspace.is_some() {
            return Err(BackendError::Invalid(
                "bindings of a single keyspace are not carried out yet: leave the keyspace out, which binds the role for all".into(),
            ));
        }
        let state = self.here.state();
        let in_force = state.binding(role, keyspace).map_or(0, |binding| binding.number);
        if in_force != change.expected {
            return Err(BackendError::Conflict {
                detail: format!(
                    "binding number {in_force} is in force, {} was expected: somebody changed it; read it again, then decide",
                    change.expected
                ),
                expected: Some(change.expected),
                actual: Some(in_force),
            });
        }
        let revision = match change.revision {
            Some(digest) => Some((digest, self.bindable(&state, role, digest)?)),
            None => None,
        };
        let prepared = match self.take_standby(&state, role, &change) {
            Some(prepared) => prepared,
            None => self.prepare(role, revision, change.config.clone()).await?,
        };
        let command = ControlCommand::Bind {
            role,
            keyspace,
            revision: change.revision,
            config: change.config,
            expected: change.expected,
        };
        self.here.control.command(command).await?;
        self.brain.call(move |brain| brain.activate(prepared)).await?.map_err(unfit)?;
        let swap_ms = began.elapsed().as_secs_f64() * 1000.0;
        let state = self.here.state();
        let binding = state.binding(role, keyspace).cloned();
        let binding = binding.ok_or_else(|| BackendError::Internal("the binding is gone again".into()))?;
        Ok(Bound { binding, swap_ms: Some(swap_ms) })
    }

    /// The standby for this change, where there is one. Another revision of the serving policy goes on from its state instead.
    fn take_standby(&self, state: &ControlState, role: Role, change: &BindingChange) -> Option<Prepared> {
        let digest = change.revision.filter(|_| role == Role::Forecast && change.config == STANDBY_CONFIG)?;
        let serving = state.binding(role, None).and_then(|binding| binding.revision);
        let name = |digest: Digest| policy_name(state, digest).ok();
        if serving.and_then(name).is_some_and(|serving| Some(serving) == name(digest)) {
            return None;
        }
        let mut standby = self.standby.lock();
        let at = standby.iter().position(|standby| standby.digest == digest)?;
        Some(standby.swap_remove(at).prepared)
    }

    /// Readies forecasters that may be bound next: those that do not serve, the latest first.
    async fn warm(&self) -> Result<(), BackendError> {
        let wanted: Vec<(Digest, String)> = self.here.read(|state| {
            let serving = state.binding(Role::Forecast, None).and_then(|binding| binding.revision);
            let ready = state.revisions().values().filter(|revision| {
                revision.status == RevisionStatus::Ready
                    && revision.role == Some(Role::Forecast)
                    && Some(revision.digest) != serving
            });
            let named = |r: &isobar_model::Revision| Some((r.digest, r.description.as_ref()?.name.clone()));
            ready.filter_map(named).take(MOST_ON_STANDBY).collect()
        });
        self.standby.lock().retain(|standby| wanted.iter().any(|(digest, _)| *digest == standby.digest));
        for (digest, name) in wanted {
            if self.standby.lock().iter().any(|standby| standby.digest == digest) {
                continue;
            }
            if self.brain.call(|brain| brain.history().end()).await? == 0 {
                return Ok(());
            }
            let prepared = self.prepare(Role::Forecast, Some((digest, name)), STANDBY_CONFIG.to_owned()).await?;
            let mut standby = self.standby.lock();
            if standby.len() < MOST_ON_STANDBY {
                standby.push(Standby { digest, prepared });
            }
        }
        Ok(())
    }

    /// Binds what was bound before.
    pub(crate) async fn roll_back(
        &self,
        role: Role,
        keyspace: Option<KeyspaceId>,
        expected: Option<u64>,
    ) -> Result<Bound, BackendError> {
        let state = self.here.state();
        let Some(binding) = state.binding(role, keyspace) else {
            return Err(BackendError::NotFound(format!(
                "nothing was ever bound to {role:?}: there is nothing to roll back to"
            )));
        };
        let change = BindingChange {
            revision: binding.previous,
            config: binding.previous_config.clone(),
            expected: expected.unwrap_or(binding.number),
        };
        self.bind(role, keyspace, change).await
    }

    fn bindable(&self, state: &ControlState, role: Role, digest: Digest) -> Result<String, BackendError> {
        let Some(revision) = state.revisions().get(&digest) else {
            return Err(BackendError::NotFound(format!("there is no revision {digest}: upload it first")));
        };
        match &revision.status {
            RevisionStatus::Ready if revision.role == Some(role) => policy_name(state, digest),
            RevisionStatus::Ready => Err(BackendError::Invalid(format!(
                "revision {} serves the role {:?}, not {role:?}: bind it there",
                digest.short(),
                revision.role
            ))),
            RevisionStatus::Uploaded => Err(BackendError::conflict(format!(
                "revision {} is still being compiled: wait until its status is ready",
                digest.short()
            ))),
            RevisionStatus::Rejected { reason } | RevisionStatus::Quarantined { reason } => {
                Err(BackendError::conflict(format!("revision {} may not be bound: {reason}", digest.short())))
            }
        }
    }

    /// Compiles and judges what was uploaded.
    async fn judge_revisions(self: Arc<Self>) {
        let mut warmed: BTreeSet<Digest> = BTreeSet::new();
        loop {
            let revisions = self.here.read(|state| state.revisions().clone());
            for revision in revisions.values() {
                let digest = revision.digest;
                match &revision.status {
                    RevisionStatus::Uploaded => {
                        let bytes = match self.here.blobs.get(digest).await {
                            Ok(bytes) => bytes,
                            Err(error) => {
                                tracing::warn!(%digest, %error, "an uploaded artifact can't be read yet");
                                continue;
                            }
                        };
                        let host = Arc::clone(&self.here.policies);
                        let Ok(judged) = policy_work(move || host.inspect(&bytes)).await else { continue };
                        let command = match judged {
                            Ok(found) => ControlCommand::SetRevisionStatus {
                                digest,
                                status: RevisionStatus::Ready,
                                role: Some(found.role),
                                description: Some(found.description),
                                imports: found.imports,
                            },
                            Err(rejection) => ControlCommand::SetRevisionStatus {
                                digest,
                                status: RevisionStatus::Rejected { reason: rejection.0 },
                                role: None,
                                description: None,
                                imports: Vec::new(),
                            },
                        };
                        if let Err(error) = self.here.control.command(command).await {
                            tracing::warn!(%digest, %error, "a revision's status was not recorded");
                        }
                        warmed.insert(digest);
                    }
                    // Compiled under an earlier leader: once here too, so that binding it takes no time.
                    RevisionStatus::Ready if warmed.insert(digest) => {
                        if let Err(error) = self.compile(digest).await {
                            tracing::warn!(%digest, %error, "a ready artifact was not compiled here");
                        }
                    }
                    RevisionStatus::Ready | RevisionStatus::Rejected { .. } | RevisionStatus::Quarantined { .. } => {}
                }
            }
            if let Err(error) = self.warm().await {
                tracing::debug!(%error, "a forecaster could not be put on standby");
            }
            tokio::time::sleep(REVISIONS_LOOK).await;
        }
    }

    async fn tick_for_ever(self: Arc<Self>) {
        let tick_ms = u64::from(self.here.state().settings().tick_ms).max(1);
        let mut last: Option<InstantMs> = None;
        loop {
            let now = self.here.clock().now();
            let boundary = InstantMs((now.0 / tick_ms + 1) * tick_ms);
            while self.here.clock().now() < boundary {
                let left = self.here.clock().wall_ms(boundary.since_ms(self.here.clock().now()));
                tokio::time::sleep(Duration::from_millis(left).clamp(Duration::from_millis(1), CLOCK_LOOK)).await;
            }
            if let Err(error) = self.round(boundary, last).await {
                tracing::warn!(%error, "a tick of the control loop was lost");
            }
            last = Some(boundary);
        }
    }

    /// One tick, at `now` on the control clock, `last` being the tick before.
    async fn round(&self, now: InstantMs, last: Option<InstantMs>) -> anyhow::Result<()> {
        let round = self.ask_all().await;
        let state = self.here.state();
        let (leaders, rates_known) = self.baseline.lock().take(&state, &round, now);
        self.report_leaders(&state, leaders).await;
        let step_ms = u64::from(state.settings().step_ms);
        let recorded = self.brain.call(move |brain| brain.history().end() * step_ms).await?;
        let Some(last) = last.filter(|_| rates_known && recorded < now.0) else {
            // The first round of a leader, or time that imported history covers: counters to compare with, and no more.
            return Ok(());
        };
        let state = self.here.state();
        let observation = self.baseline.lock().observation(&state, now, now.since_ms(last));
        let rules = rules(&state);
        let released: Vec<u64> = state.held_plans().iter().filter(|plan| plan.released).map(|plan| plan.tick).collect();
        let tick = self.brain.call(move |brain| brain.tick(&observation, &rules)).await?;
        self.begin(&state, &tick.accepted).await;
        self.keep(&state, &tick).await?;
        for tick in released {
            self.here.control.command(ControlCommand::DropHeldMoves { tick }).await?;
        }
        self.tell(&tick).await;
        Ok(())
    }

    async fn ask_all(&self) -> Round {
        let here = &self.here;
        let nodes: Vec<NodeId> = here.state().nodes().keys().copied().collect();
        let answers = nodes.into_iter().map(|node| async move {
            if node == here.id {
                return (node, Some(here.samples.samples()));
            }
            let answer = here.control.peers.call(node, services::SAMPLES, Bytes::new(), SAMPLES_DEADLINE).await;
            (node, answer.ok().and_then(|bytes| decode::<NodeSamples>(&bytes).ok()))
        });
        futures::future::join_all(answers).await.into_iter().collect()
    }

    /// Learns of new leaders on wall time, whatever the tick: routers live by it.
    async fn watch_leaders(self: Arc<Self>) {
        loop {
            let round = self.ask_all().await;
            let samples = round.into_values().flatten().flat_map(|node| node.samples);
            let leaders = samples.filter(|sample| sample.leads).map(|sample| (sample.shard, sample.node)).collect();
            let state = self.here.state();
            self.report_leaders(&state, leaders).await;
            let waiting = state.map().shards.values().any(|shard| shard.leader.is_none());
            tokio::time::sleep(if waiting { LEADERS_LOOK_WAITING } else { LEADERS_LOOK }).await;
        }
    }

    async fn report_leaders(&self, state: &ControlState, leaders: Vec<(ShardId, NodeId)>) {
        let map = state.map();
        let news: Vec<(ShardId, NodeId)> = leaders
            .into_iter()
            .filter(|(shard, node)| map.shards.get(shard).is_some_and(|s| s.leader != Some(*node) && s.is_on(*node)))
            .collect();
        if !news.is_empty()
            && let Err(error) = self.here.control.command(ControlCommand::ReportLeaders(news)).await
        {
            tracing::warn!(%error, "new leaders were not recorded");
        }
    }

    /// Begins the moves that passed the plan check.
    async fn begin(&self, state: &ControlState, accepted: &[CheckedMove]) {
        for checked in accepted {
            if let Err(error) = self.start_move(state, &checked.proposed, "policy").await {
                self.here.publish(
                    "plan",
                    format!("an accepted move of shard {} was not begun: {error}", checked.proposed.shard),
                );
            }
        }
        if !accepted.is_empty() {
            self.mover.wake();
        }
    }

    /// Records a migration; the mover carries it out.
    pub(crate) async fn start_move(
        &self,
        state: &ControlState,
        proposed: &Move,
        who: &str,
    ) -> Result<Migration, BackendError> {
        let shard = proposed.shard;
        let Some(record) = state.map().shards.get(&shard) else {
            return Err(BackendError::NotFound(format!("there is no shard {shard}")));
        };
        let settings = state.settings();
        let (kind, source, target) = match proposed.action {
            Action::MoveReplica { source, target } => (MigrationKind::Replica, source, target),
            Action::TransferLeader(target) => {
                let Some(leader) = record.leader else {
                    return Err(BackendError::Unavailable(format!("shard {shard} has no known leader yet: try again")));
                };
                (MigrationKind::Leader, leader, target)
            }
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
                return Err(BackendError::Invalid("this build moves replicas and leaders, nothing else".into()));
            }
        };
        let total_bytes = self.baseline.lock().bytes(shard);
        let (mut copy_bytes_per_s, mut not_before) = (settings.copy_bytes_per_s, InstantMs(0));
        // An operator who drains a node wants it empty: such moves go as fast as the limits allow.
        let draining = state.nodes().get(&source).is_some_and(|node| node.draining);
        if kind == MigrationKind::Replica && settings.move_steps > 0 && !draining {
            let declared_ms = u64::from(settings.move_steps) * u64::from(settings.step_ms);
            not_before = self.here.clock().now().plus_ms(declared_ms);
            let wall_s = self.here.clock().wall_ms(declared_ms) as f64 / 1000.0;
            let pace = total_bytes as f64 / (wall_s * COPY_SHARE).max(0.001);
            let paced = (pace as u64).max(MIN_COPY_BYTES_PER_S);
            copy_bytes_per_s = if copy_bytes_per_s == 0 { paced } else { paced.min(copy_bytes_per_s) };
        }
        let reason = if proposed.reason.is_empty() { who.to_owned() } else { format!("{who}: {}", proposed.reason) };
        let command = ControlCommand::StartMigration {
            shard,
            kind,
            source,
            target,
            total_bytes,
            copy_bytes_per_s,
            not_before,
            reason,
        };
        let reply = self.here.control.command(command).await?;
        self.mover.wake();
        let ControlReply::Migration(id) = reply else {
            return Err(BackendError::Internal("the control group gave another kind of answer".into()));
        };
        self.migration(id)
    }

    pub(crate) fn migration(&self, id: OperationId) -> Result<Migration, BackendError> {
        let missing = || BackendError::NotFound(format!("there is no migration {id}, or it ended too long ago"));
        self.here.state().migration(id).cloned().ok_or_else(missing)
    }

    /// Judges and begins a move by hand.
    pub(crate) async fn move_by_hand(&self, shard: ShardId, action: Action) -> Result<Migration, BackendError> {
        let state = self.here.state();
        let now = self.here.clock().now();
        let proposed =
            Move { shard, action, urgency: 1.0, start_by: now, gain: 0.0, reason: "asked for by an operator".into() };
        if !state.map().shards.contains_key(&shard) {
            return Err(BackendError::NotFound(format!("there is no shard {shard}: see /v1/shards")));
        }
        let observation = self.baseline.lock().observation(&state, now, 0);
        let rules = rules(&state);
        let checked = self.brain.call(move |brain| brain.check_by_hand(&observation, &rules, proposed)).await?;
        match &checked.verdict {
            Verdict::Accepted => self.start_move(&state, &checked.proposed, "operator").await,
            Verdict::Held { rule } => {
                Err(BackendError::conflict(format!("the move is held back by the rule {rule:?}")))
            }
            Verdict::Refused { rule, detail } => {
                let rule = serde_json::to_value(rule).unwrap_or_default();
                let rule = rule.as_str().unwrap_or("unknown").to_owned();
                Err(BackendError::conflict(format!("refused by the rule {rule}: {detail}")))
            }
        }
    }

    /// Wakes the mover: something about migrations was changed by hand.
    pub(crate) fn wake_mover(&self) {
        self.mover.wake();
    }

    pub(crate) fn with_baseline<R>(&self, look: impl FnOnce(&Baseline) -> R) -> R {
        look(&self.baseline.lock())
    }

    /// Stores what the tick came to: blobs first, then the entry that names them.
    async fn keep(&self, state: &ControlState, tick: &Tick) -> anyhow::Result<()> {
        let mut inputs = Vec::new();
        for (digest, bytes) in &tick.inputs {
            self.here.blobs.put(Bytes::from(bytes.clone())).await?;
            inputs.push(*digest);
        }
        let record = serde_json::to_vec(&tick.record)?;
        let decision = self.here.blobs.put(record.into()).await?;
        let history = match &tick.closed {
            Some(batch) => Some(self.put_history(std::slice::from_ref(batch)).await?),
            None => None,
        };
        let mut saved = Vec::new();
        for state in &tick.saved {
            let blob = self.here.blobs.put(Bytes::from(state.bytes.clone())).await?;
            saved.push(SavedState {
                role: state.role,
                keyspace: None,
                revision: state.revision,
                blob,
                observed_until: state.observed_until,
            });
        }
        let command = ControlCommand::RecordTick { tick: tick.record.tick, history, decision, inputs, saved };
        self.here.control.command(command).await?;
        if let Err(error) = compact_history(&self.here.control, self.here.blobs.as_ref()).await {
            tracing::warn!(%error, "a day of history was not merged yet");
        }
        let waits_for_operator = |keyspace: &isobar_model::Keyspace| keyspace.mode == Mode::Approve;
        let held: Vec<CheckedMove> = tick
            .record
            .moves
            .iter()
            .filter(|checked| matches!(checked.verdict, Verdict::Held { rule: isobar_model::Rule::Mode }))
            .filter(|checked| {
                let keyspace = state.map().shards.get(&checked.proposed.shard).map(|shard| shard.keyspace);
                keyspace.and_then(|id| state.map().keyspaces.get(&id)).is_some_and(waits_for_operator)
            })
            .cloned()
            .collect();
        if !held.is_empty() {
            self.here.control.command(ControlCommand::HoldMoves { tick: tick.record.tick, moves: held }).await?;
        }
        Ok(())
    }

    async fn put_history(&self, batches: &[LoadBatch]) -> anyhow::Result<HistoryBlob> {
        let first = batches.iter().map(|batch| batch.start).min().unwrap_or_default();
        let steps = batches.iter().map(|batch| batch.steps).max().unwrap_or(0);
        let bytes = postcard::to_allocvec(batches)?;
        let digest = self.here.blobs.put(bytes.into()).await?;
        Ok(HistoryBlob { first_step_ms: first, steps, digest })
    }

    /// Takes in history from elsewhere: all batches of one call cover the same steps.
    pub(crate) async fn import_history(&self, batch: LoadBatch) -> Result<(), BackendError> {
        let failed = |error: anyhow::Error| BackendError::Unavailable(format!("the history was not stored: {error}"));
        let blob = self.put_history(std::slice::from_ref(&batch)).await.map_err(failed)?;
        let taken = self.brain.call(move |brain| brain.import_history(&batch)).await?;
        taken.map_err(|error| BackendError::Invalid(error.to_string()))?;
        // They have not seen it, and steps before those they have seen can't be shown to them any more.
        self.standby.lock().clear();
        self.here.control.command(ControlCommand::ImportHistory { blobs: vec![blob] }).await?;
        Ok(())
    }

    /// Tells operators what the policies did, and takes those that failed too often out of service.
    async fn tell(&self, tick: &Tick) {
        for event in &tick.events {
            let text = match event {
                BrainEvent::PolicyFailed { policy, failure, running, .. } => {
                    format!("policy {policy} failed ({running} running), the built-in one answered: {failure}")
                }
                BrainEvent::PolicyRecovered { policy, .. } => format!("policy {policy} answers again"),
                BrainEvent::PolicyQuarantined { policy, revision, reason, .. } => {
                    let status = RevisionStatus::Quarantined { reason: reason.clone() };
                    let command = ControlCommand::SetRevisionStatus {
                        digest: *revision,
                        status,
                        role: None,
                        description: None,
                        imports: Vec::new(),
                    };
                    if let Err(error) = self.here.control.command(command).await {
                        tracing::warn!(%error, "a quarantine was not recorded");
                    }
                    format!("policy {policy} is quarantined, the built-in one serves until another is bound: {reason}")
                }
                BrainEvent::PolicyOutscored { policy, wape, builtin_wape, .. } => format!(
                    "policy {policy} forecasts worse (WAPE {wape:.3}) than the built-in one ({builtin_wape:.3}), which answers meanwhile"
                ),
            };
            tracing::warn!(text, "policy event");
            let data = serde_json::to_value(event).unwrap_or_default();
            self.here.events.publish(tick.record.now, "policy", text, data);
        }
    }
}

impl Surroundings {
    /// The replicated state as this node has applied it.
    pub(crate) fn state(&self) -> ControlState {
        self.read(ControlState::clone)
    }

    /// Looks at the replicated state without copying it.
    pub(crate) fn read<R: Default>(&self, look: impl FnOnce(&ControlState) -> R) -> R {
        self.control.group.as_ref().map(|group| group.read(look)).unwrap_or_default()
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.control.clock
    }

    fn publish(&self, kind: &str, text: String) {
        tracing::warn!(kind, text, "event");
        self.events.publish(self.clock().now(), kind, text, serde_json::Value::Null);
    }

    fn place(&self, shard: ShardId) -> Option<ShardPlace> {
        let group = self.control.group.as_ref()?;
        group.read(|state| {
            let record = state.map().shards.get(&shard)?.clone();
            let others = state.migration_of(shard).into_iter().flat_map(|m| [m.source, m.target]);
            let others = others.filter(|node| !record.is_on(*node)).collect();
            Some(ShardPlace { shard: record, others })
        })
    }
}

impl From<Stopped> for BackendError {
    fn from(stopped: Stopped) -> Self {
        Self::Unavailable(format!("{stopped}: try again, another node leads now"))
    }
}

/// The forecast reaches a day ahead, so that placement can tell a wave from a tide.
const HORIZON_STEPS: u32 = 288;
/// Quantiles reach into the upper tail, since overload happens there.
const QUANTILES: [f32; 8] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999];

fn brain_config(settings: &Settings, seed: u64, clock: &Arc<dyn Clock>) -> BrainConfig {
    let move_pace = if settings.move_steps > 0 {
        MovePace::Steps(settings.move_steps as f32)
    } else {
        // The pace is one of wall time, the steps are of the control clock.
        let wall_s_per_control_s = clock.wall_ms(1_000_000) as f64 / 1_000_000.0;
        let bytes_per_s = (settings.copy_bytes_per_s.max(1) as f64 * wall_s_per_control_s) as u64;
        MovePace::Bytes { bytes_per_s: bytes_per_s.max(1), overhead_steps: 0.1 }
    };
    BrainConfig {
        step_ms: settings.step_ms,
        limits: settings.limits,
        seed,
        move_pace,
        horizon_steps: HORIZON_STEPS,
        quantiles: QUANTILES.to_vec(),
        // Bytes of every input would be some megabytes a tick: they are kept once decisions can be replayed from them.
        recording: Recording::Digests,
        ..BrainConfig::default()
    }
}

fn rules(state: &ControlState) -> RoundRules {
    let keyspaces = state.map().keyspaces.values();
    RoundRules {
        keyspaces: keyspaces
            .map(|k| (k.id, KeyspaceRule { mode: k.mode, replication_factor: k.replication_factor }))
            .collect(),
        halted: state.is_halted(),
        draining: state.nodes().values().filter(|node| node.draining).map(|node| node.id).collect(),
        released: state
            .held_plans()
            .iter()
            .filter(|plan| plan.released)
            .flat_map(|plan| plan.moves.iter().map(|checked| checked.proposed.clone()))
            .collect(),
    }
}

fn policy_name(state: &ControlState, digest: Digest) -> Result<String, BackendError> {
    let description = state.revisions().get(&digest).and_then(|revision| revision.description.as_ref());
    let unknown = || BackendError::conflict(format!("revision {} is not ready", digest.short()));
    description.map(|description| description.name.clone()).ok_or_else(unknown)
}

fn unfit(failure: isobar_ports::PolicyFailure) -> BackendError {
    BackendError::Invalid(format!("the policy can't serve: {failure}"))
}

/// Runs policy code on a thread of lowered priority.
async fn policy_work<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, BackendError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("policy".into()).spawn(move || {
        lower_priority();
        let _ = answer.send(work());
    });
    spawned.map_err(|error| BackendError::Unavailable(format!("no thread for the policy: {error}")))?;
    answered.await.map_err(|_| BackendError::Internal("the policy's thread died".into()))
}
