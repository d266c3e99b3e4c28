use crate::arma::{Arma, MAX_LAGS, MAX_PARAMETERS, Order, from_partials, to_partials_damped};
use crate::normal_equations::NormalEquations;
use crate::order_search::Bounds;

/// The longest autoregression that innovations are first guessed by.
const MAX_LONG: usize = 24;
/// Values, and innovations, at the present step and each lag.
const COLUMNS: usize = MAX_PARAMETERS;

/// Starting values for any order, from one look at the series: innovations are those of a long autoregression, and the model is the
/// least-squares fit on lags of values and of those innovations (E. J. Hannan and J. Rissanen, "Recursive estimation of mixed
/// autoregressive-moving average order", 1982).
#[derive(Debug)]
pub(crate) struct Start {
    mean: f64,
    /// Sums of products of: the value now, values 1 to 5 steps ago, innovations 1 to 5 steps ago.
    products: [[f64; COLUMNS]; COLUMNS],
    /// Steps summed over.
    count: usize,
}

impl Start {
    pub(crate) fn new(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let longest = MAX_LONG.min(n / 4);
        let covariances: Vec<f64> = (0..=longest).map(|lag| dot(&centred[lag..], &centred[..n - lag])).collect();
        let long = long_autoregression(&covariances, n);
        let reversed: Vec<f64> = long.iter().rev().copied().collect();
        let mut innovations = vec![0.0; n];
        for t in long.len()..n {
            innovations[t] = centred[t] - dot(&reversed, &centred[t - reversed.len()..t]);
        }
        let from = (long.len() + MAX_LAGS).min(n);
        Self { mean, products: products(&centred, &innovations, from), count: n - from }
    }

    /// The order whose regression Schwarz's criterion prefers; that of `kept` unless it is clearly better.
    pub(crate) fn best_order(&self, bounds: Bounds, kept: Order) -> Order {
        /// The odds are e to 1 then.
        const CLEARLY: f64 = 2.0;
        let mut best = kept;
        let mut least = self.criterion(kept) - CLEARLY;
        for p in 0..=bounds.max_p.min(MAX_LAGS) {
            for q in 0..=bounds.max_q.min(MAX_LAGS) {
                let order = Order { p, q, mean: bounds.mean };
                let criterion = self.criterion(order);
                if criterion < least {
                    (best, least) = (order, criterion);
                }
            }
        }
        best
    }

    /// Schwarz's criterion of an order's regression (G. Schwarz 1978); lower is better.
    fn criterion(&self, order: Order) -> f64 {
        let (equations, solution) = self.regression(order);
        let explained: f64 = solution.iter().zip(equations.target).map(|(x, target)| x * target).sum();
        let count = self.count as f64;
        let variance = (self.products[0][0] - explained) / count;
        count * variance.max(f64::MIN_POSITIVE).ln() + count.ln() * (order.p + order.q) as f64
    }

    /// A stationary and invertible model of that order.
    pub(crate) fn model(&self, order: Order) -> Arma {
        let n = order.p + order.q;
        let (_, solution) = self.regression(order);
        let (mut ar, mut ma) = ([0.0; MAX_LAGS], [0.0; MAX_LAGS]);
        ar[..order.p].copy_from_slice(&solution[..order.p]);
        // A moving average is invertible where its lags, their sign turned, are a stationary autoregression.
        for (ma, found) in ma[..order.q].iter_mut().zip(&solution[order.p..n]) {
            *ma = -found;
        }
        let ar = from_partials(&to_partials_damped(&ar, order.p), order.p);
        let ma = from_partials(&to_partials_damped(&ma, order.q), order.q).map(|lag| -lag);
        Arma { order, ar, ma, mean: if order.mean { self.mean } else { 0.0 } }
    }

    /// The regression on `order`'s lags, and its solution, 0 where there is none.
    fn regression(&self, order: Order) -> (NormalEquations, [f64; MAX_PARAMETERS]) {
        /// What keeps lags apart that say the same.
        const RIDGE: f64 = 1e-6;
        let column = |i: usize| if i < order.p { 1 + i } else { 1 + MAX_LAGS + i - order.p };
        let n = order.p + order.q;
        let mut equations = NormalEquations::new();
        for i in 0..n {
            for j in 0..=i {
                let (high, low) = (column(i).max(column(j)), column(i).min(column(j)));
                equations.matrix[i][j] = self.products[high][low];
            }
            equations.target[i] = self.products[column(i)][0];
        }
        let solution = equations.solve(n, RIDGE).unwrap_or([0.0; MAX_PARAMETERS]);
        (equations, solution)
    }
}

/// Sums over the steps from `from` on, at least [`MAX_LAGS`], of products of a step's values and innovations at each lag.
fn products(values: &[f64], innovations: &[f64], from: usize) -> [[f64; COLUMNS]; COLUMNS] {
    let n = values.len();
    let mut products = [[0.0; COLUMNS]; COLUMNS];
    let of = |column: usize| if column <= MAX_LAGS { (values, column) } else { (innovations, column - MAX_LAGS) };
    for i in 0..COLUMNS {
        for j in 0..=i {
            let ((a, lag_a), (b, lag_b)) = (of(i), of(j));
            let is_later = |column: usize| column > 0 && column != MAX_LAGS + 1;
            products[i][j] = if n <= from {
                0.0
            } else if is_later(i) && is_later(j) {
                // The same as a lag less in both, but for the products at the ends.
                let ends = a[from - lag_a] * b[from - lag_b] - a[n - lag_a] * b[n - lag_b];
                products[i - 1][j - 1] + ends
            } else {
                dot(&a[from - lag_a..n - lag_a], &b[from - lag_b..n - lag_b])
            };
        }
    }
    products
}

/// Four sums side by side: one alone would wait for itself at every step.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a.zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The autoregression of the order, up to as many lags as `covariances` has, that Akaike's criterion prefers (Levinson's recursion).
fn long_autoregression(covariances: &[f64], n: usize) -> Vec<f64> {
    let mut variance = covariances.first().copied().unwrap_or(0.0);
    let (mut lags, mut best): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    if variance <= 0.0 {
        return best;
    }
    let criterion = |variance: f64, lags: usize| n as f64 * variance.ln() + 2.0 * lags as f64;
    let mut least = criterion(variance, 0);
    for k in 1..covariances.len() {
        let known: f64 = lags.iter().enumerate().map(|(i, lag)| lag * covariances[k - 1 - i]).sum();
        let partial = (covariances[k] - known) / variance;
        let before = lags.clone();
        for (i, lag) in lags.iter_mut().enumerate() {
            *lag -= partial * before[k - 2 - i];
        }
        lags.push(partial);
        variance *= 1.0 - partial * partial;
        if variance <= 0.0 {
            break;
        }
        let found = criterion(variance, k);
        if found < least {
            (least, best) = (found, lags.clone());
        }
    }
    best
}
