use super::*;
use crate::command::{RefusalKind, ShardCount};
use isobar_model::PlacementRules;
use isobar_model::{
    Action, CheckedMove, MigrationKind, Mode, Move, Partitioning, RevisionStatus, RouteVersion, Stage, Verdict, ZoneId,
};
use proptest::prelude::*;

const T0: InstantMs = InstantMs(1_700_000_000_000 / 300_000 * 300_000);

fn node(id: u64) -> Node {
    Node {
        id: NodeId(id),
        zone: ZoneId(id as u32 % 3),
        peer_addr: format!("127.0.0.1:{}", 7_000 + id),
        http_addr: format!("127.0.0.1:{}", 8_000 + id),
        capacity: 100.0,
        capacity_bytes: 1 << 30,
        draining: false,
    }
}

fn formed(nodes: u64) -> ControlState {
    let mut state = ControlState::default();
    ok(&mut state, ControlCommand::FormCluster { cluster: "c1".into(), settings: Settings::default() });
    for id in 1..=nodes {
        ok(&mut state, ControlCommand::RegisterNode { cluster: "c1".into(), node: node(id) });
    }
    state
}

fn ok(state: &mut ControlState, command: ControlCommand) -> ControlReply {
    state.command(T0, command).into_result().unwrap()
}

fn refused(state: &mut ControlState, command: ControlCommand) -> RefusalKind {
    let before = state.clone();
    let refusal = state.command(T0, command).into_result().unwrap_err();
    assert_eq!(*state, ControlState { now: state.now, ..before }, "a refused command changes nothing but the clock");
    assert!(refusal.message.len() > 20, "{refusal}");
    refusal.kind
}

fn create(name: &str, factor: u32, shards: ShardCount) -> ControlCommand {
    ControlCommand::CreateKeyspace {
        name: name.into(),
        partitioning: Partitioning::Hash,
        replication_factor: factor,
        mode: Mode::Auto,
        shards,
        placement: None,
    }
}

fn start(state: &ControlState, shard: u64, kind: MigrationKind) -> ControlCommand {
    let shard = &state.map().shards[&ShardId(shard)];
    let source = shard.leader.unwrap_or(shard.replicas[0].node);
    let target = match kind {
        MigrationKind::Replica => *state.nodes().keys().find(|n| !shard.is_on(**n)).unwrap(),
        MigrationKind::Leader => shard.replicas.iter().find(|r| r.node != source).unwrap().node,
    };
    ControlCommand::StartMigration {
        shard: shard.id,
        kind,
        source,
        target,
        total_bytes: 1_000,
        copy_bytes_per_s: 0,
        not_before: InstantMs(0),
        reason: "a test".into(),
    }
}

fn advance(id: u64, from: Stage, to: Stage) -> ControlCommand {
    let (copied_bytes, total_bytes) = (1_000, 1_000);
    ControlCommand::AdvanceMigration {
        id: OperationId(id),
        from,
        to,
        copied_bytes,
        total_bytes,
        failures: 0,
        error: None,
    }
}

const STAGES: [Stage; 8] = [
    Stage::Planned,
    Stage::Learner,
    Stage::Copy,
    Stage::CatchUp,
    Stage::Verify,
    Stage::Switch,
    Stage::Retire,
    Stage::Done,
];

#[test]
fn a_cluster_is_formed_once_and_knows_its_own_nodes() {
    let mut state = ControlState::default();
    assert_eq!(refused(&mut state, create("a", 1, ShardCount::Even(1))), RefusalKind::Conflict);
    let mut state = formed(3);
    let again = ControlCommand::FormCluster { cluster: "c1".into(), settings: Settings::default() };
    assert_eq!(ok(&mut state, again), ControlReply::Done);
    let other = ControlCommand::FormCluster { cluster: "c2".into(), settings: Settings::default() };
    assert_eq!(refused(&mut state, other), RefusalKind::Conflict);
    let stranger = ControlCommand::RegisterNode { cluster: "c2".into(), node: node(9) };
    assert_eq!(refused(&mut state, stranger), RefusalKind::Conflict);
    let mut moved = node(2);
    moved.peer_addr = "127.0.0.1:9999".into();
    ok(&mut state, ControlCommand::RegisterNode { cluster: "c1".into(), node: moved.clone() });
    assert_eq!(state.nodes()[&NodeId(2)], moved);
    let events = state.last_event();
    ok(&mut state, ControlCommand::RegisterNode { cluster: "c1".into(), node: moved });
    assert_eq!(state.last_event(), events, "the same again is no change");
}

