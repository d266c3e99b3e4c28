use super::{BadShape, within};
use crate::trace::DAY_STEPS;
use serde::Deserialize;

/// Saturdays and Sundays differ from working days.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weekly {
    /// Factor at weekends, 0 to 10.
    pub weekend: f64,
}

impl Default for Weekly {
    fn default() -> Self {
        Self { weekend: 0.5 }
    }
}

impl Weekly {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("weekend", self.weekend, 0.0, 10.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>]) {
        for day in rows.iter_mut().flat_map(|row| row.chunks_mut(DAY_STEPS).enumerate()) {
            if day.0 % 7 >= 5 {
                day.1.iter_mut().for_each(|value| *value *= self.weekend as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturdays_and_sundays_are_weekends() {
        let mut rows = vec![vec![1.0; 9 * DAY_STEPS]];
        Weekly { weekend: 0.25 }.apply(&mut rows);
        let days: Vec<f32> = rows[0].chunks(DAY_STEPS).map(|day| day.iter().sum::<f32>() / DAY_STEPS as f32).collect();
        assert_eq!(days, [1.0, 1.0, 1.0, 1.0, 1.0, 0.25, 0.25, 1.0, 1.0]);
    }
}
