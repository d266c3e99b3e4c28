//! What nodes carry under a placement as time goes by, stretch by stretch: the one reckoning that overload and latencies are read from.

use crate::scenario::Scenario;
use crate::timeline::{CopyLoad, Placement, Timeline};
use isobar_model::NodeId;
use std::ops::Range;

/// A time, within one step, in which nothing changes.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// The step.
    pub step: usize,
    /// From when, in steps.
    pub from: f64,
    /// Until when, in steps.
    pub to: f64,
    /// Load of each node, load units per second: what its shards cost it as leader and as follower, and copies.
    pub loads: &'a [f64],
    /// Operations per second that each node serves as leader.
    pub led_ops: &'a [f64],
    /// Operations per second of shards that have no majority of their replicas: nobody serves them.
    pub unserved_ops: f64,
    /// Replicas on nodes that are away.
    pub away_replicas: f64,
}

impl Stretch<'_> {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self, scenario: &Scenario) -> f64 {
        (self.to - self.from) * f64::from(scenario.step_ms) / 1_000.0
    }
}

/// Load of each node in load units per second, with the rates of `step`: what its shards cost it as leader and as follower. A node that is away
/// in that step carries nothing, and so do all replicas of a shard that has no majority.
#[must_use]
pub fn node_loads(scenario: &Scenario, placement: &Placement, step: usize) -> Vec<f64> {
    Nodes::new(scenario, placement, step).loads
}

/// Plays the steps of `window`. Loads follow from the offered rates of the scenario, whatever a cluster managed to serve of them. Changes after
/// the window do not count, changes before it are in force from its start.
pub fn play(scenario: &Scenario, window: Range<usize>, timeline: &Timeline, mut visit: impl FnMut(&Stretch<'_>)) {
    let mut placement = timeline.start().clone();
    let mut changes = timeline.changes().iter().peekable();
    for step in window {
        let (begin, end) = (step as f64, step as f64 + 1.0);
        while let Some(change) = changes.next_if(|c| c.at_step <= begin) {
            placement[change.shard].clone_from(&change.replicas);
        }
        let mut nodes = Nodes::new(scenario, &placement, step);
        let copies = within(timeline.copies(), begin, end);
        let mut cuts: Vec<f64> = copies.iter().flat_map(|copy| [copy.from_step, copy.to_step]).collect();
        cuts.retain(|&cut| cut > begin && cut < end);
        cuts.sort_by(f64::total_cmp);
        let mut cuts = cuts.into_iter().chain([end]).peekable();
        let mut since = begin;
        while since < end {
            let next_change = changes.peek().map_or(end, |change| change.at_step);
            let next_cut = cuts.peek().copied().unwrap_or(end);
            let until = next_change.min(next_cut).min(end);
            if until > since {
                nodes.visit(since, until, copies, &mut visit);
                since = until;
            }
            while cuts.next_if(|&cut| cut <= since).is_some() {}
            while let Some(change) = changes.next_if(|c| c.at_step <= since && c.at_step < end) {
                nodes.add(change.shard, &placement[change.shard], -1.0);
                nodes.add(change.shard, &change.replicas, 1.0);
                placement[change.shard].clone_from(&change.replicas);
            }
        }
    }
}

/// Those that begin in this step. Each lies within the step it begins in.
fn within(copies: &[CopyLoad], begin: f64, end: f64) -> &[CopyLoad] {
    let from = copies.partition_point(|copy| copy.from_step < begin);
    let to = copies.partition_point(|copy| copy.from_step < end);
    &copies[from..to]
}

/// What nodes carry at one moment.
struct Nodes<'a> {
    scenario: &'a Scenario,
    step: usize,
    away: Vec<bool>,
    any_away: bool,
    loads: Vec<f64>,
    led_ops: Vec<f64>,
    unserved_ops: f64,
    away_replicas: f64,
}

impl<'a> Nodes<'a> {
    fn new(scenario: &'a Scenario, placement: &Placement, step: usize) -> Self {
        let (count, away) = (scenario.spec.nodes, scenario.nodes.away(step));
        let any_away = away.contains(&true);
        let (loads, led_ops) = (vec![0.0; count], vec![0.0; count]);
        let mut nodes = Self { scenario, step, away, any_away, loads, led_ops, unserved_ops: 0.0, away_replicas: 0.0 };
        for (shard, replicas) in placement.iter().enumerate() {
            nodes.add(shard, replicas, 1.0);
        }
        nodes
    }

