//! Loads to come, of shards and of nodes, at a quantile.
//!
//! Time is cut into blocks; a block counts by its highest step. A shard has a median and, above it, a width to the quantile. Of shards together the
//! medians add up; the widths do as far as shards are off together, and otherwise their squares do.

use crate::Config;
use isobar_model::NodeState;
use placing_kit::Board;
use std::ops::Range;

/// Blocks of the horizon at most: a quarter of an hour each where a day is forecast, which is finer than nodes are filled.
const MOST_BLOCKS: usize = 96;

/// Loads summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    median: f32,
    width: f32,
    square: f32,
}

/// What part of a shard's leader load a node carries, before and after; 0: none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) from: f32,
    pub(crate) to: f32,
}

impl Sum {
    fn change(&mut self, median: f32, width: f32, Change { from, to }: Change) {
        self.median += (to - from) * median;
        self.width += (to - from) * width;
        self.square += (to * to - from * from) * width * width;
    }

    fn load(&self, together: f32) -> f32 {
        let (width, square) = (self.width.max(0.0), self.square.max(0.0));
        (self.median + (together * width * width + (1.0 - together) * square).sqrt()).max(0.0)
    }
}

/// Loads by block, as they will be once the moves in flight and those proposed are done.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    blocks: usize,
    /// Steps of a block.
    pub(crate) block_steps: usize,
    together: f32,
    /// `[shard * blocks + block]`, of the leader.
    median: Vec<f32>,
    width: Vec<f32>,
    /// `[node * blocks + block]`.
    nodes: Vec<Sum>,
    capacity: Vec<f32>,
    /// Nodes with load that is not the policy's to move.
    background: Vec<bool>,
}

/// A figure that sums can stand.
pub(crate) fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

