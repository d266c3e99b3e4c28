//! Recorded load: what the file has a series of is a unit.

use super::super::history_import::{Meter, ms, warn_of};
use super::super::output::Output;
use super::record::{Raw, RecordFacts, step_for};
use super::{Assess, Format, page};
use anyhow::ensure;
use isobar_intake::{
    LoadRecord, LoadRecordSpec, ReadReport, ShardNames, TimeUnit, read_csv, read_parquet, read_prometheus,
};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use isobar_sim::UnitLoad;
use std::collections::BTreeMap;
use std::time::Instant;

/// A step for the first look, where none was asked for.
const FIRST_STEP_MS: u32 = 300_000;

/// Values on a grid.
struct Grid {
    start: InstantMs,
    step_ms: u32,
    rows: BTreeMap<ShardId, Vec<f32>>,
}

pub(super) fn read(assess: &Assess, format: Format, output: &Output) -> anyhow::Result<Raw> {
    let began = Instant::now();
    let mut remarks = Vec::new();
    let asked = assess.step.map(|step| ms(step) as u32);
    let (mut record, mut names, report) = load(assess, format, asked.unwrap_or(FIRST_STEP_MS), output)?;
    let mut lines = report.lines;
    ensure!(!record.is_empty(), "there is no value in it");
    let mut grid = grid(&record, asked.unwrap_or(FIRST_STEP_MS));
    let span_ms = grid.rows.values().next().map_or(0, Vec::len) as u64 * u64::from(grid.step_ms);
    let wanted = step_for(span_ms);
    if asked.is_none() && wanted < FIRST_STEP_MS {
        let finer = load(assess, format, wanted, output)?;
        lines += finer.2.lines;
        (record, names) = (finer.0, finer.1);
        grid = self::grid(&record, wanted);
    }
    let seconds = began.elapsed().as_secs_f64().max(1e-3);
    drop(record);
    warn_of(&report);
    let spacing = spacing(&grid);
    if asked.is_none() && spacing > 1 {
        grid = grid.joined(spacing);
    }
    if asked.is_none() && grid.step_ms != FIRST_STEP_MS {
        remarks.push(format!(
            "The record holds {}, a value every {}: steps of {} instead of 5 min.",
            page::length(span_ms),
            page::length(spacing as u64 * u64::from(wanted.min(FIRST_STEP_MS))),
            page::length(u64::from(grid.step_ms)),
        ));
    } else if spacing > 2 {
        remarks.push(format!(
            "There is a value every {} only, more seldom than the steps of {}: a longer --step would invent less.",
            page::length(spacing as u64 * u64::from(grid.step_ms)),
            page::length(u64::from(grid.step_ms)),
        ));
    }
    let named: BTreeMap<ShardId, &str> = names.all().iter().map(|(name, shard)| (*shard, name.as_str())).collect();
    let units = grid.rows.into_iter().map(|(shard, values)| UnitLoad {
        name: named.get(&shard).map_or_else(|| shard.to_string(), |name| (*name).to_owned()),
        values,
        max_parts: usize::MAX,
        bytes: assess.recorded.unit_bytes,
    });
    let facts = RecordFacts::new(report.events, report.bad_lines, lines as f64 / seconds);
    Ok(Raw { units: units.collect(), start: grid.start, step_ms: grid.step_ms, remarks, facts })
}

fn load(
    assess: &Assess,
    format: Format,
    step_ms: u32,
    output: &Output,
) -> anyhow::Result<(LoadRecord, ShardNames, ReadReport)> {
    let spec = LoadRecordSpec { step_ms, counters: assess.recorded.counters };
    let (mut record, mut names) = (LoadRecord::new(spec), ShardNames::default());
    let mut meter = Meter::new(output, "values");
    let mut progress = |p| meter.show(p);
    let (files, metric, bad) = (&assess.files, assess.recorded.metric, assess.max_bad_lines);
    let unit = assess.time_unit.map(TimeUnit::from);
    let report = match format {
        Format::Csv | Format::Querylog => read_csv(files, metric, unit, bad, &mut record, &mut names, &mut progress),
        Format::Parquet => read_parquet(files, metric, unit, bad, &mut record, &mut names, &mut progress),
        Format::Prometheus => {
            let label = &assess.recorded.shard_label;
            read_prometheus(files, metric, label, bad, &mut record, &mut names, &mut progress)
        }
    };
    meter.done();
    Ok((record, names, report?))
}

