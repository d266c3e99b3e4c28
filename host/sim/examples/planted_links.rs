//! How many planted links the analyzer finds, and how many it makes up.
//!
//!     cargo run --release -p isobar-sim --example planted_links -- --seeds 100

use isobar_analyzer::{History, HistorySpec, InsightsSpec, find_insights};
use isobar_model::Metric;
use isobar_sim::{DAY_STEPS, PlantedSet, PlantedSpec, STEP_MS, Trace};

fn main() {
    let arg = |name: &str, default: u64| {
        let mut args = std::env::args().skip_while(|a| a != name).skip(1);
        args.next().and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let (first, seeds, verbose) = (arg("--first", 0), arg("--seeds", 20), arg("--verbose", 0));
    let trace = Trace::worldwide().unwrap();
    let (mut planted, mut found, mut false_links, mut all_found) = (0, 0, 0, 0);
    for seed in first..first + seeds {
        let set = PlantedSet::new(&trace, &PlantedSpec::new(seed)).unwrap();
        let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: 28 * 288 });
        history.import(&set.batch(0, 14 * DAY_STEPS)).unwrap();
        let insights = find_insights(&history, Vec::new(), InsightsSpec::default());
        let mut hits = 0;
        for link in &set.links {
            let hit = insights.links.iter().any(|f| {
                (f.follower, f.leader) == (link.follower, link.leader) && f.lag_steps.abs_diff(link.lag_steps) <= 1
            });
            hits += usize::from(hit);
            if !hit && verbose > 0 {
                println!("seed {seed}: missed {link:?}");
            }
        }
        for f in &insights.links {
            let real = set.links.iter().any(|l| (f.follower, f.leader) == (l.follower, l.leader) && f.lag_steps.abs_diff(l.lag_steps) <= 1);
            if !real {
                false_links += 1;
                if verbose > 0 {
                    println!("seed {seed}: false {f:?} groups {:?}", insights.groups);
                }
            }
        }
        planted += set.links.len();
        found += hits;
        all_found += usize::from(hits == set.links.len());
    }
    println!("planted {planted}, found {found} ({:.1} %), sets with all found {all_found} of {seeds}, false {false_links} ({:.1} % of those found)",
        100.0 * found as f64 / planted as f64, 100.0 * f64::from(false_links) / (f64::from(false_links) + found as f64));
}
