use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Days of a week.
pub(crate) const WEEK_DAYS: f64 = 7.0;

/// The most waves a period: those that half-hours of a day still show.
pub(crate) const MAX_ORDER: u32 = 24;

/// The periodic terms of the model: sines and cosines of the day and of the week, up to an order each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seasonality {
    /// Waves a day at most; 0: no daily term.
    pub day_order: u32,
    /// Waves a week at most; 0: no weekly term.
    pub week_order: u32,
}

impl Seasonality {
    /// Terms, two for each wave: those of the day, then those of the week.
    #[must_use]
    pub fn terms(&self) -> usize {
        2 * (self.day_order as usize + self.week_order as usize)
    }

    /// Writes the terms at `time_days`, days since the Unix epoch, to `out`, [`terms`](Self::terms) long.
    pub fn write(&self, time_days: f64, out: &mut [f64]) {
        let (of_day, of_week) = out.split_at_mut(self.daily_terms().min(out.len()));
        self.write_daily(time_days, of_day);
        write_waves(time_days / WEEK_DAYS, of_week);
    }

    /// How many of the terms are those of the day.
    pub(crate) fn daily_terms(&self) -> usize {
        2 * self.day_order as usize
    }

    /// Writes those of the day alone.
    pub(crate) fn write_daily(&self, time_days: f64, out: &mut [f64]) {
        write_waves(time_days, out);
    }
}

/// Sine and cosine of 1, 2, 3 … waves a period. Each wave is the one before turned by the first: two trigonometric calls in all.
fn write_waves(periods: f64, out: &mut [f64]) {
    if out.is_empty() {
        return;
    }
    let (sine, cosine) = (TAU * (periods - periods.floor())).sin_cos();
    let (mut s, mut c) = (sine, cosine);
    for wave in out.chunks_exact_mut(2) {
        wave.copy_from_slice(&[s, c]);
        (s, c) = (s * cosine + c * sine, c * cosine - s * sine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_sines_and_cosines_of_whole_waves() {
        let seasonality = Seasonality { day_order: 12, week_order: 3 };
        let time_days = 20_713.337;
        let mut terms = vec![0.0; seasonality.terms()];
        seasonality.write(time_days, &mut terms);
        let waves = (1..=12).map(f64::from).chain((1..=3).map(|wave| f64::from(wave) / WEEK_DAYS));
        for (wave, pair) in waves.zip(terms.chunks_exact(2)) {
            let angle = TAU * wave * time_days;
            assert!((pair[0] - angle.sin()).abs() < 1e-9 && (pair[1] - angle.cos()).abs() < 1e-9, "wave {wave}");
        }
    }

    #[test]
    fn without_terms_there_is_nothing_to_write() {
        Seasonality { day_order: 0, week_order: 0 }.write(1.5, &mut []);
    }
}
