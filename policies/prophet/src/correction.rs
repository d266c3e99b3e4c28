use crate::timetable::Timetable;
use crate::trust::Trust;
use forecasting_kit::{Drift, LeadSketches, Ring, Seasons, Spread};
use serde::{Deserialize, Serialize};

/// What was learnt of errors before the first fit counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_FIT: f32 = 0.02;

/// What the model says of one step, in parts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// The trend where the fitted history ended, and the waves of the day.
    pub(crate) base: f32,
    /// What the trend has added since.
    pub(crate) growth: f32,
    /// The waves of the week.
    pub(crate) week: f32,
}

/// What is learnt about a model from how it did: how much of its parts comes true, what it leaves at each time of day and at present, and how
/// far off it is with all that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Correction {
    history: Ring,
    /// What was said of each step of the last day, the present deviation left aside.
    expected: Ring,
    growth: Trust,
    week: Trust,
    timetable: Timetable,
    drift: Drift,
    spread: Spread,
    sketches: LeadSketches,
}

impl Correction {
    pub(crate) fn new(seasons: &Seasons, first: u64) -> Self {
        Self {
            history: Ring::new(seasons.day as usize + 1, first),
            expected: Ring::new(seasons.day as usize + 1, first),
            // A slope is seldom good for more than where it ends; a week that has been seen twice may well come again.
            growth: Trust::new(0.0),
            week: Trust::new(1.0),
            timetable: Timetable::new(seasons.day),
            drift: Drift::new(&seasons.bands, first),
            spread: Spread::new(0.0),
            sketches: LeadSketches::new(&seasons.bands),
        }
    }

    /// A first value.
    pub(crate) fn begin(&mut self, value: f32) {
        self.spread = Spread::new(value);
    }

    fn expected(&self, step: u64, parts: Parts) -> f32 {
        parts.base + self.growth.share() * parts.growth + self.week.share() * parts.week + self.timetable.at(step)
    }

    /// Adds the value of the next step, of which the model said `parts`; NaN: missing. `usual`: the usual load.
    pub(crate) fn push(&mut self, seasons: &Seasons, parts: Parts, value: f32, usual: f32) {
        let (day, bands, step) = (seasons.day, &seasons.bands, self.history.next());
        let expected = self.expected(step, parts);
        self.history.push(value);
        self.expected.push(expected);
        if value.is_nan() {
            self.drift.push(bands, f32::NAN);
            return;
        }
        let deviation = value - expected;
        let size = self.spread.size_at(day, step, usual);
        if bands.samples(step) {
            let Self { history, expected, drift, spread, sketches, .. } = self;
            let carried = |origin, band| drift.carried(origin, band);
            sketches.learn(bands, history, expected, carried, |at| spread.size_at(day, at, usual));
            self.drift.learn(bands, deviation, size);
            self.spread.learn(seasons, step, deviation, usual);
            self.growth.learn(parts.growth / size, deviation / size, bands.keep());
            self.week.learn(parts.week / size, deviation / size, bands.keep());
            self.timetable.weigh();
        }
        self.timetable.learn(step, deviation + self.timetable.at(step), size);
        self.drift.push(bands, deviation);
    }

    /// Takes into account that the model is another from the next step on. `base_before`, `base_after`: what the two say of a day's steps from
    /// there; what is remembered of each time of day is counted from the new one. `is_first`: there was none before.
    pub(crate) fn rebase(&mut self, base_before: &[f32], base_after: &[f32], is_first: bool) {
        for (step, (before, after)) in (self.history.next()..).zip(base_before.iter().zip(base_after)) {
            self.timetable.shift(step, before - after);
        }
        if is_first {
            self.sketches.fade(BEFORE_FIRST_FIT);
        }
    }

    /// What is expected of the step `lead` steps from now, of which the model says `parts`; and the usual size of an error then.
    pub(crate) fn expect(&self, seasons: &Seasons, lead: u64, parts: Parts, usual: f32) -> (f32, f32) {
        let step = self.history.next() - 1 + lead;
        let point = self.expected(step, parts) + self.drift.carried_from_now(&seasons.bands, lead);
        (point, self.spread.size_at(seasons.day, step, usual))
    }

    pub(crate) fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    pub(crate) fn is_sound(&self, seasons: &Seasons, next: u64) -> bool {
        let steps = seasons.day as usize + 1;
        self.history.fits(steps, next)
            && self.expected.fits(steps, next)
            && self.growth.is_sound()
            && self.week.is_sound()
            && self.timetable.is_sound(seasons.day)
            && self.drift.is_sound(&seasons.bands, next)
            && self.spread.is_sound()
            && self.sketches.is_sound(&seasons.bands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seasons() -> Seasons {
        Seasons::new(1_800_000, 7.0)
    }

    #[test]
    fn a_week_that_comes_true_is_kept_and_growth_that_does_not_is_dropped() {
        let seasons = seasons();
        let mut correction = Correction::new(&seasons, 0);
        correction.begin(50.0);
        let parts = |step: u64| Parts {
            base: 50.0,
            growth: (step % 48) as f32,
            week: 10.0 * (step as f32 / 336.0 * std::f32::consts::TAU).sin(),
        };
        for step in 0..48 * 21 {
            correction.push(&seasons, parts(step), 50.0 + parts(step).week, 50.0);
        }
        assert!(correction.week.share() > 0.9, "{}", correction.week.share());
        assert!(correction.growth.share() < 0.1, "{}", correction.growth.share());
        assert!(correction.is_sound(&seasons, 48 * 21) && !correction.is_sound(&seasons, 48 * 21 + 1));
    }

    #[test]
    fn another_model_leaves_expectations_as_they_were_where_the_time_of_day_rules() {
        let seasons = seasons();
        let mut correction = Correction::new(&seasons, 0);
        correction.begin(50.0);
        let load = |step: u64| if step % 48 < 8 { 200.0 } else { 50.0 };
        let flat = Parts { base: 50.0, ..Parts::default() };
        for step in 0..48 * 10 {
            correction.push(&seasons, flat, load(step), 50.0);
        }
        let (before, _) = correction.expect(&seasons, 4, flat, 50.0);
        correction.rebase(&[50.0; 48], &[80.0; 48], false);
        let (after, _) = correction.expect(&seasons, 4, Parts { base: 80.0, ..Parts::default() }, 50.0);
        assert!((before - 200.0).abs() < 10.0 && (after - before).abs() < 5.0, "{before} {after}");
    }
}
