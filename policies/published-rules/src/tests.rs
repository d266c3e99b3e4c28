//! What each rule does on small clusters.

use crate::PublishedRules;
use isobar_model::{Action, ClusterView, InstantMs, NodeId, NodeState, Plan};
use placing_kit::PlacementPolicy;
use placing_kit::example::view;
use proptest::prelude::*;
use std::collections::BTreeSet;

const RULES: [&str; 3] = ["cockroach", "pd", "count-only"];

fn propose(config: &str, view: &ClusterView) -> Plan {
    PublishedRules::new(config).unwrap().propose(view).unwrap()
}

fn rule(rule: &str) -> String {
    format!(r#"{{"rule": "{rule}"}}"#)
}

/// Shards of these loads, all led by the node that is named, three replicas one after the other.
fn led(nodes: usize, shards: &[(usize, f32)]) -> ClusterView {
    let placement: Vec<Vec<usize>> =
        shards.iter().map(|&(leader, _)| (0..3).map(|r| (leader + r) % nodes).collect()).collect();
    let placement: Vec<&[usize]> = placement.iter().map(Vec::as_slice).collect();
    let mut view = view(nodes, 1e5, &placement, 1, |i, _, _| shards[i].1);
    view.limits.moves_per_node = 100;
    view.limits.moves_per_round = 100;
    view
}

fn transfers(plan: &Plan) -> usize {
    plan.moves.iter().filter(|step| matches!(step.action, Action::TransferLeader(_))).count()
}

fn index(node: NodeId) -> u32 {
    node.0 as u32 / 10 - 1
}

/// Carries a plan out; by then all shards may move again.
fn apply(view: &mut ClusterView, plan: &Plan) {
    for step in &plan.moves {
        let shard = view.shards.ids.binary_search(&step.shard).unwrap();
        let range = view.shards.replica_offsets[shard] as usize..view.shards.replica_offsets[shard + 1] as usize;
        let replicas = &mut view.shards.replicas[range];
        match step.action {
            Action::MoveReplica { source, target } => {
                assert!(!replicas.contains(&index(target)));
                *replicas.iter_mut().find(|node| **node == index(source)).unwrap() = index(target);
            }
            Action::TransferLeader(node) => {
                let slot = replicas.iter().position(|other| *other == index(node)).unwrap();
                replicas.swap(0, slot);
            }
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => unreachable!(),
        }
    }
    view.nodes.load.fill(0.0);
    for shard in 0..view.shards.ids.len() {
        for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
            let share = if slot == 0 { 1.0 } else { view.shards.follower_share[shard] };
            view.nodes.load[node as usize] += share * view.shards.leader_load[shard];
        }
    }
}

#[test]
fn cockroach_sheds_leases_before_replicas() {
    // Six leaders of 300 on node 0, one on each other: 2 000 there, the mean is 980.
    let hot: Vec<_> = (0..6).map(|_| (0, 300.0)).chain((1..5).map(|node| (node, 300.0))).collect();
    let plan = propose("{}", &led(5, &hot));
    // Then the followers' nodes are above the mean, too.
    assert_eq!(transfers(&plan), 2, "{plan:?}");
    assert!(plan.moves[..2].iter().all(|step| matches!(step.action, Action::TransferLeader(_))), "{plan:?}");
    // Nobody follows at nodes below the mean: then data moves.
    let mut view = led(5, &hot);
    for shard in 0..6 {
        view.shards.replicas[shard * 3 + 1] = 1;
        view.shards.replicas[shard * 3 + 2] = 2;
    }
    for node in [1, 2] {
        view.nodes.load[node] = 2_000.0;
    }
    let plan = propose("{}", &view);
    let mut of_node_0 = plan.moves.iter().filter(|step| step.shard.0 <= 6).peekable();
    assert!(of_node_0.peek().is_some(), "{plan:?}");
    assert!(of_node_0.all(|step| matches!(step.action, Action::MoveReplica { .. })), "{plan:?}");
}

