//! A placement and what became of it.

use isobar_model::NodeId;

/// Where each shard's replicas live, the leader first: `placement[shard]`.
pub type Placement = Vec<Vec<NodeId>>;

/// From some moment on a shard's replicas live elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When, in steps of the trace; a live cluster's moves end within a step.
    pub at_step: f64,
    /// Which: an index into the scenario's shards.
    pub shard: usize,
    /// Where from now on, the leader first.
    pub replicas: Vec<NodeId>,
}

/// A placement over time: how it began, and every change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    start: Placement,
    changes: Vec<Change>,
}

impl Timeline {
    /// A timeline that begins with `start`, whenever it begins.
    #[must_use]
    pub fn new(start: Placement) -> Self {
        Self { start, changes: Vec::new() }
    }

    /// Adds a change. Changes may come out of order.
    pub fn push(&mut self, change: Change) {
        let at = self.changes.partition_point(|c| c.at_step <= change.at_step);
        self.changes.insert(at, change);
    }

    /// The placement it begins with.
    #[must_use]
    pub fn start(&self) -> &Placement {
        &self.start
    }

    /// All changes, oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}
