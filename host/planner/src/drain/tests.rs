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
    assert_eq!(notes, ["shard 7 stays on draining node 1: no node is up to take it"]);
}

#[test]
fn an_empty_node_needs_nothing() {
    assert_eq!(actions(vec![shard(7, &[2, 3, 4], 5.0)], vec![]), []);
}
