//! Who holds, leads and carries how much, once all that is in flight and proposed is done.

use isobar_model::{ClusterView, NodeState, Plan};
use placing_kit::{Board, Failure, Step, empty_draining_nodes};

/// What a move promises at least, in load units times seconds: evenness of counts is worth something even where nothing is asked of a shard now.
const LEAST_GAIN: f32 = 1.0;

#[derive(Debug)]
pub(crate) struct Ledger<'v> {
    pub(crate) board: Board<'v>,
    /// Measured load of each node.
    pub(crate) load: Vec<f32>,
    /// Replicas of each node, and how many it leads.
    pub(crate) replicas: Vec<f32>,
    pub(crate) leaders: Vec<f32>,
    /// Nodes that are up.
    pub(crate) up: Vec<usize>,
    /// Moves proposed in all at most.
    last: usize,
}

/// A figure that sums can stand.
fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

impl<'v> Ledger<'v> {
    /// As the view has it; nodes being drained are emptied first.
    pub(crate) fn new(view: &'v ClusterView, max_moves: usize) -> Result<Self, Failure> {
        let mut board = Board::new(view)?;
        let counts = std::cell::RefCell::new(vec![0.0_f32; board.nodes()]);
        for shard in 0..board.shards() {
            board.replicas(shard).iter().for_each(|&node| counts.borrow_mut()[node] += 1.0);
        }
        empty_draining_nodes(&mut board, &mut |_, node| -counts.borrow()[node], &mut |_, step, from, to| {
            if let Step::Relocate { .. } = step {
                counts.borrow_mut()[from] -= 1.0;
                counts.borrow_mut()[to] += 1.0;
            }
        });
        let nodes = board.nodes();
        let is_up = |&node: &usize| view.nodes.states[node] == NodeState::Up;
        let mut ledger = Self {
            load: view.nodes.load.iter().map(|&load| known(load)).collect(),
            replicas: vec![0.0; nodes],
            leaders: vec![0.0; nodes],
            up: (0..nodes).filter(is_up).collect(),
            last: board.proposed() + max_moves,
            board,
        };
        for shard in 0..ledger.board.shards() {
            let leader_load = ledger.shard_load(shard);
            for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                ledger.load[node as usize] -= leader_load * ledger.board.share(shard, slot == 0);
            }
            for (slot, &node) in ledger.board.replicas(shard).iter().enumerate() {
                ledger.load[node] += leader_load * ledger.board.share(shard, slot == 0);
                ledger.replicas[node] += 1.0;
                ledger.leaders[node] += if slot == 0 { 1.0 } else { 0.0 };
            }
        }
        Ok(ledger)
    }

    /// Whether this round takes more moves.
    pub(crate) fn has_room(&self) -> bool {
        self.board.has_room() && self.board.proposed() < self.last
    }

    /// Measured load of a shard's leader.
    pub(crate) fn shard_load(&self, shard: usize) -> f32 {
        known(self.board.view.shards.leader_load[shard])
    }

    /// The mean over nodes that are up.
    pub(crate) fn mean(&self, of: &[f32]) -> f32 {
        let sum: f64 = self.up.iter().map(|&node| f64::from(of[node])).sum();
        (sum / self.up.len().max(1) as f64) as f32
    }

    /// Load that a step takes from one node to another.
    pub(crate) fn amount(&self, step: Step) -> f32 {
        match step {
            Step::Lead { shard, .. } => self.shard_load(shard) * (1.0 - self.board.share(shard, false)),
            Step::Relocate { shard, slot, .. } => self.shard_load(shard) * self.board.share(shard, slot == 0),
        }
    }

    /// Shards on a node that may move, each with the node's slot.
    pub(crate) fn held(&self, node: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.board.shards()).filter(|&shard| self.board.may_move(shard)).filter_map(move |shard| {
            self.board.replicas(shard).iter().position(|&other| other == node).map(|slot| (shard, slot))
        })
    }

    pub(crate) fn propose(&mut self, step: Step, from: usize, to: usize, reason: String) {
        let amount = self.amount(step);
        self.load[from] -= amount;
        self.load[to] += amount;
        let leads = match step {
            Step::Lead { .. } => true,
            Step::Relocate { slot, .. } => {
                self.replicas[from] -= 1.0;
                self.replicas[to] += 1.0;
                slot == 0
            }
        };
        if leads {
            self.leaders[from] -= 1.0;
            self.leaders[to] += 1.0;
        }
        let gain = (amount * self.board.view.step_ms as f32 / 1_000.0).clamp(LEAST_GAIN, f32::MAX);
        self.board.propose(step, 0.5, gain, 0, reason);
    }

    pub(crate) fn into_plan(self) -> Plan {
        Plan { moves: self.board.into_moves(), notes: Vec::new() }
    }
}
