#![expect(clippy::needless_range_loop, reason = "matrices and lags are walked by their indices, as the formulas are")]

use crate::arma::{
    Arma, Lags, MAX_LAGS, MAX_PARAMETERS, Order, PARTIAL_LIMIT, bounded, from_partials, to_partials_damped, unbounded,
};
use crate::normal_equations::NormalEquations;
use std::array;

/// A series to fit: evenly spaced, differenced as often as it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    /// Finite; where one was missing, what stands for it.
    pub(crate) values: &'a [f64],
    /// Whether each was truly seen: only those count.
    pub(crate) known: &'a [bool],
    /// The first so many are conditioned on and don't count, at least `p` of them.
    pub(crate) skip: usize,
}

/// How the optimiser is bounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Steps at most, those that were taken back included.
    pub(crate) iterations: usize,
    /// It ends where a step brings the sum down by a smaller share.
    pub(crate) tolerance: f64,
}

/// A fitted model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    pub(crate) model: Arma,
    /// Conditional sum of squares.
    pub(crate) sum: f64,
    /// Squares in it.
    pub(crate) count: usize,
}

impl Fit {
    /// Mean square of the innovations.
    pub(crate) fn variance(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// Log-likelihood of `n` values, the variance being the mean square: conditional, Gaussian.
    pub(crate) fn log_likelihood(&self, n: usize) -> f64 {
        -0.5 * n as f64 * ((std::f64::consts::TAU * self.variance().max(f64::MIN_POSITIVE)).ln() + 1.0)
    }

    /// Akaike's criterion corrected for few values (C. M. Hurvich and C.-L. Tsai 1989): lower is better; infinite where there are too few.
    pub(crate) fn criterion(&self, n: usize) -> f64 {
        let k = self.model.order.parameters() as f64 + 1.0;
        let spare = n as f64 - k - 1.0;
        if spare > 0.0 { -2.0 * self.log_likelihood(n) + 2.0 * k + 2.0 * k * (k + 1.0) / spare } else { f64::INFINITY }
    }
}

/// Where the optimiser stands: partial autocorrelations of both polynomials as unbounded numbers, and the mean.
#[derive(Clone, Copy, Debug)]
struct Point {
    ar: Lags,
    ma: Lags,
    mean: f64,
}

impl Point {
    fn of(model: &Arma) -> Self {
        let inverted = model.ma.map(|lag| -lag);
        Self {
            ar: unbounded(&to_partials_damped(&model.ar, model.order.p)),
            ma: unbounded(&to_partials_damped(&inverted, model.order.q)),
            mean: model.mean,
        }
    }

    fn model(&self, order: Order) -> Arma {
        Arma {
            order,
            ar: from_partials(&bounded(&self.ar), order.p),
            ma: from_partials(&bounded(&self.ma), order.q).map(|lag| -lag),
            mean: self.mean,
        }
    }

