//! From a move, a policy's or an operator's, to a recorded migration.

use super::Controller;
use super::rounds::rules;
use isobar_api::backend::BackendError;
use isobar_control::{ControlCommand, ControlReply, ControlState};
use isobar_model::{Action, CheckedMove, InstantMs, Migration, MigrationKind, Move, OperationId, ShardId, Verdict};

/// A copy is paced to be through well before the declared time of the move, so that catching up and verifying fit in.
const COPY_SHARE: f64 = 0.6;
/// Slowest pace of a copy, bytes per second: below it small shards would take minutes.
const MIN_COPY_BYTES_PER_S: u64 = 64 << 10;

impl Controller {
    /// Begins the moves that passed the plan check.
    pub(super) async fn begin(&self, state: &ControlState, accepted: &[CheckedMove]) {
        // Together: each is a commit of the control group, and moves of different shards need no order.
        let moves = accepted.iter().map(|checked| async move {
            if let Err(error) = self.start_move(state, &checked.proposed, "policy").await {
                self.here.publish(
                    "plan",
                    format!("an accepted move of shard {} was not begun: {error}", checked.proposed.shard),
                );
            }
        });
        futures::future::join_all(moves).await;
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
        let observation = self.observation(&state, now, 0);
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
}
