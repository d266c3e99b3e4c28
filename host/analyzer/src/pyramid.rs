//! Load at several resolutions: fine steps for hours, coarse ones for months, in a stated budget of memory.
//!
//! Each level has steps of one length, beginning at its multiples since the epoch. A step keeps its **mean**, weighted by the time that samples
//! cover; its **peak**, the largest sample, which a mean would hide; and its **coverage**, the share of it that samples cover. A sample goes to
//! each level at once. A sample much longer than a step says nothing about that step: it goes to coarser levels only, and leaves a gap in the
//! finer. Steps stay open until they have been over for [`PyramidSpec::late_ms`]: what comes later than the tick it belongs to still counts in
//! full, at each level. What comes later than that is dropped, and counted. Closed steps take five bytes ([`code`], error at most 0.05 %).
//!
//! Over its budget, a pyramid forgets the finest level of the coldest series first, and of all series before it touches the next level; a
//! series that has lost its last level keeps nothing. Both are reported, and undone where room and heat allow.

mod budget;
mod chunk;
mod code;
mod row;

pub use budget::Thinned;
pub use chunk::{Chunk, ChunkError};

use isobar_model::InstantMs;
use isobar_model::history::Step;
use row::{Row, Sum};
use std::collections::BTreeMap;
use std::ops::Range;

/// A sample may be so many steps long to count for a level: two lost ticks and the one that came. After three a node counts as down.
const SPREAD_STEPS: u64 = 3;

/// Steps of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSpec {
    /// Their length.
    pub step_ms: u32,
    /// How many are kept at least; up to one block of 128 more are.
    pub keep_steps: u32,
    /// So many closed steps are stored together.
    pub chunk_steps: u32,
}

impl LevelSpec {
    /// How far back it reaches.
    #[must_use]
    pub fn span_ms(self) -> u64 {
        u64::from(self.step_ms) * u64::from(self.keep_steps)
    }
}

/// How a pyramid is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PyramidSpec {
    /// Levels, the finest first. One whose step is no multiple of the finer one's is left out.
    pub levels: Vec<LevelSpec>,
    /// How long after its end a step still takes samples.
    pub late_ms: u64,
    /// Most bytes of all series together.
    pub budget_bytes: usize,
}

impl PyramidSpec {
    /// Bytes of one series with all levels full and no two steps alike: what a budget is to be divided by.
    #[must_use]
    pub fn bytes_per_series(&self) -> usize {
        self.levels.iter().map(|level| row::bytes_of(u64::from(level.keep_steps))).sum::<usize>() + budget::SERIES_BYTES
    }

    fn checked(mut self) -> Self {
        self.levels.retain(|level| level.step_ms > 0 && level.keep_steps > 0);
        let mut finer = 0;
        self.levels.retain(|level| {
            let fits = finer == 0 || (level.step_ms > finer && level.step_ms.is_multiple_of(finer));
            if fits {
                finer = level.step_ms;
            }
            fits
        });
        self
    }
}

/// What one series did up to an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<K> {
    /// Which.
    pub key: K,
    /// The length of time that it is a mean over.
    pub span_ms: u64,
    /// The mean; not finite: not known.
    pub value: f32,
    /// How hot the series is: whatever keeps its order under a tight budget.
    pub heat: f32,
}

/// What a pyramid did not keep since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Samples that came too late, in whole or in part.
    pub late_samples: u64,
    /// Ticks of a clock that had gone back.
    pub backward_ticks: u64,
}

#[derive(Clone, Debug)]
struct Series {
    /// One a level; those before `finest` are empty.
    rows: Vec<Row>,
    /// The finest level kept; the number of levels: none.
    finest: usize,
    heat: f32,
    /// End of the last sample.
    through: u64,
}

/// History at several resolutions, of series named by `K`.
#[derive(Clone, Debug)]
pub struct Pyramid<K> {
    spec: PyramidSpec,
    series: BTreeMap<K, Series>,
    /// The latest instant seen.
    now: u64,
    /// First step of each level that is in no chunk yet.
    unsaved_from: Vec<u64>,
    dropped: Dropped,
    bytes: usize,
}

