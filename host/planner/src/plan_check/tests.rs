mod placement;

use super::*;
use crate::testing::{NOW, keyspaces, node, relocate, round, shard, transfer, view, wanted};
use crate::{NodeFact, ShardFact};
use isobar_model::{InFlight, InstantMs, KeyspaceId, Metric, NodeResource, ReplicaUse};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Six nodes in three zones, two a zone (1 and 4 in zone 1, ...); shard 7 on 1, 2, 3, shard 8 on 2, 3, 4.
struct Case {
    nodes: Vec<NodeFact>,
    shards: Vec<ShardFact>,
    moving: Vec<InFlight>,
    mode: Mode,
    halted: bool,
    settings: CheckSettings,
    spent: Spent,
    expected: Vec<f32>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            nodes: (1..=6).map(|id| node(id, 1 + (id as u32 - 1) % 3)).collect(),
            shards: vec![shard(7, &[1, 2, 3], 20.0), shard(8, &[2, 3, 4], 20.0)],
            moving: vec![],
            mode: Mode::Auto,
            halted: false,
            settings: CheckSettings::default(),
            spent: Spent::default(),
            expected: vec![],
        }
    }
}

impl Case {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::default();
        change(&mut case);
        case
    }

    fn verdicts(self, moves: Vec<Move>, origin: Origin) -> Vec<Verdict> {
        let view = view(self.nodes, self.shards, self.moving);
        let keyspaces = keyspaces(self.mode);
        let (halted, settings, spent) = (self.halted, self.settings, self.spent);
        let input = RoundInput { halted, settings, spent, expected: &self.expected, ..round(&keyspaces) };
        let mut check = PlanCheck::new(&view, input);
        check.judge_plan(moves, origin).0.into_iter().map(|m| m.verdict).collect()
    }

    fn last(self, moves: Vec<Move>, origin: Origin) -> Verdict {
        self.verdicts(moves, origin).pop().unwrap()
    }

    /// The rule that the last of these moves breaks.
    fn rule(self, moves: Vec<Move>) -> Rule {
        let verdict = self.last(moves, Origin::Policy);
        let Verdict::Refused { rule, detail } = verdict else { panic!("{verdict:?}") };
        assert!(!detail.is_empty());
        rule
    }
}

fn accepted(case: Case, moves: Vec<Move>) {
    let verdicts = case.verdicts(moves, Origin::Policy);
    assert!(verdicts.iter().all(|v| *v == Verdict::Accepted), "{verdicts:?}");
}

#[test]
fn sound_moves_are_accepted() {
    accepted(Case::default(), vec![relocate(7, 1, 4), transfer(8, 3)]);
}

#[test]
fn unknown_shard() {
    assert_eq!(Case::default().rule(vec![transfer(99, 1)]), Rule::UnknownShard);
    let out_of_scope = Case::with(|case| case.mode = Mode::Observe);
    assert_eq!(out_of_scope.rule(vec![transfer(7, 2)]), Rule::UnknownShard);
}

#[test]
fn unknown_node() {
    assert_eq!(Case::default().rule(vec![relocate(7, 1, 99)]), Rule::UnknownNode);
    assert_eq!(Case::default().rule(vec![transfer(7, 99)]), Rule::UnknownNode);
}

#[test]
fn not_a_replica() {
    assert_eq!(Case::default().rule(vec![relocate(7, 5, 6)]), Rule::NotAReplica);
    assert_eq!(Case::default().rule(vec![transfer(7, 5)]), Rule::NotAReplica);
}

#[test]
fn no_change() {
    assert_eq!(Case::default().rule(vec![relocate(7, 1, 1)]), Rule::NoChange);
    assert_eq!(Case::default().rule(vec![transfer(7, 1)]), Rule::NoChange);
}

#[test]
fn distinct_nodes() {
    assert_eq!(Case::default().rule(vec![relocate(7, 1, 2)]), Rule::DistinctNodes);
}

