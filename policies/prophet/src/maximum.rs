use crate::cholesky;
use crate::fit::Shape;
use crate::normal_equations::NormalEquations;

/// Standard deviation of the prior of the first slope and of the offset, in loads of the largest one: Prophet's.
const TREND_PRIOR: f64 = 5.0;
/// Standard deviation of the prior of the noise's own, a half bell: Prophet's.
const NOISE_PRIOR: f64 = 0.5;
/// No noise is taken to be smaller than this share of the largest load: a history without any would have no bound to its precision.
const LEAST_NOISE: f64 = 1e-5;
/// Rounds at most, each one solution of the trend's equations. The bound on the time of a fit.
const MAX_ROUNDS: usize = 40;
/// Bends below this are not told from none; the rounds approach it by [`NARROWING`] each, from the bend at which they begin.
const LEAST_CHANGE: f64 = 1e-7;
const FIRST_CHANGE: f64 = 1.0;
const NARROWING: f64 = 0.25;
/// Rounds end when the logarithm of the density gains no more than this: what is three thousandths more probable is not worth another.
const SETTLED: f64 = 0.003;
/// The most probable coefficients, in the order of the normal equations' columns, and standard deviation of the noise.
///
/// With a normal likelihood, normal priors on trend and periodic terms and a Laplace prior on bends, what is maximised is quadratic but for
/// the absolute values of the bends. Each round replaces those by the parabolas that touch them where the round before ended (iteratively
/// reweighted least squares, a majorisation: D. R. Hunter, R. Li, "Variable selection using MM algorithms", 2005), solves the normal equations
/// and then the noise, whose best value has a closed form. From round to round only the trend's own equations differ: the periodic terms are
/// eliminated once, and again only where the noise has changed so much that it matters. A round costs a Cholesky factorisation of what is left.
#[derive(Debug)]
pub(crate) struct Maximum {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) noise: f64,
}

impl Maximum {
    /// `scale`: what is 1 in the equations. None where rounding spoils the solution.
    pub(crate) fn of(equations: &NormalEquations, shape: &Shape, scale: f64) -> Option<Self> {
        let waves = shape.seasonality.terms();
        let first_change = waves + 2;
        let count = equations.count * shape.steps_per_point;
        let within = count * shape.within_square / (scale * scale);
        let mut precisions = vec![1.0 / (TREND_PRIOR * TREND_PRIOR); equations.size];
        let (of_day, of_week) = precisions[..waves].split_at_mut(shape.seasonality.daily_terms());
        of_day.fill(1.0 / (shape.daily_prior * shape.daily_prior));
        of_week.fill(1.0 / (shape.weekly_prior * shape.weekly_prior));
        let noise = noise_of(equations.square * shape.steps_per_point + within, count);
        let mut best = Self { coefficients: vec![0.0; equations.size], noise };
        let weight_of = |noise: f64| noise * noise / shape.steps_per_point;
        let mut trend = TrendEquations::of(equations, &precisions[..waves], weight_of(noise))?;
        let (mut least, mut before) = (FIRST_CHANGE, f64::INFINITY);
        for _ in 0..MAX_ROUNDS {
            for (precision, change) in precisions.iter_mut().zip(&best.coefficients).skip(first_change) {
                *precision = 1.0 / (shape.changepoint_prior * change.abs().max(least));
            }
            let weight = weight_of(best.noise);
            if trend.gain_of_renewing(&best.coefficients, &precisions, weight) > SETTLED {
                trend = TrendEquations::of(equations, &precisions[..waves], weight)?;
            }
            best.coefficients = trend.solve(&precisions[waves..], weight)?;
            let residual = equations.residual(&best.coefficients) * shape.steps_per_point + within;
            best.noise = noise_of(residual, count);
            let loss = best.loss(residual, count, &precisions, first_change, shape.changepoint_prior);
            if least <= LEAST_CHANGE && before - loss < SETTLED {
                break;
            }
            before = loss;
            least = (least * NARROWING).max(LEAST_CHANGE);
        }
        best.coefficients.iter().all(|coefficient| coefficient.is_finite()).then_some(best)
    }

