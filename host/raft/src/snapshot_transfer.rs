//! Moving a snapshot from a leader to a learner or a follower that is far behind.
//!
//! State before: the receiver's replica is empty or old, and serves what it has.
//! 1. *begin*: the sender names the transfer and what the snapshot is of; the receiver answers with the chunk that comes next, which is
//!    not the first where this transfer broke off before.
//! 2. *chunk*: one at a time, paced to the copy's rate. A lost connection leads back to 1.
//! 3. *finish*: the receiver reads back what it stored, compares digests, and installs through Raft, which checks the leader's vote.
//!
//! State after: the replica is at the snapshot's last entry, and the log goes on from there. The sender may be stopped at any point: the
//! receiver drops a half-taken snapshot when another begins, when the replica goes, or when nothing came for two minutes.

mod copy_table;
mod receiver;
mod sender;

pub(crate) use copy_table::CopyTable;
pub(crate) use receiver::Receiver;
pub(crate) use sender::send_snapshot;

use crate::types::{SnapshotMeta, TypeConfig, Vote};
use bytes::Bytes;
use isobar_storage::{GroupId, ReceivedSnapshot};
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::sync::Arc;

/// What can be sent: always the same bytes, from any chunk on.
pub(crate) trait SnapshotSource: Send + Sync + fmt::Debug {
    /// Encoded, for the receiver's state machine.
    fn header(&self) -> io::Result<Bytes>;
    /// Bytes of all chunks, as they are counted for rate and progress.
    fn total_bytes(&self) -> u64;
    /// Chunks from number `from` on.
    fn chunks(&self, from: u32) -> io::Result<Chunks>;
    /// All of it at once, where it is small enough to be held in memory.
    fn whole(&self) -> io::Result<Bytes> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this snapshot is read in chunks"))
    }
}

/// Chunks in order.
pub(crate) type Chunks = Box<dyn Iterator<Item = io::Result<Chunk>> + Send>;

/// A part of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) number: u32,
    /// Bytes that count for rate and progress.
    pub(crate) weight_bytes: u64,
    pub(crate) body: Bytes,
}

/// Takes what a source gives.
pub(crate) trait SnapshotSink: Send {
    /// The chunk that comes next.
    fn next_chunk(&self) -> u32;
    /// Takes a chunk, and says which comes next.
    fn take(&mut self, chunk: &Chunk) -> Result<u32, String>;
    /// Checks that the snapshot is whole and sound.
    fn finish(self: Box<Self>) -> Result<SnapshotData, String>;
}

/// What openraft passes between our state machines and our network.
pub(crate) enum SnapshotData {
    /// Compacts the log and is not to be read: the state machine is its own snapshot.
    Marker,
    /// To be sent.
    Source(Arc<dyn SnapshotSource>),
    /// A shard's, received and proven.
    Shard(ReceivedSnapshot),
    /// A replicated state's, whole.
    State(Bytes),
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Marker => "Marker",
            Self::Source(_) => "Source",
            Self::Shard(_) => "Shard",
            Self::State(_) => "State",
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum SnapshotMessage {
    Begin { group: u64, transfer: u64, meta: SnapshotMeta, header: Bytes },
    Chunk { group: u64, transfer: u64, chunk: Chunk },
    Finish { group: u64, transfer: u64, vote: Vote },
}

impl SnapshotMessage {
    pub(crate) fn group(&self) -> GroupId {
        match self {
            Self::Begin { group, .. } | Self::Chunk { group, .. } | Self::Finish { group, .. } => GroupId(*group),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum SnapshotAnswer {
    /// Send this chunk next.
    Next(u32),
    /// Done.
    Installed(SnapshotResponse<TypeConfig>),
    /// The receiver knows nothing of this transfer (any more): begin again.
    Unknown,
    /// This snapshot will not do.
    Failed(String),
}