impl<K: Copy + Ord> Pyramid<K> {
    /// An empty pyramid.
    #[must_use]
    pub fn new(spec: PyramidSpec) -> Self {
        let spec = spec.checked();
        let unsaved_from = vec![u64::MAX; spec.levels.len()];
        Self { spec, series: BTreeMap::new(), now: 0, unsaved_from, dropped: Dropped::default(), bytes: 0 }
    }

    /// How it is kept.
    #[must_use]
    pub fn spec(&self) -> &PyramidSpec {
        &self.spec
    }

    /// The latest instant it knows of.
    #[must_use]
    pub fn now(&self) -> InstantMs {
        InstantMs(self.now)
    }

    /// Bytes held, as of the last tick.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was not kept.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Its series, ascending.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.series.keys().copied()
    }

    /// The number of the level with steps of this length.
    #[must_use]
    pub fn level(&self, step_ms: u32) -> Option<usize> {
        self.spec.levels.iter().position(|level| level.step_ms == step_ms)
    }

    /// Takes in what all series did up to `now`, and holds the budget. A clock that stands or goes back adds nothing. What an earlier sample
    /// of a series covers is not counted twice.
    pub fn record(&mut self, now: InstantMs, samples: impl IntoIterator<Item = Sample<K>>) -> Vec<Thinned<K>> {
        if now.0 <= self.now {
            self.dropped.backward_ticks += 1;
            return Vec::new();
        }
        self.now = now.0;
        for sample in samples {
            let from = now.0.saturating_sub(sample.span_ms);
            let series = self.entry(sample.key);
            if sample.heat.is_finite() {
                series.heat = sample.heat;
            }
            let from = from.max(series.through);
            series.through = now.0;
            self.add(sample.key, from, now.0, sample.value);
        }
        self.settle();
        self.hold_budget()
    }

    /// Takes in a sample of the past that was not known in time. Only what no other sample covers is amended, to the finest step.
    pub fn amend(&mut self, key: K, from: InstantMs, to: InstantMs, value: f32) {
        let to = to.0.min(self.now);
        if from.0 < to {
            self.add(key, from.0, to, value);
        }
    }

    fn entry(&mut self, key: K) -> &mut Series {
        let levels = self.spec.levels.len();
        self.series.entry(key).or_insert_with(|| Series {
            rows: vec![Row::default(); levels],
            finest: 0,
            heat: 0.0,
            through: 0,
        })
    }

    fn add(&mut self, key: K, from: u64, to: u64, value: f32) {
        if !value.is_finite() || from >= to {
            return;
        }
        let value = value.max(0.0);
        let (now, late_ms) = (self.now, self.spec.late_ms);
        let levels = self.spec.levels.clone();
        let series = self.entry(key);
        let fits = |level: &LevelSpec| to - from <= SPREAD_STEPS * u64::from(level.step_ms);
        let Some(base) = (series.finest..levels.len()).find(|&i| fits(&levels[i])) else { return };
        let base_ms = u64::from(levels[base].step_ms);
        let (mut at, mut is_late, mut first_new) = (from, false, vec![u64::MAX; levels.len()]);
        while at < to {
            let step = at / base_ms;
            let until = ((step + 1) * base_ms).min(to);
            if (step + 1) * base_ms + late_ms <= now {
                is_late = true;
            } else {
                let ms = series.rows[base].uncovered(step, levels[base].step_ms).min((until - at) as u32);
                if ms > 0 {
                    for (i, level) in levels.iter().enumerate().skip(base) {
                        let step = at / u64::from(level.step_ms);
                        first_new[i] = first_new[i].min(step);
                        // A level that was given back in the midst of a coarser step knows less of it than that one does.
                        let ms = ms.min(series.rows[i].uncovered(step, level.step_ms));
                        if ms > 0 {
                            series.rows[i].add(step, value, value, ms, level.step_ms);
                        }
                    }
                }
            }
            at = until;
        }
        self.dropped.late_samples += u64::from(is_late);
        for (unsaved, first) in self.unsaved_from.iter_mut().zip(first_new) {
            // Saving begins with the first step there ever was.
            if *unsaved == u64::MAX {
                *unsaved = first;
            }
        }
    }

    /// First step of a level that still takes samples.
    fn open_from(&self, level: usize) -> u64 {
        self.now.saturating_sub(self.spec.late_ms) / u64::from(self.spec.levels[level].step_ms)
    }

    /// First step of a level that is kept, a little earlier ones may still be there.
    fn kept_from(&self, level: usize) -> u64 {
        let LevelSpec { step_ms, keep_steps, .. } = self.spec.levels[level];
        (self.now / u64::from(step_ms) + 1).saturating_sub(u64::from(keep_steps))
    }

    /// Closes what has been over for long enough, forgets what is older than its level keeps.
    fn settle(&mut self) {
        let mut bytes = 0;
        let bounds: Vec<(u64, u64)> =
            (0..self.spec.levels.len()).map(|i| (self.open_from(i), self.kept_from(i))).collect();
        for series in self.series.values_mut() {
            for ((row, level), &(open, kept)) in series.rows.iter_mut().zip(&self.spec.levels).zip(&bounds) {
                row.close(open, level.step_ms);
                row.drop_before(kept);
                bytes += row.bytes();
            }
            bytes += budget::SERIES_BYTES;
        }
        self.bytes = bytes;
    }

    /// Takes in consecutive steps from elsewhere, of any length. They replace what covers no more of a step. Gives for each level the steps
    /// that are closed with it, to be stored: none where the batch's steps are too long for the level, or too old.
    pub fn import(&mut self, key: K, start: InstantMs, step_ms: u32, values: &[f32]) -> Vec<Range<u64>> {
        let step_ms = u64::from(step_ms.max(1));
        let end = start.0.saturating_add(step_ms.saturating_mul(values.len() as u64));
        let is_newest = end > self.now;
        self.now = self.now.max(end);
        let series = self.entry(key);
        if is_newest {
            series.through = series.through.max(end);
        }
        let finest = series.finest;
        let mut closed = vec![0..0; self.spec.levels.len()];
        for (i, closed) in closed.iter_mut().enumerate().skip(finest) {
            let level = self.spec.levels[i];
            let length = u64::from(level.step_ms);
            let (open, kept) = (self.open_from(i).max(end / length), self.kept_from(i));
            let first = (start.0 / length).max(kept);
            if step_ms > SPREAD_STEPS * length || end <= first * length {
                continue;
            }
            let row = &mut self.entry(key).rows[i];
            for step in first..end.div_ceil(length) {
                let (step_from, step_to) = ((step * length).max(start.0), ((step + 1) * length).min(end));
                let mut sum = Sum::default();
                for at in (step_from - start.0) / step_ms..(step_to - start.0).div_ceil(step_ms) {
                    let (from, to) = (start.0 + at * step_ms, start.0 + (at + 1) * step_ms);
                    let value = values.get(at as usize).copied().unwrap_or(f32::NAN);
                    if value.is_finite() {
                        let value = value.max(0.0);
                        sum.add(value, value, (to.min(step_to) - from.max(step_from)) as u32);
                    }
                }
                if sum.covered_ms > 0 {
                    row.put(step, sum, level.step_ms, open);
                }
            }
            *closed = first..end.div_ceil(length).min(open).max(first);
            // What is open yet is stored with what comes.
            if end.div_ceil(length) > open {
                self.unsaved_from[i] = self.unsaved_from[i].min(first.max(open));
            }
        }
        closed
    }

    /// Steps `steps` of a level of one series, open ones too.
    pub fn read(&self, key: K, level: usize, steps: Range<u64>) -> impl Iterator<Item = Step> + '_ {
        let series = self.series.get(&key).filter(|series| level >= series.finest);
        let found = series.and_then(|series| Some((series.rows.get(level)?, self.spec.levels.get(level)?)));
        steps.map(move |step| found.map_or(Step::MISSING, |(row, level)| row.get(step, level.step_ms)))
    }

    /// Steps of a level that are kept, up to the one that is being filled.
    #[must_use]
    pub fn kept(&self, level: usize) -> Range<u64> {
        match self.spec.levels.get(level) {
            Some(spec) => self.kept_from(level)..self.now.div_ceil(u64::from(spec.step_ms)),
            None => 0..0,
        }
    }

    /// Drops series that are gone for ever.
    pub fn retain(&mut self, keep: impl Fn(K) -> bool) {
        self.series.retain(|key, _| keep(*key));
    }
}

#[cfg(test)]
mod tests;
