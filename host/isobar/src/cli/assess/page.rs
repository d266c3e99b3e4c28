//! The report as a page.

use super::Report;
use super::record::Record;
use super::text::{pays, skill, within};
use isobar_report::{
    Aggregate, Axis, Bar, BarPlot, HeatPlot, KeyFigure, Line, LinePlot, Page, Section, Table, Tone, date_time, short,
};
use isobar_sim::{Arm, Assessment, Cell, Findings, Interval, Pays};

/// Units shown as rows of the heat map: those with most load.
const SHOWN_UNITS: usize = 96;

pub(super) fn html(report: &Report<'_>, record: &Record, assessed: Option<&(Assessment, Findings)>) -> String {
    let names: Vec<&str> =
        report.files.iter().map(|file| file.rsplit(['/', '\\']).next().unwrap_or(file.as_str())).collect();
    let mut page = Page::new(format!("What moving shards would do: {}", names.join(", ")))
        .lead("Recorded load, and what five ways of placing it would have made of it. Nothing was moved to find out.");
    if let Some((_, findings)) = assessed {
        page = page.section(verdict(findings)).section(overload(findings));
        page = page.section(in_time(findings, record));
    }
    page = page.section(load(record, assessed.map(|(assessment, _)| assessment)));
    if let Some((_, findings)) = assessed {
        page = page.section(table(findings));
    }
    page.section(method(report)).footer("Made by isobar assess. This page fetches nothing.").html()
}

/// A length of time: `5 min`, `10.5 days`.
pub(super) fn length(ms: u64) -> String {
    let s = ms as f64 / 1000.0;
    let (value, unit) = match s {
        s if s < 1.0 => (s * 1000.0, "ms"),
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3_600.0, "hours"),
        s => (s / 86_400.0, "days"),
    };
    let text = if (value - value.round()).abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") };
    format!("{text} {unit}")
}

fn per_cent(interval: Interval) -> (String, String) {
    let whole = |value: f64| short(value.round());
    (format!("{} %", whole(interval.mid)), format!("between {} and {} %", whole(interval.low), whole(interval.high)))
}

/// The cell that the verdict speaks of.
fn spoken_of(findings: &Findings) -> Option<&Cell> {
    let verdict = &findings.verdict;
    findings.cells.iter().find(|cell| cell.headroom == verdict.headroom && cell.lead_steps == verdict.lead_steps)
}

fn verdict(findings: &Findings) -> Section {
    let verdict = &findings.verdict;
    let (tone, word) = match verdict.pays {
        Pays::Yes => (Tone::Good, "It pays."),
        Pays::Unclear => (Tone::Plain, "It can't be told."),
        Pays::No => (Tone::Warn, "It does not pay."),
        Pays::NoOverload => (Tone::Plain, "There is nothing to do."),
        Pays::NothingToGain => (Tone::Plain, "There is next to nothing to gain."),
    };
    let mut section = Section::new("").callout(tone, word, verdict.sentence.clone());
    if let Some(cell) = spoken_of(findings) {
        let (gain, sure) = per_cent(cell.gain_pct);
        let mut figures = vec![KeyFigure::new(gain, "of the overload removed by forecast", sure)];
        if let Some((skill, sure)) = cell.skill_pct.map(per_cent) {
            figures.push(KeyFigure::new(skill, "skill: of what the future's knowledge would gain", sure));
        }
        if let Some((avoided, sure)) = cell.avoided_pct.map(per_cent) {
            figures.push(KeyFigure::new(avoided, "of reactive's avoidable overload removed", sure));
        }
        let moves = |arm| cell.arm(arm).map_or(f64::NAN, |figures| figures.moves.mid);
        figures.push(KeyFigure::new(
            short(moves(Arm::Predictive)),
            "moves by forecast",
            format!("reactive: {}", short(moves(Arm::Reactive))),
        ));
        section = section.figures(figures);
    }
    section.list(verdict.advice.clone())
}

fn bar(interval: Interval) -> Option<Bar> {
    interval.mid.is_finite().then(|| Bar::new(interval.mid, interval.low, interval.high))
}

