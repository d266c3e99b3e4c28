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

/// What copying a replica costs one of its two ends for a while, beside the requests served there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CopyLoad {
    /// From when, in steps.
    pub from_step: f64,
    /// Until when, in steps; within the step that `from_step` lies in.
    pub to_step: f64,
    /// On which node.
    pub node: NodeId,
    /// Load units per second.
    pub load: f64,
}

/// A placement over time: how it began, and every change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    start: Placement,
    changes: Vec<Change>,
    copies: Vec<CopyLoad>,
}

impl Timeline {
    /// A timeline that begins with `start`, whenever it begins.
    #[must_use]
    pub fn new(start: Placement) -> Self {
        Self { start, changes: Vec::new(), copies: Vec::new() }
    }

    /// Adds a change. Changes may come out of order.
    pub fn push(&mut self, change: Change) {
        let at = self.changes.partition_point(|c| c.at_step <= change.at_step);
        self.changes.insert(at, change);
    }

    /// Adds what a copy costs one of its ends. These may come out of order, too.
    pub fn push_copy(&mut self, copy: CopyLoad) {
        let at = self.copies.partition_point(|c| c.from_step <= copy.from_step);
        self.copies.insert(at, copy);
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

    /// What copies cost, oldest first.
    #[must_use]
    pub fn copies(&self) -> &[CopyLoad] {
        &self.copies
    }
}
