//! One shard's steps: a run of values from a first step on.

use std::collections::{BTreeSet, VecDeque};

/// Values of consecutive steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    first: u64,
    values: VecDeque<f32>,
    /// Steps that forecasters are not shown.
    withheld: BTreeSet<u64>,
}

impl Row {
    /// Number of the first step kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of the first step past the last one kept.
    pub(super) fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn has_values(&self) -> bool {
        self.values.iter().rev().any(|v| v.is_finite())
    }

    pub(super) fn get(&self, step: u64) -> f32 {
        let at = step.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.values.get(at)).copied().unwrap_or(f32::NAN)
    }

    /// The value that forecasters are shown.
    pub(super) fn shown(&self, step: u64) -> f32 {
        if self.withheld.contains(&step) { f32::NAN } else { self.get(step) }
    }

    /// Steps withheld from `from` on.
    pub(super) fn withheld(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        self.withheld.range(from..).copied()
    }

    /// Withholds a step that is kept.
    pub(super) fn withhold(&mut self, step: u64) {
        if (self.first..self.end()).contains(&step) {
            self.withheld.insert(step);
        }
    }

    /// Writes the values of the steps from `first` on, where they are kept; leaves the others as they are.
    pub(super) fn read(&self, first: u64, out: &mut [f32]) {
        let end = first.saturating_add(out.len() as u64).min(self.end());
        let from = first.max(self.first);
        if from >= end {
            return;
        }
        let values = self.values.range((from - self.first) as usize..(end - self.first) as usize);
        out[(from - first) as usize..].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
    }

    /// Sets a step and keeps the row at most `keep` steps long; the newest stay.
    pub(super) fn set(&mut self, step: u64, value: f32, keep: usize) {
        let keep = keep.max(1) as u64;
        if self.values.is_empty() || step >= self.end().saturating_add(keep) {
            self.values.clear();
            self.withheld.clear();
            self.first = step;
        }
        if step < self.first {
            if self.end() - step > keep {
                return;
            }
            while step < self.first {
                self.values.push_front(f32::NAN);
                self.first -= 1;
            }
        }
        while self.end() <= step {
            self.values.push_back(f32::NAN);
        }
        self.values[(step - self.first) as usize] = value;
        self.drop_before(self.end().saturating_sub(keep));
    }

    pub(super) fn drop_before(&mut self, step: u64) {
        while self.first < step && self.values.pop_front().is_some() {
            self.first += 1;
        }
        while self.withheld.first().is_some_and(|withheld| *withheld < self.first) {
            self.withheld.pop_first();
        }
    }

    pub(super) fn scaled(&self, share: f32) -> Self {
        let values = self.values.iter().map(|v| v * share).collect();
        Self { first: self.first, values, withheld: self.withheld.clone() }
    }
}
