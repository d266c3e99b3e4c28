//! The first goal: steps that relieve nodes with expected overload, the best first.
//!
//! Each node keeps what it could give away, by what that would relieve it of, until its own outlook changes; and the best step known, until
//! that of the target changes, too. What the target then suffers only takes from the relief: so what relieves most is tried first, on the coolest
//! targets, and the rest is left out once it can't be better. Among large numbers of nodes only the coolest are looked at as targets; a node
//! that was just relieved is then no new target for the others' known steps: whoever had to be relieved is seldom among the coolest.

use crate::coolest::Coolest;
use crate::outlook::{Outlook, Saving, Shift};
use crate::search::Round;
use isobar_model::InstantMs;
use placing_kit::{Board, Step};

/// Moves of the last half-day make further ones dearer.
const HALF_A_DAY_MS: u64 = 12 * 3_600_000;
/// Savings remembered: at least, and at most (28 bytes each).
const REMEMBERED: (usize, usize) = (1 << 12, 1 << 18);

#[derive(Clone, Copy, Debug)]
struct Candidate {
    step: Step,
    shifts: [Shift; 2],
    from: usize,
    saving: Saving,
}

/// A replica that a node could give away, or a lead that it could hand over.
#[derive(Clone, Copy, Debug)]
struct Offer {
    shard: usize,
    slot: usize,
    /// What the node itself would be saved.
    relief: Saving,
}

/// What the search knows of a node, for leader transfers and for moves of data.
#[derive(Clone, Debug, Default)]
struct Known {
    /// By total relief, the most first; none: to be found out.
    offers: [Option<Vec<Offer>>; 2],
    best: [Best; 2],
}

#[derive(Clone, Copy, Debug, Default)]
enum Best {
    #[default]
    Stale,
    Of(Option<Candidate>),
}

/// Indices of both kinds of steps.
const LEAD: usize = 0;
const DATA: usize = 1;

#[derive(Debug)]
struct Search<'s, 'a, 'v> {
    round: &'s mut Round<'a, 'v>,
    coolest: Coolest,
    known: Vec<Known>,
    memory: Memory,
    /// Shards moved in the last half-day, before this round.
    lately: usize,
    step_s: f32,
}

/// Proposes what pays, until `last` moves are proposed in all.
pub(crate) fn relieve(round: &mut Round<'_, '_>, last: usize) {
    let (board, view) = (&round.board, round.board.view);
    let lately = |moved: &&InstantMs| **moved != InstantMs(0) && view.now.since_ms(**moved) < HALF_A_DAY_MS;
    let mut search = Search {
        coolest: Coolest::new(board, round.config.targets, |node| round.outlook.utilisation(node)),
        known: vec![Known::default(); board.nodes()],
        memory: Memory::new(board),
        lately: view.shards.last_moved.iter().filter(lately).count(),
        step_s: view.step_ms as f32 / 1_000.0,
        round,
    };
    while search.round.board.has_room() && search.round.board.proposed() < last {
        let Some(best) = search.best() else { break };
        search.carry_out(best);
    }
}

