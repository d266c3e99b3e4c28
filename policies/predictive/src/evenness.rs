//! The second goal: where a node's forecast peak stands far above the others', bring it down, hottest first, at the least cost.
//!
//! - **Peaks**: a node's peak is the most that its shards' forecasts (of one quantile, each by its replica's share) add up to at any point of
//!   the next `even_steps`, over its capacity. Moves in flight count as done.
//! - **Hysteresis**: nothing is done unless a node stands above `even_start` times the mean of the nodes that are up, and above `even_above`
//!   of its capacity; then it is brought down to `even_within` times the mean.
//! - **Patience**: a node that a move comes to or leaves, in flight or proposed for overload, is left alone until its load shows what came of it.
//! - **Cost**: leader transfers first, which move no data; then data, by the load taken off for its bytes and for one shard's mean bytes more,
//!   which stand for what any move costs.
//! - **Resources**: what nodes have only so much of beside load is brought down likewise, one after the other, but only from a node that is
//!   forecast to need more of it than it has, to what the host lets a move fill (or `even_within` times the mean, where that is more).
//! - **No harm**: a move must leave the fuller of its two nodes less full than the source was, by `even_min_gain` of the mean; so the fullest
//!   node only ever falls, and with a static load the moves end. It may not cost expected overload either.

use crate::Config;
use crate::coolest::Coolest;
use crate::outlook::{Outlook, known, means, points};
use crate::search::Round;
use isobar_model::{ClusterView, NodeState};
use placing_kit::{Board, Step};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Expected overload that a move may cost, as a share of the source's capacity for one step: rounding.
const ROUNDING: f32 = 1e-4;
/// How many times as much as it has too much a node must still be able to give away, for transfers to come before moves of data. A transfer
/// leaves a follower's load behind, and the shard can give no more in this round: a node that has little to spare gives whole replicas first.
const TRANSFER_SLACK: f32 = 2.0;
/// Notes on nodes that can't be brought down.
const MAX_NOTES: usize = 10;

/// Forecast load of shards and nodes at points of the horizon; or what follows from it of one resource.
#[derive(Debug)]
pub(crate) struct Evenness {
    /// Which of the view's resources; none: load.
    resource: Option<usize>,
    points: usize,
    /// `level[shard * points + point]`: of a shard's leader.
    level: Vec<f32>,
    /// `load[node * points + point]`.
    load: Vec<f32>,
    capacity: Vec<f32>,
    up: Vec<bool>,
    /// Of the nodes that are up and have a limit, at their peaks.
    total_load: f64,
    total_capacity: f64,
}

impl Evenness {
    /// Of load, or of one of the view's resources.
    pub(crate) fn new(config: &Config, board: &Board<'_>, resource: Option<usize>) -> Self {
        let view = board.view;
        let (starts, lengths) = points(view, config.even_steps as usize);
        let (points, steps) = (starts.len(), view.steps as usize);
        let mut level = Vec::with_capacity(board.shards() * points);
        match nearest(&view.quantiles, config.even_quantile) {
            Some(q) if points > 0 => {
                for shard in 0..board.shards() {
                    let row = (shard * view.quantiles.len() + q) * steps;
                    level.extend(means(&view.shards.predicted[row..row + steps], &starts, &lengths));
                }
            }
            Some(_) | None => level.resize(board.shards() * points, 0.0),
        }
        let mut load: Vec<f32> = Vec::with_capacity(board.nodes() * points);
        let background = resource.map_or(&view.nodes.background, |at| &view.resources[at].background);
        for node in 0..board.nodes() {
            load.extend(means(&background[node * steps..(node + 1) * steps], &starts, &lengths));
        }
        for shard in 0..board.shards() {
            for (slot, &node) in board.replicas(shard).iter().enumerate() {
                let share = share(board, resource, shard, slot == 0);
                let of = &level[shard * points..(shard + 1) * points];
                load[node * points..(node + 1) * points]
                    .iter_mut()
                    .zip(of)
                    .for_each(|(load, level)| *load += share * level);
            }
        }
        let capacity: Vec<f32> = match resource {
            None => view.nodes.capacity.iter().map(|&capacity| known(capacity)).collect(),
            // What is not declared has no limit.
            Some(at) => view.resources[at].capacity.iter().map(|&c| if c > 0.0 { c } else { f32::INFINITY }).collect(),
        };
        let up =
            view.nodes.states.iter().zip(&capacity).map(|(state, c)| *state == NodeState::Up && *c > 0.0).collect();
        let mut evenness = Self { resource, points, level, load, capacity, up, total_load: 0.0, total_capacity: 0.0 };
        for node in 0..board.nodes() {
            if !evenness.counts(node) {
                continue;
            }
            evenness.total_load += f64::from(evenness.peak(node).1);
            evenness.total_capacity += f64::from(evenness.capacity[node]);
        }
        evenness
    }

