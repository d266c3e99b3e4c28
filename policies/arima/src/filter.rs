use crate::arma::{Arma, MAX_LAGS, with_differences};
use forecasting_kit::Ring;
use serde::{Deserialize, Serialize};

/// Lags of the values: those of a model, and one more where they are differenced.
pub(crate) const VALUES: usize = MAX_LAGS + 1;
/// The moving average that stands in before the first fit: simple exponential smoothing, that follows a new value to six tenths.
const UNFITTED: f64 = -0.4;

/// An ARIMA model at work, one step after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Filter {
    constant: f32,
    ar: [f32; VALUES],
    ma: [f32; MAX_LAGS],
    /// No innovation is taken for larger: what leaps further is followed step by step, so that a burst of one step is not carried on.
    most: f32,
    /// The last values and innovations, newest first.
    values: [f32; VALUES],
    innovations: [f32; MAX_LAGS],
    /// Whether there was any value.
    begun: bool,
}

impl Filter {
    /// Of values of which `d` differences follow `model`; no innovation is taken for larger than `most`.
    pub(crate) fn new(model: &Arma, d: usize, most: f32) -> Self {
        let constant = model.mean * (1.0 - model.ar.iter().sum::<f64>());
        Self {
            constant: constant as f32,
            ar: with_differences(&model.ar, d).map(|lag| lag as f32),
            ma: model.ma.map(|lag| lag as f32),
            most,
            values: [0.0; VALUES],
            innovations: [0.0; MAX_LAGS],
            begun: false,
        }
    }

    /// Before the first fit.
    pub(crate) fn unfitted() -> Self {
        let order = crate::arma::Order { p: 0, q: 1, mean: false };
        Self::new(&Arma { order, ar: [0.0; MAX_LAGS], ma: [UNFITTED, 0.0, 0.0, 0.0, 0.0], mean: 0.0 }, 1, f32::INFINITY)
    }

    /// What it expects next.
    pub(crate) fn next(&self) -> f32 {
        let carried: f32 = self.ar.iter().zip(&self.values).map(|(lag, value)| lag * value).sum();
        let smoothed: f32 = self.ma.iter().zip(&self.innovations).map(|(lag, innovation)| lag * innovation).sum();
        self.constant + carried + smoothed
    }

    /// Adds the next value; a missing one (NaN) is taken to be as expected. Gives the value and the innovation that were taken.
    pub(crate) fn push(&mut self, value: f32) -> (f32, f32) {
        if !self.begun {
            if value.is_nan() {
                return (0.0, 0.0);
            }
            self.begun = true;
            self.values = [value; VALUES];
            return (value, 0.0);
        }
        let expected = self.next();
        let innovation = if value.is_nan() { 0.0 } else { (value - expected).clamp(-self.most, self.most) };
        let value = expected + innovation;
        self.values.rotate_right(1);
        self.values[0] = value;
        self.innovations.rotate_right(1);
        self.innovations[0] = innovation;
        (value, innovation)
    }

    /// Whether it has seen any value.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) fn is_sound(&self) -> bool {
        let numbers = [&self.ar[..], &self.ma, &self.values, &self.innovations];
        self.constant.is_finite() && self.most >= 0.0 && numbers.into_iter().flatten().all(|number| number.is_finite())
    }
}

/// How what is expected at some leads follows from where the model stood: a weight for each of its last values and innovations, for any
/// moment of the past at the price of a dozen multiplications.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reach {
    leads: Vec<Weights>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Weights {
    constant: f32,
    values: [f32; VALUES],
    innovations: [f32; MAX_LAGS],
}

