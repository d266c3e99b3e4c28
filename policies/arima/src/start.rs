use crate::arma::{Arma, MAX_LAGS, MAX_PARAMETERS, Order, from_partials, to_partials_damped};
use crate::normal_equations::NormalEquations;

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
}

impl Start {
    pub(crate) fn new(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let longest = MAX_LONG.min(n / 4);
        let covariances: Vec<f64> = (0..=longest)
            .map(|lag| centred.iter().skip(lag).zip(&centred).map(|(now, before)| now * before).sum::<f64>())
            .collect();
        let long = long_autoregression(&covariances, n);
        let mut innovations = vec![0.0; n];
        for t in long.len()..n {
            let expected: f64 = long.iter().zip(centred[..t].iter().rev()).map(|(lag, before)| lag * before).sum();
            innovations[t] = centred[t] - expected;
        }
        let mut products = [[0.0; COLUMNS]; COLUMNS];
        for t in long.len() + MAX_LAGS..n {
            let mut row = [0.0; COLUMNS];
            row[0] = centred[t];
            for lag in 1..=MAX_LAGS {
                row[lag] = centred[t - lag];
                row[MAX_LAGS + lag] = innovations[t - lag];
            }
            for i in 0..COLUMNS {
                for j in 0..=i {
                    products[i][j] += row[i] * row[j];
                }
            }
        }
        Self { mean, products }
    }

    /// A stationary and invertible model of that order.
    pub(crate) fn model(&self, order: Order) -> Arma {
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
        /// What keeps lags apart that say the same.
        const RIDGE: f64 = 1e-6;
        let solution = equations.solve(n, RIDGE).unwrap_or([0.0; MAX_PARAMETERS]);
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