#[test]
fn bad_keyspaces_are_refused() {
    let mut state = formed(3);
    let mut bad = |command, kind| assert_eq!(refused(&mut state, command), kind);
    bad(create("Bad name", 1, ShardCount::Even(1)), RefusalKind::Invalid);
    bad(create("a", 2, ShardCount::Even(1)), RefusalKind::Invalid);
    bad(create("a", 5, ShardCount::Even(1)), RefusalKind::Conflict);
    bad(create("a", 1, ShardCount::Even(0)), RefusalKind::Invalid);
    bad(create("a", 1, ShardCount::Even(u32::MAX)), RefusalKind::Invalid);
    for keys in [vec!["b", "a"], vec!["a", "a"], vec![""]] {
        let keys = keys.into_iter().map(|k| Bytes::from_static(k.as_bytes())).collect();
        bad(create("a", 1, ShardCount::SplitAt(keys)), RefusalKind::Invalid);
    }
    for nodes in [vec![1, 2], vec![1, 2, 2], vec![1, 2, 9]] {
        let placement = Some(vec![nodes.iter().copied().map(NodeId).collect()]);
        let command = ControlCommand::CreateKeyspace {
            name: "a".into(),
            partitioning: Partitioning::Range,
            replication_factor: 3,
            mode: Mode::Auto,
            shards: ShardCount::Even(1),
            placement,
        };
        bad(command, if nodes.contains(&9) { RefusalKind::NotFound } else { RefusalKind::Invalid });
    }
}

#[test]
fn a_migration_goes_through_every_stage_and_moves_the_replica() {
    let mut state = formed(4);
    ok(&mut state, create("a", 3, ShardCount::Even(4)));
    assert_eq!(state.map().shards[&ShardId(1)].leader, None, "a new shard is not led before a node says so");
    let leader = state.map().shards[&ShardId(1)].replicas[0].node;
    ok(&mut state, ControlCommand::ReportLeaders(vec![(ShardId(1), leader)]));
    let before = state.routes();
    let command = start(&state, 1, MigrationKind::Replica);
    assert_eq!(ok(&mut state, command.clone()), ControlReply::Migration(OperationId(1)));
    assert_eq!(refused(&mut state, command), RefusalKind::Busy);
    for (from, to) in STAGES.iter().zip(&STAGES[1..]) {
        assert_eq!(refused(&mut state, advance(1, *to, Stage::Done)), RefusalKind::Conflict);
        let version = state.map().version;
        ok(&mut state, advance(1, *from, *to));
        assert_eq!(
            state.map().version > version,
            *to == Stage::Retire,
            "the route is published on the way into retire"
        );
    }
    let (old, new) = (&before.shards[&ShardId(1)], &state.map().shards[&ShardId(1)]);
    let migration = state.migration(OperationId(1)).unwrap();
    assert_eq!(new.leader, Some(migration.target));
    assert!(new.is_on(migration.target) && !new.is_on(migration.source) && old.is_on(migration.source));
    assert_eq!(new.replicas.iter().find(|r| r.node == migration.target).unwrap().incarnation, migration.incarnation);
    assert_eq!(state.last_moved(ShardId(1)), T0);
    let totals = state.migration_totals();
    assert_eq!((totals.replicas_moved, totals.bytes_moved, totals.aborted), (1, 1_000, 0));
    assert_eq!(ok(&mut state, advance(1, Stage::Retire, Stage::Done)), ControlReply::Done, "the end recorded twice");
    assert_eq!(refused(&mut state, ControlCommand::CancelMigration { id: OperationId(1) }), RefusalKind::Conflict);
}

