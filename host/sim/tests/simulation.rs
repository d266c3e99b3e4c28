//! What a simulation promises, with the first-party policies compiled natively and some that were planted.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

mod gains;
mod native;

use isobar_control::MovePace;
use isobar_model::{
    Action, CheckedMove, ClusterView, InstantMs, LoadWeights, Move, NodeId, NodeState, Plan, ShardId, Verdict,
};
use isobar_ports::{Fleet, Placer, PolicyFailure, Usage};
use isobar_sim::{
    Arm, ArmReport, Arms, MakePlacer, MoveEnd, MoveTimes, Outage, QueueSpec, Scenario, ScenarioFile, ScenarioSpec,
    SimFleet, SimShard, Simulation, Standing, Trace, overload,
};
use native::Forecasters;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// Two shards of three replicas on four nodes of capacity 1 000, at rest.
fn small(read_share: f32) -> Scenario {
    let shard = |ops: f32| SimShard { tenant: "t".into(), part: 0, parts: 1, ops: vec![ops; 24] };
    let spec = ScenarioSpec {
        nodes: 4,
        history_steps: 2,
        window_steps: 12,
        read_share,
        weights: LoadWeights::default(),
        ..ScenarioSpec::default()
    };
    let start = vec![vec![NodeId(1), NodeId(2), NodeId(3)], vec![NodeId(2), NodeId(1), NodeId(3)]];
    let mut scenario = Scenario::from_parts(spec, vec![shard(100.0), shard(50.0)], 1_000.0, start);
    scenario.bytes = vec![6_000 * MIB, 3_000 * MIB];
    scenario
}

/// 10 MiB/s, half a step beside the copy, a tenth of a node at full bandwidth.
fn times() -> MoveTimes {
    let data = MovePace::Bytes { bytes_per_s: 10 * MIB, overhead_steps: 0.5 };
    MoveTimes { data, leader_steps: 0.25, copy_share: 0.1 }
}

fn accepted(shard: u64, action: Action) -> CheckedMove {
    let proposed = Move {
        shard: ShardId(shard),
        action,
        urgency: 1.0,
        start_by: InstantMs(0),
        gain: 1.0,
        reason: "a test".into(),
    };
    CheckedMove { proposed, verdict: Verdict::Accepted }
}

fn relocation(shard: u64, source: u64, target: u64) -> CheckedMove {
    accepted(shard, Action::MoveReplica { source: NodeId(source), target: NodeId(target) })
}

fn ends(fleet: &SimFleet) -> Vec<MoveEnd> {
    fleet.moves().iter().map(|m| m.end).collect()
}

#[test]
fn a_move_takes_its_bytes_over_the_bandwidth_and_what_it_takes_beside() {
    let mut fleet = SimFleet::new(Arc::new(small(0.8)), 2, times());
    // 6 000 MiB at 10 MiB/s: 600 s, two steps; then half a step.
    fleet.begin(&relocation(1, 3, 4)).unwrap();
    let estimated = fleet.observe().unwrap().moving[0].done_by;
    assert_eq!(estimated.since_ms(fleet.observe().unwrap().now), 750_000);
    for _ in 0..3 {
        fleet.advance();
    }
    assert_eq!(ends(&fleet), [MoveEnd::Done(4.5)]);
    assert_eq!(fleet.moved_bytes(), 6_000 * MIB);
    assert_eq!(fleet.placement()[0], [NodeId(1), NodeId(2), NodeId(4)]);
}

#[test]
fn copies_share_the_bandwidth_of_their_ends() {
    let mut fleet = SimFleet::new(Arc::new(small(0.8)), 2, times());
    // Both come to node 4: each at half the speed, until the smaller is done after two steps; the larger goes on alone for one more.
    fleet.begin(&relocation(1, 3, 4)).unwrap();
    fleet.begin(&relocation(2, 3, 4)).unwrap();
    for _ in 0..5 {
        fleet.advance();
    }
    let steps = |end| if let MoveEnd::Done(at) = end { at } else { f64::NAN };
    let [larger, smaller] = ends(&fleet)[..] else { panic!("two moves") };
    assert!((steps(smaller) - 4.5).abs() < 1e-9 && (steps(larger) - 5.5).abs() < 1e-9, "{smaller:?} {larger:?}");
}

