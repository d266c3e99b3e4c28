//! A little SVG: as much as the plots need. Text is kept within by widths reckoned from the number of its characters.

use std::fmt::Write as _;

/// Width of a character in a sans-serif face, as a share of its size: on the wide side, so that no text runs over.
const CHAR_WIDTH: f64 = 0.6;
/// Size of text, pixels.
pub(crate) const TEXT: f64 = 12.0;
pub(crate) const INK: &str = "#1f2933";
pub(crate) const FAINT: &str = "#d5dae0";

#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Pixels that a text takes.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHAR_WIDTH * TEXT
}

/// The same of a bold one.
pub(crate) fn heading_width(text: &str) -> f64 {
    text_width(text) * 1.15
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#));
    }

    pub(crate) fn heading(&mut self, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(r#"<text x="{x:.1}" y="{y:.1}" font-weight="bold">{text}</text>"#));
    }

    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        ));
    }

    pub(crate) fn dot(&mut self, x: f64, y: f64, fill: &str) {
        self.push(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{fill}"/>"#));
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        self.push(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{stroke}" stroke-width="{width}"/>"#,
            joined(points)
        ));
    }

    pub(crate) fn area(&mut self, points: &[(f64, f64)], fill: &str) {
        self.push(format_args!(r#"<polygon points="{}" fill="{fill}"/>"#, joined(points)));
    }

    /// The whole file: on white, so that it reads on dark pages, too.
    pub(crate) fn finish(self, title: &str) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            concat!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="{0:.0}" height="{1:.0}" viewBox="0 0 {0:.0} {1:.0}" "#,
                r#"font-family="DejaVu Sans, Verdana, sans-serif" font-size="{2}" fill="{3}">"#,
                "\n<title>{4}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{5}</svg>\n"
            ),
            width, height, TEXT, INK, title, self.body
        )
    }
}

fn joined(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// The least of 1, 2, 5 × a power of ten that cuts `span` into at most `most` parts.
pub(crate) fn tick(span: f64, most: f64) -> f64 {
    let rough = (span / most).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|tick| *tick >= rough).unwrap_or(10.0 * power)
}

/// A number as an axis shows it: `1.5 M`.
pub(crate) fn short(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| value.abs() >= *scale).unwrap_or((1.0, ""));
    let scaled = value / scale;
    let digits = if scaled == scaled.round() { 0 } else { 2 };
    let text = format!("{scaled:.digits$}");
    let text = if digits == 0 { text.as_str() } else { text.trim_end_matches('0').trim_end_matches('.') };
    format!("{text}{unit}")
}
