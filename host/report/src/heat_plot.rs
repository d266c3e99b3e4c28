//! Heat maps: rows of values over an axis, as colours.

use crate::axis::{Axis, drawable};
use crate::figure::{GAP, LETTER, TEXT_LINE, WIDTH, width_of, write_figure, x_range};
use crate::markup::{Escaped, cut};
use crate::number::short;
use crate::palette::{LEVELS, heat};
use crate::table::Table;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most rows and columns that are drawn: as many as can be told apart, and a picture of a few hundred kilobytes at most.
const MAX_ROWS: usize = 96;
const MAX_COLUMNS: usize = 240;
/// Longest name beside a row.
const MAX_ROW_NAME: usize = 24;

/// What becomes of values for which there is no cell of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their mean.
    Mean,
    /// The highest: short peaks stay to be seen.
    Highest,
}

/// A heat map. Beyond 96 rows or 240 columns neighbours share a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatPlot {
    title: String,
    what: String,
    x: Axis,
    span: (f64, f64),
    unit: String,
    rows: Vec<(String, Vec<f32>)>,
    aggregate: Aggregate,
}

impl HeatPlot {
    /// An empty heat map whose rows reach from the first to the second value of `span` on the x axis; `unit` is what the colours count.
    #[must_use]
    pub fn new(
        title: impl Into<String>,
        x: Axis,
        span: (f64, f64),
        unit: impl Into<String>,
        aggregate: Aggregate,
    ) -> Self {
        Self { title: title.into(), what: String::new(), x, span, unit: unit.into(), rows: Vec::new(), aggregate }
    }

    /// What is to be seen, in a sentence.
    #[must_use]
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// Adds a row. What is no number is missing, and so is what a row lacks at its end.
    #[must_use]
    pub fn row(mut self, name: impl Into<String>, values: Vec<f32>) -> Self {
        self.rows.push((name.into(), values));
        self
    }

    /// Rows as they are drawn: names and values.
    fn cells(&self) -> Vec<(String, Vec<Option<f64>>)> {
        let columns = self.rows.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let (high, wide) = (self.rows.len().div_ceil(MAX_ROWS).max(1), columns.div_ceil(MAX_COLUMNS).max(1));
        let cells = |rows: &[(String, Vec<f32>)]| {
            let name = match rows {
                [(name, _)] => name.clone(),
                [(first, _), .., (last, _)] => format!("{} … {}", cut(first, 10), cut(last, 10)),
                [] => String::new(),
            };
            let cell = |column: usize| {
                let values = rows.iter().flat_map(|(_, values)| values.iter().skip(column * wide).take(wide));
                let (mut sum, mut highest, mut count) = (0.0, f64::NEG_INFINITY, 0_usize);
                for value in values.map(|value| f64::from(*value)).filter(|value| drawable(*value)) {
                    (sum, highest, count) = (sum + value, highest.max(value), count + 1);
                }
                (count > 0).then(|| match self.aggregate {
                    Aggregate::Mean => sum / count as f64,
                    Aggregate::Highest => highest,
                })
            };
            (name, (0..columns.div_ceil(wide)).map(cell).collect())
        };
        self.rows.chunks(high).map(cells).collect()
    }

