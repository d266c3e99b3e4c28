//! Load per shard and step, from single queries that come nearly in order.
//!
//! Steps begin at multiples of their length since the epoch. A step stays open until an event comes that began `lateness_ms` after its end;
//! events that come later than that are dropped and counted. Closed steps leave in batches, so that a log of any length needs the same memory:
//! 32 bytes a shard for each open step and each closed one not yet given.

use crate::stream::query_event::{LoadMilli, Operation};
use isobar_model::ids::MAX_ID;
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use std::collections::VecDeque;

/// The metrics that each closed step is given in.
pub const LOAD_METRICS: [Metric; 5] =
    [Metric::Load, Metric::ReadOps, Metric::WriteOps, Metric::ReadBytes, Metric::WriteBytes];

/// Most steps kept open, and most silent steps kept until they are known to be a gap: an hour of 10-second steps.
const MAX_OPEN_STEPS: u64 = 360;
/// Closed steps are given when there are so many.
const BATCH_STEPS: usize = 64;

/// How load is built.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBuilderSpec {
    /// The shards, in the order of their places.
    pub shards: Vec<ShardId>,
    /// Length of a step.
    pub step_ms: u32,
    /// How much later than the newest event an event may come.
    pub lateness_ms: u64,
    /// Silence of all shards longer than this is a gap in the record, not a rest.
    pub gap_ms: u64,
    /// An event further ahead of the newest than this has a wrong time: taking it would make all after it late.
    pub ahead_ms: u64,
    /// What operations weigh.
    pub weights: LoadMilli,
    /// Share of all queries that is seen, above 0 up to 1. Rates are scaled up by it; the relative standard error of n events seen is
    /// √((1 − rate) / n).
    pub sample_rate: f64,
}

/// What a shard did in a step, as far as seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

impl LoadCounts {
    fn add(&mut self, operation: Operation, bytes: u64) {
        let (count, sum) = if operation.is_write() {
            (&mut self.writes, &mut self.write_bytes)
        } else {
            (&mut self.reads, &mut self.read_bytes)
        };
        *count = count.saturating_add(1);
        *sum = sum.saturating_add(bytes);
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Counted.
    Counted,
    /// Its step was closed already.
    Late,
    /// Too far ahead, or beyond any clock.
    Ahead,
}

/// A step of all shards.
#[derive(Debug)]
struct Column {
    counts: Box<[LoadCounts]>,
    /// Its first and last event; none: nobody did anything.
    span: Option<(InstantMs, InstantMs)>,
    /// Nothing is recorded of the step before it.
    begins: bool,
}

/// Turns events into load.
#[derive(Debug)]
pub struct LoadBuilder {
    spec: LoadBuilderSpec,
    /// The newest event's time; none: nothing was seen.
    newest: Option<InstantMs>,
    /// Number of the first open step.
    first: u64,
    open: VecDeque<Column>,
    /// Closed steps up to `first` that were not given yet, oldest first.
    closed: Vec<Column>,
    /// How many of the last closed steps are silent.
    silent: usize,
    /// Whether what was closed last belongs to the record: silence after it is a rest until it is a gap.
    recording: bool,
    /// Columns that are not in use, for the next steps.
    spare: Vec<Column>,
}

impl LoadBuilder {
    /// A builder that has seen nothing. A step of length 0 counts as 1 ms; a sample rate that is none counts as 1; lateness and gap are cut
    /// to 360 steps.
    #[must_use]
    pub fn new(spec: LoadBuilderSpec) -> Self {
        let rate = if spec.sample_rate > 0.0 && spec.sample_rate <= 1.0 { spec.sample_rate } else { 1.0 };
        let step_ms = spec.step_ms.max(1);
        let longest_ms = MAX_OPEN_STEPS * u64::from(step_ms);
        let spec = LoadBuilderSpec {
            step_ms,
            lateness_ms: spec.lateness_ms.min(longest_ms),
            gap_ms: spec.gap_ms.min(longest_ms),
            sample_rate: rate,
            ..spec
        };
        Self {
            spec,
            newest: None,
            first: 0,
            open: VecDeque::new(),
            closed: Vec::new(),
            silent: 0,
            recording: false,
            spare: Vec::new(),
        }
    }

