use super::{BadShape, Calendar, within};
use serde::Deserialize;

/// Popularity shifts: tenants' shares drift, as the judged time passes, to those of a Zipf law of another exponent and in the opposite order, so
/// that who was small becomes large. The group's total stays.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkewDrift {
    /// Exponent of the law that shares drift to, 0 to 3; 0: all alike.
    pub to: f64,
    /// Hours that the drift takes, from the beginning of the judged time on.
    pub over_hours: f64,
}

impl Default for SkewDrift {
    fn default() -> Self {
        Self { to: 1.0, over_hours: 24.0 }
    }
}

impl SkewDrift {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("to", self.to, 0.0, 3.0)?;
        within("over_hours", self.over_hours, 0.1, 8_784.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], calendar: &Calendar) {
        let count = rows.len();
        let total: f64 = (1..=count).map(|rank| (rank as f64).powf(-self.to)).sum();
        for step in calendar.window_start..calendar.steps {
            let part = (calendar.hours_in(step) / self.over_hours).clamp(0.0, 1.0);
            let sum: f64 = rows.iter().map(|row| f64::from(row[step])).sum();
            for (index, row) in rows.iter_mut().enumerate() {
                let share = ((count - index) as f64).powf(-self.to) / total;
                row[step] = ((1.0 - part) * f64::from(row[step]) + part * share * sum) as f32;
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
    fn shares_drift_and_the_total_stays() {
        let rows = shaped(10, Shape::SkewDrift(SkewDrift { to: 1.0, over_hours: 12.0 }));
        for step in 0..3 * DAY_STEPS {
            let sum: f32 = rows.iter().map(|row| row[step]).sum();
            assert!((sum - 10.0).abs() < 1e-3, "{step}: {sum}");
        }
        assert!(rows.iter().all(|row| row[2 * DAY_STEPS] == 1.0));
        let late = 3 * DAY_STEPS - 1;
        assert!((rows[9][late] / rows[8][late] - 2.0).abs() < 1e-3, "rank 1 over rank 2");
        assert!(rows[9][late] > 3.0 && rows[0][late] < 0.4);
    }
}