impl Search<'_, '_, '_> {
    /// The step that saves most beyond its price.
    fn best(&mut self) -> Option<Candidate> {
        let per_step = self.dearness() / self.step_s;
        let prices = [self.round.config.transfer_price_s * per_step, self.round.config.move_price_s * per_step];
        let mut best: Option<(f32, Candidate)> = None;
        let mut consider = |found: Candidate, price: f32| {
            let net = found.saving.total - price;
            if best.is_none_or(|(most, _)| net > most) {
                best = Some((net, found));
            }
            best.map_or(0.0, |(net, _)| net)
        };
        let (mut most, mut stale) = (0.0, Vec::new());
        for node in 0..self.round.board.nodes() {
            let expected = self.round.outlook.expected(node, 0);
            for kind in [LEAD, DATA] {
                let price = prices[kind] * self.round.board.view.nodes.capacity[node];
                match self.known[node].best[kind] {
                    _ if expected <= price => {}
                    Best::Of(None) => {}
                    // As prices rise, a step that paid soon enough may no longer do.
                    Best::Of(Some(found)) if found.saving.soon >= price => most = consider(found, price),
                    Best::Of(Some(_)) | Best::Stale => stale.push((expected - price, node, kind, price)),
                }
            }
        }
        // The most to save first, so that a small budget is spent where it helps.
        stale.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (at_most, node, kind, price) in stale {
            // Where no step could be better than the best, it may be later.
            self.known[node].best[kind] = Best::Stale;
            if at_most > most && !self.is_spent() {
                let found = self.look_at(node, kind, price);
                most = found.map_or(most, |found| consider(found, price));
                self.known[node].best[kind] = Best::Of(found);
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// The other half of the budget is for evenness.
    fn is_spent(&self) -> bool {
        self.round.budget.left() <= self.round.config.budget / 2
    }

    /// The best step of a kind that relieves a node, at this price.
    fn look_at(&mut self, source: usize, kind: usize, price: f32) -> Option<Candidate> {
        let offers = match self.known[source].offers[kind].take() {
            Some(offers) => offers,
            None => self.offers(source, kind, price),
        };
        let mut best: Option<Candidate> = None;
        let mut targets: Vec<usize> =
            if kind == DATA && !offers.is_empty() { self.coolest.targets(source).collect() } else { Vec::new() };
        if self.coolest.all_looked_at() {
            targets.sort_unstable();
        }
        for offer in &offers {
            let least = best.map_or(price, |best| best.saving.total);
            if offer.relief.total <= least || self.is_spent() {
                break;
            }
            if offer.relief.soon < price || !self.round.board.may_move(offer.shard) {
                continue;
            }
            let shard = offer.shard;
            if kind == LEAD {
                for slot in 1..self.round.board.replicas(shard).len() {
                    self.judge(Step::Lead { shard, slot }, offer, price, &mut best);
                }
                continue;
            }
            for &target in &targets {
                if self.judge(Step::Relocate { shard, slot: offer.slot, target }, offer, price, &mut best) {
                    break;
                }
            }
        }
        self.known[source].offers[kind] = Some(offers);
        best
    }

    /// What a node could give away, the most relief first.
    fn offers(&mut self, source: usize, kind: usize, price: f32) -> Vec<Offer> {
        let mut offers = Vec::new();
        let (outlook, leader_steps) = (&self.round.outlook, self.round.board.view.limits.leader_steps);
        if kind == LEAD && outlook.point_from(leader_steps) >= outlook.points() {
            return offers;
        }
        for shard in self.round.movable(source) {
            let board = &self.round.board;
            let Some(slot) = board.replicas(shard).iter().position(|&node| node == source) else { continue };
            // Any target will do: what the source is saved does not depend on it.
            let step = match kind {
                LEAD if slot == 0 && board.replicas(shard).len() > 1 => Step::Lead { shard, slot: 1 },
                LEAD => continue,
                _ => Step::Relocate { shard, slot, target: source },
            };
            let (shifts, from, until) = self.effect(step);
            if from >= self.round.outlook.points() || self.round.outlook.expected(source, from) <= price {
                continue;
            }
            if !self.round.budget.spend() {
                break;
            }
            let relief = self.round.outlook.saving(shifts[0], from, until);
            if relief.total > price && relief.soon >= price {
                offers.push(Offer { shard, slot, relief });
            }
        }
        offers.sort_by(|a, b| b.relief.total.total_cmp(&a.relief.total));
        offers
    }

    /// The shifts of a step, and the points from which it takes effect and until which it must have paid.
    fn effect(&self, step: Step) -> ([Shift; 2], usize, usize) {
        let (shifts, delay) = Outlook::shifts(&self.round.board, step);
        let patience = self.round.config.patience_steps as f32;
        (shifts, self.round.outlook.point_from(delay), self.round.outlook.point_from(delay + patience))
    }

    /// Keeps a step in `best` if it is allowed, saves more, and its price soon. Whether no other target could be better.
    fn judge(&mut self, step: Step, offer: &Offer, price: f32, best: &mut Option<Candidate>) -> bool {
        if !self.round.board.allows(step) {
            return false;
        }
        let (shifts, from, until) = self.effect(step);
        let kind = match step {
            Step::Lead { .. } => 0,
            Step::Relocate { slot, .. } => 1 + u8::from(slot > 0),
        };
        self.round.budget.spend();
        let outlook = &self.round.outlook;
        let cost = self.memory.saving(shifts[1], kind, || outlook.saving(shifts[1], from, until));
        let saving = Saving { soon: offer.relief.soon + cost.soon, total: offer.relief.total + cost.total };
        let least = best.map_or(price, |best| best.saving.total);
        if saving.total > least && saving.soon >= price {
            *best = Some(Candidate { step, shifts, from, saving });
        }
        cost.total >= 0.0
    }

    /// How many times their price moves cost: the more shards have moved lately, the more a further one must save. A placer that sees reason to
    /// move ever more is more likely to be wrong than to be unlucky.
    fn dearness(&self) -> f32 {
        let moved = self.lately + self.round.board.proposed();
        let used = moved as f32 / (self.round.config.allowance * self.round.board.shards().max(1) as f32);
        1.0 + used * used
    }

    fn carry_out(&mut self, best: Candidate) {
        let (board, outlook) = (&mut self.round.board, &mut self.round.outlook);
        let [source, target] = best.shifts;
        let capacity = board.view.nodes.capacity[source.node];
        let over = outlook.first_over(source.node, best.from, 0.0).unwrap_or(best.from);
        let reason = format!(
            "{} is expected to be over its capacity by up to {:.0} load units per second within {} steps; {} has room; saves {:.0} node-seconds",
            board.node_name(source.node),
            (outlook.peak(source.node, best.from).1 - capacity).max(0.0),
            outlook.start(over),
            board.node_name(target.node),
            best.saving.total * self.step_s / capacity.max(f32::MIN_POSITIVE),
        );
        for shift in best.shifts {
            outlook.apply(shift, best.from);
            self.memory.forget(shift.node);
            self.coolest.update(shift.node, outlook.utilisation(shift.node));
            self.known[shift.node] = Known::default();
            self.round.busy[shift.node] = true;
        }
        board.propose(best.step, 1.0, best.saving.total * self.step_s, 0, reason);
        let (all, shard) = (self.coolest.all_looked_at(), best.step.shard());
        for best in self.known.iter_mut().flat_map(|known| &mut known.best) {
            let touched = match best {
                Best::Of(Some(found)) => {
                    let to = found.shifts[1].node;
                    found.step.shard() == shard || to == source.node || to == target.node
                }
                Best::Of(None) | Best::Stale => false,
            };
            if all || touched {
                *best = Best::Stale;
            }
        }
    }
}

/// What shifts save, remembered until their node's outlook changes. Bounded: of two that share a place the later one stays.
#[derive(Debug)]
struct Memory {
    /// How often each node has changed.
    changes: Vec<u32>,
    places: Vec<Option<Remembered>>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    shard: u32,
    node: u32,
    /// Tells apart the shifts of one shard at one node.
    kind: u8,
    changes: u32,
    saving: Saving,
}

impl Memory {
    fn new(board: &Board<'_>) -> Self {
        let wanted = board.shards().saturating_mul(32).next_power_of_two();
        Self { changes: vec![0; board.nodes()], places: vec![None; wanted.clamp(REMEMBERED.0, REMEMBERED.1)] }
    }

    fn forget(&mut self, node: usize) {
        self.changes[node] += 1;
    }

    fn saving(&mut self, shift: Shift, kind: u8, work: impl FnOnce() -> Saving) -> Saving {
        let (shard, node, changes) = (shift.shard as u32, shift.node as u32, self.changes[shift.node]);
        // Fibonacci hashing: the upper bits of the product are well mixed.
        let key = (u64::from(shard) << 24) ^ (u64::from(node) << 3) ^ u64::from(kind);
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let place = mixed as usize & (self.places.len() - 1);
        match self.places[place] {
            Some(known) if (known.shard, known.node, known.kind, known.changes) == (shard, node, kind, changes) => {
                known.saving
            }
            Some(_) | None => {
                let saving = work();
                self.places[place] = Some(Remembered { shard, node, kind, changes, saving });
                saving
            }
        }
    }
}
