use crate::math::{asinh, exp, ln, sin_cos_turns};
use crate::window::{NEAR, Scale, Window, Z_MAX, or};
use forecasting_kit::known_mean;

/// Last steps shown to the recurrent part one by one.
const FINE: i64 = 16;
/// Bins shown before them, of two hours, but never below a step: two days.
const COARSE: i64 = 24;
/// Steps of the recurrent part.
pub(crate) const SEQUENCE: usize = (FINE + COARSE) as usize;
/// Inputs of each of them.
pub(crate) const SEQUENCE_INPUTS: usize = 4;
/// What is said once a forecast.
pub(crate) const ONCE: usize = 43;
/// What is said of each step to come.
pub(crate) const STEP: usize = 34;
/// Simple guesses among which the network divides its trust.
pub(crate) const ANCHORS: usize = 13;
/// Earlier days looked at, and those before them of which only the mean is.
const DAYS: usize = 7;
const LATER_DAYS: usize = 7;
/// Earlier weeks looked at.
const WEEKS: usize = 4;
/// Values from which the quantiles of history are taken.
const SAMPLE: i64 = 512;
const SAMPLE_LEVELS: [f32; 7] = [0.02, 0.1, 0.25, 0.75, 0.9, 0.98, 1.0];
/// Past moments, spread over a week, at which simple guesses are tried.
const TRIALS: i64 = 64;
const GUESSES: usize = 8;
/// An error above this counts as this.
const TRIAL_ERROR_MAX: f32 = 4.0;

/// What the network is shown of a history; `train/features.py` has the same, and the tests compare.
#[derive(Debug)]
pub(crate) struct Features {
    pub(crate) scale: Scale,
    pub(crate) sequence: [[f32; SEQUENCE_INPUTS]; SEQUENCE],
    pub(crate) once: [f32; ONCE],
    now: Now,
}

/// Mean loads up to now, in units of z.
#[derive(Debug)]
struct Now {
    last: f32,
    three: f32,
    twelve: f32,
    eighth: f32,
    day: f32,
    /// What the last twelve steps are above yesterday's.
    above_yesterday: f32,
    /// What the last three are above the mean of the last seven days'.
    above_days: f32,
}

/// What is said of one step to come.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) inputs: [f32; STEP],
    pub(crate) anchors: [f32; ANCHORS],
}

impl Features {
    pub(crate) fn of(window: &Window) -> Self {
        let (d, t) = (window.day, window.end());
        let level = or(window.mean(0, t), 0.0);
        let sample = window.sample(SAMPLE);
        let quantile = |level_of: f32| {
            let place = (level_of * sample.len() as f32) as usize;
            sample.get(place.min(sample.len().saturating_sub(1))).copied().unwrap_or(level)
        };
        let scale = Scale { centre: quantile(0.5), unit: unit(window, level) };
        let z = |load: f32| scale.z(load);
        let last = |steps: i64| window.mean(t - steps, t);
        let day = or(last(d), level);
        let eighth = or(last((d / 8).max(1)), day);
        let twelve = or(last(12), eighth);
        let three = or(last(3), twelve);
        let one = or(last(1), three);
        let mut once = Row::<ONCE>::new();
        for load in [one, three, twelve, eighth, day, or(last(7 * d), level)] {
            once.push(z(load));
        }
        let above = |now: f32, steps: i64, days: i64| {
            let then = window.mean(t - days * d - steps, t - days * d);
            z(now) - z(or(then, now))
        };
        let mut above_days = 0.0;
        for days in 1..=DAYS as i64 {
            let drift = above(three, 3, days);
            above_days += drift;
            once.push(drift);
        }
        let above_yesterday = above(twelve, 12, 1);
        for days in [1, 2, 3, 7] {
            once.push(above(twelve, 12, days));
        }
        for (lag, steps) in [(d, d), (d, 7 * d), (7 * d, 28 * d), (1, 28 * d), (1, d), (1, 12)] {
            once.push(log_ratio(window.mean_change(lag, t - steps, t).0, scale.unit));
        }
        for level in SAMPLE_LEVELS {
            once.push(z(quantile(level)));
        }
        once.push(asinh(-scale.centre / scale.unit).clamp(-Z_MAX, Z_MAX));
        once.push(ln(t as f32 / d as f32 + 0.03));
        once.push(ln(d as f32) * (std::f32::consts::LOG2_E / 8.0));
        let recent: [f32; 12] = std::array::from_fn(|i| or(window.at(t - 1 - i as i64), twelve));
        once.push(z(recent.into_iter().fold(f32::MIN, f32::max)));
        once.push(z(recent.into_iter().fold(f32::MAX, f32::min)));
        for error in record(window, scale) {
            once.push(error);
        }
        let now = Now {
            last: z(one),
            three: z(three),
            twelve: z(twelve),
            eighth: z(eighth),
            day: z(day),
            above_yesterday,
            above_days: above_days / DAYS as f32,
        };
        Self { scale, sequence: sequence(window, scale, day), once: once.values, now }
    }

