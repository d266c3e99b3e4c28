//! A policy's ordered answer, and what the host made of it.

use crate::ids::{InstantMs, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// One thing to do to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Move the replica on `source` to `target`; leadership moves along where `source` leads.
    MoveReplica {
        /// From where.
        source: NodeId,
        /// To where.
        target: NodeId,
    },
    /// Give the leadership to the replica on this node.
    TransferLeader(NodeId),
    /// Add a replica on this node.
    AddReplica(NodeId),
    /// Remove the replica on this node.
    RemoveReplica(NodeId),
    /// Split at a load-weighted key.
    Split,
    /// Merge with the right neighbour.
    MergeWith(ShardId),
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Which shard.
    pub shard: ShardId,
    /// What to do.
    pub action: Action,
    /// 0 can wait, 1 at once.
    pub urgency: f32,
    /// Latest start.
    pub start_by: InstantMs,
    /// Expected fall of overload over the horizon, in load units times seconds.
    pub gain: f32,
    /// Why, for people.
    pub reason: String,
}

/// A policy's ordered answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Moves, first things first.
    pub moves: Vec<Move>,
    /// What was not done, and why.
    pub notes: Vec<String>,
}

/// A host rule that a move can break. The name is part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The shard is unknown or out of the policy's scope.
    UnknownShard,
    /// A node is unknown.
    UnknownNode,
    /// The source holds no replica of the shard, or the new leader holds none.
    NotAReplica,
    /// Replicas of a shard live on distinct nodes.
    DistinctNodes,
    /// Replicas of a shard live in distinct zones, where there are zones enough.
    DistinctZones,
    /// The destination's labels are not what the keyspace requires, or among those it forbids.
    NodeLabels,
    /// The destination holds replicas of a keyspace that is to be apart.
    KeyspacesApart,
    /// The destination holds no replica of a keyspace that is to be together.
    KeyspacesTogether,
    /// The destination is draining, suspect or down.
    NodeNotReady,
    /// Replication never falls below its factor.
    ReplicationFactor,
    /// The destination would be loaded above its headroom, and no lighter than the source.
    CapacityHeadroom,
    /// The destination has no room for the data.
    DiskSpace,
    /// Another move of this shard is in flight.
    AlreadyMoving,
    /// Too many moves of data in flight from or to one node.
    InFlightPerNode,
    /// The shard moved too short a time ago.
    CoolDown,
    /// The expected gain does not exceed the cost.
    GainBelowCost,
    /// The round's, or the policy's own hourly, budget of moves is spent.
    MoveBudget,
    /// The policy's hourly budget of bytes is spent.
    ByteBudget,
    /// The keyspace's mode allows no automatic moves.
    Mode,
    /// All automatic moves are halted.
    Halted,
    /// A number in the move is not finite or out of its range.
    Malformed,
    /// This build carries out no such action.
    Unsupported,
    /// A move that changes nothing.
    NoChange,
    /// The destination would use more of a resource than its headroom, and no less of its own than the source.
    ResourceHeadroom,
    /// Moves by forecast have not been shown to gain anything in the keyspace: the gain ledger speaks against them.
    GainUnproven,
}

/// What the host made of one move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Will be carried out.
    Accepted,
    /// Shown, not carried out, as the keyspace's mode is `advise` or waits for an operator, or moves by forecast do not pay there.
    Held {
        /// By which rule.
        rule: Rule,
    },
    /// Breaks a rule.
    Refused {
        /// Which.
        rule: Rule,
        /// With what figures, for people.
        detail: String,
    },
}

/// A move with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedMove {
    /// As proposed.
    pub proposed: Move,
    /// As judged.
    #[serde(flatten)]
    pub verdict: Verdict,
}
