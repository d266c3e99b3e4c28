use crate::target::FEATURES;
use forecasting_kit::{Bands, Reach, Ridge, Spot, Width, exp2, log2};
use serde::{Deserialize, Serialize};

/// The feature whose going on is believed in beforehand: the offset over about two steps.
const CARRIED: usize = 1;
/// Samples that the belief about each feature weighs as much as: offsets, guesses, offsets of earlier hours.
const STIFFNESS: [f32; FEATURES] = [9.0, 9.0, 9.0, 9.0, 40.0, 40.0, 40.0, 40.0, 20.0, 20.0];
/// Samples nearer to each other than the lead say much the same: for each such one, beliefs weigh so much more.
const ALIKE: f32 = 0.4;
/// Days after which a sample counts half, in those configured: of the next step, and of a day ahead. The farther ahead, the fewer samples
/// are independent, and the longer they must be kept.
const HALF_LIVES: (f32, f32) = (0.5, 1.2);
/// In the regression, a feature or an error of more usual errors than this is taken for this one.
const LIMIT: f32 = 6.0;

/// What one lead has learnt: how much of each feature is to be expected, and how wide the errors are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lead {
    ridge: Ridge,
    width: Width,
}

/// A forecast that has come true, all in usual sizes but the last two.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) features: [f32; FEATURES],
    /// How far the load was above what the season expected.
    pub(crate) surprise: f32,
    /// How far it was above what was expected in all.
    pub(crate) error: f32,
    /// As [`Width`] takes them.
    pub(crate) unrest: f32,
    pub(crate) level: f32,
}

/// What is to be used of a lead, or between two.
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) features: [f32; FEATURES],
    /// Of the unrest and of the level.
    pub(crate) powers: [f32; 2],
}

/// What is believed beforehand: an offset is there at first, half gone after the root of a day's steps, and gone in a day.
fn belief(reach: Reach) -> [f32; FEATURES] {
    let mut belief = [0.0; FEATURES];
    belief[CARRIED] = 1.0 - reach.log_share;
    belief
}

impl Lead {
    /// Before anything was seen.
    pub(crate) fn new(day: u64, lead: u64) -> Self {
        let reach = Reach::new(day, lead);
        Self { ridge: Ridge::new(&belief(reach)), width: Width::new(reach) }
    }

    /// The share of its weight that a sample keeps until the next one.
    pub(crate) fn keep(bands: &Bands, reach: Reach) -> f32 {
        let half_life = HALF_LIVES.0 + reach.log_share * (HALF_LIVES.1 - HALF_LIVES.0);
        exp2(log2(bands.keep()) / half_life)
    }

    /// Takes in what came true; older samples keep the share `keep` of their weight.
    pub(crate) fn learn(&mut self, reach: Reach, sample: &Sample, keep: f32) {
        let limited = |value: f32| value.clamp(-LIMIT, LIMIT);
        self.ridge.learn(&sample.features.map(limited), limited(sample.surprise), &belief(reach), keep);
        self.width.learn(reach, sample.error, sample.unrest, sample.level, keep);
    }

    /// Fits anew.
    pub(crate) fn fit(&mut self, bands: &Bands, reach: Reach) {
        let alike = 1.0 + ALIKE * reach.share * bands.samples_a_day() as f32;
        self.ridge.fit(&belief(reach), &STIFFNESS.map(|samples| samples * alike));
        self.width.fit(reach);
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub(crate) fn fade(&mut self, share: f32) {
        self.ridge.fade(share);
        self.width.fade(share);
    }

    /// Whether learning could have made it.
    pub(crate) fn is_sound(&self) -> bool {
        self.ridge.is_sound(FEATURES) && self.width.is_sound()
    }
}

impl Shares {
    /// At `spot`: between its lead and the next one, in proportion.
    pub(crate) fn at(leads: &[Lead], spot: Spot) -> Self {
        let mut shares = Self { features: [0.0; FEATURES], powers: [0.0; 2] };
        let Some(low) = leads.get(spot.band) else { return shares };
        // Beyond the last there is none to go to, and no way to go.
        let high = leads.get(spot.band + 1).unwrap_or(low);
        let between = |low: f32, high: f32| low + spot.share * (high - low);
        let coefficients = low.ridge.coefficients().iter().zip(high.ridge.coefficients());
        for (share, (low, high)) in shares.features.iter_mut().zip(coefficients) {
            *share = between(*low, *high);
        }
        let powers = low.width.powers().into_iter().zip(high.width.powers());
        for (power, (low, high)) in shares.powers.iter_mut().zip(powers) {
            *power = between(low, high);
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_was_seen_an_offset_fades_over_a_day() {
        let leads: Vec<_> = [1, 16, 288].into_iter().map(|lead| Lead::new(288, lead)).collect();
        let carried = |band, share| Shares::at(&leads, Spot { band, share }).features[CARRIED];
        assert_eq!(carried(0, 0.0), 1.0);
        assert!((0.4..0.6).contains(&carried(1, 0.0)), "{}", carried(1, 0.0));
        assert!((carried(0, 0.5) - f32::midpoint(carried(0, 0.0), carried(1, 0.0))).abs() < 1e-6);
        assert!(carried(2, 0.0) < 0.01);
        let shares = Shares::at(&leads, Spot { band: 0, share: 0.0 });
        assert_eq!(shares.features.iter().filter(|share| **share != 0.0).count(), 1);
    }

    #[test]
    fn the_next_step_is_forgotten_sooner_than_the_next_day() {
        let bands = Bands::new(288, 5.0);
        let keep = |lead| Lead::keep(&bands, Reach::new(288, lead));
        assert!(keep(1) < keep(16) && keep(16) < keep(288) && keep(288) < 1.0);
    }
}