    /// Counts an event of the shard at `place`; steps that it closes go to `sink`, one batch a metric of [`LOAD_METRICS`]. A place beyond the
    /// shards counts nowhere.
    pub fn record(
        &mut self,
        at: InstantMs,
        place: usize,
        operation: Operation,
        bytes: u64,
        sink: &mut dyn FnMut(LoadBatch),
    ) -> Timing {
        let step = at.0 / self.step_ms();
        match self.newest {
            _ if at.0 >= MAX_ID => return Timing::Ahead,
            None => {
                // What is a little older may still come.
                self.first = at.0.saturating_sub(self.spec.lateness_ms) / self.step_ms();
                self.newest = Some(at);
            }
            Some(newest) if at.since_ms(newest) > self.spec.ahead_ms => return Timing::Ahead,
            Some(newest) if at > newest => {
                self.newest = Some(at);
                self.advance(at.0.saturating_sub(self.spec.lateness_ms) / self.step_ms(), sink);
            }
            Some(_) => {}
        }
        let Some(column) = step.checked_sub(self.first) else { return Timing::Late };
        let column = column as usize;
        while self.open.len() <= column {
            let fresh = self.fresh();
            self.open.push_back(fresh);
        }
        let column = &mut self.open[column];
        if let Some(counts) = column.counts.get_mut(place) {
            counts.add(operation, bytes);
            column.span = Some(column.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
        Timing::Counted
    }

    /// Closes what is open and gives all that was not given yet. What comes next begins a new record.
    pub fn finish(&mut self, sink: &mut dyn FnMut(LoadBatch)) {
        while !self.open.is_empty() {
            self.close_first(sink);
        }
        self.end_record(sink);
        self.newest = None;
    }

    fn step_ms(&self) -> u64 {
        u64::from(self.spec.step_ms)
    }

    fn fresh(&mut self) -> Column {
        let shards = self.spec.shards.len();
        self.spare.pop().unwrap_or_else(|| Column {
            counts: vec![LoadCounts::default(); shards].into(),
            span: None,
            begins: false,
        })
    }

    fn put_by(&mut self, mut column: Column) {
        if self.spare.len() < BATCH_STEPS {
            column.counts.fill(LoadCounts::default());
            column.span = None;
            column.begins = false;
            self.spare.push(column);
        }
    }

    /// Closes all steps before `step`: nothing may be added to them any more.
    fn advance(&mut self, step: u64, sink: &mut dyn FnMut(LoadBatch)) {
        while self.first < step {
            if self.open.is_empty() {
                if !self.recording {
                    self.first = step;
                    return;
                }
                let empty = self.fresh();
                self.open.push_back(empty);
            }
            self.close_first(sink);
        }
    }

    fn close_first(&mut self, sink: &mut dyn FnMut(LoadBatch)) {
        let Some(mut column) = self.open.pop_front() else { return };
        self.first += 1;
        if column.span.is_some() {
            column.begins = !self.recording;
            self.recording = true;
            self.silent = 0;
            self.closed.push(column);
            if self.closed.len() >= BATCH_STEPS {
                self.give(false, sink);
            }
        } else if self.recording {
            self.silent += 1;
            self.closed.push(column);
            if self.silent as u64 * self.step_ms() > self.spec.gap_ms {
                self.end_record(sink);
            }
        } else {
            self.put_by(column);
        }
    }

    /// Gives what is closed, without the silence at its end; what follows is another stretch of the record.
    fn end_record(&mut self, sink: &mut dyn FnMut(LoadBatch)) {
        self.give(true, sink);
        self.silent = 0;
        self.recording = false;
    }

    /// Gives the closed steps up to the last that is not silent.
    fn give(&mut self, ends: bool, sink: &mut dyn FnMut(LoadBatch)) {
        let closed = std::mem::take(&mut self.closed);
        let steps = closed.len() - self.silent.min(closed.len());
        let start = InstantMs((self.first - closed.len() as u64) * self.step_ms());
        if steps > 0 {
            let covered_ms: Vec<u64> =
                (0..steps).map(|i| self.covered_ms(&closed[i], start, i as u64, ends && i + 1 == steps)).collect();
            for metric in LOAD_METRICS {
                let mut values = Vec::with_capacity(self.spec.shards.len() * steps);
                for place in 0..self.spec.shards.len() {
                    let row = closed[..steps].iter().zip(&covered_ms);
                    values.extend(row.map(|(column, &ms)| self.rate(metric, &column.counts[place], ms)));
                }
                let (shards, steps) = (self.spec.shards.clone(), steps as u32);
                sink(LoadBatch { metric, start, step_ms: self.spec.step_ms, steps, shards, values });
            }
        }
        closed.into_iter().for_each(|column| self.put_by(column));
    }

    /// How much of a step the record covers: at its two ends only from the first event on, or to the last.
    fn covered_ms(&self, column: &Column, start: InstantMs, step: u64, ends: bool) -> u64 {
        let from = start.plus_ms(step * self.step_ms());
        let to = from.plus_ms(self.step_ms());
        let (first, last) = column.span.unwrap_or((from, to));
        let (from, to) = (if column.begins { first } else { from }, if ends { last.plus_ms(1).min(to) } else { to });
        to.since_ms(from)
    }

    /// Units per second over what is covered; NaN where that is less than half of a step, as in the history.
    fn rate(&self, metric: Metric, counts: &LoadCounts, covered_ms: u64) -> f32 {
        if covered_ms * 2 < self.step_ms() {
            return f32::NAN;
        }
        let milli = |operation: Operation| self.spec.weights.of(operation) as f64 / 1000.0;
        let counted = match metric {
            Metric::Load => counts.reads as f64 * milli(Operation::Get) + counts.writes as f64 * milli(Operation::Put),
            Metric::ReadOps => counts.reads as f64,
            Metric::WriteOps => counts.writes as f64,
            Metric::ReadBytes => counts.read_bytes as f64,
            Metric::WriteBytes => counts.write_bytes as f64,
            Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes => {
                return f32::NAN;
            }
        };
        (counted / self.spec.sample_rate / (covered_ms as f64 / 1000.0)) as f32
    }
}

#[cfg(test)]
mod tests;
