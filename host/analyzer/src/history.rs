//! Load history: one bounded row of steps a shard. Ticks come in, closed steps go out.
//!
//! A step is the time from `phase + k × step_ms` to the next; its value is the mean of the ticks in it, weighted by the time they cover.
//! A step that ticks cover by less than half is missing (NaN).
//!
//! A closed step can be withheld: it stays what it was, but is missing in what forecasters observe to catch up.

mod row;

use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use row::Row;
use std::collections::BTreeMap;

/// How history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySpec {
    /// What is counted.
    pub metric: Metric,
    /// Length of a step.
    pub step_ms: u32,
    /// Steps kept of each shard: 8 064 are 28 days of five minutes, 32 KiB a shard.
    pub keep_steps: usize,
}

/// What one shard did in one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TickLoad {
    /// Which.
    pub shard: ShardId,
    /// Units per second, mean over the tick; not finite: not known.
    pub load: f32,
}

/// A batch that does not fit the history. It was not taken in, not even in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Another metric.
    #[error("the batch counts {given:?}, this history {kept:?}")]
    Metric {
        /// The batch's.
        given: Metric,
        /// The history's.
        kept: Metric,
    },
    /// Steps of another length.
    #[error("the batch has steps of {given} ms, this history of {kept} ms: resample it")]
    StepMs {
        /// The batch's.
        given: u32,
        /// The history's.
        kept: u32,
    },
    /// Steps that begin elsewhere.
    #[error("the batch starts at {start}, {off_ms} ms into a step of this history: shift it to the start of a step")]
    Phase {
        /// The batch's start.
        start: InstantMs,
        /// How far off it is.
        off_ms: u64,
    },
    /// Values do not fit rows and columns.
    #[error("{values} values for {shards} shards of {steps} steps")]
    Shape {
        /// Values given.
        values: usize,
        /// Rows given.
        shards: usize,
        /// Columns given.
        steps: u32,
    },
}

/// Sums of the ticks in a step that is not over.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    load_ms: f64,
    covered_ms: u64,
}

/// Load history of all shards.
#[derive(Clone, Debug)]
pub struct History {
    spec: HistorySpec,
    /// Where steps begin, modulo the step; set by whatever comes first.
    phase_ms: Option<u64>,
    rows: BTreeMap<ShardId, Row>,
    /// First step that is not closed, by number since the epoch.
    end: u64,
    /// End of the last tick taken in.
    ticked: Option<InstantMs>,
    /// The step being summed, and its sums.
    open: Option<(u64, BTreeMap<ShardId, Sum>)>,
}

impl History {
    /// An empty history. A step of length 0 counts as 1 ms, a row keeps at least one step.
    #[must_use]
    pub fn new(spec: HistorySpec) -> Self {
        let spec = HistorySpec { step_ms: spec.step_ms.max(1), keep_steps: spec.keep_steps.max(1), ..spec };
        Self { spec, phase_ms: None, rows: BTreeMap::new(), end: 0, ticked: None, open: None }
    }

    /// How it is kept.
    #[must_use]
    pub fn spec(&self) -> HistorySpec {
        self.spec
    }

    /// The first step that is not closed, by number; steps are numbered from the epoch on. 0 while nothing is known.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Start of the step with this number.
    #[must_use]
    pub fn start_of(&self, step: u64) -> InstantMs {
        InstantMs(step.saturating_mul(self.step_ms()).saturating_add(self.phase_ms.unwrap_or(0)))
    }

    /// Number of the step that holds this instant.
    #[must_use]
    pub fn step_at(&self, instant: InstantMs) -> u64 {
        instant.0.saturating_sub(self.phase_ms.unwrap_or(0)) / self.step_ms()
    }

