//! Lines over an axis: with bands of how sure they are, as steps, with marks of what happened.

use crate::axis::{Axis, drawable};
use crate::figure::{Frame, GAP, MAX_NAME_CHARS, Sample, TEXT_LINE, Y_TICKS, width_of, write_figure, x_range};
use crate::markup::{Escaped, cut};
use crate::number::{date_time, short};
use crate::palette::{DASHES, MAX_SERIES};
use crate::reduction::{band_runs, runs};
use crate::table::Table;
use std::fmt::Write as _;

/// Most horizontal lines.
const MAX_LEVELS: usize = 8;
/// Most marks that are drawn: more would be a grey wall.
const MAX_MARKS: usize = 200;
/// Marks that are told in the table.
const TOLD_MARKS: usize = 100;

/// One point of a band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// Where.
    pub x: f64,
    /// From here …
    pub low: f64,
    /// … to here.
    pub high: f64,
}

/// A line: points in any order; those that are no numbers are gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    band: Vec<(f64, f64, f64)>,
    stepped: bool,
}

impl Line {
    /// A line through these points, x and y.
    #[must_use]
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }

    /// How sure: an area around the line, of points of its own.
    #[must_use]
    pub fn band(mut self, band: impl IntoIterator<Item = BandPoint>) -> Self {
        self.band = band.into_iter().map(|point| (point.x, point.low, point.high)).collect();
        self
    }

    /// Values hold until the next: a number of nodes, a state.
    #[must_use]
    pub fn stepped(mut self) -> Self {
        self.stepped = true;
        self
    }
}

/// A value that lines are compared with: a capacity, a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Where.
    pub y: f64,
    /// What it is.
    pub label: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub x: f64,
    /// What.
    pub label: String,
}

/// Up to [`MAX_SERIES`] lines with bands, levels and marks. Of lines with more than 2 000 points, the lowest, highest, first and last of each 500th
/// of the width are drawn: what can be seen stays the same.
#[derive(Clone, Debug, PartialEq)]
pub struct LinePlot {
    title: String,
    what: String,
    x: Axis,
    y: Axis,
    lines: Vec<Line>,
    levels: Vec<Level>,
    marks: Vec<Mark>,
}

