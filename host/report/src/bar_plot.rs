//! Bars in groups, with how sure they are.

use crate::axis::{Axis, drawable};
use crate::figure::{Frame, GAP, LETTER, MAX_NAME_CHARS, Sample, TEXT_LINE, WIDTH, Y_TICKS, width_of, write_figure};
use crate::markup::{Escaped, cut};
use crate::number::short;
use crate::palette::MAX_SERIES;
use crate::table::Table;
use std::fmt::Write as _;

/// Most groups that are drawn; a hundred bars side by side are no picture any more.
const MAX_GROUPS: usize = 48;
/// How far a slanted name runs below the axis, per letter: the sine of 35 degrees.
const SLANT: f64 = 0.574;

/// A value and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The value.
    pub value: f64,
    /// Between this …
    pub low: f64,
    /// … and this; no numbers where it is not known.
    pub high: f64,
}

impl Bar {
    /// A value within an interval.
    #[must_use]
    pub fn new(value: f64, low: f64, high: f64) -> Self {
        Self { value, low, high }
    }

    /// A value of which it is not known how sure it is.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, low: f64::NAN, high: f64::NAN }
    }
}

/// Bars that stand together, one for each series; none where there is no value.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// What they are of.
    pub name: String,
    /// In the order of the series.
    pub bars: Vec<Option<Bar>>,
}

/// Groups of bars, each group with a bar of every series. Up to [`MAX_SERIES`] series and 48 groups are drawn; the table has all.
#[derive(Clone, Debug, PartialEq)]
pub struct BarPlot {
    title: String,
    what: String,
    y: Axis,
    series: Vec<String>,
    groups: Vec<BarGroup>,
}

impl BarPlot {
    /// An empty plot with these series.
    #[must_use]
    pub fn new<T: Into<String>>(title: impl Into<String>, y: Axis, series: impl IntoIterator<Item = T>) -> Self {
        let series = series.into_iter().map(Into::into).collect();
        Self { title: title.into(), what: String::new(), y: y.from_zero(), series, groups: Vec::new() }
    }

    /// What is to be seen, in a sentence.
    #[must_use]
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// Adds a group.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>, bars: impl IntoIterator<Item = Option<Bar>>) -> Self {
        self.groups.push(BarGroup { name: name.into(), bars: bars.into_iter().collect() });
        self
    }

    pub(crate) fn write(&self, out: &mut String, number: usize) {
        let groups = &self.groups[..self.groups.len().min(MAX_GROUPS)];
        let series = self.series.len().min(MAX_SERIES);
        let bars = |group: &BarGroup| -> Vec<(usize, Bar)> {
            let bars = group.bars.iter().take(series).enumerate();
            bars.filter_map(|(at, bar)| bar.filter(|bar| drawable(bar.value)).map(|bar| (at, bar))).collect()
        };
        let values = groups.iter().flat_map(bars).flat_map(|(_, bar)| [bar.value, bar.low, bar.high]);
        let names: Vec<&str> = self.series.iter().map(String::as_str).collect();
        let mut frame = Frame::new(&names, Sample::Bar, &self.y, self.y.range(values, Y_TICKS));
        let slot = (frame.right - frame.left) / groups.len().max(1) as f64;
        let wide = (slot * 0.76 / series.max(1) as f64).min(44.0);
        let zero = frame.y(0.0);
        for (at, group) in groups.iter().enumerate() {
            let middle = frame.left + slot * (at as f64 + 0.5);
            for (of, bar) in bars(group) {
                let x = middle + (of as f64 - series as f64 / 2.0) * wide;
                let y = frame.y(bar.value);
                // A bar of nothing is still seen.
                let (top, tall) = (y.min(zero), (y - zero).abs().max(0.75));
                let inner = (wide * 0.9).max(0.5);
                let _ = writeln!(
                    frame.svg,
                    "<path class=\"f{of}\" d=\"M{x:.1} {top:.1}h{inner:.1}v{tall:.1}h-{inner:.1}z\"/>"
                );
                if drawable(bar.low) && drawable(bar.high) {
                    let (low, high, x) = (frame.y(bar.low), frame.y(bar.high), x + inner / 2.0);
                    let cap = (inner / 4.0).min(4.0);
                    let _ = writeln!(
                        frame.svg,
                        "<path class=\"whisker\" d=\"M{:.1} {low:.1}h{:.1}M{x:.1} {low:.1}V{high:.1}M{:.1} {high:.1}h{:.1}\"/>",
                        x - cap,
                        2.0 * cap,
                        x - cap,
                        2.0 * cap
                    );
                }
            }
        }
        let (left, right) = (frame.left, frame.right);
        let _ = writeln!(frame.svg, "<path class=\"axis\" d=\"M{left:.1} {zero:.1}H{right:.1}\"/>");
        let height = names_below(&mut frame, groups, slot);
        write_figure(out, number, &self.title, &self.what, height, &frame.svg, &self.table());
    }

    fn table(&self) -> Table {
        let mut table = Table::new("The bars in figures; in brackets between what they lie").text("");
        for name in &self.series {
            table = table.number(name.as_str());
        }
        for group in &self.groups {
            let cell = |at: usize| match group.bars.get(at).copied().flatten() {
                None => "–".to_owned(),
                Some(Bar { value, low, high }) if low.is_finite() && high.is_finite() => {
                    format!("{} ({} to {})", short(value), short(low), short(high))
                }
                Some(Bar { value, .. }) => short(value),
            };
            table.push(std::iter::once(group.name.clone()).chain((0..self.series.len()).map(cell)));
        }
        table
    }
}

/// The groups' names, slanted where they have no room side by side; gives where the picture ends.
fn names_below(frame: &mut Frame, groups: &[BarGroup], slot: f64) -> f64 {
    let names: Vec<String> = groups.iter().map(|group| cut(&group.name, MAX_NAME_CHARS)).collect();
    let slanted = names.iter().any(|name| width_of(name) + GAP > slot);
    let mut deepest = TEXT_LINE;
    for (at, name) in names.iter().enumerate() {
        let (x, y) = (frame.left + slot * (at as f64 + 0.5), frame.bottom + TEXT_LINE);
        let name_text = Escaped(name);
        let _ = if slanted {
            // The text must not run out at the left.
            let room = (((x - GAP) / 0.819 / LETTER) as usize).max(4);
            let name = cut(name, room);
            deepest = deepest.max(TEXT_LINE + width_of(&name) * SLANT);
            let name_text = Escaped(&name);
            writeln!(
                frame.svg,
                "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-35 {x:.1} {y:.1})\">{name_text}</text>"
            )
        } else {
            let half = width_of(name) / 2.0;
            let x = x.clamp(half, WIDTH - half);
            writeln!(
                frame.svg,
                "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{name_text}</text>"
            )
        };
    }
    frame.bottom + deepest + GAP
}