    pub(crate) fn write(&self, out: &mut String, number: usize) {
        let cells = self.cells();
        let columns = cells.first().map_or(0, |(_, values)| values.len());
        let all = || cells.iter().flat_map(|(_, values)| values).flatten().copied();
        let (low, high) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
        let level = |value: f64| ((value - low) / (high - low).max(f64::MIN_POSITIVE) * (LEVELS - 1) as f64) as usize;
        let names: Vec<String> = cells.iter().map(|(name, _)| cut(name, MAX_ROW_NAME)).collect();
        let left = names.iter().map(|name| width_of(name)).fold(0.0, f64::max) + GAP;
        let (right, top) = (WIDTH - 2.0 * GAP, 4.0);
        let tall = (420.0 / cells.len().max(1) as f64).clamp(4.0, 22.0).floor();
        let wide = (right - left) / columns.max(1) as f64;
        let bottom = top + tall * cells.len().max(1) as f64;
        let mut svg = format!(
            "<defs><pattern id=\"m{number}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path style=\"fill:var(--missing)\" \
             d=\"M0 0h6v6h-6z\"/><path style=\"stroke:var(--hatch)\" d=\"M0 6L6 0M-1 1L1 -1M5 7L7 5\"/></pattern></defs>\n"
        );
        // A path a colour; neighbours of the same colour are one rectangle.
        let mut paths: BTreeMap<Option<usize>, String> = BTreeMap::new();
        for (row, (_, values)) in cells.iter().enumerate() {
            let levels: Vec<Option<usize>> = values.iter().map(|value| value.map(level)).collect();
            let mut column = 0;
            for run in levels.chunk_by(|a, b| a == b) {
                let (x, y, run_wide) = (left + column as f64 * wide, top + row as f64 * tall, run.len() as f64 * wide);
                let path = paths.entry(run[0]).or_default();
                let _ = write!(path, "M{x:.2} {y:.0}h{run_wide:.2}v{tall:.0}h-{run_wide:.2}z");
                column += run.len();
            }
        }
        for (level, path) in &paths {
            let fill = level.map_or_else(|| format!("url(#m{number})"), heat);
            let _ = writeln!(svg, "<path shape-rendering=\"crispEdges\" fill=\"{fill}\" d=\"{path}\"/>");
        }
        // Where rows are lower than letters, only some are named.
        let every = (13.0 / tall).ceil().max(1.0) as usize;
        for (row, name) in names.iter().enumerate().step_by(every) {
            let y = top + (row as f64 + 0.5) * tall + 4.0;
            let _ = writeln!(
                svg,
                "<text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
                left - GAP / 2.0,
                Escaped(name)
            );
        }
        let (from, to) = self.span;
        if drawable(from) && drawable(to) && from < to {
            let range = x_range(&self.x, [from, to].into_iter());
            let mut free = f64::NEG_INFINITY;
            for (value, text) in range.ticks().into_iter().filter(|(value, _)| (from..=to).contains(value)) {
                let x = left + (value - from) / (to - from) * (right - left);
                let half = width_of(&text) / 2.0;
                let _ = write!(svg, "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>");
                if x - half < free {
                    continue;
                }
                free = x + half + GAP;
                let (x, y, text) = (x.clamp(half, WIDTH - half), bottom + TEXT_LINE, Escaped(&text));
                let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>");
            }
        }
        let below = bottom + 2.0 * TEXT_LINE + 2.0;
        let label = cut(&self.x.label, 120);
        let middle = f64::midpoint(left, right);
        let _ =
            writeln!(svg, "<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>", Escaped(&label));
        let height = self.write_scale(&mut svg, (left, below + GAP), (low, high), number);
        write_figure(out, number, &self.title, &self.what, height, &svg, &self.table(&cells));
    }

    /// The scale of colours; gives where the picture ends.
    fn write_scale(&self, svg: &mut String, (left, top): (f64, f64), (low, high): (f64, f64), number: usize) -> f64 {
        for level in 0..LEVELS {
            let (x, colour) = (left + level as f64 * 4.0, heat(level));
            let _ =
                write!(svg, "<path shape-rendering=\"crispEdges\" fill=\"{colour}\" d=\"M{x:.1} {top:.1}h4v10h-4z\"/>");
        }
        let (right, y) = (left + LEVELS as f64 * 4.0, top + 10.0 + TEXT_LINE - 3.0);
        let unit = cut(&self.unit, 60);
        let _ = writeln!(
            svg,
            "\n<text x=\"{left:.1}\" y=\"{y:.1}\">{}</text><text x=\"{right:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            Escaped(&short(low)),
            Escaped(&short(high)),
            right + GAP,
            top + 10.0,
            Escaped(&unit)
        );
        let x = right + GAP + width_of(&unit) + 4.0 * LETTER;
        let _ = writeln!(
            svg,
            "<path fill=\"url(#m{number})\" d=\"M{x:.1} {top:.1}h16v10h-16z\"/><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">missing</text>",
            x + 22.0,
            top + 10.0
        );
        y + GAP
    }

    fn table(&self, cells: &[(String, Vec<Option<f64>>)]) -> Table {
        let mut table = Table::new(format!("The rows in figures: {}", self.unit)).text("row");
        for name in ["lowest", "mean", "highest", "missing %"] {
            table = table.number(name);
        }
        for (name, values) in cells {
            let seen: Vec<f64> = values.iter().flatten().copied().collect();
            let (low, high) =
                (seen.iter().copied().fold(f64::NAN, f64::min), seen.iter().copied().fold(f64::NAN, f64::max));
            let mean = seen.iter().sum::<f64>() / seen.len() as f64;
            let missing = 100.0 * (values.len() - seen.len()) as f64 / values.len().max(1) as f64;
            table.push([name.clone(), short(low), short(mean), short(high), short(missing)]);
        }
        table
    }
}
