//! The elastic arms: how many nodes a fleet pays for, and what overload that costs, by a placer that empties nodes when they are not needed.
//!
//! A node is paid for while it holds a replica or a move to it is under way. Arms are swept, each over a setting of its own (the number of nodes, a
//! target utilisation), since fewer nodes always cost overload: what is compared is one of both at equal amounts of the other, by interpolation.

use crate::arms::{ArmError, ArmReport, Arms, MakeForecaster, MakePlacer};
use crate::move_log::{MoveEnd, MoveRecord};
use crate::node_plan::NodePlan;
use crate::overload::overload;
use crate::packed::pack;
use crate::scenario::Scenario;
use crate::scenario_file::Simulation;
use crate::start::random_placement;
use crate::timeline::Timeline;
use isobar_model::NodeId;
use std::ops::Range;
use std::sync::Arc;

/// What one run paid and suffered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticRun {
    /// What was swept: nodes, or a target utilisation.
    pub setting: f64,
    /// Hours that nodes were paid for.
    pub node_hours: f64,
    /// Node-seconds of overload.
    pub overload_node_s: f64,
    /// Moves of data begun.
    pub data_moves: u64,
    /// Leader transfers begun.
    pub leader_transfers: u64,
}

/// Runs elastic arms over the first window of a simulation. Its nodes are as many as could be paid for.
#[derive(Clone, Debug)]
pub struct Elastic {
    scenario: Arc<Scenario>,
    arms: Arms,
    judged: Range<usize>,
}

impl Elastic {
    /// Arms that begin with all nodes in use; the first `settle_steps` of the window are not judged, so that it does not count how soon a fleet
    /// shrinks from there. At least one step is judged.
    #[must_use]
    pub fn new(simulation: &Simulation, forecaster: MakeForecaster, settle_steps: usize) -> Self {
        let scenario = Arc::clone(&simulation.scenario);
        let window = scenario.window(0);
        let judged = (window.start + settle_steps).min(window.end.saturating_sub(1))..window.end;
        // The arms' own placers are not asked.
        let none: MakePlacer = Arc::new(|| {
            Err(isobar_ports::PolicyFailure::Unavailable("an elastic arm brings its own placer".to_owned()))
        });
        let arms = Arms::new(Arc::clone(&scenario), forecaster, Arc::clone(&none), none)
            .with_settings(simulation.times, simulation.config.clone());
        Self { scenario, arms, judged }
    }

    /// Steps that are judged.
    #[must_use]
    pub fn judged(&self) -> Range<usize> {
        self.judged.clone()
    }

    /// So many nodes all the time, in one placement packed on the history.
    #[must_use]
    pub fn still(&self, nodes: usize) -> ElasticRun {
        let fleet = with_nodes(&self.scenario, nodes);
        let placement = pack(&fleet, fleet.history(fleet.window(0).start));
        let overload_node_s = overload(&fleet, self.judged.clone(), &Timeline::new(placement));
        let hours = self.judged.len() as f64 * f64::from(fleet.step_ms) / 3_600_000.0;
        let node_hours = hours * fleet.spec.nodes as f64;
        ElasticRun { setting: nodes as f64, node_hours, overload_node_s, data_moves: 0, leader_transfers: 0 }
    }

    /// A placer that empties and fills nodes.
    ///
    /// # Errors
    /// As [`Arms::placed_by`].
    pub fn placed_by(&self, setting: f64, placer: &MakePlacer) -> Result<(ElasticRun, ArmReport), ArmError> {
        let report = self.arms.placed_by(0, placer)?;
        let run = ElasticRun {
            setting,
            node_hours: used_node_hours(&self.scenario, self.judged.clone(), &report.timeline, &report.moves),
            overload_node_s: overload(&self.scenario, self.judged.clone(), &report.timeline),
            data_moves: report.data_moves,
            leader_transfers: report.leader_transfers,
        };
        Ok((run, report))
    }

    /// Nodes that an even spread of the load would need at each moment, summed up, in hours: what no fleet can do with less without overload.
    #[must_use]
    pub fn least_node_hours(&self) -> f64 {
        self.least_node_hours_in(self.judged.clone())
    }

    /// The same of these steps alone.
    #[must_use]
    pub fn least_node_hours_in(&self, steps: Range<usize>) -> f64 {
        let needed = |step: usize| (total(&self.scenario, step) / f64::from(self.scenario.capacity)).ceil();
        let least = self.scenario.spec.replication_factor as f64;
        steps.map(|step| needed(step).max(least)).sum::<f64>() * f64::from(self.scenario.step_ms) / 3_600_000.0
    }
}

/// Load of all replicas together.
fn total(scenario: &Scenario, step: usize) -> f64 {
    let followers = scenario.spec.replication_factor.saturating_sub(1) as f64;
    let per_op = f64::from(scenario.leader_cost()) + followers * f64::from(scenario.follower_cost());
    scenario.shards.iter().map(|shard| f64::from(shard.ops[step]) * per_op).sum()
}

