//! The report as a page: what the table says, and how it came about over time. The course of the first seed is drawn; bars are of all seeds.

use super::contender::Contender;
use super::figures_table;
use super::report::{Report, Run};
use isobar_report::{
    Aggregate, Axis, Bar, BarPlot, HeatPlot, KeyFigure, Line, LinePlot, MAX_SERIES, Page, Section, Table,
};
use isobar_sim::{Arm, Course, Scenario};
use std::collections::BTreeMap;
use std::path::Path;

/// Tenants whose load is drawn, the largest.
const TENANTS_DRAWN: usize = 60;

/// Writes it all.
pub(super) fn html(report: &Report, scenario: &Scenario, command: &str, path: &Path) -> String {
    let drawn: Vec<(&Run, &Course)> = report.runs.iter().filter_map(|run| Some((run, run.course.as_ref()?))).collect();
    let clock = Clock { scenario };
    let mut page = Page::new(format!("Simulation: {}", report.scenario)).lead(report.facts.about.clone());
    page = page.section(summary(report)).section(over_time(&drawn, clock));
    let sides = side_by_side(&drawn);
    if !sides.is_empty() {
        page = page.section(nodes(&sides, clock));
    }
    page = page.section(offered(clock)).section(Section::new("How to run it again").code(command.to_owned()));
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    page.footer(format!("{file}: made by isobar simulate, in virtual time; no cluster was asked, nothing was moved."))
        .html()
}

/// When steps of the window are.
#[derive(Clone, Copy)]
struct Clock<'a> {
    scenario: &'a Scenario,
}

impl Clock<'_> {
    fn at(self, step: usize) -> f64 {
        self.scenario.instant(self.scenario.window(0).start + step).0 as f64
    }

    fn axis(self) -> Axis {
        Axis::time("time, UTC")
    }

    fn line(self, name: &str, values: impl IntoIterator<Item = f64>) -> Line {
        Line::new(name, values.into_iter().enumerate().map(|(step, value)| (self.at(step), value)).collect())
    }

    /// What befell nodes.
    fn marked(self, mut plot: LinePlot) -> LinePlot {
        let window = self.scenario.window(0);
        for outage in &self.scenario.nodes.outages {
            let node = outage.node + 1;
            plot = plot.mark(self.at(outage.steps.start - window.start), format!("node {node} is lost"));
            if window.contains(&outage.steps.end) {
                plot = plot.mark(self.at(outage.steps.end - window.start), format!("node {node} is back"));
            }
        }
        for drain in &self.scenario.nodes.drains {
            plot = plot.mark(self.at(drain.from_step - window.start), format!("node {} is drained", drain.node + 1));
        }
        plot
    }
}

fn summary(report: &Report) -> Section {
    let facts = &report.facts;
    let mut figures = vec![
        KeyFigure::new(
            facts.nodes.to_string(),
            "nodes",
            format!("of {:.0} load units per second", facts.node_capacity),
        ),
        KeyFigure::new(facts.shards.to_string(), "shards", format!("of {} tenants", facts.tenants)),
    ];
    let mut skilled = report.arms.iter().filter(|arm| arm.arm == Arm::Predictive.name());
    if let Some(skill) = skilled.find_map(|arm| arm.skill_pct) {
        let detail = "of the overload that a forecast can save and no other way can";
        figures.push(KeyFigure::new(format!("{skill:.0} %"), "skill of the predictive placement", detail));
    }
    let mut plot =
        BarPlot::new("Overload by arm", Axis::number("node-seconds above capacity").from_zero(), ["overload"])
            .what("Mean over the seeds, and the range of them.");
    for arm in &report.arms {
        let all = || report.runs.iter().filter(|run| run.arm == arm.arm).map(|run| run.figures.overload_node_s);
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        plot = plot.group(arm.arm.clone(), [Some(Bar::new(arm.overload_node_s, low, high))]);
    }
    let section = Section::new("What it came to")
        .figures(figures)
        .table(table(&figures_table::arms(report), "Means over the seeds"));
    let section = section.bars(plot);
    if facts.outages == 0 {
        return section;
    }
    section.table(table(&figures_table::outages(report), "What the host did where nodes were away"))
}

fn table(cells: &figures_table::Cells, caption: &str) -> Table {
    let (first, others) = cells.header.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
    let empty = others.iter().fold(Table::new(caption).text(first), |table, name| table.number(*name));
    cells.rows.iter().fold(empty, |table, row| table.row(row.clone()))
}

