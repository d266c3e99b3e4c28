//! Migration as a pure state machine: what came of the last step goes in, the next step comes out.
//!
//! # State before
//! Shard `s` has voters `{S, a, b}`. The control state names the same replicas and sends clients there. The migration is recorded in stage
//! `Planned`: its operation id, the target `T` and the incarnation of the replica to be are in the control group's log before anything
//! remote happens, so that whoever takes over knows what may exist where.
//!
//! # Steps
//! Each stage is recorded *before* its effects run. A stage's effects are idempotent and begin by finding out what is done, so that a
//! crash between any two of them costs only repetition.
//!
//! ```text
//!  Planned ─▶ Learner ─▶ Copy ─▶ CatchUp ─▶ Verify ─▶ Switch ─▶ Retire ─▶ Done
//!     │          │         │        │          │         │  ▲
//!     │          └─────────┴────────┴──────────┴─────────┤  │ the switch was committed after all
//!     ▼ cancelled                                        ▼  │
//!  Aborted ◀───────────────────────────────────────── Aborting
//! ```
//!
//! 1. `Learner`: ready an empty replica on T, add T as learner. A learner has no vote: nothing changes for anyone.
//! 2. `Copy`: the snapshot goes to T at the recorded pace. Voters serve on.
//! 3. `CatchUp`: the log goes to T live, until it lacks next to nothing; before, the switch would make writes wait for T.
//! 4. `Verify`: an entry in the log at which all replicas record their digest. Only digests that are equal lead on; unequal ones abort at
//!    once, since what made them differ would differ again. A move that was declared to take its time waits here for its earliest switch, and
//!    verifies after the wait: what is switched to was verified just before.
//! 5. `Switch`, in three changes, each a Raft entry: T joins the voters (`{S, a, b, T}`: for a moment one copy more, never one less);
//!    if S leads, the leadership goes to T while both vote, which costs writes one round trip instead of an election; then S leaves.
//!    Up to the last one S can take over again; from it on T is authoritative.
//! 6. `Retire`: recording it changes the shard map and raises the route version, *then* S's data is deleted: a client that comes by the
//!    old route finds a redirect and a newer route, never a missing shard.
//!
//! A move of leadership alone goes `Planned → Switch → Done`.
//!
//! # State after
//! `Done`: voters `{T, a, b}`, the route says so, no data on S. `Aborted`: voters `{S, a, b}` as before, T forgotten.
//!
//! # Failure
//! A failed effect is retried with growing pauses, [`MAX_FAILURES`] times a stage. Then the migration aborts if it has not switched. From
//! `Switch` on nobody guesses: `Aborting` asks the group how it stands, and where S has left the voters it goes on to `Retire`.
//! `Retire` and `Aborting` are retried for ever: their end states are the only safe ones, and repetition harms nobody. One exception: a
//! target that can't be reached to delete an abandoned copy is given up after [`MAX_FAILURES`], since it is no longer a member and its
//! copy is replaced by the next one.
//!
//! # Cancel safety
//! An operator's cancel is a change of the record (to `Aborting`) that the control state allows before `Switch` only. The machine's next
//! compare-and-set then fails, and whoever drives picks the record up anew. No effect that makes T a voter runs before `Switch` is recorded.

