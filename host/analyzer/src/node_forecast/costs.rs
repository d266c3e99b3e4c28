//! What load costs a node: a fading least-squares fit of three terms, none below zero.

/// What a tick leaves of the sums: half after a day of ten-second ticks, so that a day's tide is in them.
const FADE: f64 = 0.999_92;
/// The fit of all nodes weighs as so many ticks of this one's.
const PRIOR_TICKS: f64 = 30.0;
/// Ridge, as a share of each term's own sum of squares: what tells terms apart that always move together.
const RIDGE: f64 = 1e-6;

/// Use while idle, per load unit led, per load unit followed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Costs(pub(super) [f64; 3]);

/// Fading sums of products of one, load led, load followed, and use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    xx: [[f64; 3]; 3],
    xy: [f64; 3],
    /// Of ticks.
    weight: f64,
    /// Of squared errors before each tick was learned.
    errors: f64,
    error_weight: f64,
}

impl Sums {
    /// Learns one tick; its error is that of the fit before.
    pub(super) fn observe(&mut self, x: [f64; 3], y: f64, prior: Option<&Costs>) {
        if self.weight >= 3.0 {
            let Costs(fit) = self.fit(prior);
            let error = y - (0..3).map(|i| fit[i] * x[i]).sum::<f64>();
            self.errors = self.errors * FADE + error * error;
            self.error_weight = self.error_weight * FADE + 1.0;
        }
        for i in 0..3 {
            for j in 0..3 {
                self.xx[i][j] = self.xx[i][j] * FADE + x[i] * x[j];
            }
            self.xy[i] = self.xy[i] * FADE + x[i] * y;
        }
        self.weight = self.weight * FADE + 1.0;
    }

    /// How many ticks it was learned from, those long past counting for less.
    pub(super) fn ticks(&self) -> f64 {
        self.weight
    }

    /// Variance of what the fit does not explain.
    pub(super) fn unexplained(&self) -> f64 {
        if self.error_weight > 0.0 { self.errors / self.error_weight } else { 0.0 }
    }

    /// The best costs of which none is below zero. They lean on `prior` as on so many ticks with this node's own mean squares.
    pub(super) fn fit(&self, prior: Option<&Costs>) -> Costs {
        if self.weight <= 0.0 {
            return prior.copied().unwrap_or_default();
        }
        let (mut xx, mut xy) = (self.xx, self.xy);
        for i in 0..3 {
            let square = self.xx[i][i] / self.weight;
            let lean = prior.map_or(0.0, |Costs(prior)| {
                xy[i] += PRIOR_TICKS * square * prior[i];
                PRIOR_TICKS * square
            });
            xx[i][i] += lean + RIDGE * self.xx[i][i];
        }
        // All eight choices of terms, the fullest first: the loss of each is that of its own best fit.
        let mut best = (f64::INFINITY, [0.0; 3]);
        for left_out in 0u8..8 {
            let is_in = |i: usize| left_out & (1 << i) == 0;
            let Some(costs) = solve(&xx, &xy, is_in) else { continue };
            if costs.iter().any(|cost| !cost.is_finite() || *cost < 0.0) {
                continue;
            }
            let quadratic: f64 =
                (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| costs[i] * xx[i][j] * costs[j]).sum();
            let loss = quadratic - 2.0 * (0..3).map(|i| costs[i] * xy[i]).sum::<f64>();
            if loss < best.0 {
                best = (loss, costs);
            }
        }
        Costs(best.1)
    }
}

/// Solves for the terms that are in, the others being zero; none where they can't be told apart.
fn solve(xx: &[[f64; 3]; 3], xy: &[f64; 3], is_in: impl Fn(usize) -> bool) -> Option<[f64; 3]> {
    // Terms of no use (always zero) are left out, whatever is asked.
    let terms: Vec<usize> = (0..3).filter(|&i| is_in(i) && xx[i][i] > 0.0).collect();
    let n = terms.len();
    let mut rows: Vec<Vec<f64>> =
        terms.iter().map(|&i| terms.iter().map(|&j| xx[i][j]).chain([xy[i]]).collect()).collect();
    // Gauss–Jordan with the largest pivot of the column.
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let head = rows[column][column];
        if head.abs() < f64::MIN_POSITIVE {
            return None;
        }
        rows[column].iter_mut().for_each(|value| *value /= head);
        let lead = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != column) {
            let factor = row[column];
            row.iter_mut().zip(&lead).for_each(|(value, lead)| *value -= factor * lead);
        }
    }
    let mut costs = [0.0; 3];
    for (row, &term) in rows.iter().zip(&terms) {
        costs[term] = *row.last()?;
    }
    Some(costs)
}