    fn add(&mut self, shard: usize, replicas: &[NodeId], sign: f64) {
        let scenario = self.scenario;
        let rate = sign * f64::from(scenario.shards[shard].ops[self.step]);
        if self.any_away {
            let gone = |node: &&NodeId| scenario.node_index(**node).is_some_and(|node| self.away[node]);
            self.away_replicas += sign * replicas.iter().filter(gone).count() as f64;
            if !has_majority(scenario, replicas, &self.away) {
                self.unserved_ops += rate;
                return;
            }
        }
        for (i, node) in replicas.iter().enumerate() {
            let cost = if i == 0 { scenario.leader_cost() } else { scenario.follower_cost() };
            let Some(node) = scenario.node_index(*node).filter(|&node| !self.away[node]) else { continue };
            self.loads[node] += rate * f64::from(cost);
            if i == 0 {
                self.led_ops[node] += rate;
            }
        }
    }

    fn visit(&self, from: f64, to: f64, copies: &[CopyLoad], visit: &mut impl FnMut(&Stretch<'_>)) {
        let mut with_copies;
        let mut loads = &self.loads;
        if copies.iter().any(|copy| copy.from_step < to && copy.to_step > from) {
            with_copies = self.loads.clone();
            for copy in copies.iter().filter(|copy| copy.from_step < to && copy.to_step > from) {
                if let Some(node) = self.scenario.node_index(copy.node) {
                    with_copies[node] += copy.load;
                }
            }
            loads = &with_copies;
        }
        visit(&Stretch {
            step: self.step,
            from,
            to,
            loads,
            led_ops: &self.led_ops,
            unserved_ops: self.unserved_ops,
            away_replicas: self.away_replicas,
        });
    }
}

/// Whether more than half of the replicas are on nodes that are there.
pub(crate) fn has_majority(scenario: &Scenario, replicas: &[NodeId], away: &[bool]) -> bool {
    let there = |node: &&NodeId| scenario.node_index(**node).is_some_and(|node| !away[node]);
    2 * replicas.iter().filter(there).count() > replicas.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_plan::Outage;
    use crate::scenario::{ScenarioSpec, SimShard};
    use crate::timeline::Change;

    fn scenario() -> Scenario {
        let shard = |ops: f32| SimShard { tenant: "t".into(), part: 0, parts: 1, ops: vec![ops; 4] };
        let spec = ScenarioSpec { nodes: 3, replication_factor: 3, history_steps: 1, ..ScenarioSpec::default() };
        let start = vec![vec![NodeId(1), NodeId(2), NodeId(3)], vec![NodeId(2), NodeId(1), NodeId(3)]];
        Scenario::from_parts(spec, vec![shard(100.0), shard(10.0)], 120.0, start)
    }

    /// A stretch of time, what each node was asked for and had, and what nobody served.
    type Stretch = (f64, f64, Vec<i64>, Vec<i64>, i64);

    fn played(scenario: &Scenario, timeline: &Timeline) -> Vec<Stretch> {
        let mut all = Vec::new();
        play(scenario, 1..4, timeline, |s| {
            let round = |values: &[f64]| values.iter().map(|v| v.round() as i64).collect();
            all.push((s.from, s.to, round(s.loads), round(s.led_ops), s.unserved_ops.round() as i64));
        });
        all
    }

    #[test]
    fn time_is_cut_where_something_changes() {
        let scenario = scenario();
        let mut timeline = Timeline::new(scenario.start.clone());
        timeline.push(Change { at_step: 2.5, shard: 0, replicas: vec![NodeId(2), NodeId(1), NodeId(3)] });
        timeline.push_copy(CopyLoad { from_step: 2.25, to_step: 2.75, node: NodeId(3), load: 7.0 });
        let want = vec![
            (1.0, 2.0, vec![122, 32, 22], vec![100, 10, 0], 0),
            (2.0, 2.25, vec![122, 32, 22], vec![100, 10, 0], 0),
            (2.25, 2.5, vec![122, 32, 29], vec![100, 10, 0], 0),
            (2.5, 2.75, vec![22, 132, 29], vec![0, 110, 0], 0),
            (2.75, 3.0, vec![22, 132, 22], vec![0, 110, 0], 0),
            (3.0, 4.0, vec![22, 132, 22], vec![0, 110, 0], 0),
        ];
        assert_eq!(played(&scenario, &timeline), want);
    }

    #[test]
    fn a_node_that_is_away_carries_nothing_and_without_a_majority_nobody_does() {
        let mut scenario = scenario();
        scenario.nodes.outages = vec![Outage { node: 2, steps: 2..4 }, Outage { node: 1, steps: 3..4 }];
        let timeline = Timeline::new(scenario.start.clone());
        let want = vec![
            (1.0, 2.0, vec![122, 32, 22], vec![100, 10, 0], 0),
            (2.0, 3.0, vec![122, 32, 0], vec![100, 10, 0], 0),
            (3.0, 4.0, vec![0, 0, 0], vec![0, 0, 0], 110),
        ];
        assert_eq!(played(&scenario, &timeline), want);
    }
}
