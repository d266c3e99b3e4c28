//! Who answers: the policy, or the gate that it must not be worse than. Judged online, by what both said before and what then occurred.
//!
//! Now and then both forecasts are kept, at a few leads. When a step closes, each is charged its pinball loss (Koenker and Bassett 1978) there;
//! the sums fade. Where the policy's loss is above the gate's by a margin, the gate answers, until the policy's is below the gate's again.
//! Horizons are judged in bands, each for itself: who is best an hour ahead need not be so a day ahead.
//!
//! What it promises: follow-the-leader with a margin (Kalai and Vempala 2005 for the unfaded sums) loses little to the better of both as long as
//! their order is lasting: what it takes to see the order, and the margin. No more can be had from an order that turns at every step.

use isobar_model::{ForecastBatch, ForecastRequest, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Leads sampled of a band: as far apart as the errors of neighbouring steps are alike.
const LEADS_PER_BAND: u32 = 4;
/// Neither sum counts for more than so many times the other: however bad one was, three half-lives of being the better are enough.
const MOST_APART: f64 = 2.0;

/// How both are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardSpec {
    /// Quantiles of the forecasts, ascending. Judged are those from the median up: they are what capacity is planned for.
    pub quantiles: Vec<f32>,
    /// The last lead of each band, in steps, ascending; what lies beyond belongs to the last.
    pub band_ends: Vec<u32>,
    /// Forecasts are kept when the step's number is a multiple of this.
    pub every_steps: u32,
    /// Steps in which a loss fades to half its weight.
    pub half_life_steps: f32,
    /// Judged values, faded, before anyone is replaced.
    pub least_evidence: f64,
    /// The gate answers where the policy's loss is above so many times the gate's.
    pub leave_above: f64,
    /// The policy answers again where its loss is below so many times the gate's.
    pub return_below: f64,
}

impl GuardSpec {
    /// For a day of `day_steps` and forecasts `horizon` steps far. Bands end at an hour and at four hours of 5-minute steps, where forecasts are
    /// scored. Forecasts are kept twelve times a day: each band then has 48 judged values a day, and evidence enough after half of one.
    /// Three days to half the weight follow a change within a week, and hold some two hundred values. Equally good forecasters' losses
    /// over so many differ by the margin of 5 %; the way back wants none, since between equals it costs nothing.
    #[must_use]
    pub fn daily(quantiles: Vec<f32>, day_steps: u32, horizon: u32) -> Self {
        let horizon = horizon.max(1);
        let mut band_ends: Vec<u32> = [12, 48].into_iter().filter(|end| *end < horizon).collect();
        band_ends.push(horizon);
        Self {
            quantiles,
            band_ends,
            every_steps: (day_steps / 12).max(1),
            half_life_steps: 3.0 * day_steps.max(1) as f32,
            least_evidence: 24.0,
            leave_above: 1.05,
            return_below: 1.0,
        }
    }

    /// Whether forecasts made when `next_step` is the first step not closed are kept.
    #[must_use]
    pub fn keeps(&self, next_step: u64) -> bool {
        next_step.is_multiple_of(u64::from(self.every_steps.max(1)))
    }

    /// The leads that are judged, each with its band: the last of a band, and those at equal distances before it.
    fn leads(&self) -> Vec<(usize, u32)> {
        let mut leads = Vec::with_capacity(self.band_ends.len() * LEADS_PER_BAND as usize);
        let mut last = 0;
        for (band, &end) in self.band_ends.iter().enumerate() {
            let (start, width) = (last, end.saturating_sub(last));
            for part in 1..=LEADS_PER_BAND {
                let lead = start + (u64::from(width) * u64::from(part)).div_ceil(u64::from(LEADS_PER_BAND)) as u32;
                if lead > last {
                    leads.push((band, lead));
                    last = lead;
                }
            }
        }
        leads
    }

    fn band_of(&self, lead: u32) -> usize {
        self.band_ends.iter().position(|end| lead <= *end).unwrap_or(self.band_ends.len().saturating_sub(1))
    }

