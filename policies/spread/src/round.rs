//! A round: nodes being drained, zones, leaders, replicas.

use crate::Config;
use crate::counts::Counts;
use isobar_model::{ClusterView, Plan};
use placing_kit::{Board, Failure, Step, empty_draining_nodes};

/// What a move promises at least, in load units times seconds: evenness of counts is worth something even where nothing is asked of a shard now.
const LEAST_GAIN: f32 = 1.0;
/// Pairs of nodes tried in one round at most: a pair costs the shards of one node. More finds more; what was not found is found in a later round.
const MOST_PAIRS: usize = 20_000;

struct Round<'v> {
    board: Board<'v>,
    replicas: Counts,
    leaders: Counts,
    /// Load of each node once all is done.
    load: Vec<f32>,
    /// Shards with a replica on each node, as the round began.
    residents: Vec<Vec<u32>>,
    last: usize,
    pairs: usize,
}

/// A figure that sums can stand.
fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Leader load that a step takes from one node to another.
fn amount(board: &Board<'_>, step: Step) -> f32 {
    let load = known(board.view.shards.leader_load[step.shard()]);
    match step {
        Step::Lead { shard, .. } => load * (1.0 - board.share(shard, false)),
        Step::Relocate { shard, slot, .. } => load * board.share(shard, slot == 0),
    }
}

pub(crate) fn plan(config: &Config, view: &ClusterView) -> Result<Plan, Failure> {
    let mut board = Board::new(view)?;
    // Most room: the fewest for its capacity.
    let mut counts = Counts::new(&board, false, config.tolerance);
    let shown = std::cell::RefCell::new(&mut counts);
    empty_draining_nodes(&mut board, &mut |_, node| -(shown.borrow().off(node) as f32), &mut |_, step, from, to| {
        if let Step::Relocate { .. } = step {
            shown.borrow_mut().shift(from, to);
        }
    });
    let last = board.proposed() + config.max_moves;
    let mut residents = vec![Vec::new(); board.nodes()];
    for shard in 0..board.shards() {
        board.replicas(shard).iter().for_each(|&node| residents[node].push(shard as u32));
    }
    let mut load: Vec<f32> = view.nodes.load.iter().map(|&load| known(load)).collect();
    for shard in 0..board.shards() {
        let leader_load = known(view.shards.leader_load[shard]);
        for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
            load[node as usize] -= leader_load * board.share(shard, slot == 0);
        }
        for (slot, &node) in board.replicas(shard).iter().enumerate() {
            load[node] += leader_load * board.share(shard, slot == 0);
        }
    }
    let leaders = Counts::new(&board, true, config.tolerance);
    let replicas = Counts::new(&board, false, config.tolerance);
    let mut round = Round { board, replicas, leaders, load, residents, last, pairs: 0 };
    round.mend_zones();
    if config.leaders {
        round.spread_leaders();
    }
    round.spread_replicas(config.leaders);
    Ok(Plan { moves: round.board.into_moves(), notes: Vec::new() })
}