#[test]
fn copies_load_both_ends_while_they_last() {
    let scenario = Arc::new(small(0.8));
    let mut fleet = SimFleet::new(Arc::clone(&scenario), 2, times());
    fleet.begin(&relocation(1, 3, 4)).unwrap();
    for _ in 0..4 {
        fleet.advance();
    }
    let mut loads = Vec::new();
    isobar_sim::play(&scenario, 2..6, fleet.timeline(), |s| {
        loads.push((s.from, s.loads.iter().map(|l| l.round() as i64).collect::<Vec<_>>()));
    });
    // The leader sends, node 4 receives: 100 load units each for the two steps of the copy, none for the half step after it.
    let copying = vec![120 + 10 + 100, 60 + 20, 20 + 10, 100];
    assert_eq!(loads[0], (2.0, copying.clone()));
    assert_eq!(loads[1], (3.0, copying));
    assert_eq!(loads[2], (4.0, vec![130, 80, 30, 0]));
    assert_eq!(loads[3], (4.5, vec![130, 80, 10, 20]));
}

#[test]
fn a_leader_transfer_copies_nothing() {
    let mut fleet = SimFleet::new(Arc::new(small(0.8)), 2, times());
    fleet.begin(&accepted(1, Action::TransferLeader(NodeId(3)))).unwrap();
    fleet.advance();
    assert_eq!(ends(&fleet), [MoveEnd::Done(2.25)]);
    assert_eq!((fleet.moved_bytes(), fleet.timeline().copies().len()), (0, 0));
    assert_eq!(fleet.placement()[0], [NodeId(3), NodeId(2), NodeId(1)]);
}

#[test]
fn a_lost_node_hands_its_leaders_on_and_moves_to_it_are_given_up() {
    let mut scenario = small(0.8);
    scenario.nodes.outages = vec![Outage { node: 0, steps: 4..7 }, Outage { node: 3, steps: 3..9 }];
    let mut fleet = SimFleet::new(Arc::new(scenario), 2, times());
    fleet.begin(&relocation(1, 3, 4)).unwrap();
    fleet.advance();
    assert_eq!(ends(&fleet), [MoveEnd::GivenUp(3.0)]);
    assert_eq!(fleet.moved_bytes(), 3_000 * MIB, "half of it was copied");
    assert_eq!(fleet.observe().unwrap().nodes[3].state, NodeState::Down);
    assert!(fleet.begin(&relocation(1, 3, 4)).is_err());
    fleet.advance();
    assert_eq!(fleet.failovers(), 1, "node 1 led shard 1");
    assert_eq!(fleet.placement()[0], [NodeId(2), NodeId(1), NodeId(3)]);
    for _ in 0..3 {
        fleet.advance();
    }
    let seen = fleet.observe().unwrap();
    assert_eq!(seen.nodes[0].state, NodeState::Up, "it is back");
    assert_eq!(fleet.placement()[0][0], NodeId(2), "and follows");
}

#[test]
fn without_a_majority_nobody_knows_the_load() {
    let mut scenario = small(0.8);
    scenario.nodes.outages = vec![Outage { node: 0, steps: 3..5 }, Outage { node: 1, steps: 3..5 }];
    let mut fleet = SimFleet::new(Arc::new(scenario), 2, times());
    fleet.advance();
    assert_eq!(fleet.failovers(), 0, "one replica of three can't elect itself");
    fleet.advance();
    assert!(fleet.observe().unwrap().shards.iter().all(|shard| shard.leader_load.is_nan()));
    fleet.advance();
    fleet.advance();
    assert!(fleet.observe().unwrap().shards.iter().all(|shard| shard.leader_load > 0.0));
}

fn simulation(text: &str, seed: u64) -> Simulation {
    ScenarioFile::parse(text).unwrap().build(seed, |_| Trace::worldwide()).unwrap()
}

fn arms(simulation: &Simulation) -> Arms {
    native::arms(Arc::clone(&simulation.scenario), Forecasters::default(), "", "")
        .with_settings(simulation.times, simulation.config.clone())
}

fn standing(simulation: &Simulation, arm: &ArmReport) -> Standing {
    let scenario = &simulation.scenario;
    Standing::of(scenario, scenario.window(0), arm, &simulation.queue, simulation.config.limits.cool_down_ms)
}

