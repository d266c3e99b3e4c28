//! Recorded load on a grid of steps: single values in any order go in, batches come out.

use isobar_model::keyspace::MAX_SHARDS_PER_KEYSPACE;
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use std::collections::{BTreeMap, HashMap};

/// Most cells of all rows together: 1 000 shards over 28 days of 5-minute steps and four times that, 400 MB.
const MAX_CELLS: usize = 1 << 25;
/// Most values of one batch given: under the 40 MiB that a node takes at once.
const MAX_BATCH_VALUES: usize = 8 << 20;

/// How values are put onto the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadRecordSpec {
    /// Length of a step.
    pub step_ms: u32,
    /// Values are ever-growing counters: a value's rate is its growth since the one before. One that shrinks began anew at zero.
    pub counters: bool,
}

/// Numbers of shards by the names a file has for them.
///
/// Names that are numbers stay what they are; others are numbered from 1 in the order of their first appearance. A file has either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardNames {
    numbers: HashMap<String, ShardId>,
    order: Vec<(String, ShardId)>,
    numeric: Option<bool>,
}

impl ShardNames {
    /// The shard of a name, or why it can't be one.
    pub fn shard(&mut self, name: &str) -> Result<ShardId, String> {
        if let Some(shard) = self.numbers.get(name) {
            return Ok(*shard);
        }
        let number = name.parse::<u64>().ok().filter(|number| *number < isobar_model::ids::MAX_ID);
        if *self.numeric.get_or_insert(number.is_some()) != number.is_some() {
            return Err(format!("{name:?}: some shards have numbers and some have names; give all one or the other"));
        }
        if self.order.len() == MAX_SHARDS_PER_KEYSPACE {
            return Err(format!("{name:?} is one shard more than the {MAX_SHARDS_PER_KEYSPACE} there may be"));
        }
        let shard = number.map_or(ShardId(self.order.len() as u64 + 1), ShardId);
        self.numbers.insert(name.to_owned(), shard);
        self.order.push((name.to_owned(), shard));
        Ok(shard)
    }

    /// Names and shards, in the order of their appearance.
    #[must_use]
    pub fn all(&self) -> &[(String, ShardId)] {
        &self.order
    }

