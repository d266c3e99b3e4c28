//! What of a shard's load its own past does not explain: the time of day removed, then its own momentum, then outliers made tame.
//!
//! Two shards that share a daily rhythm, or that both drift, correlate at every lag without having to do with each other. So each series is
//! first reduced to its innovations, by a filter of its own (Haugh 1976; Box and Jenkins's prewhitening): the median of the same time on other days
//! is taken off, then an autoregression (Levinson–Durbin, order by Akaike's criterion). Innovations are cut at three of their robust standard deviations
//! (Huber), so that no single burst decides a correlation.

/// Longest autoregression: an hour and twenty minutes of 5-minute steps. What lasts longer than that looks like a level to it.
const MAX_AR_ORDER: usize = 16;
/// Deviations are cut here before the autoregression is fitted: one burst must not set its coefficients.
const DEVIATION_CUT: f32 = 6.0;
/// Innovations are cut here: a burst keeps its sign and its moment.
const INNOVATION_CUT: f32 = 3.0;
/// From the median absolute deviation, and from the mean one, to the standard deviation of a normal distribution.
const SIGMA_PER_MEDIAN_DEVIATION: f32 = 1.4826;
const SIGMA_PER_MEAN_DEVIATION: f32 = 1.2533;
/// A scale is at least this share of what the mean deviation says: a series that mostly stands still has a median deviation near 0.
const MIN_SCALE_SHARE: f32 = 0.5;

/// A series' innovations.
#[derive(Clone, Debug)]
pub(super) struct Residual {
    /// In units of [`Self::scale`], cut at ±3; 0 where the step is missing.
    pub(super) values: Vec<f32>,
    /// One innovation's usual size, in the series' own unit; 0: the series never surprises, and all values are 0.
    pub(super) scale: f32,
}

impl Residual {
    /// Of values a step, NaN where missing, `day` being the steps of a day; none: the window is too short to know the time of day.
    pub(super) fn of(values: &[f32], day: Option<usize>) -> Self {
        let mut deviations = day.map_or_else(|| from_median(values), |day| from_other_days(values, day));
        let scale = robust_scale(&deviations);
        let flat = Self { values: vec![0.0; values.len()], scale: 0.0 };
        if scale <= 0.0 {
            return flat;
        }
        for deviation in &mut deviations {
            *deviation = (*deviation / scale).clamp(-DEVIATION_CUT, DEVIATION_CUT);
        }
        let mut innovations = whitened(&deviations);
        let unit = robust_scale(&innovations);
        if unit <= 0.0 {
            return flat;
        }
        for innovation in &mut innovations {
            *innovation = (*innovation / unit).clamp(-INNOVATION_CUT, INNOVATION_CUT);
        }
        let known = innovations.iter().filter(|v| v.is_finite());
        let mean = known.clone().sum::<f32>() / known.count().max(1) as f32;
        let values = innovations.into_iter().map(|v| if v.is_finite() { v - mean } else { 0.0 }).collect();
        Self { values, scale: unit * scale }
    }
}

/// Each value less the median of the same time on the other days: its own day is left out, or it would explain itself.
fn from_other_days(values: &[f32], day: usize) -> Vec<f32> {
    let mut deviations = vec![f32::NAN; values.len()];
    let mut same_time: Vec<(f32, usize)> = Vec::new();
    for phase in 0..day.min(values.len()) {
        same_time.clear();
        let at = (phase..values.len()).step_by(day);
        same_time.extend(at.filter(|&at| values[at].is_finite()).map(|at| (values[at], at)));
        same_time.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some(others) = same_time.len().checked_sub(1).filter(|&others| others > 0) else { continue };
        for (rank, &(value, at)) in same_time.iter().enumerate() {
            let other = |i: usize| same_time[if i >= rank { i + 1 } else { i }].0;
            let median = (other((others - 1) / 2) + other(others / 2)) / 2.0;
            deviations[at] = value - median;
        }
    }
    deviations
}

fn from_median(values: &[f32]) -> Vec<f32> {
    let mut known: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let median = median(&mut known);
    values.iter().map(|v| v - median).collect()
}

/// The median of values in any order; 0 of none.
fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// A robust standard deviation about 0.
fn robust_scale(values: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = values.iter().filter(|v| v.is_finite()).map(|v| v.abs()).collect();
    let mean = sizes.iter().map(|&v| f64::from(v)).sum::<f64>() / sizes.len().max(1) as f64;
    let by_median = SIGMA_PER_MEDIAN_DEVIATION * median(&mut sizes);
    by_median.max(MIN_SCALE_SHARE * SIGMA_PER_MEAN_DEVIATION * mean as f32)
}

/// What an autoregression of the series on itself does not explain; NaN where the value, or the series' beginning, is missing.
fn whitened(deviations: &[f32]) -> Vec<f32> {
    let filled: Vec<f32> = deviations.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
    let coefficients = autoregression(&filled);
    let order = coefficients.len();
    let mut innovations: Vec<f32> = deviations.to_vec();
    innovations[..order.min(deviations.len())].fill(f32::NAN);
    for at in order..deviations.len() {
        let past = filled[at - order..at].iter().rev();
        innovations[at] -= coefficients.iter().zip(past).map(|(a, v)| a * v).sum::<f32>();
    }
    innovations
}

/// Coefficients on the last 1, 2, … values, of the order that Akaike's criterion prefers.
fn autoregression(values: &[f32]) -> Vec<f32> {
    let steps = values.len();
    let most = MAX_AR_ORDER.min(steps / 4);
    let covariance: Vec<f64> =
        (0..=most).map(|lag| f64::from(super::correlation::dot(&values[lag..], &values[..steps - lag]))).collect();
    let mut error = covariance[0];
    if error <= 0.0 {
        return Vec::new();
    }
    let mut coefficients: Vec<f64> = Vec::new();
    let mut best = (steps as f64 * error.ln(), Vec::new());
    for order in 1..=most {
        let explained: f64 = coefficients.iter().zip(covariance[1..order].iter().rev()).map(|(a, c)| a * c).sum();
        let reflection = (covariance[order] - explained) / error;
        if reflection.abs() >= 1.0 {
            break;
        }
        let mirrored: Vec<f64> = coefficients.iter().rev().copied().collect();
        for (coefficient, mirror) in coefficients.iter_mut().zip(mirrored) {
            *coefficient -= reflection * mirror;
        }
        coefficients.push(reflection);
        error *= 1.0 - reflection * reflection;
        if error <= covariance[0] * f64::EPSILON {
            break;
        }
        let criterion = steps as f64 * error.ln() + 2.0 * order as f64;
        if criterion < best.0 {
            best = (criterion, coefficients.clone());
        }
    }
    best.1.into_iter().map(|a| a as f32).collect()
}
