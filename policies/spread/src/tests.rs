//! Small clusters, counted.

use crate::Spread;
use isobar_model::{Action, ClusterView, InstantMs, KeyspaceId, KeyspacePlacement, NodeId, NodeState, Plan, ZoneId};
use placing_kit::PlacementPolicy;
use placing_kit::example::view;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn propose(config: &str, view: &ClusterView) -> Plan {
    Spread::new(config).unwrap().propose(view).unwrap()
}

/// Shards of three replicas on the first `used` of `nodes` nodes, one after the other; wide limits.
fn cluster(nodes: usize, used: usize, shards: usize) -> ClusterView {
    let placement: Vec<Vec<usize>> = (0..shards).map(|i| (0..3).map(|r| (i + r) % used).collect()).collect();
    let placement: Vec<&[usize]> = placement.iter().map(Vec::as_slice).collect();
    let mut view = view(nodes, 1_000.0, &placement, 1, |_, _, _| 1.0);
    view.limits.moves_per_node = 1_000;
    view.limits.moves_per_round = 1_000;
    view
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
}

/// Replicas and leaders of each node.
fn counts(view: &ClusterView) -> (Vec<usize>, Vec<usize>) {
    let (mut replicas, mut leaders) = (vec![0; view.nodes.ids.len()], vec![0; view.nodes.ids.len()]);
    for shard in 0..view.shards.ids.len() {
        let of = view.shards.replicas_of(shard);
        of.iter().for_each(|&node| replicas[node as usize] += 1);
        leaders[of[0] as usize] += 1;
    }
    (replicas, leaders)
}

/// Moves until nothing moves any more.
fn settle(config: &str, view: &mut ClusterView) -> usize {
    let mut moves = 0;
    for _ in 0..500 {
        let plan = propose(config, view);
        if plan.moves.is_empty() {
            return moves;
        }
        moves += plan.moves.len();
        apply(view, &plan);
    }
    panic!("no rest");
}

