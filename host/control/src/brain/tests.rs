//! The loop with scripted policies.

mod bursts;
mod explain;
mod fakes;
mod insights;
mod policies;
mod scarce;
mod seats;
mod swaps;
mod what_if;

use super::*;
use fakes::{FakeHost, Script};
use isobar_analyzer::{GuardSpec, HeatMapSpec};
use isobar_model::{
    Action, ForecastAnswerer, InFlight, KeyspaceId, Mode, NodeId, NodeState, PlacementLimits, Rule, ZoneId,
};
use isobar_planner::KeyspaceRule;
use isobar_ports::{NodeObservation, ShardObservation};

const STEP_MS: u64 = 300_000;
const START: u64 = 1_000 * STEP_MS;

fn config() -> BrainConfig {
    BrainConfig {
        horizon_steps: 4,
        quantiles: vec![0.1, 0.5, 0.9],
        peak_steps: 2,
        score_horizons: vec![1, 2],
        guard: Some(GuardSpec { every_steps: 1, least_evidence: 8.0, ..GuardSpec::daily(vec![0.1, 0.5, 0.9], 12, 4) }),
        save_every_steps: 3,
        limits: PlacementLimits { leader_steps: 0.0, ..BrainConfig::default().limits },
        ..BrainConfig::default()
    }
}

fn brain(host: &Arc<FakeHost>) -> Brain {
    let host: Arc<dyn PolicyHost> = Arc::clone(host) as _;
    Brain::new(config(), host)
}

fn rules(mode: Mode) -> RoundRules {
    RoundRules {
        keyspaces: [(KeyspaceId(1), KeyspaceRule { mode, replication_factor: 3 })].into(),
        ..RoundRules::default()
    }
}

/// Four nodes of capacity 100; shards 1.. on three of them each, led by the first.
fn observed(step: u64, shards: &[(&[u64], f32)]) -> Observation {
    let node = |id| NodeObservation {
        id: NodeId(id),
        zone: ZoneId(id as u32),
        state: NodeState::Up,
        capacity: 100.0,
        used_bytes: 0,
        capacity_bytes: 1 << 40,
        resources: BTreeMap::new(),
    };
    let shard = |(id, (replicas, load)): (u64, &(&[u64], f32))| ShardObservation {
        id: ShardId(id),
        keyspace: KeyspaceId(1),
        replication_factor: 3,
        replicas: replicas.iter().copied().map(NodeId).collect(),
        bytes: 1 << 20,
        leader_load: *load,
        follower_load: load / 6.0,
        uses: BTreeMap::new(),
    };
    Observation {
        now: InstantMs(START + step * STEP_MS),
        span_ms: STEP_MS,
        nodes: (1..=4).map(node).collect(),
        shards: (1..).zip(shards).map(shard).collect(),
        moving: vec![],
    }
}

fn steady(step: u64) -> Observation {
    observed(step, &[(&[1, 2, 3], 40.0), (&[2, 3, 4], 40.0), (&[3, 4, 1], 40.0)])
}

fn verdicts(tick: &Tick) -> Vec<Verdict> {
    tick.record.moves.iter().map(|m| m.verdict.clone()).collect()
}

fn transfer(shard: u64, target: u64) -> Move {
    Move {
        shard: ShardId(shard),
        action: Action::TransferLeader(NodeId(target)),
        urgency: 1.0,
        start_by: InstantMs(START),
        gain: 1.0,
        reason: "scripted".into(),
    }
}

#[test]
fn the_native_policies_serve_a_brain_without_bindings() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    let by: Vec<_> = tick.record.evaluations.iter().map(|e| (e.role, e.policy.as_str(), e.failure.clone())).collect();
    assert_eq!(by, [(Role::Forecast, "builtin", None), (Role::Place, "builtin", None)]);
    assert_eq!(tick.closed.unwrap().values, [40.0; 3]);
    let answer = brain.forecast(&[ShardId(2), ShardId(99)]);
    assert_eq!((answer.shards.len(), answer.shards[0].paths.len(), answer.shards[0].paths[0].len()), (1, 3, 4));
    assert_eq!(answer.start, InstantMs(START + STEP_MS));
    assert_eq!(brain.ranking(2).len(), 2);
    let heat = brain.heat_map(HeatMapSpec {
        past_steps: 1,
        future_steps: 4,
        max_rows: 10,
        max_columns: 10,
        shortest_column_ms: 0,
    });
    assert_eq!((heat.columns, heat.values[0]), (5, 40.0));
}

