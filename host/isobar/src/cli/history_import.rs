//! `isobar history import`: files from elsewhere, to a file of recorded load, to shard profiles, or into a cluster.
//!
//! Needs no cluster but for `--upload`. Query logs of any size are read in fixed memory; with learned boundaries they are read twice.

mod progress;
mod query_logs;
mod sinks;

use super::output::{Output, Table, bytes};
use crate::client::Client;
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use isobar_intake::{
    BadColumns, BadWords, ColumnMap, LoadRecord, LoadRecordSpec, OperationWords, ReadReport, ShardNames, TimeUnit,
    metric_named, read_csv, read_parquet, read_prometheus,
};
use isobar_model::{Metric, Partitioning};
pub(super) use progress::Meter;
use serde::Serialize;
use sinks::Sinks;
use std::path::PathBuf;
use std::time::Duration;

/// What the files are.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A query a line: CSV, TSV or JSON
    Querylog,
    /// Recorded load: `time,shard,value[,metric]`, or `time` and a column a shard
    Csv,
    /// The same as Parquet
    Parquet,
    /// The answer of /api/v1/query_range, or the lines of `promtool tsdb dump`
    Prometheus,
}

/// What to read, and where it goes.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Query logs have a header with the names time, operation, key, bytes, latency_us, or others that --columns tells; time and key must be there. \
Times are numbers since 1970 or dates. JSON lines have the same names. Files may be gzip.

Examples:
  isobar history import --format querylog --shards 64 --out load.csv --profile shards.json queries.csv.gz
  isobar history import --format querylog --columns time=2,op=3,bytes=4,key=5 --ops 28=get,2a=put --partitioning range --out load.csv io.csv
  isobar history import --format querylog --keyspace tenants --upload queries.jsonl
  isobar history import --format prometheus --shard-label shard --counters --metric read-ops --out load.csv range.json")]
pub struct Import {
    /// The files, as one record, the oldest first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are
    #[arg(long)]
    format: Format,
    /// Write the load there, as CSV: time,shard,metric,value
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Write shard profiles there: operations, split points, heavy hitters, distinct keys, latencies (query logs only)
    #[arg(long, value_name = "FILE.json")]
    profile: Option<PathBuf>,
    /// Import the load into the cluster at --endpoint
    #[arg(long)]
    upload: bool,
    /// Length of a step, such as 10s, 5m, 1h
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    step: Duration,
    /// What bare numbers of times count; guessed if not given
    #[arg(long, value_name = "UNIT")]
    time_unit: Option<Unit>,
    /// Bad lines that are passed over; more are an error
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    max_bad_lines: u64,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    recorded: RecordedArgs,
}

/// How a query log is read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Query logs")]
struct LogArgs {
    /// Which column is what: time=NAME,operation=NAME,key=NAME,bytes=NAME,latency=NAME; numbers where there is no header
    #[arg(long, default_value = "", value_parser = columns, value_name = "ROLE=NAME,…", hide_default_value = true)]
    columns: ColumnMap,
    /// What the log calls operations, beside the usual words: 28=get,2a=put
    #[arg(long, default_value = "", value_parser = words, value_name = "WORD=OPERATION,…", hide_default_value = true)]
    ops: OperationWords,
    /// What stands between fields, where it is not comma, tab, semicolon or bar
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// What latencies count; by default what the column's name ends with, else us
    #[arg(long, value_name = "UNIT")]
    latency_unit: Option<Unit>,
    /// Shards to spread the keys over
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    shards: usize,
    /// How keys are spread: by hash as the store does it, or by ranges
    #[arg(long, default_value = "hash", value_parser = partitioning, value_name = "hash|range")]
    partitioning: Partitioning,
    /// Boundaries of the ranges, a key a line, percent-encoded; without it they are learned from the log, so that each has the same load
    #[arg(long, value_name = "FILE")]
    boundaries: Option<PathBuf>,
    /// Use the shards that this keyspace has in the cluster at --endpoint
    #[arg(long, conflicts_with_all = ["shards", "partitioning", "boundaries"], value_name = "NAME")]
    keyspace: Option<String>,
    /// How much later than the newest query one may stand in the log and still count in its step
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME")]
    lateness: Duration,
    /// Silence of all shards longer than this is missing data, not rest; at most 360 steps
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    gap: Duration,
    /// A query further ahead of the one before has a wrong time
    #[arg(long, default_value = "7d", value_parser = duration, value_name = "TIME")]
    max_jump: Duration,
    /// Share of all queries that the log holds
    #[arg(long, default_value_t = 1.0, value_parser = share, value_name = "SHARE")]
    sample_rate: f64,
}

/// How recorded load is read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recorded load")]
struct RecordedArgs {
    /// What the values count, where the file does not say
    #[arg(long, default_value = "load", value_parser = metric, value_name = "METRIC")]
    metric: Metric,
    /// Values are ever-growing counters: take their growth per second
    #[arg(long)]
    counters: bool,
    /// The label that tells shards apart (Prometheus)
    #[arg(long, default_value = "shard", value_name = "LABEL")]
    shard_label: String,
}

