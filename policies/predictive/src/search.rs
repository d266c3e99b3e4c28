//! The search: steps that relieve nodes with expected overload, the best first.

use crate::Config;
use crate::excess::Excess;
use crate::outlook::{Outlook, Saving, Shift};
use isobar_model::{ClusterView, InstantMs, Plan};
use placing_kit::{Board, Failure, Step, empty_draining_nodes};
use std::cell::RefCell;
use std::collections::HashMap;

/// Moves of the last half-day make further ones dearer.
const HALF_A_DAY_MS: u64 = 12 * 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    step: Step,
    shifts: [Shift; 2],
    from: usize,
    /// Saving minus price, load units times steps.
    net: f32,
    saving: Saving,
}

pub(crate) fn plan(config: &Config, excess: &Excess, view: &ClusterView) -> Result<Plan, Failure> {
    let mut board = Board::new(view)?;
    let outlook = RefCell::new(Outlook::new(config, excess, &board));
    empty_draining_nodes(&mut board, &mut |_, node| outlook.borrow().room(node), &mut |board, step, _, _| {
        let (shifts, delay) = Outlook::shifts(board, step);
        let from = outlook.borrow().point_from(delay);
        shifts.into_iter().for_each(|shift| outlook.borrow_mut().apply(shift, from));
    });
    let mut outlook = outlook.into_inner();
    let drained = board.proposed();
    let step_s = view.step_ms as f32 / 1_000.0;
    let mut memory = Memory { changes: vec![0; board.nodes()], savings: HashMap::new() };
    while board.has_room() && board.proposed() - drained < config.max_moves {
        let dearness = dearness(config, &board);
        let Some(best) = best(config, &board, &outlook, &mut memory, dearness / step_s) else { break };
        let [source, target] = best.shifts;
        let over = outlook.first_over(source.node, best.from, 0.0).unwrap_or(best.from);
        let reason = format!(
            "{} is expected to be over its capacity by up to {:.0} load units per second within {} steps; {} has room; saves {:.0} node-seconds",
            board.node_name(source.node),
            (outlook.peak(source.node, best.from).1 - view.nodes.capacity[source.node]).max(0.0),
            outlook.start(over),
            board.node_name(target.node),
            best.saving.total * step_s / view.nodes.capacity[source.node].max(f32::MIN_POSITIVE),
        );
        for shift in best.shifts {
            outlook.apply(shift, best.from);
            memory.changes[shift.node] += 1;
        }
        board.propose(best.step, 1.0, best.saving.total * step_s, 0, reason);
    }
    Ok(Plan { moves: board.into_moves(), notes: Vec::new() })
}

/// What a shift saves, remembered until its node's outlook changes.
#[derive(Debug, Default)]
struct Memory {
    /// How often each node has changed.
    changes: Vec<u32>,
    savings: HashMap<(usize, usize, u8), (u32, Saving)>,
}

impl Memory {
    /// `kind` tells apart the shifts of one shard at one node.
    fn saving(&mut self, shift: Shift, kind: u8, work: impl FnOnce() -> Saving) -> Saving {
        let changes = self.changes[shift.node];
        let known = self.savings.entry((shift.shard, shift.node, kind)).or_insert((u32::MAX, Saving::default()));
        if known.0 != changes {
            *known = (changes, work());
        }
        known.1
    }
}

/// How many times their price moves cost: the more shards have moved lately, the more a further one must save. A placer that sees reason to
/// move ever more is more likely to be wrong than to be unlucky.
fn dearness(config: &Config, board: &Board<'_>) -> f32 {
    let view = board.view;
    let lately = |moved: &&InstantMs| **moved != InstantMs(0) && view.now.since_ms(**moved) < HALF_A_DAY_MS;
    let moved = view.shards.last_moved.iter().filter(lately).count() + board.proposed();
    let used = moved as f32 / (config.allowance * board.shards().max(1) as f32);
    1.0 + used * used
}

/// The step that saves most beyond its price. `per_step`: what a price of a second costs, in steps.
fn best(
    config: &Config,
    board: &Board<'_>,
    outlook: &Outlook<'_>,
    memory: &mut Memory,
    per_step: f32,
) -> Option<Candidate> {
    let mut best: Option<Candidate> = None;
    let patience = config.patience_steps as f32;
    for shard in (0..board.shards()).filter(|&shard| board.may_move(shard)) {
        let replicas = board.replicas(shard);
        for slot in 0..replicas.len() {
            let source = replicas[slot];
            let capacity = board.view.nodes.capacity[source];
            // Who could take the lead, or the replica.
            let transfers = (1..replicas.len()).filter(|_| slot == 0).map(|slot| Step::Lead { shard, slot });
            let moves = (0..board.nodes()).map(|target| Step::Relocate { shard, slot, target });
            for step in transfers.chain(moves) {
                let (kind, price) = match step {
                    Step::Lead { .. } => (0, config.transfer_price_s),
                    Step::Relocate { .. } => (1, config.move_price_s),
                };
                let price = price * capacity * per_step;
                let least = price + best.map_or(0.0, |best| best.net);
                let (shifts, delay) = Outlook::shifts(board, step);
                let from = outlook.point_from(delay);
                if from >= outlook.points() || outlook.expected(source, from) <= least || !board.allows(step) {
                    continue;
                }
                let until = outlook.point_from(delay + patience);
                let relief = memory.saving(shifts[0], kind, || outlook.saving(shifts[0], from, until));
                if relief.total <= least || relief.soon < price {
                    continue;
                }
                let kind = if slot == 0 { 2 + kind } else { 4 };
                let cost = memory.saving(shifts[1], kind, || outlook.saving(shifts[1], from, until));
                let saving = Saving { soon: relief.soon + cost.soon, total: relief.total + cost.total };
                if saving.total > least && saving.soon >= price {
                    best = Some(Candidate { step, shifts, from, net: saving.total - price, saving });
                }
            }
        }
    }
    best
}