impl Outlook {
    /// As the board has it.
    pub(crate) fn new(config: &Config, board: &Board<'_>) -> Self {
        let view = board.view;
        let steps = view.steps as usize;
        let horizon = if config.forecast { steps.min(config.horizon_steps as usize) } else { 0 };
        let block_steps = horizon.div_ceil(MOST_BLOCKS).max(1);
        // Without a forecast the present is all there is.
        let blocks = horizon.div_ceil(block_steps).max(1);
        let row = |q: usize, shard: usize| {
            let from = (shard * view.quantiles.len() + q) * steps;
            &view.shards.predicted[from..from + steps]
        };
        let (half, wanted) = (nearest(&view.quantiles, 0.5), nearest(&view.quantiles, config.quantile));
        let highest = |values: &[f32], block: usize| {
            let from = (block * block_steps).min(values.len());
            let to = (from + block_steps).min(horizon.max(from)).min(values.len());
            values[from..to].iter().fold(0.0_f32, |most, &value| most.max(known(value)))
        };
        let mut outlook = Self {
            blocks,
            block_steps,
            together: config.together,
            median: Vec::with_capacity(board.shards() * blocks),
            width: Vec::with_capacity(board.shards() * blocks),
            nodes: vec![Sum::default(); board.nodes() * blocks],
            capacity: view.nodes.capacity.iter().map(|&capacity| known(capacity)).collect(),
            background: vec![false; board.nodes()],
        };
        for shard in 0..board.shards() {
            let measured = known(view.shards.leader_load[shard]);
            for block in 0..blocks {
                let (mut median, mut width) = (0.0, 0.0);
                if let (Some(half), Some(wanted)) = (half.filter(|_| horizon > 0), wanted) {
                    median = highest(row(half, shard), block);
                    width = (highest(row(wanted, shard), block) - median).max(0.0);
                }
                if block == 0 {
                    // What is there now, if it is more.
                    median = median.max(measured);
                }
                outlook.median.push(median);
                outlook.width.push(width);
            }
        }
        for node in 0..board.nodes() {
            let path = &view.nodes.background[node * steps..(node + 1) * steps];
            for block in 0..blocks {
                let load = if horizon > 0 { highest(path, block) } else { path.first().copied().map_or(0.0, known) };
                outlook.background[node] |= load > 0.0;
                outlook.nodes[node * blocks + block].median += load;
            }
        }
        for shard in 0..board.shards() {
            for (slot, &node) in board.replicas(shard).iter().enumerate() {
                outlook.shift(node, shard, Change { from: 0.0, to: board.share(shard, slot == 0) });
            }
        }
        outlook
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Whether a node carries load that is not the policy's to move: it can't be switched off.
    pub(crate) fn has_background(&self, node: usize) -> bool {
        self.background[node]
    }

    /// Capacity of a node.
    pub(crate) fn capacity(&self, node: usize) -> f32 {
        self.capacity[node]
    }

    /// Changes a node's share of a shard.
    pub(crate) fn shift(&mut self, node: usize, shard: usize, change: Change) {
        for block in 0..self.blocks {
            let at = shard * self.blocks + block;
            self.nodes[node * self.blocks + block].change(self.median[at], self.width[at], change);
        }
    }

    /// Load of all nodes together, block by block.
    pub(crate) fn total(&self) -> Vec<f32> {
        let sum = |block: usize| {
            let mut sum = Sum::default();
            for of in self.nodes.iter().skip(block).step_by(self.blocks) {
                sum.median += of.median;
                sum.width += of.width;
                sum.square += of.square;
            }
            sum.load(self.together)
        };
        (0..self.blocks).map(sum).collect()
    }

    /// A node's highest load within the blocks, over its capacity.
    pub(crate) fn peak(&self, node: usize, within: &Range<usize>) -> f32 {
        let sums = &self.nodes[node * self.blocks..(node + 1) * self.blocks];
        let most = sums[within.clone()].iter().fold(0.0_f32, |most, sum| most.max(sum.load(self.together)));
        self.over_capacity(node, most)
    }

    /// The same if its share of a shard changed.
    pub(crate) fn peak_with(&self, node: usize, shard: usize, change: Change, within: &Range<usize>) -> f32 {
        let sums = &self.nodes[node * self.blocks..(node + 1) * self.blocks];
        let mut most = 0.0_f32;
        for block in within.clone() {
            let mut sum = sums[block];
            let at = shard * self.blocks + block;
            sum.change(self.median[at], self.width[at], change);
            most = most.max(sum.load(self.together));
        }
        self.over_capacity(node, most)
    }

    /// A shard's highest leader load within the blocks.
    pub(crate) fn shard_peak(&self, shard: usize, within: &Range<usize>) -> f32 {
        let at = shard * self.blocks;
        within.clone().fold(0.0, |most, block| most.max(self.median[at + block] + self.width[at + block]))
    }

    fn over_capacity(&self, node: usize, load: f32) -> f32 {
        let capacity = self.capacity[node];
        if capacity > 0.0 {
            load / capacity
        } else if load > 0.0 {
            f32::MAX
        } else {
            0.0
        }
    }
}

/// Whether a node may be used at all.
pub(crate) fn is_usable(board: &Board<'_>, node: usize) -> bool {
    board.view.nodes.states[node] == NodeState::Up && known(board.view.nodes.capacity[node]) > 0.0
}

/// The quantile next to the one wanted.
fn nearest(quantiles: &[f32], wanted: f32) -> Option<usize> {
    let off = |q: f32| (q - wanted).abs();
    (0..quantiles.len()).min_by(|&a, &b| off(quantiles[a]).total_cmp(&off(quantiles[b])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use placing_kit::example::view;

    fn outlook(config: &str, steps: usize) -> Outlook {
        // Half of the load above the median at 0.95, by shard.
        let view = view(3, 100.0, &[&[0, 1], &[0, 2]], steps, |_, q, step| {
            (10.0 + step as f32) * if q > 0.9 { 1.5 } else { 1.0 }
        });
        Outlook::new(&Config::read(config).unwrap(), &Board::new(&view).unwrap())
    }

    #[test]
    fn errors_add_up_as_far_as_they_are_made_together() {
        let peak = |together: f32| {
            let config = format!(r#"{{"quantile": 0.95, "together": {together}}}"#);
            outlook(&config, 1).peak(0, &(0..1)) * 100.0
        };
        // Two shards of 10 with 5 above each.
        assert!((peak(1.0) - 30.0).abs() < 1e-3);
        assert!((peak(0.0) - (20.0 + 50.0_f32.sqrt())).abs() < 1e-3);
    }

    #[test]
    fn a_block_counts_by_its_highest_step() {
        let outlook = outlook(r#"{"quantile": 0.5}"#, 288);
        assert_eq!((outlook.blocks(), outlook.block_steps), (96, 3));
        assert!((outlook.total()[1] - 2.0 * (10.0 + 5.0) * (1.0 + 1.0 / 6.0)).abs() < 1e-2);
        assert!((outlook.peak(0, &(0..96)) - 2.0 * (10.0 + 287.0) / 100.0).abs() < 1e-3);
    }

    #[test]
    fn without_a_forecast_the_present_is_all() {
        let outlook = outlook(r#"{"forecast": false}"#, 288);
        assert_eq!(outlook.blocks(), 1);
        assert!((outlook.peak(0, &(0..1)) - 0.2).abs() < 1e-5);
    }
}
