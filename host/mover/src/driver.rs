//! Performs what the state machine asks for: one task a migration, on the control leader.

use crate::records::{MigrationRecords, RecordError};
use crate::stages::Walk;
use crate::step::{Effect, Outcome, Pause, Step};
use isobar_model::{Migration, OperationId, Replica, Stage};
use isobar_ports::{Clock, Fence, ShardOpError, ShardOps};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

/// Migrations carried out at a time; more wait, oldest first. Each is mostly waiting, so this bounds memory, not work: the work is bounded
/// by the moves in flight that the control state allows a node.
pub const MAX_TASKS: usize = 256;
/// Longest sleep until an instant of the control clock before looking again, since that clock may change its speed.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// The calls have deadlines of their own, of 10 s; should one be missed all the same, a migration does not hang on it.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// How long the mover waits for what, in wall time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at the records, for what began or was cancelled, unless woken.
    pub records: Duration,
    /// Between two looks at a copy.
    pub poll: Duration,
    /// After a first failure; doubles with each further one.
    pub back_off: Duration,
    /// Longest pause after a failure.
    pub max_back_off: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            records: Duration::from_millis(200),
            poll: Duration::from_millis(100),
            back_off: Duration::from_millis(100),
            max_back_off: Duration::from_secs(10),
        }
    }
}

/// How a migration's task ended.
enum Ended {
    /// The migration is no longer in flight.
    Through(OperationId),
    /// This node is no longer the controller.
    Lost,
}

/// Carries out migrations while its node leads the control group.
pub struct Mover {
    records: Arc<dyn MigrationRecords>,
    ops: Arc<dyn ShardOps>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    woken: Notify,
}

