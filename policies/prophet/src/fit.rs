use crate::cholesky;
use crate::decomposition::{Change, Decomposition};
use crate::normal_equations::{Frame, NormalEquations, Point};
use crate::seasonality::Seasonality;

/// Standard deviation of the prior of the first slope and of the offset, in loads of the largest one: Prophet's.
const TREND_PRIOR: f64 = 5.0;
/// Standard deviation of the prior of the noise's own, a half bell: Prophet's.
const NOISE_PRIOR: f64 = 0.5;
/// No noise is taken to be smaller than this share of the largest load: a history without any would have no bound to its precision.
const LEAST_NOISE: f64 = 1e-5;
/// Rounds at most, each one solution of the normal equations. The bound on the time of a fit.
const MAX_ROUNDS: usize = 40;
/// Bends below this are not told from none; the rounds approach it by [`NARROWING`] each, from the bend at which they begin.
const LEAST_CHANGE: f64 = 1e-7;
const FIRST_CHANGE: f64 = 1.0;
const NARROWING: f64 = 0.25;
/// Rounds end when the logarithm of the density gains no more than this: what is three thousandths more probable is not worth another.
const SETTLED: f64 = 0.003;
/// The fewest values that are worth a fit.
const LEAST_POINTS: usize = 4;

/// What is fitted, and how freely.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The most places where the trend may bend; fewer where history is short.
    pub changepoints: usize,
    /// They are spread evenly over this first share of the history.
    pub changepoint_range: f64,
    /// Scale of the Laplace prior of a bend: the larger, the more freely the trend bends.
    pub changepoint_prior: f64,
    /// Which periodic terms there are.
    pub seasonality: Seasonality,
    /// Standard deviation of the prior of the daily terms' coefficients, in loads of the largest one.
    pub daily_prior: f64,
    /// The same of the weekly ones.
    pub weekly_prior: f64,
    /// Steps that each value is the mean of, and the mean square of their distance from it: so that means of many steps weigh, and are as
    /// noisy, as the steps themselves.
    pub steps_per_point: f64,
    /// See above.
    pub within_square: f64,
}

/// The most probable Prophet model of `points`, ascending in time: a trend that bends at changepoints, periodic terms and noise (S. J. Taylor,
/// B. Letham, "Forecasting at scale", The American Statistician 2018). None for fewer than four values, values all at one time, or where
/// rounding spoils the solution.
///
/// With a normal likelihood, normal priors on trend and periodic terms and a Laplace prior on bends, what is maximised is quadratic but for
/// the absolute values of the bends. Each round replaces those by the parabolas that touch them where the round before ended (iteratively
/// reweighted least squares, a majorisation: D. R. Hunter, R. Li, "Variable selection using MM algorithms", 2005), solves the normal equations
/// and then the noise, whose best value has a closed form. Values are read once; a round costs a Cholesky factorisation.
#[must_use]
pub fn fit(points: &[Point], shape: &Shape) -> Option<Decomposition> {
    let frame = frame(points)?;
    let places = changepoints(points, frame, shape);
    let equations = NormalEquations::of(points, frame, &places, shape.seasonality);
    let coefficients = Maximum::of(&equations, shape, places.len(), frame)?;
    let Maximum { coefficients, noise } = coefficients;
    let changes = places.iter().zip(&coefficients[2..]).map(|(time, change)| Change { time: *time, change: *change });
    Some(Decomposition {
        start_days: frame.start_days,
        span_days: frame.span_days,
        scale: frame.scale,
        slope: coefficients[0],
        offset: coefficients[1],
        changes: changes.collect(),
        seasonality: shape.seasonality,
        waves: coefficients[2 + places.len()..].to_vec(),
        noise,
    })
}

fn frame(points: &[Point]) -> Option<Frame> {
    let [first, .., last] = points else { return None };
    let scale = points.iter().fold(0.0, |largest: f64, point| largest.max(point.value.abs()));
    let span_days = last.time_days - first.time_days;
    let enough = points.len() >= LEAST_POINTS && span_days > 0.0 && scale.is_finite();
    // All zero: any scale will do.
    let scale = if scale > 0.0 { scale } else { 1.0 };
    enough.then_some(Frame { start_days: first.time_days, span_days, scale })
}

/// Times of changepoints: those of values evenly spread over the first share of the history, as Prophet takes them, without the first.
fn changepoints(points: &[Point], frame: Frame, shape: &Shape) -> Vec<f64> {
    let reach = (points.len() as f64 * shape.changepoint_range).floor() as usize;
    let count = shape.changepoints.min(reach.saturating_sub(1));
    let place = |nth: usize| (nth as f64 * (reach - 1) as f64 / count as f64).round_ties_even() as usize;
    (1..=count).filter_map(|nth| points.get(place(nth))).map(|point| frame.time(point.time_days)).collect()
}

struct Maximum {
    coefficients: Vec<f64>,
    noise: f64,
}

