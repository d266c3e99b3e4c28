use crate::config::Config;
use crate::normal_equations::Point;
use forecasting_kit::Ring;
use serde::{Deserialize, Serialize};

/// Slots of a day at most: half-hours. Trend and waves of the day up to the 24th are as well seen in them as in steps.
const SLOTS_A_DAY: u64 = 48;
/// Of a slot's steps, at least this share must be known for its mean to count.
const KNOWN_SHARE: f64 = 0.5;
/// What a slot counts in the usual mean square within slots: one over about two days.
const NEW_SLOT: f32 = 0.01;

/// A series' past at the resolution that a fit needs: means of half-hours, or of steps where those are longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    means: Ring,
    /// The slot that is not over yet: sum, sum of squares and number of its values.
    present: (f64, f64, u32),
    /// Mean square of a step's distance from its slot's mean.
    within_square: f32,
    slots_known: u32,
}

/// How steps make slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    day: u64,
    steps: u64,
}

impl Slots {
    pub(crate) fn of_day(day: u64) -> Self {
        Self { day, steps: (day / SLOTS_A_DAY).max(1) }
    }

    /// Steps of one.
    pub(crate) fn steps(self) -> u64 {
        self.steps
    }

    /// How many make so many days.
    fn of_days(self, days: u32) -> usize {
        (u64::from(days) * self.day).div_ceil(self.steps) as usize
    }

    /// The middle of slot `slot`, in days.
    fn middle_days(self, slot: u64) -> f64 {
        ((slot * self.steps) as f64 + (self.steps - 1) as f64 / 2.0) / self.day as f64
    }
}

impl History {
    /// Whose first value belongs to step `first`.
    pub(crate) fn new(config: &Config, slots: Slots, first: u64) -> Self {
        Self {
            means: Ring::new(slots.of_days(config.history_days), first / slots.steps),
            present: (0.0, 0.0, 0),
            within_square: f32::NAN,
            slots_known: 0,
        }
    }

    /// Adds the value of `step`, the next one; NaN: missing.
    pub(crate) fn push(&mut self, slots: Slots, step: u64, value: f32) {
        if !value.is_nan() {
            let value = f64::from(value);
            self.present.0 += value;
            self.present.1 += value * value;
            self.present.2 += 1;
        }
        if (step + 1).is_multiple_of(slots.steps) {
            self.close(slots);
        }
    }

    fn close(&mut self, slots: Slots) {
        let (sum, square, count) = self.present;
        self.present = (0.0, 0.0, 0);
        if f64::from(count) < KNOWN_SHARE * slots.steps as f64 {
            self.means.push(f32::NAN);
            return;
        }
        let mean = sum / f64::from(count);
        self.means.push(mean as f32);
        self.slots_known = self.slots_known.saturating_add(1);
        let within = (square / f64::from(count) - mean * mean).max(0.0) as f32;
        self.within_square = if self.within_square.is_nan() {
            within
        } else {
            self.within_square + NEW_SLOT.max(1.0 / self.slots_known as f32) * (within - self.within_square)
        };
    }

    /// Mean square of a step's distance from its slot's mean.
    pub(crate) fn within_square(&self) -> f64 {
        if self.within_square.is_nan() { 0.0 } else { f64::from(self.within_square) }
    }

    /// What is known of the last `days` days, oldest first.
    pub(crate) fn points(&self, slots: Slots, days: u32) -> Vec<Point> {
        let end = self.means.next();
        let first = end.saturating_sub(slots.of_days(days) as u64);
        let known = (first..end).map(|slot| (slot, self.means.at(slot))).filter(|(_, mean)| !mean.is_nan());
        known.map(|(slot, mean)| Point { time_days: slots.middle_days(slot), value: f64::from(mean) }).collect()
    }

    pub(crate) fn is_sound(&self, config: &Config, slots: Slots, next: u64) -> bool {
        self.means.fits(slots.of_days(config.history_days), next / slots.steps)
            && self.present.0.is_finite()
            && self.present.1.is_finite()
            && u64::from(self.present.2) <= slots.steps
            && (self.within_square.is_nan() || self.within_square >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_means_of_half_hours() {
        let (config, slots) = (Config::default(), Slots::of_day(288));
        let mut history = History::new(&config, slots, 600);
        for step in 600..620 {
            // The second half-hour knows two of six only.
            let value = if (608..612).contains(&step) { f32::NAN } else { (step - 600) as f32 };
            history.push(slots, step, value);
        }
        let points = history.points(slots, 28);
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].value, points[0].time_days), (2.5, 602.5 / 288.0));
        assert_eq!((points[1].value, points[1].time_days), (14.5, 614.5 / 288.0));
        assert!((history.within_square() - 35.0 / 12.0).abs() < 1e-4, "{}", history.within_square());
        assert!(history.is_sound(&config, slots, 620) && !history.is_sound(&config, slots, 624));
    }
}
