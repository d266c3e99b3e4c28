//! `isobar assess`: what moving shards would have done for a store that is not ours, from its log. Needs no cluster, moves nothing.

mod page;
mod policies;
mod record;
mod recorded_load;
mod run;
mod text;

use super::history_import::{Unit, columns, duration, metric, ms, partitioning, share, words};
use super::output::Output;
use crate::tool_policies::ToolPolicies;
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use isobar_intake::{ColumnMap, OperationWords};
use isobar_model::{Metric, Partitioning};
use isobar_sim::{AssessError, AssessSpec, Assessment, Findings};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Starts of a quick assessment.
const QUICK_SEEDS: u64 = 3;

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

/// What is assessed, and how.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Nothing is moved and nothing is sent anywhere: the files are read, and five ways of placing shards are tried on what they hold.

  static       a random placement, balanced by count, left alone
  packed       one placement, packed on the history
  reactive     moves once a node is overloaded
  predictive   moves by a forecast, through the very brain that drives a cluster
  clairvoyant  the same, knowing the future: what it still suffers, no moving can avoid

The first part of the record is history, which policies may learn from; the rest is the window they are tried on. Overload is load above
capacity, over capacity, summed over nodes and seconds. Capacity is HEADROOM x the load that the history stays below in 95 of 100 steps.

Examples:
  isobar assess queries.csv.gz --html report.html
  isobar assess --columns time=2,op=3,bytes=4,key=5 --ops 28=get,2a=put --partitioning range --html report.html io.csv
  isobar assess --format csv --nodes 12 --lead 1,6,12 --html report.html load-of-tenants.csv
  isobar assess --format prometheus --shard-label table --counters --metric read-ops --html report.html range.json
  isobar assess --quick --forecaster holt-winters --headroom 1.3 load.csv

A daily pattern takes two days of history at least, a weekly one two weeks. Two weeks and a half of record are a good start.")]
pub struct Assess {
    /// The files, as one record, the oldest first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are; by default what their names and first lines say
    #[arg(long)]
    format: Option<Format>,
    /// Nodes, all alike
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    nodes: usize,
    /// Capacities to try, as multiples of the usual peak
    #[arg(long, value_delimiter = ',', default_value = "1.1,1.3,1.5", value_name = "FACTOR,…")]
    headroom: Vec<f64>,
    /// Steps that a move takes from the decision to the effect, to try
    #[arg(long, value_delimiter = ',', default_value = "1,6,12", value_name = "STEPS,…")]
    lead: Vec<usize>,
    /// Length of a step, such as 10s, 5m, 1h; by default 5m, and shorter for records of less than three days
    #[arg(long, value_parser = duration, value_name = "TIME")]
    step: Option<Duration>,
    /// How much of the record is history; by default two thirds
    #[arg(long, value_parser = duration, value_name = "TIME")]
    history: Option<Duration>,
    /// Random starts
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    seeds: u64,
    /// Three starts: sooner done, wider intervals
    #[arg(long)]
    quick: bool,
    /// Most of a node that one shard may take; larger units are split in equal parts
    #[arg(long, default_value_t = 0.15, value_parser = share, value_name = "SHARE")]
    shard_share: f64,
    /// Units can't be split: each is a shard, however large
    #[arg(long)]
    whole: bool,
    /// Threads; by default a core each. The figures do not depend on it
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// The forecaster: one that comes with Isobar, or a component's file
    #[arg(long, default_value = "best", value_name = "NAME|FILE.wasm")]
    forecaster: String,
    /// The placer that moves by forecast: one that comes with Isobar, or a component's file
    #[arg(long, default_value = "predictive", value_name = "NAME|FILE.wasm")]
    placer: String,
    /// The forecaster's configuration
    #[arg(long, default_value = "{}", value_name = "JSON")]
    forecaster_config: String,
    /// The placer's configuration, such as '{"move_price_s": 12}'
    #[arg(long, default_value = "{}", value_name = "JSON")]
    placer_config: String,
    /// Run all policies as components in the sandbox, as a node does: takes longer
    #[arg(long)]
    wasm: bool,
    /// Write all figures there
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Write a page with plots there: one file that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
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
    /// Shards to spread the keys over
    #[arg(long, default_value_t = 64, value_name = "COUNT")]
    shards: usize,
    /// How keys are spread: by hash, or by ranges of even load, for which the log is read twice
    #[arg(long, default_value = "hash", value_parser = partitioning, value_name = "hash|range")]
    partitioning: Partitioning,
    /// A query further from the others than this has a wrong time
    #[arg(long, default_value = "7d", value_parser = duration, value_name = "TIME")]
    max_jump: Duration,
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
    /// What each unit stores, in bytes, to tell how much moves copy
    #[arg(long, value_name = "BYTES")]
    unit_bytes: Option<u64>,
}