    /// Mean pinball loss of the judged quantiles; none where a value is not finite.
    fn loss(&self, values: &[f32], load: f64) -> Option<f64> {
        let from = self.quantiles.iter().position(|q| *q >= 0.5).unwrap_or(0);
        let (mut sum, mut count) = (0.0, 0.0);
        for (&q, &value) in self.quantiles.iter().zip(values).skip(from) {
            let (q, miss) = (f64::from(q), load - f64::from(value));
            sum += f64::max(q * miss, (q - 1.0) * miss);
            count += 1.0;
        }
        let mean = sum / count;
        mean.is_finite().then_some(mean)
    }
}

/// Who answers for a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answerer {
    /// The policy.
    #[default]
    Policy,
    /// The gate.
    Gate,
}

/// How a band of one shard stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BandStanding {
    /// Who answers.
    pub answerer: Answerer,
    /// The policy's faded sum of losses, in the load's unit.
    pub policy_loss: f64,
    /// The gate's.
    pub gate_loss: f64,
    /// Faded number of values judged.
    pub evidence: f64,
}

/// Both forecasts of one step, made some steps before it.
#[derive(Clone, Debug)]
struct Pending {
    made_at: u64,
    target: u64,
    band: usize,
    /// The policy's quantiles, then the gate's.
    values: Box<[f32]>,
}

/// One shard's: 35 pending forecasts of a day, with five quantiles some 3 KiB.
#[derive(Clone, Debug)]
struct Guard {
    bands: Vec<BandStanding>,
    /// For each lead at most one a kept step within its reach.
    pending: Vec<Pending>,
    /// The last step closed: sums fade by the steps since.
    closed: Option<u64>,
}

/// All shards' guards.
#[derive(Clone, Debug)]
pub struct Guards {
    spec: GuardSpec,
    leads: Vec<(usize, u32)>,
    shards: BTreeMap<ShardId, Guard>,
}

impl Guards {
    /// Guards that have seen nothing: the policy answers everywhere.
    #[must_use]
    pub fn new(spec: GuardSpec) -> Self {
        let leads = spec.leads();
        Self { spec, leads, shards: BTreeMap::new() }
    }

    /// How they judge.
    #[must_use]
    pub fn spec(&self) -> &GuardSpec {
        &self.spec
    }

    /// Keeps both forecasts, made when `next_step` was the first step not closed, if [`GuardSpec::keeps`] says so. A second forecast at the same
    /// step replaces the first. What does not fit the request or the spec's quantiles is not kept.
    pub fn expect(&mut self, next_step: u64, request: &ForecastRequest, policy: &ForecastBatch, gate: &ForecastBatch) {
        let (quantiles, horizon) = (request.quantiles.len(), request.horizon as usize);
        let width = quantiles * horizon;
        let fits = |batch: &ForecastBatch| batch.values.len() == width * request.shards.len();
        if !self.spec.keeps(next_step) || request.quantiles != self.spec.quantiles || !fits(policy) || !fits(gate) {
            return;
        }
        for (row, &shard) in request.shards.iter().enumerate() {
            let guard = self.shards.entry(shard).or_insert_with(|| Guard {
                bands: vec![BandStanding::default(); self.spec.band_ends.len()],
                pending: Vec::new(),
                closed: None,
            });
            // Steps that never close leave none behind either.
            guard.pending.retain(|pending| pending.made_at < next_step && pending.target >= next_step);
            for &(band, lead) in self.leads.iter().filter(|(_, lead)| *lead as usize <= horizon) {
                let step = lead as usize - 1;
                let of = |batch: &ForecastBatch| {
                    let paths = &batch.values[row * width..(row + 1) * width];
                    (0..quantiles).map(|q| paths[q * horizon + step]).collect::<Vec<_>>()
                };
                let values = [of(policy), of(gate)].concat().into_boxed_slice();
                guard.pending.push(Pending { made_at: next_step, target: next_step + step as u64, band, values });
            }
        }
    }