#[test]
fn the_ranking_is_judged_against_ranking_by_the_last_value() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    // Shard 3 is always the hottest: whoever forecasts that all goes on is always right, as is the last value.
    for step in 1..10 {
        brain.tick(&observed(step, &[(&[1, 2, 3], 10.0), (&[2, 3, 4], 20.0), (&[3, 4, 1], 30.0)]), &rules(Mode::Auto));
    }
    let score = brain.forecast_scores(None).ranking;
    // Forecasts of this brain reach four steps.
    assert_eq!((score.horizon, score.precision, score.baseline), (4, Some(1.0), Some(1.0)));
    assert_eq!(score.steps, 5);
    assert_eq!(brain.ranked_interval(), [0.1, 0.9]);
    let ranked = brain.ranking(1);
    let (first, start) = (&ranked[0], InstantMs(START + 9 * STEP_MS));
    assert_eq!((first.shard, &first.replicas[..]), (ShardId(3), &[NodeId(3), NodeId(4), NodeId(1)][..]));
    // Steady: at its peak from now to the end of the lead of two steps. Moving its data takes six.
    assert_eq!((first.peak_at, first.peak_until), (start, start.plus_ms(2 * STEP_MS)));
    assert_eq!(first.latest_start, InstantMs(start.0 - 6 * STEP_MS));
}

#[test]
fn verdicts_are_counted_by_rule() {
    let plan = vec![transfer(1, 2), transfer(2, 9), transfer(3, 9)];
    let mut brain = brain(&FakeHost::new(Script { plan: Some(plan), ..Script::default() }));
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    let unknown = (JudgedAs::Refused(Rule::UnknownNode), 2);
    assert_eq!(tick.verdicts, BTreeMap::from([(JudgedAs::Accepted, 1), unknown]));
}

/// Promise 7: the scripted placer moves whatever is overloaded; nothing here is.
#[test]
fn a_static_load_causes_no_moves() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    for step in 1..60 {
        let tick = brain.tick(&steady(step), &rules(Mode::Auto));
        assert_eq!(tick.record.moves, [], "step {step}");
    }
}

/// Promise 7, over rounds: a placer that swings a leader to and fro is held to the cool-down.
#[test]
fn no_shard_moves_twice_within_its_cool_down() {
    let host = FakeHost::new(Script { plan: Some(vec![transfer(1, 2), transfer(1, 1)]), ..Script::default() });
    let mut brain = brain(&host);
    let mut leader = 1;
    let mut moved_at = Vec::new();
    for step in 1..40 {
        let replicas = if leader == 1 { [1, 2, 3] } else { [2, 1, 3] };
        let tick = brain.tick(&observed(step, &[(&replicas, 10.0)]), &rules(Mode::Auto));
        for m in &tick.accepted {
            moved_at.push(tick.record.now.0);
            leader = if m.proposed.action == Action::TransferLeader(NodeId(2)) { 2 } else { 1 };
        }
    }
    assert!(moved_at.len() >= 3, "{moved_at:?}");
    assert!(moved_at.windows(2).all(|w| w[1] - w[0] >= config().limits.cool_down_ms), "{moved_at:?}");
}

#[test]
fn a_move_that_another_leader_began_cools_down_too() {
    let host = FakeHost::new(Script { plan: Some(vec![transfer(1, 2), transfer(2, 3)]), ..Script::default() });
    let mut brain = brain(&host);
    // Long ago, and moving again now.
    brain.note_moved([(ShardId(1), InstantMs(START)), (ShardId(2), InstantMs(START - 100 * STEP_MS))]);
    let mut seen = steady(1);
    seen.moving = vec![InFlight {
        shard: ShardId(2),
        source: NodeId(2),
        target: NodeId(3),
        done_by: seen.now,
        leader_only: true,
    }];
    brain.tick(&seen, &rules(Mode::Auto));
    let rule = |v: &Verdict| if let Verdict::Refused { rule, .. } = v { Some(*rule) } else { None };
    let tick = brain.tick(&steady(2), &rules(Mode::Auto));
    assert_eq!(verdicts(&tick).iter().map(rule).collect::<Vec<_>>(), [Some(Rule::CoolDown); 2]);
}

#[test]
fn modes_and_halts_hold_moves_and_operators_release_them() {
    let host = FakeHost::new(Script { plan: Some(vec![transfer(1, 2)]), ..Script::default() });
    let mut brain = brain(&host);
    let tick = brain.tick(&steady(1), &rules(Mode::Approve));
    assert_eq!((verdicts(&tick), tick.accepted), (vec![Verdict::Held { rule: Rule::Mode }], vec![]));
    assert!(brain.ranking(9).iter().any(|r| r.shard == ShardId(1) && r.recommended.is_some()));
    let tick = brain.tick(&steady(2), &RoundRules { halted: true, ..rules(Mode::Auto) });
    assert_eq!(verdicts(&tick), [Verdict::Held { rule: Rule::Halted }]);
    let released = RoundRules { released: vec![transfer(1, 2)], ..rules(Mode::Approve) };
    let tick = brain.tick(&steady(3), &released);
    assert_eq!(tick.accepted.len(), 1);
}

#[test]
fn shards_of_observed_keyspaces_are_background() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    brain.tick(&steady(1), &rules(Mode::Observe));
    let view = brain.last_view().unwrap();
    assert!(view.shards.ids.is_empty());
    assert!(view.nodes.load.iter().all(|load| *load > 0.0));
    assert!(view.nodes.background.iter().all(|load| *load > 0.0));
}