impl Reach {
    /// At `leads`, ascending.
    pub(crate) fn of(filter: &Filter, leads: &[u64]) -> Self {
        const NOTHING: Weights = Weights { constant: 0.0, values: [0.0; VALUES], innovations: [0.0; MAX_LAGS] };
        let mut weights = vec![NOTHING; leads.len()];
        let blank = Filter {
            constant: 0.0,
            values: [0.0; VALUES],
            innovations: [0.0; MAX_LAGS],
            begun: true,
            ..filter.clone()
        };
        // A forecast is linear in each: what comes of a 1 in its place alone is its weight.
        let mut follow = |mut filter: Filter, at: &dyn Fn(&mut Weights) -> &mut f32| {
            let mut lead = 0;
            for (&wanted, weights) in leads.iter().zip(&mut weights) {
                let mut reached = 0.0;
                while lead < wanted {
                    (reached, _) = filter.push(f32::NAN);
                    lead += 1;
                }
                *at(weights) = reached;
            }
        };
        follow(Filter { constant: filter.constant, ..blank.clone() }, &|weights| &mut weights.constant);
        for i in 0..VALUES {
            let mut one = blank.clone();
            one.values[i] = 1.0;
            follow(one, &|weights| &mut weights.values[i]);
        }
        for i in 0..MAX_LAGS {
            let mut one = blank.clone();
            one.innovations[i] = 1.0;
            follow(one, &|weights| &mut weights.innovations[i]);
        }
        Self { leads: weights }
    }

    /// What was expected at `origin` for lead number `lead`; NaN where the rings don't reach back to it.
    pub(crate) fn from(&self, values: &Ring, innovations: &Ring, origin: u64, lead: usize) -> f32 {
        let Some(weights) = self.leads.get(lead) else { return f32::NAN };
        let sum = |weights: &[f32], ring: &Ring| {
            let terms = weights.iter().zip(0..).filter(|(weight, _)| **weight != 0.0);
            terms.map(|(weight, lag)| weight * ring.before(origin, lag)).sum::<f32>()
        };
        weights.constant + sum(&weights.values, values) + sum(&weights.innovations, innovations)
    }

    pub(crate) fn is_sound(&self, leads: usize) -> bool {
        self.leads.len() == leads
            && self.leads.iter().all(|weights| {
                let numbers = weights.values.iter().chain(&weights.innovations);
                weights.constant.is_finite() && numbers.into_iter().all(|number| number.is_finite())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arma::Order;

    fn model() -> Arma {
        Arma {
            order: Order { p: 2, q: 1, mean: true },
            ar: [0.5, 0.2, 0.0, 0.0, 0.0],
            ma: [0.4, 0.0, 0.0, 0.0, 0.0],
            mean: 3.0,
        }
    }

    #[test]
    fn forecasts_return_to_the_mean_or_stay() {
        let mut filter = Filter::new(&model(), 0, 1e9);
        filter.push(9.0);
        assert!((filter.next() - (3.0 + 0.7 * 6.0)).abs() < 1e-5, "{}", filter.next());
        for _ in 0..100 {
            filter.push(f32::NAN);
        }
        assert!((filter.next() - 3.0).abs() < 1e-3);
        let mut unfitted = Filter::unfitted();
        unfitted.push(10.0);
        unfitted.push(20.0);
        assert!((unfitted.next() - 16.0).abs() < 1e-5);
        unfitted.push(f32::NAN);
        assert!((unfitted.next() - 16.0).abs() < 1e-5, "and stays");
    }

    #[test]
    fn a_leap_is_followed_step_by_step() {
        let mut filter = Filter::new(&Arma { mean: 0.0, ..model() }, 1, 2.0);
        filter.push(10.0);
        assert_eq!(filter.push(50.0), (12.0, 2.0));
        (0..100).for_each(|_| {
            filter.push(50.0);
        });
        assert!((filter.next() - 50.0).abs() < 1.0, "{}", filter.next());
    }

    #[test]
    fn weights_say_what_stepping_says() {
        for d in [0, 1] {
            let mut filter = Filter::new(&Arma { mean: if d == 0 { 3.0 } else { 0.0 }, ..model() }, d, 1e9);
            let (mut values, mut innovations) = (Ring::new(16, 0), Ring::new(16, 0));
            for value in [4.0, 2.0, 7.0, 3.0, 3.5, 8.0, 1.0, 2.0] {
                let (value, innovation) = filter.push(value);
                values.push(value);
                innovations.push(innovation);
            }
            let reach = Reach::of(&filter, &[1, 2, 9]);
            for (lead, steps) in [1, 2, 9].into_iter().enumerate() {
                let mut ahead = filter.clone();
                (1..steps).for_each(|_| {
                    ahead.push(f32::NAN);
                });
                let found = reach.from(&values, &innovations, 7, lead);
                assert!((found - ahead.next()).abs() < 1e-4, "d {d}, {steps} steps: {found}, not {}", ahead.next());
            }
            assert!(reach.from(&values, &innovations, 40, 0).is_nan());
        }
    }
}
