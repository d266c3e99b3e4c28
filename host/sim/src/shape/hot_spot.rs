use super::chance::chosen;
use super::{BadShape, HOUR_STEPS, within};
use rand::rngs::StdRng;
use serde::Deserialize;

/// Some tenants are hot, and at each jump others are: what nobody can foresee.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotSpot {
    /// Factor of those that are hot, 1 to 1 000.
    pub times: f64,
    /// Hours between jumps.
    pub every_hours: f64,
    /// Tenants that are hot at a time.
    pub tenants: usize,
}

impl Default for HotSpot {
    fn default() -> Self {
        Self { times: 6.0, every_hours: 6.0, tenants: 1 }
    }
}

impl HotSpot {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("times", self.times, 1.0, 1_000.0)?;
        within("every_hours", self.every_hours, 1.0 / HOUR_STEPS, 8_784.0)?;
        within("tenants", self.tenants as f64, 1.0, 1e6)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], rng: &mut StdRng) {
        let steps = rows.first().map_or(0, Vec::len);
        let every = ((self.every_hours * HOUR_STEPS).round() as usize).max(1);
        for from in (0..steps).step_by(every) {
            let to = (from + every).min(steps);
            for tenant in chosen(rng, rows.len(), self.tenants) {
                rows[tenant][from..to].iter_mut().for_each(|value| *value *= self.times as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;
    use crate::trace::DAY_STEPS;

    #[test]
    fn so_many_are_hot_at_any_time_and_they_change() {
        let rows = shaped(20, Shape::HotSpot(HotSpot { times: 4.0, every_hours: 6.0, tenants: 2 }));
        let hot = |step: usize| (0..20).filter(|&t| rows[t][step] == 4.0).collect::<Vec<_>>();
        assert!((0..3 * DAY_STEPS).all(|step| hot(step).len() == 2));
        assert_eq!(hot(0), hot(71));
        let spots: std::collections::BTreeSet<_> = (0..12).map(|jump| hot(72 * jump)).collect();
        assert!(spots.len() > 8, "{spots:?}");
    }
}
