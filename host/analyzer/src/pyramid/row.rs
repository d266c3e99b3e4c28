//! One series at one level: blocks of steps that are closed, and sums of those that may still get samples.

use super::code::{decode, decode_cover, encode, encode_cover};
use isobar_model::history::Step;
use std::collections::BTreeMap;

/// Steps of a block. Smaller ones cost more for the map, larger ones more for a series that has just begun.
pub(super) const BLOCK_STEPS: u64 = 128;
/// An entry of the map of blocks: its key, its block, and the map's own.
const ENTRY_BYTES: usize = 40;
/// A block whose steps differ: five bytes a step, and what the allocator adds.
const DENSE_BYTES: usize = size_of::<Dense>() + 16;
/// An open step.
const OPEN_BYTES: usize = size_of::<(u64, Sum)>();

/// What a step is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) mean: u16,
    pub(super) peak: u16,
    pub(super) cover: u8,
}

impl Cell {
    const EMPTY: Self = Self { mean: u16::MAX, peak: u16::MAX, cover: 0 };

    fn step(self) -> Step {
        if self.cover == 0 {
            return Step::MISSING;
        }
        Step { mean: decode(self.mean), peak: decode(self.peak), coverage: f32::from(self.cover) / 255.0 }
    }
}

/// Sums of the samples in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    weighted: f64,
    peak: f32,
    pub(super) covered_ms: u32,
}

impl Sum {
    pub(super) fn add(&mut self, value: f32, peak: f32, ms: u32) {
        self.weighted += f64::from(value) * f64::from(ms);
        self.peak = self.peak.max(peak);
        self.covered_ms = self.covered_ms.saturating_add(ms);
    }

    /// Adds a step of a finer level.
    pub(super) fn add_step(&mut self, step: Step, step_ms: u32) {
        if step.coverage > 0.0 {
            self.add(step.mean, step.peak, (step.coverage * step_ms as f32).round() as u32);
        }
    }

    fn mean(&self) -> f32 {
        (self.weighted / f64::from(self.covered_ms.max(1))) as f32
    }

    fn cell(&self, step_ms: u32) -> Cell {
        let mean = self.mean();
        Cell { mean: encode(mean), peak: encode(self.peak.max(mean)), cover: encode_cover(self.covered_ms, step_ms) }
    }
}

#[derive(Clone, Debug)]
struct Dense {
    mean: [u16; BLOCK_STEPS as usize],
    peak: [u16; BLOCK_STEPS as usize],
    cover: [u8; BLOCK_STEPS as usize],
}

#[derive(Clone, Debug)]
enum Block {
    /// All steps alike: idle shards cost next to nothing.
    Flat(Cell),
    Dense(Box<Dense>),
}

impl Block {
    fn get(&self, at: usize) -> Cell {
        match self {
            Self::Flat(cell) => *cell,
            Self::Dense(d) => Cell { mean: d.mean[at], peak: d.peak[at], cover: d.cover[at] },
        }
    }

    fn set(&mut self, at: usize, cell: Cell) {
        if let Self::Flat(all) = *self {
            if all == cell {
                return;
            }
            *self = Self::Dense(Box::new(Dense {
                mean: [all.mean; BLOCK_STEPS as usize],
                peak: [all.peak; BLOCK_STEPS as usize],
                cover: [all.cover; BLOCK_STEPS as usize],
            }));
        }
        if let Self::Dense(d) = self {
            (d.mean[at], d.peak[at], d.cover[at]) = (cell.mean, cell.peak, cell.cover);
        }
    }

    fn is_dense(&self) -> bool {
        matches!(self, Self::Dense(_))
    }

    fn flatten(&mut self) {
        let first = self.get(0);
        if (1..BLOCK_STEPS as usize).all(|at| self.get(at) == first) {
            *self = Self::Flat(first);
        }
    }
}

/// One series at one level.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    blocks: BTreeMap<u64, Block>,
    dense: usize,
    open: Vec<(u64, Sum)>,
}

impl Row {
    /// Milliseconds of a step that no sample has covered.
    pub(super) fn uncovered(&self, step: u64, step_ms: u32) -> u32 {
        let open = self.open.iter().find(|(s, _)| *s == step).map(|(_, sum)| sum.covered_ms);
        step_ms.saturating_sub(open.unwrap_or_else(|| decode_cover(self.cell(step).cover, step_ms)))
    }

