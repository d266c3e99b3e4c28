//! Load: what a shard did, in load units per second.

use crate::ids::{InstantMs, NodeId, ShardId};
use serde::{Deserialize, Serialize};

/// What a load value counts. Rates are per second, averaged over one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Load units: the one that placement balances.
    Load,
    /// Reads.
    ReadOps,
    /// Writes.
    WriteOps,
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// Storage operations.
    StorageIops,
    /// Thousandths of a core.
    CpuMillicores,
    /// Resident bytes.
    MemoryBytes,
    /// Bytes sent and received.
    NetworkBytes,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Load,
        Self::ReadOps,
        Self::WriteOps,
        Self::ReadBytes,
        Self::WriteBytes,
        Self::StorageIops,
        Self::CpuMillicores,
        Self::MemoryBytes,
        Self::NetworkBytes,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::ReadOps => "read-ops",
            Self::WriteOps => "write-ops",
            Self::ReadBytes => "read-bytes",
            Self::WriteBytes => "write-bytes",
            Self::StorageIops => "storage-iops",
            Self::CpuMillicores => "cpu-millicores",
            Self::MemoryBytes => "memory-bytes",
            Self::NetworkBytes => "network-bytes",
        }
    }
}

/// Load units that one operation costs a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadWeights {
    /// A read, on the replica that serves it.
    pub read: f32,
    /// A write, on the leader.
    pub write_leader: f32,
    /// A write, on each follower.
    pub write_follower: f32,
}

impl Default for LoadWeights {
    /// A read index costs one round trip and a look-up; a write costs its leader a log append, two sends and an apply;
    /// a follower appends and applies. The ratios follow the CPU time measured over a three-node group.
    fn default() -> Self {
        Self { read: 1.0, write_leader: 2.0, write_follower: 1.0 }
    }
}

impl LoadWeights {
    /// Load units of so many operations on the leader.
    #[must_use]
    pub fn leader(&self, reads: f32, writes: f32) -> f32 {
        self.read * reads + self.write_leader * writes
    }

    /// Load units of so many writes on each follower.
    #[must_use]
    pub fn follower(&self, writes: f32) -> f32 {
        self.write_follower * writes
    }
}

/// What one replica has done since its node started: ever-growing counters, so that a lost sample loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSample {
    /// The shard.
    pub shard: ShardId,
    /// Where the replica lives.
    pub node: NodeId,
    /// Whether it leads.
    pub leads: bool,
    /// Reads served here.
    pub reads: u64,
    /// Writes acknowledged here as leader.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
}

/// Consecutive steps of load, row-major: `values[row * steps + step]`, row i being `shards[i]`. NaN: missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBatch {
    /// What is counted.
    pub metric: Metric,
    /// Start of the first step.
    pub start: InstantMs,
    /// Length of a step.
    pub step_ms: u32,
    /// Columns.
    pub steps: u32,
    /// Rows.
    pub shards: Vec<ShardId>,
    /// `shards.len() * steps` values.
    pub values: Vec<f32>,
}

impl LoadBatch {
    /// The steps of row `row`, oldest first.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        let steps = self.steps as usize;
        &self.values[row * steps..(row + 1) * steps]
    }

    /// Whether the number of values fits the numbers of shards and steps.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.values.len() == self.shards.len() * self.steps as usize
    }
}
