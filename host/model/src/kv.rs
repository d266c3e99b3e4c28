//! Requests to one shard, and their answers.

use crate::ids::{Generation, NodeId, RouteVersion, ShardId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Sees every write acknowledged before it began (read index).
    #[default]
    Linearizable,
    /// Whatever the asked replica has applied.
    Stale,
}

/// One operation within one shard. Keys are internal keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvOp {
    /// Read one key.
    Get {
        /// Which.
        key: Bytes,
        /// How fresh.
        consistency: Consistency,
    },
    /// Write one key.
    Put {
        /// Which.
        key: Bytes,
        /// What.
        value: Bytes,
    },
    /// Remove one key; removing what is not there is no error.
    Delete {
        /// Which.
        key: Bytes,
    },
    /// Read keys in order, from `start` up to and without `end`, within the shard.
    Scan {
        /// First key.
        start: Bytes,
        /// First key past the range.
        end: Option<Bytes>,
        /// Most rows to return.
        limit: u32,
    },
}

impl KvOp {
    /// Whether it changes data.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete { .. })
    }
}

/// An operation as it travels to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvRequest {
    /// The shard the router chose.
    pub shard: ShardId,
    /// The generation it was routed by.
    pub generation: Generation,
    /// What to do.
    pub op: KvOp,
}

/// The answer of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvReply {
    /// To a get; none: no such key.
    Value(Option<Bytes>),
    /// To a put or delete, at this log index.
    Written {
        /// Index of the entry in the shard's log.
        index: u64,
    },
    /// To a scan.
    Rows {
        /// In order of the internal key.
        rows: Vec<(Bytes, Bytes)>,
        /// Where to go on; none: the shard's part of the range is through.
        next: Option<Bytes>,
    },
}

/// Why a node did not carry out an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KvError {
    /// The replica here does not lead.
    #[error("shard {shard} is led elsewhere")]
    NotLeader {
        /// Which shard.
        shard: ShardId,
        /// Who leads, where known.
        leader: Option<NodeId>,
    },
    /// No replica of the shard lives here (any more).
    #[error("shard {shard} does not live on this node")]
    NotHere {
        /// Which shard.
        shard: ShardId,
        /// The node's own route version, so that the caller can tell whose table is older.
        version: RouteVersion,
    },
    /// The key is no longer within the shard's range.
    #[error("the key is outside the range of shard {shard} at generation {generation}")]
    OutOfRange {
        /// Which shard.
        shard: ShardId,
        /// The generation of its range.
        generation: Generation,
    },
    /// A queue is full, or no quorum answers: try again.
    #[error("shard {shard} is unavailable: {reason}")]
    Unavailable {
        /// Which shard.
        shard: ShardId,
        /// In words.
        reason: String,
    },
    /// Something broke; whether a write took effect is not known.
    #[error("internal error: {0}")]
    Internal(String),
}
