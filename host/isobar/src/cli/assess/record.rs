//! The record: what the files hold, as load of units over equal steps.

mod format;
mod keyed_log;

use super::super::output::Output;
use super::{Assess, Format, recorded_load};
use anyhow::ensure;
use isobar_model::InstantMs;
use isobar_sim::{Facts, UnitLoad, fill_gaps};
use serde::Serialize;

/// Steps people think in, milliseconds; the longest of which a record holds [`WANTED_STEPS`] is taken.
const STEPS_MS: [u32; 7] = [300_000, 60_000, 30_000, 10_000, 5_000, 1_000, 100];
/// Three days of five minutes.
const WANTED_STEPS: u64 = 864;
/// Units at most; of more, those whose names have like hashes are put together.
const MAX_UNITS: usize = 512;
const UNIT_GROUPS: usize = 256;
const DAY_MS: u64 = 86_400_000;

/// What was read.
pub(super) struct Record {
    /// All over the same steps, none missing.
    pub(super) units: Vec<UnitLoad>,
    /// When the first step begins.
    pub(super) start: InstantMs,
    pub(super) facts: RecordFacts,
    pub(super) remarks: Vec<String>,
}

/// What was read, in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RecordFacts {
    /// Queries, or values.
    pub(super) events: u64,
    /// Lines passed over.
    pub(super) bad_lines: u64,
    /// Queries whose times are too far from the others'.
    pub(super) misplaced: u64,
    /// Lines read a second, all passes together.
    pub(super) lines_per_s: f64,
    /// Units: shards that keys were spread over, or what the file has.
    pub(super) units: usize,
    /// When the first step begins, milliseconds since 1970.
    pub(super) start_ms: u64,
    /// Length of a step, milliseconds.
    pub(super) step_ms: u32,
    /// Steps.
    pub(super) steps: usize,
    /// Share of values that were missing between others, and taken to lie on a line between these.
    pub(super) missing_between: f64,
    /// Share of values before a unit's first or after its last, taken as no load.
    pub(super) missing_outside: f64,
    /// Of query logs: share of all load on the hottest key, at least.
    pub(super) hottest_key_share: Option<f64>,
    /// Of query logs: different keys, within a few per cent.
    pub(super) distinct_keys: Option<f64>,
    /// Of query logs: share of queries that read.
    pub(super) read_share: Option<f64>,
    /// The units with most load, and their share of it.
    pub(super) largest_units: Vec<(String, f64)>,
}

/// What a reader of one kind of files gives: units may have missing values.
pub(super) struct Raw {
    pub(super) units: Vec<UnitLoad>,
    pub(super) start: InstantMs,
    pub(super) step_ms: u32,
    pub(super) remarks: Vec<String>,
    pub(super) facts: RecordFacts,
}

impl RecordFacts {
    pub(super) fn new(events: u64, bad_lines: u64, lines_per_s: f64) -> Self {
        Self {
            events,
            bad_lines,
            misplaced: 0,
            lines_per_s,
            units: 0,
            start_ms: 0,
            step_ms: 0,
            steps: 0,
            missing_between: 0.0,
            missing_outside: 0.0,
            hottest_key_share: None,
            distinct_keys: None,
            read_share: None,
            largest_units: Vec::new(),
        }
    }
}

/// What the files are: as told, or as the first begins.
pub(super) fn format_of(assess: &Assess) -> anyhow::Result<Format> {
    for file in &assess.files {
        ensure!(file.is_file(), "{}: there is no such file", file.display());
    }
    match assess.format {
        Some(format) => Ok(format),
        None => format::of(&assess.files[0], assess.log.columns != isobar_intake::ColumnMap::default()),
    }
}

pub(super) fn read(assess: &Assess, format: Format, output: &Output) -> anyhow::Result<Record> {
    let raw = match format {
        Format::Querylog => keyed_log::read(assess, output)?,
        Format::Csv | Format::Parquet | Format::Prometheus => recorded_load::read(assess, format, output)?,
    };
    let Raw { mut units, start, step_ms, mut remarks, mut facts } = raw;
    ensure!(!units.is_empty(), "there is no load in it");
    if units.len() > MAX_UNITS {
        remarks.push(format!(
            "{} units are more than the {MAX_UNITS} that are assessed one by one: by the hash of their names, they are put together in {UNIT_GROUPS} groups.",
            units.len()
        ));
        units = grouped(units);
    }
    let filled = fill_gaps(&mut units);
    let sums: Vec<f64> = units.iter().map(|unit| unit.values.iter().map(|value| f64::from(*value)).sum()).collect();
    let all: f64 = sums.iter().sum();
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]).then(a.cmp(b)));
    facts.units = units.len();
    (facts.start_ms, facts.step_ms, facts.steps) = (start.0, step_ms, units[0].values.len());
    (facts.missing_between, facts.missing_outside) = (filled.between, filled.outside);
    facts.largest_units =
        order.iter().take(10).map(|at| (units[*at].name.clone(), sums[*at] / all.max(f64::MIN_POSITIVE))).collect();
    if filled.between > 0.01 {
        remarks.push(format!(
            "{:.1} % of the values are missing; they are taken to lie on a line between their neighbours.",
            100.0 * filled.between
        ));
    }
    if filled.outside > 0.01 {
        remarks.push(format!(
            "{:.1} % of the values lie before a unit's first or after its last: it is taken not to have been there, without load.",
            100.0 * filled.outside
        ));
    }
    Ok(Record { units, start, facts, remarks })
}

