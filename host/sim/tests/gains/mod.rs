//! The gain ledger in the loop: policies that pay move on, policies that don't step back.

use crate::native::{Forecasters, NativePlacer};
use isobar_control::{Brain, BrainConfig, BrainEvent, JudgedAs, RoundRules};
use isobar_model::{Action, ClusterView, Digest, KeyspaceId, Mode, Move, NodeId, Plan, Role, Rule};
use isobar_planner::{GainReport, GainSpec, KeyspaceRule, Standing, WorldName};
use isobar_ports::{Fleet, Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection, Usage};
use isobar_sim::{MoveTimes, Scenario, ScenarioSpec, SimFleet, SimShard, brain_config};
use placing_kit::PlacementPolicy;
use predictive::Predictive;
use reactive::Reactive;
use std::collections::BTreeSet;
use std::sync::Arc;

const DAY_STEPS: usize = 288;
const HISTORY_DAYS: usize = 3;
const KEYSPACE: KeyspaceId = KeyspaceId(1);

/// Three shards on two nodes, any two of them hot at a time: no placement fits all day long.
fn hand_over(shard: usize, step: usize) -> f32 {
    if step / 96 % 3 == shard { 5.0 } else { 90.0 }
}

/// The same by days: who rests goes by the day of the week, so that each day asks for another placement than the one before.
fn weekly(shard: usize, step: usize) -> f32 {
    if [0, 1, 2, 0, 2, 1, 2][step / DAY_STEPS % 7] == shard { 5.0 } else { 90.0 }
}

fn steady(_: usize, _: usize) -> f32 {
    40.0
}

fn scenario(ops: fn(usize, usize) -> f32, days: usize) -> Arc<Scenario> {
    scenario_after(HISTORY_DAYS, ops, days)
}

fn scenario_after(history_days: usize, ops: fn(usize, usize) -> f32, days: usize) -> Arc<Scenario> {
    let spec = ScenarioSpec {
        nodes: 2,
        replication_factor: 2,
        history_steps: history_days * DAY_STEPS,
        window_steps: days * DAY_STEPS,
        ..ScenarioSpec::default()
    };
    let steps = (history_days + days) * DAY_STEPS + 1;
    let shard = |shard: usize| SimShard {
        tenant: format!("t{shard}"),
        part: 0,
        parts: 1,
        ops: (0..steps).map(|step| ops(shard, step)).collect(),
    };
    let start = [[1, 2], [2, 1], [2, 1]].map(|nodes| nodes.map(NodeId).to_vec()).to_vec();
    // A hot leader takes 108 of it, a hot follower 18.
    Arc::new(Scenario::from_parts(spec, (0..3).map(shard).collect(), 160.0, start))
}

/// Gives leaders away whether it helps or not.
struct Planted;

impl Placer for Planted {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        let (shard, moves) = (view.seed as usize / 8 % view.shards.ids.len(), view.seed.is_multiple_of(8));
        let target = view.nodes.ids[view.shards.replicas_of(shard)[1] as usize];
        let proposed = Move {
            shard: view.shards.ids[shard],
            action: Action::TransferLeader(target),
            urgency: 1.0,
            start_by: view.now,
            gain: 1e6,
            reason: "planted".into(),
        };
        Ok(Plan { moves: if moves { vec![proposed] } else { vec![] }, notes: vec![] })
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// Serves one placer beside the native ones.
struct Host {
    predictive: bool,
}

impl PolicyHost for Host {
    fn inspect(&self, _: &[u8]) -> Result<Inspection, Rejection> {
        Err(Rejection("a test takes no uploads".into()))
    }

    fn forecaster(&self, _: &Digest, _: &str, _: Option<&[u8]>) -> Result<Box<dyn Forecaster>, PolicyFailure> {
        Err(PolicyFailure::Unavailable("the native one serves".into()))
    }

    fn placer(&self, _: &Digest, config: &str, _: Option<&[u8]>) -> Result<Box<dyn Placer>, PolicyFailure> {
        if self.predictive {
            let policy = Predictive::new(config).map_err(|failure| PolicyFailure::Config(failure.to_string()))?;
            Ok(Box::new(NativePlacer(policy)))
        } else {
            Ok(Box::new(Planted))
        }
    }

    fn builtin_forecaster(&self) -> Box<dyn Forecaster> {
        Forecasters::SeasonalNaive.make(DAY_STEPS)().unwrap()
    }