/// A unit of time.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::S => Self::S,
            Unit::Ms => Self::Ms,
            Unit::Us => Self::Us,
            Unit::Ns => Self::Ns,
        }
    }
}

pub(super) fn columns(text: &str) -> Result<ColumnMap, BadColumns> {
    ColumnMap::parse(text)
}

pub(super) fn words(text: &str) -> Result<OperationWords, BadWords> {
    OperationWords::with(text)
}

pub(super) fn partitioning(text: &str) -> Result<Partitioning, String> {
    match text {
        "hash" => Ok(Partitioning::Hash),
        "range" => Ok(Partitioning::Range),
        _ => Err("hash or range is wanted".into()),
    }
}

pub(super) fn metric(text: &str) -> Result<Metric, String> {
    metric_named(text).ok_or_else(|| "load, read-ops, write-ops, read-bytes or write-bytes is wanted".into())
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "a number above 0, up to 1, is wanted".into())
}

/// A time such as `250ms`, `10s`, `5m`, `1h`, `7d`; a bare number counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a number with ms, s, m, h or d behind it is wanted, such as 5m".into()),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| "a time above zero is wanted, such as 5m".into())
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What recorded load came to.
#[derive(Serialize)]
struct Recorded {
    values: u64,
    bad_lines: u64,
    /// Names that got numbers, where the file's shards have no numbers.
    shards: Vec<(String, isobar_model::ShardId)>,
}

impl Import {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        ensure!(
            self.out.is_some() || self.profile.is_some() || self.upload,
            "nowhere to put it: say --out FILE.csv, --profile FILE.json or --upload"
        );
        let step_ms = u32::try_from(ms(self.step)).context("a step is at most 49 days")?;
        if self.upload {
            let cluster_ms = client.status().await?.step_ms;
            ensure!(
                cluster_ms == step_ms,
                "the cluster's steps are {cluster_ms} ms long, these {step_ms} ms: say --step {cluster_ms}ms"
            );
        }
        match self.format {
            Format::Querylog => query_logs::run(&self, step_ms, client, output).await,
            Format::Csv | Format::Parquet | Format::Prometheus => self.recorded(step_ms, client, output).await,
        }
    }

    /// Reads recorded load whole, then gives it.
    async fn recorded(&self, step_ms: u32, client: &Client, output: &Output) -> anyhow::Result<()> {
        ensure!(self.profile.is_none(), "only query logs have profiles: recorded load knows no keys");
        let spec = LoadRecordSpec { step_ms, counters: self.recorded.counters };
        let (mut record, mut shards) = (LoadRecord::new(spec), ShardNames::default());
        let mut meter = Meter::new(output, "values");
        let mut progress = |p| meter.show(p);
        let (files, metric, bad) = (&self.files, self.recorded.metric, self.max_bad_lines);
        let unit = self.time_unit.map(TimeUnit::from);
        let report = match self.format {
            Format::Csv | Format::Querylog => {
                read_csv(files, metric, unit, bad, &mut record, &mut shards, &mut progress)
            }
            Format::Parquet => read_parquet(files, metric, unit, bad, &mut record, &mut shards, &mut progress),
            Format::Prometheus => {
                let label = &self.recorded.shard_label;
                read_prometheus(files, metric, label, bad, &mut record, &mut shards, &mut progress)
            }
        };
        meter.done();
        let report = report?;
        warn_of(&report);
        ensure!(!record.is_empty(), "there is no value in it");
        let mut sinks = Sinks::open(self.out.as_deref(), self.upload)?;
        record.give(&mut |batch| sinks.take(batch));
        sinks.finish(client, output).await?;
        let numbered = if shards.renumbered() { shards.all().to_vec() } else { Vec::new() };
        let recorded = Recorded { values: report.events, bad_lines: report.bad_lines, shards: numbered };
        output.show(&recorded, |out| {
            writeln!(out, "{} values of {} shards", recorded.values, shards.all().len())?;
            if recorded.shards.is_empty() {
                return Ok(());
            }
            let mut table = Table::new(&["shard", "name"]);
            recorded.shards.iter().for_each(|(name, shard)| table.row([shard.to_string(), name.clone()]));
            table.write(out)
        })
    }
}

/// Says on standard error which lines were passed over.
pub(super) fn warn_of(report: &ReadReport) {
    if report.bad_lines > 0 {
        eprintln!("{} bad lines were passed over, the first of them:", report.bad_lines);
        report.examples.iter().for_each(|line| eprintln!("  {line}"));
    }
}

/// A size for people, of what may be huge.
fn size(count: f64) -> String {
    bytes(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        let seconds = |text: &str| duration(text).map(|d| d.as_secs_f64());
        assert_eq!((seconds("250ms"), seconds("10"), seconds("5m")), (Ok(0.25), Ok(10.0), Ok(300.0)));
        assert_eq!((seconds("1h"), seconds("7d")), (Ok(3_600.0), Ok(604_800.0)));
        for bad in ["", "0s", "5x", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