impl LinePlot {
    /// An empty plot.
    #[must_use]
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        let (title, what) = (title.into(), String::new());
        Self { title, what, x, y, lines: Vec::new(), levels: Vec::new(), marks: Vec::new() }
    }

    /// What is to be seen, in a sentence.
    #[must_use]
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// Adds a line; those beyond [`MAX_SERIES`] stand in the table only.
    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Adds a horizontal line; those beyond eight are left out.
    #[must_use]
    pub fn level(mut self, y: f64, label: impl Into<String>) -> Self {
        self.levels.push(Level { y, label: label.into() });
        self
    }

    /// Adds a mark; those beyond 200 are left out of the picture.
    #[must_use]
    pub fn mark(mut self, x: f64, label: impl Into<String>) -> Self {
        self.marks.push(Mark { x, label: label.into() });
        self
    }

    pub(crate) fn write(&self, out: &mut String, number: usize) {
        let shown = &self.lines[..self.lines.len().min(MAX_SERIES)];
        let levels = self.levels.iter().filter(|level| drawable(level.y)).take(MAX_LEVELS);
        let bands = || shown.iter().flat_map(|line| &line.band);
        let ys = shown.iter().flat_map(|line| &line.points).map(|point| point.1);
        let ys = ys.chain(bands().flat_map(|point| [point.1, point.2])).chain(levels.clone().map(|level| level.y));
        let xs = shown.iter().flat_map(|line| &line.points).map(|point| point.0).chain(bands().map(|point| point.0));
        let x = x_range(&self.x, xs.chain(self.marks.iter().take(MAX_MARKS).map(|mark| mark.x)));
        let names: Vec<&str> = shown.iter().map(|line| line.name.as_str()).collect();
        let mut frame = Frame::new(&names, Sample::Line, &self.y, self.y.range(ys, Y_TICKS));

        for (at, line) in shown.iter().enumerate() {
            for run in band_runs(&line.band) {
                let mut path = String::new();
                for (i, (px, _, high)) in run.iter().enumerate() {
                    let _ =
                        write!(path, "{}{:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, frame.x(&x, *px), frame.y(*high));
                }
                for (px, low, _) in run.iter().rev() {
                    let _ = write!(path, "L{:.1} {:.1}", frame.x(&x, *px), frame.y(*low));
                }
                let _ = writeln!(frame.svg, "<path class=\"band f{at}\" d=\"{path}z\"/>");
            }
        }
        self.write_marks(&mut frame, |frame, px| frame.x(&x, px));
        for (at, line) in shown.iter().enumerate() {
            for run in runs(&line.points) {
                self.write_run(&mut frame, at, line.stepped, &run, |frame, px| frame.x(&x, px));
            }
        }
        for level in levels {
            let (y, left, right) = (frame.y(level.y), frame.left, frame.right);
            let _ = writeln!(
                frame.svg,
                "<path class=\"level\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text class=\"name\" x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y - 5.0,
                Escaped(&cut(&level.label, MAX_NAME_CHARS))
            );
        }
        let height = frame.x_axis(&self.x, &x);
        write_figure(out, number, &self.title, &self.what, height, &frame.svg, &self.table());
    }

    fn write_run(
        &self,
        frame: &mut Frame,
        at: usize,
        stepped: bool,
        run: &[(f64, f64)],
        x: impl Fn(&Frame, f64) -> f64,
    ) {
        if let [(px, py)] = run {
            let (px, py) = (x(frame, *px), frame.y(*py));
            let _ = writeln!(frame.svg, "<circle class=\"f{at}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.5\"/>");
            return;
        }
        let mut path = String::new();
        for (i, (px, py)) in run.iter().enumerate() {
            let (px, py) = (x(frame, *px), frame.y(*py));
            let _ = match (i, stepped) {
                (0, _) => write!(path, "M{px:.1} {py:.1}"),
                (_, true) => write!(path, "H{px:.1}V{py:.1}"),
                (_, false) => write!(path, "L{px:.1} {py:.1}"),
            };
        }
        let _ = writeln!(frame.svg, "<path class=\"line s{at}\" stroke-dasharray=\"{}\" d=\"{path}\"/>", DASHES[at]);
    }

    fn write_marks(&self, frame: &mut Frame, x: impl Fn(&Frame, f64) -> f64) {
        let mut marks: Vec<&Mark> = self.marks.iter().take(MAX_MARKS).filter(|mark| drawable(mark.x)).collect();
        marks.sort_by(|a, b| a.x.total_cmp(&b.x));
        let mut free = f64::NEG_INFINITY;
        for mark in marks {
            let (px, top, bottom) = (x(frame, mark.x), frame.top, frame.bottom);
            let _ = write!(frame.svg, "<path class=\"mark\" d=\"M{px:.1} {top:.1}V{bottom:.1}\"/>");
            let label = cut(&mark.label, MAX_NAME_CHARS);
            let wide = width_of(&label);
            // A label stands right of its mark, or left of it at the right end; one that finds no room is in the table.
            let (from, anchor) =
                if px + 4.0 + wide <= frame.right { (px + 4.0, "start") } else { (px - 4.0 - wide, "end") };
            if from < free || label.is_empty() {
                continue;
            }
            free = from + wide + GAP;
            let at = if anchor == "start" { px + 4.0 } else { px - 4.0 };
            let (y, label) = (top + TEXT_LINE - 5.0, Escaped(&label));
            let _ = writeln!(frame.svg, "<text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>");
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new("The lines in figures").text("line").number("points");
        for name in ["lowest", "median", "highest", "first", "last"] {
            table = table.number(name);
        }
        for line in &self.lines {
            let mut points: Vec<(f64, f64)> =
                line.points.iter().copied().filter(|(x, y)| drawable(*x) && drawable(*y)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let ends = [points.first(), points.last()].map(|point| point.map_or(f64::NAN, |point| point.1));
            let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
            values.sort_by(f64::total_cmp);
            let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
            let told = [at(0), at(values.len() / 2), at(values.len().saturating_sub(1)), ends[0], ends[1]];
            table.push([line.name.clone(), values.len().to_string()].into_iter().chain(told.into_iter().map(short)));
        }
        for level in &self.levels {
            table.push([level.label.clone(), "level".into(), short(level.y), short(level.y), short(level.y)]);
        }
        let place = |x: f64| if self.x.time { date_time(x) } else { short(x) };
        for mark in self.marks.iter().take(TOLD_MARKS) {
            table.push([mark.label.clone(), format!("at {}", place(mark.x))]);
        }
        table
    }
}