/// Tight, so that there is overload to save; with all that chance can do.
const BUSY: &str = r#"
history_days = 3
days = 0.5
horizon_steps = 72
[nodes]
headroom = 1.15
[[load]]
tenants = 30
skew = 0.4
shapes = [
  { kind = "diurnal", amplitude = 0.7, peak_hour = 8, spread_hours = 12 },
  { kind = "random-walk", sigma_per_day = 0.1 },
  { kind = "noise", deviation = 0.1 },
]
[[event]]
kind = "node-loss"
at_hours = 6
for_hours = 2
"#;

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let bytes = |seed| {
        let simulation = simulation(BUSY, seed);
        let of = |arm| format!("{:?}", standing(&simulation, &arms(&simulation).run(arm, 0).unwrap()));
        Arm::ALL.map(of).join("\n")
    };
    let first = bytes(1);
    assert_eq!(first, bytes(1));
    assert_ne!(first, bytes(2));
}

#[test]
fn figures_add_up() {
    let simulation = simulation(BUSY, 1);
    let scenario = &simulation.scenario;
    let arm = arms(&simulation).run(Arm::Reactive, 0).unwrap();
    let standing = standing(&simulation, &arm);
    let figures = &standing.figures;
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
    assert!(close(figures.overload_node_s, overload(scenario, scenario.window(0), &arm.timeline)));
    assert!(close(figures.overload_node_s, standing.course.overload_node_s.iter().sum()));
    let offered: f64 = scenario.window(0).flat_map(|t| scenario.shards.iter().map(move |s| f64::from(s.ops[t]))).sum();
    assert!((figures.requests / (offered * 300.0) - 1.0).abs() < 1e-9);
    assert!(close(figures.node_hours, 6.0 * 12.0 - 2.0), "{}", figures.node_hours);
    let begun: u32 = standing.course.data_moves.iter().chain(&standing.course.leader_transfers).sum();
    assert_eq!(u64::from(begun), arm.moves());
    assert!(figures.p50_ms < figures.p99_ms && figures.failovers > 0 && figures.unserved_requests == 0.0);
}

#[test]
fn the_example_scenarios_are_scenarios() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scenarios");
    let mut built = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file = ScenarioFile::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(!file.about.is_empty(), "{} does not say what it shows", path.display());
        // The largest would take gigabytes.
        if file.nodes.count < 1_000 {
            let simulation = file.build(file.seed, |_| Trace::worldwide()).unwrap();
            assert!(simulation.scenario.windows() >= 1, "{}", path.display());
            built += 1;
        }
    }
    assert!(built >= 8, "{built}");
}

/// A policy that moves some replica at every chance, for nothing.
struct Restless;

