//! `isobar heatmap`: on the terminal, or as a picture.

mod chart;
mod palette;
mod png;
mod svg;
mod terminal;

use super::history::metric;
use super::output::{Output, bytes, load, or_dash};
use crate::client::Client;
use anyhow::{Context as _, bail};
use chart::Chart;
use clap::{Args, ValueEnum};
use isobar_api::{HeatMapInfo, HeatMapQuery, HeatMapRow};
use isobar_model::Metric;
use isobar_model::history::Resolution;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Most columns on a terminal where nobody says: they fit beside the shards' names on a wide one.
const TERMINAL_COLUMNS: u32 = 120;
/// Most columns of a picture where nobody says: a pixel or more each, as wide as a screen.
const PICTURE_COLUMNS: u32 = 2_000;
/// Most columns that are asked for; the API has the same bound.
const MAX_COLUMNS: i64 = 4_096;
/// Most rows, likewise.
const MAX_ROWS: i64 = 2_000;

/// What to show, and where.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  isobar heatmap\n  isobar heatmap --past 48 --future 24 --rows 20\n  isobar heatmap --past 2016 --rows 200 --out week.png\n  isobar heatmap --metric read-bytes --past 288 --resolution 1h --out reads.svg\n\nNothing but load is forecast: of the other metrics, what was measured is shown."
)]
pub struct HeatMap {
    /// What is counted: load, read-ops, write-ops, read-bytes or write-bytes
    #[arg(long, default_value = "load", value_parser = metric)]
    metric: Metric,
    /// Steps back; a step is the cluster's own, of operations and bytes 5 minutes (an hour with --resolution 1h)
    #[arg(long, default_value_t = 36)]
    past: u32,
    /// Steps ahead, of load 12 where left out
    #[arg(long)]
    future: Option<u32>,
    /// Shortest column: 10s, 1m, 5m, 1h, or auto for a step; it shows the highest of its steps
    #[arg(long, default_value_t = Resolution::Auto)]
    resolution: Resolution,
    /// Most columns, 120 where left out, of a picture 2000; where there are more steps, several share one
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=MAX_COLUMNS))]
    columns: Option<u32>,
    /// Most shards, those with the highest peaks
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=MAX_ROWS))]
    rows: u32,
    /// Which shard stands first
    #[arg(long, default_value = "heat", value_name = "WHICH")]
    order: Order,
    /// Write a picture to this file instead; its ending says which kind, .svg or .png
    #[arg(long)]
    out: Option<PathBuf>,
    /// Whether to colour the terminal
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: When,
}

/// Which shard stands first.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The one with the highest peak
    Heat,
    /// The one with the first keys of its keyspace; rows are named by their key ranges
    Key,
}

/// Whether to colour.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl When {
    fn holds(self) -> bool {
        match self {
            Self::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// A kind of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    Svg,
    Png,
}

impl Picture {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some(_) | None => {
                bail!("{}: the file's ending says which kind of picture it is, .svg or .png", path.display())
            }
        }
    }

    fn write(self, chart: &Chart, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Svg => svg::write(chart, out),
            Self::Png => png::write(chart, out),
        }
    }
}

impl HeatMap {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        // Asked before the node is: a file that can't be named is no reason to make it draw.
        let picture = self.out.as_deref().map(Picture::of).transpose()?;
        let columns = if picture.is_some() { PICTURE_COLUMNS } else { TERMINAL_COLUMNS };
        let query = HeatMapQuery {
            metric: Some(self.metric),
            past: Some(self.past),
            future: self.future,
            resolution: Some(self.resolution),
            columns: Some(self.columns.unwrap_or(columns)),
            rows: Some(self.rows),
        };
        let map = client.heat_map(&query).await?;
        let (Some(picture), Some(path)) = (picture, &self.out) else {
            return output.show(&map, |out| terminal::draw(&map, self.order, self.color.holds(), out));
        };
        if map.rows.is_empty() || map.past + map.future == 0 {
            bail!("nothing is known of any shard yet: ask again when the first step has ended");
        }
        let chart = Chart::new(&map, self.order);
        let unwritten = || format!("{} could not be written", path.display());
        let mut file = BufWriter::new(File::create(path).with_context(unwritten)?);
        picture.write(&chart, &mut file)?;
        file.flush().with_context(unwritten)?;
        let shards = map.rows.len();
        let done = serde_json::json!({"file": path, "shards": shards, "columns": map.past + map.future});
        output.show(&done, |out| writeln!(out, "{shards} shards are drawn in {}", path.display()))
    }
}

