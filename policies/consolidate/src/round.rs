//! A round: how many nodes, then which, then the moves.

use crate::Config;
use crate::outlook::{Change, Outlook, known};
use crate::ranks::Ranks;
use crate::schedule::{self, Problem};
use isobar_model::{ClusterView, Plan};
use placing_kit::{Board, Failure, Step, empty_draining_nodes};
use std::cell::RefCell;
use std::ops::Range;

/// Part of what nodes carry at their target that the count of nodes is reckoned by: shards do not divide evenly among them.
const EVENNESS: f32 = 0.95;
/// By how much of its capacity the fuller of two nodes must fall by a move between them: below it is rounding.
const LEAST_RELIEF: f32 = 0.005;
/// Nodes tried for one that can be emptied.
const MOST_TRIED: usize = 8;
/// Notes on what can't be done.
const MAX_NOTES: usize = 10;

struct Round<'a, 'v> {
    config: &'a Config,
    board: Board<'v>,
    outlook: Outlook,
    /// Blocks in which loads are looked at where something is moved: as long as it takes to empty a node and to fill it again.
    within: Range<usize>,
    /// Nodes that may be given something.
    kept: Vec<bool>,
    /// Whether there are nodes that are off.
    more_to_come: bool,
    /// Moves proposed in all at most.
    last: usize,
    notes: Vec<String>,
}

/// A step, and how full its nodes are afterwards.
#[derive(Clone, Copy)]
struct Found {
    step: Step,
    from: usize,
    to: usize,
    fuller: f32,
    target_after: f32,
}

pub(crate) fn plan(config: &Config, view: &ClusterView) -> Result<Plan, Failure> {
    let mut board = Board::new(view)?;
    let outlook = RefCell::new(Outlook::new(config, &board));
    let now = 0..1;
    let mut room = |_: &Board<'_>, node: usize| -outlook.borrow().peak(node, &now);
    empty_draining_nodes(&mut board, &mut room, &mut |board, step, from, to| {
        for (node, change) in changes(board, step, from, to) {
            outlook.borrow_mut().shift(node, step.shard(), change);
        }
    });
    let outlook = outlook.into_inner();
    let ranks = Ranks::new(config.min_nodes, &board, &outlook);
    let pace = Pace::new(config, &board, &outlook, &ranks);
    let wanted = wanted(config, view, &outlook, &ranks, &pace);
    let look = pace.down(ranks.used, ranks.used.saturating_sub(1)) + pace.up(ranks.used.saturating_sub(1), ranks.used);
    let within = 0..look.clamp(1, outlook.blocks());
    let last = board.proposed() + config.max_moves;
    let kept = vec![false; board.nodes()];
    let more_to_come = ranks.used.max(wanted) < ranks.order.len();
    let mut round = Round { config, board, outlook, within, kept, more_to_come, last, notes: Vec::new() };
    let kept = ranks.used.max(wanted);
    ranks.order[..kept].iter().for_each(|&node| round.kept[node] = true);
    if wanted > ranks.used {
        let opened = ranks.order[ranks.used..wanted].to_vec();
        round.open(&opened);
    }
    let leaving = if wanted < ranks.used { round.vacate(&ranks, ranks.used - wanted) } else { Vec::new() };
    round.relieve();
    round.empty(&leaving);
    round.notes.truncate(MAX_NOTES);
    Ok(Plan { moves: round.board.into_moves(), notes: round.notes })
}

