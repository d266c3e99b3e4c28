//! What a page promises: it is well-formed, fetches nothing, says what hostile values say as text, and is bounded.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use isobar_report::{
    Aggregate, Axis, BandPoint, Bar, BarPlot, HeatPlot, KeyFigure, Line, LinePlot, MAX_SERIES, Page, Section, Table,
    Tone,
};
use proptest::prelude::*;

const HOSTILE: &str = "a<b>&\"'</script><script>alert(1)</script><img src=x onerror=alert(1)>\u{0}\u{1b}\u{ffff}]]>é";

/// The page read back as XML.
fn parsed(html: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(html, options).unwrap_or_else(|error| panic!("{error}\n{html}"))
}

fn count(html: &str, name: &str) -> usize {
    parsed(html).descendants().filter(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", name))).count()
}

fn svg(html: &str) -> String {
    let page = parsed(html);
    let svg = page.descendants().find(|node| node.tag_name().name() == "svg").unwrap();
    html[svg.range()].to_owned()
}

/// A page on which every text is `text` and every value is made of `values`.
fn everything(text: &str, values: &[f64]) -> Page {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect();
    let wild: Vec<(f64, f64)> = values.iter().zip(values.iter().rev()).map(|(x, y)| (*x, *y)).collect();
    let band = values.iter().map(|value| BandPoint { x: *value, low: value - 1.0, high: value + 1.0 });
    let first = values.first().copied().unwrap_or(f64::NAN);
    let lines = |x: Axis| {
        let plot = LinePlot::new(text, x, Axis::number(text)).what(text).level(first, text).mark(first, text);
        plot.line(Line::new(text, points.clone()).band(band.clone())).line(Line::new(text, wild.clone()).stepped())
    };
    let bar = |value: &f64| Some(Bar::new(*value, value - 1.0, value * 2.0));
    let bars = BarPlot::new(text, Axis::number(text), [text, text])
        .what(text)
        .group(text, values.iter().map(bar))
        .group(text, [None]);
    let heat = HeatPlot::new(text, Axis::time(text), (first, -first), text, Aggregate::Mean).what(text);
    let heat = heat.row(text, values.iter().map(|value| *value as f32).collect()).row(text, vec![]);
    let section = Section::new(text).text(text).note(text).code(text).list([text]).callout(Tone::Warn, text, text);
    let section =
        section.figures([KeyFigure::new(text, text, text)]).table(Table::new(text).text(text).row([text, text]));
    let section = section.lines(lines(Axis::number(text))).lines(lines(Axis::time(text)).clone()).bars(bars).heat(heat);
    Page::new(text).lead(text).section(section).footer(text)
}

#[test]
fn hostile_text_stays_text() {
    let html = everything(HOSTILE, &[1.0, 2.0]).html();
    let page = parsed(&html);
    let names: std::collections::BTreeSet<&str> = page.descendants().map(|node| node.tag_name().name()).collect();
    assert!(!names.contains("script") && !names.contains("img") && !names.contains("b>"), "{names:?}");
    let title = page.descendants().find(|node| node.tag_name().name() == "h1").unwrap();
    assert_eq!(title.text(), Some(HOSTILE.replace(['\u{0}', '\u{1b}', '\u{ffff}'], "?").as_str()));
    for node in page.descendants() {
        assert!(node.attributes().all(|attribute| !attribute.name().starts_with("on")), "{node:?}");
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let html = everything("plain", &[1.0, 2.0]).html();
    let page = parsed(&html);
    for node in page.descendants() {
        for attribute in node.attributes() {
            assert!(!["src", "href", "xlink:href", "action"].contains(&attribute.name()), "{node:?}");
        }
    }
    assert!(!html.contains("http://") || html.matches("http://www.w3.org/").count() == html.matches("http://").count());
    assert!(
        !html.contains("https://") && !html.contains("@import") && !html.contains("<link") && !html.contains("<script")
    );
    assert!(html.contains("default-src 'none'") && html.contains("prefers-color-scheme: dark"));
}

#[test]
fn plots_can_be_read_by_ear() {
    let html = everything("plain", &[1.0, 2.0]).html();
    let page = parsed(&html);
    let pictures: Vec<_> = page.descendants().filter(|node| node.tag_name().name() == "svg").collect();
    assert_eq!(pictures.len(), 4);
    let mut ids = std::collections::BTreeSet::new();
    for picture in pictures {
        assert_eq!(picture.attribute("role"), Some("img"));
        for id in picture.attribute("aria-labelledby").unwrap().split(' ') {
            let named = picture.descendants().find(|node| node.attribute("id") == Some(id)).unwrap();
            assert!(!named.text().unwrap_or_default().is_empty() && ids.insert(id.to_owned()));
        }
        let figure = picture.parent().unwrap();
        assert!(
            figure.descendants().any(|node| node.tag_name().name() == "td"),
            "a plot without its figures as a table"
        );
    }
}

#[test]
fn nothing_is_drawn_of_nothing() {
    for values in [&[][..], &[f64::NAN; 3], &[f64::INFINITY, f64::NEG_INFINITY]] {
        let html = everything("empty", values).html();
        let drawn = svg(&html);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        assert!(!drawn.contains("class=\"line s0\" stroke-dasharray=\"none\" d=\"M60"), "{drawn}");
    }
}

#[test]
fn gaps_stay_gaps_and_single_points_are_seen() {
    let points = vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)];
    let plot = LinePlot::new("t", Axis::number("x"), Axis::number("y")).line(Line::new("a", points));
    let drawn = svg(&Page::new("t").section(Section::new("").lines(plot)).html());
    assert_eq!(drawn.matches("class=\"line s0\"").count(), 1, "{drawn}");
    assert_eq!(drawn.matches("<circle").count(), 1, "{drawn}");
}

