//! Figures and how sure they are.

use serde::Serialize;

/// A figure and the interval it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The figure.
    pub mid: f64,
    /// From here …
    pub low: f64,
    /// … to here.
    pub high: f64,
}

impl Interval {
    /// The median of some values, between the lowest and the highest. No values: NaN.
    #[must_use]
    pub fn of_starts(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { mid: quantile(&values, 0.5), low: quantile(&values, 0.0), high: quantile(&values, 1.0) }
    }

    /// A figure, and between what 95 of 100 resampled ones lie.
    #[must_use]
    pub fn bootstrapped(mid: f64, mut resampled: Vec<f64>) -> Self {
        resampled.sort_by(f64::total_cmp);
        // The figure of the sample itself may lie outside of few resampled ones; an interval holds its figure.
        let (low, high) = (quantile(&resampled, 0.025), quantile(&resampled, 0.975));
        Self { mid, low: low.min(mid), high: high.max(mid) }
    }

    /// The same times a factor above 0.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { mid: self.mid * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// The value that a share `q` of the sorted values stay at or below, linear between neighbours; NaN of none.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_their_figure() {
        assert_eq!(Interval::of_starts([3.0, 1.0, 2.0, 10.0]), Interval { mid: 2.5, low: 1.0, high: 10.0 });
        assert!(Interval::of_starts([]).mid.is_nan());
        let resampled = (0..=1_000).map(f64::from).collect();
        assert_eq!(Interval::bootstrapped(990.0, resampled), Interval { mid: 990.0, low: 25.0, high: 990.0 });
    }
}
