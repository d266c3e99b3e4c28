//! Storage nodes as the control plane sees them.

use crate::ids::{NodeId, ZoneId};
use serde::{Deserialize, Serialize};

/// Whether a node may hold data and take more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Serving.
    Up,
    /// Serving, but being emptied: takes no new replicas or leaders.
    Draining,
    /// Missed its last samples; may be back any moment.
    Suspect,
    /// Not seen for long.
    Down,
}

/// A storage process, as it declared itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its failure domain.
    pub zone: ZoneId,
    /// Where other nodes reach it (`host:port`).
    pub peer_addr: String,
    /// Where clients reach it (`host:port`).
    pub http_addr: String,
    /// Load units per second it can carry, by its operator's word.
    pub capacity: f32,
    /// Bytes it can store.
    pub capacity_bytes: u64,
    /// Whether it is being emptied by an operator's wish. Liveness is observed, not stored.
    pub draining: bool,
}