impl Placer for Restless {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        let moves = (0..view.shards.ids.len()).map(|shard| {
            let replicas = view.shards.replicas_of(shard);
            let target = (0..view.nodes.ids.len() as u32).find(|node| !replicas.contains(node)).unwrap_or(0);
            let action = Action::MoveReplica {
                source: view.nodes.ids[replicas[0] as usize],
                target: view.nodes.ids[target as usize],
            };
            Move {
                shard: view.shards.ids[shard],
                action,
                urgency: 0.5,
                start_by: view.now,
                gain: 1.0,
                reason: "because I can".into(),
            }
        });
        Ok(Plan { moves: moves.collect(), notes: Vec::new() })
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// A policy that never moves anything.
struct Idle;

impl Placer for Idle {
    fn propose(&mut self, _: &ClusterView) -> Result<Plan, PolicyFailure> {
        Ok(Plan::default())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// A policy that does not answer.
struct Broken;

impl Placer for Broken {
    fn propose(&mut self, _: &ClusterView) -> Result<Plan, PolicyFailure> {
        Err(PolicyFailure::Trapped("unreachable".into()))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// Half the nodes begin with all the load, or nearly: there is something to do, and it pays.
const LOPSIDED: &str = r#"
history_days = 2
days = 0.5
horizon_steps = 36
[nodes]
count = 6
headroom = 1.3
sizes = [0.6, 0.6, 1, 1, 1.4, 1.4]
[shards]
mib = 6000
[moves]
copy_share = 0.2
[[load]]
tenants = 40
shapes = [{ kind = "diurnal", amplitude = 0.3, spread_hours = 12 }]
"#;

#[test]
fn planted_policies_that_do_nothing_or_harm_fare_worse() {
    let simulation = simulation(LOPSIDED, 1);
    let arms = arms(&simulation);
    let placed = |make: MakePlacer| standing(&simulation, &arms.placed_by(0, &make).unwrap()).figures;
    let idle = placed(Arc::new(|| Ok(Box::new(Idle))));
    let restless = placed(Arc::new(|| Ok(Box::new(Restless))));
    let still = standing(&simulation, &arms.run(Arm::Static, 0).unwrap()).figures;
    let good = standing(&simulation, &arms.run(Arm::Predictive, 0).unwrap()).figures;
    assert_eq!(idle, still, "whoever never moves is the static arm");
    assert!(good.overload_node_s < 0.5 * idle.overload_node_s, "{good:?} {idle:?}");
    assert!(good.p99_ms < idle.p99_ms);
    assert!(restless.overload_node_s > 1.5 * good.overload_node_s, "{restless:?} {good:?}");
    assert!(restless.moved_bytes > 4 * good.moved_bytes.max(1), "{restless:?} {good:?}");
    assert!(restless.p99_ms > good.p99_ms);
}

#[test]
fn a_restless_policy_is_told_by_its_thrash() {
    let text = LOPSIDED.replace("copy_share = 0.2", "copy_share = 0.2\ncool_down_min = 15\nper_node = 20");
    let simulation = simulation(&text, 1);
    let make: MakePlacer = Arc::new(|| Ok(Box::new(Restless)));
    let restless = standing(&simulation, &arms(&simulation).placed_by(0, &make).unwrap());
    assert!(restless.figures.thrash > 0, "{:?}", restless.figures);
}

#[test]
fn a_policy_that_fails_is_told() {
    let simulation = simulation(LOPSIDED, 1);
    let report = arms(&simulation).placed_by(0, &(Arc::new(|| Ok(Box::new(Broken) as Box<dyn Placer>)) as MakePlacer));
    let failures = report.unwrap().failures;
    assert_eq!(failures.count, 144);
    assert!(failures.first.unwrap().to_string().contains("trapped"));
}

/// What the host does where a node is lost: leaders pass on, replicas stay where they are, and a drain of a node that is there empties it.
#[test]
fn the_host_empties_a_node_that_is_drained_and_leaves_a_lost_one_be() {
    let text = |event: &str| {
        format!(
            "history_days = 2\ndays = 0.25\nhorizon_steps = 12\n[shards]\nmib = 1000\n[[load]]\ntenants = 24\n[[event]]\nnode = 2\n{event}"
        )
    };
    let held = |event: &str| {
        let simulation = simulation(&text(event), 1);
        let report = arms(&simulation).run(Arm::Predictive, 0).unwrap();
        let mut placement = report.timeline.start().clone();
        report.timeline.changes().iter().for_each(|c| placement[c.shard].clone_from(&c.replicas));
        let on = placement.iter().filter(|replicas| replicas.contains(&NodeId(2))).count();
        let led = placement.iter().filter(|replicas| replicas[0] == NodeId(2)).count();
        (on, led, standing(&simulation, &report).figures)
    };
    let (on, led, figures) = held("kind = \"drain\"\nat_hours = 0.5");
    assert_eq!((on, led), (0, 0), "{figures:?}");
    let (on, led, figures) = held("kind = \"node-loss\"\nat_hours = 0.5");
    assert!(led == 0 && figures.failovers > 0, "{figures:?}");
    assert_eq!(on as u64, figures.missing_replicas_at_end);
    assert!(figures.missing_replica_hours > 0.0 && figures.unserved_requests == 0.0, "{figures:?}");
}

#[test]
fn timeouts_count_where_a_node_is_far_over_its_capacity() {
    let shard = SimShard { tenant: "t".into(), part: 0, parts: 1, ops: vec![200.0; 4] };
    let spec = ScenarioSpec {
        nodes: 1,
        replication_factor: 1,
        history_steps: 1,
        window_steps: 2,
        read_share: 1.0,
        ..ScenarioSpec::default()
    };
    let scenario = Arc::new(Scenario::from_parts(spec, vec![shard], 100.0, vec![vec![NodeId(1)]]));
    let arms = native::arms(Arc::clone(&scenario), Forecasters::default(), "", "");
    let arm = arms.run(Arm::Static, 0).unwrap();
    let queue = QueueSpec { service_s: 0.01, timeout_s: 10.0 };
    let figures = Standing::of(&scenario, 1..3, &arm, &queue, 0).figures;
    // Half of 600 s of requests can't be served, but for the ten seconds that wait at the end.
    let share = figures.timed_out_requests / figures.requests;
    assert!((share - (600.0 - 10.0) / 1_200.0).abs() < 1e-6, "{share}");
    assert!(figures.p99_ms.unwrap() > 9_000.0);
}
