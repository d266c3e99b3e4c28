use crate::ring::Ring;
use serde::{Deserialize, Serialize};

/// Days of a week.
const WEEK: usize = 7;
/// Weeks looked back on, at most.
const MOST_WEEKS: u8 = 4;
/// The most values of history looked at, whatever the step: 64 KiB.
pub const MAX_HISTORY: u64 = 16_384;
/// Guesses that are mixed; the last is the usual load, whatever the time.
pub const GUESSES: usize = 5;
/// Days over which a guess's usual error is taken: long enough for weekdays and weekends, short enough to follow a change.
const ERROR_DAYS: f32 = 2.5;
/// What a guess weighs, beside the best one, before it has been tried.
const UNTRIED: f32 = 0.01;

/// What a series does at each time of day: a mix of guesses from earlier days. The very same time, never its neighbours: what machines
/// do by timetable is as sharp as a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Season {
    /// Usual squared error of each guess.
    errors: [f32; GUESSES],
    /// How many errors each has seen.
    seen: [u32; GUESSES],
    /// What follows from the errors.
    weights: Weights,
    /// How many weeks back the mean of the weekdays goes, 1 to 4.
    weeks: u8,
}

/// One value for each guess, NaN where history does not reach.
pub type Guesses = [f32; GUESSES];
/// Steps guessed at once, as vectors: sixteen, four to a vector of 128 bits.
pub const LANES: usize = 16;
/// For each guess, one value for each of [`LANES`] steps.
pub type GuessLanes = [[f32; LANES]; GUESSES];
/// What each guess weighs; the best one 1.
type Weights = [f32; GUESSES];

impl Season {
    /// Before anything was seen: all guesses weigh the same. `weeks`: how far it looks back, 1 to 4.
    #[must_use]
    pub fn new(weeks: u8) -> Self {
        Self {
            errors: [0.0; GUESSES],
            seen: [0; GUESSES],
            weights: [UNTRIED; GUESSES],
            weeks: weeks.clamp(1, MOST_WEEKS),
        }
    }

    /// Refuses a number of weeks that it can't look back: the configuration's field `weeks`.
    ///
    /// # Errors
    /// What it is to be.
    pub fn check_weeks(weeks: u8) -> Result<(), String> {
        let within = (1..=MOST_WEEKS).contains(&weeks);
        if within { Ok(()) } else { Err(format!("`weeks` is 1 to {MOST_WEEKS}, not {weeks}")) }
    }

    /// Steps of history that it looks back on, with days of `day` steps.
    #[must_use]
    pub fn history_steps(weeks: u8, day: u64) -> usize {
        // One more: when a model learns from a step, that step is in the history already.
        (u64::from(weeks.clamp(1, MOST_WEEKS)) * WEEK as u64 * day + 1).min(MAX_HISTORY) as usize
    }

    /// The guesses for `step`: yesterday, the mean of three days, the median of seven, the mean of this weekday's, and `usual`, which is the
    /// load whatever the time. A step too far ahead for yesterday to be known looks at the newest day that is.
    #[must_use]
    pub fn guesses(&self, history: &Ring, day: u64, step: u64, usual: f32) -> Guesses {
        let newest = history.next().saturating_sub(1);
        let known = |season: u64| {
            let beyond = step.saturating_sub(season).saturating_sub(newest);
            if beyond == 0 { step } else { step - beyond.div_ceil(season) * season }
        };
        let (same_time, same_weekday) = (known(day), known(WEEK as u64 * day));
        let days = [1, 2, 3, 4, 5, 6, 7].map(|ago| history.before(same_time, ago * day));
        let weekdays = [1, 2, 3, 4].map(|ago| history.before(same_weekday, ago * WEEK as u64 * day));
        [days[0], known_mean(&days[..3]), median(days), known_mean(&weekdays[..usize::from(self.weeks)]), usual]
    }

    /// The same for each of [`LANES`] steps from `step` on.
    #[must_use]
    pub fn guesses_of_lanes(&self, history: &Ring, day: u64, step: u64, usual: f32) -> GuessLanes {
        let newest = history.next().saturating_sub(1);
        if step + LANES as u64 - 1 > newest + day {
            // Not all look at the same days.
            let guesses: [Guesses; LANES] =
                std::array::from_fn(|lane| self.guesses(history, day, step + lane as u64, usual));
            return std::array::from_fn(|guess| guesses.map(|guesses| guesses[guess]));
        }
        let days = [1, 2, 3, 4, 5, 6, 7].map(|ago| history.lanes::<LANES>(step.wrapping_sub(ago * day)));
        let later = [2, 3, 4].map(|ago| history.lanes(step.wrapping_sub(ago * WEEK as u64 * day)));
        let weekdays = [days[WEEK - 1], later[0], later[1], later[2]];
        let weekdays = &weekdays[..usize::from(self.weeks)];
        [days[0], mean_of_lanes(&days[..3]), median_of_lanes(&days), mean_of_lanes(weekdays), [usual; LANES]]
    }