/// Rows in the order in which they are shown, each with its name.
fn named_rows(map: &HeatMapInfo, order: Order) -> Vec<(String, &HeatMapRow)> {
    let mut rows: Vec<_> = map.rows.iter().collect();
    match order {
        // Shards of equal peaks by number, so that the picture stands still.
        Order::Heat => rows.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then(a.shard.cmp(&b.shard))),
        // Of a text of percent-encoded bytes, the order is not that of the bytes.
        Order::Key => {
            rows.sort_by_cached_key(|row| (row.keyspace.clone(), isobar_api::decode_key(&row.start), row.shard))
        }
    }
    let name = |row: &HeatMapRow| match order {
        Order::Heat => format!("{} {}@{}", row.shard, row.keyspace, or_dash(row.leader)),
        Order::Key => {
            let end = row.end.as_deref().unwrap_or_default();
            format!("{} {} {}..{end}", row.shard, row.keyspace, row.start)
        }
    };
    rows.into_iter().map(|row| (name(row), row)).collect()
}

fn peak(row: &HeatMapRow) -> f32 {
    row.values.iter().copied().flatten().fold(0.0, f32::max)
}

fn hottest(map: &HeatMapInfo) -> f32 {
    map.rows.iter().map(peak).fold(0.0, f32::max)
}

/// Which of so many levels a value is on, the hottest being on the last.
fn level(value: f32, hottest: f32, levels: usize) -> usize {
    let share = if hottest > 0.0 { (value / hottest).clamp(0.0, 1.0) } else { 0.0 };
    ((share * levels as f32) as usize).min(levels - 1)
}

/// A value of a metric, without its unit's name.
fn amount(metric: Metric, value: f32) -> String {
    match metric {
        Metric::Load | Metric::ReadOps | Metric::WriteOps | Metric::StorageIops | Metric::CpuMillicores => {
            load(Some(value))
        }
        Metric::ReadBytes | Metric::WriteBytes | Metric::MemoryBytes | Metric::NetworkBytes => bytes(value as u64),
    }
}

/// What follows the value.
fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Load => "load units/s",
        Metric::ReadOps => "reads/s",
        Metric::WriteOps => "writes/s",
        Metric::ReadBytes => "read/s",
        Metric::WriteBytes => "written/s",
        Metric::StorageIops => "storage operations/s",
        Metric::CpuMillicores => "millicores",
        Metric::MemoryBytes => "resident",
        Metric::NetworkBytes => "sent and received/s",
    }
}

/// Length of a column.
fn length(column_ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = units.into_iter().find(|(ms, _)| column_ms >= *ms && column_ms.is_multiple_of(*ms));
    whole.map_or_else(|| format!("{column_ms} ms"), |(ms, name)| format!("{} {name}", column_ms / ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, NodeId, ShardId};

    /// Two measured columns and one forecast, from 2013-08-12 13:40 on; nothing is known of shard 1 in the second.
    pub(super) fn map() -> HeatMapInfo {
        let row = |shard, start: &str, values: &[Option<f32>]| HeatMapRow {
            shard: ShardId(shard),
            keyspace: "t".into(),
            start: start.into(),
            end: None,
            leader: Some(NodeId(3)),
            values: values.to_vec(),
        };
        HeatMapInfo {
            metric: Metric::Load,
            start: InstantMs(1_376_314_800_000),
            column_ms: 300_000,
            past: 2,
            future: 1,
            rows: vec![
                row(1, "b", &[Some(0.0), None, Some(5.0)]),
                row(2, "~", &[Some(1.0), Some(5.0), Some(10.0)]),
                row(3, "%ff", &[Some(0.0); 3]),
            ],
            omitted: 4,
        }
    }

    #[test]
    fn rows_stand_by_heat_or_by_key() {
        let map = map();
        let names = |order| named_rows(&map, order).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Order::Heat), ["2 t@3", "1 t@3", "3 t@3"]);
        assert_eq!(names(Order::Key), ["1 t b..", "2 t ~..", "3 t %ff.."]);
    }

    #[test]
    fn the_ending_says_which_picture() {
        assert_eq!(Picture::of(Path::new("a/b.svg")).unwrap(), Picture::Svg);
        assert_eq!(Picture::of(Path::new("B.PNG")).unwrap(), Picture::Png);
        for odd in ["a.jpg", "svg", ""] {
            assert!(Picture::of(Path::new(odd)).unwrap_err().to_string().contains(".svg or .png"), "{odd}");
        }
    }

    #[test]
    fn lengths_and_amounts_have_their_units() {
        assert_eq!(
            [300_000, 3_600_000, 5_400_000, 10_000, 1_500].map(length),
            ["5 min", "1 h", "90 min", "10 s", "1500 ms"]
        );
        assert_eq!((amount(Metric::Load, 1.25), amount(Metric::ReadBytes, 1536.0)), ("1.2".into(), "1.5 KiB".into()));
    }

    #[test]
    fn levels_reach_from_nothing_to_the_hottest() {
        assert_eq!([0.0, 4.9, 5.0, 10.0, 11.0, -1.0].map(|value| level(value, 10.0, 2)), [0, 0, 1, 1, 1, 0]);
        assert_eq!(level(0.0, 0.0, 10), 0);
    }
}
