//! The page.

use crate::markup::Escaped;
use crate::palette::style;
use crate::section::Section;
use std::fmt::Write as _;

/// A page: a title, what it says in a sentence, sections, and a last line.
///
/// ```
/// use isobar_report::{Axis, KeyFigure, Line, LinePlot, Page, Section};
/// let plot = LinePlot::new("Load", Axis::time("time, UTC"), Axis::number("load units per second").from_zero())
///     .line(Line::new("shard 1", vec![(0.0, 1.0), (300_000.0, 2.0)]));
/// let section = Section::new("What happened").figures([KeyFigure::new("2", "largest load", "load units per second")]).lines(plot);
/// let html = Page::new("A day").lead("Nothing much.").section(section).html();
/// assert!(html.starts_with("<!DOCTYPE html>"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    title: String,
    lead: String,
    sections: Vec<Section>,
    footer: String,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// What the page says, in a sentence or two below the title.
    #[must_use]
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = lead.into();
        self
    }

    /// Adds a section.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// The last line: what made the page, of what.
    #[must_use]
    pub fn footer(mut self, footer: impl Into<String>) -> Self {
        self.footer = footer.into();
        self
    }

    /// The page as one file: HTML that is well-formed XML as well.
    #[must_use]
    pub fn html(&self) -> String {
        let (title, lead, footer) = (Escaped(&self.title), Escaped(&self.lead), Escaped(&self.footer));
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n<style>{}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n",
            style()
        );
        if !self.lead.is_empty() {
            let _ = writeln!(out, "<p class=\"lead\">{lead}</p>");
        }
        let mut plots = 0;
        self.sections.iter().for_each(|section| section.write(&mut out, &mut plots));
        let _ = writeln!(out, "</main>");
        if !self.footer.is_empty() {
            let _ = writeln!(out, "<footer>{footer}</footer>");
        }
        let _ = writeln!(out, "</body>\n</html>");
        out
    }
}