    /// Judges all forecasts of `step`, now that it is closed. A load that is not finite is missing: nobody is judged by it.
    pub fn occurred(&mut self, step: u64, load: impl Fn(ShardId) -> f32) {
        for (&shard, guard) in &mut self.shards {
            guard.occurred(&self.spec, step, f64::from(load(shard)));
        }
    }

    /// Who answers for this shard so many steps ahead.
    #[must_use]
    pub fn answerer(&self, shard: ShardId, lead: u32) -> Answerer {
        self.standing(shard).get(self.spec.band_of(lead)).map_or(Answerer::default(), |band| band.answerer)
    }

    /// How the shard's bands stand; empty where nothing was ever expected of it.
    #[must_use]
    pub fn standing(&self, shard: ShardId) -> &[BandStanding] {
        self.shards.get(&shard).map_or(&[], |guard| &guard.bands)
    }

    /// The policy's answer with the gate's in its place where the gate answers. Of one step all quantiles are of one of them, so that they stay
    /// in order; the peak is whose the last of its steps is. Both batches must fit the request.
    #[must_use]
    pub fn answer(&self, request: &ForecastRequest, policy: &ForecastBatch, gate: &ForecastBatch) -> ForecastBatch {
        let (quantiles, horizon) = (request.quantiles.len(), request.horizon as usize);
        let mut answer = policy.clone();
        for (row, &shard) in request.shards.iter().enumerate() {
            let Some(guard) = self.shards.get(&shard) else { continue };
            let mut start = 0;
            for (band, standing) in guard.bands.iter().enumerate() {
                let is_last = band + 1 == guard.bands.len();
                let end = if is_last { horizon } else { horizon.min(self.spec.band_ends[band] as usize) };
                if standing.answerer == Answerer::Gate {
                    for q in 0..quantiles {
                        let path = (row * quantiles + q) * horizon;
                        answer.values[path + start..path + end].copy_from_slice(&gate.values[path + start..path + end]);
                    }
                }
                start = end;
            }
            if !answer.peaks.is_empty() && self.answerer(shard, request.peak_steps) == Answerer::Gate {
                let peaks = row * quantiles..(row + 1) * quantiles;
                answer.peaks[peaks.clone()].copy_from_slice(&gate.peaks[peaks]);
            }
        }
        answer
    }

    /// Drops the shards that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(ShardId) -> bool) {
        self.shards.retain(|shard, _| keep(*shard));
    }
}

impl Guard {
    fn occurred(&mut self, spec: &GuardSpec, step: u64, load: f64) {
        let passed = self.closed.map_or(0, |closed| step.saturating_sub(closed));
        self.closed = Some(step.max(self.closed.unwrap_or(step)));
        let fade = 0.5f64.powf(passed as f64 / f64::from(spec.half_life_steps.max(1.0)));
        for band in &mut self.bands {
            band.policy_loss *= fade;
            band.gate_loss *= fade;
            band.evidence *= fade;
        }
        for pending in self.pending.iter().filter(|pending| pending.target == step && load.is_finite()) {
            let (policy, gate) = pending.values.split_at(spec.quantiles.len());
            if let (Some(ours), Some(theirs)) = (spec.loss(policy, load), spec.loss(gate, load)) {
                let band = &mut self.bands[pending.band];
                band.policy_loss += ours;
                band.gate_loss += theirs;
                band.evidence += 1.0;
            }
        }
        self.pending.retain(|pending| pending.target > step);
        for band in &mut self.bands {
            let (policy, gate) = (band.policy_loss, band.gate_loss);
            band.policy_loss = policy.min(MOST_APART * gate.max(f64::MIN_POSITIVE));
            band.gate_loss = gate.min(MOST_APART * policy.max(f64::MIN_POSITIVE));
            band.answerer = match band.answerer {
                Answerer::Policy if band.evidence >= spec.least_evidence => {
                    if band.policy_loss > spec.leave_above * band.gate_loss { Answerer::Gate } else { Answerer::Policy }
                }
                Answerer::Gate if band.policy_loss < spec.return_below * band.gate_loss => Answerer::Policy,
                unchanged @ (Answerer::Policy | Answerer::Gate) => unchanged,
            };
        }
    }
}

#[cfg(test)]
mod tests;