#[test]
fn distinct_zones() {
    assert_eq!(Case::default().rule(vec![relocate(7, 1, 5)]), Rule::DistinctZones);
    let two_zones = Case::with(|case| case.nodes.iter_mut().for_each(|n| n.zone.0 = n.zone.0.min(2)));
    accepted(two_zones, vec![relocate(7, 1, 4)]);
    // Shard 9 shares a zone already: a move that leaves it so is not to blame.
    let shared = Case::with(|case| case.shards.push(shard(9, &[1, 4, 2], 1.0)));
    accepted(shared, vec![relocate(9, 2, 3)]);
}

#[test]
fn node_not_ready() {
    for state in [NodeState::Draining, NodeState::Suspect, NodeState::Down] {
        let case = || Case::with(|case| case.nodes[3].state = state);
        assert_eq!(case().rule(vec![relocate(7, 1, 4)]), Rule::NodeNotReady);
        assert_eq!(case().rule(vec![transfer(8, 4)]), Rule::NodeNotReady);
    }
}

#[test]
fn replication_factor() {
    let thin = Case::with(|case| case.shards[0].replicas.truncate(2));
    assert_eq!(thin.rule(vec![relocate(7, 1, 4)]), Rule::ReplicationFactor);
    let another_down = || Case::with(|case| case.nodes[1].state = NodeState::Down);
    assert_eq!(another_down().rule(vec![relocate(7, 1, 4)]), Rule::ReplicationFactor);
    // Away from the node that is down: a repair.
    accepted(another_down(), vec![relocate(7, 2, 5)]);
    let removal = wanted(7, Action::RemoveReplica(NodeId(1)));
    assert_eq!(Case::default().rule(vec![removal]), Rule::ReplicationFactor);
}

#[test]
fn capacity_headroom() {
    let busy = |load| Case::with(|case| case.shards.push(shard(9, &[4, 5, 6], load)));
    assert_eq!(busy(80.0).rule(vec![relocate(7, 1, 4)]), Rule::CapacityHeadroom);
    accepted(busy(60.0), vec![relocate(7, 1, 4)]);
    // Over the headroom, yet lighter than the source stays.
    let worse_source = Case::with(|case| {
        case.shards.push(shard(9, &[4, 5, 6], 80.0));
        case.shards.push(shard(10, &[1, 5, 6], 120.0));
    });
    accepted(worse_source, vec![relocate(7, 1, 4)]);
}

#[test]
fn headroom_looks_at_now_and_at_later() {
    // Node 4 is full now and empty once the move is done (step 1): who plans ahead may go there.
    let mut ahead = Case::with(|case| case.shards.push(shard(9, &[4, 5, 6], 90.0)));
    ahead.expected = vec![20.0, 20.0, 20.0, 20.0, 90.0, 0.0];
    accepted(ahead, vec![relocate(7, 1, 4)]);
    // The policy's own rosy forecast changes nothing.
    let mut rosy = Case::with(|case| case.shards.push(shard(9, &[4, 5, 6], 90.0)));
    rosy.shards[2].predicted = vec![0.0; 2];
    rosy.expected = vec![20.0, 20.0, 20.0, 20.0, 90.0, 90.0];
    assert_eq!(rosy.rule(vec![relocate(7, 1, 4)]), Rule::CapacityHeadroom);
}

#[test]
fn headroom_looks_no_further_than_the_shard_must_stay() {
    // Node 4 is full now and again at step 20; by then the shard may long have moved on.
    let steps = 24;
    let shards = vec![shard(7, &[1, 2, 3], 20.0), shard(9, &[4, 5, 6], 90.0)];
    let mut view = view(Case::default().nodes, shards, vec![]);
    let mut there = vec![90.0; steps];
    there[1..20].fill(0.0);
    view.steps = steps as u32;
    view.shards.predicted = [vec![20.0; steps], there].concat();
    view.nodes.background = vec![0.0; 6 * steps];
    let keyspaces = keyspaces(Mode::Auto);
    let judge =
        |view: &ClusterView| PlanCheck::new(view, round(&keyspaces)).judge(relocate(7, 1, 4), Origin::Policy).verdict;
    assert_eq!(judge(&view), Verdict::Accepted);
    view.limits.cool_down_ms *= 3;
    assert!(matches!(judge(&view), Verdict::Refused { rule: Rule::CapacityHeadroom, .. }));
}