    /// The logarithm of the density, negative and but for a constant.
    fn loss(&self, residual: f64, count: f64, precisions: &[f64], first_change: usize, changepoint_prior: f64) -> f64 {
        let square = self.noise * self.noise;
        let (normal, bends) = self.coefficients.split_at(first_change);
        let priors =
            normal.iter().zip(precisions).map(|(coefficient, precision)| precision * coefficient * coefficient);
        count * self.noise.ln()
            + 0.5 * residual / square
            + 0.5 * square / (NOISE_PRIOR * NOISE_PRIOR)
            + bends.iter().map(|bend| bend.abs()).sum::<f64>() / changepoint_prior
            + 0.5 * priors.sum::<f64>()
    }
}

/// The most probable noise of `count` values that leave a sum of squares: the maximum of -n ln s - r / 2 s^2 - s^2 / 2 p^2 over s.
fn noise_of(residual: f64, count: f64) -> f64 {
    let inverse = 1.0 / (NOISE_PRIOR * NOISE_PRIOR);
    let square = 2.0 * residual / (count + (count * count + 4.0 * inverse * residual).sqrt());
    square.sqrt().max(LEAST_NOISE)
}

/// The normal equations of the trend alone, its prior left aside, the waves being the most probable ones beside any trend.
struct TrendEquations {
    /// What the priors of the waves weighed beside the values.
    weight: f64,
    waves: usize,
    /// All equations, the waves eliminated.
    whole: Vec<f64>,
    right: Vec<f64>,
    /// Those that are left, row by row.
    trend: Vec<f64>,
    /// Room for their factor.
    factor: Vec<f64>,
}

impl TrendEquations {
    /// `precisions`: of the waves' priors.
    fn of(equations: &NormalEquations, precisions: &[f64], weight: f64) -> Option<Self> {
        let (size, waves) = (equations.size, precisions.len());
        let (mut whole, mut right) = (equations.gram.clone(), equations.right.clone());
        for (at, precision) in precisions.iter().enumerate() {
            whole[at * size + at] += weight * precision;
        }
        if !cholesky::eliminate(&mut whole, &mut right, waves) {
            return None;
        }
        let trend: Vec<f64> = whole.chunks_exact(size).skip(waves).flat_map(|row| &row[waves..]).copied().collect();
        Some(Self { weight, waves, whole, right, factor: trend.clone(), trend })
    }

    /// What the logarithm of the density would gain at most if the waves were eliminated anew, their priors weighing `weight` by now. Where
    /// they are wrong its slope is their prior's, in so far as that has changed, and it curves at least as much as their prior does.
    fn gain_of_renewing(&self, coefficients: &[f64], precisions: &[f64], weight: f64) -> f64 {
        let changed = 1.0 - self.weight / weight;
        let waves = coefficients[..self.waves].iter().zip(precisions);
        0.5 * changed * changed * waves.map(|(wave, precision)| precision * wave * wave).sum::<f64>()
    }

    /// All coefficients. `precisions`: of the trend's prior; `weight`: what they weigh beside the values.
    fn solve(&mut self, precisions: &[f64], weight: f64) -> Option<Vec<f64>> {
        self.factor.copy_from_slice(&self.trend);
        for (own, precision) in self.factor.iter_mut().step_by(precisions.len() + 1).zip(precisions) {
            *own += weight * precision;
        }
        let mut solution = self.right.clone();
        if !cholesky::solve(&mut self.factor, &mut solution[self.waves..]) {
            return None;
        }
        cholesky::substitute(&self.whole, &mut solution, self.waves);
        Some(solution)
    }
}