    /// Whether the shards were numbered here, their names being none.
    #[must_use]
    pub fn renumbered(&self) -> bool {
        self.numeric == Some(false)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct CellSum {
    sum: f64,
    count: u32,
}

#[derive(Debug, Default)]
struct Row {
    first: u64,
    cells: std::collections::VecDeque<CellSum>,
    /// The last value, of a counter.
    last: Option<(InstantMs, f64)>,
}

/// Values by metric, shard and step.
#[derive(Debug)]
pub struct LoadRecord {
    spec: LoadRecordSpec,
    rows: BTreeMap<(Metric, ShardId), Row>,
    cells: usize,
}

impl LoadRecord {
    /// An empty record. A step of length 0 counts as 1 ms.
    #[must_use]
    pub fn new(spec: LoadRecordSpec) -> Self {
        let spec = LoadRecordSpec { step_ms: spec.step_ms.max(1), ..spec };
        Self { spec, rows: BTreeMap::new(), cells: 0 }
    }

    /// Adds a value; several in one step are averaged. Values that are none (NaN) are missing. Counters must come in order of their times.
    pub fn add(&mut self, metric: Metric, shard: ShardId, at: InstantMs, value: f64) -> Result<(), String> {
        if value.is_nan() {
            return Ok(());
        }
        if !value.is_finite() || value < 0.0 {
            return Err(format!("{value} is negative or infinite: load is neither"));
        }
        let step_ms = u64::from(self.spec.step_ms);
        let row = self.rows.entry((metric, shard)).or_default();
        let (mut step, mut rate) = (at.0 / step_ms, value);
        if self.spec.counters {
            let Some((since, before)) = row.last.replace((at, value)) else { return Ok(()) };
            let span_ms = at.since_ms(since);
            if span_ms == 0 {
                return Err("a counter's values must be in order of their times, each time once".into());
            }
            rate = if value >= before { value - before } else { value } / (span_ms as f64 / 1000.0);
            // The growth is of the time before the value.
            step = (at.0 - 1) / step_ms;
        }
        if row.cells.is_empty() {
            row.first = step;
        }
        let grows = if step < row.first {
            (row.first - step) as usize
        } else {
            ((step - row.first) as usize + 1).saturating_sub(row.cells.len())
        };
        if self.cells.saturating_add(grows) > MAX_CELLS {
            return Err(format!(
                "the record would have more than {MAX_CELLS} steps over all shards: choose a longer --step, or check the unit of its times"
            ));
        }
        self.cells += grows;
        while step < row.first {
            row.cells.push_front(CellSum::default());
            row.first -= 1;
        }
        let at = (step - row.first) as usize;
        if row.cells.len() <= at {
            row.cells.resize(at + 1, CellSum::default());
        }
        let cell = &mut row.cells[at];
        cell.sum += rate;
        cell.count += 1;
        Ok(())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// The record as batches, each metric by itself, of shards that lie together in number; NaN where a step is missing.
    pub fn give(&self, sink: &mut dyn FnMut(LoadBatch)) {
        let metrics: std::collections::BTreeSet<Metric> = self.rows.keys().map(|(metric, _)| *metric).collect();
        for metric in metrics {
            let rows: Vec<(ShardId, &Row)> = self
                .rows
                .iter()
                .filter(|((of, _), row)| *of == metric && !row.cells.is_empty())
                .map(|((_, shard), row)| (*shard, row))
                .collect();
            let mut from = 0;
            while from < rows.len() {
                let (mut first, mut end) = (u64::MAX, 0);
                let mut to = from;
                while to < rows.len() {
                    let row = rows[to].1;
                    let (f, e) = (row.first.min(first), (row.first + row.cells.len() as u64).max(end));
                    if to > from && (e - f) as usize * (to + 1 - from) > MAX_BATCH_VALUES {
                        break;
                    }
                    (first, end, to) = (f, e, to + 1);
                }
                sink(self.batch(metric, first, end, &rows[from..to]));
                from = to;
            }
        }
    }

    fn batch(&self, metric: Metric, first: u64, end: u64, rows: &[(ShardId, &Row)]) -> LoadBatch {
        let value = |row: &Row, step: u64| {
            let cell = step.checked_sub(row.first).and_then(|at| row.cells.get(at as usize)).filter(|c| c.count > 0);
            cell.map_or(f32::NAN, |cell| (cell.sum / f64::from(cell.count)) as f32)
        };
        LoadBatch {
            metric,
            start: InstantMs(first * u64::from(self.spec.step_ms)),
            step_ms: self.spec.step_ms,
            steps: (end - first) as u32,
            shards: rows.iter().map(|(shard, _)| *shard).collect(),
            values: rows.iter().flat_map(|(_, row)| (first..end).map(|step| value(row, step))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(record: &LoadRecord) -> Vec<LoadBatch> {
        let mut batches = Vec::new();
        record.give(&mut |batch| batches.push(batch));
        batches
    }

    #[test]
    fn values_are_averaged_within_a_step_and_gaps_are_missing() {
        let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 1_000, counters: false });
        for (shard, at, value) in
            [(7, 5_100, 1.0), (7, 5_900, 3.0), (7, 3_000, 5.0), (8, 4_000, f64::NAN), (8, 4_500, 9.0)]
        {
            record.add(Metric::Load, ShardId(shard), InstantMs(at), value).unwrap();
        }
        let batch = &batches(&record)[0];
        assert_eq!((batch.start, batch.steps, batch.shards.len()), (InstantMs(3_000), 3, 2));
        assert_eq!(format!("{:?}", batch.values), "[5.0, NaN, 2.0, NaN, 9.0, NaN]");
    }

    #[test]
    fn a_counter_gives_its_growth_and_survives_a_restart() {
        let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 1_000, counters: true });
        for (at, value) in [(1_000, 500.0), (2_000, 530.0), (3_000, 10.0), (4_000, 10.0)] {
            record.add(Metric::ReadOps, ShardId(1), InstantMs(at), value).unwrap();
        }
        assert_eq!(batches(&record)[0].values, [30.0, 10.0, 0.0]);
        assert!(record.add(Metric::ReadOps, ShardId(1), InstantMs(4_000), 11.0).unwrap_err().contains("in order"));
    }

    #[test]
    fn what_is_no_load_or_too_much_is_refused() {
        let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 1, counters: false });
        assert!(record.add(Metric::Load, ShardId(1), InstantMs(0), -1.0).is_err());
        assert!(record.is_empty());
        record.add(Metric::Load, ShardId(1), InstantMs(0), 1.0).unwrap();
        assert!(record.add(Metric::Load, ShardId(1), InstantMs(1 << 40), 1.0).unwrap_err().contains("--step"));
    }

    #[test]
    fn names_are_numbers_or_get_some() {
        let mut names = ShardNames::default();
        assert_eq!(
            (names.shard("b"), names.shard("a"), names.shard("b")),
            (Ok(ShardId(1)), Ok(ShardId(2)), Ok(ShardId(1)))
        );
        assert!(names.shard("3").unwrap_err().contains("one or the other"));
        assert_eq!(ShardNames::default().shard("17"), Ok(ShardId(17)));
    }
}
