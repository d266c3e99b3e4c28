//! The one seam between brain and body: what a fleet of nodes shows of itself, and the moves it is asked for.
//!
//! It speaks of moves, not of Raft: Isobar's own store implements it, so does the simulator, so can connectors for other engines.

use isobar_model::{
    CheckedMove, InFlight, InstantMs, KeyspaceId, Metric, NodeId, NodeResource, NodeState, OperationId, ReplicaUse,
    ShardId, ZoneId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One node at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeObservation {
    /// Which.
    pub id: NodeId,
    /// Its failure domain.
    pub zone: ZoneId,
    /// Its state.
    pub state: NodeState,
    /// Declared load units per second.
    pub capacity: f32,
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes that fit.
    pub capacity_bytes: u64,
    /// Of each metric that any node declares a capacity of: what this one does, and what it uses without the load of its shards.
    pub resources: BTreeMap<Metric, NodeResource>,
}

/// One shard at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardObservation {
    /// Which.
    pub id: ShardId,
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// Copies it must have.
    pub replication_factor: u32,
    /// Where its replicas live, the leader first.
    pub replicas: Vec<NodeId>,
    /// Bytes of one replica.
    pub bytes: u64,
    /// Load units per second of its leader since the last observation; NaN: not known.
    pub leader_load: f32,
    /// Load units per second of each follower since the last observation; NaN: not known.
    pub follower_load: f32,
    /// What its replicas used since the last observation, of each metric that any node declares a capacity of and that is measured.
    pub uses: BTreeMap<Metric, ReplicaUse>,
}

/// All that a tick sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The end of the time observed, on the control clock.
    pub now: InstantMs,
    /// Its length in milliseconds of the control clock.
    pub span_ms: u64,
    /// Nodes by number.
    pub nodes: Vec<NodeObservation>,
    /// Shards by number.
    pub shards: Vec<ShardObservation>,
    /// Moves being carried out.
    pub moving: Vec<InFlight>,
}

/// A fleet of nodes.
pub trait Fleet {
    /// Why a fleet can't do as asked.
    type Error: std::error::Error;
    /// What the fleet did since the last observation.
    fn observe(&mut self) -> Result<Observation, Self::Error>;
    /// Begins an accepted move; returns at once.
    fn begin(&mut self, accepted: &CheckedMove) -> Result<OperationId, Self::Error>;
    /// Moves still being carried out.
    fn poll(&mut self) -> Result<Vec<(OperationId, InFlight)>, Self::Error>;
    /// Gives a move up; a no-op where it is unknown or done.
    fn cancel(&mut self, operation: OperationId) -> Result<(), Self::Error>;
}
