//! Query logs: which shards they are cut into, what comes of them.

use super::progress::Meter;
use super::sinks::{NewFile, Sinks};
use super::{Import, ms, size, warn_of};
use crate::cli::output::{Output, Table};
use crate::client::Client;
use anyhow::{Context, ensure};
use isobar_analyzer::stream::{Dropped, KeyHistogram, KeyPrefix, LoadMilli, QueryStream, QueryStreamSpec, Sharding};
use isobar_api::ShardQuery;
use isobar_intake::{QueryLog, QueryLogSpec, StreamReport, TimeUnit};
use isobar_model::{LoadWeights, Partitioning, ShardId};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Tuples of the histogram that boundaries are learned from, for each boundary: each shard's load is then within a few per cent of the mean.
const TUPLES_PER_BOUNDARY: usize = 64;
/// And at most so many, 8 MiB.
const MAX_LEARNING_TUPLES: usize = 1 << 16;

pub(super) async fn run(import: &Import, step_ms: u32, client: &Client, output: &Output) -> anyhow::Result<()> {
    let sharding = sharding(import, client, output).await?;
    let log = &import.log;
    let mut stream = QueryStream::new(QueryStreamSpec {
        sharding,
        step_ms,
        lateness_ms: ms(log.lateness),
        gap_ms: ms(log.gap),
        ahead_ms: ms(log.max_jump),
        weights: LoadWeights::default(),
        sample_rate: log.sample_rate,
        profiles: true,
    });
    let mut sinks = Sinks::open(import.out.as_deref(), import.upload)?;
    let mut meter = Meter::new(output, "lines");
    let read = QueryLog::new(spec(import)?).read(
        &import.files,
        |event| stream.record(event, &mut |batch| sinks.take(batch)),
        &mut |progress| meter.show(progress),
    );
    meter.done();
    let report = read?;
    stream.finish(&mut |batch| sinks.take(batch));
    warn_of(&report);
    warn_of_dropped(stream.dropped());
    ensure!(report.events > 0, "there is no query in it");
    let profiles = StreamReport::of(&stream);
    if let Some(path) = &import.profile {
        write_profiles(path, &profiles)?;
    }
    sinks.finish(client, output).await?;
    output.show(&profiles, |out| {
        writeln!(out, "{} queries", profiles.queries)?;
        table(&profiles).write(out)
    })
}

fn spec(import: &Import) -> anyhow::Result<QueryLogSpec> {
    let delimiter = import.log.delimiter.map(u8::try_from).transpose().context("a delimiter is one byte")?;
    Ok(QueryLogSpec {
        columns: import.log.columns.clone(),
        words: import.log.ops.clone(),
        time_unit: import.time_unit.map(TimeUnit::from),
        latency_unit: import.log.latency_unit.map(TimeUnit::from),
        delimiter,
        max_bad_lines: import.max_bad_lines,
    })
}

async fn sharding(import: &Import, client: &Client, output: &Output) -> anyhow::Result<Sharding> {
    let log = &import.log;
    if let Some(keyspace) = &log.keyspace {
        return of_keyspace(client, keyspace).await;
    }
    match (log.partitioning, &log.boundaries) {
        (Partitioning::Hash, None) => Ok(Sharding::even(log.shards)?),
        (Partitioning::Hash, Some(_)) => {
            anyhow::bail!("boundaries are of ranges: say --partitioning range, or leave --boundaries away")
        }
        (Partitioning::Range, Some(path)) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
            let keys = text.lines().filter(|line| !line.is_empty());
            let boundaries = keys.map(|line| isobar_api::decode_key(line).to_vec()).collect();
            Sharding::bounded(Partitioning::Range, boundaries).with_context(|| path.display().to_string())
        }
        (Partitioning::Range, None) => learned(import, output),
    }
}