/// How many nodes are to be in use next.
fn wanted(config: &Config, view: &ClusterView, outlook: &Outlook, ranks: &Ranks, pace: &Pace<'_>) -> usize {
    let mut carried = vec![0.0];
    for &node in &ranks.order {
        let sum = carried.last().copied().unwrap_or(0.0) + outlook.capacity(node);
        carried.push(sum);
    }
    carried.iter_mut().for_each(|sum| *sum *= config.target * EVENNESS);
    let demand = outlook.total();
    if !config.forecast {
        let enough = |share: f32| {
            let fits = (ranks.fewest..=ranks.order.len()).find(|&count| demand[0] <= share * carried[count]);
            fits.unwrap_or(ranks.order.len())
        };
        let (up, down) = (enough(1.0), enough(config.shrink));
        return if up > ranks.used { up } else { down.min(ranks.used) };
    }
    let block_hours = outlook.block_steps as f32 * view.step_ms as f32 / 3_600_000.0;
    let price = if block_hours > 0.0 { config.min_worth_node_hours / block_hours } else { 0.0 };
    let problem = Problem { demand: &demand, carried: &carried, now: ranks.used, fewest: ranks.fewest, price };
    schedule::plan(&problem, |from, to| if to > from { pace.up(from, to) } else { pace.down(from, to) }).next
}

/// How long emptying and filling take, in blocks. Moves at one node share its bandwidth, so that several at a time are no quicker than one after the
/// other; but each begins at a round, a step after the one before at worst.
struct Pace<'a> {
    ranks: &'a Ranks,
    per_node: f32,
    /// Steps of one move, alone.
    move_steps: f32,
    block_steps: f32,
    slack: f32,
}

impl<'a> Pace<'a> {
    fn new(config: &Config, board: &Board<'_>, outlook: &Outlook, ranks: &'a Ranks) -> Self {
        let steps = &board.view.shards.move_steps;
        let sum = steps.iter().map(|&steps| f64::from(known(steps))).sum::<f64>();
        let move_steps = (sum / steps.len().max(1) as f64) as f32;
        let per_node = board.view.limits.moves_per_node.max(1) as f32;
        Self { ranks, per_node, move_steps, block_steps: outlook.block_steps as f32, slack: config.slack }
    }

    fn blocks(&self, moves: f32) -> usize {
        let waves = (moves / self.per_node).ceil().max(1.0);
        let steps = (moves * self.move_steps).max(waves * (self.move_steps + 1.0));
        // More than fit into any horizon are as good as all.
        (self.slack * steps / self.block_steps).ceil().min(1e6) as usize
    }

    /// New nodes get leaders, an even share of them; the others give.
    fn up(&self, from: usize, to: usize) -> usize {
        let each = self.ranks.leaders as f32 / to.max(1) as f32;
        let given = each * to.saturating_sub(from) as f32 / from.max(1) as f32;
        self.blocks(each.max(given))
    }

    /// Nodes that go give all they have; the others take it.
    fn down(&self, from: usize, to: usize) -> usize {
        let leaving = &self.ranks.order[to.min(from)..from];
        let most = leaving.iter().map(|&node| self.ranks.replicas[node]).max().unwrap_or(0);
        let all: usize = leaving.iter().map(|&node| self.ranks.replicas[node]).sum();
        self.blocks((most as f32).max(all as f32 / to.max(1) as f32))
    }
}

/// What a step does to both its nodes' shares of the shard.
fn changes(board: &Board<'_>, step: Step, from: usize, to: usize) -> [(usize, Change); 2] {
    let shard = step.shard();
    let (leads, follows) = (board.share(shard, true), board.share(shard, false));
    match step {
        Step::Lead { .. } => [(from, Change { from: leads, to: follows }), (to, Change { from: follows, to: leads })],
        Step::Relocate { slot, .. } => {
            let share = board.share(shard, slot == 0);
            [(from, Change { from: share, to: 0.0 }), (to, Change { from: 0.0, to: share })]
        }
    }
}

impl Round<'_, '_> {
    fn has_room(&self) -> bool {
        self.board.has_room() && self.board.proposed() < self.last
    }

    fn peak(&self, node: usize) -> f32 {
        self.outlook.peak(node, &self.within)
    }

    /// A step judged; none where a node takes nothing.
    fn judged(&self, step: Step, from: usize, to: usize) -> Option<Found> {
        if !self.kept[to] || !self.board.fits(step) {
            return None;
        }
        let after = |(node, change)| self.outlook.peak_with(node, step.shard(), change, &self.within);
        let [source, target] = changes(&self.board, step, from, to).map(after);
        Some(Found { step, from, to, fuller: source.max(target), target_after: target })
    }

