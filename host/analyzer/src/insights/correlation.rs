//! Correlation of two series at a lag, with a test that does not take them for normal, or for equally restless at all times.

use std::ops::Range;

/// A correlation at one lag.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Correlation {
    /// −1 to 1.
    pub(super) r: f32,
    /// Its distance from 0 in its own standard errors, those that hold when both series are restless at the same times of day (White 1980).
    pub(super) z: f32,
}

/// Sum of products, in eight lanes so that it is vectorised.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The part of `early` and of `late` that face each other at a lag, `late` being inside `within`. A negative lag swaps them.
fn facing<'a>(early: &'a [f32], late: &'a [f32], lag: i32, within: &Range<usize>) -> (&'a [f32], &'a [f32]) {
    let by = lag.unsigned_abs() as usize;
    let end = within.end.min(early.len()).min(late.len());
    let from = (within.start + by).min(end);
    let (back, front) = (from - by.min(from)..end - by.min(end), from..end);
    if lag >= 0 { (&early[back], &late[front]) } else { (&early[front], &late[back]) }
}

/// Correlation of `early`, both centred on 0, with `late` as it is `lag` steps after.
pub(super) fn at_lag(early: &[f32], late: &[f32], lag: i32, within: &Range<usize>) -> Correlation {
    let (a, b) = facing(early, late, lag, within);
    let mut sums = [[0.0f32; 8]; 4];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = (chunks_a.remainder(), chunks_b.remainder());
    let mut add = |lane: usize, a: f32, b: f32| {
        let product = a * b;
        sums[0][lane] += product;
        sums[1][lane] += product * product;
        sums[2][lane] += a * a;
        sums[3][lane] += b * b;
    };
    for (a, b) in chunks_a.zip(chunks_b) {
        for lane in 0..8 {
            add(lane, a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in rest.0.iter().zip(rest.1).enumerate() {
        add(lane, a, b);
    }
    let [product, spread, of_a, of_b] = sums.map(|lanes| lanes.iter().sum::<f32>());
    let size = (of_a * of_b).sqrt();
    if size > 0.0 && spread > 0.0 {
        Correlation { r: product / size, z: product / spread.sqrt() }
    } else {
        Correlation::default()
    }
}

/// The lag from `lags` with the strongest correlation, and that; the first of equals.
pub(super) fn peak(early: &[f32], late: &[f32], lags: Range<i32>, within: &Range<usize>) -> (i32, Correlation) {
    let mut best = (lags.start, Correlation::default());
    for lag in lags {
        let (a, b) = facing(early, late, lag, within);
        let product = dot(a, b);
        // Norms hardly differ between lags: products decide.
        if product.abs() > best.1.r.abs() {
            best = (lag, Correlation { r: product, z: 0.0 });
        }
    }
    (best.0, at_lag(early, late, best.0, within))
}

/// How many standard errors a correlation must be from 0 so that among `trials` of them the largest is so by chance with probability `chance` only:
/// Bonferroni's bound, by the normal distribution's tail.
pub(super) fn threshold(trials: f64, chance: f64) -> f32 {
    let tail = chance / trials.max(1.0) / 2.0;
    // Q(z) ≈ φ(z) / z · (1 − 1/z²), solved for z by bisection.
    let log_tail = |z: f64| -z * z / 2.0 - (2.0 * std::f64::consts::PI).sqrt().ln() - z.ln() + (-1.0 / (z * z)).ln_1p();
    let (mut low, mut high) = (1.5, 40.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if log_tail(middle) > tail.ln() {
            low = middle;
        } else {
            high = middle;
        }
    }
    high as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_normal_distribution() {
        // Two-sided: 3.2905 at 0.001, 5.3267 at 1e-7.
        assert!((threshold(1.0, 0.001) - 3.2905).abs() < 0.03, "{}", threshold(1.0, 0.001));
        assert!((threshold(1e6, 0.1) - 5.3267).abs() < 0.01, "{}", threshold(1e6, 0.1));
    }

    #[test]
    fn a_lag_is_how_much_later_the_second_comes() {
        let early: Vec<f32> = (0..400).map(|t| ((t * t) as f32 * 0.37).sin()).collect();
        let late: Vec<f32> = (0..400).map(|t: i32| if t < 7 { 0.0 } else { early[t as usize - 7] }).collect();
        assert_eq!(peak(&early, &late, -24..25, &(0..400)).0, 7);
        assert_eq!(peak(&late, &early, -24..25, &(0..400)).0, -7);
        let half = peak(&early, &late, -24..25, &(200..400));
        assert_eq!(half.0, 7);
        assert!(half.1.r > 0.999 && half.1.z > 5.0, "{half:?}");
    }

    #[test]
    fn too_short_or_flat_series_correlate_with_nothing() {
        assert_eq!(at_lag(&[], &[], 3, &(0..0)), Correlation::default());
        assert_eq!(at_lag(&[1.0, 2.0], &[1.0, 2.0], 24, &(0..2)), Correlation::default());
        assert_eq!(at_lag(&[0.0; 50], &[1.0; 50], -24, &(0..50)), Correlation::default());
    }
}