impl Record {
    /// Says what of the record was used, and what can't be learned from it.
    pub(super) fn remark_on(&mut self, facts: &Facts) {
        let length = |steps: usize| super::page::length(steps as u64 * u64::from(facts.step_ms));
        self.remarks.push(format!(
            "{} of history, then a window of {}, in steps of {}{}.",
            length(facts.history_steps),
            length(facts.window_steps),
            length(1),
            match facts.unused_steps {
                0 => String::new(),
                unused => format!("; {} of the record are beyond what is looked at", length(unused)),
            }
        ));
        let history_ms = facts.history_steps as u64 * u64::from(facts.step_ms);
        if history_ms < 2 * DAY_MS {
            self.remarks.push(
                "The history is shorter than two days: no daily pattern can be learned, and forecasts say little more than that load goes on \
                 as it is. Record three days for a daily pattern, three weeks for a weekly one."
                    .into(),
            );
        } else if history_ms < 14 * DAY_MS {
            self.remarks.push(
                "The history is shorter than two weeks: weekdays and weekends can't be told apart by it. Record three weeks for that.".into(),
            );
        }
        if facts.split_units > 0 {
            self.remarks.push(format!(
                "{} of {} units are larger than the share of a node asked for and are split in equal parts, which makes {} shards (--whole if yours can't be split).",
                facts.split_units, facts.units, facts.shards
            ));
        }
        if facts.shards < 2 * facts.nodes {
            self.remarks.push(format!(
                "{} shards on {} nodes leave little to move: more, smaller shards would help more than any forecast.",
                facts.shards, facts.nodes
            ));
        }
    }
}

/// The step for a record so long.
pub(super) fn step_for(span_ms: u64) -> u32 {
    let enough = |step: &u32| span_ms / u64::from(*step) >= WANTED_STEPS;
    STEPS_MS.into_iter().find(enough).unwrap_or(STEPS_MS[STEPS_MS.len() - 1])
}

/// Units by the hash of their names.
fn grouped(units: Vec<UnitLoad>) -> Vec<UnitLoad> {
    let mut groups: Vec<Option<UnitLoad>> = vec![None; UNIT_GROUPS];
    for unit in units {
        let at = (isobar_analyzer::stream::key_hash(unit.name.as_bytes()) % UNIT_GROUPS as u64) as usize;
        match &mut groups[at] {
            Some(group) => {
                for (sum, value) in group.values.iter_mut().zip(&unit.values).filter(|(_, value)| value.is_finite()) {
                    *sum = if sum.is_finite() { *sum + value } else { *value };
                }
                group.bytes = group.bytes.zip(unit.bytes).map(|(a, b)| a.saturating_add(b));
            }
            None => groups[at] = Some(UnitLoad { name: format!("group {at}"), ..unit }),
        }
    }
    groups.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_records_get_short_steps() {
        assert_eq!((step_for(30 * DAY_MS), step_for(3 * DAY_MS)), (300_000, 300_000));
        assert_eq!((step_for(2 * DAY_MS), step_for(7_200_000), step_for(3_540_000)), (60_000, 5_000, 1_000));
        assert_eq!(step_for(10), 100);
    }

    #[test]
    fn many_units_become_groups_that_hold_all_load() {
        let unit =
            |at: usize| UnitLoad { name: at.to_string(), values: vec![1.0, f32::NAN], max_parts: 9, bytes: Some(1) };
        let groups = grouped((0..5_000).map(unit).collect());
        assert_eq!(groups.len(), UNIT_GROUPS);
        assert_eq!(groups.iter().map(|group| group.values[0]).sum::<f32>(), 5_000.0);
        assert_eq!(groups.iter().filter_map(|group| group.bytes).sum::<u64>(), 5_000);
        assert!(groups.iter().all(|group| group.values[1].is_nan()));
    }
}