    /// Whether a node is one of those that the mean is of.
    fn counts(&self, node: usize) -> bool {
        self.up[node] && self.capacity[node].is_finite()
    }

    /// What a replica adds per unit of the shard's leader load.
    fn share(&self, board: &Board<'_>, shard: usize, leads: bool) -> f32 {
        share(board, self.resource, shard, leads)
    }

    /// What goes along with leadership likewise.
    fn lead_share(&self, board: &Board<'_>, shard: usize) -> f32 {
        self.share(board, shard, true) - self.share(board, shard, false)
    }

    /// What goes along with a step likewise.
    fn goes_along(&self, board: &Board<'_>, step: Step) -> f32 {
        match step {
            Step::Lead { shard, .. } => self.lead_share(board, shard),
            Step::Relocate { shard, slot, .. } => self.share(board, shard, slot == 0),
        }
    }

    /// Whether the host would refuse a step that leaves two nodes so full.
    fn is_refused(board: &Board<'_>, source_after: f32, target_after: f32) -> bool {
        target_after > board.view.limits.max_utilisation && target_after > source_after
    }

    /// Utilisation above which a node is brought down.
    fn start(&self, config: &Config) -> f32 {
        match self.resource {
            None => (config.even_start * self.mean()).max(config.even_above),
            Some(_) => 1.0,
        }
    }

    /// Utilisation that it is brought down to.
    fn even(&self, config: &Config, view: &ClusterView) -> f32 {
        let even = config.even_within * self.mean();
        if self.resource.is_none() { even } else { even.max(view.limits.max_utilisation) }
    }

    /// A node's fullest point and its load there.
    fn peak(&self, node: usize) -> (usize, f32) {
        let load = &self.load[node * self.points..(node + 1) * self.points];
        load.iter().enumerate().fold((0, 0.0), |most, (p, &load)| if load > most.1 { (p, load) } else { most })
    }

    /// A node's peak over its capacity.
    pub(crate) fn utilisation(&self, node: usize) -> f32 {
        self.peak(node).1 / self.capacity[node]
    }

    /// The same if `share` of a shard's leader load were added.
    fn utilisation_with(&self, node: usize, shard: usize, share: f32) -> f32 {
        let load = &self.load[node * self.points..(node + 1) * self.points];
        let level = &self.level[shard * self.points..(shard + 1) * self.points];
        let peak = load.iter().zip(level).map(|(load, level)| load + share * level).fold(0.0, f32::max);
        peak / self.capacity[node]
    }

    /// The mean of the peaks, over capacity.
    pub(crate) fn mean(&self) -> f32 {
        if self.total_capacity > 0.0 { (self.total_load / self.total_capacity) as f32 } else { 0.0 }
    }