/// Load of all units over the same steps: the metric `load` where the record has it, else one unit a read and two a write, else whatever it has.
fn grid(record: &LoadRecord, step_ms: u32) -> Grid {
    let mut batches: Vec<LoadBatch> = Vec::new();
    record.give(&mut |batch| batches.push(batch));
    let has = |metric| batches.iter().any(|batch| batch.metric == metric);
    let weight = |metric: Metric| -> Option<f32> {
        if has(Metric::Load) {
            (metric == Metric::Load).then_some(1.0)
        } else if has(Metric::ReadOps) || has(Metric::WriteOps) {
            if metric == Metric::ReadOps { Some(1.0) } else { (metric == Metric::WriteOps).then_some(2.0) }
        } else {
            (metric == batches.first()?.metric).then_some(1.0)
        }
    };
    let used: Vec<(&LoadBatch, f32)> =
        batches.iter().filter_map(|batch| Some((batch, weight(batch.metric)?))).collect();
    let step = u64::from(step_ms);
    let first = used.iter().map(|(batch, _)| batch.start.0 / step).min().unwrap_or(0);
    let end = used.iter().map(|(batch, _)| batch.start.0 / step + u64::from(batch.steps)).max().unwrap_or(first);
    let steps = (end - first) as usize;
    let mut rows: BTreeMap<ShardId, Vec<f32>> = BTreeMap::new();
    for (batch, weight) in used {
        let offset = (batch.start.0 / step - first) as usize;
        for (at, shard) in batch.shards.iter().enumerate() {
            let row = rows.entry(*shard).or_insert_with(|| vec![f32::NAN; steps]);
            for (cell, value) in row[offset..].iter_mut().zip(batch.row(at)).filter(|(_, value)| value.is_finite()) {
                *cell = if cell.is_finite() { *cell + weight * value } else { weight * value };
            }
        }
    }
    Grid { start: InstantMs(first * step), step_ms, rows }
}

/// The commonest distance between two values of a unit, in steps.
fn spacing(grid: &Grid) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for row in grid.rows.values() {
        let known: Vec<usize> = (0..row.len()).filter(|at| row[*at].is_finite()).collect();
        known.windows(2).for_each(|pair| *counts.entry(pair[1] - pair[0]).or_default() += 1);
    }
    counts
        .into_iter()
        .max_by_key(|(distance, count)| (*count, std::cmp::Reverse(*distance)))
        .map_or(1, |(distance, _)| distance)
}

impl Grid {
    /// Steps `factor` times as long, each the mean of what is known.
    fn joined(self, factor: usize) -> Self {
        let mean = |values: &[f32]| {
            let known: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
            if known.is_empty() { f32::NAN } else { known.iter().sum::<f32>() / known.len() as f32 }
        };
        let rows = self.rows.into_iter().map(|(shard, row)| (shard, row.chunks(factor).map(mean).collect())).collect();
        Self { step_ms: self.step_ms * factor as u32, rows, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_values_make_long_steps() {
        let nan = f32::NAN;
        let rows = [(ShardId(1), vec![1.0, nan, nan, 3.0, nan, nan, 5.0, 7.0]), (ShardId(2), vec![nan; 8])];
        let grid = Grid { start: InstantMs(0), step_ms: 10, rows: rows.into() };
        assert_eq!(spacing(&grid), 3);
        let joined = grid.joined(3);
        assert_eq!((joined.step_ms, &joined.rows[&ShardId(1)]), (30, &vec![1.0, 3.0, 6.0]));
        assert!(joined.rows[&ShardId(2)].iter().all(|value| value.is_nan()));
    }
}