impl std::fmt::Debug for Mover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mover").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Mover {
    /// A mover that does nothing until it is run.
    #[must_use]
    pub fn new(records: Arc<dyn MigrationRecords>, ops: Arc<dyn ShardOps>, clock: Arc<dyn Clock>, pace: Pace) -> Self {
        Self { records, ops, clock, pace, woken: Notify::new() }
    }

    /// Makes a running mover look at the records now: a migration was started or cancelled.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Carries out all live migrations, those found at the start first, until `shutdown` turns true or its sender is gone: then this node
    /// leads the control group no longer. Calls on their way are dropped; they are idempotent, and `control_term` fences them off.
    pub async fn run(self: Arc<Self>, control_term: u64, mut shutdown: watch::Receiver<bool>) {
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let mut stages: HashMap<OperationId, watch::Sender<Stage>> = HashMap::new();
        tracing::info!(control_term, "mover started");
        loop {
            let live = self.records.live().await;
            // A task whose sender is gone finds its migration ended.
            stages.retain(|id, _| live.iter().any(|migration| migration.id == *id));
            for migration in live {
                if let Some(stage) = stages.get(&migration.id) {
                    stage.send_if_modified(|seen| std::mem::replace(seen, migration.stage) != migration.stage);
                } else if tasks.len() < MAX_TASKS {
                    let (sender, receiver) = watch::channel(migration.stage);
                    stages.insert(migration.id, sender);
                    let fence = Fence { operation: migration.id, control_term };
                    let span = tracing::info_span!("migration", operation = %migration.id, shard = %migration.shard);
                    tasks.spawn(Arc::clone(&self).carry_out(fence, migration, receiver).instrument(span));
                }
            }
            tokio::select! {
                // An error means that the sender is gone: the same.
                _ = async { shutdown.wait_for(|stop| *stop).await.is_ok() } => break,
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ended::Through(operation)) => {
                        stages.remove(&operation);
                    }
                    // It keeps its entry, so that this run does not begin it again: the next controller will.
                    Ok(Ended::Lost) => {}
                    Err(error) => {
                        tracing::error!(%error, "a migration's task panicked; it is picked up again when the next controller starts");
                    }
                },
                () = self.woken.notified() => {}
                () = tokio::time::sleep(self.pace.records) => {}
            }
        }
        tasks.shutdown().await;
        tracing::info!(control_term, "mover stopped");
    }

    /// Walks one migration to its end, or until another controller has it.
    async fn carry_out(
        self: Arc<Self>,
        fence: Fence,
        migration: Migration,
        mut stage: watch::Receiver<Stage>,
    ) -> Ended {
        let id = migration.id;
        let mut walk = Walk::new(migration);
        let mut outcome = Outcome::PickedUp;
        loop {
            outcome = match walk.next(outcome, self.clock.now()) {
                Step::Perform(effect) => self.perform(fence, walk.record(), effect).await,
                Step::Wait(pause) => {
                    let here = walk.record().stage;
                    tokio::select! {
                        () = tokio::time::sleep(self.length(pause)) => Outcome::Waited,
                        // Somebody else changed the record: an operator's cancel; or ended it, and the sender is gone.
                        _ = async { stage.wait_for(|seen| *seen == Stage::Aborting && here != *seen).await.is_ok() } => {
                            match self.pick_up(id).await {
                                Some(fresh) => walk = fresh,
                                None => return Ended::Through(id),
                            }
                            Outcome::PickedUp
                        }
                    }
                }
                Step::Record(change) => match self.records.advance(&change).await {
                    Ok(()) => {
                        if change.from != change.to {
                            tracing::info!(from = ?change.from, to = ?change.to, error = change.error, "migration goes on");
                        } else if let Some(error) = &change.error {
                            tracing::warn!(stage = ?change.to, failures = change.failures, error, "migration failed and tries again");
                        }
                        Outcome::Recorded
                    }
                    Err(RecordError::Conflict(reason)) => {
                        tracing::info!(reason, "the record was changed elsewhere; reading it again");
                        tokio::time::sleep(self.pace.back_off).await;
                        match self.pick_up(id).await {
                            Some(fresh) => walk = fresh,
                            None => return Ended::Through(id),
                        }
                        Outcome::PickedUp
                    }
                    Err(RecordError::Retry(reason)) => {
                        // It may have been recorded: begin again from the record. Bounded by leadership: without a quorum it ends soon.
                        tracing::warn!(reason, "the change could not be recorded; trying again");
                        tokio::time::sleep(self.length(Pause::BackOff(4))).await;
                        match self.pick_up(id).await {
                            Some(fresh) => walk = fresh,
                            None => return Ended::Through(id),
                        }
                        Outcome::PickedUp
                    }
                    Err(RecordError::NotLeader(reason)) => {
                        tracing::info!(reason, "left to the next controller");
                        return Ended::Lost;
                    }
                },
                Step::Finished => return Ended::Through(id),
                Step::Fenced => {
                    tracing::info!("fenced: another controller carries on");
                    return Ended::Lost;
                }
            };
        }
    }

    async fn pick_up(&self, id: OperationId) -> Option<Walk> {
        self.records.live().await.into_iter().find(|m| m.id == id).map(Walk::new)
    }

    fn length(&self, pause: Pause) -> Duration {
        match pause {
            Pause::Poll => self.pace.poll,
            Pause::BackOff(failures) => {
                let doubled = 1u32 << failures.saturating_sub(1).min(16);
                self.pace.back_off.saturating_mul(doubled).min(self.pace.max_back_off)
            }
            Pause::Until(instant) => {
                let wall_ms = self.clock.wall_ms(instant.since_ms(self.clock.now()));
                // At least a millisecond, so that rounding down never spins.
                Duration::from_millis(wall_ms.max(1)).min(MAX_SLEEP)
            }
        }
    }

    async fn perform(&self, fence: Fence, record: &Migration, effect: Effect) -> Outcome {
        let (ops, shard) = (&self.ops, record.shard);
        let replica = Replica { node: record.target, incarnation: record.incarnation };
        let done = |result: Result<(), ShardOpError>| result.map(|()| Outcome::Done);
        tracing::debug!(stage = ?record.stage, ?effect, "performing");
        let call = async {
            match effect {
                Effect::Status => ops.status(shard).await.map(Outcome::Status),
                Effect::Prepare => done(ops.prepare_replica(fence, shard, replica).await),
                Effect::AddLearner => done(ops.add_learner(fence, shard, replica, record.copy_bytes_per_s).await),
                Effect::CopyProgress => ops.copy_progress(shard, record.target).await.map(Outcome::Progress),
                Effect::Verify => ops.verify(fence, shard).await.map(Outcome::Digests),
                Effect::ChangeVoters(voters) => done(ops.change_voters(fence, shard, voters).await),
                Effect::TransferLeader(to) => done(ops.transfer_leader(fence, shard, to).await),
                Effect::RemoveLearner => done(ops.remove_learner(fence, shard, record.target).await),
                Effect::DeleteReplica(node, incarnation) => {
                    done(ops.delete_replica(fence, shard, node, incarnation).await)
                }
            }
        };
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(answer) => answer.unwrap_or_else(Outcome::Failed),
            Err(_) => Outcome::Failed(ShardOpError::Retry(format!("no answer within {} s", CALL_DEADLINE.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests;