    /// The nodes that stand out, and so are to be brought down; but not those of which `busy` is true.
    pub(crate) fn uneven(&self, config: &Config, busy: &[bool]) -> Vec<usize> {
        let least = self.start(config);
        let stands_out = |node: &usize| self.up[*node] && !busy[*node] && self.utilisation(*node) > least;
        (0..self.capacity.len()).filter(stands_out).collect()
    }

    fn is_worth_a_note(&self, config: &Config, utilisation: f32) -> bool {
        match self.resource {
            None => utilisation > config.even_start * self.mean(),
            Some(_) => utilisation > 1.0,
        }
    }

    /// In words, after "is forecast to be".
    fn how_full(&self, view: &ClusterView, utilisation: f32) -> String {
        match self.resource {
            None => format!("{:.2} times as full as the mean", utilisation / self.mean()),
            Some(at) => format!("at {:.0} % of its {}", utilisation * 100.0, view.resources[at].metric.name()),
        }
    }

    fn shift(&mut self, node: usize, shard: usize, share: f32) {
        let before = self.peak(node).1;
        let load = &mut self.load[node * self.points..(node + 1) * self.points];
        let level = &self.level[shard * self.points..(shard + 1) * self.points];
        load.iter_mut().zip(level).for_each(|(load, level)| *load += share * level);
        if self.counts(node) {
            self.total_load += f64::from(self.peak(node).1) - f64::from(before);
        }
    }
}

/// What a replica adds to a node per unit of the shard's leader load, of load or of a resource.
fn share(board: &Board<'_>, resource: Option<usize>, shard: usize, leads: bool) -> f32 {
    match resource {
        None => board.share(shard, leads),
        Some(at) => known(board.view.resources[at].use_of(shard, leads)),
    }
}

/// The quantile next to the one wanted.
fn nearest(quantiles: &[f32], wanted: f32) -> Option<usize> {
    let off = |q: f32| (q - wanted).abs();
    (0..quantiles.len()).min_by(|&a, &b| off(quantiles[a]).total_cmp(&off(quantiles[b])))
}

/// Something that would bring a node down, by how much it is worth.
#[derive(Clone, Copy, Debug)]
struct Offer {
    shard: u32,
    slot: u32,
    /// Load taken off, as far as there is too much of it, over what it costs.
    worth: f32,
    /// Load taken off.
    relief: f32,
    /// What it costs.
    cost: f32,
}

impl Ord for Offer {
    /// Of equal worth, what disturbs less; then the shard that comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let worth = self.worth.total_cmp(&other.worth).then(other.relief.total_cmp(&self.relief));
        worth.then((other.shard, other.slot).cmp(&(self.shard, self.slot)))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offer {}

/// A step and what it comes to.
#[derive(Clone, Copy, Debug)]
struct Found {
    step: Step,
    target: usize,
    /// Share of the leader load that goes along.
    share: f32,
    /// Utilisation of both nodes after.
    source_after: f32,
    target_after: f32,
}

impl Found {
    fn fuller_after(&self) -> f32 {
        self.source_after.max(self.target_after)
    }

    /// Whether it leaves the fuller of its two nodes less full than another, or else its target.
    fn betters(&self, other: &Self) -> bool {
        (self.fuller_after(), self.target_after) < (other.fuller_after(), other.target_after)
    }
}

/// What a node could give away, kept while it is brought down. What an offer is worth only falls, as there is ever less too much; so the heaps
/// hold what each was worth when last looked at, and whichever is still worth that much when it comes up is the best (the lazy greedy
/// algorithm, Minoux 1978).
#[derive(Debug)]
struct Stock {
    /// The node's fullest point, which reliefs are reckoned at.
    at: usize,
    /// Everything that could be given away.
    all: f32,
    transfers: BinaryHeap<Offer>,
    moves: BinaryHeap<Offer>,
}

#[derive(Debug)]
struct Search<'s, 'a, 'v> {
    round: &'s mut Round<'a, 'v>,
    evenness: &'s mut Evenness,
    /// Of load, where a resource is levelled.
    load: Option<&'s mut Evenness>,
    coolest: Coolest,
    mean_bytes: f32,
    /// By node.
    stock: Vec<Option<Stock>>,
}

