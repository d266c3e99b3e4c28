//! Sweeps the elastic arms over a scenario, by the planner alone, and prints what each pays and suffers, and both figures that follow:
//!
//! `cargo run -p isobar-sim --example elastic -- --scenario examples/scenarios/elastic.toml --seeds 1,2,3`
//!
//! `static`: so many nodes all the time, packed on the history. `reactive`: the policy `consolidate` on measured load alone, over its target and over
//! `shrink`. `forecast`: the same policy with the forecast of `seasonal-naive`, over its target.

#[path = "../tests/native/mod.rs"]
#[expect(dead_code, reason = "the usual arms are of no use here")]
mod native;

use consolidate::Consolidate;
use isobar_sim::{
    ArmReport, DAY_STEPS, Elastic, ElasticRun, Scenario, ScenarioFile, Trace, front, node_hours_saved_pct,
    overload_reduction_pct, static_peak, used_node_hours,
};
use native::{Forecasters, placer};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::str::FromStr;

/// Overload that a fleet as large as its peak needs may suffer, as a share of its node-time: nine seconds a day of each node.
const STATIC_OVERLOAD: f64 = 1e-4;

fn list<T: FromStr<Err: Error + 'static>>(text: &str) -> Result<Vec<T>, Box<dyn Error>> {
    text.split(',').filter(|item| !item.is_empty()).map(|item| Ok(item.parse()?)).collect()
}

/// The configuration with one more field; `more` is what stands between the braces.
fn with(more: &str, field: &str) -> String {
    let comma = if more.trim().is_empty() { "" } else { ", " };
    format!("{{{field}{comma}{more}}}")
}

fn row(arm: &str, run: &ElasticRun, on_front: bool) {
    let mark = if on_front { "*" } else { "" };
    println!(
        "{arm:<16} {:>8} {:>11.1} {:>12.1} {:>7} {:>10}  {mark}",
        run.setting, run.node_hours, run.overload_node_s, run.data_moves, run.leader_transfers
    );
}

fn print(arm: &str, runs: &[ElasticRun]) {
    let front = front(runs);
    runs.iter().for_each(|run| row(arm, run, front.contains(run)));
}

fn course(scenario: &Scenario, elastic: &Elastic, report: &ArmReport) {
    for from in elastic.judged().step_by(DAY_STEPS / 24) {
        let hour = from..from + DAY_STEPS / 24;
        let used = used_node_hours(scenario, hour.clone(), &report.timeline, &report.moves);
        let begun = report.moves.iter().filter(|begun| !begun.leader_only && hour.contains(&begun.begun_step)).count();
        println!(
            "  day {:>2} hour {:>2}: {used:.1} nodes, {:.1} needed, {begun} moves of data",
            from / DAY_STEPS,
            from % DAY_STEPS / 12,
            elastic.least_node_hours_in(hour)
        );
    }
}

fn percent(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.1}"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options: BTreeMap<String, String> = [
        ("scenario", "examples/scenarios/elastic.toml"),
        ("seeds", "1"),
        ("forecaster", "seasonal-naive"),
        // Of the static arm; empty: from the replication factor to all.
        ("nodes", ""),
        ("targets", "0.5,0.6,0.65,0.7,0.75,0.8,0.85,0.9,0.95"),
        ("reactive-targets", "0.35,0.4,0.45,0.5,0.55,0.6,0.65,0.7,0.75,0.8,0.85,0.9,0.95"),
        ("shrinks", "0.7,0.85,0.95"),
        // `yes`: nodes that are paid for, and that an even spread would need, by the hour.
        ("course", "no"),
        // Fields of the configuration of both, without braces.
        ("reactive", ""),
        ("forecast", ""),
    ]
    .map(|(name, value)| (format!("--{name}"), value.to_owned()))
    .into();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let known = options.get_mut(&name).ok_or_else(|| format!("no option {name}"))?;
        *known = args.next().ok_or_else(|| format!("{name} wants a value"))?;
    }
    let path = &options["--scenario"];
    let text = std::fs::read_to_string(path).map_err(|problem| format!("{path} can't be read: {problem}"))?;
    let file = ScenarioFile::parse(&text)?;
    let forecasters: Forecasters = options["--forecaster"].parse()?;
    let (mut reductions, mut savings) = (Vec::new(), Vec::new());
    for seed in list::<u64>(&options["--seeds"])? {
        let simulation = file.build(seed, |name| match name {
            "worldwide" => Trace::worldwide(),
            file => Trace::read(File::open(file).map_err(|problem| csv_error(&problem))?),
        })?;
        let elastic = Elastic::new(&simulation, forecasters.make(simulation.scenario.spec.window_steps), DAY_STEPS);
        println!(
            "seed {seed}: {} shards; evenly spread, the load needs {:.1} node-hours",
            simulation.scenario.shards.len(),
            elastic.least_node_hours()
        );
        println!("arm               setting  node-hours   overload, s    data  transfers  front");
        let spec = &simulation.scenario.spec;
        let nodes = match list::<usize>(&options["--nodes"])? {
            all if all.is_empty() => (spec.replication_factor..=spec.nodes).collect(),
            some => some,
        };
        let still: Vec<ElasticRun> = nodes.into_iter().map(|nodes| elastic.still(nodes)).collect();
        print("static", &still);
        let mut reactive = Vec::new();
        for shrink in list::<f64>(&options["--shrinks"])? {
            for target in list::<f64>(&options["--reactive-targets"])? {
                let field = format!(r#""forecast": false, "target": {target}, "shrink": {shrink}"#);
                let config = with(&options["--reactive"], &field);
                reactive.push(elastic.placed_by(target, &placer::<Consolidate>(&config))?.0);
            }
        }
        print("reactive", &reactive);
        let mut forecast = Vec::new();
        for target in list::<f64>(&options["--targets"])? {
            let config = with(&options["--forecast"], &format!(r#""target": {target}"#));
            let (run, report) = elastic.placed_by(target, &placer::<Consolidate>(&config))?;
            forecast.push(run);
            if options["--course"] == "yes" {
                course(&simulation.scenario, &elastic, &report);
            }
        }
        print("forecast", &forecast);
        let reduction = overload_reduction_pct(&reactive, &forecast);
        let peak = static_peak(&still, STATIC_OVERLOAD);
        let saved = peak.and_then(|peak| node_hours_saved_pct(&peak, &forecast));
        println!(
            "static peak: {}; elastic_overload_reduction_pct {}; node_hours_saved_pct {}",
            peak.map_or_else(|| "no fleet is enough".to_owned(), |peak| format!("{} nodes", peak.setting)),
            percent(reduction),
            percent(saved)
        );
        reductions.extend(reduction);
        savings.extend(saved);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    println!(
        "medians: elastic_overload_reduction_pct {}; node_hours_saved_pct {}",
        percent(median(reductions)),
        percent(median(savings))
    );
    Ok(())
}

fn csv_error(problem: &std::io::Error) -> isobar_sim::TraceError {
    isobar_sim::TraceError::Unreadable(std::io::Error::new(problem.kind(), problem.to_string()).into())
}