impl Maximum {
    fn of(equations: &NormalEquations, shape: &Shape, changes: usize, frame: Frame) -> Option<Self> {
        let size = equations.size;
        let count = equations.count * shape.steps_per_point;
        let within = count * shape.within_square / (frame.scale * frame.scale);
        let mut precisions = vec![1.0 / (TREND_PRIOR * TREND_PRIOR); size];
        let first_weekly = size - 2 * shape.seasonality.week_order as usize;
        precisions[2 + changes..first_weekly].fill(1.0 / (shape.daily_prior * shape.daily_prior));
        precisions[first_weekly..].fill(1.0 / (shape.weekly_prior * shape.weekly_prior));
        let noise_of = |residual: f64| {
            // The maximum of -n ln s - r / 2 s^2 - s^2 / 2 p^2 over s.
            let inverse = 1.0 / (NOISE_PRIOR * NOISE_PRIOR);
            let square = 2.0 * residual / (count + (count * count + 4.0 * inverse * residual).sqrt());
            square.sqrt().max(LEAST_NOISE)
        };
        let mut best =
            Self { coefficients: vec![0.0; size], noise: noise_of(equations.square * shape.steps_per_point + within) };
        let (mut matrix, mut least, mut before) = (vec![0.0; size * size], FIRST_CHANGE, f64::INFINITY);
        for _ in 0..MAX_ROUNDS {
            for (precision, change) in precisions[2..2 + changes].iter_mut().zip(&best.coefficients[2..]) {
                *precision = 1.0 / (shape.changepoint_prior * change.abs().max(least));
            }
            matrix.copy_from_slice(&equations.gram);
            let weight = best.noise * best.noise / shape.steps_per_point;
            for (at, precision) in precisions.iter().enumerate() {
                matrix[at * size + at] += weight * precision;
            }
            let mut solution = equations.right.clone();
            if !cholesky::solve(&mut matrix, &mut solution) {
                return None;
            }
            let residual = equations.residual(&solution) * shape.steps_per_point + within;
            best = Self { noise: noise_of(residual), coefficients: solution };
            let loss = best.loss(residual, count, &precisions, changes, shape.changepoint_prior);
            if least <= LEAST_CHANGE && before - loss < SETTLED {
                break;
            }
            before = loss;
            least = (least * NARROWING).max(LEAST_CHANGE);
        }
        best.coefficients.iter().all(|coefficient| coefficient.is_finite()).then_some(best)
    }

    /// The logarithm of the density, negative and but for a constant.
    fn loss(&self, residual: f64, count: f64, precisions: &[f64], changes: usize, changepoint_prior: f64) -> f64 {
        let square = self.noise * self.noise;
        let normal = |from: usize, to: usize| -> f64 {
            let parts = self.coefficients[from..to].iter().zip(&precisions[from..to]);
            parts.map(|(coefficient, precision)| 0.5 * precision * coefficient * coefficient).sum()
        };
        let bends: f64 = self.coefficients[2..2 + changes].iter().map(|bend| bend.abs()).sum();
        count * self.noise.ln()
            + 0.5 * residual / square
            + 0.5 * square / (NOISE_PRIOR * NOISE_PRIOR)
            + bends / changepoint_prior
            + normal(0, 2)
            + normal(2 + changes, self.coefficients.len())
    }
}

impl NormalEquations {
    /// The sum of squares that `coefficients` leave.
    fn residual(&self, coefficients: &[f64]) -> f64 {
        let fitted: f64 = self
            .gram
            .chunks_exact(self.size)
            .zip(coefficients)
            .map(|(row, coefficient)| coefficient * cholesky::dot(row, coefficients))
            .sum();
        (self.square - 2.0 * cholesky::dot(&self.right, coefficients) + fitted).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(changepoints: usize) -> Shape {
        Shape {
            changepoints,
            changepoint_range: 0.8,
            changepoint_prior: 0.05,
            seasonality: Seasonality { day_order: 3, week_order: 0 },
            daily_prior: 10.0,
            weekly_prior: 10.0,
            steps_per_point: 1.0,
            within_square: 0.0,
        }
    }

    fn hours(loads: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let points = loads.into_iter().enumerate();
        points.map(|(hour, value)| Point { time_days: 20_000.0 + hour as f64 / 24.0, value }).collect()
    }

    #[test]
    fn a_bend_and_a_wave_are_found_again() {
        let load = |hour: usize| {
            let bent = (hour as f64 - 170.0).max(0.0);
            200.0 + 0.5 * bent + 20.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin()
        };
        let model = fit(&hours((0..336).map(load)), &shape(25)).expect("enough of a history");
        let mut room = [0.0; 6];
        let time_days = 20_000.0 + 340.0 / 24.0;
        let found = model.trend(time_days) + model.seasons(time_days, &mut room).0;
        assert!((found - load(340)).abs() < 2.0, "{found}, not {}", load(340));
        assert!(model.noise * model.scale < 2.0);
    }

    #[test]
    fn too_little_to_fit_is_none() {
        assert!(fit(&hours([1.0, 2.0, 3.0]), &shape(25)).is_none());
        assert!(fit(&[Point { time_days: 3.0, value: 1.0 }; 9], &shape(25)).is_none());
    }

    proptest! {
        #[test]
        fn any_history_gives_a_sound_model_or_none(
            loads in proptest::collection::vec(prop_oneof![Just(0.0), 0.0..1e3, 0.0..1e15, Just(1e15)], 0..200),
            changepoints in 0usize..60,
        ) {
            if let Some(model) = fit(&hours(loads), &shape(changepoints)) {
                prop_assert!(model.is_sound(), "{model:?}");
            }
        }
    }
}
