use forecasting_kit::Ring;
use serde::{Deserialize, Serialize};

/// Days of a week.
const WEEK: usize = 7;
/// Weeks looked back on at most.
const WEEKS: u64 = 4;
/// Guesses that are mixed.
const GUESSES: usize = 5;
/// Days over which a guess's usual error is taken: long enough for weekdays and weekends, short enough to follow a change.
const ERROR_DAYS: f32 = 2.5;
/// What a guess weighs, beside the best one, before it has been tried.
const UNTRIED: f32 = 0.01;

/// What a series does at each time of day: a mix of guesses from earlier days. The very same time, never its neighbours: what machines
/// do by timetable is as sharp as a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Season {
    /// Usual squared error of each guess.
    errors: [f32; GUESSES],
    /// How many errors each has seen.
    seen: [u32; GUESSES],
}

/// One value for each guess, NaN where history does not reach.
pub(crate) type Guesses = [f32; GUESSES];

impl Season {
    pub(crate) fn new() -> Self {
        Self { errors: [0.0; GUESSES], seen: [0; GUESSES] }
    }

    /// The guesses for `step`: yesterday, the mean of three days, the median of seven, the mean of this weekday's, and `usual`, which is the
    /// load whatever the time. A step too far ahead for yesterday to be known looks at the newest day that is.
    pub(crate) fn guesses(history: &Ring, day: u64, step: u64, usual: f32) -> Guesses {
        let known = history.next();
        let newest =
            |season: u64| step.saturating_sub(season).saturating_sub(known.saturating_sub(1)).div_ceil(season) * season;
        let same_time = step - newest(day);
        let mut days = [f32::NAN; WEEK];
        let mut lag = 0;
        for value in &mut days {
            lag += day;
            *value = history.before(same_time, lag);
        }
        let week = WEEK as u64 * day;
        let same_weekday = step - newest(week);
        let weekdays = mean((1..=WEEKS).map(|ago| history.before(same_weekday, ago * week)));
        [days[0], mean(days[..3].iter().copied()), median(days), weekdays, usual]
    }

    /// Whether `guesses` know anything of the time of day.
    pub(crate) fn is_seasonal(guesses: &Guesses) -> bool {
        guesses[..GUESSES - 1].iter().any(|guess| !guess.is_nan())
    }

    /// The guesses as one, each weighing by how little it errs. NaN where there is none.
    pub(crate) fn mix(&self, guesses: &Guesses) -> f32 {
        let weights = self.weights();
        let (mut sum, mut total) = (0.0, 0.0);
        for (guess, weight) in guesses.iter().zip(weights) {
            if !guess.is_nan() {
                sum += weight * guess;
                total += weight;
            }
        }
        // Of none: NaN.
        sum / total
    }

    /// Falls with the twelfth power of the usual error: near enough to taking the best that a good guess is not watered down, and yet
    /// equals share.
    fn weights(&self) -> [f32; GUESSES] {
        let tried = self.errors.iter().zip(self.seen).filter(|(_, seen)| *seen > 0).map(|(error, _)| *error);
        let least = tried.fold(f32::MAX, f32::min);
        let mut weights = [UNTRIED; GUESSES];
        for ((weight, error), seen) in weights.iter_mut().zip(self.errors).zip(self.seen) {
            if seen > 0 {
                let ratio = (least + f32::MIN_POSITIVE) / (error + f32::MIN_POSITIVE);
                let cube = ratio * ratio * ratio;
                // Never quite nothing, so that one guess alone still counts.
                *weight = (cube * cube).max(f32::EPSILON);
            }
        }
        weights
    }

    /// Learns what came true. `cap`: no error counts for more than this.
    pub(crate) fn learn(&mut self, day: u64, guesses: &Guesses, value: f32, cap: f32) {
        let settled = 1.0 / (ERROR_DAYS * day as f32);
        for ((guess, error), seen) in guesses.iter().zip(&mut self.errors).zip(&mut self.seen) {
            if guess.is_nan() {
                continue;
            }
            *seen = seen.saturating_add(1);
            let miss = (value - guess).abs().min(cap);
            // A plain mean at first, then a fading one.
            *error += (miss * miss - *error) * settled.max(1.0 / *seen as f32).min(1.0);
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.errors.iter().all(|error| error.is_finite() && *error >= 0.0)
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    // Of none: NaN.
    sum / count
}

fn median(mut values: [f32; WEEK]) -> f32 {
    let mut known = 0;
    for at in 0..WEEK {
        if !values[at].is_nan() {
            values.swap(at, known);
            known += 1;
        }
    }
    let values = &mut values[..known];
    // By insertion: seven values at most.
    for end in 1..known {
        let mut at = end;
        while at > 0 && values[at - 1] > values[at] {
            values.swap(at - 1, at);
            at -= 1;
        }
    }
    match known {
        0 => f32::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f32::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: impl IntoIterator<Item = f32>) -> Ring {
        let mut ring = Ring::new(64, 0);
        values.into_iter().for_each(|value| ring.push(value));
        ring
    }

    #[test]
    fn each_guess_looks_where_it_says() {
        // Days of two steps; the first step of day d has load d, the second 100 + d.
        let ring = history((0..16).flat_map(|day| [day as f32, 100.0 + day as f32]));
        let guesses = Season::guesses(&ring, 2, 32, 7.5);
        assert_eq!(guesses, [15.0, 14.0, 12.0, 5.5, 7.5]);
        let guesses = Season::guesses(&ring, 2, 33, 7.5);
        assert_eq!(guesses, [115.0, 114.0, 112.0, 105.5, 7.5]);
    }

    #[test]
    fn far_ahead_it_looks_at_the_newest_day_that_is_known() {
        let ring = history((0..16).flat_map(|day| [day as f32, 100.0 + day as f32]));
        assert_eq!(Season::guesses(&ring, 2, 34, 0.0)[0], 15.0);
        assert_eq!(Season::guesses(&ring, 2, 37, 0.0)[0], 115.0);
        assert_eq!(Season::guesses(&ring, 2, 34, 0.0)[3], 6.5, "the weekday is still the right one");
        assert_eq!(Season::guesses(&ring, 2, 34 + 14, 0.0)[3], 6.5, "and a week later");
    }

    #[test]
    fn the_guess_that_errs_least_rules() {
        let mut season = Season::new();
        for _ in 0..50 {
            season.learn(24, &[10.0, 9.0, 8.0, 12.0, 5.0], 12.1, 1e9);
        }
        assert!((season.mix(&[10.0, 9.0, 8.0, 12.0, 5.0]) - 12.0).abs() < 1e-3);
        assert_eq!(season.mix(&[10.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN]), 10.0, "what is there is used");
        assert!(season.mix(&[f32::NAN; GUESSES]).is_nan());
    }

    #[test]
    fn medians_of_what_is_known() {
        let nan = f32::NAN;
        assert_eq!(median([3.0, nan, 1.0, nan, 2.0, nan, nan]), 2.0);
        assert_eq!(median([4.0, 1.0, nan, nan, nan, nan, nan]), 2.5);
        assert!(median([nan; WEEK]).is_nan());
    }
}
