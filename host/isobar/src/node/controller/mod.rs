//! The control loop at work, on the control group's leader: asks the nodes, ticks the brain, records, begins moves, swaps policies.

mod archive;
mod default_forecaster;
mod explain;
mod gains;
mod moves;
mod node_costs;
mod rounds;
mod swaps;
mod what_if;

use self::archive::SharedArchive;
use self::node_costs::NodeCosts;
use self::swaps::Standby;
use crate::node::brain_thread::{BrainThread, Stopped};
use crate::node::control::Control;
use crate::node::handlers::SamplesHandler;
use crate::node::observe::Baseline;
use crate::node::records::Records;
use isobar_api::backend::BackendError;
use isobar_api::{EventLog, GainsInfo};
use isobar_control::{
    Brain, BrainConfig, ControlCommand, ControlState, JudgedAs, MovePace, RecordedSteps, Recording, Settings,
};
use isobar_model::{NodeId, Role, ShardId};
use isobar_mover::{Mover, Pace};
use isobar_planner::GainSpec;
use isobar_ports::{BlobStore, Clock, PolicyHost};
use isobar_raft::{RaftShardOps, ShardPlace};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    /// Load and utilisation at several resolutions.
    archive: SharedArchive,
    /// What load costs nodes.
    node_costs: Mutex<NodeCosts>,
    /// Held while a binding changes: swaps follow one another.
    binding: tokio::sync::Mutex<()>,
    /// Forecasters that have observed the stored history already, so that binding one of them is a matter of milliseconds.
    standby: Mutex<Vec<Standby>>,
    /// How many moves were judged how since this node leads.
    verdicts: Mutex<BTreeMap<JudgedAs, u64>>,
    /// The books of the gain ledger as of the last step.
    last_gains: Mutex<Vec<GainsInfo>>,
}

impl Controller {
    /// Wakes a brain from the replicated state. Its tasks run until `stop` turns true.
    pub(crate) async fn start(
        here: Arc<Surroundings>,
        term: u64,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<(Arc<Self>, JoinSet<()>)> {
        let began = Instant::now();
        // A leader that was restarted leads on in its term, and applies what was committed last only with the next entry: this one. It reports
        // nobody, and changes nothing.
        here.control.command(ControlCommand::ReportLeaders(Vec::new())).await?;
        let state = here.state();
        let settings = *state.settings();
        let mut brain = Brain::new(brain_config(&settings, here.seed, here.clock()), Arc::clone(&here.policies));
        brain.continue_after(state.tick());
        let mut recorded = Vec::new();
        for blob in state.history() {
            let bytes = here.blobs.get(blob.digest).await?;
            match postcard::from_bytes::<RecordedSteps>(&bytes) {
                Ok(RecordedSteps { batches, withheld }) => {
                    for batch in &batches {
                        if let Err(error) = brain.import_history(batch) {
                            tracing::error!(digest = %blob.digest, %error, "a batch of recorded history was left out");
                        }
                    }
                    brain.withhold(&withheld);
                    recorded.extend(batches);
                }
                Err(error) => tracing::error!(digest = %blob.digest, %error, "recorded history can't be read"),
            }
        }
        let archive = archive::restore(&here, &state, &recorded).await;
        drop(recorded);
        gains::restore(&here, &state, &mut brain).await;
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
            archive: Arc::new(Mutex::new(archive)),
            node_costs: Mutex::default(),
            binding: tokio::sync::Mutex::default(),
            standby: Mutex::default(),
            verdicts: Mutex::default(),
            last_gains: Mutex::default(),
        });
        // Before the first tick: the native placer in its place could move what it would not. Placers have no history to observe.
        controller.restore_binding(Role::Place).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&controller.mover).run(term, stop));
        tasks.spawn(Arc::clone(&controller).tick_for_ever());
        tasks.spawn(Arc::clone(&controller).ready_forecaster());
        tasks.spawn(Arc::clone(&controller).judge_revisions());
        tasks.spawn(Arc::clone(&controller).watch_leaders());
        tracing::info!(term, took_ms = began.elapsed().as_millis() as u64, "this node leads the control group");
        Ok((controller, tasks))
    }

    /// How many moves were judged how since this node leads.
    pub(crate) fn verdicts(&self) -> BTreeMap<JudgedAs, u64> {
        self.verdicts.lock().clone()
    }

    pub(crate) fn with_baseline<R>(&self, look: impl FnOnce(&Baseline) -> R) -> R {
        look(&self.baseline.lock())
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
        gains: Some(GainSpec::default()),
        // Bytes of every input would be some megabytes a tick: they are kept once decisions can be replayed from them.
        recording: Recording::Digests,
        ..BrainConfig::default()
    }
}