#[test]
fn bars_reach_from_zero_to_their_value_with_whiskers() {
    let plot = BarPlot::new("t", Axis::number("y"), ["a"]).group("up", [Some(Bar::new(4.0, 3.0, 5.0))]);
    let plot = plot.group("down", [Some(Bar::exact(-2.0))]).group("none", [None]);
    let html = Page::new("t").section(Section::new("").bars(plot)).html();
    let drawn = svg(&html);
    assert_eq!(drawn.matches("class=\"f0\"").count(), 2, "{drawn}");
    assert_eq!(drawn.matches("class=\"whisker\"").count(), 1, "{drawn}");
    // The axis shows −2 to 6 on 280 pixels, or a little more: the first bar is twice as tall as the second.
    let tall = |at: usize| {
        let path = drawn.split("class=\"f0\" d=\"").nth(at).unwrap().split('v').nth(1).unwrap();
        path.split('h').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((tall(1) - 2.0 * tall(2)).abs() < 0.3, "{drawn}");
    assert!(html.contains("4 (3 to 5)") && html.contains("<td class=\"num\">–</td>"), "{html}");
}

#[test]
fn hot_cells_survive_aggregation() {
    let plot =
        (0..200).fold(HeatPlot::new("t", Axis::number("x"), (0.0, 10_000.0), "u", Aggregate::Highest), |plot, row| {
            plot.row(
                format!("r{row}"),
                (0..2_000).map(|at| if (row, at) == (100, 1_000) { 9.0 } else { 1.0 }).collect(),
            )
        });
    let html = Page::new("t").section(Section::new("").heat(plot)).html();
    assert!(html.len() < 400_000, "{} bytes", html.len());
    // The hottest colour: one cell of the picture, one of the scale.
    assert_eq!(svg(&html).matches("fill=\"#fcf4b6\"").count(), 2);
}

#[test]
fn whatever_is_put_in_a_page_stays_small() {
    let values: Vec<f64> = (0..50_000).map(|at| f64::from(at).sin()).collect();
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect();
    let mut lines = LinePlot::new("t", Axis::number("x"), Axis::number("y"));
    for at in 0..20 {
        lines = lines
            .line(Line::new(format!("line {at}"), points.clone()))
            .level(0.5, "l")
            .mark(f64::from(at), "m".repeat(500));
    }
    for at in 0..2_000 {
        lines = lines.mark(f64::from(at), "m");
    }
    let mut bars = BarPlot::new("t", Axis::number("y"), (0..40).map(|at| format!("series {at}")));
    for group in 0..500 {
        bars = bars.group(format!("group {group}"), (0..40).map(|at| Some(Bar::exact(f64::from(at)))));
    }
    let mut table = Table::new("t").text("a").number("b");
    for at in 0..20_000 {
        table.push([at.to_string(), at.to_string()]);
    }
    let html = Page::new("t").section(Section::new("").lines(lines).bars(bars).table(table)).html();
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(html.contains("19000 further rows are left out"));
    assert_eq!(count(&html, "table"), 3);
    assert!(!html.contains(&format!("class=\"line s{MAX_SERIES}\"")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_text_and_any_values_make_a_well_formed_page(text in any::<String>(), values in prop::collection::vec(any::<f64>(), 0..40)) {
        let html = everything(&text, &values).html();
        let page = parsed(&html);
        for node in page.descendants().filter(|node| node.tag_name().name() == "path") {
            let path = node.attribute("d").unwrap_or_default();
            prop_assert!(!path.contains("NaN") && !path.contains("inf"), "{}", path);
        }
        prop_assert_eq!(html, everything(&text, &values).html());
    }
}