    /// Adds to an open step.
    pub(super) fn add(&mut self, step: u64, value: f32, peak: f32, ms: u32, step_ms: u32) {
        self.sum_of(step, step_ms).add(value, peak, ms);
    }

    /// The sums of an open step: at first of what is stored of it, where it was imported or restored.
    fn sum_of(&mut self, step: u64, step_ms: u32) -> &mut Sum {
        let at = self.open.partition_point(|(s, _)| *s < step);
        if self.open.get(at).is_none_or(|(s, _)| *s != step) {
            let mut sum = Sum::default();
            sum.add_step(self.cell(step).step(), step_ms);
            self.open.insert(at, (step, sum));
        }
        &mut self.open[at].1
    }

    /// Puts what is known of a step in the place of what was, unless that covered more of it. Steps before `closed_before` get no
    /// more samples, but for those that are open yet.
    pub(super) fn put(&mut self, step: u64, sum: Sum, step_ms: u32, closed_before: u64) {
        if step >= closed_before || self.open.iter().any(|(s, _)| *s == step) {
            let kept = self.sum_of(step, step_ms);
            if sum.covered_ms >= kept.covered_ms {
                *kept = sum;
            }
        } else if sum.covered_ms >= decode_cover(self.cell(step).cover, step_ms) {
            self.set(step, sum.cell(step_ms));
        }
    }

    /// Stores a closed step as it is.
    pub(super) fn set(&mut self, step: u64, cell: Cell) {
        let (number, at) = (step / BLOCK_STEPS, (step % BLOCK_STEPS) as usize);
        // The block before is full: most often, nothing more comes to it.
        if !self.blocks.contains_key(&number)
            && let Some(before) = number.checked_sub(1).and_then(|before| self.blocks.get_mut(&before))
            && before.is_dense()
        {
            before.flatten();
            self.dense -= usize::from(!before.is_dense());
        }
        let block = self.blocks.entry(number).or_insert(Block::Flat(Cell::EMPTY));
        let was_dense = block.is_dense();
        block.set(at, cell);
        self.dense += usize::from(block.is_dense() && !was_dense);
    }

    /// Closes open steps before this one.
    pub(super) fn close(&mut self, before: u64, step_ms: u32) {
        let closed = self.open.partition_point(|(step, _)| *step < before);
        for (step, sum) in self.open.drain(..closed).collect::<Vec<_>>() {
            self.set(step, sum.cell(step_ms));
        }
    }

    /// A closed step.
    pub(super) fn cell(&self, step: u64) -> Cell {
        self.blocks.get(&(step / BLOCK_STEPS)).map_or(Cell::EMPTY, |block| block.get((step % BLOCK_STEPS) as usize))
    }

    /// A step, closed or open.
    pub(super) fn get(&self, step: u64, step_ms: u32) -> Step {
        match self.open.iter().find(|(s, _)| *s == step) {
            Some((_, sum)) if sum.covered_ms > 0 => {
                let mean = sum.mean();
                let coverage = sum.covered_ms as f32 / step_ms.max(1) as f32;
                Step { mean, peak: sum.peak.max(mean), coverage: coverage.min(1.0) }
            }
            Some(_) | None => self.cell(step).step(),
        }
    }

    /// The first step from `from` on whose block holds something.
    pub(super) fn next_held(&self, from: u64) -> Option<u64> {
        let (number, _) = self.blocks.range(from / BLOCK_STEPS..).next()?;
        Some(from.max(number * BLOCK_STEPS))
    }

    /// Forgets whole blocks before this step.
    pub(super) fn drop_before(&mut self, step: u64) {
        let first = step / BLOCK_STEPS;
        if self.blocks.first_key_value().is_some_and(|(number, _)| *number < first) {
            self.blocks = self.blocks.split_off(&first);
            self.dense = self.blocks.values().filter(|block| block.is_dense()).count();
        }
        self.open.retain(|(open, _)| *open >= step);
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * ENTRY_BYTES + self.dense * DENSE_BYTES + self.open.capacity() * OPEN_BYTES
    }
}

/// Bytes of so many steps, none alike, with the block that is begun and the one that is not dropped yet.
pub(super) const fn bytes_of(keep_steps: u64) -> usize {
    (keep_steps.div_ceil(BLOCK_STEPS) as usize + 1) * (ENTRY_BYTES + DENSE_BYTES)
}