impl Round<'_> {
    fn has_room(&self) -> bool {
        self.board.has_room() && self.board.proposed() < self.last
    }

    /// Whether the host would refuse the step for its target's load.
    fn overloads(&self, step: Step, from: usize, to: usize) -> bool {
        let (amount, nodes) = (amount(&self.board, step), &self.board.view.nodes);
        let after =
            |node: usize, change: f32| (self.load[node] + change) / known(nodes.capacity[node]).max(f32::MIN_POSITIVE);
        let target = after(to, amount);
        target > self.board.view.limits.max_utilisation && target > after(from, -amount)
    }

    fn fits(&self, step: Step, from: usize, to: usize) -> bool {
        self.board.allows(step) && !self.overloads(step, from, to)
    }

    fn propose(&mut self, step: Step, from: usize, to: usize, urgency: f32, reason: String) {
        let amount = amount(&self.board, step);
        self.load[from] -= amount;
        self.load[to] += amount;
        match step {
            Step::Lead { .. } => self.leaders.shift(from, to),
            Step::Relocate { slot, .. } => {
                self.replicas.shift(from, to);
                if slot == 0 {
                    self.leaders.shift(from, to);
                }
            }
        }
        let gain = (amount * self.board.view.step_ms as f32 / 1_000.0).clamp(LEAST_GAIN, f32::MAX);
        self.board.propose(step, urgency, gain, 0, reason);
    }

    /// Replicas of a shard, but for the one in a slot, in the zone of a node.
    fn beside(&self, shard: usize, node: usize, but: usize) -> usize {
        let (zones, replicas) = (&self.board.view.nodes.zones, self.board.replicas(shard));
        replicas.iter().enumerate().filter(|&(slot, &other)| slot != but && zones[other] == zones[node]).count()
    }

    /// Replicas that share a zone move to zones that hold fewer of their shard.
    fn mend_zones(&mut self) {
        for shard in 0..self.board.shards() {
            if !self.has_room() {
                return;
            }
            if !self.board.may_move(shard) {
                continue;
            }
            let replicas = self.board.replicas(shard);
            let beside = |node: usize, but: usize| self.beside(shard, node, but);
            // Followers first: a leader's move takes its load along.
            let crowded = (0..replicas.len()).rev().filter(|&slot| beside(replicas[slot], slot) > 0);
            let mut best: Option<(usize, usize)> = None;
            for slot in crowded {
                for target in 0..self.board.nodes() {
                    if beside(target, slot) >= beside(replicas[slot], slot) {
                        continue;
                    }
                    let emptier = best.is_none_or(|(_, old)| {
                        let (new, old) = (
                            (beside(target, slot), self.replicas.off(target)),
                            (beside(old, slot), self.replicas.off(old)),
                        );
                        new < old
                    });
                    if emptier && self.fits(Step::Relocate { shard, slot, target }, replicas[slot], target) {
                        best = Some((slot, target));
                    }
                }
                if best.is_some() {
                    break;
                }
            }
            if let Some((slot, target)) = best {
                let from = replicas[slot];
                let (name, to) = (self.board.node_name(from), self.board.node_name(target));
                let reason = format!("{name} shares its zone with another replica; the zone of {to} holds fewer");
                self.propose(Step::Relocate { shard, slot, target }, from, target, 0.8, reason);
            }
        }
    }

    /// Leadership goes from who leads too many to who leads fewer.
    fn spread_leaders(&mut self) {
        while self.has_room() {
            let nodes = self.leaders.by_fullness();
            let over: Vec<usize> = nodes.into_iter().take_while(|&node| self.leaders.off(node) > 1.0).collect();
            let Some((step, from, to)) = over.into_iter().find_map(|from| self.transfer(from)) else { return };
            let reason =
                format!("{} leads more than its share, {} fewer", self.board.node_name(from), self.board.node_name(to));
            self.propose(step, from, to, 0.3, reason);
        }
    }

    /// The transfer from a node to whichever of the followers' nodes leads fewest for its capacity.
    fn transfer(&mut self, from: usize) -> Option<(Step, usize, usize)> {
        self.pairs += 1;
        if self.pairs > MOST_PAIRS {
            return None;
        }
        let mut best: Option<(f64, Step, usize)> = None;
        for &shard in &self.residents[from] {
            let shard = shard as usize;
            let replicas = self.board.replicas(shard);
            if replicas.first() != Some(&from) || !self.board.may_move(shard) {
                continue;
            }
            for (slot, &to) in replicas.iter().enumerate().skip(1) {
                let (off, step) = (self.leaders.off(to), Step::Lead { shard, slot });
                if self.leaders.is_better(from, to) && best.is_none_or(|best| off < best.0) && self.fits(step, from, to)
                {
                    best = Some((off, step, to));
                }
            }
        }
        best.map(|(_, step, to)| (step, from, to))
    }

    /// Replicas go from who holds too many, or to who holds too few.
    fn spread_replicas(&mut self, leaders: bool) {
        while self.has_room() {
            let nodes = self.replicas.by_fullness();
            let mut found = None;
            'pairs: for &from in &nodes {
                for &to in nodes.iter().rev() {
                    if !self.replicas.is_better(from, to) {
                        // Those after it are fuller.
                        break;
                    }
                    if self.replicas.off(from) <= 1.0 && self.replicas.off(to) >= -1.0 {
                        continue;
                    }
                    self.pairs += 1;
                    if self.pairs > MOST_PAIRS {
                        return;
                    }
                    found = self.relocation(from, to, leaders).map(|step| (step, from, to));
                    if found.is_some() {
                        break 'pairs;
                    }
                }
            }
            let Some((step, from, to)) = found else { return };
            let reason =
                format!("{} holds more than its share, {} less", self.board.node_name(from), self.board.node_name(to));
            self.propose(step, from, to, 0.2, reason);
        }
    }

    /// Which replica goes from one node to another: a leader where that evens leaders out, else a follower; the smallest of them.
    fn relocation(&self, from: usize, to: usize, leaders: bool) -> Option<Step> {
        let wants_leader = leaders && self.leaders.is_better(from, to);
        let may_lead = !leaders || self.leaders.is_no_worse(from, to);
        let mut best: Option<((bool, u64), Step)> = None;
        for &shard in &self.residents[from] {
            let shard = shard as usize;
            if !self.board.may_move(shard) {
                continue;
            }
            let Some(slot) = self.board.replicas(shard).iter().position(|&node| node == from) else { continue };
            // Counts are evened out within what zones allow.
            if slot == 0 && !may_lead || self.beside(shard, to, slot) > self.beside(shard, from, slot) {
                continue;
            }
            let step = Step::Relocate { shard, slot, target: to };
            let key = ((slot == 0) != wants_leader, self.board.view.shards.bytes[shard]);
            if best.is_none_or(|best| key < best.0) && self.fits(step, from, to) {
                best = Some((key, step));
            }
        }
        best.map(|(_, step)| step)
    }
}