    /// Shards with history, ascending.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.rows.keys().copied()
    }

    /// Whether the shard has a closed step that is not missing.
    #[must_use]
    pub fn knows(&self, shard: ShardId) -> bool {
        self.rows.get(&shard).is_some_and(Row::has_values)
    }

    /// The value of a closed step; NaN where it is missing.
    #[must_use]
    pub fn value(&self, shard: ShardId, step: u64) -> f32 {
        if step >= self.end { f32::NAN } else { self.rows.get(&shard).map_or(f32::NAN, |row| row.get(step)) }
    }

    /// The value of a closed step as forecasters are shown it; NaN where it is missing or withheld.
    #[must_use]
    pub fn shown(&self, shard: ShardId, step: u64) -> f32 {
        if step >= self.end { f32::NAN } else { self.rows.get(&shard).map_or(f32::NAN, |row| row.shown(step)) }
    }

    /// Writes the values of the steps from `first` on; NaN where one is missing or not closed.
    pub fn read(&self, shard: ShardId, first: u64, out: &mut [f32]) {
        out.fill(f32::NAN);
        let closed = usize::try_from(self.end.saturating_sub(first)).unwrap_or(usize::MAX).min(out.len());
        if let Some(row) = self.rows.get(&shard) {
            row.read(first, &mut out[..closed]);
        }
    }

    /// Takes in steps that are closed already: imported, or from before a restart. Values already there are replaced.
    pub fn import(&mut self, batch: &LoadBatch) -> Result<(), BadBatch> {
        let HistorySpec { metric, step_ms, keep_steps } = self.spec;
        if batch.metric != metric {
            return Err(BadBatch::Metric { given: batch.metric, kept: metric });
        }
        if batch.step_ms != step_ms {
            return Err(BadBatch::StepMs { given: batch.step_ms, kept: step_ms });
        }
        if !batch.is_well_formed() {
            let (values, shards, steps) = (batch.values.len(), batch.shards.len(), batch.steps);
            return Err(BadBatch::Shape { values, shards, steps });
        }
        let phase = batch.start.0 % self.step_ms();
        let kept_phase = *self.phase_ms.get_or_insert(phase);
        if phase != kept_phase {
            let off_ms = (phase + self.step_ms() - kept_phase) % self.step_ms();
            return Err(BadBatch::Phase { start: batch.start, off_ms });
        }
        let first = self.step_at(batch.start);
        let end_before = self.end;
        self.end = end_before.max(first + u64::from(batch.steps));
        for (i, &shard) in batch.shards.iter().enumerate() {
            let row = self.rows.entry(shard).or_default();
            for (step, &value) in (first..).zip(batch.row(i)) {
                row.set(step, known(value), keep_steps);
            }
        }
        // Sums of a step that turned out to be closed are of no more use.
        if self.open.as_ref().is_some_and(|(step, _)| *step < self.end) {
            self.open = None;
        }
        // Rows keep themselves short; the others age only as time goes on.
        if self.end > end_before {
            self.trim();
        }
        Ok(())
    }

    /// Takes in one tick of `span_ms` that ended at `now`, and gives the steps that it closed. What an earlier tick covered is not counted
    /// twice; a clock that goes back adds nothing. Of a long silence only the steps that a tick touched are given: a gap between two batches is
    /// missing data.
    pub fn record(&mut self, now: InstantMs, span_ms: u64, loads: &[TickLoad]) -> Option<LoadBatch> {
        let phase = *self.phase_ms.get_or_insert(0);
        let from = now.0.saturating_sub(span_ms).max(self.ticked.map_or(0, |t| t.0)).max(phase);
        if now.0 <= from {
            return None;
        }
        self.ticked = Some(now);
        // A tick longer than all that is kept would only push itself out again.
        let from = from.max(now.0.saturating_sub(self.step_ms().saturating_mul(self.spec.keep_steps as u64)));
        let mut closed = Vec::new();
        let mut at = from;
        while at < now.0 {
            let step = self.step_at(InstantMs(at));
            let step_end = self.start_of(step + 1).0;
            let until = step_end.min(now.0);
            self.sum(step, until - at, loads, &mut closed);
            at = until;
            if at == step_end {
                self.close_open(&mut closed);
            }
        }
        self.trim();
        self.batch_of(&closed)
    }

    /// All that is kept of these shards from step `from` on, oldest first, in batches of at most `max_rows` of them, in their order: what an
    /// instance observes to catch up. Every one with history is in a batch, so that whoever observes it knows what is missing. Steps
    /// withheld are.
    #[must_use]
    pub fn batches(&self, shards: impl IntoIterator<Item = ShardId>, from: u64, max_rows: usize) -> Vec<LoadBatch> {
        let from = from.max(self.end.saturating_sub(self.spec.keep_steps as u64));
        let ids: Vec<ShardId> = shards.into_iter().filter(|shard| self.rows.contains_key(shard)).collect();
        ids.chunks(max_rows.max(1))
            .map(|ids| {
                let oldest = ids.iter().map(|id| self.rows[id].first()).min().unwrap_or(from);
                self.batch_by(from.max(oldest).min(self.end), self.end, ids, Row::shown)
            })
            .filter(|batch| batch.steps > 0)
            .collect()
    }

    /// Steps that are kept of a shard.
    #[must_use]
    pub fn kept(&self, shard: ShardId) -> u64 {
        self.rows.get(&shard).map_or(0, |row| self.end.saturating_sub(row.first()))
    }

    /// Keeps a closed step from those who observe later. The mark lasts as long as the step is kept here.
    pub fn withhold(&mut self, shard: ShardId, step: u64) {
        if let Some(row) = self.rows.get_mut(&shard) {
            row.withhold(step);
        }
    }

    /// Steps withheld from `from` on, by shard.
    pub fn withheld(&self, from: u64) -> impl Iterator<Item = (ShardId, u64)> + '_ {
        self.rows.iter().flat_map(move |(shard, row)| row.withheld(from).map(|step| (*shard, step)))
    }

    /// Steps `from` up to and without `to` of these shards; NaN where missing.
    #[must_use]
    pub fn batch(&self, from: u64, to: u64, shards: &[ShardId]) -> LoadBatch {
        self.batch_by(from, to, shards, Row::get)
    }

    fn batch_by(&self, from: u64, to: u64, shards: &[ShardId], value: impl Fn(&Row, u64) -> f32) -> LoadBatch {
        let mut values = Vec::with_capacity(shards.len() * to.saturating_sub(from) as usize);
        for shard in shards {
            let row = self.rows.get(shard);
            let closed = |step| row.filter(|_| step < self.end).map_or(f32::NAN, |row| value(row, step));
            values.extend((from..to).map(closed));
        }
        LoadBatch {
            metric: self.spec.metric,
            start: self.start_of(from),
            step_ms: self.spec.step_ms,
            steps: to.saturating_sub(from) as u32,
            shards: shards.to_vec(),
            values,
        }
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        for shard in shards {
            self.rows.remove(shard);
            if let Some((_, sums)) = &mut self.open {
                sums.remove(shard);
            }
        }
    }

    /// Gives a new shard a share of another's history: a child of a split inherits its parent's load by its share of it.
    pub fn inherit(&mut self, parent: ShardId, child: ShardId, share: f32) {
        if let Some(row) = self.rows.get(&parent) {
            let scaled = row.scaled(share);
            self.rows.insert(child, scaled);
        }
    }

    fn step_ms(&self) -> u64 {
        u64::from(self.spec.step_ms)
    }

    fn sum(&mut self, step: u64, covers_ms: u64, loads: &[TickLoad], closed: &mut Vec<u64>) {
        // Imported already: the tick comes late.
        if step < self.end {
            return;
        }
        if self.open.as_ref().is_some_and(|(open, _)| *open != step) {
            self.close_open(closed);
        }
        let (_, sums) = self.open.get_or_insert_with(|| (step, BTreeMap::new()));
        for tick in loads.iter().filter(|tick| tick.load.is_finite()) {
            let sum = sums.entry(tick.shard).or_default();
            sum.load_ms += f64::from(tick.load.max(0.0)) * covers_ms as f64;
            sum.covered_ms += covers_ms;
        }
    }

    fn close_open(&mut self, closed: &mut Vec<u64>) {
        let Some((step, sums)) = self.open.take() else { return };
        self.end = self.end.max(step + 1);
        closed.push(step);
        for (shard, sum) in sums {
            if sum.covered_ms * 2 >= self.step_ms() {
                let mean = (sum.load_ms / sum.covered_ms as f64) as f32;
                self.rows.entry(shard).or_default().set(step, mean, self.spec.keep_steps);
            }
        }
    }

    /// The closed steps as one batch, from the first of them to the last.
    fn batch_of(&self, closed: &[u64]) -> Option<LoadBatch> {
        let last = *closed.last()?;
        // A step left open before a long silence is closed by the first tick after it: no more than is kept.
        let first = (*closed.first()?).max((last + 1).saturating_sub(self.spec.keep_steps as u64));
        let shards: Vec<_> = self.rows.keys().copied().collect();
        Some(self.batch(first, last + 1, &shards))
    }

    fn trim(&mut self) {
        let oldest = self.end.saturating_sub(self.spec.keep_steps as u64);
        self.rows.values_mut().for_each(|row| row.drop_before(oldest));
        self.rows.retain(|_, row| !row.is_empty());
    }
}

fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { f32::NAN }
}

#[cfg(test)]
mod tests;