    /// Of the step `lead` steps ahead; 1 is the next.
    pub(crate) fn ahead(&self, window: &Window, lead: i64) -> Ahead {
        let (d, now) = (window.day, &self.now);
        let step = window.end() + lead - 1;
        let days_ahead = (lead + d - 1) / d;
        let weeks_ahead = (lead + 7 * d - 1) / (7 * d);
        let day_place = |days: usize| step - (days_ahead + days as i64) * d;
        let week_place = |weeks: usize| step - (weeks_ahead + weeks as i64) * 7 * d;
        let around: [(f32, f32); DAYS] = std::array::from_fn(|i| window.around(day_place(i)));
        let mut looked_at = LookedAt {
            days: std::array::from_fn(|i| window.at(day_place(i))),
            later: std::array::from_fn(|i| window.at(day_place(DAYS + i))),
            weeks: std::array::from_fn(|i| window.at(week_place(i))),
            near: around.map(|(mean, _)| mean),
            high: around.map(|(_, largest)| largest),
            // Up to a day ahead, a week ago is seven days ago.
            near_week: if week_place(0) == day_place(DAYS - 1) {
                around[DAYS - 1].0
            } else {
                window.around(week_place(0)).0
            },
        };
        looked_at.scale(&self.scale);
        let LookedAt { mut days, later, mut weeks, mut near, high, near_week } = looked_at;
        let mean7 = or(known_mean(&days), now.eighth);
        days = days.map(|value| or(value, mean7));
        let mean14 = or(known_mean(&later), mean7);
        let ordered = sorted(days);
        let median = ordered[DAYS / 2];
        let newest = or(weeks[0], median);
        weeks = weeks.map(|value| or(value, newest));
        let (mut highest, mut high_sum) = (f32::MIN, 0.0);
        for ((near, high), day) in near.iter_mut().zip(high).zip(days) {
            *near = or(*near, day);
            let high = or(high, *near);
            highest = highest.max(high);
            high_sum += high;
        }
        let near_mean = sum(&near) / DAYS as f32;
        let near_week = or(near_week, weeks[0]);
        let turns = lead as f32 / d as f32;
        let (sin, cos) = sin_cos_turns(turns);
        let mut inputs = Row::<STEP>::new();
        for value in days.into_iter().chain(weeks).chain(ordered) {
            inputs.push(value);
        }
        for value in [
            near[0],
            near_mean,
            sorted(near)[DAYS / 2],
            near_week,
            high_sum / DAYS as f32,
            highest,
            mean14,
            now.last,
            now.twelve,
            ln(lead as f32) / 3.0 - 1.0,
            1.0 / lead as f32,
            turns.min(3.0),
            exp(lead as f32 / -6.0),
            (days_ahead - 1).min(7) as f32 / 3.0,
            cos,
            sin,
        ] {
            inputs.push(value);
        }
        let anchors = [
            now.last,
            now.three,
            now.twelve,
            now.day,
            days[0],
            sum(&days[..3]) / 3.0,
            median,
            mean7,
            weeks[0],
            sum(&weeks) / WEEKS as f32,
            near_mean,
            days[0] + now.above_yesterday,
            mean7 + now.above_days,
        ];
        Ahead { inputs: inputs.values, anchors }
    }
}

/// Loads of the past that are looked at for one step to come.
struct LookedAt {
    days: [f32; DAYS],
    later: [f32; LATER_DAYS],
    weeks: [f32; WEEKS],
    near: [f32; DAYS],
    high: [f32; DAYS],
    near_week: f32,
}