/// Node 4 has 1 000 millicores, of which it uses so many without load; shard 7 takes 20 of its leader, 2 of a follower, and is busy 20.
fn short_of_cpu(idle: f32) -> Case {
    Case::with(|case| {
        let cpu = Metric::CpuMillicores;
        case.nodes[3].resources.insert(cpu, NodeResource { capacity: 1_000.0, idle });
        case.shards[0].uses.insert(cpu, ReplicaUse { leader: 20.0, follower: 2.0 });
    })
}

#[test]
fn resource_headroom() {
    assert_eq!(short_of_cpu(501.0).rule(vec![relocate(7, 1, 4)]), Rule::ResourceHeadroom);
    accepted(short_of_cpu(499.0), vec![relocate(7, 1, 4)]);
    // A follower takes less; nodes that declare nothing have no limit; what a shard does not take is of no account.
    accepted(short_of_cpu(501.0), vec![relocate(7, 2, 5)]);
    let mut on_its_way = short_of_cpu(860.0);
    on_its_way.shards[0].replicas = [1, 4, 3].map(NodeId).to_vec();
    assert_eq!(on_its_way.rule(vec![transfer(7, 4)]), Rule::ResourceHeadroom);
    accepted(short_of_cpu(999.0), vec![transfer(8, 4)]);
    let by_hand = short_of_cpu(999.0).last(vec![relocate(7, 1, 4)], Origin::Operator);
    assert_eq!(by_hand, Verdict::Accepted);
}

#[test]
fn resource_headroom_is_a_named_rule_with_its_figures() {
    let Verdict::Refused { detail, .. } = short_of_cpu(700.0).last(vec![relocate(7, 1, 4)], Origin::Policy) else {
        panic!("accepted")
    };
    assert_eq!(detail, "node 4 would be at 110 % of its cpu-millicores now and 110 % later, 90 % allowed");
}

#[test]
fn a_resource_is_forecast_in_proportion_to_the_load() {
    // Shard 7 does nothing now; once it is there it takes 600 of 1 000.
    let mut rising = short_of_cpu(400.0);
    rising.shards[0].leader_load = 0.0;
    rising.expected = vec![0.0, 30.0, 20.0, 20.0];
    accepted(rising, vec![relocate(7, 1, 4)]);
    // Full now and later, as it rises no more.
    let mut risen = short_of_cpu(400.0);
    risen.shards[0].leader_load = 30.0;
    risen.expected = vec![30.0, 30.0, 20.0, 20.0];
    assert_eq!(risen.rule(vec![relocate(7, 1, 4)]), Rule::ResourceHeadroom);
}

#[test]
fn two_moves_cannot_herd_onto_one_node_s_resource() {
    // Two leaders that take 20 a unit of load each: 880 of 1 000 at 22, 920 at 23.
    let case = |load: f32| {
        let mut case = short_of_cpu(0.0);
        let one = ShardFact { leader_load: load, predicted: vec![load; 2], ..case.shards[0].clone() };
        case.shards = [7, 8].map(|id| ShardFact { id: ShardId(id), ..one.clone() }).to_vec();
        case
    };
    let both = || vec![relocate(7, 1, 4), relocate(8, 1, 4)];
    accepted(case(22.0), both());
    assert_eq!(case(23.0).rule(both()), Rule::ResourceHeadroom);
}

#[test]
fn two_moves_cannot_herd_onto_one_cold_node() {
    let case = Case::with(|case| {
        case.shards = vec![shard(7, &[1, 2, 3], 50.0), shard(8, &[1, 2, 3], 50.0)];
    });
    assert_eq!(case.rule(vec![relocate(7, 1, 4), relocate(8, 1, 4)]), Rule::CapacityHeadroom);
}

#[test]
fn disk_space() {
    let full = Case::with(|case| case.nodes[3].used_bytes = 991);
    assert_eq!(full.rule(vec![relocate(7, 1, 4)]), Rule::DiskSpace);
    let room_for_one = Case::with(|case| {
        case.nodes[3].used_bytes = 985;
        case.shards.push(shard(9, &[1, 2, 3], 1.0));
    });
    assert_eq!(room_for_one.rule(vec![relocate(7, 1, 4), relocate(9, 1, 4)]), Rule::DiskSpace);
}