/// Brings the nodes of `uneven` down, until `last` moves are proposed in all. Gives notes on those that it can't. `load`: where a resource is
/// levelled, so that no step is proposed that the host refuses for its load.
pub(crate) fn level(
    round: &mut Round<'_, '_>,
    evenness: &mut Evenness,
    load: Option<&mut Evenness>,
    uneven: &[usize],
    last: usize,
) -> Vec<String> {
    let config = round.config;
    let coolest = Coolest::new(&round.board, config.targets, |node| evenness.utilisation(node));
    let mean_bytes = mean_bytes(round.board.view);
    let entry = |evenness: &Evenness, node: usize| (evenness.utilisation(node).max(0.0).to_bits(), Reverse(node));
    let mut hottest: BinaryHeap<_> = uneven.iter().map(|&node| entry(evenness, node)).collect();
    let stock = (0..round.board.nodes()).map(|_| None).collect();
    let mut search = Search { round, evenness, load, coolest, mean_bytes, stock };
    let mut notes = Vec::new();
    while search.round.board.has_room() && search.round.board.proposed() < last && search.round.budget.left() > 0 {
        let Some((was, Reverse(node))) = hottest.pop() else { break };
        let now = search.evenness.utilisation(node);
        if now <= search.evenness.even(config, search.round.board.view) {
            continue;
        }
        if now.to_bits() != was {
            hottest.push(entry(search.evenness, node));
            continue;
        }
        match search.step(node) {
            Some(found) => {
                search.carry_out(node, found);
                hottest.push(entry(search.evenness, node));
            }
            None if notes.len() < MAX_NOTES && search.evenness.is_worth_a_note(config, now) => notes.push(format!(
                "{} is forecast to be {}, but no move allowed now would bring it down",
                search.round.board.node_name(node),
                search.evenness.how_full(search.round.board.view, now)
            )),
            None => {}
        }
    }
    notes
}

fn mean_bytes(view: &ClusterView) -> f32 {
    let bytes: f64 = view.shards.bytes.iter().map(|&bytes| bytes as f64).sum();
    ((bytes / view.shards.bytes.len().max(1) as f64) as f32).max(1.0)
}