/// The same shards on so many nodes of the same capacity, all alike.
fn with_nodes(scenario: &Scenario, nodes: usize) -> Scenario {
    let nodes = nodes.max(scenario.spec.replication_factor).max(1);
    let mut fleet = scenario.clone();
    fleet.nodes = NodePlan::alike(nodes);
    fleet.spec.nodes = nodes;
    fleet.start = random_placement(fleet.shards.len(), &fleet.nodes, fleet.spec.replication_factor, fleet.spec.seed);
    fleet
}

/// Hours that nodes were used within `judged`: each while it held a replica or a move to it was under way.
#[must_use]
pub fn used_node_hours(scenario: &Scenario, judged: Range<usize>, timeline: &Timeline, moves: &[MoveRecord]) -> f64 {
    let (begin, end) = (judged.start as f64, judged.end as f64);
    let nodes = scenario.spec.nodes;
    let mut holds = vec![0_i64; nodes];
    let at = |node: NodeId| scenario.node_index(node);
    let mut placement = timeline.start().clone();
    placement.iter().flatten().filter_map(|&node| at(node)).for_each(|node| holds[node] += 1);
    // Changes of how many replicas and moves each node has.
    let mut events: Vec<(f64, usize, i64)> = Vec::new();
    for change in timeline.changes() {
        let old = std::mem::replace(&mut placement[change.shard], change.replicas.clone());
        events.extend(old.into_iter().filter_map(at).map(|node| (change.at_step, node, -1)));
        events.extend(change.replicas.iter().copied().filter_map(at).map(|node| (change.at_step, node, 1)));
    }
    for begun in moves.iter().filter(|begun| !begun.leader_only) {
        let Some(node) = at(begun.target) else { continue };
        events.push((begun.begun_step as f64, node, 1));
        match begun.end {
            MoveEnd::Done(done) | MoveEnd::GivenUp(done) => events.push((done, node, -1)),
            MoveEnd::InFlight => {}
        }
    }
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut steps, mut since) = (0.0, begin);
    for (moment, node, by) in events {
        let moment = moment.clamp(begin, end);
        steps += (moment - since) * holds.iter().filter(|&&held| held > 0).count() as f64;
        since = moment;
        holds[node] += by;
    }
    steps += (end - since) * holds.iter().filter(|&&held| held > 0).count() as f64;
    steps * f64::from(scenario.step_ms) / 3_600_000.0
}

/// Runs that no other of them beats in both, by node-hours: the more are paid, the less is suffered.
#[must_use]
pub fn front(runs: &[ElasticRun]) -> Vec<ElasticRun> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.node_hours.total_cmp(&b.node_hours).then(a.overload_node_s.total_cmp(&b.overload_node_s)));
    let mut front: Vec<ElasticRun> = Vec::new();
    for run in sorted {
        if front.last().is_none_or(|last| run.overload_node_s < last.overload_node_s) {
            front.push(run);
        }
    }
    front
}

/// A front's overload where so many node-hours are paid, between its runs by a straight line; none outside it.
fn overload_at(front: &[ElasticRun], node_hours: f64) -> Option<f64> {
    let after = front.iter().position(|run| run.node_hours >= node_hours)?;
    let to = &front[after];
    if to.node_hours <= node_hours {
        return Some(to.overload_node_s);
    }
    let from = front.get(after.checked_sub(1)?)?;
    let part = (node_hours - from.node_hours) / (to.node_hours - from.node_hours);
    Some(from.overload_node_s + part * (to.overload_node_s - from.overload_node_s))
}

/// Least node-hours of a front at which no more is suffered, between its runs by a straight line; none where it always suffers more.
#[must_use]
pub fn node_hours_at(front: &[ElasticRun], overload_node_s: f64) -> Option<f64> {
    let after = front.iter().position(|run| run.overload_node_s <= overload_node_s)?;
    let to = &front[after];
    let Some(from) = after.checked_sub(1).map(|before| &front[before]) else { return Some(to.node_hours) };
    let part = (from.overload_node_s - overload_node_s) / (from.overload_node_s - to.overload_node_s);
    Some(from.node_hours + part * (to.node_hours - from.node_hours))
}

/// By how many per cent less `ours` suffers than `theirs` at equal node-hours: of the areas below both fronts over the node-hours that both reach.
/// None where they have no node-hours in common, or the others suffer nothing there.
#[must_use]
pub fn overload_reduction_pct(theirs: &[ElasticRun], ours: &[ElasticRun]) -> Option<f64> {
    /// Points that the areas are taken at.
    const POINTS: usize = 1_000;
    let (theirs, ours) = (front(theirs), front(ours));
    let low = theirs.first()?.node_hours.max(ours.first()?.node_hours);
    let high = theirs.last()?.node_hours.min(ours.last()?.node_hours);
    if low >= high {
        return None;
    }
    let (mut area, mut our_area) = (0.0, 0.0);
    for point in 0..=POINTS {
        let node_hours = low + (high - low) * point as f64 / POINTS as f64;
        area += overload_at(&theirs, node_hours)?;
        our_area += overload_at(&ours, node_hours)?;
    }
    (area > 0.0).then(|| 100.0 * (area - our_area) / area)
}

