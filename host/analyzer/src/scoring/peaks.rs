//! Peaks that came higher than was feared.

use super::ScorerSpec;
use isobar_model::ShardId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How often a peak was missed: the maximum of a window was above the highest quantile forecast of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeakScore {
    /// Steps of a window.
    pub steps: u32,
    /// The quantile of the maximum that was to hold; a share of misses of one less it is perfect.
    pub quantile: f32,
    /// Share of the windows whose maximum was above it; none before anything was scored.
    pub misses: Option<f64>,
    /// Windows scored so far: of one shard as many as ended, of all the sum over them.
    pub windows: u64,
}

/// What is waited for of one window of all shards.
#[derive(Clone, Debug)]
struct Window {
    /// First step.
    from: u64,
    /// First step after it.
    to: u64,
    /// The first step in it that was not told yet: windows with gaps are not judged.
    next: u64,
    shards: Vec<ShardId>,
    feared: Vec<f32>,
    highest: Vec<f32>,
}

/// Misses and windows, faded; and windows, not faded.
#[derive(Clone, Copy, Debug, Default)]
struct Misses {
    missed: f32,
    weight: f32,
    windows: u32,
}

impl Misses {
    fn note(&mut self, missed: bool, fade: f32) {
        self.missed = self.missed * fade + f32::from(u8::from(missed));
        self.weight = self.weight * fade + 1.0;
        self.windows = self.windows.saturating_add(1);
    }
}

/// Keeps forecasts of peaks until their window is through: 16 bytes a shard for each step of it, and 12 a shard for its figures.
#[derive(Clone, Debug, Default)]
pub(super) struct PeakScorer {
    /// Steps of the windows being scored.
    steps: u32,
    windows: VecDeque<Window>,
    shards: BTreeMap<ShardId, Misses>,
    /// Over all shards, faded by the step.
    missed: f64,
    weight: f64,
    judged: u64,
}

impl PeakScorer {
    pub(super) fn expect(
        &mut self,
        spec: &ScorerSpec,
        next_step: u64,
        shards: &[ShardId],
        peak_steps: u32,
        peaks: &[f32],
    ) {
        let quantiles = spec.quantiles.len();
        if peak_steps == 0 || quantiles == 0 || peaks.len() != shards.len() * quantiles {
            return;
        }
        if self.steps != peak_steps {
            // Another length is another promise.
            *self = Self { steps: peak_steps, ..Self::default() };
        }
        // At most one a step that the window is long; later ones are of a clock that was set back.
        self.windows.retain(|window| window.from < next_step && window.to > next_step);
        let feared = peaks.chunks_exact(quantiles).filter_map(|of| of.last().copied()).collect();
        let to = next_step.saturating_add(u64::from(peak_steps));
        let highest = vec![f32::NEG_INFINITY; shards.len()];
        let shards = shards.to_vec();
        self.windows.push_back(Window { from: next_step, to, next: next_step, shards, feared, highest });
    }

    pub(super) fn occurred(&mut self, spec: &ScorerSpec, step: u64, load: &impl Fn(ShardId) -> f32) {
        self.windows.retain(|window| window.to > step && window.next >= step);
        for window in self.windows.iter_mut().filter(|window| window.next == step) {
            window.next = step + 1;
            for (&shard, highest) in window.shards.iter().zip(&mut window.highest) {
                let load = load(shard);
                // A gap stays: `max` would pass over it.
                let is_whole = load.is_finite() && !highest.is_nan();
                *highest = if is_whole { highest.max(load) } else { f32::NAN };
            }
        }
        let fade = 0.5f64.powf(1.0 / f64::from(spec.half_life_steps.max(1.0)));
        while let Some(window) = self.windows.front().filter(|window| window.next == window.to) {
            self.missed *= fade;
            self.weight *= fade;
            for ((&shard, &feared), &highest) in window.shards.iter().zip(&window.feared).zip(&window.highest) {
                if !feared.is_finite() || !highest.is_finite() {
                    continue;
                }
                let missed = highest > feared;
                self.missed += f64::from(u8::from(missed));
                self.weight += 1.0;
                self.judged += 1;
                self.shards.entry(shard).or_default().note(missed, fade as f32);
            }
            self.windows.pop_front();
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(ShardId) -> bool) {
        self.shards.retain(|shard, _| keep(*shard));
    }

    pub(super) fn score(&self, spec: &ScorerSpec, shard: Option<ShardId>) -> Option<PeakScore> {
        let quantile = *spec.quantiles.last()?;
        let (missed, weight, windows) = match shard {
            None => (self.missed, self.weight, self.judged),
            Some(shard) => {
                let of = self.shards.get(&shard)?;
                (f64::from(of.missed), f64::from(of.weight), u64::from(of.windows))
            }
        };
        let misses = (weight > 0.0).then(|| missed / weight);
        (self.steps > 0).then_some(PeakScore { steps: self.steps, quantile, misses, windows })
    }

    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        self.windows.len()
    }
}
