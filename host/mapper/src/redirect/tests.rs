use super::*;
use isobar_model::{Generation, KeyspaceId, ShardId};
use proptest::prelude::*;

fn route(leader: Option<u64>) -> Route {
    Route {
        version: RouteVersion(7),
        keyspace: KeyspaceId(1),
        shard: ShardId(1),
        generation: Generation(1),
        leader: leader.map(NodeId),
        replicas: [1, 2, 3].map(NodeId).into(),
    }
}

fn not_leader(leader: Option<u64>) -> Outcome {
    Outcome::Refused(KvError::NotLeader { shard: ShardId(1), leader: leader.map(NodeId) })
}

fn unavailable() -> Outcome {
    Outcome::Refused(KvError::Unavailable { shard: ShardId(1), reason: "queue full".into() })
}

#[test]
fn a_redirect_is_followed_at_once() {
    let (route, mut journey) = (route(Some(1)), Journey::new(true, 1_000, 0.0));
    assert_eq!(journey.target(&route), Some(NodeId(1)));
    assert_eq!(journey.next(&route, NodeId(1), not_leader(Some(2)), 1), Decision::TryNode(NodeId(2)));
    assert_eq!(journey.hint(), Some(NodeId(2)));
    assert_eq!(journey.next(&route, NodeId(2), Outcome::Answered, 2), Decision::Answer);
}

#[test]
fn an_election_is_waited_for_once_all_replicas_were_asked() {
    let (route, mut journey) = (route(None), Journey::new(false, 1_000, 0.0));
    assert_eq!(journey.next(&route, NodeId(1), not_leader(None), 1), Decision::TryNode(NodeId(2)));
    assert_eq!(journey.next(&route, NodeId(2), not_leader(None), 2), Decision::TryNode(NodeId(3)));
    assert_eq!(journey.next(&route, NodeId(3), not_leader(None), 3), Decision::WaitMs(5));
    assert!(journey.target(&route).is_some());
}

#[test]
fn two_nodes_that_name_each_other_do_not_spin() {
    let (route, mut journey) = (route(Some(1)), Journey::new(false, 1_000, 0.0));
    let mut node = NodeId(1);
    let mut quick = 0;
    while let Decision::TryNode(next) = journey.next(&route, node, not_leader(Some(3 - node.0)), 1) {
        (node, quick) = (next, quick + 1);
        assert!(quick <= MAX_QUICK_HOPS);
    }
}

#[test]
fn a_node_with_a_newer_table_makes_the_gateway_refresh() {
    let (route, mut journey) = (route(Some(1)), Journey::new(true, 1_000, 0.0));
    let gone = Outcome::Refused(KvError::NotHere { shard: ShardId(1), version: RouteVersion(9) });
    let decision = journey.next(&route, NodeId(1), gone, 1);
    assert_eq!(decision, Decision::RefreshRoutes { at_least: RouteVersion(9), wait_ms: 5 });
}

#[test]
fn a_node_with_an_older_table_is_passed_over() {
    let (route, mut journey) = (route(Some(1)), Journey::new(true, 1_000, 0.0));
    let gone = Outcome::Refused(KvError::NotHere { shard: ShardId(1), version: RouteVersion(3) });
    assert_eq!(journey.next(&route, NodeId(1), gone, 1), Decision::TryNode(NodeId(2)));
}

#[test]
fn a_changed_range_makes_the_gateway_refresh() {
    let (route, mut journey) = (route(Some(1)), Journey::new(true, 1_000, 0.0));
    let split = Outcome::Refused(KvError::OutOfRange { shard: ShardId(1), generation: Generation(2) });
    let decision = journey.next(&route, NodeId(1), split, 1);
    assert_eq!(decision, Decision::RefreshRoutes { at_least: RouteVersion(8), wait_ms: 5 });
}

/// Promise 2: a write that may have taken effect is not sent again.
#[test]
fn a_lost_write_is_not_repeated_and_a_lost_read_is() {
    let route = route(Some(1));
    let mut write = Journey::new(true, 1_000, 0.0);
    assert!(matches!(write.next(&route, NodeId(1), Outcome::Lost, 1), Decision::GiveUp(GiveUp::OutcomeUnknown { .. })));
    let mut read = Journey::new(false, 1_000, 0.0);
    assert_eq!(read.next(&route, NodeId(1), Outcome::Lost, 1), Decision::TryNode(NodeId(2)));
    let mut unsent = Journey::new(true, 1_000, 0.0);
    assert_eq!(unsent.next(&route, NodeId(1), Outcome::Unreachable, 1), Decision::TryNode(NodeId(2)));
}

#[test]
fn waits_double_up_to_a_bound_and_keep_the_deadline() {
    let (route, mut journey) = (route(Some(1)), Journey::new(true, 10_000, 0.0));
    let mut wait = |elapsed| {
        let decision = journey.next(&route, NodeId(1), unavailable(), elapsed);
        let Decision::WaitMs(ms) = decision else { panic!("{decision:?}") };
        ms
    };
    assert_eq!([wait(0), wait(0), wait(0)], [5, 10, 20]);
    (0..10).for_each(|_| assert!(wait(0) <= LONGEST_WAIT_MS));
    assert_eq!(wait(9_999), 1);
}

proptest! {
    /// Promise 8: whatever the nodes answer, a journey ends, within its deadline and its attempts.
    #[test]
    fn every_journey_ends(answers in proptest::collection::vec((0u8..8, 0u64..5), 1..40), is_write: bool, jitter in 0f32..1.0) {
        let route = route(Some(1));
        let mut journey = Journey::new(is_write, 2_000, jitter);
        let (mut elapsed, mut node) = (0u64, journey.target(&route).unwrap());
        for turn in 0.. {
            let (kind, who) = answers[turn % answers.len()];
            let outcome = match kind {
                0 => not_leader(None),
                1 => not_leader(Some(who)),
                2 => Outcome::Refused(KvError::NotHere { shard: ShardId(1), version: RouteVersion(who * 4) }),
                3 => Outcome::Refused(KvError::OutOfRange { shard: ShardId(1), generation: Generation(who) }),
                4 => unavailable(),
                5 => Outcome::Unreachable,
                6 => Outcome::Lost,
                _ => Outcome::Refused(KvError::Internal("broken".into())),
            };
            match journey.next(&route, node, outcome, elapsed) {
                Decision::Answer => prop_assert!(false, "nobody answered"),
                Decision::TryNode(next) => node = next,
                Decision::RefreshRoutes { wait_ms, .. } | Decision::WaitMs(wait_ms) => {
                    prop_assert!((1..=LONGEST_WAIT_MS).contains(&wait_ms));
                    elapsed += wait_ms;
                    node = journey.target(&route).unwrap();
                }
                Decision::GiveUp(_) => break,
            }
            prop_assert!(turn <= MAX_ATTEMPTS as usize);
            prop_assert!(elapsed <= 2_001);
        }
    }
}