    fn moved(mut self, order: Order, by: &[f64; MAX_PARAMETERS]) -> Self {
        /// A step of an unbounded number: 1 is from 0 to 0.76.
        const LONGEST: f64 = 1.0;
        for i in 0..order.p {
            self.ar[i] += by[i].clamp(-LONGEST, LONGEST);
        }
        for j in 0..order.q {
            self.ma[j] += by[order.p + j].clamp(-LONGEST, LONGEST);
        }
        if order.mean {
            self.mean += by[order.p + order.q];
        }
        self
    }
}

/// The model of least conditional sum of squares near `start`: innovations before the first counted step are taken for 0 (G. E. P. Box and G. M.
/// Jenkins 1970). By Gauss and Newton with Marquardt's damping; partial autocorrelations are what moves, so that every step is stationary
/// and invertible.
pub(crate) fn fit(sample: Sample<'_>, start: &Arma, effort: Effort) -> Fit {
    let order = start.order;
    let n = order.parameters();
    let (mut residuals, mut room) = (vec![0.0; sample.values.len()], vec![0.0; sample.values.len()]);
    let mut point = Point::of(start);
    let mut model = point.model(order);
    let (mut sum, count) = sum_of_squares(sample, &model, &mut residuals);
    let mut slopes = None;
    let mut damping = 1e-3;
    for _ in 0..effort.iterations {
        if n == 0 || sum <= 0.0 {
            break;
        }
        let equations = *slopes.get_or_insert_with(|| slopes_at(sample, &point, &model, &residuals));
        let next = equations.solve(n, damping).map(|step| point.moved(order, &step));
        let tried = next.map(|next| {
            let model = next.model(order);
            (next, model, sum_of_squares(sample, &model, &mut room).0)
        });
        match tried {
            Some((next, next_model, next_sum)) if next_sum < sum => {
                let gain = (sum - next_sum) / sum;
                (point, model, sum, slopes) = (next, next_model, next_sum, None);
                std::mem::swap(&mut residuals, &mut room);
                damping = (damping * 0.2).max(1e-9);
                if gain < effort.tolerance {
                    break;
                }
            }
            Some(_) | None => {
                damping *= 10.0;
                if damping > 1e6 {
                    break;
                }
            }
        }
    }
    Fit { model, sum, count }
}

/// The innovations of `model`, 0 where they don't count; their sum of squares and how many are in it.
fn sum_of_squares(sample: Sample<'_>, model: &Arma, residuals: &mut [f64]) -> (f64, usize) {
    let from = sample.skip.max(model.order.p);
    let constant = model.mean * (1.0 - model.ar.iter().sum::<f64>());
    let (mut sum, mut count) = (0.0, 0);
    // The newest first. All lags are multiplied out, those past the order by 0: a fixed number of them stays in registers.
    let mut values: Lags = array::from_fn(|lag| if from > lag { sample.values[from - 1 - lag] } else { 0.0 });
    let mut innovations: Lags = [0.0; MAX_LAGS];
    let steps = sample.values.iter().zip(sample.known).zip(residuals).skip(from);
    for ((value, known), residual) in steps {
        let mut expected = constant;
        for lag in (0..MAX_LAGS).rev() {
            expected += model.ar[lag] * values[lag] + model.ma[lag] * innovations[lag];
        }
        *residual = if *known { value - expected } else { 0.0 };
        sum += *residual * *residual;
        count += usize::from(*known);
        values.copy_within(..MAX_LAGS - 1, 1);
        values[0] = *value;
        innovations.copy_within(..MAX_LAGS - 1, 1);
        innovations[0] = *residual;
    }
    // A sum too large for a number is no sum to settle on.
    (if sum.is_finite() { sum } else { f64::MAX }, count)
}

/// Gauss's and Newton's equations at `point`: products of the innovations' slopes by each parameter, and with the innovations.
fn slopes_at(sample: Sample<'_>, point: &Point, model: &Arma, residuals: &[f64]) -> NormalEquations {
    // With the number of columns known beforehand a step takes a third of the time; most orders are small.
    let equations = match model.order.parameters() {
        0..=3 => products_of::<3>(sample, model, residuals),
        4 => products_of::<4>(sample, model, residuals),
        5 | 6 => products_of::<6>(sample, model, residuals),
        _ => products_of::<MAX_PARAMETERS>(sample, model, residuals),
    };
    by_unbounded_numbers(&equations, point, model.order)
}

/// The same by each coefficient; `COLUMNS` are at least as many as those.
fn products_of<const COLUMNS: usize>(sample: Sample<'_>, model: &Arma, residuals: &[f64]) -> NormalEquations {
    let Order { p, q, mean } = model.order;
    let (mut matrix, mut target) = ([[0.0; COLUMNS]; COLUMNS], [0.0; COLUMNS]);
    // Minus the slopes of the last innovations by each coefficient, newest first.
    let mut before = [[0.0; COLUMNS]; MAX_LAGS];
    let at_mean = 1.0 - model.ar.iter().sum::<f64>();
    for t in sample.skip.max(p)..sample.values.len() {
        let mut own = [0.0; COLUMNS];
        if sample.known[t] {
            for (own, value) in own[..p].iter_mut().zip(sample.values[t - p..t].iter().rev()) {
                *own = value - model.mean;
            }
            // Before the first step there were none.
            for (own, residual) in own[p..p + q].iter_mut().zip(residuals[..t].iter().rev()) {
                *own = *residual;
            }
            if mean {
                own[p + q] = at_mean;
            }
            for (lag, before) in model.ma[..q].iter().zip(&before) {
                for i in 0..COLUMNS {
                    own[i] -= lag * before[i];
                }
            }
            for i in 0..COLUMNS {
                target[i] += own[i] * residuals[t];
                for j in 0..=i {
                    matrix[i][j] += own[i] * own[j];
                }
            }
        }
        before.copy_within(..MAX_LAGS - 1, 1);
        before[0] = own;
    }
    let mut equations = NormalEquations::new();
    for i in 0..COLUMNS {
        equations.target[i] = target[i];
        equations.matrix[i][..COLUMNS].copy_from_slice(&matrix[i]);
    }
    equations
}

/// The same equations for the numbers that the optimiser moves, by the chain rule.
fn by_unbounded_numbers(equations: &NormalEquations, point: &Point, order: Order) -> NormalEquations {
    let Order { p, q, .. } = order;
    let n = order.parameters();
    // turn[i][k]: the slope of coefficient i by number k.
    let mut turn = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
    /// For slopes by central differences: the cube root of an f64's precision.
    const SMALL: f64 = 6e-6;
    let mut polynomial = |free: &Lags, degree: usize, offset: usize, sign: f64| {
        let partials = bounded(free);
        for k in 0..degree {
            let (mut above, mut below) = (partials, partials);
            above[k] += SMALL;
            below[k] -= SMALL;
            let (above, below) = (from_partials(&above, degree), from_partials(&below, degree));
            // The slope of a hyperbolic tangent is 1 less its square.
            let tangent = partials[k] / PARTIAL_LIMIT;
            let scale = sign * PARTIAL_LIMIT * (1.0 - tangent * tangent) / (2.0 * SMALL);
            for i in 0..degree {
                turn[offset + i][offset + k] = scale * (above[i] - below[i]);
            }
        }
    };
    polynomial(&point.ar, p, 0, 1.0);
    polynomial(&point.ma, q, p, -1.0);
    if order.mean {
        turn[p + q][p + q] = 1.0;
    }
    let at = |i: usize, j: usize| if i >= j { equations.matrix[i][j] } else { equations.matrix[j][i] };
    let mut half = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
    for i in 0..n {
        for k in 0..n {
            half[i][k] = (0..n).map(|j| at(i, j) * turn[j][k]).sum();
        }
    }
    let mut turned = NormalEquations::new();
    for k in 0..n {
        turned.target[k] = (0..n).map(|i| turn[i][k] * equations.target[i]).sum();
        for l in 0..=k {
            turned.matrix[k][l] = (0..n).map(|i| turn[i][k] * half[i][l]).sum();
        }
    }
    turned
}
