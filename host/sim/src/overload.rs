//! The one measure by which every arm is judged.

use crate::scenario::Scenario;
use crate::timeline::{Placement, Timeline};
use isobar_model::NodeId;
use std::ops::Range;

/// Load of each node in load units per second, with the rates of `step`: what its shards cost it as leader and as follower.
#[must_use]
pub fn node_loads(scenario: &Scenario, placement: &Placement, step: usize) -> Vec<f64> {
    let mut loads = vec![0.0; scenario.spec.nodes];
    for (shard, replicas) in placement.iter().enumerate() {
        add(&mut loads, scenario, shard, replicas, step, 1.0);
    }
    loads
}

fn add(loads: &mut [f64], scenario: &Scenario, shard: usize, replicas: &[NodeId], step: usize, sign: f64) {
    let rate = sign * f64::from(scenario.shards[shard].ops[step]);
    for (i, node) in replicas.iter().enumerate() {
        let cost = if i == 0 { scenario.leader_cost() } else { scenario.follower_cost() };
        if let Some(load) = scenario.node_index(*node).and_then(|n| loads.get_mut(n)) {
            *load += rate * f64::from(cost);
        }
    }
}

/// Overload in node-seconds over the steps of `window`: the sum over nodes and time of max(load − capacity, 0) / capacity. Loads follow from
/// the offered rates of the trace, whatever a cluster managed to serve of them. Changes after the window do not count, changes
/// before it are in force from its start.
#[must_use]
pub fn overload(scenario: &Scenario, window: Range<usize>, timeline: &Timeline) -> f64 {
    let mut placement = timeline.start().clone();
    let mut changes = timeline.changes().iter().peekable();
    let capacity = f64::from(scenario.capacity);
    let excess = |loads: &[f64]| loads.iter().map(|load| (load - capacity).max(0.0)).sum::<f64>();
    let mut over_steps = 0.0;
    for step in window {
        let begin = step as f64;
        while let Some(change) = changes.next_if(|c| c.at_step <= begin) {
            placement[change.shard].clone_from(&change.replicas);
        }
        let mut loads = node_loads(scenario, &placement, step);
        let mut since = begin;
        while let Some(change) = changes.next_if(|c| c.at_step < begin + 1.0) {
            over_steps += excess(&loads) * (change.at_step - since);
            since = change.at_step;
            add(&mut loads, scenario, change.shard, &placement[change.shard], step, -1.0);
            add(&mut loads, scenario, change.shard, &change.replicas, step, 1.0);
            placement[change.shard].clone_from(&change.replicas);
        }
        over_steps += excess(&loads) * (begin + 1.0 - since);
    }
    over_steps / capacity * f64::from(scenario.step_ms) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ScenarioSpec, SimShard};
    use crate::timeline::Change;

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
