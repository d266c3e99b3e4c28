use crate::board::{Board, Step};
use isobar_model::NodeState;

/// Proposes what empties the nodes that are being drained: leaders first, since their load leaves at once, then replicas. Each goes to the node
/// with most room by `room(board, node)`, which the caller keeps up to date through `moved`.
pub fn empty_draining_nodes(
    board: &mut Board<'_>,
    room: &mut impl FnMut(&Board<'_>, usize) -> f32,
    moved: &mut impl FnMut(&Board<'_>, Step, usize, usize),
) {
    let draining = |board: &Board<'_>, node: usize| board.view.nodes.states[node] == NodeState::Draining;
    if !(0..board.nodes()).any(|node| draining(board, node)) {
        return;
    }
    for leaders in [true, false] {
        for shard in 0..board.shards() {
            if !board.may_move(shard) {
                continue;
            }
            let replicas = board.replicas(shard).to_vec();
            let step = if leaders {
                if replicas.first().is_none_or(|&leader| !draining(board, leader)) {
                    continue;
                }
                let slots = (1..replicas.len()).filter(|&slot| board.allows(Step::Lead { shard, slot }));
                let best = slots.max_by(|&a, &b| room(board, replicas[a]).total_cmp(&room(board, replicas[b])));
                best.map(|slot| (Step::Lead { shard, slot }, replicas[0], replicas[slot]))
            } else {
                // Of a shard that its draining leader can't hand over (no follower that takes it) the leader itself moves.
                let Some(slot) = replicas.iter().position(|&node| draining(board, node)) else { continue };
                let targets = (0..board.nodes()).filter(|&target| board.allows(Step::Relocate { shard, slot, target }));
                let best = targets.max_by(|&a, &b| room(board, a).total_cmp(&room(board, b)));
                best.map(|target| (Step::Relocate { shard, slot, target }, replicas[slot], target))
            };
            let Some((step, from, to)) = step else { continue };
            moved(board, step, from, to);
            let reason = format!("{} is being drained", board.node_name(from));
            board.propose(step, 1.0, 0.0, 0, reason);
        }
    }
}