#[test]
fn a_migration_is_cancelled_up_to_the_switch() {
    let cancel = ControlCommand::CancelMigration { id: OperationId(1) };
    for reached in 0..STAGES.len() - 1 {
        let mut state = formed(4);
        ok(&mut state, create("a", 3, ShardCount::Even(4)));
        let command = start(&state, 1, MigrationKind::Replica);
        ok(&mut state, command);
        for step in 0..reached {
            ok(&mut state, advance(1, STAGES[step], STAGES[step + 1]));
        }
        match STAGES[reached] {
            Stage::Planned => {
                ok(&mut state, cancel.clone());
                assert_eq!(state.migration(OperationId(1)).unwrap().stage, Stage::Aborted);
            }
            Stage::Switch | Stage::Retire => assert_eq!(refused(&mut state, cancel.clone()), RefusalKind::Conflict),
            Stage::Learner | Stage::Copy | Stage::CatchUp | Stage::Verify => {
                ok(&mut state, cancel.clone());
                let stage = STAGES[reached];
                assert_eq!(refused(&mut state, advance(1, stage, STAGES[reached + 1])), RefusalKind::Conflict);
                ok(&mut state, advance(1, Stage::Aborting, Stage::Aborted));
                assert_eq!(state.migration_totals().aborted, 1);
                let command = start(&state, 1, MigrationKind::Replica);
                ok(&mut state, command);
            }
            Stage::Done | Stage::Aborting | Stage::Aborted => unreachable!(),
        }
    }
}

#[test]
fn moves_in_flight_are_limited_per_node() {
    let mut state = formed(4);
    let placement = Some(vec![vec![NodeId(1)]; 4]);
    let command = ControlCommand::CreateKeyspace {
        name: "a".into(),
        partitioning: Partitioning::Hash,
        replication_factor: 1,
        mode: Mode::Auto,
        shards: ShardCount::Even(4),
        placement,
    };
    ok(&mut state, command);
    for shard in [1, 2] {
        let command = start(&state, shard, MigrationKind::Replica);
        ok(&mut state, command);
    }
    let third = start(&state, 3, MigrationKind::Replica);
    assert_eq!(refused(&mut state, third.clone()), RefusalKind::Busy);
    ok(&mut state, ControlCommand::CancelMigration { id: OperationId(1) });
    ok(&mut state, ControlCommand::SetDraining { node: NodeId(2), draining: true });
    assert_eq!(refused(&mut state, third), RefusalKind::Conflict, "node 2 is being emptied");
    assert_eq!(refused(&mut state, ControlCommand::RemoveNode { node: NodeId(1) }), RefusalKind::Busy);
}

#[test]
fn a_node_that_is_gone_for_ever_holds_nothing_up() {
    let mut state = formed(2);
    let command = ControlCommand::CreateKeyspace {
        name: "a".into(),
        partitioning: Partitioning::Range,
        replication_factor: 1,
        mode: Mode::Auto,
        shards: ShardCount::Even(1),
        placement: Some(vec![vec![NodeId(1)]]),
    };
    ok(&mut state, command);
    let command = start(&state, 1, MigrationKind::Replica);
    ok(&mut state, command);
    let remove = ControlCommand::RemoveNode { node: NodeId(1) };
    for (from, to) in STAGES.iter().zip(&STAGES[1..7]) {
        assert_eq!(refused(&mut state, remove.clone()), RefusalKind::Busy);
        ok(&mut state, advance(1, *from, *to));
    }
    ok(&mut state, remove);
    assert_eq!(state.migration(OperationId(1)).unwrap().stage, Stage::Done);
    assert!(state.live_migrations().is_empty() && !state.nodes().contains_key(&NodeId(1)));
    assert_eq!(refused(&mut state, advance(1, Stage::Retire, Stage::Retire)), RefusalKind::Conflict);
}