#[test]
fn draining_nodes_are_emptied_whatever_the_placer_wants() {
    let host = FakeHost::new(Script { plan: Some(vec![transfer(2, 1)]), ..Script::default() });
    let mut brain = brain(&host);
    let draining = RoundRules { draining: BTreeSet::from([NodeId(1)]), ..rules(Mode::Auto) };
    let tick = brain.tick(&steady(1), &draining);
    let accepted: Vec<_> = tick.accepted.iter().map(|m| (m.proposed.shard.0, m.proposed.action)).collect();
    assert_eq!(accepted[0].0, 1);
    assert!(matches!(accepted[0].1, Action::TransferLeader(NodeId(2 | 3))));
    assert_eq!(accepted[1], (3, Action::MoveReplica { source: NodeId(1), target: NodeId(2) }));
    assert!(matches!(verdicts(&tick)[2], Verdict::Refused { rule: Rule::NotAReplica | Rule::NodeNotReady, .. }));
}

/// Promises 5 and 8: a hostile plan is refused rule by rule, and the record of it stays small.
#[test]
fn a_hostile_plan_is_refused_and_recorded_within_bounds() {
    let plan = (0..10_000).map(|i| transfer(i, 77)).collect();
    let mut brain = brain(&FakeHost::new(Script { plan: Some(plan), ..Script::default() }));
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    assert_eq!(tick.accepted, []);
    assert_eq!(tick.record.moves.len(), 256);
    assert!(tick.record.moves.iter().all(|m| matches!(m.verdict, Verdict::Refused { .. })));
    assert_eq!(tick.record.notes, ["9744 more refused moves are not listed"]);
}

/// Promise 6.
#[test]
fn the_same_inputs_give_the_same_records() {
    let run = || {
        let host = FakeHost::new(Script { fail_predict_at: vec![5], ..Script::default() });
        let mut brain = brain(&host);
        let prepared = brain.prepare(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}").unwrap();
        brain.activate(prepared).unwrap();
        let ticks = (1..12).map(|step| {
            let swing = 60.0 + 55.0 * (step as f32 / 2.0).sin();
            let seen = observed(step, &[(&[1, 2, 3], swing), (&[1, 3, 4], 50.0), (&[2, 4, 1], 30.0)]);
            brain.tick(&seen, &rules(Mode::Auto))
        });
        ticks.collect::<Vec<_>>()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(first.iter().any(|tick| !tick.accepted.is_empty()));
    for tick in &first {
        for evaluation in &tick.record.evaluations {
            for digest in [evaluation.input, evaluation.output] {
                let (_, bytes) = tick.inputs.iter().find(|(named, _)| *named == digest).unwrap();
                assert_eq!(Digest::of(bytes), digest);
            }
        }
    }
}

#[test]
fn a_shard_whose_node_is_silent_counts_as_expected_not_as_idle() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    brain.tick(&steady(1), &rules(Mode::Auto));
    brain.tick(&observed(2, &[(&[1, 2, 3], f32::NAN), (&[2, 3, 4], 40.0)]), &rules(Mode::Auto));
    assert_eq!(brain.last_view().unwrap().shards.leader_load, [40.0, 40.0]);
}

#[test]
fn several_ticks_make_a_step_and_the_forecast_waits_for_it() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let roles = |tick: Tick| tick.record.evaluations.iter().map(|e| e.role).collect::<Vec<_>>();
    let part = |at: u64| Observation { now: InstantMs(START + at), span_ms: STEP_MS / 2, ..steady(0) };
    assert_eq!(roles(brain.tick(&part(STEP_MS / 2), &rules(Mode::Auto))), [Role::Forecast, Role::Place]);
    assert_eq!(roles(brain.tick(&part(STEP_MS), &rules(Mode::Auto))), [Role::Forecast, Role::Place]);
    assert_eq!(roles(brain.tick(&part(STEP_MS * 3 / 2), &rules(Mode::Auto))), [Role::Place]);
}

#[test]
fn observed_keyspaces_are_drained_too() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let draining = RoundRules { draining: BTreeSet::from([NodeId(1)]), ..rules(Mode::Observe) };
    let tick = brain.tick(&steady(1), &draining);
    assert_eq!(tick.accepted.len(), 2);
}

#[test]
fn a_move_by_hand_is_judged_as_things_stand() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let halted = RoundRules { halted: true, ..rules(Mode::Observe) };
    brain.tick(&steady(1), &halted);
    // The keyspace is only observed, yet its operator may move what is in it.
    assert_eq!(brain.check_by_hand(&steady(1), &halted, transfer(1, 2)).verdict, Verdict::Accepted);
    let refused = brain.check_by_hand(&steady(1), &halted, transfer(1, 4)).verdict;
    assert!(matches!(refused, Verdict::Refused { rule: Rule::NotAReplica, .. }));
}
