//! `isobar history`.

use super::export::{Export, FileKind};
use super::history_import::Import;
use super::output::{Output, Table, instant};
use crate::client::Client;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use isobar_api::HistoryAsk;
use isobar_model::history::{HistoryPage, Resolution, Step};
use isobar_model::{InstantMs, Metric, ShardId};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NameError;
use std::io::{self, Write};
use std::path::PathBuf;

/// Columns of the line that `show` draws of a shard.
const LINE_COLUMNS: usize = 60;
/// Low to high.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A command about recorded history.
#[derive(Subcommand, Clone, Debug)]
pub enum HistoryCommand {
    /// Show what shards did
    #[command(
        after_help = "Examples:\n  isobar history show\n  isobar history show --shard 7 --from 2d --resolution 1h\n  isobar history show --metric read-bytes --from 7d\n\nHistory is kept at 10 s for 6 hours, 1 min for 2 days, 5 min for 4 weeks, 1 h for 13 months."
    )]
    Show(Show),
    /// Write what shards did to a file, CSV or Parquet
    #[command(
        after_help = "Examples:\n  isobar history export --out week.parquet --resolution 5m --from 7d\n  isobar history export --out shard.csv --shard 7 --metric write-ops --resolution 1h\n\nA line a step that anything is known of: time (start of the step, milliseconds since the Unix epoch), shard, metric, value\n(mean per second), max, coverage (share of the step measured). `isobar history import` reads both kinds."
    )]
    Export(ExportArgs),
    /// Read load from elsewhere: a query log, recorded load as CSV or Parquet, a Prometheus export
    Import(Box<Import>),
}

/// Which part of history.
#[derive(Args, Clone, Debug)]
pub(super) struct Part {
    /// What is counted: load, read-ops, write-ops, read-bytes or write-bytes
    #[arg(long, default_value = "load", value_parser = metric)]
    metric: Metric,
    /// Length of a step: 10s, 1m, 5m, 1h or auto
    #[arg(long, default_value_t = Resolution::Auto)]
    resolution: Resolution,
    /// From when: so long ago (90m, 6h, 7d), or milliseconds since the Unix epoch
    #[arg(long, value_parser = when)]
    from: Option<When>,
    /// Until when, likewise
    #[arg(long, value_parser = when)]
    to: Option<When>,
    /// Shards, with commas; all where left out
    #[arg(long)]
    shard: Option<String>,
}

/// How to show it.
#[derive(Args, Clone, Debug)]
pub struct Show {
    #[command(flatten)]
    part: Part,
    /// Most shards, the highest peaks first
    #[arg(long, default_value_t = 20)]
    rows: usize,
}

/// Where to write it.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    part: Part,
    /// The file; its ending says which kind
    #[arg(long)]
    out: PathBuf,
    /// The kind, where the ending does not say
    #[arg(long)]
    format: Option<FileKind>,
}

/// An instant, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    At(InstantMs),
    AgoMs(u64),
}

pub(super) fn metric(name: &str) -> Result<Metric, String> {
    let parsed: Result<Metric, NameError> = Metric::deserialize(name.into_deserializer());
    parsed.map_err(|_| "give load, read-ops, write-ops, read-bytes or write-bytes".to_owned())
}

fn when(text: &str) -> Result<When, String> {
    let bad = || format!("{text:?} is neither so long ago (90m, 6h, 7d) nor milliseconds since the Unix epoch");
    let unit_ms = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        Some(_) | None => return text.parse().map(|ms| When::At(InstantMs(ms))).map_err(|_| bad()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    count.checked_mul(unit_ms).map(When::AgoMs).ok_or_else(bad)
}

impl Part {
    /// The first page's question. Ago is before the cluster's own clock, which may not be this machine's.
    async fn ask(&self, client: &Client) -> anyhow::Result<HistoryAsk> {
        let is_ago = |when: &Option<When>| matches!(when, Some(When::AgoMs(_)));
        let now = if is_ago(&self.from) || is_ago(&self.to) { client.status().await?.now } else { InstantMs(0) };
        let at = |when: When| match when {
            When::At(at) => at,
            When::AgoMs(ms) => InstantMs(now.0.saturating_sub(ms)),
        };
        Ok(HistoryAsk {
            metric: Some(self.metric),
            resolution: Some(self.resolution),
            from: self.from.map(at),
            to: self.to.map(at),
            shard: self.shard.clone(),
            after: None,
        })
    }
}

/// The question for the page after this one: of the same steps.
fn next_page(ask: &HistoryAsk, page: &HistoryPage<ShardId>) -> Option<HistoryAsk> {
    let after = page.next?;
    let of = |resolution: &Resolution| resolution.step_ms() == Some(page.step_ms);
    Some(HistoryAsk {
        resolution: Resolution::ALL.into_iter().find(of).or(ask.resolution),
        from: Some(page.start),
        to: Some(page.start.plus_ms(u64::from(page.steps) * u64::from(page.step_ms))),
        after: Some(after),
        ..ask.clone()
    })
}

impl HistoryCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Show(show) => show.run(client, output).await,
            Self::Export(export) => export.run(client, output).await,
            Self::Import(import) => import.run(client, output).await,
        }
    }
}

impl Show {
    async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let mut ask = Some(self.part.ask(client).await?);
        let mut whole: Option<HistoryPage<ShardId>> = None;
        while let Some(asked) = ask {
            let page = client.history_page(&asked).await?;
            ask = next_page(&asked, &page);
            let whole = whole.get_or_insert_with(|| HistoryPage { rows: Vec::new(), ..page.clone() });
            whole.rows.extend(page.rows);
            whole.next = page.next;
        }
        let Some(whole) = whole else { return Ok(()) };
        output.show(&whole, |out| draw(&whole, self.rows, out))
    }
}

