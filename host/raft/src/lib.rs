//! Shard groups and the control group on openraft, and the transport between nodes.
//!
//! Architecture invariant: no other crate names openraft; what crosses this crate's border are the words of `isobar-model` and
//! `isobar-ports`, and bytes.

#[cfg(test)]
mod conformance;
mod control_group;
mod control_state_machine;
mod hub;
mod log_store;
mod network;
mod raft_message;
mod read_gate;
mod shard_group;
mod shard_host;
mod shard_ops;
mod shard_state_machine;
mod snapshot_transfer;
mod timing;
pub mod transport;
mod types;

pub use control_group::{ControlGroup, Leadership, ProposeError};
pub use hub::RaftHub;
pub use shard_host::{EnsureError, NodeStorage, ReplicaRole, ReplicaStatus, ShardHost, ShardHostConfig};
pub use shard_ops::{RaftShardOps, ShardLocator, ShardPlace};
pub use timing::RaftTiming;