/// All that came of it, as the file has it.
#[derive(Serialize)]
struct Report<'a> {
    /// Of this shape.
    version: u32,
    files: Vec<String>,
    forecaster: &'a str,
    forecaster_config: &'a str,
    placer: &'a str,
    placer_config: &'a str,
    seeds: Vec<u64>,
    record: &'a record::RecordFacts,
    /// What a reader must know of how the figures came about.
    remarks: &'a [String],
    /// None: the record is too short to try anything on it.
    findings: Option<&'a Findings>,
}

impl Assess {
    /// Reads, tries, reports: to standard output, and to the files asked for. `json`: the report as JSON instead of words.
    pub fn run(&self, json: bool) -> anyhow::Result<()> {
        let output = Output::new(json);
        let seeds: Vec<u64> = (1..=if self.quick { self.seeds.min(QUICK_SEEDS) } else { self.seeds }).collect();
        let mut spec = AssessSpec {
            nodes: self.nodes,
            headrooms: self.headroom.clone(),
            leads: self.lead.clone(),
            seeds: seeds.clone(),
            history_steps: None,
            shard_share: self.shard_share,
        };
        // What can't be is said before anything takes time.
        self.check()?;
        spec.check()?;
        let format = record::format_of(self)?;
        let tools = ToolPolicies::new(self.wasm);
        let chosen = |policy, config| policies::Chosen { policy, config };
        let policies = policies::open(
            &tools,
            &chosen(&self.forecaster, &self.forecaster_config),
            &chosen(&self.placer, &self.placer_config),
        )?;
        let mut record = record::read(self, format, &output)?;
        let step_ms = u64::from(record.facts.step_ms);
        spec.history_steps = self.history.map(|history| usize::try_from(ms(history) / step_ms)).transpose()?;
        if self.whole {
            record.units.iter_mut().for_each(|unit| unit.max_parts = 1);
        }
        let assessed = match Assessment::new(&record.units, record.facts.step_ms, spec, policies) {
            Ok(assessment) => {
                record.remark_on(assessment.facts());
                let threads =
                    self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
                let findings = run::all(&assessment, threads, &output)?;
                Some((assessment, findings))
            }
            // What the record holds can still be told.
            Err(error @ (AssessError::TooShort { .. } | AssessError::NoLoad(_))) => {
                record.remarks.push(format!("No placement was tried: {error}."));
                None
            }
            Err(error @ (AssessError::TooManyShards(_) | AssessError::BadSpec(_))) => return Err(error.into()),
        };
        let report = Report {
            version: 1,
            files: self.files.iter().map(|file| file.display().to_string()).collect(),
            forecaster: &self.forecaster,
            forecaster_config: &self.forecaster_config,
            placer: &self.placer,
            placer_config: &self.placer_config,
            seeds,
            record: &record.facts,
            remarks: &record.remarks,
            findings: assessed.as_ref().map(|(_, findings)| findings),
        };
        if let Some(path) = &self.out {
            let mut bytes = serde_json::to_vec_pretty(&report)?;
            bytes.push(b'\n');
            write_whole(path, &bytes)?;
        }
        if let Some(path) = &self.html {
            write_whole(path, page::html(&report, &record, assessed.as_ref()).as_bytes())?;
        }
        output.show(&report, |out| text::write(out, &report))
    }

    /// Settings that are used wherever a file is read.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.step.is_none_or(|step| ms(step) <= 86_400_000),
            "a step is a day at most: placement is asked about hours, not weeks"
        );
        ensure!(self.seeds >= 1, "at least one start is wanted: say --seeds 8");
        Ok(())
    }
}

/// Writes a file that appears under its name only when it is whole.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cant = || format!("can't write {}", path.display());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = std::fs::File::create(&part).with_context(cant)?;
    file.write_all(bytes).with_context(cant)?;
    std::fs::rename(&part, path).with_context(cant)
}
