//! What all plots have: a caption, a picture with title and description, axes, a legend, and the figures below.

use crate::axis::{Axis, Range};
use crate::markup::{Escaped, cut};
use crate::palette::{DASHES, MAX_SERIES};
use crate::table::Table;
use std::fmt::Write as _;

/// Width of a picture in its own units, which are pixels on a wide screen.
pub(crate) const WIDTH: f64 = 960.0;
/// Height of the area of lines and bars.
pub(crate) const AREA_HEIGHT: f64 = 280.0;
/// What a letter takes, about.
pub(crate) const LETTER: f64 = 7.1;
/// A line of text.
pub(crate) const TEXT_LINE: f64 = 17.0;
/// Between the area and what is written beside it.
pub(crate) const GAP: f64 = 8.0;
/// Longer names are cut in pictures; tables have them whole.
pub(crate) const MAX_NAME_CHARS: usize = 32;
/// Ticks at most, about.
pub(crate) const Y_TICKS: usize = 5;
const X_TICKS: usize = 8;

/// The width of a text, about.
pub(crate) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// How a name of a legend is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    Line,
    Bar,
}

/// An area with axes; `x` and `y` give places in it.
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    pub(crate) y: Range,
    pub(crate) svg: String,
}

impl Frame {
    /// A frame below its legend, the y axis and its grid drawn.
    pub(crate) fn new(names: &[&str], sample: Sample, y_axis: &Axis, y: Range) -> Self {
        let ticks = y.ticks();
        let widest = ticks.iter().map(|(_, text)| width_of(text)).fold(0.0, f64::max);
        let left = widest + 2.0 * GAP;
        let mut frame = Self { left, top: 0.0, right: WIDTH - 2.0 * GAP, bottom: 0.0, y, svg: String::new() };
        let below = frame.legend(names, sample);
        let label = cut(&y_axis.label, 90);
        let _ = writeln!(frame.svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", below + TEXT_LINE - 4.0, Escaped(&label));
        frame.top = below + TEXT_LINE + 6.0;
        frame.bottom = frame.top + AREA_HEIGHT;
        for (value, text) in ticks {
            let (y, left, right) = (frame.y(value), frame.left, frame.right);
            let _ = writeln!(
                frame.svg,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - GAP,
                y + 4.0,
                Escaped(&text)
            );
        }
        frame
    }

    /// Names with samples of how they are drawn; gives where the next thing may begin.
    fn legend(&mut self, names: &[&str], sample: Sample) -> f64 {
        if names.len() < 2 {
            return 0.0;
        }
        let (mut x, mut y) = (0.0, TEXT_LINE);
        for (at, name) in names.iter().take(MAX_SERIES).enumerate() {
            let name = cut(name, MAX_NAME_CHARS);
            let wide = 34.0 + width_of(&name) + 18.0;
            if x > 0.0 && x + wide > WIDTH {
                (x, y) = (0.0, y + TEXT_LINE);
            }
            let _ = match sample {
                Sample::Line => write!(
                    self.svg,
                    "<path class=\"line s{at}\" stroke-dasharray=\"{}\" d=\"M{x:.1} {:.1}h28\"/>",
                    DASHES[at],
                    y - 4.0
                ),
                Sample::Bar => {
                    write!(self.svg, "<path class=\"f{at}\" d=\"M{:.1} {:.1}h12v12h-12z\"/>", x + 14.0, y - 10.0)
                }
            };
            let _ =
                writeln!(self.svg, "<text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", x + 34.0, Escaped(&name));
            x += wide;
        }
        y + 8.0
    }

    /// Where a value stands.
    pub(crate) fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.share(value) * (self.bottom - self.top)
    }

    /// Where a value of an axis across stands.
    pub(crate) fn x(&self, range: &Range, value: f64) -> f64 {
        self.left + range.share(value) * (self.right - self.left)
    }

    /// The axis across; gives where the picture ends.
    pub(crate) fn x_axis(&mut self, axis: &Axis, range: &Range) -> f64 {
        let (left, right, bottom) = (self.left, self.right, self.bottom);
        let _ = writeln!(self.svg, "<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>");
        let mut free = f64::NEG_INFINITY;
        for (value, text) in range.ticks() {
            let x = self.x(range, value);
            let half = width_of(&text) / 2.0;
            // A text that would run into its neighbour is left out, its tick stays.
            let _ = write!(self.svg, "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v4\"/>");
            if x - half < free {
                continue;
            }
            free = x + half + GAP;
            let anchored = x.clamp(half, WIDTH - half);
            let _ = writeln!(
                self.svg,
                "<text x=\"{anchored:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + TEXT_LINE,
                Escaped(&text)
            );
        }
        let label = cut(&axis.label, 120);
        let middle = f64::midpoint(left, right);
        let below = bottom + 2.0 * TEXT_LINE + 2.0;
        let _ = writeln!(
            self.svg,
            "<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>",
            Escaped(&label)
        );
        below + GAP
    }
}

/// Ticks of an axis across.
pub(crate) fn x_range(axis: &Axis, values: impl Iterator<Item = f64>) -> Range {
    let mut range = axis.range(values, X_TICKS);
    if !axis.time {
        return range;
    }
    // Labels of days with hours are long.
    let wide = 15.0 * LETTER * X_TICKS as f64 > WIDTH;
    range.step = if wide { range.step.max((range.high - range.low) / X_TICKS as f64) } else { range.step };
    range
}

/// A figure: caption, picture, and its figures as a table that unfolds.
pub(crate) fn write_figure(
    out: &mut String,
    number: usize,
    title: &str,
    what: &str,
    height: f64,
    svg: &str,
    table: &Table,
) {
    let (title, what) = (Escaped(title), Escaped(what));
    let _ = writeln!(
        out,
        "<figure>\n<figcaption>{title} <span class=\"what\">{what}</span></figcaption>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" \
         aria-labelledby=\"t{number} d{number}\">\n<title id=\"t{number}\">{title}</title>\n<desc id=\"d{number}\">{what} The figures stand in \
         the table below.</desc>\n{svg}</svg>\n<details><summary>Figures</summary>"
    );
    table.write(out);
    let _ = writeln!(out, "</details>\n</figure>");
}