    /// What [`mix`](Self::mix) makes of each.
    #[must_use]
    pub fn mix_lanes(&self, guesses: &GuessLanes) -> [f32; LANES] {
        let (mut sums, mut totals) = ([0.0; LANES], [0.0; LANES]);
        for (guesses, weight) in guesses.iter().zip(self.weights) {
            for ((guess, sum), total) in guesses.iter().zip(&mut sums).zip(&mut totals) {
                let is_known = !guess.is_nan();
                *sum += if is_known { weight * guess } else { 0.0 };
                *total += if is_known { weight } else { 0.0 };
            }
        }
        std::array::from_fn(|lane| sums[lane] / totals[lane])
    }

    /// Whether `guesses` know anything of the time of day.
    #[must_use]
    pub fn is_seasonal(guesses: &Guesses) -> bool {
        guesses[..GUESSES - 1].iter().any(|guess| !guess.is_nan())
    }

    /// The guesses as one. NaN where there is none.
    #[must_use]
    pub fn mix(&self, guesses: &Guesses) -> f32 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (guess, weight) in guesses.iter().zip(self.weights) {
            if !guess.is_nan() {
                sum += weight * guess;
                total += weight;
            }
        }
        // Of none: NaN.
        sum / total
    }

    /// Weighs the guesses anew. A weight falls with the twelfth power of the usual error: near enough to taking the best that a good guess
    /// is not watered down, and yet equals share.
    pub fn weigh(&mut self) {
        let tried = self.errors.iter().zip(self.seen).filter(|(_, seen)| *seen > 0).map(|(error, _)| *error);
        let least = tried.fold(f32::MAX, f32::min);
        self.weights = [UNTRIED; GUESSES];
        for ((weight, error), seen) in self.weights.iter_mut().zip(self.errors).zip(self.seen) {
            if seen > 0 {
                let ratio = (least + f32::MIN_POSITIVE) / (error + f32::MIN_POSITIVE);
                let cube = ratio * ratio * ratio;
                // Never quite nothing, so that one guess alone still counts.
                *weight = (cube * cube).max(f32::EPSILON);
            }
        }
    }

    /// Learns what came true. `cap`: no error counts for more than this.
    pub fn learn(&mut self, day: u64, guesses: &Guesses, value: f32, cap: f32) {
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

    /// Whether learning could have made it: what a restored one must prove.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        (1..=MOST_WEEKS).contains(&self.weeks)
            && self.errors.iter().chain(&self.weights).all(|value| value.is_finite() && *value >= 0.0)
    }
}

/// Of what is known; NaN of nothing.
#[must_use]
pub fn known_mean(values: &[f32]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        if !value.is_nan() {
            sum += value;
            count += 1.0;
        }
    }
    sum / count
}

fn mean_of_lanes(values: &[[f32; LANES]]) -> [f32; LANES] {
    let (mut sums, mut counts) = ([0.0; LANES], [0.0; LANES]);
    for values in values {
        for ((value, sum), count) in values.iter().zip(&mut sums).zip(&mut counts) {
            let is_known = !value.is_nan();
            *sum += if is_known { *value } else { 0.0 };
            *count += if is_known { 1.0 } else { 0.0 };
        }
    }
    std::array::from_fn(|lane| sums[lane] / counts[lane])
}

/// The exchanges that bring the fourth of seven to its place and sort no more than that (N. Devillard, "Fast median search", 1998).
const EXCHANGES: [(usize, usize); 13] =
    [(0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)];

fn median_of_lanes(values: &[[f32; LANES]; WEEK]) -> [f32; LANES] {
    // All are looked at without a branch: most have none.
    if values.iter().flatten().fold(false, |missing, value| missing | value.is_nan()) {
        return std::array::from_fn(|lane| median(std::array::from_fn(|day| values[day][lane])));
    }
    let mut sorted = *values;
    for (low, high) in EXCHANGES {
        let (a, b) = (sorted[low], sorted[high]);
        for lane in 0..LANES {
            sorted[low][lane] = if b[lane] < a[lane] { b[lane] } else { a[lane] };
            sorted[high][lane] = if b[lane] < a[lane] { a[lane] } else { b[lane] };
        }
    }
    sorted[WEEK / 2]
}

