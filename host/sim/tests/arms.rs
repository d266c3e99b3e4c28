//! What the arms promise, with the first-party policies compiled natively.

mod native;

use isobar_model::NodeId;
use isobar_sim::{Scenario, ScenarioSpec, SimShard, Trace, overload, skill_pct};
use native::Forecasters;
use std::sync::Arc;

/// What the demo asks of the window that it replays.
#[test]
fn prediction_saves_overload_with_few_moves() {
    let scenario = Arc::new(Scenario::new(&Trace::worldwide().unwrap(), ScenarioSpec::default()).unwrap());
    let arms = native::arms(Arc::clone(&scenario), Forecasters::SeasonalNaive, "", "");
    let report = arms.window(0).unwrap();
    let [still, packed, reactive, predictive, clairvoyant] =
        [&report.still, &report.packed, &report.reactive, &report.predictive, &report.clairvoyant]
            .map(|arm| (arm.overload_node_s, arm.moves()));
    let all = format!("{still:?} {packed:?} {reactive:?} {predictive:?} {clairvoyant:?}");
    assert!(predictive.0 <= 0.7 * still.0, "{all}");
    assert!(predictive.0 < reactive.0, "{all}");
    assert!(predictive.1 <= 40.max(reactive.1 / 2), "{all}");
    assert!(clairvoyant.0 <= predictive.0, "{all}");
    // An arm's figure is what the one measure makes of its timeline; a second run gives the same.
    assert_eq!(predictive.0, overload(&scenario, scenario.window(0), &report.predictive.timeline));
    assert_eq!(arms.predictive(0).unwrap(), report.predictive);
}

/// The same where each shard has a handful of requests a step, so that loads are measured coarsely, and forecasters are swapped meanwhile:
/// what the demo does.
#[test]
fn a_swap_of_forecasters_brings_no_flood_of_moves() {
    for seed in [1, 2] {
        let spec = ScenarioSpec { mean_ops_per_s: 2.4, seed, ..ScenarioSpec::default() };
        let scenario = Arc::new(Scenario::new(&Trace::worldwide().unwrap(), spec).unwrap());
        let arms = native::arms(scenario, Forecasters::Swapped, "", "");
        let (still, predictive) = (arms.still(0).unwrap(), arms.predictive(0).unwrap());
        let all = format!("{} {} {}", still.overload_node_s, predictive.overload_node_s, predictive.moves());
        assert!(
            predictive.overload_node_s <= 0.7 * still.overload_node_s && predictive.moves() <= 40,
            "seed {seed}: {all}"
        );
    }
}

/// Promise 7: 24 hours of a static load, near capacity on some nodes and well above it on none, cause no moves.
#[test]
fn a_static_load_causes_no_moves() {
    let spec = ScenarioSpec { nodes: 4, history_steps: 2 * 288, window_steps: 288, ..ScenarioSpec::default() };
    let shard = |i: usize| SimShard { tenant: format!("t{i}"), part: 0, parts: 1, ops: vec![10.0 + i as f32; 3 * 288] };
    let start = (0..16).map(|i| (0..3).map(|r| NodeId((i + r) % 4 + 1)).collect()).collect();
    // Each node leads four shards of 10 to 25 op/s and follows eight: 112 load units at most.
    let scenario = Arc::new(Scenario::from_parts(spec, (0..16).map(shard).collect(), 120.0, start));
    let arms = native::arms(scenario, Forecasters::default(), "", "");
    for report in [arms.reactive(0).unwrap(), arms.predictive(0).unwrap(), arms.clairvoyant(0).unwrap()] {
        assert_eq!((report.moves(), report.overload_node_s), (0, 0.0));
    }
}

#[test]
fn a_policy_that_does_not_open_is_named() {
    let scenario = Arc::new(Scenario::new(&Trace::worldwide().unwrap(), ScenarioSpec::default()).unwrap());
    let arms = native::arms(scenario, Forecasters::default(), "{\"threshold\": 9}", "");
    assert!(arms.reactive(0).unwrap_err().to_string().contains("`threshold`"));
    assert!(arms.still(99).unwrap_err().to_string().contains("window 99"));
}

#[test]
fn skill_is_the_share_of_what_can_be_gained() {
    assert_eq!(skill_pct([10.0, 8.0, 9.0], 5.0, 2.0), Some(50.0));
    assert_eq!(skill_pct([10.0, 8.0, 9.0], 11.0, 2.0), Some(-50.0));
    assert_eq!(skill_pct([1.0, 1.0, 1.0], 1.0, 1.0), None);
}