#[test]
fn already_moving() {
    assert_eq!(Case::default().rule(vec![transfer(7, 2), relocate(7, 1, 4)]), Rule::AlreadyMoving);
    let in_flight = Case::with(|case| case.moving = vec![moving(7, 3, 6, true)]);
    assert_eq!(in_flight.rule(vec![transfer(7, 2)]), Rule::AlreadyMoving);
}

fn moving(shard: u64, source: u64, target: u64, leader_only: bool) -> InFlight {
    InFlight { shard: ShardId(shard), source: NodeId(source), target: NodeId(target), done_by: NOW, leader_only }
}

#[test]
fn in_flight_per_node() {
    let case = |moving| Case::with(|case| case.moving = moving);
    // Shards 50 and 51 are not in the view; their traffic counts all the same.
    let two = vec![moving(50, 2, 4, false), moving(51, 4, 3, false)];
    assert_eq!(case(two).rule(vec![relocate(7, 1, 4)]), Rule::InFlightPerNode);
    let leaders = vec![moving(50, 2, 4, true), moving(51, 4, 3, true)];
    accepted(case(leaders), vec![relocate(7, 1, 4)]);
    let from_one = Case::with(|case| {
        case.shards = (7..10).map(|id| shard(id, &[1, 2, 3], 1.0)).collect();
    });
    assert_eq!(from_one.rule(vec![relocate(7, 1, 4), relocate(8, 1, 4), relocate(9, 1, 4)]), Rule::InFlightPerNode);
}

/// Promise 7.
#[test]
fn cool_down() {
    let moved = |ms_ago: u64| Case::with(|case| case.shards[0].last_moved = InstantMs(NOW.0 - ms_ago));
    assert_eq!(moved(crate::testing::COOL_DOWN_MS - 1).rule(vec![transfer(7, 2)]), Rule::CoolDown);
    accepted(moved(crate::testing::COOL_DOWN_MS), vec![transfer(7, 2)]);
}

#[test]
fn gain_below_cost() {
    let gain = |gain: f32| vec![Move { gain, ..relocate(7, 1, 4) }];
    assert_eq!(Case::default().rule(gain(0.0)), Rule::GainBelowCost);
    assert_eq!(Case::default().rule(gain(-5.0)), Rule::GainBelowCost);
    let priced = || Case::with(|case| case.settings.min_gain_replica = 5.0);
    assert_eq!(priced().rule(gain(5.0)), Rule::GainBelowCost);
    accepted(priced(), vec![Move { gain: 1.0, ..transfer(7, 2) }]);
}

#[test]
fn move_budget() {
    let many = |count: u64| -> Vec<Move> { (0..count).map(|i| transfer(100 + i, 2)).collect() };
    let case = || Case::with(|case| case.shards = (100..120).map(|id| shard(id, &[1, 2, 3], 0.1)).collect());
    accepted(case(), many(8));
    assert_eq!(case().rule(many(9)), Rule::MoveBudget);
    let mut spent = case();
    spent.spent.moves = 598;
    assert_eq!(spent.rule(many(3)), Rule::MoveBudget);
}

#[test]
fn byte_budget() {
    let tight = |spent: u64| {
        Case::with(|case| {
            case.settings.bytes_per_hour = 25;
            case.spent.bytes = spent;
        })
    };
    accepted(tight(0), vec![relocate(7, 1, 4), relocate(8, 2, 5)]);
    assert_eq!(tight(10).rule(vec![relocate(7, 1, 4), relocate(8, 2, 5)]), Rule::ByteBudget);
    accepted(tight(25), vec![transfer(7, 2)]);
}

