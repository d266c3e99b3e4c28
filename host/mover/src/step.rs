//! The words between the state machine and whoever drives it.

use isobar_model::{Incarnation, InstantMs, NodeId, OperationId, Stage};
use isobar_ports::{CopyProgress, ReplicaDigest, ShardOpError, ShardStatus};
use std::collections::{BTreeMap, BTreeSet};

/// One remote call, each idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask how the group stands.
    Status,
    /// Ready the target for its replica.
    Prepare,
    /// Add the target as learner.
    AddLearner,
    /// Ask how far the learner is.
    CopyProgress,
    /// Gather digests at one log index.
    Verify,
    /// Make exactly these nodes the voters.
    ChangeVoters(BTreeSet<NodeId>),
    /// Give the leadership to this voter.
    TransferLeader(NodeId),
    /// Take the target out of the group's learners.
    RemoveLearner,
    /// Delete one life of the replica on a node.
    DeleteReplica(NodeId, Incarnation),
}

/// What came of the last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet: the migration was just picked up, perhaps after a crash.
    PickedUp,
    /// The pause is over.
    Waited,
    /// The change is in the replicated record.
    Recorded,
    /// The effect is done; it had nothing to tell.
    Done,
    /// Answer to [`Effect::Status`].
    Status(ShardStatus),
    /// Answer to [`Effect::CopyProgress`].
    Progress(CopyProgress),
    /// Answer to [`Effect::Verify`].
    Digests(BTreeMap<NodeId, ReplicaDigest>),
    /// The effect did not happen, or nobody knows whether it did.
    Failed(ShardOpError),
}

/// A change of the replicated record, by compare-and-set on `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which migration.
    pub id: OperationId,
    /// The stage it is in.
    pub from: Stage,
    /// The stage it reaches; the same: progress or failures alone.
    pub to: Stage,
    /// Bytes copied so far.
    pub copied_bytes: u64,
    /// Bytes to copy, as far as known.
    pub total_bytes: u64,
    /// Failures of the stage it reaches.
    pub failures: u32,
    /// The last failure; none: as recorded.
    pub error: Option<String>,
}

/// How long to wait before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until it is worth asking for progress again.
    Poll,
    /// After so many failures in a row: longer each time, up to a bound.
    BackOff(u32),
    /// Until this instant of the control clock.
    Until(InstantMs),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Perform a remote call.
    Perform(Effect),
    /// Commit a change of the record.
    Record(Change),
    /// Wait.
    Wait(Pause),
    /// Nothing: it has ended.
    Finished,
    /// Nothing: another controller took over.
    Fenced,
}
