use serde::{Deserialize, Serialize};
use std::array;

/// The most lags of values, and of innovations, that a model may have. Five is what the usual automatic search allows (Hyndman and
/// Khandakar 2008).
pub(crate) const MAX_LAGS: usize = 5;
/// The most parameters of a fit: both sets of lags and the mean.
pub(crate) const MAX_PARAMETERS: usize = 2 * MAX_LAGS + 1;
/// Partial autocorrelations stay below this, so that a fitted model is never right at the edge of running away.
pub(crate) const PARTIAL_LIMIT: f64 = 0.995;

/// Coefficients of one polynomial, those past its degree 0.
pub(crate) type Lags = [f64; MAX_LAGS];

/// Which parts a model has: `p` lags of the values, `q` lags of the innovations, a mean or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) p: usize,
    pub(crate) q: usize,
    pub(crate) mean: bool,
}

impl Order {
    /// Parameters to be estimated, the innovations' variance apart.
    pub(crate) fn parameters(self) -> usize {
        self.p + self.q + usize::from(self.mean)
    }

    pub(crate) fn is_sound(self) -> bool {
        self.p <= MAX_LAGS && self.q <= MAX_LAGS
    }
}

/// An ARMA model of values that were differenced already: `w[t] - mean = sum ar[i] (w[t-1-i] - mean) + e[t] + sum ma[j] e[t-1-j]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arma {
    pub(crate) order: Order,
    pub(crate) ar: Lags,
    pub(crate) ma: Lags,
    pub(crate) mean: f64,
}

/// The coefficients of the autoregression whose partial autocorrelations are the first `degree` of `partials` (Levinson's and Durbin's
/// recursion; for keeping a fit stationary: J. F. Monahan, "A note on enforcing stationarity in autoregressive-moving average models", 1984).
pub(crate) fn from_partials(partials: &Lags, degree: usize) -> Lags {
    let mut lags = [0.0; MAX_LAGS];
    for k in 0..degree.min(MAX_LAGS) {
        let before = lags;
        lags[k] = partials[k];
        for i in 0..k {
            lags[i] = before[i] - partials[k] * before[k - 1 - i];
        }
    }
    lags
}

/// The partial autocorrelations of an autoregression; none where it is not stationary.
pub(crate) fn to_partials(lags: &Lags, degree: usize) -> Option<Lags> {
    let (mut lags, mut partials) = (*lags, [0.0; MAX_LAGS]);
    for k in (0..degree.min(MAX_LAGS)).rev() {
        let partial = lags[k];
        if partial.is_nan() || partial.abs() >= 1.0 {
            return None;
        }
        partials[k] = partial;
        let before = lags;
        for i in 0..k {
            lags[i] = (before[i] + partial * before[k - 1 - i]) / (1.0 - partial * partial);
        }
    }
    Some(partials)
}

/// The same of one that need not be stationary: it is damped, lag by lag, until it is well within.
pub(crate) fn to_partials_damped(lags: &Lags, degree: usize) -> Lags {
    const DAMPING: f64 = 0.9;
    const WELL_WITHIN: f64 = 0.97;
    const TRIES: usize = 60;
    let mut lags = *lags;
    for _ in 0..TRIES {
        if let Some(partials) = to_partials(&lags, degree)
            && partials.iter().all(|partial| partial.abs() < WELL_WITHIN)
        {
            return partials;
        }
        let mut power = 1.0;
        for lag in &mut lags {
            power *= DAMPING;
            *lag *= power;
        }
    }
    [0.0; MAX_LAGS]
}

/// Partial autocorrelations of unbounded numbers: what the optimiser moves in.
pub(crate) fn bounded(free: &Lags) -> Lags {
    free.map(|free| PARTIAL_LIMIT * free.tanh())
}

/// The inverse of [`bounded`].
pub(crate) fn unbounded(partials: &Lags) -> Lags {
    partials.map(|partial| (partial / PARTIAL_LIMIT).clamp(-0.999, 0.999).atanh())
}

/// The polynomial of the values themselves, of which `d` differences have that of `ar`: lags of an autoregression.
pub(crate) fn with_differences(ar: &Lags, d: usize) -> [f64; MAX_LAGS + 1] {
    let mut lags: [f64; MAX_LAGS + 1] = array::from_fn(|i| ar.get(i).copied().unwrap_or(0.0));
    if d > 0 {
        // (1 - a1 B - a2 B^2 ...)(1 - B)
        let before = lags;
        lags[0] = before[0] + 1.0;
        for i in 1..lags.len() {
            lags[i] = before[i] - before[i - 1];
        }
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partials_and_back() {
        let partials = [0.5, -0.3, 0.8, 0.1, -0.9];
        for degree in 0..=MAX_LAGS {
            let lags = from_partials(&partials, degree);
            let back = to_partials(&lags, degree).unwrap_or_else(|| panic!("{lags:?} is stationary"));
            for k in 0..degree {
                assert!((back[k] - partials[k]).abs() < 1e-12);
            }
        }
        // AR(2) by hand.
        let lags = from_partials(&[0.5, -0.3, 0.0, 0.0, 0.0], 2);
        assert!((lags[0] - 0.65).abs() < 1e-12 && (lags[1] + 0.3).abs() < 1e-12);
    }

    #[test]
    fn what_runs_away_is_seen_and_damped() {
        let explosive = [1.2, 0.0, 0.3, 0.0, 0.0];
        assert_eq!(to_partials(&explosive, 3), None);
        assert_eq!(to_partials(&[f64::NAN, 0.0, 0.0, 0.0, 0.0], 1), None);
        let damped = to_partials_damped(&explosive, 3);
        assert!(damped.iter().all(|partial| partial.abs() < 1.0) && damped[0] > 0.5, "{damped:?}");
    }

    #[test]
    fn free_numbers_stay_within() {
        for free in [-50.0, -1.0, 0.0, 0.3, 50.0] {
            let partials = bounded(&[free; MAX_LAGS]);
            assert!(partials[0].abs() <= PARTIAL_LIMIT);
            let back = unbounded(&partials)[0];
            assert!((back - free).abs() < 1e-9 || free.abs() > 3.0, "{free} {back}");
        }
    }

    #[test]
    fn a_difference_is_a_lag_more() {
        assert_eq!(with_differences(&[0.5, 0.0, 0.0, 0.0, 0.0], 1), [1.5, -0.5, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(with_differences(&[0.5, 0.2, 0.0, 0.0, 0.0], 0), [0.5, 0.2, 0.0, 0.0, 0.0, 0.0]);
    }
}
