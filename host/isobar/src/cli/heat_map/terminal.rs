//! The heat map on a terminal, a character a column.

use super::super::output::instant;
use super::{Order, amount, hottest, length, level, named_rows, peak, unit};
use isobar_api::HeatMapInfo;
use std::io::{self, Write};

/// Cold to hot, of the 256 colours of a terminal.
const COLOURS: [u8; 10] = [17, 19, 25, 31, 37, 71, 142, 178, 202, 196];
/// Cold to hot, without colours.
const SIGNS: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

pub(super) fn draw(map: &HeatMapInfo, order: Order, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let rows = named_rows(map, order);
    let hottest = hottest(map);
    let left = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let ahead = if map.future > 0 { format!(", then {} forecast after the bar", map.future) } else { String::new() };
    writeln!(
        out,
        "{} columns of {} from {}{ahead}; hottest {} {}",
        map.past,
        length(map.column_ms),
        instant(map.start),
        amount(map.metric, hottest),
        unit(map.metric),
    )?;
    for (name, row) in rows {
        write!(out, "{name:left$} ")?;
        for (column, &value) in row.values.iter().enumerate() {
            if column == map.past as usize {
                write!(out, "|")?;
            }
            cell(value, hottest, colour, out)?;
        }
        writeln!(out, " {}", amount(map.metric, peak(row)))?;
    }
    match map.omitted {
        0 => Ok(()),
        omitted => writeln!(out, "{omitted} cooler shards are left out: raise --rows"),
    }
}

fn cell(value: Option<f32>, hottest: f32, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(value) = value else {
        return write!(out, "?");
    };
    let level = level(value, hottest, COLOURS.len());
    if colour { write!(out, "\x1b[48;5;{}m \x1b[0m", COLOURS[level]) } else { write!(out, "{}", SIGNS[level]) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::map;
    use super::*;

    #[test]
    fn the_hottest_stands_first_and_the_future_behind_the_bar() {
        let mut out = Vec::new();
        draw(&map(), Order::Heat, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "2 columns of 5 min from 2013-08-12 13:40:00, then 1 forecast after the bar; hottest 10.0 load units/s",
                "2 t@3 .+|@ 10.0",
                "1 t@3  ?|+ 5.0",
                "3 t@3   |  0.0",
                "4 cooler shards are left out: raise --rows"
            ]
        );
    }
}