    fn propose(&mut self, found: Found, gain: f32, reason: String) {
        for (node, change) in changes(&self.board, found.step, found.from, found.to) {
            self.outlook.shift(node, found.step.shard(), change);
        }
        self.board.propose(found.step, 0.5, gain.clamp(f32::MIN_POSITIVE, f32::MAX), 0, reason);
    }

    /// Seconds of a step.
    fn step_s(&self) -> f32 {
        self.board.view.step_ms as f32 / 1_000.0
    }

    /// What emptying is worth, told in the contract's unit: the node's capacity over the node-hours asked, by replica.
    fn freed(&self, node: usize, replicas: usize) -> f32 {
        let hours = self.config.min_worth_node_hours.max(1.0 / 60.0);
        self.outlook.capacity(node) * 3_600.0 * hours / replicas.max(1) as f32
    }

    /// Brings leaders to nodes that were off, from whoever is fullest.
    fn open(&mut self, opened: &[usize]) {
        loop {
            let coolest = opened.iter().copied().min_by(|&a, &b| self.peak(a).total_cmp(&self.peak(b)));
            let Some(to) = coolest.filter(|_| self.has_room()) else { break };
            let mut sources: Vec<usize> =
                (0..self.board.nodes()).filter(|node| self.kept[*node] && !opened.contains(node)).collect();
            sources.sort_by(|&a, &b| self.peak(b).total_cmp(&self.peak(a)).then(a.cmp(&b)));
            let found = sources
                .into_iter()
                .find_map(|from| self.best(from, |step, target| matches!(step, Step::Relocate { .. }) && target == to));
            let Some(found) = found else { break };
            let (before, node) = (self.peak(found.from), self.board.node_name(found.to));
            let reason = format!("{node} is brought back: the load to come needs one node more");
            let gain = (before - found.fuller) * self.outlook.capacity(found.from) * self.step_s();
            self.propose(found, gain, reason);
        }
    }

    /// While a node that is kept will be above its target, it gives to whoever will be the least full, leadership before data.
    fn relieve(&mut self) {
        let mut stuck = vec![false; self.board.nodes()];
        while self.has_room() {
            let hot = (0..self.board.nodes())
                .filter(|&node| self.kept[node] && !stuck[node] && self.peak(node) > self.config.target)
                .max_by(|&a, &b| self.peak(a).total_cmp(&self.peak(b)).then(b.cmp(&a)));
            let Some(hot) = hot else { break };
            let target = self.config.target;
            let transfer = self.best(hot, |step, _| matches!(step, Step::Lead { .. }));
            let found = transfer
                .filter(|found| found.target_after <= target)
                .or_else(|| self.best(hot, |step, _| matches!(step, Step::Relocate { .. })))
                .or(transfer);
            let Some(found) = found else {
                stuck[hot] = true;
                if self.more_to_come {
                    // Another node is brought back when it is time.
                    continue;
                }
                let name = self.board.node_name(hot);
                self.notes.push(format!("{name} will be above its target, but no move allowed now would relieve it"));
                continue;
            };
            let before = self.peak(hot);
            let (from, to) = (self.board.node_name(hot), self.board.node_name(found.to));
            let reason = format!("{from} will be at {:.0} % of its capacity; {to} has room", 100.0 * before);
            let gain = (before - found.fuller) * self.outlook.capacity(hot) * self.step_s();
            self.propose(found, gain, reason);
        }
    }

    /// Of the steps that are wanted and allowed now, the one that leaves the fuller of its two nodes the least full; none where that is no relief.
    fn best(&self, from: usize, wanted: impl Fn(Step, usize) -> bool) -> Option<Found> {
        let mut most = self.peak(from) - LEAST_RELIEF;
        let mut best: Option<Found> = None;
        for shard in (0..self.board.shards()).filter(|&shard| self.board.may_move(shard)) {
            let replicas = self.board.replicas(shard);
            let Some(slot) = replicas.iter().position(|&node| node == from) else { continue };
            let transfers =
                (1..replicas.len()).filter(|_| slot == 0).map(|slot| (Step::Lead { shard, slot }, replicas[slot]));
            let moves = (0..self.board.nodes()).map(|target| (Step::Relocate { shard, slot, target }, target));
            for (step, to) in transfers.chain(moves) {
                if !self.kept[to] || !wanted(step, to) || !self.board.allows(step) {
                    continue;
                }
                let Some(found) = self.judged(step, from, to) else { continue };
                let better =
                    best.is_none_or(|best| (found.fuller, found.target_after) < (best.fuller, best.target_after));
                if found.fuller < most && better {
                    (most, best) = (found.fuller, Some(found));
                }
            }
        }
        best
    }

