//! The heat map as SVG 1.1: a path a colour, text as text.

use super::chart::{Anchor, Area, Canvas, Chart, LETTER_HEIGHT, Paint};
use super::palette::{BACKGROUND, HATCH, INK, MISSING, NOW, Rgb, heat};
use anyhow::bail;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// Most cells: some 12 MB where no two neighbours look the same, which browsers still open.
const MAX_CELLS: usize = 500_000;
/// What of a text's height stands above its base line.
const ASCENT: u32 = LETTER_HEIGHT - 3;

pub(super) fn write(chart: &Chart, out: &mut dyn Write) -> anyhow::Result<()> {
    if chart.cells() > MAX_CELLS {
        bail!(
            "{} cells are more than the {MAX_CELLS} of an SVG file: write a .png, or ask for fewer --rows or --columns",
            chart.cells()
        );
    }
    let mut svg = Svg::default();
    chart.paint(&mut svg);
    let (width, height) = (chart.width(), chart.height());
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\" font-size=\"11\">"
    )?;
    writeln!(out, "<title>{}</title>", escaped(chart.title()))?;
    writeln!(
        out,
        "<defs><pattern id=\"missing\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
         <path fill=\"{}\" d=\"M0 0h6v6h-6z\"/><path stroke=\"{}\" d=\"M0 6L6 0M-1 1L1 -1M5 7L7 5\"/></pattern></defs>",
        hex(MISSING),
        hex(HATCH)
    )?;
    writeln!(out, "<path fill=\"{}\" d=\"M0 0h{width}v{height}h-{width}z\"/>", hex(BACKGROUND))?;
    for (paint, path) in &svg.paths {
        writeln!(out, "<path shape-rendering=\"crispEdges\" fill=\"{}\" d=\"{path}\"/>", fill(*paint))?;
    }
    writeln!(out, "<g fill=\"{}\" xml:space=\"preserve\">\n{}</g>\n</svg>", hex(INK), svg.texts)?;
    Ok(())
}

#[derive(Default)]
struct Svg {
    /// In the order in which they lie above each other.
    paths: BTreeMap<Paint, String>,
    texts: String,
}

impl Canvas for Svg {
    fn fill(&mut self, area: Area, paint: Paint) {
        let Area { x, y, width, height } = area;
        // Writing to a string does not fail.
        let _ = write!(self.paths.entry(paint).or_default(), "M{x} {y}h{width}v{height}h-{width}z");
    }

    fn text(&mut self, x: u32, y: u32, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (y, text) = (y + ASCENT, escaped(text));
        let _ = writeln!(self.texts, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    }
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn fill(paint: Paint) -> String {
    match paint {
        Paint::Missing => "url(#missing)".to_owned(),
        Paint::Heat(level) => hex(heat(level)),
        Paint::Ink => hex(INK),
        Paint::Now => hex(NOW),
    }
}

/// Text between tags; what XML can't say at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            sign if sign.is_control() => escaped.push('?'),
            sign => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::super::tests::map;
    use super::*;
    use isobar_api::HeatMapInfo;

    fn drawn(map: &HeatMapInfo) -> String {
        let mut out = Vec::new();
        write(&Chart::new(map, Order::Heat), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Follows the tags: each that is opened is closed, in order, and there is one at the top.
    fn is_well_formed(xml: &str) -> bool {
        let (mut open, mut tops) = (Vec::new(), 0);
        for part in xml.split('<').skip(1) {
            let Some((tag, text)) = part.split_once('>') else { return false };
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            if let Some(closed) = tag.strip_prefix('/') {
                if open.pop() != Some(closed) {
                    return false;
                }
            } else {
                tops += usize::from(open.is_empty());
                if tag.matches('"').count() % 2 != 0 {
                    return false;
                }
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
            let entities = text.split('&').skip(1);
            if !entities.into_iter().all(|rest| ["amp;", "lt;", "gt;"].iter().any(|known| rest.starts_with(known))) {
                return false;
            }
        }
        open.is_empty() && tops == 1
    }

    #[test]
    fn it_is_xml_whatever_names_hold() {
        let mut map = map();
        map.rows[0].keyspace = "a<b>&\"'\u{1}\u{ffff}é".into();
        let svg = drawn(&map);
        assert!(is_well_formed(&svg), "{svg}");
        assert!(svg.contains(">1 a&lt;b&gt;&amp;\"'??é@3</text>"), "{svg}");
        assert!(!is_well_formed("<a><b></a></b>") && !is_well_formed("<a>&nbsp;</a>") && !is_well_formed("<a x=\">"));
    }

    #[test]
    fn now_lies_above_the_cells_at_the_end_of_the_past() {
        let map = map();
        let chart = Chart::new(&map, Order::Heat);
        let svg = drawn(&map);
        let now = format!("fill=\"{}\" d=\"M{} ", hex(NOW), chart.column_x(2) - 1);
        let hottest = format!("fill=\"{}\" d=\"M{} {}h24", hex(heat(63)), chart.column_x(2), chart.top());
        let at = |part: &str| svg.find(part).unwrap_or_else(|| panic!("{part} in {svg}"));
        assert!(at(&now) > at(&hottest));
        assert!(svg.contains(&format!("fill=\"url(#missing)\" d=\"M{} {}h24", chart.column_x(1), chart.row_y(1))));
        assert!(
            svg.contains(">10.0</text>") && svg.contains(">load units/s</text>") && svg.contains(">missing</text>")
        );
    }

    #[test]
    fn what_no_browser_opens_is_not_written() {
        let mut map = map();
        map.past = MAX_CELLS as u32;
        let refused = write(&Chart::new(&map, Order::Heat), &mut Vec::new()).unwrap_err().to_string();
        assert!(refused.contains(".png"), "{refused}");
    }
}