/// Of what is known.
fn median(values: [f32; WEEK]) -> f32 {
    if values.iter().any(|value| value.is_nan()) {
        return median_of_some(values);
    }
    let mut sorted = values;
    for (low, high) in EXCHANGES {
        let (a, b) = (sorted[low], sorted[high]);
        sorted[low] = if b < a { b } else { a };
        sorted[high] = if b < a { a } else { b };
    }
    sorted[WEEK / 2]
}

fn median_of_some(mut values: [f32; WEEK]) -> f32 {
    // NaN last: none has its sign set, since a missing value is written as the constant.
    values.sort_unstable_by(f32::total_cmp);
    let known = values.iter().filter(|value| !value.is_nan()).count();
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
        let guesses = Season::new(4).guesses(&ring, 2, 32, 7.5);
        assert_eq!(guesses, [15.0, 14.0, 12.0, 5.5, 7.5]);
        let guesses = Season::new(4).guesses(&ring, 2, 33, 7.5);
        assert_eq!(guesses, [115.0, 114.0, 112.0, 105.5, 7.5]);
    }

    #[test]
    fn far_ahead_it_looks_at_the_newest_day_that_is_known() {
        let ring = history((0..16).flat_map(|day| [day as f32, 100.0 + day as f32]));
        assert_eq!(Season::new(4).guesses(&ring, 2, 34, 0.0)[0], 15.0);
        assert_eq!(Season::new(4).guesses(&ring, 2, 37, 0.0)[0], 115.0);
        assert_eq!(Season::new(4).guesses(&ring, 2, 34, 0.0)[3], 6.5, "the weekday is still the right one");
        assert_eq!(Season::new(4).guesses(&ring, 2, 34 + 14, 0.0)[3], 6.5, "and a week later");
    }

    #[test]
    fn the_guess_that_errs_least_rules() {
        let mut season = Season::new(4);
        for _ in 0..50 {
            season.learn(24, &[10.0, 9.0, 8.0, 12.0, 5.0], 12.1, 1e9);
        }
        season.weigh();
        assert!((season.mix(&[10.0, 9.0, 8.0, 12.0, 5.0]) - 12.0).abs() < 1e-3);
        assert_eq!(season.mix(&[10.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN]), 10.0, "what is there is used");
        assert!(season.mix(&[f32::NAN; GUESSES]).is_nan());
    }

    #[test]
    fn many_steps_at_once_are_guessed_as_each_is() {
        let load = |step: u64| match step % 13 {
            5 => f32::NAN,
            rest => (rest * step % 101) as f32,
        };
        for (days, gaps) in [(40, true), (40, false), (3, true), (1, false), (0, true)] {
            let mut ring = Ring::new(14 * 24, 7);
            (0..days * 24).for_each(|step| ring.push(if gaps { load(step) } else { (step * step % 97) as f32 }));
            let mut season = Season::new(4);
            season.learn(24, &[1.0, 2.0, f32::NAN, 4.0, 5.0], 3.0, 1e9);
            season.weigh();
            for step in ring.next().saturating_sub(30)..ring.next() + 60 {
                let lanes = season.guesses_of_lanes(&ring, 24, step, 7.5);
                let mixed = season.mix_lanes(&lanes);
                for lane in 0..LANES {
                    let one = season.guesses(&ring, 24, step + lane as u64, 7.5);
                    assert_eq!(lanes.map(|guesses| guesses[lane].to_bits()), one.map(f32::to_bits));
                    assert_eq!(mixed[lane].to_bits(), season.mix(&one).to_bits());
                }
            }
        }
    }

    #[test]
    fn a_step_is_guessed_alike_before_and_after_it_is_pushed() {
        for weeks in 1..=MOST_WEEKS {
            let season = Season::new(weeks);
            let mut ring = Ring::new(Season::history_steps(weeks, 24), 0);
            for step in 0..40 * 24 {
                let before = season.guesses(&ring, 24, step, 0.0);
                ring.push((step * step % 97) as f32);
                let after = season.guesses(&ring, 24, step, 0.0);
                assert_eq!(before.map(f32::to_bits), after.map(f32::to_bits), "{weeks} weeks, step {step}");
            }
        }
    }

    #[test]
    fn the_median_of_seven_is_the_fourth() {
        // A network that is right for zeros and ones is right for all numbers.
        for bits in 0..1u32 << WEEK {
            let values: [f32; WEEK] = std::array::from_fn(|i| (bits >> i & 1) as f32);
            assert_eq!(median(values), f32::from(bits.count_ones() > 3), "{values:?}");
        }
    }

    #[test]
    fn medians_of_what_is_known() {
        let nan = f32::NAN;
        assert_eq!(median([3.0, nan, 1.0, nan, 2.0, nan, nan]), 2.0);
        assert_eq!(median([4.0, 1.0, nan, nan, nan, nan, nan]), 2.5);
        assert!(median([nan; WEEK]).is_nan());
    }
}
