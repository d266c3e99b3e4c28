use serde::{Deserialize, Serialize};

/// Guesses that are mixed.
const GUESSES: usize = 4;
/// Of them, those that are remembered for each time of day; the first says that the waves leave nothing.
const REMEMBERED: usize = GUESSES - 1;
/// What a new day counts in each: yesterday alone, a mean of some three days, a longer one.
const NEW_DAY: [f32; REMEMBERED] = [1.0, 0.35, 0.2];
/// So many usual errors a day is the most that each moves by: the last does not follow bursts.
const STRIDE: [f32; REMEMBERED] = [f32::MAX, f32::MAX, 1.0];
/// Days over which a guess's usual error is taken.
const ERROR_DAYS: f32 = 2.5;
/// What a guess weighs, beside the best one, before it has been tried.
const UNTRIED: f32 = 0.01;
/// In learning which guess is good, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;

/// What trend and waves leave at each time of day: machines that work by timetable are sharper than waves. A few guesses, mixed, each weighing
/// the more the less it has erred lately; one of them is that nothing is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Timetable {
    /// By time of day; NaN: not known yet.
    remembered: [Vec<f32>; REMEMBERED],
    /// Usual squared error of each guess, and how many errors each has seen.
    errors: [f32; GUESSES],
    seen: [u32; GUESSES],
    weights: [f32; GUESSES],
}

impl Timetable {
    /// For days of `day` steps.
    pub(crate) fn new(day: u64) -> Self {
        Self {
            remembered: std::array::from_fn(|_| vec![f32::NAN; day as usize]),
            errors: [0.0; GUESSES],
            seen: [0; GUESSES],
            weights: [1.0, UNTRIED, UNTRIED, UNTRIED],
        }
    }

    fn guesses(&self, step: u64) -> [f32; GUESSES] {
        let time = self.time(step);
        let mut guesses = [0.0; GUESSES];
        for (guess, remembered) in guesses[1..].iter_mut().zip(&self.remembered) {
            *guess = remembered.get(time).copied().unwrap_or(f32::NAN);
        }
        guesses
    }

    /// What is left at `step`.
    pub(crate) fn at(&self, step: u64) -> f32 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (guess, weight) in self.guesses(step).iter().zip(self.weights) {
            if !guess.is_nan() {
                sum += weight * guess;
                total += weight;
            }
        }
        sum / total
    }

    /// Learns what was left at `step`; `size`: the usual size of an error.
    pub(crate) fn learn(&mut self, step: u64, left: f32, size: f32) {
        let time = self.time(step);
        let settled = 1.0 / (ERROR_DAYS * self.remembered[0].len() as f32);
        let guesses = self.guesses(step);
        for ((guess, error), seen) in guesses.iter().zip(&mut self.errors).zip(&mut self.seen) {
            if guess.is_nan() {
                continue;
            }
            *seen = seen.saturating_add(1);
            let miss = (left - guess).abs().min(ACCIDENT * size);
            *error += (miss * miss - *error) * settled.max(1.0 / *seen as f32).min(1.0);
        }
        for ((remembered, share), stride) in self.remembered.iter_mut().zip(NEW_DAY).zip(STRIDE) {
            let Some(known) = remembered.get_mut(time) else { continue };
            *known = if known.is_nan() {
                left
            } else {
                *known + (share * (left - *known)).clamp(-stride * size, stride * size)
            };
        }
    }

    /// Weighs the guesses anew. A weight falls with the twelfth power of the usual error: near enough to taking the best that a good guess
    /// is not watered down, and yet equals share.
    pub(crate) fn weigh(&mut self) {
        let tried = self.errors.iter().zip(self.seen).filter(|(_, seen)| *seen > 0).map(|(error, _)| *error);
        let least = tried.fold(f32::MAX, f32::min);
        for ((weight, error), seen) in self.weights.iter_mut().zip(self.errors).zip(self.seen) {
            if seen > 0 {
                let ratio = (least + f32::MIN_POSITIVE) / (error + f32::MIN_POSITIVE);
                let cube = ratio * ratio * ratio;
                // Never quite nothing, so that one guess alone still counts.
                *weight = (cube * cube).max(f32::EPSILON);
            }
        }
    }

    /// What is left at `step` is counted from what lies lower by `by` from now on.
    pub(crate) fn shift(&mut self, step: u64, by: f32) {
        let time = self.time(step);
        for known in self.remembered.iter_mut().filter_map(|remembered| remembered.get_mut(time)) {
            *known += by;
        }
    }

    pub(crate) fn is_sound(&self, day: u64) -> bool {
        self.remembered.iter().all(|guess| guess.len() as u64 == day && guess.iter().all(|left| !left.is_infinite()))
            && self.errors.iter().chain(&self.weights).all(|value| value.is_finite() && *value >= 0.0)
    }

    fn time(&self, step: u64) -> usize {
        (step % (self.remembered[0].len() as u64).max(1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 48;

    /// So many days of what was left at each step.
    fn taught(days: u64, left: impl Fn(u64) -> f32) -> Timetable {
        let mut timetable = Timetable::new(DAY);
        for step in 0..days * DAY {
            timetable.learn(step, left(step), 1.0);
            timetable.weigh();
        }
        timetable
    }

    #[test]
    fn a_job_at_the_same_time_every_day_is_expected_then() {
        let timetable = taught(6, |step| if step % DAY == 20 { 30.0 } else { 0.0 });
        assert!((timetable.at(6 * DAY + 20) - 30.0).abs() < 3.0, "{}", timetable.at(6 * DAY + 20));
        assert_eq!(timetable.at(6 * DAY + 21), 0.0);
        assert!(timetable.is_sound(DAY) && !timetable.is_sound(DAY + 1));
    }

    #[test]
    fn what_comes_at_any_time_is_not_expected_at_one() {
        let timetable = taught(12, |step| if step * 2_654_435_761 % 97 == 0 { 30.0 } else { 0.0 });
        let most = (0..DAY).map(|time| timetable.at(12 * DAY + time).abs()).fold(0.0, f32::max);
        assert!(most < 6.0, "{most}");
    }

    #[test]
    fn before_anything_is_known_nothing_is_left() {
        assert_eq!(Timetable::new(DAY).at(5), 0.0);
    }

    #[test]
    fn counted_from_elsewhere_it_says_the_same() {
        let mut timetable = taught(6, |step| (step % DAY) as f32);
        let before = timetable.at(6 * DAY + 40);
        timetable.shift(6 * DAY + 40, -7.0);
        assert!((timetable.at(6 * DAY + 40) - (before - 7.0)).abs() < 0.1);
    }
}
