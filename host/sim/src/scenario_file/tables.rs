use super::ScenarioFileError;
use serde::Deserialize;

/// Most nodes of a scenario: ten times what the product is made for would only be slow.
const MOST_NODES: usize = 20_000;

/// Fails, naming the figure, where it is out of its range.
pub(super) fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), ScenarioFileError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ScenarioFileError::BadFigure(format!("`{name}` is {low} to {high}, not {value}")))
}

/// The nodes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodesTable {
    /// How many.
    pub count: usize,
    /// Failure domains, dealt to the nodes in turn; none: one a node.
    pub zones: Option<usize>,
    /// Sizes relative to each other, one a node; none: all alike.
    pub sizes: Vec<f32>,
    /// Capacity of all over the load that the history stays below in 95 of 100 steps.
    pub headroom: f64,
    /// In place of `headroom`: load units per second that a node of size 1 carries.
    pub capacity: Option<f64>,
}

impl Default for NodesTable {
    fn default() -> Self {
        Self { count: 6, zones: None, sizes: Vec::new(), headroom: 1.3, capacity: None }
    }
}

impl NodesTable {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        within("nodes.count", self.count as f64, 1.0, MOST_NODES as f64)?;
        within("nodes.zones", self.zones.unwrap_or(1) as f64, 1.0, self.count as f64)?;
        within("nodes.headroom", self.headroom, 0.01, 1_000.0)?;
        within("nodes.capacity", self.capacity.unwrap_or(1.0), 1e-3, 1e9)?;
        if !self.sizes.is_empty() && self.sizes.len() != self.count {
            let (sizes, count) = (self.sizes.len(), self.count);
            let problem = format!("`nodes.sizes` has {sizes} entries for {count} nodes: one a node is wanted, or none");
            return Err(ScenarioFileError::BadFigure(problem));
        }
        self.sizes.iter().try_for_each(|size| within("nodes.sizes", f64::from(*size), 0.01, 100.0))
    }
}

/// The shards.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardsTable {
    /// Copies of each.
    pub replication_factor: usize,
    /// Share of reads among the operations.
    pub read_share: f32,
    /// Operations per second of all tenants together, on average over the history.
    pub ops_per_s: f64,
    /// Most of a node's capacity that one shard may take as leader in 99 of 100 steps of the history; larger tenants are split.
    pub largest_share: f64,
    /// MiB of one replica.
    pub mib: f64,
}

impl Default for ShardsTable {
    fn default() -> Self {
        Self { replication_factor: 3, read_share: 0.8, ops_per_s: 100_000.0, largest_share: 0.15, mib: 4_096.0 }
    }
}

impl ShardsTable {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        within("shards.replication_factor", self.replication_factor as f64, 1.0, 9.0)?;
        within("shards.read_share", f64::from(self.read_share), 0.0, 1.0)?;
        within("shards.ops_per_s", self.ops_per_s, 1e-3, 1e12)?;
        within("shards.largest_share", self.largest_share, 1e-4, 100.0)?;
        within("shards.mib", self.mib, 0.0, 1e9)
    }
}

/// The moves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MovesTable {
    /// MiB per second that a node copies, all its copies together, in and out.
    pub bandwidth_mib_per_s: f64,
    /// Seconds that a move takes beside the copy.
    pub overhead_s: f64,
    /// Seconds that a leader transfer takes.
    pub leader_s: f64,
    /// The part of a node's capacity that copying at its whole bandwidth takes.
    pub copy_share: f32,
    /// Moves of data in flight from or to one node.
    pub per_node: u32,
    /// Moves accepted in one round.
    pub per_round: u32,
    /// No shard moves twice within so many minutes.
    pub cool_down_min: f64,
    /// Most of a destination's capacity that a move may fill.
    pub max_utilisation: f32,
}

impl Default for MovesTable {
    fn default() -> Self {
        Self {
            bandwidth_mib_per_s: 50.0,
            overhead_s: 30.0,
            leader_s: 5.0,
            copy_share: 0.05,
            per_node: 2,
            per_round: 16,
            cool_down_min: 60.0,
            max_utilisation: 0.9,
        }
    }
}

impl MovesTable {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        within("moves.bandwidth_mib_per_s", self.bandwidth_mib_per_s, 1e-3, 1e6)?;
        within("moves.overhead_s", self.overhead_s, 0.0, 1e6)?;
        within("moves.leader_s", self.leader_s, 0.0, 1e6)?;
        within("moves.copy_share", f64::from(self.copy_share), 0.0, 1.0)?;
        within("moves.per_node", f64::from(self.per_node), 0.0, 1_000.0)?;
        within("moves.per_round", f64::from(self.per_round), 0.0, 10_000.0)?;
        within("moves.cool_down_min", self.cool_down_min, 0.0, 100_000.0)?;
        within("moves.max_utilisation", f64::from(self.max_utilisation), 0.01, 100.0)
    }
}

/// How requests wait.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueTable {
    /// Mean milliseconds that a node works on a request.
    pub service_ms: f64,
    /// Seconds after which clients give up.
    pub timeout_s: f64,
}

impl Default for QueueTable {
    fn default() -> Self {
        Self { service_ms: 1.0, timeout_s: 10.0 }
    }
}

impl QueueTable {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        within("queue.service_ms", self.service_ms, 0.01, 10_000.0)?;
        within("queue.timeout_s", self.timeout_s, 0.01, 60.0)
    }
}
