use crate::power::{exp2, log2};
use crate::ridge::Ridge;
use forecasting_kit::Bands;
use serde::{Deserialize, Serialize};

/// An error of no size at all is taken for this many usual ones, so that it has a logarithm.
const LEAST_ERROR: f32 = 0.1;
/// One of more than so many usual ones is an accident.
const MOST_ERROR: f32 = 20.0;
/// The level is told from nothing, and from the usual one, no finer than this share of the usual level.
const LEAST_LEVEL: f32 = 1.0;
/// How much of the present unrest is believed, beforehand, to be there one step later; with the logarithm of the lead it goes down to none a
/// day later.
const BELIEVED_UNREST: f32 = 0.7;
/// Samples that the beliefs weigh as much as: that errors follow the unrest, and that they do not follow the level.
const STIFFNESS: [f32; FEATURES] = [1.0, 28.0, 140.0];
/// Of a day ahead, so much less of what was learnt of the unrest is used than of one step ahead.
const UNREST_LOST_IN_A_DAY: f32 = 0.7;
/// A constant, the unrest, the level.
const FEATURES: usize = 3;

/// How wide errors at one lead are: as usual at that time of day, times a power of how restless the series is at present, times a power
/// of the level expected. The powers are learnt by regression of the errors' logarithms (a variance function after R. J. Carroll and
/// D. Ruppert, "Transformation and weighting in regression", 1988): a power of 1 of the level is what a logarithm of the load would
/// stabilise, one half a square root, none the load as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Width {
    fit: Ridge,
    /// What the fit says: the powers of unrest and level.
    powers: [f32; 2],
}

impl Width {
    pub(crate) fn new(bands: &Bands, lead: u64) -> Self {
        let mut width = Self { fit: Ridge::new(FEATURES), powers: [0.0; 2] };
        width.set(bands, lead);
        width
    }

    /// What to multiply the usual size with, as a logarithm: of `unrest` and `level`, each a logarithm too.
    pub(crate) fn widening(&self, unrest: f32, level: f32) -> f32 {
        self.powers[0] * unrest + self.powers[1] * level
    }

    /// Learns from an error, in usual sizes.
    pub(crate) fn learn(&mut self, bands: &Bands, lead: u64, error: f32, unrest: f32, level: f32) {
        let size = log2(error.abs().min(MOST_ERROR) + LEAST_ERROR);
        let left = size - believed(bands, lead) * unrest;
        self.fit.learn(&[1.0, unrest, level], left, bands.keep());
    }

    pub(crate) fn fit(&mut self, bands: &Bands, lead: u64) {
        self.fit.fit(&STIFFNESS);
        self.set(bands, lead);
    }

    fn set(&mut self, bands: &Bands, lead: u64) {
        let kept = 1.0 - UNREST_LOST_IN_A_DAY * lead as f32 / bands.day() as f32;
        let unrest = believed(bands, lead) + self.fit.correction(1);
        self.powers = [unrest.clamp(0.0, 1.0) * kept, self.fit.correction(2).clamp(0.0, 1.0)];
    }

    pub(crate) fn fade(&mut self, share: f32) {
        self.fit.fade(share);
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.fit.is_sound(FEATURES) && self.powers.iter().all(|power| (0.0..=1.0).contains(power))
    }
}

/// The power of the unrest before anything was seen.
fn believed(bands: &Bands, lead: u64) -> f32 {
    BELIEVED_UNREST * (1.0 - log2(lead as f32) / log2(bands.day() as f32 + 1.0)).clamp(0.0, 1.0)
}

/// The logarithm of a mean of errors in usual sizes.
pub(crate) fn unrest(mean: f32) -> f32 {
    log2(mean.clamp(0.0, MOST_ERROR) + LEAST_ERROR)
}

/// The logarithm of an expected level, in `usual` ones.
pub(crate) fn level(expected: f32, usual: f32) -> f32 {
    let usual = usual.max(1e-9);
    let least = LEAST_LEVEL * usual;
    log2((expected.clamp(0.0, 8.0 * usual) + least) / (usual + least))
}

/// From the logarithm back.
pub(crate) fn widened(size: f32, widening: f32) -> f32 {
    size * exp2(widening)
}