impl NormalEquations {
    /// The sum of squares that `coefficients` leave.
    fn residual(&self, coefficients: &[f64]) -> f64 {
        let rows = self.gram.chunks_exact(self.size).zip(coefficients).enumerate();
        let fitted =
            rows.map(|(at, (row, own))| own * (2.0 * cholesky::dot(&row[..at], &coefficients[..at]) + own * row[at]));
        (self.square - 2.0 * cholesky::dot(&self.right, coefficients) + fitted.sum::<f64>()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal_equations::{Frame, Point};
    use crate::seasonality::Seasonality;
    use proptest::prelude::*;

    const SEASONALITY: Seasonality = Seasonality { day_order: 4, week_order: 2 };
    const WAVES: usize = 12;
    const TREND_PRECISION: f64 = 1.0 / (TREND_PRIOR * TREND_PRIOR);

    /// Of hours without a changepoint: all priors are normal ones then, and beside a given noise each maximum has a closed form.
    fn equations(loads: impl IntoIterator<Item = f64>) -> NormalEquations {
        let points = loads.into_iter().enumerate();
        let points: Vec<Point> = points.map(|(hour, value)| Point { time_days: hour as f64 / 24.0, value }).collect();
        let frame = Frame { start_days: 0.0, span_days: points[points.len() - 1].time_days, scale: 1.0 };
        NormalEquations::of(&points, frame, &[], SEASONALITY)
    }

    proptest! {
        #[test]
        fn renewing_gains_no_more_than_was_said(
            loads in proptest::collection::vec(0.0f64..1.0, 8..400),
            (before, now) in (-4.0f64..0.0, -4.0f64..0.0),
            prior in -3.0f64..1.0,
        ) {
            let (equations, before, now) = (equations(loads), 10f64.powf(before), 10f64.powf(now));
            let mut precisions = [TREND_PRECISION; WAVES + 2];
            precisions[..WAVES].fill(10f64.powf(-2.0 * prior));
            let loss = |coefficients: &[f64]| {
                let priors = coefficients.iter().zip(precisions).map(|(own, precision)| precision * own * own);
                0.5 * (equations.residual(coefficients) / now + priors.sum::<f64>())
            };
            let mut eliminated = [before, now].map(|weight| {
                TrendEquations::of(&equations, &precisions[..WAVES], weight).expect("the prior keeps it from being singular")
            });
            let [old, new] = eliminated.each_mut().map(|trend| {
                trend.solve(&precisions[WAVES..], now).expect("the prior keeps it from being singular")
            });
            let (gain, said) = (loss(&old) - loss(&new), eliminated[0].gain_of_renewing(&old, &precisions, now));
            let rounding = 1e-6 * (1.0 + loss(&new));
            prop_assert!(gain > -rounding && gain < said + rounding, "{gain}, said to be at most {said}");
        }
    }

    #[test]
    fn a_strong_prior_of_the_waves_weighs_as_the_noise_found_at_last_says() {
        let wave = |hour: i32| 0.4 * (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin();
        let equations = equations((0..336).map(|hour| 0.5 + wave(hour) + 0.02 * f64::from(hour * 37 % 11 - 5)));
        let shape = Shape {
            changepoints: 0,
            changepoint_range: 0.8,
            changepoint_prior: 0.05,
            seasonality: SEASONALITY,
            daily_prior: 0.02,
            weekly_prior: 0.02,
            steps_per_point: 1.0,
            within_square: 0.0,
        };
        let found = Maximum::of(&equations, &shape, 1.0).expect("it is not singular");

        let mut precisions = [TREND_PRECISION; WAVES + 2];
        precisions[..WAVES].fill(1.0 / (0.02 * 0.02));
        let weight = found.noise * found.noise;
        let mut trend = TrendEquations::of(&equations, &precisions[..WAVES], weight).expect("it is not singular");
        let coefficients = trend.solve(&precisions[WAVES..], weight).expect("it is not singular");
        let loss = |of: &Maximum| of.loss(equations.residual(&of.coefficients), 336.0, &precisions, WAVES + 2, 0.05);
        let gain = loss(&found) - loss(&Maximum { coefficients, noise: found.noise });
        // What the last round was not worth, and what eliminating anew was not.
        assert!(gain.abs() < 2.0 * SETTLED, "{gain}");
    }
}