#[test]
fn cockroach_leaves_small_differences_alone() {
    // A tenth above the mean and more, but not by 100.
    let view = led(3, &[(0, 45.0), (0, 45.0), (0, 45.0), (0, 45.0), (1, 90.0), (2, 90.0)]);
    assert_eq!(propose("{}", &view), Plan::default());
    assert!(!propose(r#"{"min_difference": 10}"#, &view).moves.is_empty());
}

#[test]
fn cockroach_does_not_chase_the_one_hot_range() {
    let view = led(4, &[(0, 5_000.0), (1, 100.0), (2, 100.0), (3, 100.0)]);
    assert_eq!(propose("{}", &view), Plan::default());
}

#[test]
fn pd_balances_leaders_beyond_its_tolerance() {
    let leaders =
        |more: usize| -> Vec<(usize, f32)> { (0..more + 4).map(|i| (if i < more { 0 } else { i % 3 }, 1.0)).collect() };
    // Loads are even for all that they matter: the mean of hot regions is not exceeded by shifting counts alone.
    let plan = propose(&rule("pd"), &led(3, &leaders(9)));
    assert!(transfers(&plan) > 0 && plan.moves[0].reason.contains("leads"), "{plan:?}");
    let idle: Vec<_> = leaders(4).into_iter().map(|(leader, _)| (leader, 0.0)).collect();
    assert_eq!(propose(&rule("pd"), &led(3, &idle)), Plan::default(), "four apart");
}

#[test]
fn pd_moves_hot_regions_down_to_its_tolerance() {
    let mut view = led(4, &[(0, 40.0), (0, 40.0), (0, 40.0), (1, 40.0), (2, 40.0), (3, 10.0)]);
    let plan = propose(&rule("pd"), &view);
    assert!(!plan.moves.is_empty() && plan.moves[0].reason.contains("carries"), "{plan:?}");
    for _ in 0..10 {
        let plan = propose(&rule("pd"), &view);
        apply(&mut view, &plan);
    }
    assert_eq!(propose(&rule("pd"), &view), Plan::default(), "it comes to rest");
}

#[test]
fn counts_know_nothing_of_load() {
    let hot = led(4, &[(0, 9_000.0), (1, 1.0), (2, 1.0), (3, 1.0)]);
    assert_eq!(propose(&rule("count-only"), &hot), Plan::default());
    // 16 replicas each on three of four nodes, two more than the mean being none too many: the fourth gets six, followers first.
    let crowded: Vec<_> = (0..16).map(|i| (i % 3, 1.0)).collect();
    let mut view = led(3, &crowded);
    let more = view_with_a_new_node(&mut view);
    let plan = propose(r#"{"rule": "count-only", "max_moves": 100}"#, more);
    assert!(plan.moves.len() >= 6 && transfers(&plan) == 0, "{plan:?}");
    assert!(
        plan.moves.iter().filter(|step| matches!(step.action, Action::MoveReplica { target: NodeId(40), .. })).count()
            >= 6
    );
}

/// Adds a node that holds nothing.
fn view_with_a_new_node(view: &mut ClusterView) -> &ClusterView {
    let nodes = &mut view.nodes;
    nodes.ids.push(NodeId(40));
    nodes.zones.push(isobar_model::ZoneId(3));
    nodes.states.push(NodeState::Up);
    nodes.capacity.push(1e5);
    nodes.load.push(0.0);
    nodes.background.push(0.0);
    nodes.used_bytes.push(0);
    nodes.capacity_bytes.push(1 << 40);
    view
}

#[test]
fn draining_nodes_are_emptied_by_all() {
    for name in RULES {
        let mut view = led(5, &[(0, 1.0), (1, 1.0)]);
        view.nodes.states[0] = NodeState::Draining;
        assert!(!propose(&rule(name), &view).moves.is_empty(), "{name}");
    }
}

#[test]
fn configurations_are_checked() {
    let refused = |config| PublishedRules::new(config).unwrap_err().to_string();
    assert!(refused("{\"rule\": \"best\"}").contains("count-only"));
    assert!(refused("{\"load_threshold\": 0}").contains("`load_threshold`"));
    assert!(refused("{\"hot_tolerance\": 0.9}").contains("`hot_tolerance`"));
    assert!(refused("{\"max_moves\": 0}").contains("`max_moves`"));
}

proptest! {
    /// Promise 7: an even static load causes no moves.
    #[test]
    fn an_even_load_moves_nothing(nodes in 3_usize..9, each in 1_usize..5, load in 0.0_f32..1e6, which in 0_usize..3) {
        let shards: Vec<_> = (0..nodes * each).map(|i| (i % nodes, load)).collect();
        prop_assert_eq!(propose(&rule(RULES[which]), &led(nodes, &shards)), Plan::default());
    }

    /// Promise 7: any static load comes to rest, but for the rule whose parts disagree.
    #[test]
    fn a_static_load_comes_to_rest(
        nodes in 3_usize..8,
        shards in prop::collection::vec((0_usize..8, 0.0_f32..2_000.0), 1..40),
        which in prop_oneof![Just(0_usize), Just(2_usize)],
    ) {
        let shards: Vec<_> = shards.into_iter().map(|(leader, load)| (leader % nodes, load)).collect();
        let mut view = led(nodes, &shards);
        let mut rounds = 0;
        loop {
            let plan = propose(&rule(RULES[which]), &view);
            if plan.moves.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 300, "no rest: {:?}", plan);
            apply(&mut view, &plan);
        }
    }

    /// Whatever it is given: no panic, only finite numbers, no shard twice.
    #[test]
    fn plans_are_sound(
        loads in prop::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-1.0), Just(0.0), 0.0_f32..1e12], 0..12),
        capacity in prop_oneof![Just(0.0_f32), Just(f32::NAN), 1.0_f32..1e6],
        steps in 0_usize..10,
        which in 0_usize..3,
    ) {
        let placement: Vec<&[usize]> = vec![&[0, 1, 2]; loads.len()];
        let mut view = view(5, capacity, &placement, steps, |i, q, _| loads[i] * q);
        view.now = InstantMs(0);
        let plan = propose(&rule(RULES[which]), &view);
        let shards: BTreeSet<_> = plan.moves.iter().map(|m| m.shard).collect();
        prop_assert_eq!(shards.len(), plan.moves.len());
        prop_assert!(plan.moves.iter().all(|m| m.gain.is_finite() && m.gain > 0.0 && m.urgency.is_finite()));
    }
}