    fn builtin_placer(&self) -> Box<dyn Placer> {
        Box::new(NativePlacer(Reactive::new("").unwrap()))
    }
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Course {
    report: GainReport,
    standings: Vec<Standing>,
    /// Moves that were held since they don't pay.
    held: u64,
    /// The policy's moves that were carried out, by day.
    planted: Vec<usize>,
    /// All that were carried out.
    accepted: usize,
    saved: Vec<u8>,
}

fn run(scenario: &Arc<Scenario>, predictive: bool, days: usize, heeded: bool) -> Course {
    let times = MoveTimes { leader_steps: 0.25, ..MoveTimes::default() };
    let config = BrainConfig { gains: Some(GainSpec::default()), ..brain_config(scenario, times) };
    let mut brain = Brain::new(config, Arc::new(Host { predictive }));
    let window = scenario.window(0);
    for batch in scenario.load_batches(0..window.start - 1) {
        brain.import_history(&batch).unwrap();
    }
    let prepared = brain.prepare(Role::Place, Some((Digest([1; 32]), "bound".into())), "").unwrap();
    brain.activate(prepared).unwrap();
    let rule = KeyspaceRule { mode: Mode::Auto, replication_factor: 2 };
    let unheeded = if heeded { BTreeSet::new() } else { BTreeSet::from([KEYSPACE]) };
    let rules = RoundRules { keyspaces: [(KEYSPACE, rule)].into(), unheeded, ..RoundRules::default() };
    let mut fleet = SimFleet::new(Arc::clone(scenario), window.start, times);
    let (mut standings, mut held, mut planted, mut accepted) = (Vec::new(), 0, vec![0; days], 0);
    let mut saved = Vec::new();
    for step in 0..days * DAY_STEPS {
        let tick = brain.tick(&fleet.observe().unwrap(), &rules);
        for event in &tick.events {
            if let BrainEvent::GainStanding { to, .. } = event {
                standings.push(*to);
            }
        }
        held += tick.verdicts.get(&JudgedAs::Held(Rule::GainUnproven)).copied().unwrap_or(0);
        for begun in &tick.accepted {
            planted[step / DAY_STEPS] += usize::from(begun.proposed.reason == "planted");
            fleet.begin(begun).unwrap();
        }
        accepted += tick.accepted.len();
        saved = tick.gains.unwrap_or(saved);
        fleet.advance();
    }
    let report = brain.gains().remove(0);
    // A new leader goes on with what was saved.
    let mut next = Brain::new(brain.config().clone(), Arc::new(Host { predictive }));
    next.restore_gains(&saved).unwrap();
    assert!(report.blocks - next.gains()[0].blocks <= 1, "an hour may be lost, and with it the end of a block");
    assert!(next.restore_gains(&saved[..saved.len() / 2]).is_err());
    Course { report, standings, held, planted, accepted, saved }
}

#[test]
fn a_policy_that_hands_over_before_the_load_does_is_shown_to_pay() {
    let course = run(&scenario_after(21, weekly, 6), true, 6, true);
    let report = &course.report;
    assert_eq!(report.standing, Standing::Pays, "{report:#?}");
    assert!(report.live && report.gain.unwrap().lower_node_s > 0.0, "{report:#?}");
    // Two days show too few hand-overs to prove anything: it steps back, rehearses, and is let again once that proves it.
    assert!(course.held > 0 && course.standings.last() == Some(&Standing::Pays), "{:?}", course.standings);
    let over = |world| report.tallies[&world].overload_node_s;
    assert!(over(WorldName::Predictive) < 0.5 * over(WorldName::Reactive), "{report:#?}");
    assert!(over(WorldName::Actual) < 0.05 * over(WorldName::Packed), "{report:#?}");
}

#[test]
fn a_planted_policy_that_moves_without_gain_is_abstained_from() {
    let scenario = scenario(hand_over, 8);
    let course = run(&scenario, false, 8, true);
    let report = &course.report;
    assert!(report.standing.speaks_against(), "{report:#?}");
    assert!(course.standings.iter().all(|standing| standing.speaks_against()), "{:?}", course.standings);
    assert!(!report.live && course.held > 0);
    // It is let for two days, until the eighth block is whole, and never again.
    assert!(course.planted[0] > 0 && course.planted[1] > 0, "{:?}", course.planted);
    assert!(course.planted[3..].iter().all(|moves| *moves == 0), "{:?}", course.planted);
    // From then on the native placer relieves what is overloaded.
    assert!(course.accepted > course.planted.iter().sum(), "{course:#?}");

    let unheeded = run(&scenario, false, 8, false);
    assert!(unheeded.report.standing.speaks_against() && unheeded.report.live && unheeded.held == 0);
    let actual = |course: &Course| course.report.tallies[&WorldName::Actual].overload_node_s;
    assert!(actual(&course) < 0.6 * actual(&unheeded), "{} {}", actual(&course), actual(&unheeded));
}

/// Promise 7: and there is nothing to hold it back for.
#[test]
fn a_steady_load_has_nothing_to_gain() {
    let course = run(&scenario(steady, 3), true, 3, true);
    assert_eq!((course.standings.as_slice(), course.accepted), (&[Standing::NothingToGain][..], 0));
    assert!(course.report.live);
}

/// Promise 6.
#[test]
fn the_same_course_gives_the_same_book() {
    let scenario = scenario(hand_over, 3);
    assert_eq!(run(&scenario, false, 3, true), run(&scenario, false, 3, true));
}
