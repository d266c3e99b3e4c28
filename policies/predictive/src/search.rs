//! A round: nodes being drained are emptied, then overload is relieved, then what stands out is made even, and then resources of which a node
//! needs more than it has.

use crate::Config;
use crate::budget::Budget;
use crate::evenness::{self, Evenness};
use crate::excess::Excess;
use crate::outlook::Outlook;
use crate::overload;
use crate::residents::Residents;
use isobar_model::{ClusterView, Plan};
use placing_kit::{Board, Failure, empty_draining_nodes};
use std::cell::RefCell;

/// What both searches work on.
#[derive(Debug)]
pub(crate) struct Round<'a, 'v> {
    pub(crate) config: &'a Config,
    pub(crate) board: Board<'v>,
    pub(crate) outlook: Outlook<'a>,
    pub(crate) budget: Budget,
    /// Nodes that moves come to or leave, in flight or proposed to relieve overload.
    pub(crate) busy: Vec<bool>,
    residents: Option<Residents>,
}

impl Round<'_, '_> {
    /// Shards with a replica on a node that may move.
    pub(crate) fn movable(&mut self, node: usize) -> Vec<usize> {
        let (board, residents) = (&self.board, &mut self.residents);
        // Rounds in which nothing is to be done never need it.
        let residents = residents.get_or_insert_with(|| Residents::new(board));
        residents.of(node).filter(|&shard| board.may_move(shard)).collect()
    }
}

pub(crate) fn plan(config: &Config, excess: &Excess, view: &ClusterView) -> Result<Plan, Failure> {
    let mut board = Board::new(view)?;
    let outlook = RefCell::new(Outlook::new(config, excess, &board));
    empty_draining_nodes(&mut board, &mut |_, node| outlook.borrow().room(node), &mut |board, step, _, _| {
        let (shifts, delay) = Outlook::shifts(board, step);
        let from = outlook.borrow().point_from(delay);
        shifts.into_iter().for_each(|shift| outlook.borrow_mut().apply(shift, from));
    });
    let last = board.proposed() + config.max_moves;
    let budget = Budget::new(config.budget);
    let mut busy = vec![false; board.nodes()];
    for id in view.moving.iter().flat_map(|moving| [moving.source, moving.target]) {
        if let Ok(node) = view.nodes.ids.binary_search(&id) {
            busy[node] = true;
        }
    }
    let mut round = Round { config, board, outlook: outlook.into_inner(), budget, busy, residents: None };
    if (0..round.board.nodes()).any(|node| round.outlook.expected(node, 0) > 0.0) {
        overload::relieve(&mut round, last);
    }
    let mut notes = Vec::new();
    if !has_room(&round, last) {
        return Ok(Plan { moves: round.board.into_moves(), notes });
    }
    let mut load = Evenness::new(config, &round.board, None);
    let uneven = load.uneven(config, &round.busy);
    if !uneven.is_empty() {
        notes = evenness::level(&mut round, &mut load, None, &uneven, last);
    }
    for resource in 0..view.resources.len() {
        if !has_room(&round, last) {
            break;
        }
        let mut evenness = Evenness::new(config, &round.board, Some(resource));
        let uneven = evenness.uneven(config, &round.busy);
        if !uneven.is_empty() {
            notes.extend(evenness::level(&mut round, &mut evenness, Some(&mut load), &uneven, last));
        }
    }
    Ok(Plan { moves: round.board.into_moves(), notes })
}

/// Whether a further move may be looked for: fewer than `last` are proposed, and rules and budget let it.
fn has_room(round: &Round<'_, '_>, last: usize) -> bool {
    round.board.proposed() < last && round.board.has_room() && round.budget.left() > 0
}