/// The smallest of the fleets that suffers no more than this share of its own node-time: as many nodes as the peak needs.
#[must_use]
pub fn static_peak(fleets: &[ElasticRun], most_overload: f64) -> Option<ElasticRun> {
    let enough = |run: &&ElasticRun| run.overload_node_s <= most_overload * run.node_hours * 3_600.0;
    fleets.iter().filter(enough).min_by(|a, b| a.node_hours.total_cmp(&b.node_hours)).copied()
}

/// By how many per cent fewer node-hours `ours` pays than `still` at no more overload than that suffers. None where it always suffers more.
#[must_use]
pub fn node_hours_saved_pct(still: &ElasticRun, ours: &[ElasticRun]) -> Option<f64> {
    let paid = node_hours_at(&front(ours), still.overload_node_s)?;
    Some(100.0 * (still.node_hours - paid) / still.node_hours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ScenarioSpec, SimShard};
    use crate::timeline::Change;
    use isobar_model::ShardId;

    fn run(node_hours: f64, overload_node_s: f64) -> ElasticRun {
        ElasticRun { setting: 0.0, node_hours, overload_node_s, data_moves: 0, leader_transfers: 0 }
    }

    #[test]
    fn a_node_is_paid_for_while_it_holds_something_or_is_about_to() {
        let shard = || SimShard { tenant: "t".into(), part: 0, parts: 1, ops: vec![1.0; 24] };
        let spec = ScenarioSpec { nodes: 3, replication_factor: 1, history_steps: 1, ..ScenarioSpec::default() };
        let start = vec![vec![NodeId(1)], vec![NodeId(1)]];
        let scenario = Scenario::from_parts(spec, vec![shard(), shard()], 100.0, start.clone());
        let mut timeline = Timeline::new(start);
        timeline.push(Change { at_step: 9.0, shard: 0, replicas: vec![NodeId(2)] });
        timeline.push(Change { at_step: 12.0, shard: 1, replicas: vec![NodeId(2)] });
        let moved = |shard: u64, begun_step, end| MoveRecord {
            shard: ShardId(shard),
            source: NodeId(1),
            target: NodeId(2),
            leader_only: false,
            begun_step,
            end,
        };
        let moves = [
            moved(1, 6, MoveEnd::Done(9.0)),
            moved(2, 10, MoveEnd::Done(12.0)),
            MoveRecord { target: NodeId(3), ..moved(2, 14, MoveEnd::GivenUp(15.0)) },
        ];
        // Node 1 until step 12, node 2 from step 6, node 3 for one step; twelve steps are an hour.
        let hours = |judged| used_node_hours(&scenario, judged, &timeline, &moves) * 12.0;
        assert!((hours(0..24) - (12.0 + 18.0 + 1.0)).abs() < 1e-9, "{}", hours(0..24));
        assert!((hours(8..16) - (4.0 + 8.0 + 1.0)).abs() < 1e-9);
        assert!((hours(20..24) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_beaten_in_both_is_not_on_the_front() {
        let runs = [run(10.0, 5.0), run(8.0, 9.0), run(9.0, 9.5), run(12.0, 5.0), run(14.0, 0.0)];
        assert_eq!(front(&runs), [run(8.0, 9.0), run(10.0, 5.0), run(14.0, 0.0)]);
    }

    #[test]
    fn arms_are_compared_at_equal_amounts() {
        let (theirs, ours) = ([run(10.0, 100.0), run(20.0, 0.0)], [run(8.0, 50.0), run(16.0, 10.0), run(18.0, 0.0)]);
        // At 12: 80 against 30; over 10 to 18: the areas are 480 and 160.
        assert_eq!(overload_at(&ours, 12.0), Some(30.0));
        assert!((overload_reduction_pct(&theirs, &ours).unwrap() - 100.0 * (480.0 - 160.0) / 480.0).abs() < 0.1);
        assert_eq!(overload_reduction_pct(&theirs, &[run(1.0, 2.0), run(2.0, 1.0)]), None);
        assert_eq!(node_hours_at(&front(&ours), 30.0), Some(12.0));
        assert_eq!(node_hours_saved_pct(&run(32.0, 5.0), &ours), Some(100.0 * (32.0 - 17.0) / 32.0));
        assert_eq!(node_hours_saved_pct(&run(32.0, 0.0), &ours[..2]), None);
    }

    #[test]
    fn the_peak_needs_the_smallest_fleet_that_is_enough() {
        let fleets = [run(10.0, 9_000.0), run(20.0, 5.0), run(30.0, 0.0)];
        assert_eq!(static_peak(&fleets, 1e-4), Some(run(20.0, 5.0)));
        assert_eq!(static_peak(&fleets[..1], 1e-4), None);
    }
}