use crate::step::{Change, Effect, Outcome, Pause, Step};
use crate::verify::{Judgement, judge};
use isobar_model::{InstantMs, Migration, MigrationKind, NodeId, Stage};
use isobar_ports::{CopyProgress, ReplicaDigest, ShardOpError, ShardStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Failures in a row that one stage forgives. With pauses that double from a tenth of a second, eight span 25 seconds beside the calls'
/// own deadlines: an election or a restart of a node passes, a dead target does not hold a move for long.
pub const MAX_FAILURES: u32 = 8;
/// Looks at a copy without any progress that count as a failure: half a minute at ten looks a second.
pub const MAX_IDLE_POLLS: u32 = 300;
/// Entries that a learner may lack when its catch-up is called done: fewer than one batch, so that the verify entry reaches it at once.
pub const MAX_LAG_ENTRIES: u64 = 64;

/// Looks at a group that does not show a change yet, which it has confirmed: what a leader tells of itself lags a little behind.
const MAX_LATE_LOOKS: u32 = 10;

/// One walk of a migration through its stages. All of it but the record is memory that a crash may lose.
#[derive(Clone, Debug)]
pub struct Walk {
    record: Migration,
    /// The effect or change that was asked for and not answered yet.
    asked: Option<Effect>,
    recording: Option<Change>,
    /// In this walk T was readied, and added as learner.
    prepared: bool,
    learning: bool,
    /// Voters at the last look in `Verify`.
    voters: Option<BTreeSet<NodeId>>,
    /// The change of the group that succeeded last, and how often it was found to be needed all the same.
    changed: Option<(Effect, u32)>,
    /// In `Aborting`, T was taken out of the learners.
    removed: bool,
    /// The copy as last seen, and the most bytes ever seen.
    last: CopyProgress,
    most_bytes: u64,
    idle_polls: u32,
}

impl Walk {
    /// Picks up a migration where its record says it is.
    #[must_use]
    pub fn new(record: Migration) -> Self {
        Self {
            most_bytes: record.copied_bytes,
            record,
            asked: None,
            recording: None,
            prepared: false,
            learning: false,
            voters: None,
            changed: None,
            removed: false,
            last: CopyProgress { lag_entries: u64::MAX, ..CopyProgress::default() },
            idle_polls: 0,
        }
    }

    /// The record as this walk knows it.
    #[must_use]
    pub fn record(&self) -> &Migration {
        &self.record
    }

    /// The next step, given what came of the last one and the control clock.
    #[must_use]
    pub fn next(&mut self, outcome: Outcome, now: InstantMs) -> Step {
        let mut step = self.react(outcome, now);
        if let Step::Perform(effect) = &step
            && let Some((changed, looks)) = &mut self.changed
            && changed == effect
        {
            *looks += 1;
            step = if *looks < MAX_LATE_LOOKS {
                Step::Wait(Pause::Poll)
            } else {
                self.fail(format!("{effect:?} was done, but the group does not show it"))
            };
        }
        self.asked = if let Step::Perform(effect) = &step { Some(effect.clone()) } else { None };
        self.recording = if let Step::Record(change) = &step { Some(change.clone()) } else { None };
        step
    }

    fn react(&mut self, outcome: Outcome, now: InstantMs) -> Step {
        match outcome {
            Outcome::PickedUp | Outcome::Waited => self.go_on(now),
            Outcome::Recorded => self.recorded(now),
            Outcome::Done => self.done(now),
            Outcome::Status(status) => self.status(&status, now),
            Outcome::Progress(progress) => self.progress(progress),
            Outcome::Digests(digests) => self.digests(&digests),
            Outcome::Failed(ShardOpError::Fenced { .. }) => Step::Fenced,
            Outcome::Failed(ShardOpError::Retry(error)) => self.fail(error),
            // The target can't take the replica, whoever leads. Other refusals may come from a leader that is new or about to be replaced.
            Outcome::Failed(ShardOpError::Refused(error)) => match self.asked {
                Some(Effect::Prepare | Effect::AddLearner) => self.abort(error),
                Some(
                    Effect::Status
                    | Effect::CopyProgress
                    | Effect::Verify
                    | Effect::ChangeVoters(_)
                    | Effect::TransferLeader(_)
                    | Effect::RemoveLearner
                    | Effect::DeleteReplica(..),
                )
                | None => self.fail(error),
            },
        }
    }

    /// The first step of the stage that is still to do, as far as this walk knows.
    fn go_on(&self, now: InstantMs) -> Step {
        let record = &self.record;
        let is_early = now < record.not_before;
        match (record.stage, record.kind) {
            (Stage::Planned, MigrationKind::Replica) => self.reach(Stage::Learner),
            (Stage::Planned, MigrationKind::Leader) if is_early => Step::Wait(Pause::Until(record.not_before)),
            (Stage::Planned, MigrationKind::Leader) => self.reach(Stage::Switch),
            (Stage::Learner | Stage::Copy | Stage::CatchUp | Stage::Verify, _) if !self.prepared => {
                Step::Perform(Effect::Prepare)
            }
            (Stage::Learner | Stage::Copy | Stage::CatchUp | Stage::Verify, _) if !self.learning => {
                Step::Perform(Effect::AddLearner)
            }
            (Stage::Learner, _) => self.reach(Stage::Copy),
            (Stage::Copy | Stage::CatchUp, _) => Step::Perform(Effect::CopyProgress),
            (Stage::Verify, _) if is_early => Step::Wait(Pause::Until(record.not_before)),
            (Stage::Verify, _) if self.voters.is_some() => Step::Perform(Effect::Verify),
            (Stage::Verify | Stage::Switch | Stage::Aborting, _) => Step::Perform(Effect::Status),
            (Stage::Retire, _) => Step::Perform(Effect::DeleteReplica(record.source, record.source_incarnation)),
            (Stage::Done | Stage::Aborted, _) => Step::Finished,
        }
    }

    fn recorded(&mut self, now: InstantMs) -> Step {
        let Some(change) = self.recording.take() else { return self.go_on(now) };
        let is_failure = change.to == change.from && change.failures > 0;
        self.apply(change);
        if is_failure { Step::Wait(Pause::BackOff(self.record.failures)) } else { self.go_on(now) }
    }

    fn apply(&mut self, change: Change) {
        self.record.stage = change.to;
        self.record.copied_bytes = change.copied_bytes;
        self.record.total_bytes = change.total_bytes;
        self.record.failures = change.failures;
        if change.error.is_some() {
            self.record.error = change.error;
        }
    }

    fn done(&mut self, now: InstantMs) -> Step {
        match self.asked.take() {
            Some(Effect::Prepare) => self.prepared = true,
            Some(Effect::AddLearner) => self.learning = true,
            Some(Effect::RemoveLearner) => self.removed = true,
            Some(Effect::DeleteReplica(..)) => {
                return self.reach(if self.record.stage == Stage::Retire { Stage::Done } else { Stage::Aborted });
            }
            // After a change of the group: look again how it stands.
            Some(change @ (Effect::ChangeVoters(_) | Effect::TransferLeader(_))) => self.changed = Some((change, 0)),
            Some(Effect::Status | Effect::CopyProgress | Effect::Verify) | None => {}
        }
        self.go_on(now)
    }

    fn status(&mut self, status: &ShardStatus, now: InstantMs) -> Step {
        if status.leader.is_none() {
            return self.fail("the shard has no leader".to_owned());
        }
        match (self.record.stage, self.record.kind) {
            (Stage::Verify, _) => {
                self.voters = Some(status.voters.clone());
                self.go_on(now)
            }
            (Stage::Switch, MigrationKind::Replica) => self.switch(status),
            (Stage::Aborting, MigrationKind::Replica) => self.undo(status),
            (Stage::Switch | Stage::Aborting, MigrationKind::Leader) if status.leader == Some(self.record.target) => {
                self.reach(Stage::Done)
            }
            (Stage::Switch, MigrationKind::Leader) if !status.voters.contains(&self.record.target) => {
                self.abort(format!("node {} has no vote in the shard", self.record.target))
            }
            (Stage::Switch, MigrationKind::Leader) => Step::Perform(Effect::TransferLeader(self.record.target)),
            (Stage::Aborting, MigrationKind::Leader) => self.reach(Stage::Aborted),
            (
                Stage::Planned
                | Stage::Learner
                | Stage::Copy
                | Stage::CatchUp
                | Stage::Retire
                | Stage::Done
                | Stage::Aborted,
                _,
            ) => self.go_on(now),
        }
    }

    /// The next change towards voters with T and without S.
    fn switch(&self, status: &ShardStatus) -> Step {
        let Migration { source, target, .. } = self.record;
        let voters = &status.voters;
        let with_target = || voters.iter().copied().chain([target]).collect();
        match (voters.contains(&source), voters.contains(&target)) {
            (false, false) => self.abort(format!(
                "neither node {source} nor node {target} votes in the shard: something else changed its membership"
            )),
            // A change that lost its leader half-way is finished first, with all that vote in either half.
            _ if status.joint => Step::Perform(Effect::ChangeVoters(with_target())),
            (false, true) => self.reach(Stage::Retire),
            (true, true) if status.leader == Some(source) => Step::Perform(Effect::TransferLeader(target)),
            (true, true) => Step::Perform(Effect::ChangeVoters(without(voters, source))),
            (true, false) => Step::Perform(Effect::ChangeVoters(with_target())),
        }
    }

    /// The next change back to voters with S and without T; forward where S has left already.
    fn undo(&mut self, status: &ShardStatus) -> Step {
        let Migration { source, target, .. } = self.record;
        let voters = &status.voters;
        match (voters.contains(&source), voters.contains(&target)) {
            (false, true) if status.joint => Step::Perform(Effect::ChangeVoters(voters.clone())),
            (false, true) => self.reach(Stage::Retire),
            _ if status.joint => Step::Perform(Effect::ChangeVoters(without(voters, target))),
            (true, true) if status.leader == Some(target) => Step::Perform(Effect::TransferLeader(source)),
            (true, true) => Step::Perform(Effect::ChangeVoters(without(voters, target))),
            (_, false) if status.learners.contains(&target) && self.removed => {
                self.fail(format!("node {target} is still a learner of the shard"))
            }
            (_, false) if !self.removed => Step::Perform(Effect::RemoveLearner),
            // Only now, seen to be no member of any kind, does T lose its data.
            (_, false) => Step::Perform(Effect::DeleteReplica(target, self.record.incarnation)),
        }
    }

    fn progress(&mut self, seen: CopyProgress) -> Step {
        let last = std::mem::replace(&mut self.last, seen);
        if seen.copied_bytes < last.copied_bytes && !seen.installed {
            return self.fail(format!("the copy to node {} began anew", self.record.target));
        }
        if seen.copied_bytes > self.most_bytes {
            // Only ground never covered before makes up for failures: a copy that begins anew again and again ends.
            self.most_bytes = seen.copied_bytes;
            self.record.failures = 0;
        }
        let is_better = seen.copied_bytes > last.copied_bytes
            || seen.lag_entries < last.lag_entries
            || (seen.installed && !last.installed);
        self.idle_polls = if is_better { 0 } else { self.idle_polls + 1 };
        let total = seen.total_bytes.max(seen.copied_bytes);
        let is_through = match self.record.stage {
            Stage::Copy => seen.installed,
            Stage::CatchUp => seen.installed && seen.lag_entries <= MAX_LAG_ENTRIES,
            Stage::Planned
            | Stage::Learner
            | Stage::Verify
            | Stage::Switch
            | Stage::Retire
            | Stage::Done
            | Stage::Aborting
            | Stage::Aborted => false,
        };
        // A learner that needed no snapshot copied nothing, and knows no size.
        let copied_bytes = seen.copied_bytes.max(self.record.copied_bytes);
        let total_bytes = if total > 0 { total.max(copied_bytes) } else { self.record.total_bytes };
        let change = |to| Change { copied_bytes, total_bytes, ..self.change(to) };
        if is_through {
            let to = if self.record.stage == Stage::Copy { Stage::CatchUp } else { Stage::Verify };
            return Step::Record(change(to));
        }
        if self.idle_polls >= MAX_IDLE_POLLS {
            self.idle_polls = 0;
            return self.fail(format!(
                "the copy to node {} stands at {} of {total} bytes and lacks {} log entries",
                self.record.target, seen.copied_bytes, seen.lag_entries
            ));
        }
        // Every tenth of the way is recorded: people see it move, the control log hardly grows.
        if copied_bytes - self.record.copied_bytes > total_bytes / 10 {
            return Step::Record(change(self.record.stage));
        }
        Step::Wait(Pause::Poll)
    }

    fn digests(&mut self, digests: &BTreeMap<NodeId, ReplicaDigest>) -> Step {
        let voters = self.voters.take().unwrap_or_default();
        match judge(digests, &voters, self.record.target) {
            Judgement::Equal => self.reach(Stage::Switch),
            Judgement::Differs(error) => self.abort(format!("digests differ: {error}")),
            Judgement::Incomplete(error) => self.fail(error),
        }
    }

    /// One more failure of this stage: note it and pause, or give the stage up.
    fn fail(&mut self, error: String) -> Step {
        let failures = self.record.failures.saturating_add(1);
        let asked = self.asked.take();
        // What was done may have been lost with a node: a retry begins at the stage's beginning.
        (self.prepared, self.learning, self.removed) = (false, false, false);
        (self.voters, self.changed) = (None, None);
        let is_spent = failures >= MAX_FAILURES;
        match self.record.stage {
            Stage::Planned | Stage::Learner | Stage::Copy | Stage::CatchUp | Stage::Verify | Stage::Switch
                if is_spent =>
            {
                return self.abort(format!("given up after {failures} failures: {error}"));
            }
            Stage::Aborting if is_spent && matches!(asked, Some(Effect::DeleteReplica(..))) => {
                return self.reach(Stage::Aborted);
            }
            Stage::Planned
            | Stage::Learner
            | Stage::Copy
            | Stage::CatchUp
            | Stage::Verify
            | Stage::Switch
            | Stage::Retire
            | Stage::Aborting
            | Stage::Done
            | Stage::Aborted => {}
        }
        // Retries without end are recorded ever more seldom.
        if failures > MAX_FAILURES && !failures.is_power_of_two() {
            self.record.failures = failures;
            return Step::Wait(Pause::BackOff(failures));
        }
        Step::Record(Change { failures, error: Some(error), ..self.change(self.record.stage) })
    }

    fn abort(&self, error: String) -> Step {
        Step::Record(Change { error: Some(error), ..self.change(Stage::Aborting) })
    }

    fn reach(&self, to: Stage) -> Step {
        Step::Record(self.change(to))
    }

    fn change(&self, to: Stage) -> Change {
        Change {
            id: self.record.id,
            from: self.record.stage,
            to,
            copied_bytes: self.record.copied_bytes,
            total_bytes: self.record.total_bytes,
            failures: 0,
            error: None,
        }
    }
}

fn without(voters: &BTreeSet<NodeId>, node: NodeId) -> BTreeSet<NodeId> {
    voters.iter().copied().filter(|&voter| voter != node).collect()
}

#[cfg(test)]
mod tests;
