//! Storage of a node: shared log, extents, digests, blobs.
//!
//! Architecture invariant: only this crate names the engine (fjall); everything above it speaks of logs, replicas and blobs.

pub mod blob_dir;
pub mod cell;
pub mod digest;
pub mod engine;
mod extent;
mod files;
mod fjall_errors;
pub mod log;
pub mod node_dir;
pub mod replicas;
mod row;
pub mod shard_command;
pub mod shard_store;
pub mod snapshot;
pub mod snapshot_receiver;

pub use blob_dir::BlobDir;
pub use cell::Cell;
pub use digest::RowsDigest;
pub use engine::{Engine, FjallEngine, MemoryEngine};
pub use log::{FjallLog, GroupId, GroupLog, LogDone, LogEngine, LogRecord, MemoryLog};
pub use node_dir::{Identity, NodeDir, NodeDirError};
pub use replicas::{ReplicaError, Replicas};
pub use shard_command::{ShardCommand, ShardReply};
pub use shard_store::{Page, ReadError, ReplicaRecord, ReplicaState, ShardStore};
pub use snapshot::{ShardSnapshot, SnapshotChunk, SnapshotChunks, SnapshotHeader};
pub use snapshot_receiver::{ReceiveError, ReceivedSnapshot, SnapshotReceiver};
