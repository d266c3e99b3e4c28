use super::chance::chosen;
use super::{BadShape, Calendar, within};
use rand::rngs::StdRng;
use serde::Deserialize;

/// Tenants grow, as with interest.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Growth {
    /// By how much a day, -0.5 to 2; 0.05: 5 %.
    pub per_day: f64,
    /// Share of the tenants that grow, chosen at random, 0 to 1.
    pub share: f64,
}

impl Default for Growth {
    fn default() -> Self {
        Self { per_day: 0.05, share: 1.0 }
    }
}

impl Growth {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("per_day", self.per_day, -0.5, 2.0)?;
        within("share", self.share, 0.0, 1.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], calendar: &Calendar, rng: &mut StdRng) {
        let factors: Vec<f32> =
            (0..calendar.steps).map(|step| (1.0 + self.per_day).powf(calendar.days(step)) as f32).collect();
        let wanted = (self.share * rows.len() as f64).round() as usize;
        for tenant in if wanted == 0 { Vec::new() } else { chosen(rng, rows.len(), wanted) } {
            rows[tenant].iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;
    use crate::trace::DAY_STEPS;

    #[test]
    fn a_share_grows_by_the_day() {
        let rows = shaped(10, Shape::Growth(Growth { per_day: 0.1, share: 0.3 }));
        let grown: Vec<_> = rows.iter().filter(|row| row[DAY_STEPS] > 1.05).collect();
        assert_eq!(grown.len(), 3);
        assert!((grown[0][2 * DAY_STEPS] - 1.21).abs() < 1e-4);
        assert_eq!(shaped(2, Shape::Growth(Growth { per_day: 0.1, share: 0.0 }))[0][DAY_STEPS], 1.0);
    }
}
