//! Tables, JSON, times and progress on a terminal.

use isobar_model::InstantMs;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How answers are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    progress: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, progress: !json && io::stderr().is_terminal() }
    }

    /// Shows `answer` as JSON where asked for, else by `show`.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        answer: &T,
        show: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer_pretty(&mut out, answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            show(&mut out)?;
        }
        Ok(out.flush()?)
    }

    /// One line of JSON, for streams.
    pub(super) fn line<T: Serialize>(&self, answer: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, answer).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", text())?;
        }
        Ok(out.flush()?)
    }

    /// Shows how far a wait is, in place; nothing where nobody looks on.
    pub(crate) fn progress(&self, text: &str) {
        if self.progress {
            eprint!("\r\x1b[2K{text}");
            let _ = io::stderr().flush();
        }
    }

    /// Clears the progress.
    pub(crate) fn progress_done(&self) {
        if self.progress {
            eprint!("\r\x1b[2K");
            let _ = io::stderr().flush();
        }
    }
}

/// Rows under a header, columns as wide as their widest cell; numbers to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(cells.into());
    }

    /// The same where the number of columns is known only to the caller; missing cells stay empty, those beyond the header are left out.
    pub(crate) fn push(&mut self, mut cells: Vec<String>) {
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return writeln!(out, "none");
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.header[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.header.len()).map(width).collect();
        let numeric: Vec<_> = (0..self.header.len()).map(|c| self.rows.iter().all(|row| is_number(&row[c]))).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (column, cell) in cells.enumerate() {
                let blank = " ".repeat(widths[column] - cell.chars().count());
                let (before, after) = if numeric[column] { (blank.as_str(), "") } else { ("", blank.as_str()) };
                text.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(out, "{}", text.trim_end())
        };
        line(&mut self.header.iter().copied())?;
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
}

fn is_number(cell: &str) -> bool {
    cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains([':', '/', 'a', 'e'])
}

/// Values shown as a plain dash where there are none.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A load, to a tenth.
pub(super) fn load(value: Option<f32>) -> String {
    or_dash(value.map(|value| format!("{value:.1}")))
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// An instant as date and time, UTC.
pub(super) fn instant(at: InstantMs) -> String {
    let seconds = at.0 / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let time = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// How a word of the API is written there: `catch-up`, `auto`.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// Bytes as text where they are text that can be shown, else percent-encoded.
pub(super) fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => isobar_api::encode_key(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_dates() {
        assert_eq!(instant(InstantMs(0)), "1970-01-01 00:00:00");
        assert_eq!(instant(InstantMs(1_376_314_846_000)), "2013-08-12 13:40:46");
        assert_eq!(instant(InstantMs(1_709_164_800_000)), "2024-02-29 00:00:00");
        assert_eq!(instant(InstantMs(4_102_444_799_000)), "2099-12-31 23:59:59");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::new(&["name", "load"]);
        table.row(["a".into(), "1.5".into()]);
        table.row(["longer".into(), "120.0".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "name     load\na         1.5\nlonger  120.0\n");
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(73_400_320), "70.0 MiB");
    }
}
