//! What the mover may do to a shard. Nothing else may use this port.
//!
//! Every operation is idempotent: doing again what is done already is no error, so that a controller that crashed can simply go on.

use async_trait::async_trait;
use isobar_model::{Incarnation, NodeId, OperationId, Replica, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who asks: a node refuses a control term lower than the highest it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The migration.
    pub operation: OperationId,
    /// The control leader's Raft term.
    pub control_term: u64,
}

/// What a replica recorded at a verify entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaDigest {
    /// Log index of the entry.
    pub index: u64,
    /// 128-bit modular sum of the hashes of its rows.
    pub digest: u128,
    /// Rows.
    pub rows: u64,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Bytes of the snapshot sent so far.
    pub copied_bytes: u64,
    /// Bytes of the snapshot, as far as known.
    pub total_bytes: u64,
    /// The snapshot is installed, or none was needed.
    pub installed: bool,
    /// Log entries it still lacks.
    pub lag_entries: u64,
}

/// A shard's group as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// The leader.
    pub leader: Option<NodeId>,
    /// Its Raft term.
    pub term: u64,
    /// Voters of the committed membership.
    pub voters: BTreeSet<NodeId>,
    /// Learners.
    pub learners: BTreeSet<NodeId>,
    /// Whether a joint membership is still in force.
    pub joint: bool,
    /// Index of the last applied entry.
    pub applied: u64,
}

/// Why an operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ShardOpError {
    /// No leader or no quorum, a node out of reach, a time-out: try again.
    #[error("try again: {0}")]
    Retry(String),
    /// A higher control term was seen: whoever asks is no longer the controller.
    #[error("fenced: control term {seen} was seen, {given} was given")]
    Fenced {
        /// The highest term seen.
        seen: u64,
        /// The term given.
        given: u64,
    },
    /// It can't be done, now or later.
    #[error("{0}")]
    Refused(String),
}

/// The operations. Each finds the shard's leader itself and is bounded by a deadline of its own (10 s unless said otherwise).
#[async_trait]
pub trait ShardOps: Send + Sync {
    /// The group as its leader sees it.
    async fn status(&self, shard: ShardId) -> Result<ShardStatus, ShardOpError>;
    /// Readies `node` to take a replica of this incarnation: an empty one that waits for its leader.
    async fn prepare_replica(&self, fence: Fence, shard: ShardId, replica: Replica) -> Result<(), ShardOpError>;
    /// Adds it to the group as learner, its snapshot sent at `copy_bytes_per_s` (0: unthrottled). Returns without waiting for the copy.
    async fn add_learner(
        &self,
        fence: Fence,
        shard: ShardId,
        replica: Replica,
        copy_bytes_per_s: u64,
    ) -> Result<(), ShardOpError>;
    /// How far the learner is.
    async fn copy_progress(&self, shard: ShardId, node: NodeId) -> Result<CopyProgress, ShardOpError>;
    /// Writes a verify entry and gathers what each replica, learners included, recorded at it.
    async fn verify(&self, fence: Fence, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, ShardOpError>;
    /// Makes exactly these nodes the voters, through joint consensus; whoever is left out is no longer a member.
    async fn change_voters(&self, fence: Fence, shard: ShardId, voters: BTreeSet<NodeId>) -> Result<(), ShardOpError>;
    /// Gives the leadership to `to`, a voter, and waits until it leads.
    async fn transfer_leader(&self, fence: Fence, shard: ShardId, to: NodeId) -> Result<(), ShardOpError>;
    /// Removes a learner from the group.
    async fn remove_learner(&self, fence: Fence, shard: ShardId, node: NodeId) -> Result<(), ShardOpError>;
    /// Deletes the data of a replica that is no longer a member. Only this incarnation: a later one stays.
    async fn delete_replica(
        &self,
        fence: Fence,
        shard: ShardId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<(), ShardOpError>;
}
