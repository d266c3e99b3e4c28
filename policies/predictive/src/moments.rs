//! Mean, variance and third central moment of a load whose quantiles are forecast.
//!
//! Between its quantiles the load is taken as linear in the logit of its probability, ln(p / (1 − p)), and beyond the outermost ones it goes on
//! so. Quantiles far in the tails are not asked: a forecaster has seen few errors as rare as that, and one guessed too large would weigh
//! more in the variance than all the others.

use crate::outlook::known;
use std::ops::Range;

/// Quantiles beyond this, and below 1 minus it, are left out.
const TRUSTED: f32 = 0.975;
/// Probabilities at which a stretch between quantiles is integrated.
const FINE: usize = 256;

/// A stretch of probabilities over which the load is a + b logit(p), a and b following from two neighbouring quantiles.
#[derive(Clone, Debug, PartialEq)]
struct Stretch {
    /// Which two, and the inverse of their distance in logits.
    low: usize,
    high: usize,
    per_logit: f32,
    /// Integrals over the stretch of 1, and of the first three powers of the logit's distance from the lower quantile's.
    powers: [f32; 4],
}

/// How the values at some quantiles make the moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    stretches: Vec<Stretch>,
    /// The quantile nearest the median: moments are first taken about its value, lest they drown in rounding.
    middle: Option<usize>,
}

impl Moments {
    /// For these quantiles, ascending within 0 to 1.
    pub(crate) fn new(quantiles: &[f32]) -> Self {
        let trusted = |q: &f32| (1.0 - TRUSTED..=TRUSTED).contains(q);
        let all: Vec<usize> = (0..quantiles.len()).collect();
        let kept: Vec<usize> = all.iter().copied().filter(|&i| trusted(&quantiles[i])).collect();
        let kept = if kept.len() < 2 { all } else { kept };
        let off_median = |i: &usize| (quantiles[*i] - 0.5).abs();
        let middle = kept.iter().copied().min_by(|a, b| off_median(a).total_cmp(&off_median(b)));
        let last = kept.len().saturating_sub(2);
        let pairs = kept.windows(2).enumerate().map(|(i, pair)| {
            let (low, high) = (pair[0], pair[1]);
            let (from, to) = (f64::from(quantiles[low]), f64::from(quantiles[high]));
            // The outermost pairs reach to the ends.
            let range = if i == 0 { 0.0 } else { from }..if i == last { 1.0 } else { to };
            let apart = logit(to) - logit(from);
            let per_logit = if apart > 1e-6 { (1.0 / apart) as f32 } else { 0.0 };
            Stretch { low, high, per_logit, powers: powers(range, logit(from)) }
        });
        Self { stretches: pairs.collect(), middle }
    }

    /// Whether the quantiles tell more than the mean.
    pub(crate) fn know_spread(&self) -> bool {
        !self.stretches.is_empty()
    }

    /// Mean, variance and third central moment of a load over `steps`, quantile `q` of which is `forecast[q * stride + step]`.
    ///
    /// Step by step in lanes: most of a round's time goes into reading the forecast.
    pub(crate) fn of(&self, forecast: &[f32], stride: usize, steps: usize, moments: &mut Paths) {
        moments.reset(steps);
        let Some(middle) = self.middle else { return };
        let Paths { first, second, third, middle: about, low, high } = moments;
        read(forecast, middle * stride, about);
        let mut read_of = usize::MAX;
        for stretch in &self.stretches {
            // Stretches follow on one another: what was the upper quantile is the lower one now.
            if read_of == stretch.low {
                std::mem::swap(low, high);
            } else {
                read(forecast, stretch.low * stride, low);
                low.iter_mut().zip(&*about).for_each(|(low, middle)| *low -= middle);
            }
            read(forecast, stretch.high * stride, high);
            high.iter_mut().zip(&*about).for_each(|(high, middle)| *high -= middle);
            read_of = stretch.high;
            let [p0, p1, p2, p3] = stretch.powers;
            let (first, second, third) = (&mut first[..steps], &mut second[..steps], &mut third[..steps]);
            let (low, high) = (&low[..steps], &high[..steps]);
            for i in 0..steps {
                let low = low[i];
                let slope = (high[i] - low).max(0.0) * stretch.per_logit;
                let (steep1, steep2, steep3) = (slope * p1, slope * slope * p2, slope * slope * slope * p3);
                first[i] += low * p0 + steep1;
                second[i] += low * low * p0 + 2.0 * low * steep1 + steep2;
                third[i] += low * low * low * p0 + 3.0 * low * low * steep1 + 3.0 * low * steep2 + steep3;
            }
        }
        let (first, second, third) = (&mut first[..steps], &mut second[..steps], &mut third[..steps]);
        for i in 0..steps {
            let (mean, square, cube) = (first[i], second[i], third[i]);
            first[i] = about[i] + mean;
            second[i] = (square - mean * mean).max(0.0);
            third[i] = cube - 3.0 * mean * square + 2.0 * mean * mean * mean;
        }
    }
}

