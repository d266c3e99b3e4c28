use super::*;
use crate::testing::{COOL_DOWN_MS, NOW, keyspaces, node, round, shard, view};
use crate::{NodeFact, RoundInput, ShardFact};
use isobar_model::{ClusterView, InFlight, Mode, NodeId, Rule, ShardId};

fn nodes(draining: u64) -> Vec<NodeFact> {
    let state = |id| if id == draining { NodeState::Draining } else { NodeState::Up };
    (1..=6).map(|id| NodeFact { state: state(id), ..node(id, id as u32) }).collect()
}

fn drained(view: &ClusterView, halted: bool) -> (Vec<CheckedMove>, Vec<String>) {
    let keyspaces = keyspaces(Mode::Observe);
    drain(&mut PlanCheck::new(view, RoundInput { halted, ..round(&keyspaces) }))
}

fn actions(shards: Vec<ShardFact>, moving: Vec<InFlight>) -> Vec<(u64, Action)> {
    let (moves, _) = drained(&view(nodes(1), shards, moving), false);
    moves.iter().map(|m| (m.proposed.shard.0, m.proposed.action)).collect()
}

fn relocation(target: u64) -> Action {
    Action::MoveReplica { source: NodeId(1), target: NodeId(target) }
}

#[test]
fn leaders_go_first_and_replicas_to_the_least_loaded_node() {
    let shards = vec![
        shard(7, &[2, 1, 3], 5.0),
        shard(8, &[1, 2, 3], 10.0),
        shard(9, &[4, 5, 6], 50.0),
        shard(10, &[6, 4, 5], 10.0),
    ];
    // Shard 8 is led by node 1; of its followers node 3 has less to do than node 2. Node 5 has the least of those shard 7 is not on.
    assert_eq!(actions(shards, vec![]), [(8, Action::TransferLeader(NodeId(3))), (7, relocation(5))]);
}

#[test]
fn neither_mode_nor_cool_down_nor_load_holds_a_drain_back() {
    let mut shards: Vec<ShardFact> = (10..16).map(|id| shard(id, &[2 + id % 5, 2 + (id + 1) % 5], 300.0)).collect();
    shards.push(ShardFact { last_moved: NOW, ..shard(7, &[2, 1, 3], 5.0) });
    const { assert!(COOL_DOWN_MS > 0) };
    assert_eq!(actions(shards, vec![]).len(), 1);
}

#[test]
fn limits_in_flight_pace_a_drain() {
    let shards = || (1..20).map(|id| shard(id, &[2, 1, 3], 1.0)).collect();
    assert_eq!(actions(shards(), vec![]).len(), 2);
    let one = InFlight { shard: ShardId(1), source: NodeId(1), target: NodeId(4), done_by: NOW, leader_only: false };
    assert_eq!(actions(shards(), vec![one]).len(), 1);
}

#[test]
fn a_lone_replica_moves_with_its_leadership() {
    let view = view(nodes(1), vec![shard(7, &[1], 5.0)], vec![]);
    let keyspaces = std::collections::BTreeMap::new();
    let (moves, _) = drain(&mut PlanCheck::new(&view, round(&keyspaces)));
    assert_eq!(moves.iter().map(|m| m.proposed.action).collect::<Vec<_>>(), [relocation(2)]);
}

#[test]
fn a_halt_holds_drains() {
    let (moves, _) = drained(&view(nodes(1), vec![shard(7, &[2, 1, 3], 5.0)], vec![]), true);
    assert_eq!(moves[0].verdict, Verdict::Held { rule: Rule::Halted });
}

#[test]
fn what_finds_no_place_is_noted() {
    let mut nodes = nodes(1);
    nodes.truncate(3);
    let (moves, notes) = drained(&view(nodes, vec![shard(7, &[2, 1, 3], 5.0)], vec![]), false);
    assert!(moves.is_empty());
    assert_eq!(notes, ["node 1 is draining, yet shard 7 stays: no node is up to take it"]);
}

#[test]
fn an_empty_node_needs_nothing() {
    assert_eq!(actions(vec![shard(7, &[2, 3, 4], 5.0)], vec![]), []);
}

mod placement_rules {
    use super::*;
    use isobar_model::{KeyspaceId, PlacementRules};
    use std::collections::BTreeMap;

    /// Nodes 4 to 6 have an SSD.
    fn labelled(placement: BTreeMap<KeyspaceId, PlacementRules>, shards: Vec<ShardFact>) -> ClusterView {
        let labels = |id| if id >= 4 { ["disk=ssd".parse().unwrap()].into() } else { Default::default() };
        let nodes = (1..=6).map(|id| NodeFact { labels: labels(id), ..node(id, id as u32) }).collect();
        crate::testing::placed(nodes, shards, placement)
    }

    fn rules(rules: PlacementRules) -> BTreeMap<KeyspaceId, PlacementRules> {
        [(KeyspaceId(1), rules)].into()
    }

    fn moves(view: &ClusterView) -> Vec<(u64, Action)> {
        drained(view, false).0.iter().map(|m| (m.proposed.shard.0, m.proposed.action)).collect()
    }

    #[test]
    fn replicas_are_brought_to_nodes_whose_labels_fit() {
        let require = PlacementRules { require: ["disk=ssd".parse().unwrap()].into(), ..Default::default() };
        // A leader hands over to a follower that may stay; where none may, its replica moves as it is.
        let view = labelled(rules(require), vec![shard(7, &[1, 4, 5], 5.0), shard(8, &[1, 2, 3], 5.0)]);
        let moved = moves(&view);
        assert_eq!(moved[0], (7, Action::TransferLeader(NodeId(4))));
        assert!(
            matches!(moved[1], (8, Action::MoveReplica { source: NodeId(1), target }) if target.0 >= 4),
            "{moved:?}"
        );
        assert_eq!(moved.len(), 2);
    }

    #[test]
    fn where_no_node_fits_it_is_said() {
        let require = PlacementRules { require: ["disk=tape".parse().unwrap()].into(), ..Default::default() };
        let (moves, notes) = drained(&labelled(rules(require), vec![shard(7, &[1, 2, 3], 5.0)]), false);
        assert_eq!(moves, []);
        assert!(notes[0].contains("labels") && notes[0].contains("shard 7 stays"), "{notes:?}");
    }

    #[test]
    fn of_two_that_are_to_be_apart_the_younger_gives_way() {
        let apart = PlacementRules { apart: [KeyspaceId(2)].into(), ..Default::default() };
        let other = ShardFact { keyspace: KeyspaceId(2), ..shard(8, &[3], 5.0) };
        let view = labelled(rules(apart), vec![shard(7, &[1, 2, 3], 5.0), other]);
        let moved = moves(&view);
        assert!(
            matches!(moved[..], [(8, Action::MoveReplica { source: NodeId(3), target })] if target.0 >= 4),
            "{moved:?}"
        );
    }

    #[test]
    fn who_is_to_be_together_follows() {
        let together = PlacementRules { together: [KeyspaceId(2)].into(), ..Default::default() };
        let other = ShardFact { keyspace: KeyspaceId(2), ..shard(8, &[5], 5.0) };
        let view = labelled(rules(together), vec![shard(7, &[1, 2, 3], 5.0), other]);
        assert_eq!(moves(&view), [(7, relocation(5))]);
    }
}
