use super::chance::chosen;
use super::{BadShape, Calendar, HOUR_STEPS, within};
use rand::rngs::StdRng;
use serde::Deserialize;

/// A crowd comes to some tenants: load rises in a line to `times` as much, stays, and falls in a line.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlashCrowd {
    /// When the rise begins, hours after the judged time does; negative: in the history.
    pub at_hours: f64,
    /// It comes again after so many hours, to others; 0: never.
    pub every_hours: f64,
    /// Factor at the top, 1 to 1 000.
    pub times: f64,
    /// Minutes of the rise.
    pub rise_min: f64,
    /// Minutes at the top.
    pub hold_min: f64,
    /// Minutes of the fall.
    pub fall_min: f64,
    /// Tenants that it comes to, chosen at random.
    pub tenants: usize,
}

impl Default for FlashCrowd {
    fn default() -> Self {
        Self {
            at_hours: 10.0,
            every_hours: 0.0,
            times: 8.0,
            rise_min: 10.0,
            hold_min: 60.0,
            fall_min: 60.0,
            tenants: 1,
        }
    }
}

impl FlashCrowd {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("at_hours", self.at_hours, -8_784.0, 8_784.0)?;
        within("every_hours", self.every_hours, 0.0, 8_784.0)?;
        within("times", self.times, 1.0, 1_000.0)?;
        within("rise_min", self.rise_min, 0.0, 10_080.0)?;
        within("hold_min", self.hold_min, 0.0, 10_080.0)?;
        within("fall_min", self.fall_min, 0.0, 10_080.0)?;
        within("tenants", self.tenants as f64, 1.0, 1e6)
    }

    /// The factor so many hours after the beginning of the rise.
    fn factor(&self, hours: f64) -> f64 {
        let (minutes, top) = (hours * 60.0, self.rise_min + self.hold_min);
        let part = if minutes < 0.0 {
            0.0
        } else if minutes < self.rise_min {
            minutes / self.rise_min
        } else if minutes <= top {
            1.0
        } else if minutes < top + self.fall_min {
            1.0 - (minutes - top) / self.fall_min
        } else {
            0.0
        };
        1.0 + (self.times - 1.0) * part
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], calendar: &Calendar, rng: &mut StdRng) {
        let lasts = (self.rise_min + self.hold_min + self.fall_min) / 60.0;
        let mut begin = self.at_hours;
        let end = calendar.hours_in(calendar.steps);
        while begin < end {
            let tenants = chosen(rng, rows.len(), self.tenants);
            let step = |hours: f64| calendar.window_start as f64 + hours * HOUR_STEPS;
            let from = step(begin).floor().max(0.0) as usize;
            let to = (step(begin + lasts).ceil().max(0.0) as usize + 1).min(calendar.steps);
            // By the middle of the step: a rise shorter than a step is seen in part.
            let factor = |at: usize| self.factor(calendar.hours_in(at) + 0.5 / HOUR_STEPS - begin);
            let factors: Vec<f32> = (from..to).map(|at| factor(at) as f32).collect();
            for tenant in tenants {
                let row = rows[tenant].iter_mut().skip(from);
                row.zip(&factors).for_each(|(load, factor)| *load *= factor);
            }
            if self.every_hours <= 0.0 {
                break;
            }
            begin += self.every_hours;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;
    use crate::trace::DAY_STEPS;

    #[test]
    fn a_crowd_comes_once_to_some_and_goes() {
        let crowd = FlashCrowd { at_hours: 6.0, times: 5.0, tenants: 2, ..FlashCrowd::default() };
        let rows = shaped(10, Shape::FlashCrowd(crowd));
        let hit: Vec<_> = rows.iter().filter(|row| row.iter().any(|v| *v > 1.0)).collect();
        assert_eq!(hit.len(), 2);
        let begin = 2 * DAY_STEPS + 6 * 12;
        assert!(hit[0][..begin].iter().all(|v| *v == 1.0));
        assert!((hit[0][begin] - 2.0).abs() < 1e-6, "half a step into a rise of two");
        assert!(hit[0][begin + 3..begin + 14].iter().all(|v| (*v - 5.0).abs() < 1e-6));
        assert!(hit[0][begin + 26 + 1..].iter().all(|v| *v == 1.0), "ten minutes, an hour and an hour later");
    }

    #[test]
    fn crowds_come_again_to_others() {
        let crowd = FlashCrowd { at_hours: -40.0, every_hours: 8.0, ..FlashCrowd::default() };
        let rows = shaped(30, Shape::FlashCrowd(crowd));
        assert!(rows.iter().filter(|row| row.iter().any(|v| *v > 4.0)).count() > 3);
    }
}
