//! Why shards are where they are.

use super::*;

fn loaded(step: u64) -> Observation {
    observed(step, &[(&[1, 2, 3], 70.0), (&[1, 3, 4], 50.0), (&[3, 4, 2], 10.0)])
}

#[test]
fn what_could_be_done_is_told_with_what_it_would_make_of_nodes() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    (1..=3).for_each(|step| drop(brain.tick(&loaded(step), &rules(Mode::Advise))));
    let told = brain.explain_shard(&loaded(3), &rules(Mode::Auto), ShardId(2)).unwrap();
    assert_eq!((told.replicas[0], told.load, told.peak), (NodeId(1), 50.0, 50.0));
    assert!((told.nodes[0].peak - 1.2).abs() < 0.01 && (told.nodes[0].now - 1.2).abs() < 0.01, "{:?}", told.nodes[0]);
    // Two followers could lead; node 2 could take the leader's replica.
    assert_eq!((told.considered.len(), told.left_out), (3, 0));
    let first = &told.considered[0];
    assert_eq!((first.action, &first.verdict), (Action::TransferLeader(NodeId(4)), &Verdict::Accepted));
    // 41.7 of it go; a sixth of 10 and all of 50 are there then.
    assert!((first.source_peak - 0.783).abs() < 0.01 && (first.target_peak - 0.517).abs() < 0.01, "{first:?}");
    let held = brain.explain_shard(&loaded(3), &rules(Mode::Advise), ShardId(2)).unwrap();
    assert_eq!(held.considered[0].verdict, Verdict::Held { rule: Rule::Mode });
    assert_eq!(brain.explain_shard(&loaded(3), &rules(Mode::Auto), ShardId(99)), None);
}

#[test]
fn a_shard_that_moves_or_rests_says_so() {
    let mut brain = brain(&FakeHost::new(Script { plan: Some(vec![transfer(2, 4)]), ..Script::default() }));
    brain.tick(&loaded(1), &rules(Mode::Auto));
    let told = brain.explain_shard(&loaded(1), &rules(Mode::Auto), ShardId(2)).unwrap();
    assert_eq!(told.rests_until, Some(InstantMs(START + STEP_MS + 3_600_000)));
    let by_cool_down =
        |c: &super::super::Considered| matches!(c.verdict, Verdict::Refused { rule: Rule::CoolDown, .. });
    assert!(told.considered.iter().all(by_cool_down), "{:?}", told.considered);
    let mut moving = loaded(2);
    let (source, target) = (NodeId(1), NodeId(4));
    moving.moving = vec![InFlight {
        shard: ShardId(2),
        source,
        target,
        done_by: InstantMs(START + 9 * STEP_MS),
        leader_only: true,
    }];
    assert_eq!(brain.explain_shard(&moving, &rules(Mode::Auto), ShardId(2)).unwrap().moving, Some(moving.moving[0]));
}

#[test]
fn a_node_tells_who_puts_most_on_it() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    (1..=3).for_each(|step| drop(brain.tick(&loaded(step), &rules(Mode::Advise))));
    let told = brain.explain_node(&loaded(3), &rules(Mode::Auto), NodeId(1)).unwrap();
    assert_eq!((told.leaders, told.followers), (2, 0));
    assert_eq!(told.heaviest.iter().map(|(shard, _)| shard.0).collect::<Vec<_>>(), [1, 2]);
    assert!((told.heaviest[0].1 - 0.7).abs() < 0.01);
    assert_eq!(brain.explain_node(&loaded(3), &rules(Mode::Auto), NodeId(99)), None);
}