#[test]
fn a_mode_other_than_auto_holds_moves() {
    for mode in [Mode::Advise, Mode::Approve] {
        let case = || Case::with(|case| case.mode = mode);
        assert_eq!(case().last(vec![relocate(7, 1, 4)], Origin::Policy), Verdict::Held { rule: Rule::Mode });
        assert_eq!(case().last(vec![relocate(7, 1, 4)], Origin::Released), Verdict::Accepted);
        // What is only shown must be sound, too.
        assert_eq!(case().rule(vec![relocate(7, 1, 2)]), Rule::DistinctNodes);
        assert_eq!(case().rule(vec![relocate(7, 1, 4), transfer(7, 2)]), Rule::AlreadyMoving);
    }
}

#[test]
fn held_moves_do_not_hold_back_accepted_ones() {
    let nodes = (1..=6).map(|id| node(id, id as u32)).collect();
    let mut shown = shard(8, &[1, 2, 3], 60.0);
    shown.keyspace = KeyspaceId(2);
    let view = view(nodes, vec![shard(7, &[1, 2, 3], 60.0), shown], vec![]);
    let keyspaces = keyspaces(Mode::Auto);
    let mut check = PlanCheck::new(&view, round(&keyspaces));
    let moves = vec![relocate(8, 1, 4), relocate(7, 1, 4)];
    let verdicts: Vec<_> = check.judge_plan(moves, Origin::Policy).0.into_iter().map(|m| m.verdict).collect();
    assert_eq!(verdicts, [Verdict::Held { rule: Rule::Mode }, Verdict::Accepted]);
    assert_eq!(check.spent(), Spent { moves: 1, bytes: 10 });
}

#[test]
fn where_the_policy_abstains_its_moves_are_shown_and_the_native_placers_are_made() {
    let view = view(Case::default().nodes, Case::default().shards, vec![]);
    let check = |mode| {
        let keyspaces = keyspaces(mode);
        let mut check = PlanCheck::new(&view, round(&keyspaces)).abstaining_in([KeyspaceId(1)].into());
        let held = check.judge(relocate(8, 2, 5), Origin::Policy).verdict;
        (held, check.judge(relocate(7, 1, 4), Origin::Reactive).verdict, check.spent().moves)
    };
    let held = |rule| Verdict::Held { rule };
    assert_eq!(check(Mode::Auto), (held(Rule::GainUnproven), Verdict::Accepted, 1));
    // What the mode holds, it holds of both.
    assert_eq!(check(Mode::Advise), (held(Rule::Mode), held(Rule::Mode), 0));
    let keyspaces = keyspaces(Mode::Auto);
    let mut check = PlanCheck::new(&view, round(&keyspaces)).abstaining_in([KeyspaceId(2)].into());
    assert_eq!(check.judge(relocate(7, 1, 4), Origin::Policy).verdict, Verdict::Accepted);
}

#[test]
fn a_halt_holds_all_but_what_operators_do_by_hand() {
    let case = || Case::with(|case| case.halted = true);
    for origin in [Origin::Policy, Origin::Reactive, Origin::Released, Origin::Drain] {
        assert_eq!(case().last(vec![relocate(7, 1, 4)], origin), Verdict::Held { rule: Rule::Halted });
    }
    assert_eq!(case().last(vec![relocate(7, 1, 4)], Origin::Operator), Verdict::Accepted);
}

#[test]
fn malformed() {
    let odd: [fn(&mut Move); 6] = [
        |m| m.urgency = f32::NAN,
        |m| m.urgency = 1.5,
        |m| m.gain = f32::INFINITY,
        |m| m.gain = f32::NAN,
        |m| m.start_by = InstantMs(1 << 53),
        |m| m.reason = "x".repeat(513),
    ];
    for change in odd {
        let mut bad = relocate(7, 1, 4);
        change(&mut bad);
        assert_eq!(Case::default().rule(vec![bad]), Rule::Malformed);
    }
}

#[test]
fn unsupported() {
    let actions = [Action::Split, Action::MergeWith(ShardId(8)), Action::AddReplica(NodeId(4))];
    for action in actions {
        assert_eq!(Case::default().rule(vec![wanted(7, action)]), Rule::Unsupported);
    }
}