impl Search<'_, '_, '_> {
    /// The cheapest step that brings a node down and leaves its target within what is even; and, where there is none, the step among all that
    /// leaves the fuller of its two nodes the least full.
    fn step(&mut self, node: usize) -> Option<Found> {
        let (at, peak) = self.evenness.peak(node);
        let even = self.evenness.even(self.round.config, self.round.board.view);
        let excess = peak - even * self.evenness.capacity[node];
        let kept = self.stock[node].take().filter(|stock| stock.at == at);
        let mut stock = kept.unwrap_or_else(|| self.stock(node, at, excess));
        let lead_first = stock.all >= TRANSFER_SLACK * excess;
        let mut good = None;
        for lead in [lead_first, !lead_first] {
            let offers = if lead { &mut stock.transfers } else { &mut stock.moves };
            good = self.next(node, offers, lead, excess, |found| found.target_after <= even);
            if good.is_some() {
                break;
            }
        }
        self.stock[node] = Some(stock);
        good.or_else(|| self.least_bad(node, at, excess))
    }

    /// What a node could give away.
    fn stock(&mut self, node: usize, at: usize, excess: f32) -> Stock {
        let mean = self.evenness.mean() * self.evenness.capacity[node];
        let least = self.round.config.even_min_gain * mean;
        let (mut transfers, mut moves, mut all) = (Vec::new(), Vec::new(), 0.0);
        for shard in self.round.movable(node) {
            let board = &self.round.board;
            let Some(slot) = board.replicas(shard).iter().position(|&other| other == node) else { continue };
            let level = self.evenness.level[shard * self.evenness.points + at];
            let offer = |share: f32, cost: f32| {
                let relief = share * level;
                Offer { shard: shard as u32, slot: slot as u32, worth: relief.min(excess) / cost, relief, cost }
            };
            let worth_it = |offer: &Offer| offer.relief > least && offer.worth.is_finite();
            if slot == 0 && board.replicas(shard).len() > 1 {
                transfers.extend(Some(offer(self.evenness.lead_share(board, shard), 1.0)).filter(worth_it));
            }
            let share = self.evenness.share(board, shard, slot == 0);
            all += share * level;
            let bytes = board.view.shards.bytes[shard] as f32;
            moves.extend(Some(offer(share, bytes + self.mean_bytes)).filter(worth_it));
        }
        Stock { at, all, transfers: transfers.into(), moves: moves.into() }
    }

    /// The best offer whose step is good; those before it are not looked at again.
    fn next(
        &mut self,
        node: usize,
        offers: &mut BinaryHeap<Offer>,
        lead: bool,
        excess: f32,
        good: impl Fn(&Found) -> bool,
    ) -> Option<Found> {
        while let Some(mut offer) = offers.pop() {
            let worth = offer.relief.min(excess) / offer.cost;
            if worth < offer.worth {
                offer.worth = worth;
                offers.push(offer);
                continue;
            }
            if !self.round.board.may_move(offer.shard as usize) {
                continue;
            }
            let found = if lead { self.transfer(node, offer) } else { self.relocation(node, offer) };
            if let Some(found) = found.filter(|found| good(found) && self.costs_no_overload(found)) {
                return Some(found);
            }
        }
        None
    }

    /// Of all steps, the one that leaves the fuller of its two nodes the least full.
    fn least_bad(&mut self, node: usize, at: usize, excess: f32) -> Option<Found> {
        let stock = self.stock(node, at, excess);
        let mut least: Option<Found> = None;
        for (lead, offers) in [(true, stock.transfers), (false, stock.moves)] {
            for offer in offers.into_sorted_vec().into_iter().rev() {
                let found = if lead { self.transfer(node, offer) } else { self.relocation(node, offer) };
                let better = |found: &Found| least.is_none_or(|least| found.betters(&least));
                if let Some(found) = found.filter(|found| better(found) && self.costs_no_overload(found)) {
                    least = Some(found);
                }
            }
        }
        least
    }

    fn transfer(&mut self, node: usize, offer: Offer) -> Option<Found> {
        let shard = offer.shard as usize;
        let share = self.evenness.lead_share(&self.round.board, shard);
        let mut best = None;
        for slot in 1..self.round.board.replicas(shard).len() {
            let target = self.round.board.replicas(shard)[slot];
            let goals = (&*self.evenness, self.load.as_deref());
            try_target(self.round, goals, (node, target), share, Step::Lead { shard, slot }, &mut best);
        }
        best
    }

    fn relocation(&mut self, node: usize, offer: Offer) -> Option<Found> {
        let (shard, slot) = (offer.shard as usize, offer.slot as usize);
        let share = self.evenness.share(&self.round.board, shard, slot == 0);
        let mut best: Option<Found> = None;
        for target in self.coolest.targets(node) {
            // They come coolest first, and given more they are at least as full as now.
            let now = self.evenness.utilisation(target);
            if best.is_some_and(|best| best.fuller_after() <= best.source_after.max(now)) {
                break;
            }
            let goals = (&*self.evenness, self.load.as_deref());
            try_target(self.round, goals, (node, target), share, Step::Relocate { shard, slot, target }, &mut best);
        }
        best
    }

    fn costs_no_overload(&self, found: &Found) -> bool {
        let (shifts, delay) = Outlook::shifts(&self.round.board, found.step);
        let (from, points) = (self.round.outlook.point_from(delay), self.round.outlook.points());
        if from >= points {
            return true;
        }
        let saved: f32 = shifts.into_iter().map(|shift| self.round.outlook.saving(shift, from, points).total).sum();
        saved >= -ROUNDING * known(self.round.board.view.nodes.capacity[shifts[0].node])
    }

    fn carry_out(&mut self, node: usize, found: Found) {
        let (shard, mean) = (found.step.shard(), self.evenness.mean());
        let (before, target) = (self.evenness.utilisation(node), self.evenness.utilisation(found.target));
        let view = self.round.board.view;
        let reason = match self.evenness.resource {
            None => format!(
                "{} is forecast to be {:.2} times as full as the mean, {} {:.2} times",
                self.round.board.node_name(node),
                before / mean,
                self.round.board.node_name(found.target),
                target / mean,
            ),
            Some(_) => format!(
                "{} is forecast to be {}, {} at {:.0} %",
                self.round.board.node_name(node),
                self.evenness.how_full(view, before),
                self.round.board.node_name(found.target),
                target * 100.0,
            ),
        };
        let (shifts, delay) = Outlook::shifts(&self.round.board, found.step);
        let from = self.round.outlook.point_from(delay);
        for shift in shifts {
            self.round.outlook.apply(shift, from);
        }
        for (slot, &holder) in self.round.board.replicas(shard).iter().enumerate() {
            if let Some(stock) = &mut self.stock[holder] {
                // It rests from now on.
                let level = self.evenness.level[shard * self.evenness.points + stock.at];
                stock.all -= self.evenness.share(&self.round.board, shard, slot == 0) * level;
            }
        }
        self.evenness.shift(node, shard, -found.share);
        self.evenness.shift(found.target, shard, found.share);
        if let Some(load) = &mut self.load {
            let share = load.goes_along(&self.round.board, found.step);
            load.shift(node, shard, -share);
            load.shift(found.target, shard, share);
        }
        for node in [node, found.target] {
            self.coolest.update(node, self.evenness.utilisation(node));
        }
        // What the fuller of the two nodes is relieved of, for the one step of its peak.
        let step_s = self.round.board.view.step_ms as f32 / 1_000.0;
        let gain = (before - found.fuller_after()) * known(view.nodes.capacity[node]) * step_s;
        let urgency = match self.evenness.resource {
            None => (before / mean - 1.0).clamp(0.0, 1.0),
            Some(_) => 1.0,
        };
        self.round.board.propose(found.step, urgency, gain.min(f32::MAX), 0, reason);
    }
}

