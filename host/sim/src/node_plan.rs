//! The nodes of a scenario, and what befalls them.

use isobar_model::ZoneId;
use std::ops::Range;

/// One node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimNode {
    /// Its capacity, in units of the scenario's.
    pub size: f32,
    /// Its failure domain.
    pub zone: ZoneId,
}

/// A node is away: nothing on it answers, what is stored there stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Which, as an index.
    pub node: usize,
    /// From its first step to the one in which it is back.
    pub steps: Range<usize>,
}

/// An operator has a node emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Which, as an index.
    pub node: usize,
    /// From this step on.
    pub from_step: usize,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePlan {
    /// The nodes, in order of their numbers.
    pub nodes: Vec<SimNode>,
    /// When which is away.
    pub outages: Vec<Outage>,
    /// When which is emptied.
    pub drains: Vec<Drain>,
}

impl NodePlan {
    /// Nodes of one size, each in a zone of its own, of which none fails.
    #[must_use]
    pub fn alike(nodes: usize) -> Self {
        let node = |zone| SimNode { size: 1.0, zone: ZoneId(zone) };
        Self { nodes: (1..=nodes as u32).map(node).collect(), outages: Vec::new(), drains: Vec::new() }
    }

    /// Whether a node is away in `step`.
    #[must_use]
    pub fn is_away(&self, node: usize, step: usize) -> bool {
        self.outages.iter().any(|outage| outage.node == node && outage.steps.contains(&step))
    }

    /// For each node, whether it is away in `step`.
    #[must_use]
    pub fn away(&self, step: usize) -> Vec<bool> {
        let mut away = vec![false; self.nodes.len()];
        for outage in self.outages.iter().filter(|outage| outage.steps.contains(&step)) {
            if let Some(away) = away.get_mut(outage.node) {
                *away = true;
            }
        }
        away
    }

    /// Sizes of all nodes together.
    #[must_use]
    pub fn total_size(&self) -> f64 {
        self.nodes.iter().map(|node| f64::from(node.size)).sum()
    }
}
