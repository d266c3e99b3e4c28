//! How many each node has, and how many would be its share.

use isobar_model::NodeState;
use placing_kit::Board;
use std::cmp::Ordering;

/// Replicas, or leaders, by node. Only nodes that are up, and have a capacity, have a share.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    has: Vec<f64>,
    /// Capacity; 0: has no share.
    capacity: Vec<f64>,
    tolerance: f64,
}

impl Counts {
    /// Of replicas, or of leaders alone.
    pub(crate) fn new(board: &Board<'_>, leaders_only: bool, tolerance: f32) -> Self {
        let nodes = &board.view.nodes;
        let usable = |(state, &capacity): (&NodeState, &f32)| match state {
            NodeState::Up if capacity.is_finite() => f64::from(capacity.max(0.0)),
            NodeState::Up | NodeState::Draining | NodeState::Suspect | NodeState::Down => 0.0,
        };
        let mut counts = Self {
            has: vec![0.0; board.nodes()],
            capacity: nodes.states.iter().zip(&nodes.capacity).map(usable).collect(),
            tolerance: f64::from(tolerance),
        };
        for shard in 0..board.shards() {
            let replicas = board.replicas(shard);
            let counted = if leaders_only { &replicas[..replicas.len().min(1)] } else { replicas };
            counted.iter().for_each(|&node| counts.has[node] += 1.0);
        }
        counts
    }

    /// One goes from a node to another.
    pub(crate) fn shift(&mut self, from: usize, to: usize) {
        self.has[from] -= 1.0;
        self.has[to] += 1.0;
    }

    /// What one more or less makes of a node's fullness; nodes without a share are ever so full.
    fn fullness(&self, node: usize, more: f64) -> f64 {
        if self.capacity[node] > 0.0 { (self.has[node] + more) / self.capacity[node] } else { f64::INFINITY }
    }

    /// Whether it would be better if one went from a node to another: the sum of count² / capacity falls.
    pub(crate) fn is_better(&self, from: usize, to: usize) -> bool {
        self.capacity[from] > 0.0 && self.fullness(to, 0.5) < self.fullness(from, -0.5) * (1.0 - 1e-9)
    }

    /// The same, or as good.
    pub(crate) fn is_no_worse(&self, from: usize, to: usize) -> bool {
        self.capacity[from] <= 0.0 || self.fullness(to, 0.5) <= self.fullness(from, -0.5) * (1.0 + 1e-9)
    }

    /// By how much a node is off its share: above 1 too much, below −1 too little, in tolerances.
    pub(crate) fn off(&self, node: usize) -> f64 {
        if self.capacity[node] <= 0.0 {
            return 0.0;
        }
        let has_share = |&(_, &capacity): &(&f64, &f64)| capacity > 0.0;
        let all: f64 = self.has.iter().zip(&self.capacity).filter(has_share).map(|(has, _)| has).sum();
        let share = all * self.capacity[node] / self.capacity.iter().sum::<f64>();
        // One more or less can't be avoided where shares are no whole numbers.
        (self.has[node] - share) / (self.tolerance * share).max(1.0)
    }

    /// All nodes that have a share, the fullest first.
    pub(crate) fn by_fullness(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = (0..self.has.len()).filter(|&node| self.capacity[node] > 0.0).collect();
        let order = |a: &usize, b: &usize| -> Ordering {
            self.fullness(*b, 0.0).total_cmp(&self.fullness(*a, 0.0)).then(a.cmp(b))
        };
        nodes.sort_by(order);
        nodes
    }
}