fn overload(findings: &Findings) -> Section {
    let step_ms = u64::from(findings.facts.step_ms);
    let mut section = Section::new("Overload by headroom").text(
        "Node-seconds of load above capacity, the median of the starts; the whiskers reach from the lowest to the highest of them.",
    );
    let mut leads: Vec<usize> = findings.cells.iter().map(|cell| cell.lead_steps).collect();
    leads.sort_unstable();
    leads.dedup();
    for lead in leads {
        let empty = BarPlot::new(
            format!("Moves that take {}", length(lead as u64 * step_ms)),
            Axis::number("node-seconds of overload"),
            Arm::ALL.map(Arm::name),
        )
        .what("Each group is a headroom: capacity over the load that the history stays below in 95 of 100 steps.");
        let cells = findings.cells.iter().filter(|cell| cell.lead_steps == lead);
        section = section.bars(cells.fold(empty, |plot, cell| {
            plot.group(format!("headroom {}", cell.headroom), cell.arms.iter().map(|arm| bar(arm.overload_node_s)))
        }));
    }
    let group = |cell: &Cell| format!("{} at {}", length(cell.lead_steps as u64 * step_ms), cell.headroom);
    let gain = findings.cells.iter().fold(
        BarPlot::new("What the forecast removes", Axis::number("per cent of the overload"), ["predictive", "clairvoyant"])
            .what("Of the overload that is left by the best of static, packed and reactive; the whiskers hold 95 of 100 resampled figures. Below zero it adds some."),
        |plot, cell| plot.group(group(cell), [bar(cell.gain_pct), bar(cell.gainable_pct)]),
    );
    let moves = findings.cells.iter().fold(
        BarPlot::new("Moves", Axis::number("moves"), ["reactive", "predictive", "clairvoyant"])
            .what("Begun while the window passed, the median of the starts."),
        |plot, cell| {
            let of = |arm| cell.arm(arm).and_then(|figures| bar(figures.moves));
            plot.group(group(cell), [of(Arm::Reactive), of(Arm::Predictive), of(Arm::Clairvoyant)])
        },
    );
    section.bars(gain).bars(moves)
}

fn in_time(findings: &Findings, record: &Record) -> Section {
    let Some(cell) = spoken_of(findings) else { return Section::new("") };
    let facts = &findings.facts;
    let step_ms = f64::from(facts.step_ms);
    let window_start = record.start.0 as f64 + (facts.skipped_steps + facts.history_steps) as f64 * step_ms;
    let part_ms = facts.window_steps as f64 * step_ms / findings.parts.max(1) as f64;
    let plot = LinePlot::new(
        format!("Overload over the window, headroom {}, moves that take {}", cell.headroom, length(cell.lead_steps as u64 * u64::from(facts.step_ms))),
        Axis::time("time, UTC"),
        Axis::number("node-seconds of overload in each part of the window").from_zero(),
    )
    .what("The mean of the starts. Few parts may make most of the overload: then the figures hang on them, and the intervals say so.");
    let plot = cell.arms.iter().fold(plot, |plot, arm| {
        let mut points: Vec<(f64, f64)> = arm
            .overload_by_part
            .iter()
            .enumerate()
            .map(|(part, over)| (window_start + part as f64 * part_ms, *over))
            .collect();
        if let Some((last, over)) = points.last().copied() {
            points.push((last + part_ms, over));
        }
        plot.line(Line::new(arm.arm.name(), points).stepped())
    });
    Section::new("When it happens").lines(plot)
}

