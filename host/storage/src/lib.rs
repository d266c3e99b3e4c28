//! Storage of a node: shared log, extents, digests, blobs.
//!
//! Architecture invariant: only this crate names the engine (fjall); everything above it speaks of logs, replicas and blobs.

pub mod digest;
pub mod engine;
pub mod log;
pub mod shard_command;

pub use digest::RowsDigest;
pub use engine::{Engine, MemoryEngine};
pub use log::{GroupId, GroupLog, LogDone, LogEngine, LogRecord, MemoryLog};
pub use shard_command::{ShardCommand, ShardReply};
