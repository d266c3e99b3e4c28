//! The traits between Isobar's brain and its body. No implementations.
//!
//! The brain (`control`, `analyzer`, `planner`) calls the synchronous ports; the shell around it performs the asynchronous ones.

mod blob_store;
mod clock;
mod fleet;
mod policy_host;
mod replicated_state;
mod shard_ops;

pub use blob_store::{BlobStore, MAX_BLOB_BYTES};
pub use clock::Clock;
pub use fleet::{Fleet, NodeObservation, Observation, ShardObservation};
pub use policy_host::{Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection, Usage};
pub use replicated_state::ReplicatedState;
pub use shard_ops::{CopyProgress, Fence, ReplicaDigest, ShardOpError, ShardOps, ShardStatus};
