//! How wide errors are, by the present unrest and the level expected.

use crate::power::{exp2, log2};
use crate::ridge::Sums;
use serde::{Deserialize, Serialize};

/// An error of no size at all is taken for so many usual ones, so that it has a logarithm.
const LEAST_ERROR: f32 = 0.1;
/// One of more than so many usual ones is an accident.
const MOST_ERROR: f32 = 20.0;
/// A level counts as so many usual ones more than it is: what is near nothing is not told apart.
const LEVEL_OFFSET: f32 = 1.0;
/// A level above so many usual ones is taken for so many.
const MOST_LEVEL: f32 = 8.0;
/// No usual level is less, so that there is always something to divide by.
const LEAST_USUAL: f32 = 1e-6;
/// How much of the present unrest is believed, beforehand, to be there one step later.
const BELIEVED_UNREST: f32 = 0.7;
/// Samples that the beliefs weigh as much as: about the constant, that errors follow the unrest, and that they do not follow the level.
const STIFFNESS: [f32; FEATURES] = [1.0, 28.0, 140.0];
/// Of a day ahead, so much less of what was learnt of the unrest is used than of the next step: it is learnt from few independent samples.
const UNREST_DISTRUST: f32 = 0.7;
/// A constant, the unrest, the level.
const FEATURES: usize = 3;

/// How far a lead is on the way from the next step (0) to a day (1): in steps, and in their logarithm.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// In steps.
    pub share: f32,
    /// In their logarithm.
    pub log_share: f32,
}

impl Reach {
    /// Of `lead`, with days of `day` steps.
    #[must_use]
    pub fn new(day: u64, lead: u64) -> Self {
        let log_share = log2(lead.max(1) as f32) / log2(day as f32 + 1.0);
        Self { share: (lead as f32 / day as f32).min(1.0), log_share: log_share.clamp(0.0, 1.0) }
    }
}

/// How wide errors at one lead are: as usual at that time of day, times a power of how restless the series is at present, times a power
/// of the level expected. The powers, within 0 to 1, are learnt by regression of the errors' logarithms (a variance function: R. J.
/// Carroll and D. Ruppert, "Transformation and weighting in regression", 1988). A power 1 of the level is what a logarithm of the load
/// would stabilise, 1/2 what a square root would.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Width {
    sums: Sums,
    unrest: f32,
    level: f32,
}

/// What is believed beforehand: that the unrest goes on for the next steps, the less the farther ahead, and that the level has no part in it.
fn belief(reach: Reach) -> [f32; FEATURES] {
    [0.0, BELIEVED_UNREST * (1.0 - reach.log_share), 0.0]
}

impl Width {
    /// Before anything was seen.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        let mut width = Self { sums: Sums::new(FEATURES), unrest: 0.0, level: 0.0 };
        width.fit(reach);
        width
    }

    /// The powers of unrest and level.
    #[must_use]
    pub fn powers(&self) -> [f32; 2] {
        [self.unrest, self.level]
    }

    /// Learns from an error, in usual sizes, made at this [`unrest`] and [`level`].
    pub fn learn(&mut self, reach: Reach, error: f32, unrest: f32, level: f32, keep: f32) {
        let size = log2(error.abs().min(MOST_ERROR) + LEAST_ERROR);
        self.sums.learn(&[1.0, unrest, level], size, &belief(reach), keep);
    }

    /// Takes in what another has seen of the same lead.
    pub fn add(&mut self, other: &Self) {
        self.sums.add(&other.sums);
    }

    /// Fits anew.
    pub fn fit(&mut self, reach: Reach) {
        let mut found = [0.0; FEATURES];
        self.sums.solve(&belief(reach), &STIFFNESS, &mut found);
        let [_, unrest, level] = found;
        self.unrest = unrest.clamp(0.0, 1.0) * (1.0 - UNREST_DISTRUST * reach.share);
        self.level = level.clamp(0.0, 1.0);
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub fn fade(&mut self, share: f32) {
        self.sums.fade(share);
    }

    /// Whether learning could have made it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sums.is_sound(FEATURES) && self.powers().iter().all(|power| (0.0..=1.0).contains(power))
    }
}

/// The unrest, as a logarithm, of a mean of errors in usual sizes.
#[must_use]
pub fn unrest(mean: f32) -> f32 {
    log2(mean.clamp(0.0, MOST_ERROR) + LEAST_ERROR)
}

/// A level, as a logarithm, in usual ones.
#[must_use]
pub fn level(expected: f32, usual: f32) -> f32 {
    let ratio = (expected / usual.max(LEAST_USUAL)).clamp(0.0, MOST_LEVEL);
    log2(ratio + LEVEL_OFFSET) - log2(1.0 + LEVEL_OFFSET)
}

/// A size times two to the power of `widening`.
#[must_use]
pub fn widened(size: f32, widening: f32) -> f32 {
    size * exp2(widening)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_that_errors_follow_is_found() {
        let reach = Reach::new(288, 16);
        let mut width = Width::new(reach);
        for i in 0..4000u32 {
            let load = 10.0 + (i % 90) as f32;
            let noise = 0.5 + (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0;
            let level = level(load, 55.0);
            width.learn(reach, 4.0 * noise * exp2(0.8 * level), unrest(1.0), level, 1.0);
        }
        width.fit(reach);
        assert!((0.6..0.9).contains(&width.powers()[1]), "{:?}", width.powers());
        assert!(width.is_sound());
    }

    #[test]
    fn before_anything_was_seen_unrest_is_believed_in_for_the_next_steps_only() {
        let near = Width::new(Reach::new(288, 1)).powers();
        let far = Width::new(Reach::new(288, 288)).powers();
        assert!(near[0] > 0.6 && far[0] < 0.01 && near[1] == 0.0 && far[1] == 0.0, "{near:?} {far:?}");
    }
}