/// Moments of one shard's load, a value a step, and room to work in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// Means.
    pub(crate) first: Vec<f32>,
    /// Variances.
    pub(crate) second: Vec<f32>,
    /// Third central moments.
    pub(crate) third: Vec<f32>,
    middle: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Paths {
    fn reset(&mut self, steps: usize) {
        let Self { first, second, third, middle, low, high } = self;
        for path in [first, second, third, middle, low, high] {
            path.clear();
            path.resize(steps, 0.0);
        }
    }
}

fn read(forecast: &[f32], from: usize, path: &mut [f32]) {
    path.iter_mut().zip(&forecast[from..]).for_each(|(load, forecast)| *load = known(*forecast));
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

fn powers(range: Range<f64>, origin: f64) -> [f32; 4] {
    let width = (range.end - range.start) / FINE as f64;
    let mut sums = [0.0; 4];
    for i in 0..FINE {
        let at = logit(range.start + (i as f64 + 0.5) * width) - origin;
        let mut power = width;
        for sum in &mut sums {
            *sum += power;
            power *= at;
        }
    }
    sums.map(|sum| sum as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTILES: [f32; 8] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999];

    /// At one step.
    fn of(moments: &Moments, value: impl Fn(usize) -> f32) -> (f32, f32, f32) {
        let (mut paths, forecast) = (Paths::default(), [0, 1, 2, 3, 4, 5, 6, 7].map(value));
        moments.of(&forecast, 1, 1, &mut paths);
        (paths.first[0], paths.second[0], paths.third[0])
    }

    fn near(is: f32, wanted: f32, share: f32) {
        assert!((is - wanted).abs() <= share * wanted.abs(), "{is} for {wanted}");
    }

    #[test]
    fn moments_of_a_logistic_load_are_right() {
        let moments = Moments::new(&QUANTILES);
        let (mean, variance, third) = of(&moments, |i| 10.0 + 3.0 * logit(f64::from(QUANTILES[i])) as f32);
        near(mean, 10.0, 1e-3);
        near(variance, 9.0 * std::f32::consts::PI.powi(2) / 3.0, 0.05);
        assert!(third.abs() < 0.02 * variance.powf(1.5), "{third}");
    }

    #[test]
    fn moments_of_an_exponential_load_are_nearly_right() {
        let moments = Moments::new(&QUANTILES);
        let (mean, variance, third) = of(&moments, |i| -(1.0 - QUANTILES[i]).ln());
        near(mean, 1.0, 0.05);
        near(variance, 1.0, 0.1);
        near(third, 2.0, 0.3);
    }

    #[test]
    fn a_wild_tail_counts_for_nothing() {
        let moments = Moments::new(&QUANTILES);
        let calm = of(&moments, |i| i as f32);
        let wild = of(&moments, |i| if i >= 6 { 1e9 } else { i as f32 });
        assert_eq!(calm, wild);
    }

    #[test]
    fn few_quantiles_are_made_the_best_of() {
        assert_eq!(of(&Moments::new(&[0.5]), |_| 7.0), (7.0, 0.0, 0.0));
        assert_eq!(of(&Moments::new(&[]), |_| 7.0), (0.0, 0.0, 0.0));
        let (mean, variance, _) = of(&Moments::new(&[0.01, 0.99]), |i| if i == 0 { 0.0 } else { 2.0 });
        near(mean, 1.0, 0.01);
        assert!(variance > 0.1 && variance < 0.5, "{variance}");
    }

    #[test]
    fn a_certain_load_has_no_spread() {
        let (mean, variance, third) = of(&Moments::new(&QUANTILES), |_| 1e6);
        assert_eq!((mean, variance, third), (1e6, 0.0, 0.0));
    }
}