    /// Chooses nodes to empty, as many as asked: the last in rank that the others have room for.
    fn vacate(&mut self, ranks: &Ranks, count: usize) -> Vec<usize> {
        let (mut leaving, now) = (Vec::new(), self.outlook.clone());
        let candidates = ranks.order[ranks.fewest..ranks.used].iter().rev().take(MOST_TRIED.max(count));
        for &node in candidates {
            if leaving.len() == count {
                break;
            }
            if self.outlook.has_background(node) {
                continue;
            }
            self.kept[node] = false;
            match self.packed_without(node) {
                Some(outlook) => {
                    // Others that leave must find their room beside it.
                    self.outlook = outlook;
                    leaving.push(node);
                }
                None => {
                    self.kept[node] = true;
                    let name = self.board.node_name(node);
                    self.notes.push(format!("{name} is not needed, but the others have no room for all that it holds"));
                }
            }
        }
        // What was tried is not done yet.
        self.outlook = now;
        leaving
    }

    /// Loads once a node is emptied, if all that it holds finds room below the target.
    fn packed_without(&self, node: usize) -> Option<Outlook> {
        let mut trial = self.outlook.clone();
        for (shard, slot) in self.held(node) {
            let share = self.board.share(shard, slot == 0);
            let after = |target: usize| trial.peak_with(target, shard, Change { from: 0.0, to: share }, &self.within);
            let fits = |&target: &usize| self.kept[target] && self.board.fits(Step::Relocate { shard, slot, target });
            let best = (0..self.board.nodes())
                .filter(fits)
                .map(|target| (after(target), target))
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
            if best.0 > self.config.target {
                return None;
            }
            trial.shift(node, shard, Change { from: share, to: 0.0 });
            trial.shift(best.1, shard, Change { from: 0.0, to: share });
        }
        Some(trial)
    }

    /// What a node holds, the heaviest first.
    fn held(&self, node: usize) -> Vec<(usize, usize)> {
        let slot = |shard: usize| self.board.replicas(shard).iter().position(|&other| other == node);
        let mut held: Vec<(f32, usize, usize)> = (0..self.board.shards())
            .filter_map(|shard| slot(shard).map(|slot| (shard, slot)))
            .map(|(shard, slot)| {
                (self.board.share(shard, slot == 0) * self.outlook.shard_peak(shard, &self.within), shard, slot)
            })
            .collect();
        held.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        held.into_iter().map(|(_, shard, slot)| (shard, slot)).collect()
    }

    /// Moves away what nodes that leave hold, as much as may move now.
    fn empty(&mut self, leaving: &[usize]) {
        for &node in leaving {
            let held = self.held(node);
            let gain = self.freed(node, held.len());
            for (shard, slot) in held {
                if !self.has_room() {
                    return;
                }
                let steps = (0..self.board.nodes()).map(|target| (Step::Relocate { shard, slot, target }, target));
                let allowed = steps.filter(|(step, to)| self.kept[*to] && self.board.allows(*step));
                let best = allowed
                    .filter_map(|(step, to)| self.judged(step, node, to))
                    .min_by(|a, b| a.target_after.total_cmp(&b.target_after).then(a.to.cmp(&b.to)));
                let Some(found) = best.filter(|found| found.target_after <= self.config.target) else { continue };
                let reason = format!("{} is emptied: the others carry the load to come", self.board.node_name(node));
                self.propose(found, gain, reason);
            }
        }
    }
}
