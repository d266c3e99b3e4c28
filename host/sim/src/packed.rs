//! The arm that is hard to beat and costs nothing: one placement for all time, packed on history.

use crate::scenario::Scenario;
use crate::timeline::Placement;
use isobar_model::NodeId;
use isobar_planner::packing::{self, PackInput};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::ops::Range;

/// Every second step of the history is looked at: neighbours are alike, and it halves the work.
const STRIDE: usize = 2;

/// A local search, from the start placement, of the placement under which the loads of `history` would have caused least overload.
#[must_use]
pub fn pack(scenario: &Scenario, history: Range<usize>) -> Placement {
    let work: Vec<Vec<f32>> =
        scenario.shards.iter().map(|s| s.ops[history.clone()].iter().copied().step_by(STRIDE).collect()).collect();
    let (shards, steps) = (work.len(), work.first().map_or(0, Vec::len));
    let start = scenario
        .start
        .iter()
        .map(|replicas| replicas.iter().filter_map(|&n| scenario.node_index(n)).collect())
        .collect();
    let input = PackInput {
        work,
        leader: vec![scenario.leader_cost(); shards],
        follower: vec![scenario.follower_cost(); shards],
        capacity: (0..scenario.spec.nodes).map(|node| scenario.capacity_of(node)).collect(),
        background: vec![vec![0.0; steps]; scenario.spec.nodes],
        open: Vec::new(),
        zones: Vec::new(),
        start,
        // One unit-second a thousand steps, against floating-point noise.
        least: f64::from(scenario.capacity) * steps as f64 * 1e-6,
        max_work: u64::MAX,
    };
    let mut rng = StdRng::seed_from_u64(scenario.spec.seed);
    let packed = packing::pack(input, |below| rng.random_range(0..below));
    packed.iter().map(|replicas| replicas.iter().map(|&n| NodeId(n as u64 + 1)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::overload;
    use crate::scenario::ScenarioSpec;
    use crate::timeline::Timeline;
    use crate::trace::Trace;

    #[test]
    fn packing_removes_most_of_the_overload_of_its_history() {
        let scenario = Scenario::new(&Trace::worldwide().unwrap(), ScenarioSpec::default()).unwrap();
        let history = scenario.history(scenario.window(0).start);
        let packed = pack(&scenario, history.clone());
        let over = |placement: &Placement| overload(&scenario, history.clone(), &Timeline::new(placement.clone()));
        assert!(over(&packed) < 0.5 * over(&scenario.start), "{} {}", over(&packed), over(&scenario.start));
        for replicas in &packed {
            let mut distinct = replicas.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), 3);
        }
    }
}