/// Reads the log once to learn boundaries between which the load is even.
fn learned(import: &Import, output: &Output) -> anyhow::Result<Sharding> {
    let shards = import.log.shards;
    // Fails early where the number can't be.
    Sharding::even(shards)?;
    let weights = LoadMilli::new(&LoadWeights::default());
    let mut keys = KeyHistogram::new((shards * TUPLES_PER_BOUNDARY).clamp(1 << 10, MAX_LEARNING_TUPLES));
    let mut meter = Meter::new(output, "lines to learn boundaries");
    let read = QueryLog::new(spec(import)?).read(
        &import.files,
        |event| keys.record(KeyPrefix::new(None, event.key), weights.of(event.operation)),
        &mut |progress| meter.show(progress),
    );
    meter.done();
    read?;
    let boundaries: Vec<Vec<u8>> = keys.cuts(shards).into_iter().map(|cut| cut.boundary).collect();
    if boundaries.len() + 1 < shards {
        eprintln!("keys are too few or too hot for {shards} shards of even load: there are {}", boundaries.len() + 1);
    }
    Ok(Sharding::bounded(Partitioning::Range, boundaries)?)
}

/// The shards that a keyspace has now.
async fn of_keyspace(client: &Client, name: &str) -> anyhow::Result<Sharding> {
    let partitioning = client.keyspace(name).await?.partitioning;
    let mut query = ShardQuery { keyspace: Some(name.to_owned()), ..ShardQuery::default() };
    let mut shards: Vec<(Vec<u8>, ShardId)> = Vec::new();
    loop {
        let page = client.shards(&query).await?;
        for shard in page.shards {
            shards.push((isobar_api::decode_key(&shard.start).to_vec(), shard.id));
        }
        match page.next {
            Some(next) => query.after = Some(next.0),
            None => break,
        }
    }
    shards.sort();
    let boundaries = shards.iter().skip(1).map(|(start, _)| start.clone()).collect();
    let ids = shards.into_iter().map(|(_, id)| id).collect();
    Sharding::at(partitioning, boundaries, ids).with_context(|| format!("the shards of keyspace {name}"))
}

fn warn_of_dropped(dropped: Dropped) {
    if dropped.late > 0 {
        eprintln!(
            "{} queries stand too late in the log for their step and are not in the load: sort it, or say a longer --lateness",
            dropped.late
        );
    }
    if dropped.ahead > 0 {
        eprintln!(
            "{} queries are too far ahead of those before them and were left out: mend their times, or say a longer --max-jump",
            dropped.ahead
        );
    }
}

fn write_profiles(path: &Path, profiles: &StreamReport) -> anyhow::Result<()> {
    let cant = || format!("can't write {}", path.display());
    let (new, file) = NewFile::create(path)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, profiles).with_context(cant)?;
    out.write_all(b"\n").and_then(|()| out.flush()).with_context(cant)?;
    new.keep()
}

fn table(profiles: &StreamReport) -> Table {
    let per_cent = |share: f64| format!("{:.1} %", share * 100.0);
    let all: f64 = profiles.shards.iter().map(|shard| shard.load).sum();
    let mut table =
        Table::new(&["shard", "queries", "load", "bytes", "keys", "split at", "left", "hottest key", "has", "p99 ms"]);
    for shard in &profiles.shards {
        let dash = || "-".to_owned();
        let hottest = shard.heavy_hitters.first();
        table.row([
            shard.shard.to_string(),
            format!("{:.0}", shard.queries),
            per_cent(shard.load / all.max(f64::MIN_POSITIVE)),
            size(shard.operations.iter().map(|operation| operation.bytes).sum()),
            format!("{:.0}", shard.distinct_keys),
            shard.split.as_ref().map_or_else(dash, |cut| cut.at.clone()),
            shard.split.as_ref().map_or_else(dash, |cut| per_cent(cut.left_share)),
            hottest.map_or_else(dash, |hitter| hitter.key.clone()),
            hottest.map_or_else(dash, |hitter| per_cent(hitter.at_most)),
            shard.latency.as_ref().map_or_else(dash, |latency| format!("{:.1}", latency.p99_us / 1000.0)),
        ]);
    }
    table
}