fn load(record: &Record, assessment: Option<&Assessment>) -> Section {
    let facts = &record.facts;
    let step_ms = f64::from(facts.step_ms);
    let at = |step: usize| record.start.0 as f64 + step as f64 * step_ms;
    let total: Vec<(f64, f64)> = (0..facts.steps)
        .map(|step| (at(step), record.units.iter().map(|unit| f64::from(unit.values[step])).sum()))
        .collect();
    let mut plot =
        LinePlot::new("Load of all units", Axis::time("time, UTC"), Axis::number("load per second").from_zero())
            .what(format!("{} units in steps of {}.", facts.units, length(u64::from(facts.step_ms))))
            .line(Line::new("all", total));
    if let Some(assessment) = assessment {
        let made = assessment.facts();
        for headroom in &assessment.spec().headrooms {
            plot = plot.level(made.usual_peak * headroom, format!("all nodes at {headroom}"));
        }
        plot = plot.mark(at(made.skipped_steps + made.history_steps), "window");
    }
    let mut order: Vec<usize> = (0..record.units.len()).collect();
    let sum = |at: &usize| record.units[*at].values.iter().map(|value| f64::from(*value)).sum::<f64>();
    order.sort_by(|a, b| sum(b).total_cmp(&sum(a)).then(a.cmp(b)));
    let shown = order.iter().take(SHOWN_UNITS);
    let heat = HeatPlot::new(
        "Load of each unit",
        Axis::time("time, UTC"),
        (at(0), at(facts.steps)),
        "share of the unit's own largest load",
        Aggregate::Highest,
    )
    .what("The units with most load above. Bright columns are times when all are busy; bright cells that wander are what moves can follow.");
    let heat = shown.fold(heat, |plot, unit| {
        let unit = &record.units[*unit];
        let largest = unit.values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        plot.row(unit.name.clone(), unit.values.iter().map(|value| value / largest).collect())
    });
    let mut figures = vec![
        KeyFigure::new(
            short(facts.events as f64),
            "queries or values read",
            format!("{} lines a second", short(facts.lines_per_s)),
        ),
        KeyFigure::new(
            length(facts.steps as u64 * u64::from(facts.step_ms)),
            "of record",
            format!("from {}", date_time(at(0))),
        ),
    ];
    if let Some((name, share)) = facts.largest_units.first() {
        figures.push(KeyFigure::new(
            format!("{} %", short(100.0 * share)),
            "of all load on the largest unit",
            name.clone(),
        ));
    }
    if let Some(share) = facts.hottest_key_share {
        let keys = facts.distinct_keys.map_or(String::new(), |keys| format!("of about {} keys", short(keys)));
        figures.push(KeyFigure::new(format!("{} %", short(100.0 * share)), "of all load on the hottest key", keys));
    }
    let largest = Table::new("The units with most load").text("unit").number("share of all load, %");
    let largest = facts
        .largest_units
        .iter()
        .fold(largest, |table, (name, share)| table.row([name.clone(), short(100.0 * share)]));
    Section::new("The load").figures(figures).lines(plot).heat(heat).table(largest)
}

fn table(findings: &Findings) -> Section {
    let step_ms = u64::from(findings.facts.step_ms);
    let mut table = Table::new("All that was tried: medians, between the lowest and highest of the starts")
        .text("headroom, lead")
        .text("arm")
        .number("overload, node-seconds")
        .number("p99, ms")
        .number("moves")
        .number("moved bytes")
        .number("moved back at once");
    let mut cells = Table::new("What the forecast came to; in brackets 95 of 100 resampled figures")
        .text("headroom, lead")
        .text("best without")
        .number("gain, %")
        .number("to gain, %")
        .number("skill, %")
        .number("of reactive's avoidable, %")
        .number("node-hours")
        .number("as good without at headroom")
        .text("pays");
    let span =
        |i: Interval| format!("{} ({} to {})", short(i.mid.round()), short(i.low.round()), short(i.high.round()));
    for cell in &findings.cells {
        let name = format!("{}, {}", cell.headroom, length(cell.lead_steps as u64 * step_ms));
        for arm in &cell.arms {
            table.push([
                name.clone(),
                arm.arm.name().to_owned(),
                span(arm.overload_node_s),
                arm.p99_ms.map_or_else(|| "–".into(), span),
                span(arm.moves),
                arm.moved_bytes.map_or_else(|| "–".into(), span),
                span(arm.thrash),
            ]);
        }
        cells.push([
            name,
            cell.best_without.name().to_owned(),
            within(cell.gain_pct),
            within(cell.gainable_pct),
            skill(cell),
            cell.avoided_pct.map_or_else(|| "–".into(), within),
            short(cell.node_hours),
            cell.equal_headroom.map_or_else(|| "–".into(), |headroom| format!("{headroom:.2}")),
            pays(cell.pays).to_owned(),
        ]);
    }
    Section::new("All figures").table(cells).table(table)
}

fn method(report: &Report<'_>) -> Section {
    Section::new("How it was found")
        .list([
            "static: a random placement, balanced by count, left alone. packed: one placement, packed on the history. reactive: moves once a node is overloaded. predictive: moves by a forecast. clairvoyant: the same, knowing the future; what it still suffers, no moving can avoid.",
            "The last three run through the control loop that drives a cluster, with its rules: no shard moves twice within 12 steps, and a move takes effect after its lead time.",
            "Overload is load above capacity, over capacity, summed over nodes and seconds. Capacity is headroom times the load that the history stays below in 95 of 100 steps, over the nodes.",
            "Gain and skill are measured against the best arm that needs no forecast, by the sums over all starts. Their intervals come from 2 000 resamples of starts and days at once. It is said to pay only where the whole interval of the gain lies above zero.",
        ])
        .list(report.remarks.iter().cloned())
        .note(format!(
            "Forecaster: {}. Placer: {}. Starts: {}. The record is of one time only: another month may differ more than the intervals say.",
            report.forecaster,
            report.placer,
            report.seeds.len()
        ))
}
