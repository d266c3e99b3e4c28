//! Parts of a page.

use crate::bar_plot::BarPlot;
use crate::heat_plot::HeatPlot;
use crate::line_plot::LinePlot;
use crate::markup::Escaped;
use crate::table::Table;
use std::fmt::Write as _;

/// A figure that is seen before anything is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFigure {
    /// The figure with its unit, as text.
    pub value: String,
    /// What it is.
    pub label: String,
    /// How sure, or compared with what; may be empty.
    pub detail: String,
}

impl KeyFigure {
    /// A figure, what it is, and how sure.
    #[must_use]
    pub fn new(value: impl Into<String>, label: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), detail: detail.into() }
    }
}

/// How a callout is meant; words say it too, colour only repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be known.
    Plain,
    /// To be careful about.
    Warn,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Note(String),
    Code(String),
    List(Vec<String>),
    Callout(Tone, String, String),
    Figures(Vec<KeyFigure>),
    Table(Table),
    Lines(Box<LinePlot>),
    Bars(Box<BarPlot>),
    Heat(Box<HeatPlot>),
}

/// A heading and what stands below it, in the order in which it was added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    heading: String,
    parts: Vec<Part>,
}

impl Section {
    /// An empty section; an empty heading is none.
    #[must_use]
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), parts: Vec::new() }
    }

    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// A paragraph.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Part::Text(text.into()))
    }

    /// A paragraph in small letters.
    #[must_use]
    pub fn note(self, text: impl Into<String>) -> Self {
        self.with(Part::Note(text.into()))
    }

    /// A text as it would be typed: a command.
    #[must_use]
    pub fn code(self, text: impl Into<String>) -> Self {
        self.with(Part::Code(text.into()))
    }

    /// A list of sentences.
    #[must_use]
    pub fn list<T: Into<String>>(self, items: impl IntoIterator<Item = T>) -> Self {
        self.with(Part::List(items.into_iter().map(Into::into).collect()))
    }

    /// A sentence that stands out, and why.
    #[must_use]
    pub fn callout(self, tone: Tone, sentence: impl Into<String>, why: impl Into<String>) -> Self {
        self.with(Part::Callout(tone, sentence.into(), why.into()))
    }

    /// Figures side by side.
    #[must_use]
    pub fn figures(self, figures: impl IntoIterator<Item = KeyFigure>) -> Self {
        self.with(Part::Figures(figures.into_iter().collect()))
    }

    /// A table.
    #[must_use]
    pub fn table(self, table: Table) -> Self {
        self.with(Part::Table(table))
    }

    /// Lines over an axis.
    #[must_use]
    pub fn lines(self, plot: LinePlot) -> Self {
        self.with(Part::Lines(Box::new(plot)))
    }

    /// Bars.
    #[must_use]
    pub fn bars(self, plot: BarPlot) -> Self {
        self.with(Part::Bars(Box::new(plot)))
    }

    /// A heat map.
    #[must_use]
    pub fn heat(self, plot: HeatPlot) -> Self {
        self.with(Part::Heat(Box::new(plot)))
    }

    /// `plots` counts those of the page: each has a name of its own.
    pub(crate) fn write(&self, out: &mut String, plots: &mut usize) {
        let _ = writeln!(out, "<section>");
        if !self.heading.is_empty() {
            let _ = writeln!(out, "<h2>{}</h2>", Escaped(&self.heading));
        }
        for part in &self.parts {
            *plots += 1;
            match part {
                Part::Text(text) => {
                    let _ = writeln!(out, "<p>{}</p>", Escaped(text));
                }
                Part::Note(text) => {
                    let _ = writeln!(out, "<p class=\"note\">{}</p>", Escaped(text));
                }
                Part::Code(text) => {
                    let _ = writeln!(out, "<pre><code>{}</code></pre>", Escaped(text));
                }
                Part::List(items) => {
                    let _ = write!(out, "<ul>");
                    for item in items {
                        let _ = write!(out, "<li>{}</li>", Escaped(item));
                    }
                    let _ = writeln!(out, "</ul>");
                }
                Part::Callout(tone, sentence, why) => {
                    let class = match tone {
                        Tone::Good => " good",
                        Tone::Plain => "",
                        Tone::Warn => " warn",
                    };
                    let (sentence, why) = (Escaped(sentence), Escaped(why));
                    let _ = writeln!(out, "<p class=\"callout{class}\"><b>{sentence}</b> {why}</p>");
                }
                Part::Figures(figures) => {
                    let _ = write!(out, "<dl class=\"figures\">");
                    for KeyFigure { value, label, detail } in figures {
                        let (value, label, detail) = (Escaped(value), Escaped(label), Escaped(detail));
                        let _ = write!(
                            out,
                            "<div><dt>{label}</dt><dd class=\"value\">{value}</dd><dd class=\"detail\">{detail}</dd></div>"
                        );
                    }
                    let _ = writeln!(out, "</dl>");
                }
                Part::Table(table) => table.write(out),
                Part::Lines(plot) => plot.write(out, *plots),
                Part::Bars(plot) => plot.write(out, *plots),
                Part::Heat(plot) => plot.write(out, *plots),
            }
        }
        let _ = writeln!(out, "</section>");
    }
}