fn spread(counts: &[usize]) -> usize {
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

#[test]
fn a_new_node_is_filled_with_as_many_moves_as_its_share() {
    let mut view = cluster(5, 4, 40);
    let moves = settle(r#"{"tolerance": 0, "max_moves": 1000}"#, &mut view);
    let (replicas, leaders) = counts(&view);
    assert!(spread(&replicas) <= 2 && spread(&leaders) <= 2, "{replicas:?} {leaders:?}");
    assert!(moves <= 24, "{moves} moves; a fifth of 120 replicas is 24");
}

#[test]
fn leadership_goes_first_and_takes_no_data_along() {
    let mut view = cluster(3, 3, 30);
    for shard in 0..30 {
        view.shards.replicas[shard * 3..shard * 3 + 3].copy_from_slice(&[0, 1, 2]);
    }
    let plan = propose(r#"{"max_moves": 1000}"#, &view);
    assert!(plan.moves.iter().all(|step| matches!(step.action, Action::TransferLeader(_))), "{plan:?}");
    apply(&mut view, &plan);
    assert!(spread(&counts(&view).1) <= 2, "{:?}", counts(&view));
    assert!(plan.moves.len() <= 20);
}

#[test]
fn larger_nodes_hold_more() {
    let mut view = cluster(4, 4, 50);
    view.nodes.capacity[0] = 2_000.0;
    settle(r#"{"tolerance": 0, "max_moves": 1000}"#, &mut view);
    // Of 150 replicas two fifths would be 60, but a shard has one replica there at most: all 50 have.
    assert!(counts(&view).0[0] >= 48, "{:?}", counts(&view));
}

#[test]
fn replicas_that_share_a_zone_are_parted() {
    let mut view = cluster(6, 6, 12);
    view.nodes.zones = [0, 0, 1, 1, 2, 2].map(ZoneId).to_vec();
    settle("", &mut view);
    for shard in 0..12 {
        let zones: BTreeSet<_> = view.shards.replicas_of(shard).iter().map(|&node| node / 2).collect();
        assert_eq!(zones.len(), 3, "shard {shard}");
    }
    assert!(spread(&counts(&view).0) <= 2, "{:?}", counts(&view));
}

#[test]
fn fewer_zones_than_replicas_are_used_evenly() {
    let mut view = cluster(4, 3, 6);
    view.nodes.zones = [0, 0, 0, 1].map(ZoneId).to_vec();
    settle("", &mut view);
    for shard in 0..6 {
        assert!(view.shards.replicas_of(shard).contains(&3), "two in zone 0, one in zone 1");
    }
}

#[test]
fn within_the_tolerance_it_is_quiet() {
    // 12 replicas a node are even; 14 and 10 are 1/6 off.
    let mut view = cluster(3, 3, 12);
    assert_eq!(propose("", &view), Plan::default());
    view = cluster(6, 6, 24);
    for shard in [0, 6] {
        // From node 0 to 3.
        view.shards.replicas[shard * 3] = 3;
    }
    assert_eq!(propose(r#"{"tolerance": 0.2, "leaders": false}"#, &view), Plan::default());
    assert!(!propose(r#"{"tolerance": 0.1, "leaders": false}"#, &view).moves.is_empty());
}

#[test]
fn rules_and_limits_are_kept() {
    let mut view = cluster(5, 4, 40);
    view.limits.moves_per_node = 2;
    assert_eq!(propose("", &view).moves.len(), 2, "two at a time reach the new node");
    view.shards.last_moved.fill(InstantMs(view.now.0 - 1));
    assert_eq!(propose("", &view), Plan::default(), "all cool down");
    view.shards.last_moved.fill(InstantMs(0));
    view.placement = vec![KeyspacePlacement {
        keyspace: KeyspaceId(1),
        nodes: vec![0, 1, 2, 3],
        apart: Vec::new(),
        together: Vec::new(),
    }];
    assert_eq!(propose("", &view), Plan::default(), "the new node has not the labels asked for");
    view.placement.clear();
    view.nodes.states[4] = NodeState::Suspect;
    assert_eq!(propose("", &view), Plan::default());
    view.nodes.states[4] = NodeState::Up;
    view.nodes.load[4] = 950.0;
    assert_eq!(propose("", &view), Plan::default(), "it is busy enough");
}

#[test]
fn a_draining_node_is_emptied() {
    let mut view = cluster(5, 5, 10);
    view.nodes.states[0] = NodeState::Draining;
    settle("", &mut view);
    assert_eq!(counts(&view).0[0], 0);
}

#[test]
fn configurations_are_checked() {
    let refused = |config| Spread::new(config).unwrap_err().to_string();
    assert!(refused("{\"even\": 1}").contains("even"));
    assert!(refused("{\"tolerance\": -1}").contains("`tolerance`"));
    assert!(refused("{\"max_moves\": 0}").contains("`max_moves`"));
}

proptest! {
    /// Promise 7: whatever the placement, moves end; then counts are even and nothing moves, whatever the load.
    #[test]
    fn moves_end(
        nodes in 3_usize..9,
        zones in 1_u32..5,
        starts in prop::collection::vec(0_usize..1_000, 1..60),
        capacities in prop::collection::vec(prop_oneof![3 => Just(100.0_f32), 1 => 50.0_f32..400.0], 9),
        tolerance in 0.0_f32..0.3,
    ) {
        let placement: Vec<Vec<usize>> = starts.iter().map(|start| (0..3).map(|r| (start * start / 7 + r) % nodes).collect()).collect();
        let placement: Vec<&[usize]> = placement.iter().map(Vec::as_slice).collect();
        let mut view = view(nodes, 1e9, &placement, 1, |i, _, _| i as f32);
        view.nodes.zones = (0..nodes as u32).map(|node| ZoneId(node % zones)).collect();
        view.nodes.capacity.iter_mut().zip(&capacities).for_each(|(capacity, given)| *capacity = 1e6 * given);
        view.limits.moves_per_node = 100;
        let config = format!(r#"{{"tolerance": {tolerance}}}"#);
        settle(&config, &mut view);
        prop_assert_eq!(propose(&config, &view), Plan::default());
        for shard in 0..starts.len() {
            let of = view.shards.replicas_of(shard);
            prop_assert_eq!(of.iter().collect::<BTreeSet<_>>().len(), 3);
            let in_zones: BTreeSet<_> = of.iter().map(|&node| node % zones).collect();
            prop_assert_eq!(in_zones.len(), 3.min(zones as usize).min(nodes));
        }
        if zones == 1 && capacities[..nodes].iter().all(|&c| c == 100.0) {
            let (replicas, share) = (counts(&view).0, 3.0 * starts.len() as f32 / nodes as f32);
            let even = |&count: &usize| (count as f32 - share).abs() <= (tolerance * share).max(1.0) + 1e-3;
            prop_assert!(replicas.iter().all(even), "{:?}", replicas);
        }
    }

    /// Whatever it is given: no panic, only finite numbers, no shard twice.
    #[test]
    fn plans_are_sound(
        loads in prop::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-1.0), Just(0.0), 0.0_f32..1e12], 0..12),
        capacity in prop_oneof![Just(0.0_f32), Just(f32::NAN), Just(f32::INFINITY), 1.0_f32..1e6],
        steps in 0_usize..10,
    ) {
        let placement: Vec<&[usize]> = vec![&[0, 1, 2]; loads.len()];
        let mut view = view(5, capacity, &placement, steps, |i, q, _| loads[i] * q);
        view.now = InstantMs(0);
        let plan = propose("", &view);
        let shards: BTreeSet<_> = plan.moves.iter().map(|m| m.shard).collect();
        prop_assert_eq!(shards.len(), plan.moves.len());
        prop_assert!(plan.moves.iter().all(|m| m.gain.is_finite() && m.gain > 0.0 && m.urgency.is_finite()));
    }
}
