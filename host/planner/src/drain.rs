//! What the host moves by itself: everything away from nodes that are being emptied, and replicas away from nodes that their keyspace's
//! placement rules do not allow. Leaders first, as that is quick and takes the load off; then replicas, each to the least loaded node that
//! may take it.

use crate::plan_check::{Origin, PlanCheck, Standing, unfit};
use isobar_model::{Action, CheckedMove, Move, NodeState, Verdict};
use std::cmp::Ordering;

/// Most moves that drains begin in one round: a node of 256 shards hands its leaders over within eight rounds, and one round stays small
/// in the control log.
const MAX_MOVES: usize = 32;
/// Most notes on shards that find no place.
const MAX_NOTES: usize = 8;

/// Judges and takes as done the moves that empty the draining nodes and bring replicas home, as many as the rules and this round allow. The
/// second value says, for people, what holds shards back; limits on moves in flight are not worth a note.
pub fn drain(check: &mut PlanCheck<'_>) -> (Vec<CheckedMove>, Vec<String>) {
    let mut found = Found::default();
    let view = check.view();
    for node in 0..view.nodes.ids.len() {
        if view.nodes.states[node] == NodeState::Draining {
            found.leaders(check, node, Why::Draining);
            found.replicas(check, node, Why::Draining);
        }
    }
    // Nodes that do not answer can't give a replica away.
    let gives = |node: &usize| view.nodes.states[*node] == NodeState::Up;
    if !view.placement.is_empty() {
        for node in (0..view.nodes.ids.len()).filter(gives) {
            found.leaders(check, node, Why::Unfit);
            found.replicas(check, node, Why::Unfit);
        }
    }
    (found.moves, found.notes)
}

/// Why shards leave a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is being emptied.
    Draining,
    /// Their keyspace's placement rules do not allow it.
    Unfit,
}

impl Why {
    /// Whether it concerns this shard, and what is to be said of it.
    fn concerns(self, check: &PlanCheck<'_>, node: usize, shard: usize) -> Option<String> {
        let view = check.view();
        match self {
            Self::Draining => Some(format!("node {} is draining", view.nodes.ids[node])),
            Self::Unfit => {
                let keyspace = view.shards.keyspaces[shard];
                unfit(view, check.picture(), keyspace, node, Standing::IsThere).map(|(_, detail)| detail)
            }
        }
    }

    /// Followers that may take the lead: not those that are to leave in their turn.
    fn heirs(self, check: &PlanCheck<'_>, shard: usize) -> Vec<usize> {
        let view = check.view();
        let followers = check.picture().replicas(view, shard).iter().skip(1).map(|&node| node as usize);
        followers.filter(|&node| self == Self::Draining || self.concerns(check, node, shard).is_none()).collect()
    }
}

#[derive(Default)]
struct Found {
    moves: Vec<CheckedMove>,
    notes: Vec<String>,
}

impl Found {
    fn leaders(&mut self, check: &mut PlanCheck<'_>, node: usize, why: Why) {
        let view = check.view();
        for shard in 0..view.shards.ids.len() {
            if self.moves.len() >= MAX_MOVES {
                return;
            }
            let replicas = check.picture().replicas(view, shard);
            let leads = replicas.first().is_some_and(|&leader| leader as usize == node);
            if leads
                && !check.picture().is_moving(view.shards.ids[shard])
                && let Some(reason) = why.concerns(check, node, shard)
            {
                let heirs = why.heirs(check, shard);
                if heirs.is_empty() && why == Why::Unfit {
                    continue;
                }
                self.first_that_fits(check, shard, heirs, &reason, |target| {
                    Action::TransferLeader(view.nodes.ids[target])
                });
            }
        }
    }

    fn replicas(&mut self, check: &mut PlanCheck<'_>, node: usize, why: Why) {
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
            let heirs = why.heirs(check, shard);
            let stuck = leads && !heirs.iter().any(|&n| view.nodes.states[n] == NodeState::Up);
            if !holds || (leads && !stuck) || check.picture().is_moving(view.shards.ids[shard]) {
                continue;
            }
            let Some(reason) = why.concerns(check, node, shard) else { continue };
            let others = (0..view.nodes.ids.len()).filter(|&n| !replicas.contains(&(n as u32))).collect();
            self.first_that_fits(check, shard, others, &reason, |target| Action::MoveReplica {
                source,
                target: view.nodes.ids[target],
            });
        }
    }

    fn first_that_fits(
        &mut self,
        check: &mut PlanCheck<'_>,
        shard: usize,
        mut targets: Vec<usize>,
        reason: &str,
        action: impl Fn(usize) -> Action,
    ) {
        let view = check.view();
        targets.retain(|&target| view.nodes.states[target] == NodeState::Up);
        targets.sort_by(|&a, &b| {
            let busy = |n| check.picture().utilisation(view, n);
            busy(a).partial_cmp(&busy(b)).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        });
        let id = view.shards.ids[shard];
        let mut first_refusal = None;
        for target in targets {
            let wanted = Move {
                shard: id,
                action: action(target),
                urgency: 1.0,
                start_by: view.now,
                gain: 0.0,
                reason: reason.to_owned(),
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
            Some((_, detail)) => format!("{reason}, yet shard {id} stays: {detail}"),
            None => format!("{reason}, yet shard {id} stays: no node is up to take it"),
        };
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests;
