use super::{BadShape, within};
use crate::trace::DAY_STEPS;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use std::f64::consts::TAU;

/// A wave of a day: `1 + amplitude · cos`, highest at `peak_hour`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Diurnal {
    /// 0 to 1; 1: nothing at night.
    pub amplitude: f64,
    /// Hour of the day, UTC.
    pub peak_hour: f64,
    /// Tenants' peaks lie evenly at random within so many hours around it; 24: around the world.
    pub spread_hours: f64,
}

impl Default for Diurnal {
    fn default() -> Self {
        Self { amplitude: 0.6, peak_hour: 14.0, spread_hours: 0.0 }
    }
}

impl Diurnal {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("amplitude", self.amplitude, 0.0, 1.0)?;
        within("peak_hour", self.peak_hour, 0.0, 24.0)?;
        within("spread_hours", self.spread_hours, 0.0, 24.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], rng: &mut StdRng) {
        for row in rows {
            let peak = self.peak_hour + self.spread_hours * (rng.random::<f64>() - 0.5);
            let wave: Vec<f32> = (0..DAY_STEPS)
                .map(|step| {
                    let days = step as f64 / DAY_STEPS as f64 - peak / 24.0;
                    (1.0 + self.amplitude * (TAU * days).cos()) as f32
                })
                .collect();
            row.iter_mut().zip(wave.iter().cycle()).for_each(|(value, factor)| *value *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;

    fn peak(row: &[f32]) -> usize {
        (0..DAY_STEPS).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    }

    #[test]
    fn days_are_alike_and_highest_at_the_hour() {
        let rows = shaped(2, Shape::Diurnal(Diurnal { peak_hour: 14.0, ..Diurnal::default() }));
        assert_eq!(rows[0][..DAY_STEPS], rows[0][DAY_STEPS..2 * DAY_STEPS]);
        assert_eq!((peak(&rows[0]), peak(&rows[1])), (14 * 12, 14 * 12));
        assert!((rows[0][14 * 12] - 1.6).abs() < 1e-6 && (rows[0][2 * 12] - 0.4).abs() < 1e-6);
    }

    #[test]
    fn peaks_spread_around_the_world() {
        let rows = shaped(50, Shape::Diurnal(Diurnal { spread_hours: 24.0, ..Diurnal::default() }));
        let mut hours: Vec<usize> = rows.iter().map(|row| peak(row) / 12).collect();
        hours.sort_unstable();
        hours.dedup();
        assert!(hours.len() > 15, "{hours:?}");
    }
}