#[test]
fn operators_are_exempt_from_thrift_and_not_from_safety() {
    let case = || {
        Case::with(|case| {
            case.shards[0].last_moved = NOW;
            case.shards.push(shard(9, &[4, 5, 6], 100.0));
        })
    };
    let by_hand = |m: Move| case().last(vec![Move { gain: 0.0, ..m }], Origin::Operator);
    assert_eq!(by_hand(relocate(7, 1, 4)), Verdict::Accepted);
    assert!(matches!(by_hand(relocate(7, 1, 5)), Verdict::Refused { rule: Rule::DistinctZones, .. }));
}

/// Promise 8.
#[test]
fn a_million_moves_are_cut_at_the_bound() {
    let view = view((1..=3).map(|id| node(id, 1)).collect(), vec![shard(7, &[1, 2, 3], 1.0)], vec![]);
    let keyspaces = keyspaces(Mode::Auto);
    let mut check = PlanCheck::new(&view, round(&keyspaces));
    let (judged, dropped) = check.judge_plan(vec![transfer(7, 2); 1_000_000], Origin::Policy);
    assert_eq!((judged.len(), dropped), (MAX_JUDGED_MOVES, 1_000_000 - MAX_JUDGED_MOVES));
}

fn any_state() -> impl Strategy<Value = NodeState> {
    prop_oneof![
        6 => Just(NodeState::Up),
        1 => Just(NodeState::Draining),
        1 => Just(NodeState::Suspect),
        1 => Just(NodeState::Down),
    ]
}

/// Of two metrics, what a node has: nothing declared, or a capacity that some shards fill.
fn any_resources() -> impl Strategy<Value = BTreeMap<Metric, NodeResource>> {
    let one = || (prop_oneof![Just(0f32), 50f32..2_000.0], 0f32..500.0);
    (one(), one()).prop_map(|(cpu, network)| {
        let of = |(capacity, idle)| NodeResource { capacity, idle };
        [(Metric::CpuMillicores, of(cpu)), (Metric::NetworkBytes, of(network))].into()
    })
}

fn any_cluster() -> impl Strategy<Value = (Vec<NodeFact>, Vec<ShardFact>, Vec<InFlight>)> {
    let nodes = proptest::collection::vec((any_state(), 0u32..4, 0u64..1_000, any_resources()), 4..8);
    nodes.prop_flat_map(|facts| {
        let count = facts.len() as u64;
        let nodes: Vec<NodeFact> = (1..)
            .zip(facts)
            .map(|(id, (state, zone, used_bytes, resources))| NodeFact {
                state,
                used_bytes,
                resources,
                ..node(id, zone)
            })
            .collect();
        let ids: Vec<u64> = (1..=count).collect();
        let ago = 0u64..2 * crate::testing::COOL_DOWN_MS;
        let paths = (0f32..200.0, proptest::array::uniform2(0f32..200.0));
        let one = (proptest::sample::subsequence(ids, 3), paths, ago, (0f32..10.0, 0f32..5.0));
        let shards = proptest::collection::vec(one, 1..12).prop_map(|shards| {
            (1..)
                .zip(shards)
                .map(|(id, (replicas, (load, predicted), ago, (leader, follower)))| ShardFact {
                    last_moved: InstantMs(NOW.0 - ago),
                    predicted: predicted.to_vec(),
                    uses: [(Metric::CpuMillicores, ReplicaUse { leader, follower })].into(),
                    ..shard(id, &replicas, load)
                })
                .collect::<Vec<_>>()
        });
        let moving = proptest::collection::vec((1u64..14, 1..=count, 1..=count, any::<bool>()), 0..4);
        let moving = moving.prop_map(|all| all.into_iter().map(|(s, f, t, l)| moving_of(s, f, t, l)).collect());
        (Just(nodes), shards, moving)
    })
}

fn moving_of(shard: u64, source: u64, target: u64, leader_only: bool) -> InFlight {
    moving(shard, source, target, leader_only)
}

