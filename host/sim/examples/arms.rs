//! Prints what each arm makes of further half-days of the bundled trace, by the planner alone:
//!
//! `cargo run -p isobar-sim --example arms -- --windows 0,1,2 --headroom 1.3 --seeds 1,2 --forecaster swapped --predictive '{"max_moves": 8}'`

#[path = "../tests/native/mod.rs"]
mod native;

use isobar_sim::{ArmReport, Scenario, ScenarioSpec, Trace, skill_pct};
use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;

fn list<T: FromStr<Err: Error + 'static>>(text: &str) -> Result<Vec<T>, Box<dyn Error>> {
    text.split(',').map(|item| Ok(item.parse()?)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options: BTreeMap<String, String> = [
        ("windows", "0,1,2,3,4,5,6,7"),
        ("headroom", "1.3"),
        ("seeds", "1"),
        ("ops", "2.4"),
        ("forecaster", "seasonal-naive"),
        ("reactive", "{}"),
        ("predictive", "{}"),
    ]
    .map(|(name, value)| (format!("--{name}"), value.to_owned()))
    .into();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let known = options.get_mut(&name).ok_or_else(|| format!("no option {name}"))?;
        *known = args.next().ok_or_else(|| format!("{name} wants a value"))?;
    }
    let trace = Trace::worldwide()?;
    println!("overload in node-seconds (moves)");
    println!("headroom seed window   static      packed    reactive    predictive   clairvoyant   skill");
    for headroom in list::<f64>(&options["--headroom"])? {
        let mut total = [(0.0, 0); 5];
        let mut best = 0.0;
        for seed in list::<u64>(&options["--seeds"])? {
            let mean_ops_per_s = options["--ops"].parse()?;
            let spec = ScenarioSpec { headroom, seed, mean_ops_per_s, ..ScenarioSpec::default() };
            let scenario = Arc::new(Scenario::new(&trace, spec)?);
            let arms = native::arms(
                scenario,
                options["--forecaster"].parse()?,
                &options["--reactive"],
                &options["--predictive"],
            );
            for k in list::<usize>(&options["--windows"])? {
                let report = arms.window(k)?;
                let row = [&report.still, &report.packed, &report.reactive, &report.predictive, &report.clairvoyant];
                for (sum, arm) in total.iter_mut().zip(row) {
                    *sum = (sum.0 + arm.overload_node_s, sum.1 + arm.moves());
                }
                best += row[..3].iter().map(|arm| arm.overload_node_s).fold(f64::INFINITY, f64::min);
                let figure = |arm: &ArmReport| format!("{:.0} ({})", arm.overload_node_s, arm.moves());
                let skill = report.skill_pct().map_or("–".to_owned(), |skill| format!("{skill:.0} %"));
                println!(
                    "{headroom:8} {seed:4} {k:6} {:>8} {:>11} {:>11} {:>13} {:>13} {skill:>7}",
                    format!("{:.0}", row[0].overload_node_s),
                    figure(row[1]),
                    figure(row[2]),
                    figure(row[3]),
                    figure(row[4]),
                );
            }
        }
        let figure = |arm: usize| format!("{:.0} ({})", total[arm].0, total[arm].1);
        let skill =
            skill_pct([best; 3], total[3].0, total[4].0).map_or("–".to_owned(), |skill| format!("{skill:.0} %"));
        println!(
            "{headroom:8} sum: {:>14} {:>11} {:>11} {:>13} {:>13} {skill:>7}",
            figure(0),
            figure(1),
            figure(2),
            figure(3),
            figure(4)
        );
    }
    Ok(())
}