impl ExportArgs {
    async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let kind = self.format.or_else(|| FileKind::of(&self.out)).context(
            "the file's ending is neither .csv nor .parquet: say which kind it is to be with --format csv or --format parquet",
        )?;
        let all = match &self.part.shard {
            Some(list) => list.split(',').count() as u64,
            None => client.status().await?.shards,
        };
        let mut ask = Some(self.part.ask(client).await?);
        let mut export = Export::create(&self.out, kind, self.part.metric)?;
        while let Some(asked) = ask {
            let page = client.history_page(&asked).await?;
            ask = next_page(&asked, &page);
            export.page(&page)?;
            let (shards, lines) = export.written();
            output.progress(&format!("{shards} of {all} shards, {lines} lines ..."));
        }
        let (shards, lines) = export.written();
        export.finish().with_context(|| format!("{} could not be written to its end", self.out.display()))?;
        output.progress_done();
        let done = serde_json::json!({"file": self.out, "shards": shards, "lines": lines});
        output.show(&done, |out| writeln!(out, "{lines} lines of {shards} shards are in {}", self.out.display()))
    }
}

fn peak(steps: &[Step]) -> f32 {
    steps.iter().map(|step| step.peak).filter(|peak| peak.is_finite()).fold(0.0, f32::max)
}

fn draw(page: &HistoryPage<ShardId>, most: usize, out: &mut dyn Write) -> io::Result<()> {
    let seconds = f64::from(page.step_ms) / 1000.0;
    writeln!(out, "{} steps of {seconds} s from {}", page.steps, instant(page.start))?;
    let mut rows: Vec<_> = page.rows.iter().collect();
    rows.sort_by(|a, b| peak(&b.steps).total_cmp(&peak(&a.steps)).then(a.key.cmp(&b.key)));
    let mut table = Table::new(&["shard", "mean", "max", "known %", "peaks"]);
    for row in rows.iter().take(most) {
        let covered: f32 = row.steps.iter().map(|step| step.coverage).sum();
        let weighted = row.steps.iter().filter(|step| step.coverage > 0.0).map(|step| step.mean * step.coverage);
        let mean = if covered > 0.0 { format!("{:.1}", weighted.sum::<f32>() / covered) } else { "-".to_owned() };
        table.row([
            row.key.to_string(),
            mean,
            format!("{:.1}", peak(&row.steps)),
            format!("{:.0}", 100.0 * covered / row.steps.len().max(1) as f32),
            line(&row.steps),
        ]);
    }
    table.write(out)?;
    let hidden = rows.len().saturating_sub(most);
    if hidden > 0 { writeln!(out, "{hidden} more shards are left out: raise --rows") } else { Ok(()) }
}

/// Peaks as a line, a column each or the highest of several steps; a dot where nothing is known.
fn line(steps: &[Step]) -> String {
    let top = peak(steps).max(f32::MIN_POSITIVE);
    let each = steps.len().div_ceil(LINE_COLUMNS).max(1);
    let column = |steps: &[Step]| {
        let known = steps.iter().map(|step| step.peak).filter(|peak| peak.is_finite());
        known.reduce(f32::max).map_or('.', |peak| BARS[((peak / top * 8.0) as usize).min(BARS.len() - 1)])
    };
    steps.chunks(each).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::history::HistoryRow;

    #[test]
    fn instants_are_read_as_such_or_as_ago() {
        assert_eq!(when("1700000000000"), Ok(When::At(InstantMs(1_700_000_000_000))));
        assert_eq!((when("90m"), when("7d")), (Ok(When::AgoMs(5_400_000)), Ok(When::AgoMs(604_800_000))));
        for odd in ["", "m", "-5h", "yesterday", "5w", "99999999999999999999d"] {
            assert!(when(odd).unwrap_err().contains("so long ago"), "{odd}");
        }
        assert_eq!((metric("read-bytes"), metric("load")), (Ok(Metric::ReadBytes), Ok(Metric::Load)));
        assert!(metric("vibes").is_err());
    }

    #[test]
    fn the_highest_peak_stands_first_and_gaps_are_dots() {
        let step = |peak| Step { mean: peak / 2.0, peak, coverage: 1.0 };
        let row = |shard, steps: &[Step]| HistoryRow { key: ShardId(shard), steps: steps.to_vec() };
        let page = HistoryPage {
            start: InstantMs(0),
            step_ms: 60_000,
            steps: 3,
            rows: vec![row(1, &[step(1.0), Step::MISSING, step(1.0)]), row(2, &[step(0.0), step(4.0), step(8.0)])],
            next: None,
        };
        let mut out = Vec::new();
        draw(&page, 5, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [["2", "2.0", "8.0", "100", "▁▅█"], ["1", "0.5", "1.0", "67", "█.█"]]);
    }

    #[test]
    fn the_next_page_is_of_the_same_steps() {
        let ask = HistoryAsk { resolution: Some(Resolution::Auto), shard: Some("1,2".into()), ..HistoryAsk::default() };
        let page =
            HistoryPage { start: InstantMs(600_000), step_ms: 60_000, steps: 5, rows: vec![], next: Some(ShardId(1)) };
        let next = next_page(&ask, &page).unwrap();
        assert_eq!((next.resolution, next.after), (Some(Resolution::Minute), Some(ShardId(1))));
        assert_eq!((next.from, next.to), (Some(InstantMs(600_000)), Some(InstantMs(900_000))));
        assert_eq!(next_page(&ask, &HistoryPage { next: None, ..page }), None);
    }
}
