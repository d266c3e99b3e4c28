use crate::shard::FEATURES;
use crate::terms::{LeadTerms, Terms};
use forecasting_kit::{Ring, Sums, Width};
use serde::{Deserialize, Serialize};

/// Offsets are summed up as whole numbers of this share of a usual size, so that the sum does not depend on the order of shards.
const UNIT: f32 = 1.0 / 1024.0;

/// Shards that share a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) crowd: Crowd,
    /// For each lead.
    models: Vec<Model>,
}

/// What is to be expected at a lead, or between two.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Model {
    /// Of each feature.
    pub(crate) shares: [f32; FEATURES],
    /// The powers of unrest and level that the width of errors goes with.
    pub(crate) powers: [f32; 2],
}

/// What a shard, or a cluster, has learnt of a lead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Learnt {
    pub(crate) shares: Sums,
    pub(crate) width: Width,
}

impl Model {
    pub(crate) fn is_sound(&self) -> bool {
        self.shares.iter().chain(&self.powers).all(|part| part.is_finite())
    }
}

impl Learnt {
    pub(crate) fn new(lead: &LeadTerms) -> Self {
        Self { shares: Sums::new(FEATURES), width: Width::new(lead.reach) }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.shares.add(&other.shares);
        self.width.add(&other.width);
    }

    pub(crate) fn fade(&mut self, share: f32) {
        self.shares.fade(share);
        self.width.fade(share);
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.shares.is_sound(FEATURES) && self.width.is_sound()
    }
}

/// What the shards of a cluster do, all together: their offsets at each step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    /// Sum, in [`UNIT`]s, and number of offsets at each step; a power of two of them.
    steps: Vec<(i32, u32)>,
    /// The step after the newest.
    next: u64,
}

impl Cluster {
    /// Before anything was learnt; the next step is `next`.
    pub(crate) fn new(terms: &Terms, next: u64) -> Self {
        let believed = |lead: &LeadTerms| Model { shares: lead.belief, powers: Width::new(lead.reach).powers() };
        let models = terms.leads.iter().map(believed).collect();
        Self { crowd: Crowd::new(terms.history_steps, next), models }
    }

    /// Fits the model of a lead to what all shards of the cluster have learnt.
    pub(crate) fn fit(&mut self, terms: &Terms, band: usize, mut learnt: Learnt, shards: usize) {
        if let (Some(lead), Some(model)) = (terms.leads.get(band), self.models.get_mut(band)) {
            // Shards of a cluster mostly go through the same, so that more of them say little more: beliefs weigh as beside one alone.
            let stiffness = lead.stiffness.map(|samples| samples * shards.max(1) as f32);
            learnt.shares.solve(&lead.belief, &stiffness, &mut model.shares);
            learnt.width.fit(lead.reach);
            model.powers = learnt.width.powers();
        }
    }

    /// The model of each lead.
    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// Whether fitting could have made it, standing at step `next`.
    pub(crate) fn is_sound(&self, terms: &Terms, next: u64) -> bool {
        self.models.len() == terms.leads.len()
            && self.models.iter().all(Model::is_sound)
            && self.crowd.steps.len() == terms.history_steps.max(1).next_power_of_two()
            && self.crowd.next == next
    }
}

impl Crowd {
    fn new(steps: usize, next: u64) -> Self {
        Self { steps: vec![(0, 0); steps.max(1).next_power_of_two()], next }
    }

    /// Begins a step, and those before it that were passed over.
    pub(crate) fn turn_to(&mut self, step: u64) {
        let oldest = (step + 1).saturating_sub(self.steps.len() as u64);
        for begun in self.next.max(oldest)..=step {
            let slot = self.slot(begun);
            self.steps[slot] = (0, 0);
        }
        self.next = self.next.max(step + 1);
    }

    /// Adds a shard's offset at a step begun.
    pub(crate) fn add(&mut self, step: u64, offset: f32) {
        if self.holds(step) && !offset.is_nan() {
            let slot = self.slot(step);
            let (sum, count) = &mut self.steps[slot];
            (*sum, *count) = (sum.saturating_add(in_units(offset)), count.saturating_add(1));
        }
    }

    /// The mean offset of the others at `origin`, and over the `hour` steps up to it; 0 where there were none. `own`: the shard's own.
    pub(crate) fn others(&self, origin: u64, hour: u64, own: &Ring) -> [f32; 2] {
        let (mut sum, mut count) = (0i64, 0i64);
        let mut now = 0.0;
        for step in (0..hour).filter_map(|ago| origin.checked_sub(ago)) {
            let (all, many) = if self.holds(step) { self.steps[self.slot(step)] } else { (0, 0) };
            let mine = own.at(step);
            let (mine, me) = if mine.is_nan() || many == 0 { (0, 0) } else { (in_units(mine), 1) };
            (sum, count) = (sum + i64::from(all) - i64::from(mine), count + i64::from(many) - me);
            if step == origin {
                now = mean(sum, count);
            }
        }
        [now, mean(sum, count)]
    }

    fn holds(&self, step: u64) -> bool {
        step < self.next && self.next - step <= self.steps.len() as u64
    }

    fn slot(&self, step: u64) -> usize {
        (step & (self.steps.len() as u64 - 1)) as usize
    }
}

fn in_units(offset: f32) -> i32 {
    (offset / UNIT) as i32
}

fn mean(sum: i64, count: i64) -> f32 {
    if count > 0 { sum as f32 * UNIT / count as f32 } else { 0.0 }
}
