//! Shapes of load: what tenants' loads are multiplied by as time goes by. A group of tenants has any number of shapes, one after the other.
//!
//! Everything left to chance comes from the generator that a shape is given: one of its own for each group and shape, so that adding a shape
//! changes no other.

mod chance;
mod churn;
mod diurnal;
mod flash_crowd;
mod growth;
mod hot_spot;
mod noise;
mod random_walk;
mod skew_drift;
mod weekly;

pub use churn::Churn;
pub use diurnal::Diurnal;
pub use flash_crowd::FlashCrowd;
pub use growth::Growth;
pub use hot_spot::HotSpot;
pub use noise::Noise;
pub use random_walk::RandomWalk;
pub use skew_drift::SkewDrift;
pub use weekly::Weekly;

use crate::trace::DAY_STEPS;
use rand::rngs::StdRng;
use serde::Deserialize;

/// Steps of an hour.
const HOUR_STEPS: f64 = DAY_STEPS as f64 / 24.0;

/// When steps are. Step 0 is a Monday, 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Steps there are.
    pub steps: usize,
    /// The first step that is judged; those before it are history.
    pub window_start: usize,
}

impl Calendar {
    /// Hours from the beginning of the judged time to that of a step; negative in the history.
    #[must_use]
    pub fn hours_in(&self, step: usize) -> f64 {
        (step as f64 - self.window_start as f64) / HOUR_STEPS
    }

    /// Days from the first step.
    #[must_use]
    pub fn days(&self, step: usize) -> f64 {
        step as f64 / DAY_STEPS as f64
    }
}

/// What a group of tenants is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Shape {
    /// See [`Diurnal`].
    Diurnal(Diurnal),
    /// See [`Weekly`].
    Weekly(Weekly),
    /// See [`FlashCrowd`].
    FlashCrowd(FlashCrowd),
    /// See [`HotSpot`].
    HotSpot(HotSpot),
    /// See [`SkewDrift`].
    SkewDrift(SkewDrift),
    /// See [`Growth`].
    Growth(Growth),
    /// See [`Churn`].
    Churn(Churn),
    /// See [`RandomWalk`].
    RandomWalk(RandomWalk),
    /// See [`Noise`].
    Noise(Noise),
}

/// A figure out of its range, in words that name it.
pub type BadShape = String;

impl Shape {
    /// Whether its figures make sense.
    pub fn check(&self) -> Result<(), BadShape> {
        match self {
            Self::Diurnal(shape) => shape.check(),
            Self::Weekly(shape) => shape.check(),
            Self::FlashCrowd(shape) => shape.check(),
            Self::HotSpot(shape) => shape.check(),
            Self::SkewDrift(shape) => shape.check(),
            Self::Growth(shape) => shape.check(),
            Self::Churn(shape) => shape.check(),
            Self::RandomWalk(shape) => shape.check(),
            Self::Noise(shape) => shape.check(),
        }
    }

    /// Multiplies the loads of a group's tenants, `rows[tenant][step]`.
    pub fn apply(&self, rows: &mut [Vec<f32>], calendar: &Calendar, rng: &mut StdRng) {
        match self {
            Self::Diurnal(shape) => shape.apply(rows, rng),
            Self::Weekly(shape) => shape.apply(rows),
            Self::FlashCrowd(shape) => shape.apply(rows, calendar, rng),
            Self::HotSpot(shape) => shape.apply(rows, rng),
            Self::SkewDrift(shape) => shape.apply(rows, calendar),
            Self::Growth(shape) => shape.apply(rows, calendar, rng),
            Self::Churn(shape) => shape.apply(rows, rng),
            Self::RandomWalk(shape) => shape.apply(rows, rng),
            Self::Noise(shape) => shape.apply(rows, rng),
        }
    }
}

/// Fails, naming the figure, where it is out of its range.
fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), BadShape> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(format!("`{name}` is {low} to {high}, not {value}")) }
}

#[cfg(test)]
mod testing {
    use super::*;
    use rand::SeedableRng;

    /// Two days of history and one that is judged, of this many tenants of load 1.
    pub(super) fn shaped(tenants: usize, shape: Shape) -> Vec<Vec<f32>> {
        shape.check().unwrap();
        let calendar = Calendar { steps: 3 * DAY_STEPS, window_start: 2 * DAY_STEPS };
        let run = || {
            let mut rows = vec![vec![1.0; calendar.steps]; tenants];
            shape.apply(&mut rows, &calendar, &mut StdRng::seed_from_u64(5));
            rows
        };
        let rows = run();
        assert_eq!(rows, run(), "the same seed, the same load");
        assert!(rows.iter().flatten().all(|v| v.is_finite() && *v >= 0.0));
        rows
    }
}