fn over_time(drawn: &[(&Run, &Course)], clock: Clock<'_>) -> Section {
    let plot = |title: &str, y: Axis, what: &str| LinePlot::new(title, clock.axis(), y).what(what);
    let mut overload = plot(
        "Overload",
        Axis::number("node-seconds above capacity, a step").from_zero(),
        "How much the nodes were asked for above what they carry, in each five minutes.",
    );
    let mut latency = plot(
        "Latency",
        Axis::number("99 of 100 requests answered within, ms").from_zero(),
        "By the queueing model: see the README of the scenarios.",
    );
    let mut moves = plot(
        "Moves",
        Axis::number("leader transfers and moves of data begun, all so far").from_zero(),
        "Each arm's moves, added up.",
    );
    for (run, course) in drawn {
        overload = overload.line(clock.line(&run.arm, course.overload_node_s.iter().copied()));
        latency = latency.line(clock.line(&run.arm, course.p99_ms.iter().map(|ms| ms.unwrap_or(f64::NAN))));
        let begun = course.data_moves.iter().zip(&course.leader_transfers).scan(0, |sum, (data, leader)| {
            *sum += data + leader;
            Some(f64::from(*sum))
        });
        moves = moves.line(clock.line(&run.arm, begun).stepped());
    }
    let seed = drawn.first().map_or_else(String::new, |(run, _)| format!(" Seed {}.", run.seed));
    Section::new("Over time")
        .text(format!("Every arm under the same load, from the same start placement.{seed}"))
        .lines(clock.marked(overload))
        .lines(clock.marked(latency))
        .lines(clock.marked(moves))
}

/// The two arms to be looked at closely: what was given beside the arms and what it is to be compared with; else the arms that act without and
/// with a forecast; else the first two.
fn side_by_side<'a>(drawn: &[(&'a Run, &'a Course)]) -> Vec<(&'a Run, &'a Course)> {
    let rank = |run: &Run| match &run.contender {
        Contender::Policy(_) => 0,
        Contender::Arm(Arm::Predictive) => 1,
        Contender::Arm(Arm::Reactive) => 2,
        Contender::Arm(Arm::Static) => 3,
        Contender::Arm(Arm::Packed | Arm::Clairvoyant) => 4,
    };
    let mut all = drawn.to_vec();
    all.sort_by_key(|(run, _)| rank(run));
    all.truncate(2);
    all
}

fn nodes(sides: &[(&Run, &Course)], clock: Clock<'_>) -> Section {
    let names: Vec<&str> = sides.iter().map(|(run, _)| run.arm.as_str()).collect();
    let mut section = Section::new(names.join(" and "))
        .text("The same nodes under the same load, side by side: colours and heights compare.");
    let count = sides[0].1.utilisation.len();
    for (run, course) in sides {
        let steps = course.overload_node_s.len();
        let mut heat = HeatPlot::new(
            format!("Load of each node over its capacity: {}", run.arm),
            clock.axis(),
            (clock.at(0), clock.at(steps)),
            "load over capacity",
            Aggregate::Highest,
        );
        for (node, values) in course.utilisation.iter().enumerate() {
            heat = heat.row(format!("node {}", node + 1), values.clone());
        }
        section = section.heat(heat.what("Above 1 a node is asked for more than it carries."));
    }
    for (run, course) in sides {
        let title = format!("Load by node: {}", run.arm);
        let mut plot =
            LinePlot::new(title, clock.axis(), Axis::number("load over capacity").from_zero()).level(1.0, "capacity");
        if count <= MAX_SERIES {
            for (node, values) in course.utilisation.iter().enumerate() {
                plot = plot.line(clock.line(&format!("node {}", node + 1), values.iter().map(|v| f64::from(*v))));
            }
        } else {
            // Too many to tell apart: how they are spread.
            for (name, q) in [("highest", 1.0), ("90th of 100", 0.9), ("middle", 0.5), ("lowest", 0.0)] {
                let values = (0..course.overload_node_s.len()).map(|step| spread(course, step, q));
                plot = plot.line(clock.line(name, values));
            }
        }
        section = section.lines(clock.marked(plot));
    }
    section
}

/// The load over capacity that a share `q` of the nodes stay at or below.
fn spread(course: &Course, step: usize, q: f64) -> f64 {
    let mut values: Vec<f32> = course.utilisation.iter().map(|values| values[step]).collect();
    values.sort_by(f32::total_cmp);
    values.get((q * (values.len() - 1) as f64).round() as usize).copied().map_or(f64::NAN, f64::from)
}

fn offered(clock: Clock<'_>) -> Section {
    let scenario = clock.scenario;
    let window = scenario.window(0);
    let mut tenants: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for shard in &scenario.shards {
        let sum = tenants.entry(&shard.tenant).or_insert_with(|| vec![0.0; window.len()]);
        sum.iter_mut().zip(&shard.ops[window.clone()]).for_each(|(sum, ops)| *sum += ops);
    }
    let mut largest: Vec<(&str, Vec<f32>)> = tenants.into_iter().collect();
    largest.sort_by(|a, b| b.1.iter().sum::<f32>().total_cmp(&a.1.iter().sum::<f32>()));
    let all = largest.len();
    largest.truncate(TENANTS_DRAWN);
    let heat = HeatPlot::new(
        "Load offered, by tenant",
        clock.axis(),
        (clock.at(0), clock.at(window.len())),
        "operations per second",
        Aggregate::Highest,
    )
    .what(format!("The {} largest of {all} tenants.", largest.len()));
    let heat = largest.into_iter().fold(heat, |heat, (name, values)| heat.row(name, values));
    Section::new("What was asked of the nodes").heat(heat)
}
