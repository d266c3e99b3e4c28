//! What the elastic arms promise, with the policy `consolidate` compiled natively.

#[expect(dead_code, reason = "the usual arms are of no use here")]
mod native;

use consolidate::Consolidate;
use isobar_sim::{DAY_STEPS, Elastic, ScenarioFile, Trace};
use native::{Forecasters, placer};

/// Two working days of 24 tenants, ten times as busy at noon as at night; nodes take an hour to fill.
const DAYS: &str = r#"
about = "small"
history_days = 7
days = 2
[nodes]
count = 8
headroom = 1.7
[shards]
mib = 16384
[moves]
per_node = 4
max_utilisation = 1.0
[[load]]
tenants = 24
shapes = [
  { kind = "diurnal", amplitude = 0.8, peak_hour = 14, spread_hours = 2 },
  { kind = "noise", deviation = 0.05 },
]
"#;

#[test]
fn fewer_nodes_do_where_the_day_is_foreseen() {
    let file = ScenarioFile::parse(DAYS).unwrap();
    let simulation = file.build(1, |_| Trace::worldwide()).unwrap();
    let elastic = Elastic::new(&simulation, Forecasters::SeasonalNaive.make(2 * DAY_STEPS), DAY_STEPS);
    let run = |config: &str| {
        let (run, report) = elastic.placed_by(0.0, &placer::<Consolidate>(config)).unwrap();
        assert_eq!(report.failures.count, 0, "{:?}", report.failures.first);
        run
    };
    let (foreseen, reactive) = (run(r#"{"target": 0.9}"#), run(r#"{"target": 0.9, "forecast": false}"#));
    let still = elastic.still(8);
    let all = format!("{foreseen:?} {reactive:?} {still:?}, at least {}", elastic.least_node_hours());
    assert!(foreseen.node_hours < 0.8 * still.node_hours && foreseen.node_hours > elastic.least_node_hours(), "{all}");
    assert!(foreseen.overload_node_s <= 0.25 * reactive.overload_node_s, "{all}");
    assert_eq!(elastic.judged().len(), DAY_STEPS);
}
