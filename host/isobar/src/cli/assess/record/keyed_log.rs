//! Query logs: keys to shards, queries to load, in fixed memory and, but for learned ranges, in one pass.

use super::super::super::history_import::{Meter, ms, warn_of};
use super::super::super::output::Output;
use super::super::{Assess, page};
use super::{Raw, RecordFacts, step_for};
use anyhow::{Context, ensure};
use isobar_analyzer::stream::{KeyHistogram, KeyPrefix, LoadMilli, Operation, ShardProfile, Sharding, key_hash};
use isobar_intake::{QueryLog, QueryLogSpec, ReadReport, TimeUnit};
use isobar_model::{LoadWeights, Partitioning};
use isobar_sim::{LoadGrid, UnitLoad};
use std::time::Instant;

/// Tuples of the histogram that ranges are learned from, for each: each shard's load is then within a few per cent of the mean.
const TUPLES_PER_RANGE: usize = 64;
/// And at most so many, 8 MiB.
const MAX_LEARNING_TUPLES: usize = 1 << 16;
/// Below so many queries of a shard in a step, chance alone moves its load by more than a fifth.
const FEW_QUERIES: f64 = 25.0;

pub(super) fn read(assess: &Assess, output: &Output) -> anyhow::Result<Raw> {
    let log = &assess.log;
    let began = Instant::now();
    let (mut lines, mut passes) = (0, 1);
    let mut remarks = Vec::new();
    let sharding = match log.partitioning {
        Partitioning::Hash => Sharding::even(log.shards)?,
        Partitioning::Range => {
            let (sharding, learned) = learn(assess, output)?;
            (lines, passes) = (lines + learned.lines, 2);
            let ranges = sharding.shards().len();
            if ranges < log.shards {
                remarks.push(format!(
                    "Keys are too few or too hot for {} ranges of even load: there are {ranges}.",
                    log.shards
                ));
            }
            sharding
        }
    };
    let shards = sharding.shards().len();
    let step = assess.step.map(|step| ms(step) as u32);
    let mut grid = LoadGrid::new(shards, step.unwrap_or(LoadGrid::finest_ms()), ms(log.max_jump));
    let mut profiles: Vec<ShardProfile> = std::iter::repeat_with(ShardProfile::default).take(shards).collect();
    let weights = LoadMilli::new(&LoadWeights::default());
    let mut meter = Meter::new(output, "lines");
    let read = QueryLog::new(spec(assess)?).read(
        &assess.files,
        |event| {
            let hash = key_hash(event.key);
            let (place, milli) = (sharding.place(hash, event.key), weights.of(event.operation));
            if grid.add(event.at, place, milli as f64 / 1000.0) {
                profiles[place].record(event, hash, sharding.slot(hash), milli);
            }
        },
        &mut |progress| meter.show(progress),
    );
    meter.done();
    let report = read?;
    warn_of(&report);
    ensure!(report.events > 0, "there is no query in it");
    lines += report.lines;
    let misplaced = grid.misplaced();
    let span_ms = grid.span_ms();
    let step_ms = step.unwrap_or_else(|| step_for(span_ms));
    if step.is_none() && step_ms < 300_000 {
        remarks.push(format!(
            "The log holds {}: steps of {} instead of 5 min, so that there are enough to learn from.",
            page::length(span_ms),
            page::length(u64::from(step_ms))
        ));
    }
    let (start, step_ms, series) = grid.series(step_ms);
    let steps = series.first().map_or(0, Vec::len);
    let each = report.events as f64 / (steps.max(1) * shards) as f64;
    if each < FEW_QUERIES {
        remarks.push(format!(
            "There are {each:.1} queries of a shard in a step, so few that chance moves its load by some {:.0} % from step to step: fewer --shards or a longer --step would show more.",
            100.0 / each.sqrt().max(0.1)
        ));
    }
    if misplaced > 0 {
        remarks.push(format!(
            "{misplaced} queries are further from the others than --max-jump and were left out: mend their times, or say a longer one."
        ));
    }
    let units = series.into_iter().zip(&profiles).enumerate().map(|(at, (values, profile))| UnitLoad {
        name: name(&sharding, at),
        values,
        max_parts: hottest_share(profile).map_or(1, |share| (1.0 / share).floor().clamp(1.0, 1e6) as usize),
        bytes: stored_bytes(profile),
    });
    let mut facts =
        RecordFacts::new(report.events, report.bad_lines, lines as f64 / began.elapsed().as_secs_f64().max(1e-3));
    let all: u64 = profiles.iter().map(|profile| profile.hitters.total()).sum();
    let hottest =
        profiles.iter().filter_map(|profile| profile.hitters.top(1).first().map(|hitter| hitter.at_least)).max();
    facts.misplaced = misplaced;
    facts.hottest_key_share = hottest.map(|hottest| hottest as f64 / all.max(1) as f64);
    facts.distinct_keys = Some(profiles.iter().map(|profile| profile.distinct.estimate()).sum::<f64>().round());
    let reads: u64 = profiles.iter().map(|p| p.mix.of(Operation::Get).count + p.mix.of(Operation::Scan).count).sum();
    facts.read_share = Some(reads as f64 / profiles.iter().map(|p| p.mix.count()).sum::<u64>().max(1) as f64);
    if passes == 2 {
        remarks.push(
            "The log was read twice, once to learn the ranges: their load is even over all of it, the window included."
                .into(),
        );
    }
    Ok(Raw { units: units.collect(), start, step_ms, remarks, facts })
}

