//! What the control leader asks of nodes, and what they answer.

use isobar_model::{Incarnation, NodeId, Shard, ShardId};
use isobar_ports::{CopyProgress, Fence, ReplicaDigest, ShardOpError, ShardStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Operation {
    Status { shard: ShardId },
    Prepare { fence: Fence, shard: Shard, incarnation: Incarnation },
    AddLearner { fence: Fence, shard: ShardId, node: NodeId, copy_bytes_per_s: u64 },
    SetCopyRate { fence: Fence, shard: ShardId, node: NodeId, copy_bytes_per_s: u64 },
    Progress { shard: ShardId, node: NodeId },
    Verify { fence: Fence, shard: ShardId },
    DigestAt { shard: ShardId, index: u64 },
    ChangeVoters { fence: Fence, shard: ShardId, voters: BTreeSet<NodeId> },
    TransferLeader { fence: Fence, shard: ShardId, to: NodeId },
    RemoveLearner { fence: Fence, shard: ShardId, node: NodeId },
    Delete { fence: Fence, shard: ShardId, incarnation: Incarnation },
}

impl Operation {
    pub(super) fn shard(&self) -> ShardId {
        match self {
            Self::Prepare { shard, .. } => shard.id,
            Self::Status { shard }
            | Self::AddLearner { shard, .. }
            | Self::SetCopyRate { shard, .. }
            | Self::Progress { shard, .. }
            | Self::Verify { shard, .. }
            | Self::DigestAt { shard, .. }
            | Self::ChangeVoters { shard, .. }
            | Self::TransferLeader { shard, .. }
            | Self::RemoveLearner { shard, .. }
            | Self::Delete { shard, .. } => *shard,
        }
    }

    /// How long one node may take, where another may be asked instead.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Status { .. } | Self::Progress { .. } | Self::SetCopyRate { .. } => Duration::from_secs(2),
            // These wait for a quorum, or for another node.
            Self::Prepare { .. }
            | Self::AddLearner { .. }
            | Self::Verify { .. }
            | Self::DigestAt { .. }
            | Self::ChangeVoters { .. }
            | Self::TransferLeader { .. }
            | Self::RemoveLearner { .. }
            | Self::Delete { .. } => super::OPERATION_DEADLINE,
        }
    }

    /// Who asks; none where nothing is changed.
    pub(super) fn fence(&self) -> Option<Fence> {
        match self {
            Self::Status { .. } | Self::Progress { .. } | Self::DigestAt { .. } => None,
            Self::Prepare { fence, .. }
            | Self::AddLearner { fence, .. }
            | Self::SetCopyRate { fence, .. }
            | Self::Verify { fence, .. }
            | Self::ChangeVoters { fence, .. }
            | Self::TransferLeader { fence, .. }
            | Self::RemoveLearner { fence, .. }
            | Self::Delete { fence, .. } => Some(*fence),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Done {
    Nothing,
    Status(ShardStatus),
    Progress(CopyProgress),
    /// The entry is written; each member is to be asked what it recorded.
    Verified {
        index: u64,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    },
    Digest(ReplicaDigest),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// Ask this node, where one is given.
    NotLeader(Option<NodeId>),
    NotHere,
    Error(ShardOpError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader(_) => write!(f, "it does not lead"),
            Self::NotHere => write!(f, "it has no replica of the shard"),
            Self::Error(error) => write!(f, "{error}"),
        }
    }
}

pub(super) type Answer = Result<Done, Refusal>;
