//! What happened in each block of time, placement by placement.

use super::GainSpec;
use isobar_model::InstantMs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A placement that the ledger keeps the book of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorldName {
    /// Where replicas were at the anchor.
    Static,
    /// Packed on recorded load at the anchor.
    Packed,
    /// Moved by a placer without forecast.
    Reactive,
    /// Moved by the policy.
    Predictive,
    /// Where replicas really were.
    Actual,
}

impl WorldName {
    /// All.
    pub const ALL: [Self; 5] = [Self::Static, Self::Packed, Self::Reactive, Self::Predictive, Self::Actual];
    /// Those that need no forecast: the first ones of [`Self::ALL`].
    pub const WITHOUT_FORECAST: [Self; 3] = [Self::Static, Self::Packed, Self::Reactive];

    /// Its place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Static => 0,
            Self::Packed => 1,
            Self::Reactive => 2,
            Self::Predictive => 3,
            Self::Actual => 4,
        }
    }
}

/// What one placement came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Overload: the sum over nodes and time of max(load − capacity, 0) / capacity, in seconds.
    pub overload_node_s: f64,
    /// Leader transfers.
    pub transfers: u64,
    /// Moves of data.
    pub data_moves: u64,
}

impl Tally {
    /// Overload, and the price of the moves, in node-seconds.
    #[must_use]
    pub fn cost_node_s(&self, spec: &GainSpec) -> f64 {
        self.overload_node_s
            + spec.transfer_price_s * self.transfers as f64
            + spec.move_price_s * self.data_moves as f64
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.overload_node_s += other.overload_node_s;
        self.transfers += other.transfers;
        self.data_moves += other.data_moves;
    }

    pub(super) fn count(&mut self, is_data: bool, moves: u64) {
        if is_data {
            self.data_moves = self.data_moves.saturating_add(moves);
        } else {
            self.transfers = self.transfers.saturating_add(moves);
        }
    }
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) start: InstantMs,
    /// Milliseconds of load laid on the placements.
    pub(super) seen_ms: u64,
    /// By [`WorldName::index`].
    pub(super) tallies: [Tally; 5],
}

/// The blocks kept, oldest first, and the one under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Blocks {
    pub(super) whole: VecDeque<Block>,
    pub(super) open: Option<Block>,
}

impl Blocks {
    /// The block under way at `start` of a step. Ends the one before, where it is another; true: a block was ended that counts, or one forgotten.
    pub(super) fn begin_step(&mut self, spec: &GainSpec, start: InstantMs) -> bool {
        let block_ms = spec.block_ms.max(1);
        let begins = InstantMs(start.0 / block_ms * block_ms);
        if self.open.as_ref().is_some_and(|open| open.start == begins) {
            return false;
        }
        let ended = self.open.replace(Block { start: begins, seen_ms: 0, tallies: [Tally::default(); 5] });
        // Of less than half a block what happened in the other half may be anything.
        let counts = ended.filter(|ended| ended.seen_ms * 2 >= block_ms);
        let before = self.whole.len();
        let oldest = begins.0.saturating_sub(block_ms.saturating_mul(spec.keep_blocks as u64));
        self.whole.retain(|block| block.start.0 >= oldest && block.start < begins);
        let changed = counts.is_some() || self.whole.len() != before;
        self.whole.extend(counts);
        while self.whole.len() > spec.keep_blocks {
            self.whole.pop_front();
        }
        changed
    }

    pub(super) fn tally(&mut self, world: WorldName) -> Option<&mut Tally> {
        self.open.as_mut().map(|open| &mut open.tallies[world.index()])
    }

    /// Sums over the whole blocks.
    pub(super) fn totals(&self) -> BTreeMap<WorldName, Tally> {
        let total = |world: WorldName| {
            let mut sum = Tally::default();
            self.whole.iter().for_each(|block| sum.add(&block.tallies[world.index()]));
            (world, sum)
        };
        WorldName::ALL.into_iter().map(total).collect()
    }
}
