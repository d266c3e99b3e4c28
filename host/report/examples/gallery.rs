//! Writes a page with everything that a page can have, to look at: `cargo run -p isobar-report --example gallery > gallery.html`

use isobar_report::{
    Aggregate, Axis, BandPoint, Bar, BarPlot, HeatPlot, KeyFigure, Line, LinePlot, Page, Section, Table, Tone,
};

/// A Monday, 00:00 UTC.
const MONDAY_MS: f64 = 1_704_067_200_000.0;

fn main() {
    let at = |step: usize| MONDAY_MS + step as f64 * 300_000.0;
    let day = |step: usize, phase: f64| 100.0 + 60.0 * ((step as f64 / 288.0 + phase) * std::f64::consts::TAU).sin();
    let load = |phase: f64| (0..3 * 288).map(|step| (at(step), day(step, phase))).collect::<Vec<_>>();
    let band = load(0.0).into_iter().skip(2 * 288).map(|(x, y)| BandPoint { x, low: y - 15.0, high: y + 25.0 });
    let lines = LinePlot::new(
        "Load of three tenants",
        Axis::time("time, UTC"),
        Axis::number("load units per second").from_zero(),
    )
    .what("Two tenants a quarter of a day apart, one that fell silent; the last day is forecast.")
    .line(Line::new("shop", load(0.0)).band(band))
    .line(Line::new("bank", load(0.25)))
    .line(Line::new(
        "silent for a day",
        load(0.6)
            .into_iter()
            .enumerate()
            .map(|(step, (x, y))| (x, if (288..576).contains(&step) { f64::NAN } else { y / 3.0 }))
            .collect(),
    ))
    .level(150.0, "capacity of a node")
    .mark(at(300), "shard 7 moved")
    .mark(at(700), "node 3 added");
    let steps = LinePlot::new("Nodes", Axis::time("time, UTC"), Axis::number("nodes").from_zero())
        .line(Line::new("nodes", (0..12).map(|step| (at(step * 72), (3 + step % 4) as f64)).collect()).stepped());
    let arms = ["static", "packed", "reactive", "predictive", "clairvoyant"];
    let empty = BarPlot::new("Overload by headroom", Axis::number("thousands of node-seconds"), ["1.1", "1.3", "1.5"]);
    let bars = arms.iter().zip([36.0, 35.0, 51.0, 31.0, 26.0]).fold(empty, |plot, (name, value)| {
        let bar = |factor: f64| Some(Bar::new(value * factor, value * factor * 0.9, value * factor * 1.15));
        plot.group(*name, [bar(1.0), bar(0.5), bar(0.3)])
    });
    let skill =
        (0..14).fold(BarPlot::new("Skill on each trace", Axis::number("per cent"), ["skill"]), |plot, trace| {
            let value = f64::from(trace * 37 % 50) - 15.0;
            plot.group(format!("trace number {trace}"), [Some(Bar::new(value, value - 8.0, value + 6.0))])
        });
    let heat = (0..40).fold(
        HeatPlot::new(
            "Heat map",
            Axis::time("time, UTC"),
            (at(0), at(864)),
            "load units per second",
            Aggregate::Highest,
        ),
        |plot, row| {
            let values = (0..864)
                .map(|step| if row == 7 && step > 500 { f32::NAN } else { day(step, row as f64 / 40.0) as f32 });
            plot.row(format!("tenant-{row}"), values.collect())
        },
    );
    let table = Table::new("A table").text("arm").number("overload").number("moves");
    let table = arms
        .iter()
        .enumerate()
        .fold(table, |table, (at, arm)| table.row([arm.to_string(), format!("{at}00"), at.to_string()]));
    let page = Page::new("Gallery")
        .lead("Everything that a page can have.")
        .section(
            Section::new("")
                .callout(
                    Tone::Good,
                    "Moving by forecast pays.",
                    "It would have removed 43 % of the overload, between 31 and 52 %.",
                )
                .callout(Tone::Warn, "It does not pay at headroom 1.1.", "Leave the mode at advise.")
                .figures([
                    KeyFigure::new("43 %", "of the overload removed", "between 31 and 52 %"),
                    KeyFigure::new("212", "moves in ten days", "reactive: 7 012"),
                    KeyFigure::new("−4 %", "skill at headroom 1.1", "not told apart from 0"),
                ]),
        )
        .section(Section::new("Lines").text("As seen by the nodes.").lines(lines).lines(steps))
        .section(Section::new("Bars").bars(bars).bars(skill))
        .section(Section::new("Cells").heat(heat))
        .section(
            Section::new("Words")
                .table(table)
                .list(["One.", "Two."])
                .code("isobar assess queries.csv.gz")
                .note("A note."),
        )
        .footer("Made by an example.");
    print!("{}", page.html());
}
