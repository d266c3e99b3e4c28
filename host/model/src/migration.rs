//! Migrations: moves being carried out.

use crate::ids::{Incarnation, InstantMs, NodeId, OperationId, ShardId};
use serde::{Deserialize, Serialize};

/// What is being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationKind {
    /// A replica's data, and leadership where the source leads.
    Replica,
    /// Leadership alone.
    Leader,
}

/// Where a migration stands. The stages of a replica are in this order; leadership goes from `Planned` by `Switch` to `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Accepted and recorded, nothing begun.
    Planned,
    /// The destination joins as learner.
    Learner,
    /// A snapshot is copied to it in chunks, throttled.
    Copy,
    /// The log is replicated to it live.
    CatchUp,
    /// Digests are compared at one log index.
    Verify,
    /// Joint consensus moves the vote, and leadership where needed.
    Switch,
    /// The source's replica and data are removed.
    Retire,
    /// Finished.
    Done,
    /// Being undone: the learner is removed.
    Aborting,
    /// Undone.
    Aborted,
}

impl Stage {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Aborted)
    }

    /// Whether the destination is authoritative: Raft has committed the new membership.
    #[must_use]
    pub fn is_switched(self) -> bool {
        matches!(self, Self::Retire | Self::Done)
    }

    /// Whether a migration of `kind` may go from this stage to `next`; staying where it is (progress, failures) is allowed until the end.
    ///
    /// `Aborting` may turn into `Retire` (leadership: `Done`), since a change that seemed lost can turn out to be committed: Raft decides.
    #[must_use]
    pub fn may_become(self, kind: MigrationKind, next: Self) -> bool {
        use Stage::{Aborted, Aborting, CatchUp, Copy, Done, Learner, Planned, Retire, Switch, Verify};
        if self == next {
            return !self.is_final();
        }
        match kind {
            MigrationKind::Replica => matches!(
                (self, next),
                (Planned, Learner)
                    | (Learner, Copy)
                    | (Copy, CatchUp)
                    | (CatchUp, Verify)
                    | (Verify, Switch)
                    | (Switch, Retire)
                    | (Retire, Done)
                    | (Planned | Learner | Copy | CatchUp | Verify | Switch, Aborting)
                    | (Aborting, Aborted | Retire)
            ),
            MigrationKind::Leader => matches!(
                (self, next),
                (Planned, Switch) | (Switch, Done) | (Planned | Switch, Aborting) | (Aborting, Aborted | Done)
            ),
        }
    }
}

/// The replicated record of one migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    /// Owns everything the migration starts.
    pub id: OperationId,
    /// Which shard.
    pub shard: ShardId,
    /// What moves.
    pub kind: MigrationKind,
    /// From where.
    pub source: NodeId,
    /// To where.
    pub target: NodeId,
    /// The new replica's life, 0 for leadership alone.
    pub incarnation: Incarnation,
    /// The life of the replica that goes, 0 for leadership alone.
    pub source_incarnation: Incarnation,
    /// Where it stands.
    pub stage: Stage,
    /// When it was recorded, on the control clock.
    pub started: InstantMs,
    /// When it reached this stage, on the control clock.
    pub stage_since: InstantMs,
    /// Earliest switch, on the control clock; 0: as soon as the copy is verified. Lets a move take the time it was declared to take.
    pub not_before: InstantMs,
    /// Pace of the copy in bytes per second of wall time; 0: unthrottled.
    pub copy_bytes_per_s: u64,
    /// Bytes copied so far.
    pub copied_bytes: u64,
    /// Bytes to copy, as far as known.
    pub total_bytes: u64,
    /// Failures of the current stage so far.
    pub failures: u32,
    /// The last failure, or why it was aborted.
    pub error: Option<String>,
    /// Who asked for it and why.
    pub reason: String,
}
