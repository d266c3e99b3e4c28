//! What the host moves by itself: everything away from nodes that are being emptied. Leaders first, as that is quick and takes the
//! load off; then replicas, each to the least loaded node that may take it.

use crate::plan_check::{Origin, PlanCheck};
use isobar_model::{Action, CheckedMove, Move, NodeState, Verdict};
use std::cmp::Ordering;

/// Most moves that drains begin in one round: a node of 256 shards hands its leaders over within eight rounds, and one round stays small
/// in the control log.
const MAX_MOVES: usize = 32;
/// Most notes on shards that find no place.
const MAX_NOTES: usize = 8;

/// Judges and takes as done the moves that empty the draining nodes, as many as the rules and this round allow. The second value says, for
/// people, what holds shards back; limits on moves in flight are not worth a note.
pub fn drain(check: &mut PlanCheck<'_>) -> (Vec<CheckedMove>, Vec<String>) {
    let mut found = Found::default();
    let view = check.view();
    let draining = |node: &usize| view.nodes.states[*node] == NodeState::Draining;
    for node in (0..view.nodes.ids.len()).filter(draining) {
        found.leaders(check, node);
        found.replicas(check, node);
    }
    (found.moves, found.notes)
}

#[derive(Default)]
struct Found {
    moves: Vec<CheckedMove>,
    notes: Vec<String>,
}

impl Found {
    fn leaders(&mut self, check: &mut PlanCheck<'_>, node: usize) {
        let view = check.view();
        for shard in 0..view.shards.ids.len() {
            if self.moves.len() >= MAX_MOVES {
                return;
            }
            let replicas = check.picture().replicas(view, shard);
            let leads = replicas.first().is_some_and(|&leader| leader as usize == node);
            if leads && !check.picture().is_moving(view.shards.ids[shard]) {
                let followers = replicas[1..].iter().map(|&n| n as usize).collect();
                self.first_that_fits(check, node, shard, followers, |target| {
                    Action::TransferLeader(view.nodes.ids[target])
                });
            }
        }
    }

    fn replicas(&mut self, check: &mut PlanCheck<'_>, node: usize) {
        let view = check.view();
        let source = view.nodes.ids[node];
        for shard in 0..view.shards.ids.len() {
            // A node at its limit of moves in flight gets no further this round.
            let full = check.picture().in_flight(node) >= view.limits.moves_per_node;
            if full || self.moves.len() >= MAX_MOVES {
                return;
            }
            let replicas = check.picture().replicas(view, shard);
            let holds = replicas.contains(&(node as u32));
            // A leader with followers hands its leadership over first; its replica's turn comes once that is done.
            let leads = replicas.first().is_some_and(|&leader| leader as usize == node) && replicas.len() > 1;
            let stuck = leads && !replicas[1..].iter().any(|&n| view.nodes.states[n as usize] == NodeState::Up);
            if !holds || (leads && !stuck) || check.picture().is_moving(view.shards.ids[shard]) {
                continue;
            }
            let others = (0..view.nodes.ids.len()).filter(|&n| !replicas.contains(&(n as u32))).collect();
            self.first_that_fits(check, node, shard, others, |target| Action::MoveReplica {
                source,
                target: view.nodes.ids[target],
            });
        }
    }

    fn first_that_fits(
        &mut self,
        check: &mut PlanCheck<'_>,
        node: usize,
        shard: usize,
        mut targets: Vec<usize>,
        action: impl Fn(usize) -> Action,
    ) {
        let view = check.view();
        targets.retain(|&target| view.nodes.states[target] == NodeState::Up);
        targets.sort_by(|&a, &b| {
            let busy = |n| check.picture().utilisation(view, n);
            busy(a).partial_cmp(&busy(b)).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        });
        let (id, source) = (view.shards.ids[shard], view.nodes.ids[node]);
        let mut first_refusal = None;
        for target in targets {
            let wanted = Move {
                shard: id,
                action: action(target),
                urgency: 1.0,
                start_by: view.now,
                gain: 0.0,
                reason: format!("node {source} is draining"),
            };
            match check.verdict(&wanted, Origin::Drain) {
                Verdict::Accepted | Verdict::Held { .. } => {
                    self.moves.push(check.judge(wanted, Origin::Drain));
                    return;
                }
                Verdict::Refused { rule, detail } => first_refusal = first_refusal.or(Some((rule, detail))),
            }
        }
        let note = match first_refusal {
            Some((isobar_model::Rule::InFlightPerNode, _)) => return,
            Some((_, detail)) => format!("shard {id} stays on draining node {source}: {detail}"),
            None => format!("shard {id} stays on draining node {source}: no node is up to take it"),
        };
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests;