impl LookedAt {
    /// From loads to units of z, all in one row, so that vectors can be used.
    fn scale(&mut self, scale: &Scale) {
        let mut row = [0.0; DAYS + LATER_DAYS + WEEKS + DAYS + DAYS + 1];
        let Self { days, later, weeks, near, high, near_week } = self;
        let own = std::slice::from_mut(near_week);
        let parts: [&mut [f32]; 6] = [days, later, weeks, near, high, own];
        let mut at = 0;
        for part in &parts {
            row[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        scale.z_all(&mut row);
        at = 0;
        for part in parts {
            part.copy_from_slice(&row[at..at + part.len()]);
            at += part.len();
        }
    }
}

/// The unit of z: the daily change, as far as half a day of it is known; before, a guess from the changes between steps.
fn unit(window: &Window, level: f32) -> f32 {
    let (d, t) = (window.day, window.end());
    let (daily, count) = window.mean_change(d, 0, t);
    let rough = 2.0 * or(window.mean_change(1, 0, t).0, 0.0) + 0.1 * level;
    let trust = (count as f32 / d as f32 * 2.0).min(1.0);
    (trust * or(daily, 0.0) + (1.0 - trust) * rough).max(1e-3 * level + 1e-6)
}

/// How far simple guesses were off lately: logarithms of their mean errors.
fn record(window: &Window, scale: Scale) -> [f32; GUESSES] {
    let (d, t) = (window.day, window.end());
    let span = (7 * d).min((t - d).max(1));
    let mut errors = [0.0f32; GUESSES];
    let mut counts = [0.0f32; GUESSES];
    let z = |place: i64| scale.z(window.at(place));
    for trial in 0..TRIALS {
        let place = t - 1 - trial * span / TRIALS;
        let truth = z(place);
        if truth.is_nan() {
            continue;
        }
        let days: [f32; DAYS] = std::array::from_fn(|i| z(place - (i as i64 + 1) * d));
        let mean7 = known_mean(&days);
        let median = sorted(days.map(|value| or(value, mean7)))[DAYS / 2];
        let near = scale.z(window.mean(place - d - NEAR, place - d + NEAR + 1));
        let guesses = [days[0], known_mean(&days[..3]), mean7, median, days[6], near, z(place - 1), z(place - 12)];
        for ((error, count), guess) in errors.iter_mut().zip(&mut counts).zip(guesses) {
            if !guess.is_nan() {
                *error += (truth - guess).abs().min(TRIAL_ERROR_MAX);
                *count += 1.0;
            }
        }
    }
    std::array::from_fn(|i| ln(if counts[i] > 0.0 { errors[i] / counts[i] } else { 1.0 } + 0.01))
}

fn sequence(window: &Window, scale: Scale, day: f32) -> [[f32; SEQUENCE_INPUTS]; SEQUENCE] {
    let (d, t) = (window.day, window.end());
    let coarse = (d / 12).max(1);
    std::array::from_fn(|i| {
        let i = i as i64;
        let is_bin = i < COARSE;
        let (from, width) =
            if is_bin { (t - FINE - (COARSE - i) * coarse, coarse) } else { (t - FINE + (i - COARSE), 1) };
        let here = window.mean(from, from + width);
        let before = or(window.mean(from - d, from - d + width), or(here, day));
        let rough = log_ratio(window.mean_change(1, from, from + width).0, scale.unit);
        [scale.z(or(here, before)), scale.z(before), rough * 0.5, if is_bin { 1.0 } else { 0.0 }]
    })
}

/// ln(a / b), within bounds; that of 1 where `a` is not known.
fn log_ratio(a: f32, b: f32) -> f32 {
    ln(or(a, b) / b + 1e-3).clamp(-5.0, 5.0)
}

fn sum(values: &[f32]) -> f32 {
    values.iter().sum()
}

/// Ascending, by the shortest network of exchanges for seven (Knuth, The Art of Computer Programming, volume 3, 5.3.4).
fn sorted(mut values: [f32; DAYS]) -> [f32; DAYS] {
    const EXCHANGES: [(usize, usize); 16] = [
        (1, 2),
        (3, 4),
        (5, 6),
        (0, 2),
        (3, 5),
        (4, 6),
        (0, 1),
        (4, 5),
        (2, 6),
        (0, 4),
        (1, 5),
        (0, 3),
        (2, 5),
        (1, 3),
        (2, 4),
        (2, 3),
    ];
    for (low, high) in EXCHANGES {
        let (a, b) = (values[low], values[high]);
        values[low] = if b < a { b } else { a };
        values[high] = if b < a { a } else { b };
    }
    values
}

/// A row being filled from the left.
struct Row<const N: usize> {
    values: [f32; N],
    filled: usize,
}

impl<const N: usize> Row<N> {
    fn new() -> Self {
        Self { values: [0.0; N], filled: 0 }
    }

    fn push(&mut self, value: f32) {
        if let Some(place) = self.values.get_mut(self.filled) {
            *place = value;
        }
        self.filled += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_are_sorted() {
        // A network that is right for zeros and ones is right for all numbers.
        for bits in 0..1u32 << DAYS {
            let values: [f32; DAYS] = std::array::from_fn(|i| (bits >> i & 1) as f32);
            assert!(sorted(values).is_sorted(), "{values:?}");
        }
    }

    #[test]
    fn rows_are_as_long_as_they_are_said_to_be() {
        let window = Window::new((0..100).map(|i| (i % 24) as f32).collect(), 24);
        let features = Features::of(&window);
        let ahead = features.ahead(&window, 1);
        assert!(features.once.iter().chain(&ahead.inputs).all(|value| value.is_finite()));
        assert_ne!(features.once[ONCE - 1], 0.0, "the last place is filled");
    }
}
