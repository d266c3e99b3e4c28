//! One tick after another: asks the nodes, lets the brain decide, stores what it came to, tells operators.

use super::{Controller, archive};
use crate::node::housekeeping::compact_history;
use crate::node::observe::Round;
use crate::node::services::{self, NodeSamples, decode};
use bytes::Bytes;
use isobar_api::backend::BackendError;
use isobar_control::{
    Brain, BrainEvent, ControlCommand, ControlState, HeldPlan, HistoryBlob, MovePace, RecordedSteps, RoundRules,
    SavedState, Tick,
};
use isobar_model::{CheckedMove, InstantMs, LoadBatch, Mode, NodeId, RevisionStatus, ShardId, Verdict};
use isobar_planner::KeyspaceRule;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node that does not give its counters within this time has missed the round.
const SAMPLES_DEADLINE: Duration = Duration::from_secs(2);
/// The control clock may stand still, or change its speed: it is looked at this often at least.
const CLOCK_LOOK: Duration = Duration::from_millis(20);
/// Part of a tick's wall time that the search for insights may take: it has an hour, and requests come first.
const INSIGHTS_PART: u32 = 20;
/// Work on it at once, between which operators' calls get their turn: some 1 ms.
const INSIGHTS_UNITS: u64 = 512;
/// How often leaders are looked for; an election takes longer.
const LEADERS_LOOK: Duration = Duration::from_secs(1);
/// The same while a shard has none yet: somebody waits for a keyspace.
const LEADERS_LOOK_WAITING: Duration = Duration::from_millis(100);

impl Controller {
    /// Ticks at every boundary of the control clock.
    pub(super) async fn tick_for_ever(self: Arc<Self>) {
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
        let began = Instant::now();
        let round = self.ask_all().await;
        let asked = began.elapsed();
        let state = self.here.state();
        let wall_s_per_s = self.here.clock().wall_ms(1_000_000) as f64 / 1_000_000.0;
        let (leaders, rates_known) = self.baseline.lock().take(&state, &round, now, wall_s_per_s);
        if rates_known {
            self.record_archive(&state, now);
            self.learn_costs(&state);
        }
        self.report_leaders(&state, leaders).await;
        let step_ms = u64::from(state.settings().step_ms);
        let recorded = self.brain.call(move |brain| brain.history().end() * step_ms).await?;
        let Some(last) = last.filter(|_| rates_known && recorded < now.0) else {
            // The first round of a leader, or time that imported history covers: counters to compare with, and no more.
            return Ok(());
        };
        let state = self.here.state();
        let observation = self.observation(&state, now, now.since_ms(last));
        let rules = rules(&state);
        // While all is halted they were judged in vain: an operator's release stays good until moves go on.
        let carried_out = |plan: &&HeldPlan| plan.released && !rules.halted;
        let released: Vec<u64> = state.held_plans().iter().filter(carried_out).map(|plan| plan.tick).collect();
        // A declared length of moves stands whatever was measured.
        let settings = state.settings();
        let measured = MovePace::measured(state.finished_migrations().iter(), settings.step_ms);
        let pace = measured.filter(|_| settings.move_steps == 0);
        let ticked = move |brain: &mut Brain| {
            pace.into_iter().for_each(|pace| brain.set_move_pace(pace));
            brain.tick(&observation, &rules)
        };
        let tick = self.brain.call(ticked).await?;
        let decided = began.elapsed();
        for (judged_as, count) in &tick.verdicts {
            *self.verdicts.lock().entry(*judged_as).or_default() += count;
        }
        self.begin(&state, &tick.accepted).await;
        let begun = began.elapsed();
        if let Some(closed) = &tick.closed {
            self.learn_errors(closed).await?;
        }
        self.keep(&state, &tick).await?;
        self.keep_gains(tick.gains.as_ref(), tick.closed.is_some()).await?;
        for tick in released {
            self.here.control.command(ControlCommand::DropHeldMoves { tick }).await?;
        }
        self.tell(&tick).await;
        self.look_for_insights().await?;
        tracing::debug!(tick = tick.record.tick, ?asked, ?decided, ?begun, kept = ?began.elapsed(), "a tick, from its boundary");
        Ok(())
    }