#[test]
fn a_binding_is_swapped_only_from_what_the_caller_knows() {
    let mut state = formed(1);
    let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
    let bind = |revision, expected| ControlCommand::Bind {
        role: Role::Forecast,
        keyspace: None,
        revision: Some(revision),
        config: r#"{"season":288}"#.into(),
        expected,
    };
    assert_eq!(refused(&mut state, bind(a, 0)), RefusalKind::NotFound);
    for digest in [a, b] {
        ok(&mut state, ControlCommand::AddRevision { digest, bytes: 10 });
        assert_eq!(refused(&mut state, bind(digest, 0)), RefusalKind::Busy);
        let ready = |status| ControlCommand::SetRevisionStatus {
            digest,
            status,
            role: Some(Role::Forecast),
            description: None,
            imports: vec![],
        };
        ok(&mut state, ready(RevisionStatus::Ready));
    }
    assert_eq!(ok(&mut state, bind(a, 0)), ControlReply::Bound { number: 1 });
    assert_eq!(refused(&mut state, bind(b, 0)), RefusalKind::Conflict);
    assert_eq!(ok(&mut state, bind(b, 1)), ControlReply::Bound { number: 2 });
    let mut bad = bind(a, 2);
    if let ControlCommand::Bind { config, .. } = &mut bad {
        *config = "{".into();
    }
    assert_eq!(refused(&mut state, bad), RefusalKind::Invalid);
    let roll_back = |expected| ControlCommand::RollBack { role: Role::Forecast, keyspace: None, expected };
    assert_eq!(refused(&mut state, roll_back(1)), RefusalKind::Conflict);
    assert_eq!(ok(&mut state, roll_back(2)), ControlReply::Bound { number: 3 });
    assert_eq!(state.binding(Role::Forecast, None).unwrap().revision, Some(a));
    assert_eq!(refused(&mut state, ControlCommand::RemoveRevision { digest: b }), RefusalKind::Conflict);
    let quarantined = RevisionStatus::Quarantined { reason: "it trapped three times".into() };
    let quarantine = ControlCommand::SetRevisionStatus {
        digest: b,
        status: quarantined,
        role: None,
        description: None,
        imports: vec![],
    };
    ok(&mut state, quarantine);
    assert_eq!(refused(&mut state, roll_back(3)), RefusalKind::Conflict, "b misbehaved");
}

#[test]
fn ticks_are_recorded_once_and_their_blobs_kept() {
    let mut state = formed(1);
    let [decision, input, saved, history] = [b"d", b"i", b"s", b"h"].map(|bytes| Digest::of(bytes));
    let tick = |tick| ControlCommand::RecordTick {
        tick,
        history: Some(HistoryBlob { first_step_ms: T0.plus_ms(tick * 300_000), steps: 1, digest: history }),
        decision,
        inputs: vec![input],
        saved: vec![SavedState {
            role: Role::Forecast,
            keyspace: None,
            revision: Digest::of(b"r"),
            blob: saved,
            observed_until: T0,
        }],
    };
    ok(&mut state, tick(1));
    assert_eq!(refused(&mut state, tick(1)), RefusalKind::Conflict, "another leader was faster");
    assert_eq!(state.blobs_in_use(), [decision, input, saved, history].into());
    for n in 2..2_000 {
        ok(&mut state, tick(n));
    }
    let steps = state.history().len();
    let mut known = tick(2_000);
    if let ControlCommand::RecordTick { history: Some(blob), .. } = &mut known {
        blob.first_step_ms = T0.plus_ms(1_000 * 300_000);
    }
    ok(&mut state, known);
    assert_eq!((state.tick(), state.history().len()), (2_000, steps), "a step that is known does not stop the loop");
    assert_eq!(state.decisions().len(), rounds::MAX_DECISIONS, "promise 8");
    assert_eq!(state.events_after(0).count(), events::MAX_EVENTS, "promise 8");
    assert_eq!(state.events_after(state.last_event() - 3).count(), 3);
}

#[test]
fn a_plan_waits_for_an_operator() {
    let mut state = formed(1);
    let action = Action::MoveReplica { source: NodeId(1), target: NodeId(2) };
    let proposed =
        Move { shard: ShardId(1), action, urgency: 0.5, start_by: T0, gain: 0.1, reason: "it will be hot".into() };
    let moves = vec![CheckedMove { proposed, verdict: Verdict::Held { rule: isobar_model::Rule::Mode } }];
    for tick in 1..40 {
        let proposal =
            Proposal { now: T0, nonce: 0, command: ControlCommand::HoldMoves { tick, moves: moves.clone() } };
        assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal.clone()));
        state.apply(1, &proposal.encode());
    }
    assert_eq!(state.held_plans().len(), rounds::MAX_HELD_PLANS);
    assert_eq!(state.held_plans()[0].moves, moves);
    assert_eq!(refused(&mut state, ControlCommand::ReleaseMoves { tick: 1 }), RefusalKind::NotFound);
    ok(&mut state, ControlCommand::ReleaseMoves { tick: 39 });
    assert!(state.held_plans().back().unwrap().released);
    ok(&mut state, ControlCommand::DropHeldMoves { tick: 39 });
    assert_eq!(state.held_plans().back().unwrap().tick, 38);
}