fn spec(assess: &Assess) -> anyhow::Result<QueryLogSpec> {
    let delimiter = assess.log.delimiter.map(u8::try_from).transpose().context("a delimiter is one byte")?;
    Ok(QueryLogSpec {
        columns: assess.log.columns.clone(),
        words: assess.log.ops.clone(),
        time_unit: assess.time_unit.map(TimeUnit::from),
        latency_unit: None,
        delimiter,
        max_bad_lines: assess.max_bad_lines,
    })
}

/// Reads the log once to learn ranges of even load.
fn learn(assess: &Assess, output: &Output) -> anyhow::Result<(Sharding, ReadReport)> {
    let shards = assess.log.shards;
    // Fails early where the number can't be.
    Sharding::even(shards)?;
    let weights = LoadMilli::new(&LoadWeights::default());
    let mut keys = KeyHistogram::new((shards * TUPLES_PER_RANGE).clamp(1 << 10, MAX_LEARNING_TUPLES));
    let mut meter = Meter::new(output, "lines to learn ranges");
    let read = QueryLog::new(spec(assess)?).read(
        &assess.files,
        |event| keys.record(KeyPrefix::new(None, event.key), weights.of(event.operation)),
        &mut |progress| meter.show(progress),
    );
    meter.done();
    let report = read?;
    let boundaries: Vec<Vec<u8>> = keys.cuts(shards).into_iter().map(|cut| cut.boundary).collect();
    Ok((Sharding::bounded(Partitioning::Range, boundaries)?, report))
}

/// A shard's name: its number, and where a range begins.
fn name(sharding: &Sharding, at: usize) -> String {
    match sharding.partitioning() {
        Partitioning::Hash => format!("shard {}", at + 1),
        Partitioning::Range => format!("shard {} from {}", at + 1, String::from_utf8_lossy(sharding.start(at))),
    }
}

/// Share of a shard's load that certainly falls on one key; none: no load at all.
fn hottest_share(profile: &ShardProfile) -> Option<f64> {
    let total = profile.hitters.total();
    let hottest = profile.hitters.top(1).first().map(|hitter| hitter.at_least.max(1))?;
    (total > 0).then(|| hottest as f64 / total as f64)
}

/// What a shard stores, about: different keys times the mean size of a value; none where the log tells no sizes.
fn stored_bytes(profile: &ShardProfile) -> Option<u64> {
    if profile.mix.count() == 0 {
        return Some(0);
    }
    let mean = |operation| {
        let of = profile.mix.of(operation);
        (of.count > 0 && of.bytes > 0).then(|| of.bytes as f64 / of.count as f64)
    };
    let size = mean(Operation::Put).or_else(|| mean(Operation::Get))?;
    Some((profile.distinct.estimate() * size) as u64)
}