    /// Searches for what drives what, in a small part of the time until the next tick.
    async fn look_for_insights(&self) -> anyhow::Result<()> {
        let (tick_ms, step_ms) =
            self.here.read(|state| (u64::from(state.settings().tick_ms), state.settings().step_ms));
        let most = Duration::from_millis(self.here.clock().wall_ms(tick_ms)) / INSIGHTS_PART;
        let began = Instant::now();
        loop {
            let archive = Arc::clone(&self.archive);
            let drivers = move || archive::drivers(&archive, step_ms);
            let more = self.brain.call(move |brain| brain.look_for_insights(INSIGHTS_UNITS, drivers)).await?;
            if !more || began.elapsed() >= most {
                return Ok(());
            }
        }
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
    pub(super) async fn watch_leaders(self: Arc<Self>) {
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
            Some(batch) => Some(self.put_history(batch.clone(), tick.withheld.clone()).await?),
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
        if let Err(error) = self.store_due().await {
            tracing::warn!(%error, "a chunk of the archive was not stored yet");
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

    async fn put_history(&self, batch: LoadBatch, withheld: Vec<(ShardId, InstantMs)>) -> anyhow::Result<HistoryBlob> {
        let (first_step_ms, steps) = (batch.start, batch.steps);
        let bytes = postcard::to_allocvec(&RecordedSteps { batches: vec![batch], withheld })?;
        let digest = self.here.blobs.put(bytes.into()).await?;
        Ok(HistoryBlob { first_step_ms, steps, digest })
    }

    /// Shows forecasters steps from elsewhere, of the cluster's own length.
    pub(super) async fn import_steps(&self, batch: LoadBatch) -> Result<(), BackendError> {
        let failed = |error: anyhow::Error| BackendError::Unavailable(format!("the history was not stored: {error}"));
        let blob = self.put_history(batch.clone(), Vec::new()).await.map_err(failed)?;
        let taken = self.brain.call(move |brain| brain.import_history(&batch)).await?;
        taken.map_err(|error| BackendError::Invalid(error.to_string()))?;
        // They have not seen it, and steps before those they have seen can't be shown to them any more.
        self.standby.lock().clear();
        self.here.control.command(ControlCommand::ImportHistory { blobs: vec![blob] }).await?;
        Ok(())
    }

    /// Tells operators what the policies did and which bursts none foresaw, and takes those that failed too often out of service.
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
                BrainEvent::PolicyOutscored { policy, judged, yielded, .. } => format!(
                    "policy {policy} forecasts worse than the built-in one on {yielded} of {judged} shards and horizons; there the built-in one answers meanwhile"
                ),
                BrainEvent::BurstBegan { shard, load, feared, .. } => format!(
                    "shard {shard} is in a burst: {load:.1} load units/s where forecasts feared {feared:.1} at most; placers see what is measured until it is over"
                ),
                BrainEvent::BurstEnded { shard, lasted_ms, lasting: false } => {
                    format!("the burst of shard {shard} is over, it lasted {} s", lasted_ms / 1_000)
                }
                BrainEvent::GainStanding { keyspace, .. } => self.gain_text(*keyspace),
                BrainEvent::BurstEnded { shard, lasted_ms, lasting: true } => format!(
                    "the burst of shard {shard} lasts: after {} s it is taken for the shard's new level, which forecasters learn from now on",
                    lasted_ms / 1_000
                ),
            };
            let kind = match event {
                BrainEvent::BurstBegan { .. } | BrainEvent::BurstEnded { .. } => "burst",
                BrainEvent::GainStanding { .. } => "gain",
                BrainEvent::PolicyFailed { .. }
                | BrainEvent::PolicyRecovered { .. }
                | BrainEvent::PolicyQuarantined { .. }
                | BrainEvent::PolicyOutscored { .. } => "policy",
            };
            tracing::warn!(kind, text, "event of a tick");
            let data = serde_json::to_value(event).unwrap_or_default();
            self.here.events.publish(tick.record.now, kind, text, data);
        }
    }
}

pub(super) fn rules(state: &ControlState) -> RoundRules {
    let keyspaces = state.map().keyspaces.values();
    RoundRules {
        keyspaces: keyspaces
            .map(|k| (k.id, KeyspaceRule { mode: k.mode, replication_factor: k.replication_factor }))
            .collect(),
        halted: state.is_halted(),
        draining: state.nodes().values().filter(|node| node.draining).map(|node| node.id).collect(),
        labels: state.labels().clone(),
        placement: state.placement_rules().clone(),
        unheeded: state.unheeded_gains().clone(),
        released: state
            .held_plans()
            .iter()
            .filter(|plan| plan.released)
            .flat_map(|plan| plan.moves.iter().map(|checked| checked.proposed.clone()))
            .collect(),
    }
}
