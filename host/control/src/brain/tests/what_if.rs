//! Supposing: what would be planned, and nothing of it done.

use super::*;
use crate::brain::what_if::{Supposed, Supposition};

fn brain_after(steps: u64, observation: impl Fn(u64) -> Observation) -> Brain {
    let mut brain = brain(&FakeHost::new(Script::default()));
    for step in 1..=steps {
        brain.tick(&observation(step), &rules(Mode::Advise));
    }
    brain
}

fn suppose(brain: &Brain, observation: &Observation, supposed: &Supposition) -> Supposed {
    brain.what_if(observation, &rules(Mode::Advise), supposed).unwrap()
}

fn node(supposed: &Supposed, id: u64) -> &crate::brain::what_if::SupposedNode {
    supposed.nodes.iter().find(|node| node.node == NodeId(id)).unwrap()
}

#[test]
fn where_nothing_is_otherwise_nothing_would_move() {
    let brain = brain_after(3, steady);
    let found = suppose(&brain, &steady(3), &Supposition::default());
    assert_eq!((found.moves.len(), found.steps, found.is_cut), (0, 0.0, false));
    assert_eq!(found.nodes.len(), 4);
    let one = node(&found, 1);
    // 40 led, and a sixth of 40 followed, of 100.
    assert!((one.as_it_is.unwrap() - 0.4667).abs() < 1e-3, "{one:?}");
    assert_eq!((one.as_it_is, one.planned), (Some(one.unmoved), one.unmoved));
}

#[test]
fn more_load_is_planned_for_round_after_round_though_the_mode_is_advise() {
    let nodes: &[u64] = &[1, 2, 3];
    let loads = |step| observed(step, &[(nodes, 20.0), (nodes, 20.0), (nodes, 20.0)]);
    let brain = brain_after(3, loads);
    let supposed = Supposition { load: [(KeyspaceId(1), 2.0)].into(), ..Supposition::default() };
    let found = suppose(&brain, &loads(3), &supposed);
    // 120 on a node of 100: leaders leave until it is no longer over 90 %.
    assert!(found.leader_transfers >= 1 && found.data_moves == 0, "{found:?}");
    let one = node(&found, 1);
    assert!((one.as_it_is.unwrap() - 0.6).abs() < 0.01 && (one.unmoved - 1.2).abs() < 0.01, "{one:?}");
    assert!(one.planned <= 0.9 + 1e-3, "{one:?}");
    // And nothing of it was done: the brain plans as it did.
    let again = suppose(&brain, &loads(3), &Supposition::default());
    assert_eq!(again.moves, []);
}

#[test]
fn a_node_that_is_lost_leaves_its_leaders_to_others_and_one_that_is_added_is_there() {
    let brain = brain_after(3, steady);
    let supposed = Supposition { down: [NodeId(1)].into(), added_nodes: 2, ..Supposition::default() };
    let found = suppose(&brain, &steady(3), &supposed);
    assert_eq!(found.nodes.len(), 6);
    assert_eq!(node(&found, 1).state, NodeState::Down);
    // Shard 1 is led by node 2 then, which leads shard 2 as well.
    assert!(node(&found, 2).unmoved > node(&found, 2).as_it_is.unwrap() + 0.3);
    let added = node(&found, 5);
    assert_eq!((added.is_added, added.as_it_is, added.unmoved), (true, None, 0.0));
}

#[test]
fn a_node_that_is_emptied_is_empty_in_the_end() {
    let brain = brain_after(3, steady);
    let supposed = Supposition { draining: [NodeId(1)].into(), ..Supposition::default() };
    let found = suppose(&brain, &steady(3), &supposed);
    assert_eq!(node(&found, 1).planned, 0.0, "{found:?}");
    assert!(found.data_moves >= 2 && found.bytes == found.data_moves << 20 && found.steps >= 6.0, "{found:?}");
    assert!(!found.is_cut);
}

#[test]
fn another_placer_is_asked_and_one_that_fails_is_answered_for() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    brain.tick(&steady(1), &rules(Mode::Advise));
    let (digest, name) = FakeHost::revision("echo", 1);
    let placer = Some(Some(Bound { digest, name, config: "{}".into() }));
    let supposed = Supposition { placer, ..Supposition::default() };
    assert_eq!(suppose(&brain, &steady(1), &supposed).policy, "echo");
    host.script.lock().unwrap().placer_traps = true;
    let found = suppose(&brain, &steady(1), &supposed);
    assert_eq!(found.policy, "builtin");
    assert!(found.fallback.unwrap().contains("fuel"));
    assert_eq!(brain.status()[1].failures, 0, "it does not count against whoever serves");
}
