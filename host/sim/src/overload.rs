//! The one measure by which every arm is judged.

use crate::playback::{Stretch, play};
use crate::scenario::Scenario;
use crate::timeline::Timeline;
use std::ops::Range;

/// Overload in node-seconds over the steps of `window`: the sum over nodes and time of max(load − capacity, 0) / capacity; see [`play`] for what
/// counts as load.
#[must_use]
pub fn overload(scenario: &Scenario, window: Range<usize>, timeline: &Timeline) -> f64 {
    let mut over_steps = 0.0;
    play(scenario, window, timeline, |stretch| {
        over_steps += excess(scenario, stretch) * (stretch.to - stretch.from);
    });
    over_steps * f64::from(scenario.step_ms) / 1_000.0
}

/// Overload at one moment, in nodes.
pub(crate) fn excess(scenario: &Scenario, stretch: &Stretch<'_>) -> f64 {
    let over = |(node, load): (usize, &f64)| {
        let capacity = f64::from(scenario.capacity_of(node));
        (load - capacity).max(0.0) / capacity
    };
    stretch.loads.iter().enumerate().map(over).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playback::node_loads;
    use crate::scenario::{ScenarioSpec, SimShard};
    use crate::timeline::Change;
    use isobar_model::NodeId;

    fn two_nodes() -> Scenario {
        let shard = |ops: [f32; 3]| SimShard { tenant: "t".into(), part: 0, parts: 1, ops: ops.to_vec() };
        let spec = ScenarioSpec { nodes: 2, replication_factor: 2, history_steps: 1, ..ScenarioSpec::default() };
        let start = vec![vec![NodeId(1), NodeId(2)], vec![NodeId(1), NodeId(2)]];
        Scenario::from_parts(spec, vec![shard([100.0; 3]), shard([100.0, 50.0, 100.0])], 120.0, start)
    }

    #[test]
    fn overload_is_what_exceeds_capacity_in_node_seconds() {
        let scenario = two_nodes();
        // Node 1 leads both: 1.2 · 200 = 240, then 180, then 240 of 120; node 2 follows: 40, 30, 40.
        assert_eq!(
            node_loads(&scenario, &scenario.start, 0).iter().map(|l| l.round() as i64).collect::<Vec<_>>(),
            [240, 40]
        );
        let still = Timeline::new(scenario.start.clone());
        let seconds = overload(&scenario, 0..3, &still);
        assert!((seconds - 300.0 * (1.0 + 0.5 + 1.0)).abs() < 1e-2, "{seconds}");
    }

    #[test]
    fn a_change_counts_from_its_moment_on() {
        let scenario = two_nodes();
        let mut timeline = Timeline::new(scenario.start.clone());
        // Half-way through step 1 shard 0 is led by node 2: 60 + 20 and 120 + 10 in step 1, 140 and 140 in step 2.
        timeline.push(Change { at_step: 9.0, shard: 1, replicas: vec![NodeId(2), NodeId(1)] });
        timeline.push(Change { at_step: 1.5, shard: 0, replicas: vec![NodeId(2), NodeId(1)] });
        let seconds = overload(&scenario, 0..3, &timeline);
        let want = 300.0 * (1.0 + 0.5 * 0.5 + 0.5 * (10.0 / 120.0) + 2.0 * (20.0 / 120.0));
        assert!((seconds - want).abs() < 1e-2, "{seconds} {want}");
        assert!((overload(&scenario, 2..3, &timeline) - 100.0).abs() < 1e-2);
    }
}
