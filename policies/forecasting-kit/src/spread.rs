use crate::series_model::Seasons;
use serde::{Deserialize, Serialize};

/// Times of day at which the usual size is kept apart: hours.
const TIMES: usize = 24;
/// What a time of day's own size weighs beside the overall one.
const OWN_SHARE: f32 = 0.75;
/// How much a new day moves a time of day's size.
const NEW_DAY: f32 = 0.2;
/// Days over which the overall size is taken.
const OVERALL_DAYS: f32 = 4.0;
/// An accident counts as so many usual errors, not more.
const ACCIDENT: f32 = 20.0;
/// No error is taken to be smaller than this share of the usual load: a series that never erred may yet.
const LEAST_SHARE: f32 = 0.002;
/// Nor smaller than this, so that there is always something to divide by.
const LEAST: f32 = 1e-6;

/// The usual size of a model's errors: overall, and by time of day as known when that time of day last ended. Nights are quieter than days.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spread {
    overall: f32,
    times: [f32; TIMES],
    /// The present time of day; sum and number of the errors since it began.
    time: u8,
    present: (f32, f32),
    seen: u32,
}

impl Spread {
    /// After a first value, when nothing is known: half of that value is a wide guess of how far off the next may be.
    #[must_use]
    pub fn new(first: f32) -> Self {
        Self { overall: 0.5 * first, times: [f32::NAN; TIMES], time: 0, present: (0.0, 0.0), seen: 0 }
    }

    /// The usual size of an error at `step`, more than 0. `usual`: the usual value, whatever the time.
    #[must_use]
    pub fn size_at(&self, day: u64, step: u64, usual: f32) -> f32 {
        self.size(time(day, step), usual)
    }

    /// Writes the usual size of an error at each step from `step` on.
    pub fn fill_sizes(&self, day: u64, step: u64, usual: f32, out: &mut [f32]) {
        let (mut rest, mut of_day) = (out, step % day);
        while !rest.is_empty() {
            let time = of_day * TIMES as u64 / day;
            let end = ((time + 1) * day).div_ceil(TIMES as u64).min(day);
            let (here, after) = rest.split_at_mut(rest.len().min((end - of_day) as usize));
            here.fill(self.size(time as usize, usual));
            (rest, of_day) = (after, end % day);
        }
    }

    fn size(&self, time: usize, usual: f32) -> f32 {
        let own = self.times[time];
        let mixed = if own.is_nan() { self.overall } else { OWN_SHARE * own + (1.0 - OWN_SHARE) * self.overall };
        mixed + LEAST_SHARE * usual.abs() + LEAST
    }

    /// Learns the error made at `step`, one to learn from.
    pub fn learn(&mut self, seasons: &Seasons, step: u64, error: f32, usual: f32) {
        let day = seasons.day;
        let error = error.abs().min(ACCIDENT * self.size_at(day, step, usual));
        self.seen = self.seen.saturating_add(1);
        // A tenth at most, so that the wide guess at the beginning holds for a while.
        let settled = 1.0 / (OVERALL_DAYS * seasons.bands.samples_a_day() as f32);
        self.overall += (error - self.overall) * (1.0 / self.seen as f32).max(settled).min(0.1);
        let here = time(day, step) as u8;
        if here != self.time || day == 1 {
            self.close();
            self.time = here;
        }
        self.present.0 += error;
        self.present.1 += 1.0;
    }

    /// A time of day is over.
    fn close(&mut self) {
        if self.present.1 > 0.0
            && let Some(size) = self.times.get_mut(usize::from(self.time))
        {
            let mean = self.present.0 / self.present.1;
            *size = if size.is_nan() { mean } else { *size + NEW_DAY * (mean - *size) };
        }
        self.present = (0.0, 0.0);
    }

    /// Whether learning could have made it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let positive = |value: f32| value.is_finite() && value >= 0.0;
        positive(self.overall)
            && positive(self.present.0)
            && positive(self.present.1)
            && self.times.iter().all(|time| time.is_nan() || positive(*time))
    }
}

fn time(day: u64, step: u64) -> usize {
    ((step % day) * TIMES as u64 / day) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_and_loud_ones() {
        let mut spread = Spread::new(100.0);
        assert!(spread.size_at(48, 0, 0.0) >= 50.0, "wide before anything is known");
        for step in 0..48 * 20 {
            spread.learn(&Seasons::new(1_800_000, 7.0), step, if step % 48 < 24 { 1.0 } else { -9.0 }, 0.0);
        }
        let (quiet, loud) = (spread.size_at(48, 10, 0.0), spread.size_at(48, 40, 0.0));
        assert!(quiet < 2.5 && loud > 7.0, "{quiet} {loud}");
        for (day, from) in [(48, 5), (288, 1000), (7, 3), (1, 9)] {
            let mut sizes = [0.0; 700];
            spread.fill_sizes(day, from, 3.0, &mut sizes);
            assert!((from..).zip(sizes).all(|(step, size)| size == spread.size_at(day, step, 3.0)), "days of {day}");
        }
        assert!(spread.is_sound());
    }

    #[test]
    fn a_series_that_never_erred_has_a_size_to_divide_by() {
        let mut spread = Spread::new(0.0);
        for step in 0..1000 {
            spread.learn(&Seasons::new(86_400_000, 7.0), step, 0.0, 0.0);
        }
        assert!(spread.size_at(1, 1000, 0.0) > 0.0);
    }
}
