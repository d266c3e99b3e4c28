//! What a node's process uses of its machine.

use crate::ids::{InstantMs, NodeId};
use serde::{Deserialize, Serialize};

/// What is measured of a node's process. Rates are per second, averaged over one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeMetric {
    /// Thousandths of a core.
    CpuMillicores,
    /// Resident bytes.
    MemoryBytes,
    /// Calls that read or write: of files, and of sockets too.
    StorageIops,
    /// Bytes a second that reached the storage or came from it, past the page cache.
    StorageBytes,
    /// Bytes used on the file system that holds the data.
    DiskUsedBytes,
    /// Bytes a second sent and received.
    NetworkBytes,
}

impl NodeMetric {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CpuMillicores,
        Self::MemoryBytes,
        Self::StorageIops,
        Self::StorageBytes,
        Self::DiskUsedBytes,
        Self::NetworkBytes,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuMillicores => "cpu-millicores",
            Self::MemoryBytes => "memory-bytes",
            Self::StorageIops => "storage-iops",
            Self::StorageBytes => "storage-bytes",
            Self::DiskUsedBytes => "disk-used-bytes",
            Self::NetworkBytes => "network-bytes",
        }
    }
}

/// What a process has used since it started, and uses now. What the system does not tell is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUsage {
    /// Processor time of all threads, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Resident bytes.
    pub memory_bytes: Option<u64>,
    /// Calls that read or write.
    pub storage_ops: Option<u64>,
    /// Bytes read from or written to the storage, past the page cache.
    pub storage_bytes: Option<u64>,
    /// Bytes used on the file system of the data.
    pub disk_used_bytes: Option<u64>,
    /// Bytes free on it for this process.
    pub disk_free_bytes: Option<u64>,
    /// Bytes sent and received by the network namespace of the process, loopback included.
    pub network_bytes: Option<u64>,
    /// The most processor it may use, thousandths of a core.
    pub cpu_limit_millicores: Option<u64>,
    /// The most memory it may use.
    pub memory_limit_bytes: Option<u64>,
}

/// What a node is about to use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeForecast {
    /// Which.
    pub node: NodeId,
    /// Start of the first step.
    pub start: InstantMs,
    /// Length of a step.
    pub step_ms: u32,
    /// Quantiles of the paths, ascending.
    pub quantiles: Vec<f32>,
    /// Correlation of the shards' errors with each other, as measured.
    pub correlation: f32,
    /// A figure each.
    pub paths: Vec<NodePath>,
}

/// One figure of a node's forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodePath {
    /// Which figure.
    pub metric: NodeMetric,
    /// What the node uses without any load.
    pub idle: f32,
    /// What a load unit of a shard that it leads adds.
    pub per_led: f32,
    /// What a load unit of a follower adds.
    pub per_followed: f32,
    /// One path a quantile, one value a step.
    pub paths: Vec<Vec<f32>>,
}