fn hostile_move() -> impl Strategy<Value = Move> {
    let action = prop_oneof![
        8 => (0u64..10, 0u64..10).prop_map(|(s, t)| Action::MoveReplica { source: NodeId(s), target: NodeId(t) }),
        4 => (0u64..10).prop_map(|t| Action::TransferLeader(NodeId(t))),
        1 => (0u64..10).prop_map(|t| Action::RemoveReplica(NodeId(t))),
        1 => (0u64..10).prop_map(|t| Action::AddReplica(NodeId(t))),
        1 => Just(Action::Split),
    ];
    let number = prop_oneof![10 => 0f32..1.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(-1f32)];
    (0u64..14, action, number.clone(), number).prop_map(|(shard, action, urgency, gain)| Move {
        urgency,
        gain,
        ..wanted(shard, action)
    })
}

/// What nodes use of load and of both metrics, now and in two steps, reckoned from the facts alone.
struct Used(BTreeMap<(NodeId, Option<Metric>), [f32; 3]>);

impl Used {
    const KINDS: [Option<Metric>; 3] = [None, Some(Metric::CpuMillicores), Some(Metric::NetworkBytes)];

    fn new(nodes: &[NodeFact], shards: &[ShardFact], moving: &[InFlight]) -> Self {
        let mut used = Self(BTreeMap::new());
        for node in nodes {
            for kind in Self::KINDS {
                let idle = kind.map_or(0.0, |metric| node.resources[&metric].idle);
                used.0.insert((node.id, kind), [idle; 3]);
            }
        }
        // Moves under way count as done, one a shard and only those that the replicas allow.
        for shard in shards {
            let mut at = shard.replicas.clone();
            for m in moving.iter().filter(|m| m.shard == shard.id) {
                let (from, to) = (at.iter().position(|n| *n == m.source), at.iter().position(|n| *n == m.target));
                match (m.leader_only, from, to) {
                    (true, _, Some(to)) => at.swap(0, to),
                    (false, Some(from), None) => at[from] = m.target,
                    (true, _, None) | (false, _, _) => {}
                }
            }
            for (slot, node) in at.into_iter().enumerate() {
                used.add(shard, node, slot == 0, 1.0);
            }
        }
        used
    }

    fn add(&mut self, shard: &ShardFact, node: NodeId, leads: bool, sign: f32) {
        for kind in Self::KINDS {
            let use_of = |uses: &ReplicaUse| if leads { uses.leader } else { uses.follower };
            let part = match kind {
                None if leads => 1.0,
                None => shard.follower_share,
                Some(metric) => shard.uses.get(&metric).map_or(0.0, use_of),
            };
            let loads = [shard.leader_load, shard.predicted[0], shard.predicted[1]];
            let used = self.0.get_mut(&(node, kind)).unwrap();
            used.iter_mut().zip(loads).for_each(|(used, load)| *used += sign * part * load);
        }
    }

    fn carry_out(&mut self, shard: &ShardFact, is_transfer: bool, leads: bool, from: NodeId, to: NodeId) {
        self.add(shard, from, leads, -1.0);
        self.add(shard, to, leads, 1.0);
        if is_transfer {
            self.add(shard, from, false, 1.0);
            self.add(shard, to, false, -1.0);
        }
    }

