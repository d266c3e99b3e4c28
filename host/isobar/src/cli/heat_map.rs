//! `isobar heatmap`.

use super::output::{Output, instant, load, or_dash};
use crate::client::Client;
use clap::{Args, ValueEnum};
use isobar_api::{HeatMapInfo, HeatMapQuery, HeatMapRow};
use std::io::{self, IsTerminal, Write};

/// Cold to hot, of the 256 colours of a terminal.
const COLOURS: [u8; 10] = [17, 19, 25, 31, 37, 71, 142, 178, 202, 196];
/// Cold to hot, without colours.
const SIGNS: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// How far to look.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  isobar heatmap\n  isobar heatmap --past 48 --future 24 --rows 20")]
pub struct HeatMap {
    /// Steps back
    #[arg(long, default_value_t = 36)]
    past: u32,
    /// Steps ahead
    #[arg(long, default_value_t = 12)]
    future: u32,
    /// Most shards, the hottest first
    #[arg(long, default_value_t = 40)]
    rows: usize,
    /// Whether to colour
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    color: When,
}

/// Whether to colour.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
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

impl HeatMap {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let map = client.heat_map(&HeatMapQuery { past: Some(self.past), future: Some(self.future) }).await?;
        output.show(&map, |out| draw(&map, self.rows, self.color.holds(), out))
    }
}

fn peak(row: &HeatMapRow) -> f32 {
    row.load.iter().copied().flatten().fold(0.0, f32::max)
}

fn draw(map: &HeatMapInfo, most: usize, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut rows: Vec<_> = map.rows.iter().collect();
    // The hottest first; shards of equal peaks by number, so that the picture stands still.
    rows.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then(a.shard.cmp(&b.shard)));
    let hottest = rows.first().map_or(0.0, |row| peak(row));
    let label = |row: &HeatMapRow| format!("{} {}@{}", row.shard, row.keyspace, or_dash(row.leader));
    let left = rows.iter().take(most).map(|row| label(row).chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "{} steps of {} min from {}, then {} forecast after the bar; hottest {} load units/s",
        map.past,
        f64::from(map.step_ms) / 60_000.0,
        instant(map.start),
        map.future,
        load(Some(hottest)),
    )?;
    for row in rows.iter().take(most) {
        write!(out, "{:left$} ", label(row))?;
        for (column, &value) in row.load.iter().enumerate() {
            if column == map.past as usize {
                write!(out, "|")?;
            }
            cell(value, hottest, colour, out)?;
        }
        writeln!(out, " {}", load(Some(peak(row))))?;
    }
    let hidden = rows.len().saturating_sub(most);
    if hidden > 0 { writeln!(out, "{hidden} cooler shards are left out: raise --rows") } else { Ok(()) }
}

fn cell(value: Option<f32>, hottest: f32, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(value) = value else {
        return write!(out, "?");
    };
    let share = if hottest > 0.0 { (value / hottest).clamp(0.0, 1.0) } else { 0.0 };
    let level = ((share * COLOURS.len() as f32) as usize).min(COLOURS.len() - 1);
    if colour { write!(out, "\x1b[48;5;{}m \x1b[0m", COLOURS[level]) } else { write!(out, "{}", SIGNS[level]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, NodeId, ShardId};

    #[test]
    fn the_hottest_stands_first_and_the_future_behind_the_bar() {
        let row = |shard, load: &[Option<f32>]| HeatMapRow {
            shard: ShardId(shard),
            keyspace: "t".into(),
            leader: Some(NodeId(3)),
            load: load.to_vec(),
        };
        let map = HeatMapInfo {
            start: InstantMs(0),
            step_ms: 300_000,
            past: 2,
            future: 1,
            rows: vec![
                row(1, &[Some(0.0), None, Some(5.0)]),
                row(2, &[Some(1.0), Some(5.0), Some(10.0)]),
                row(3, &[Some(0.0); 3]),
            ],
        };
        let mut out = Vec::new();
        draw(&map, 2, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines, ["2 t@3 .+|@ 10.0", "1 t@3  ?|+ 5.0", "1 cooler shards are left out: raise --rows"]);
    }
}