#[test]
fn a_command_proposed_again_is_carried_out_once() {
    let mut state = formed(1);
    let propose =
        |nonce, name: &str| Proposal { now: T0, nonce, command: create(name, 1, ShardCount::Even(1)) }.encode();
    let first = state.apply(1, &propose(7, "a"));
    assert!(matches!(ControlReply::decode(&first), Ok(ControlReply::Keyspace(_))));
    let mut restarted = ControlState::default();
    restarted.restore(&state.snapshot()).unwrap();
    assert_eq!(restarted.apply(2, &propose(7, "a")), first, "the answer it had");
    assert_eq!(restarted, state);
    let other = ControlReply::decode(&restarted.apply(3, &propose(8, "a"))).unwrap();
    assert!(
        matches!(other, ControlReply::Refused(r) if r.kind == RefusalKind::Conflict),
        "another command is judged anew"
    );
    for nonce in 10..3_000 {
        restarted.apply(4, &propose(nonce, "a"));
    }
    assert_eq!(restarted.answers.len(), MAX_ANSWERS, "promise 8");
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let mut state = formed(1);
    let before = state.clone();
    for bytes in [&b""[..], b"\x01", b"\x02abc", b"\x01\xff\xff\xff\xff", &[1; 100]] {
        let reply = ControlReply::decode(&state.apply(1, bytes)).unwrap();
        assert!(matches!(&reply, ControlReply::Refused(r) if r.kind == RefusalKind::Invalid), "{reply:?}");
        assert!(state.restore(bytes).is_err());
    }
    assert_eq!(state, before);
}

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(STAGES.iter().copied().chain([Stage::Aborting, Stage::Aborted]).collect::<Vec<_>>())
}

fn any_command() -> impl Strategy<Value = ControlCommand> {
    use ControlCommand as C;
    let id = || (1u64..8).prop_map(OperationId);
    let node_id = || (1u64..7).prop_map(NodeId);
    let shard = || (1u64..12).prop_map(ShardId);
    let kind = prop_oneof![Just(MigrationKind::Replica), Just(MigrationKind::Leader)];
    let digest = || (0u8..4).prop_map(|b| Digest::of(&[b]));
    let status = prop_oneof![
        Just(RevisionStatus::Ready),
        Just(RevisionStatus::Rejected { reason: "no".into() }),
        Just(RevisionStatus::Quarantined { reason: "no".into() })
    ];
    let even = (1u32..5).prop_map(ShardCount::Even);
    let split = prop::collection::vec(prop::collection::vec(0u8..4, 0..2), 0..4)
        .prop_map(|keys| ShardCount::SplitAt(keys.into_iter().map(Bytes::from).collect()));
    prop_oneof![
        2 => ("[a-d]", 0u32..6, prop_oneof![even, split]).prop_map(|(name, factor, shards)| create(&name, factor, shards)),
        1 => (1u64..8).prop_map(|id| C::RegisterNode { cluster: "c1".into(), node: node(id) }),
        1 => (node_id(), any::<bool>()).prop_map(|(node, draining)| C::SetDraining { node, draining }),
        1 => node_id().prop_map(|node| C::RemoveNode { node }),
        6 => (shard(), kind, node_id(), node_id()).prop_map(|(shard, kind, source, target)| C::StartMigration {
            shard, kind, source, target, total_bytes: 9, copy_bytes_per_s: 0, not_before: T0, reason: String::new(),
        }),
        9 => (id(), any_stage(), any_stage()).prop_map(|(id, from, to)| advance(id.0, from, to)),
        // Any stage drawn blindly is mostly refused, so a good part is drawn along the way.
        12 => (1u64..8, 0usize..7).prop_map(|(id, at)| advance(id, STAGES[at], STAGES[at + 1])),
        1 => id().prop_map(|id| C::CancelMigration { id }),
        2 => prop::collection::vec((shard(), node_id()), 0..4).prop_map(C::ReportLeaders),
        1 => (1u64..100, digest()).prop_map(|(tick, decision)| C::RecordTick {
            tick, history: None, decision, inputs: vec![], saved: vec![],
        }),
        1 => (0u64..50, 0u32..20, digest()).prop_map(|(at, steps, digest)| C::ImportHistory {
            blobs: vec![HistoryBlob { first_step_ms: InstantMs(at * 300_000), steps, digest }],
        }),
        1 => digest().prop_map(|digest| C::AddRevision { digest, bytes: 5 }),
        1 => (digest(), status).prop_map(|(digest, status)| C::SetRevisionStatus {
            digest, status, role: Some(Role::Place), description: None, imports: vec![],
        }),
        1 => (digest(), 0u64..3).prop_map(|(digest, expected)| C::Bind {
            role: Role::Place, keyspace: None, revision: Some(digest), config: String::new(), expected,
        }),
        1 => any::<bool>().prop_map(C::SetHalted),
    ]
}