    /// Whether a target is within 90 % of what it declares, or no fuller than the source: now, or at the peak from its arrival on. What a move
    /// takes nothing of is of no account.
    fn within_headroom(
        &self,
        nodes: &[NodeFact],
        (from, to): (NodeId, NodeId),
        is_transfer: bool,
        takes_cpu: bool,
    ) -> bool {
        // A thousandth for the order of sums.
        const MOST: f32 = 0.9 * 1.001;
        let arrival = if is_transfer { 1 } else { 2 };
        Self::KINDS.into_iter().take(if takes_cpu { 2 } else { 1 }).all(|kind| {
            let share = |node: NodeId, steps: std::ops::Range<usize>| {
                let fact = &nodes[node.0 as usize - 1];
                let capacity = kind.map_or(fact.capacity, |metric| fact.resources[&metric].capacity);
                let peak = self.0[&(node, kind)][steps].iter().copied().fold(0.0, f32::max);
                if capacity > 0.0 { peak / capacity } else { 0.0 }
            };
            let fits = |steps: std::ops::Range<usize>| {
                let (source, target) = (share(from, steps.clone()), share(to, steps));
                target <= MOST || target <= source * 1.001
            };
            fits(0..1) || fits(arrival..3)
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Promises 5 and 7: whatever a policy proposes, what is accepted keeps replicas on distinct nodes, their number, zones as apart as they
    /// were or can be, in-flight limits, headroom of load and of resources, cool-downs and the budget.
    #[test]
    fn hostile_plans_break_no_rule(
        (nodes, shards, moving) in any_cluster(),
        plan in proptest::collection::vec(hostile_move(), 0..60),
        policy: bool,
    ) {
        let view = view(nodes.clone(), shards.clone(), moving.clone());
        let keyspaces = keyspaces(Mode::Auto);
        let mut check = PlanCheck::new(&view, round(&keyspaces));
        let origin = if policy { Origin::Policy } else { Origin::Operator };
        let judged = check.judge_plan(plan, origin).0;

        let mut replicas: BTreeMap<ShardId, Vec<NodeId>> = shards.iter().map(|s| (s.id, s.replicas.clone())).collect();
        let mut busy: BTreeSet<ShardId> = moving.iter().map(|m| m.shard).collect();
        let mut in_flight: BTreeMap<NodeId, u32> = BTreeMap::new();
        for m in moving.iter().filter(|m| !m.leader_only) {
            for node in [m.source, m.target] {
                *in_flight.entry(node).or_default() += 1;
            }
        }
        let zones = |held: &[NodeId]| {
            held.iter().map(|id| nodes[id.0 as usize - 1].zone).collect::<BTreeSet<_>>().len()
        };
        let up: BTreeSet<_> = nodes.iter().filter(|n| n.state == NodeState::Up).map(|n| n.zone).collect();
        let mut used = Used::new(&nodes, &shards, &moving);
        let mut count = 0;
        for done in judged.iter().filter(|m| m.verdict == Verdict::Accepted) {
            let shard = done.proposed.shard;
            let leader = replicas[&shard][0];
            let (from, to, leads, is_transfer) = match done.proposed.action {
                Action::MoveReplica { source, target } => (source, target, source == leader, false),
                Action::TransferLeader(target) => (leader, target, true, true),
                Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
                    panic!("{done:?}: an action this build does not carry out")
                }
            };
            let fact = &shards[shard.0 as usize - 1];
            used.carry_out(fact, is_transfer, leads, from, to);
            let uses = fact.uses[&Metric::CpuMillicores];
            let taken = match (is_transfer, leads) {
                (true, _) => uses.leader - uses.follower,
                (false, true) => uses.leader,
                (false, false) => uses.follower,
            };
            if policy {
                let fits = used.within_headroom(&nodes, (from, to), is_transfer, taken > 0.0);
                prop_assert!(fits, "{:?} fills node {}", done, to);
            }
            prop_assert!(busy.insert(shard), "shard {} moves twice at once", shard);
            count += 1;
            let held = replicas.get_mut(&shard).unwrap();
            let before = zones(held);
            match done.proposed.action {
                Action::MoveReplica { source, target } => {
                    let at = held.iter().position(|&n| n == source).unwrap();
                    held[at] = target;
                    for node in [source, target] {
                        let moves = in_flight.entry(node).or_default();
                        *moves += 1;
                        prop_assert!(*moves <= view.limits.moves_per_node);
                    }
                    prop_assert_eq!(nodes[target.0 as usize - 1].state, NodeState::Up);
                    prop_assert!(zones(held) >= before.min(up.len().min(3)));
                }
                Action::TransferLeader(target) => {
                    prop_assert!(held.contains(&target) && held[0] != target);
                    prop_assert_eq!(nodes[target.0 as usize - 1].state, NodeState::Up);
                }
                Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
                    prop_assert!(false, "an action this build does not carry out was accepted");
                }
            }
            prop_assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), 3);
            if policy {
                let last = shards.iter().find(|s| s.id == shard).unwrap().last_moved;
                prop_assert!(NOW.since_ms(last) >= view.limits.cool_down_ms);
                prop_assert!(done.proposed.gain > 0.0);
            }
        }
        if policy {
            prop_assert!(count <= view.limits.moves_per_round);
        }
    }
}