/// Keeps a step in `best` if it is allowed, brings the fuller of the two nodes down enough, and more so than what is there.
fn try_target(
    round: &mut Round<'_, '_>,
    (evenness, load): (&Evenness, Option<&Evenness>),
    (node, target): (usize, usize),
    share: f32,
    step: Step,
    best: &mut Option<Found>,
) {
    if !evenness.up[target] || !round.board.allows(step) || !round.budget.spend() {
        return;
    }
    let source_after = evenness.utilisation_with(node, step.shard(), -share);
    let target_after = evenness.utilisation_with(target, step.shard(), share);
    let found = Found { step, target, share, source_after, target_after };
    let least_gain = round.config.even_min_gain * evenness.mean();
    let gain = evenness.utilisation(node) - found.fuller_after();
    let mut refused = Evenness::is_refused(&round.board, source_after, target_after);
    if let Some(load) = load {
        let share = load.goes_along(&round.board, step);
        let source_after = load.utilisation_with(node, step.shard(), -share);
        let target_after = load.utilisation_with(target, step.shard(), share);
        refused |= Evenness::is_refused(&round.board, source_after, target_after);
    }
    if gain > least_gain && !refused && best.is_none_or(|best| found.betters(&best)) {
        *best = Some(found);
    }
}

#[cfg(test)]
mod tests;