/// What holds after every command, whatever it was.
fn check(state: &ControlState, version: RouteVersion) {
    let map = state.map();
    map.check_cover().unwrap();
    assert!(map.version >= version, "the route version never goes back");
    for shard in map.shards.values() {
        let nodes: BTreeSet<_> = shard.replicas.iter().map(|r| r.node).collect();
        let factor = map.keyspaces[&shard.keyspace].replication_factor as usize;
        assert_eq!(
            (nodes.len(), shard.replicas.len()),
            (factor, factor),
            "never below the factor, never two on one node"
        );
        assert!(nodes.iter().all(|n| state.nodes().contains_key(n)));
        assert!(shard.leader.is_none_or(|leader| shard.is_on(leader)));
        assert!(state.live_migrations().values().filter(|m| m.shard == shard.id).count() <= 1);
    }
    let mut incarnations = BTreeSet::new();
    assert!(map.shards.values().flat_map(|s| &s.replicas).all(|r| incarnations.insert(r.incarnation)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Promise 3, and the state machine's determinism: replica and restored snapshot agree to the byte.
    #[test]
    fn any_commands_keep_the_cover(commands in prop::collection::vec(any_command(), 1..120)) {
        let mut state = formed(5);
        ok(&mut state, create("start", 3, ShardCount::Even(5)));
        let mut follower = state.clone();
        for (index, command) in (1..).zip(commands) {
            let (version, before) = (state.map().version, state.clone());
            let bytes = Proposal { now: T0.plus_ms(index), nonce: 0, command }.encode();
            let reply = state.apply(index, &bytes);
            if let ControlReply::Refused(_) = ControlReply::decode(&reply).unwrap() {
                prop_assert_eq!(&ControlState { now: before.now, ..state.clone() }, &before);
            }
            check(&state, version);
            prop_assert_eq!(follower.apply(index, &bytes), reply);
            if index % 16 == 0 {
                let snapshot = state.snapshot();
                follower = ControlState::default();
                follower.restore(&snapshot).unwrap();
            }
            prop_assert_eq!(follower.snapshot(), state.snapshot());
        }
    }
}

#[test]
fn a_new_cluster_begins_with_its_default_forecaster_and_operators_have_the_last_word() {
    let best = Digest::of(b"best");
    let begin = |policy: Option<&str>| ControlCommand::BeginWithForecaster { policy: policy.map(str::to_owned) };
    let form = || ControlCommand::FormCluster { cluster: "c1".into(), settings: Settings::default() };
    let by_default = ControlCommand::BindDefaultForecaster { revision: best };
    let by_hand = |revision, expected| ControlCommand::Bind {
        role: Role::Forecast,
        keyspace: None,
        revision,
        config: String::new(),
        expected,
    };
    let make_ready = |state: &mut ControlState| {
        ok(state, ControlCommand::AddRevision { digest: best, bytes: 5 });
        let (status, imports) = (RevisionStatus::Ready, vec![]);
        let role = Some(Role::Forecast);
        ok(state, ControlCommand::SetRevisionStatus { digest: best, status, role, description: None, imports });
    };
    let not_awaited = |state: &mut ControlState| {
        assert_eq!(state.awaited_forecaster(), None);
        assert_eq!(refused(state, by_default.clone()), RefusalKind::Conflict);
    };
    let is_default = |state: &ControlState| {
        state.binding(Role::Forecast, None).map(|binding| (binding.revision, state.is_default(binding)))
    };

    let mut state = ControlState::default();
    assert_eq!(refused(&mut state, begin(Some(""))), RefusalKind::Invalid);
    ok(&mut state, begin(Some("best")));
    assert_eq!(state.awaited_forecaster(), None, "there is no cluster yet");
    ok(&mut state, form());
    assert_eq!(state.awaited_forecaster(), Some("best"));
    assert_eq!(refused(&mut state, by_default.clone()), RefusalKind::NotFound);
    make_ready(&mut state);
    let awaiting = state.clone();

    ok(&mut state, by_default.clone());
    // A node that founded it and starts again, with another wish; another leader that was late.
    ok(&mut state, begin(None));
    ok(&mut state, form());
    not_awaited(&mut state);
    assert_eq!(is_default(&state), Some((Some(best), true)));
    // Unbound, and rolled back to: an operator's choice from now on.
    ok(&mut state, by_hand(None, 1));
    assert_eq!(is_default(&state), Some((None, false)));
    ok(&mut state, begin(Some("best")));
    not_awaited(&mut state);
    ok(&mut state, ControlCommand::RollBack { role: Role::Forecast, keyspace: None, expected: 2 });
    assert_eq!(is_default(&state), Some((Some(best), false)));

    // An operator who is first is not overruled.
    let mut state = awaiting;
    ok(&mut state, by_hand(None, 0));
    not_awaited(&mut state);

    // A cluster formed without one does not get one.
    let mut state = formed(1);
    make_ready(&mut state);
    ok(&mut state, begin(Some("best")));
    not_awaited(&mut state);
}

#[test]
fn a_snapshot_from_before_there_were_default_forecasters_is_read() {
    let mut state = formed(2);
    ok(&mut state, create("t", 1, ShardCount::Even(3)));
    let mut old = state.snapshot().to_vec();
    // What is last in the state is what they lack: the gain ledger and before it the capacities' empty map, before these two empty maps of
    // placement, and before these the default forecaster.
    for (version, lacking) in [(4, vec![0, 0, 0]), (3, vec![0, 0]), (2, vec![0])] {
        assert_eq!(old.split_off(old.len() - lacking.len()), lacking);
        old[0] = version;
        let mut restored = ControlState::default();
        restored.restore(&old).unwrap();
        assert_eq!(restored, state);
    }
}

#[test]
fn a_saved_gain_ledger_is_kept_from_the_collector_and_an_operator_may_not_heed_it() {
    let mut state = formed(2);
    ok(&mut state, create("t", 1, ShardCount::Even(3)));
    let (older, blob) = (Digest([3; 32]), Digest([4; 32]));
    ok(&mut state, ControlCommand::SaveGains { blob: older });
    ok(&mut state, ControlCommand::SaveGains { blob });
    assert_eq!((state.saved_gains(), state.blobs_in_use()), (Some(blob), [blob].into()));
    let set = |keyspace, abstain| ControlCommand::SetAbstain { keyspace: KeyspaceId(keyspace), abstain };
    assert_eq!(refused(&mut state, set(9, false)), RefusalKind::NotFound);
    let events = state.last_event();
    ok(&mut state, set(1, true));
    assert_eq!(state.last_event(), events, "it was so before");
    ok(&mut state, set(1, false));
    assert_eq!((state.unheeded_gains(), state.last_event()), (&[KeyspaceId(1)].into(), events + 1));
    let mut restored = ControlState::default();
    restored.restore(&state.snapshot()).unwrap();
    assert_eq!(restored, state);
    ok(&mut state, set(1, true));
    assert!(state.unheeded_gains().is_empty());
}

#[test]
fn nodes_say_what_they_are_and_keyspaces_what_they_ask() {
    let mut state = formed(4);
    let label = |text: &str| text.parse::<isobar_model::Label>().unwrap();
    let ssd = |node| ControlCommand::SetLabels { node: NodeId(node), labels: [label("disk=ssd")].into() };
    for node in 2..=4 {
        ok(&mut state, ssd(node));
    }
    assert_eq!(refused(&mut state, ssd(9)), RefusalKind::NotFound);
    ok(&mut state, create("t", 3, ShardCount::Even(2)));
    ok(&mut state, create("u", 1, ShardCount::Even(1)));
    let (t, u) = (KeyspaceId(1), KeyspaceId(2));
    let rules = PlacementRules { require: [label("disk=ssd")].into(), ..Default::default() };
    let set = |keyspace, rules: &PlacementRules| ControlCommand::SetPlacementRules { keyspace, rules: rules.clone() };
    ok(&mut state, set(t, &rules));
    assert_eq!(state.placement_rules()[&t], rules);
    let beside = |other| PlacementRules { apart: [KeyspaceId(other)].into(), ..Default::default() };
    assert_eq!(refused(&mut state, set(u, &beside(2))), RefusalKind::Invalid);
    assert_eq!(refused(&mut state, set(u, &beside(7))), RefusalKind::NotFound);
    ok(&mut state, set(u, &beside(1)));
    for nodes in state.placement_within(&rules, 5, 3).unwrap() {
        assert!(nodes.len() == 3 && !nodes.contains(&NodeId(1)), "{nodes:?}");
    }
    let without = state.placement_within(&beside(1), 1, 3).unwrap_err();
    assert!(without.message.contains("placement rules"), "{without}");
    let mut restored = ControlState::default();
    restored.restore(&state.snapshot()).unwrap();
    assert_eq!(restored, state);
    ok(&mut state, set(t, &PlacementRules::default()));
    assert!(!state.placement_rules().contains_key(&t));
}

#[test]
fn nodes_declare_what_else_they_can_give() {
    use isobar_model::Metric;
    let mut state = formed(2);
    let set = |node, metric, amount: f32| ControlCommand::SetCapacities {
        node: NodeId(node),
        capacities: [(metric, amount)].into(),
    };
    ok(&mut state, set(1, Metric::CpuMillicores, 8_000.0));
    assert_eq!(state.capacities()[&NodeId(1)][&Metric::CpuMillicores], 8_000.0);
    assert_eq!(refused(&mut state, set(9, Metric::CpuMillicores, 8_000.0)), RefusalKind::NotFound);
    assert_eq!(refused(&mut state, set(1, Metric::Load, 8_000.0)), RefusalKind::Invalid);
    assert_eq!(refused(&mut state, set(1, Metric::ReadOps, -1.0)), RefusalKind::Invalid);
    let mut restored = ControlState::default();
    restored.restore(&state.snapshot()).unwrap();
    assert_eq!(restored, state);
    ok(&mut state, set(2, Metric::NetworkBytes, 1e9));
    ok(&mut state, ControlCommand::RemoveNode { node: NodeId(2) });
    ok(&mut state, ControlCommand::SetCapacities { node: NodeId(1), capacities: Default::default() });
    assert!(state.capacities().is_empty());
}

/// Parts of the archive are named, kept from the collector, and in the snapshot.
#[test]
fn the_archive_is_part_of_the_state() {
    let mut state = formed(1);
    let parts = vec![Digest::of(b"part")];
    let entry =
        |step_ms| ArchiveEntry { family: isobar_analyzer::Family::Load, step_ms, until: T0, parts: parts.clone() };
    ok(&mut state, ControlCommand::StoreArchive { entries: vec![entry(300_000), entry(3_600_000)] });
    assert_eq!(state.archive().len(), 2);
    assert!(state.blobs_in_use().contains(&parts[0]));
    let mut restored = ControlState::default();
    restored.restore(&state.snapshot()).unwrap();
    assert_eq!(restored, state);
    assert_eq!(refused(&mut state, ControlCommand::StoreArchive { entries: vec![] }), RefusalKind::Invalid);
}
