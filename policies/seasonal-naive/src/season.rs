use forecasting_kit::Ring;
use serde::{Deserialize, Serialize};

/// Steps averaged around the same time of an earlier day: so many a day, so a quarter of an hour to either side.
const NEIGHBOURS_A_DAY: u64 = 96;
/// Days of a week.
const WEEK: u64 = 7;
/// Guesses that are mixed.
const GUESSES: usize = 5;
/// How much a new error moves a guess's usual error, once settled: about three days' worth of 5-minute steps.
const LEARN: f32 = 0.0015;

/// What a series does at each time of day: a mix of guesses from earlier days.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Season {
    /// Usual squared error of each guess.
    errors: [f32; GUESSES],
    /// How many errors each has seen, up to where it no longer matters.
    seen: [u32; GUESSES],
}

/// One value for each guess, NaN where history does not reach.
pub(crate) type Guesses = [f32; GUESSES];

impl Season {
    pub(crate) fn new() -> Self {
        Self { errors: [0.0; GUESSES], seen: [0; GUESSES] }
    }

    /// The guesses for `step`, from values before `step - day` (`step - day` being known). `level`: the usual load, whatever the time.
    pub(crate) fn guesses(history: &Ring, day: u64, step: u64, level: f32) -> Guesses {
        // Steps beyond a day look at the newest day that is known.
        let known = history.next();
        let mut same_time = step;
        while same_time >= known + day {
            same_time -= day;
        }
        let mut days = [f32::NAN; WEEK as usize];
        for (ago, day_before) in days.iter_mut().enumerate() {
            *day_before = around(history, day, same_time, (ago as u64 + 1) * day);
        }
        let mut same_weekday = step;
        while same_weekday >= known + WEEK * day {
            same_weekday -= WEEK * day;
        }
        let weeks = [1, 2, 3, 4].map(|ago| around(history, day, same_weekday, ago * WEEK * day));
        [days[0], mean(&days[..3]), median(days), mean(&weeks), level]
    }

    /// The guesses as one, each weighing by how little it errs. NaN where there is none.
    pub(crate) fn mix(&self, guesses: &Guesses) -> f32 {
        let least = self
            .errors
            .iter()
            .zip(self.seen)
            .filter(|(_, seen)| *seen > 0)
            .map(|(error, _)| *error)
            .fold(f32::MAX, f32::min);
        let (mut sum, mut weights) = (0.0, 0.0);
        for ((guess, error), seen) in guesses.iter().zip(self.errors).zip(self.seen) {
            if guess.is_nan() {
                continue;
            }
            // A guess that has not been tried yet weighs little.
            let ratio = if seen == 0 { 0.3 } else { (least + f32::MIN_POSITIVE) / (error + f32::MIN_POSITIVE) };
            let weight = ratio * ratio * ratio * ratio;
            sum += weight * guess;
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { f32::NAN }
    }

    /// Learns what came true. `cap`: no error counts for more than this.
    pub(crate) fn learn(&mut self, guesses: &Guesses, value: f32, cap: f32) {
        for ((guess, error), seen) in guesses.iter().zip(&mut self.errors).zip(&mut self.seen) {
            if guess.is_nan() {
                continue;
            }
            *seen = seen.saturating_add(1);
            let miss = (value - guess).abs().min(cap);
            // A plain mean at first, then a fading one.
            *error += (miss * miss - *error) * LEARN.max(1.0 / *seen as f32);
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.errors.iter().all(|error| error.is_finite() && *error >= 0.0)
    }
}

/// The mean of the known values around `lag` steps before `step`.
fn around(history: &Ring, day: u64, step: u64, lag: u64) -> f32 {
    let Some(at) = step.checked_sub(lag) else { return f32::NAN };
    let reach = day / NEIGHBOURS_A_DAY;
    let (mut sum, mut count) = (0.0, 0.0);
    for near in at.saturating_sub(reach)..=at + reach {
        let value = history.at(near);
        if !value.is_nan() {
            sum += value;
            count += 1.0;
        }
    }
    sum / count
}

fn mean(values: &[f32]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.iter().filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    // Of none: NaN.
    sum / count
}

fn median(mut values: [f32; WEEK as usize]) -> f32 {
    // NaN last.
    values.sort_unstable_by(f32::total_cmp);
    let known = values.iter().filter(|value| !value.is_nan()).count();
    match known {
        0 => f32::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f32::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}
