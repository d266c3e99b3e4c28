//! The reference for what a leader is worth: plain least squares, with and without it.

use crate::covariate_gain::{Question, SCORED_QUANTILES};
use crate::trace::DAY_STEPS;

/// A follower's load some steps ahead, by its usual day, its present departure from that, and its leader's at the moment that tells.
const OWN_TERMS: usize = 4;
/// Most leaders used, the strongest first.
const MAX_LEADERS: usize = 4;
/// Keeps the equations solvable where a term is constant, as a share of the term's own size.
const RIDGE_SHARE: f64 = 1e-6;

/// Forecasts by ordinary least squares, one regression a step ahead, fitted on all that is known: on a constant, the usual load at that time of day, the follower's departure from it
/// now and over the last hour and, for each link that leads by as much, the leader's departure at the lag. Quantiles are those of the regression's
/// own errors. A reference, not a product: it refits everything each time.
#[must_use]
pub fn lead_regression(question: &Question<'_>) -> [Vec<f32>; 3] {
    let load = question.known(question.follower);
    let own = Departure::of(load);
    let leaders: Vec<(Departure, usize)> = question
        .links
        .iter()
        .take(MAX_LEADERS)
        .map(|link| (Departure::of(question.known(link.leader)), link.lag_steps as usize))
        .collect();
    let mut paths = [const { Vec::new() }; 3];
    for ahead in 1..=question.horizon {
        let telling: Vec<&(Departure, usize)> = leaders.iter().filter(|(_, lag)| *lag >= ahead).collect();
        // What is known `ahead` steps before `target`.
        let terms = |target: usize, row: &mut Vec<f64>| {
            row.clear();
            let now = target - ahead;
            let hour = own.values[now.saturating_sub(11)..=now].iter().sum::<f64>() / 12.0;
            row.extend([1.0, own.usual_at(target), own.values[now], hour]);
            row.extend(telling.iter().map(|(leader, lag)| leader.values[target - lag]));
        };
        let first = DAY_STEPS.max(ahead);
        let mut equations = Equations::new(OWN_TERMS + telling.len());
        let mut row = Vec::new();
        for (target, &value) in load.iter().enumerate().skip(first) {
            terms(target, &mut row);
            equations.add(&row, f64::from(value));
        }
        let weights = equations.solve();
        let predict = |row: &[f64]| row.iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>();
        let mut errors: Vec<f64> = (first..load.len())
            .map(|target| {
                terms(target, &mut row);
                f64::from(load[target]) - predict(&row)
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        terms(load.len() + ahead - 1, &mut row);
        let expected = predict(&row);
        for (path, quantile) in paths.iter_mut().zip(SCORED_QUANTILES) {
            let at = (f64::from(quantile) * errors.len() as f64) as usize;
            let error = errors.get(at.min(errors.len().saturating_sub(1))).copied().unwrap_or(0.0);
            path.push((expected + error).max(0.0) as f32);
        }
    }
    paths
}

/// A load's usual day and its departures from that.
struct Departure {
    usual: Vec<f64>,
    values: Vec<f64>,
}

impl Departure {
    fn of(load: &[f32]) -> Self {
        let usual: Vec<f64> = (0..DAY_STEPS)
            .map(|phase| {
                let mut same: Vec<f32> = load.iter().skip(phase).step_by(DAY_STEPS).copied().collect();
                same.sort_by(f32::total_cmp);
                same.get(same.len() / 2).copied().map_or(0.0, f64::from)
            })
            .collect();
        let values = load.iter().enumerate().map(|(at, &v)| f64::from(v) - usual[at % DAY_STEPS]).collect();
        Self { usual, values }
    }

    fn usual_at(&self, step: usize) -> f64 {
        self.usual[step % DAY_STEPS]
    }
}

/// Normal equations of a least-squares fit.
struct Equations {
    terms: usize,
    /// Row-major.
    products: Vec<f64>,
    with_target: Vec<f64>,
}

impl Equations {
    fn new(terms: usize) -> Self {
        Self { terms, products: vec![0.0; terms * terms], with_target: vec![0.0; terms] }
    }

    fn add(&mut self, row: &[f64], target: f64) {
        for (i, a) in row.iter().enumerate() {
            self.with_target[i] += a * target;
            for (j, b) in row.iter().enumerate() {
                self.products[i * self.terms + j] += a * b;
            }
        }
    }

    /// By Gaussian elimination, each term as if one row more had it at a tiny part of its size.
    fn solve(mut self) -> Vec<f64> {
        let terms = self.terms;
        for i in 0..terms {
            self.products[i * terms + i] *= 1.0 + RIDGE_SHARE;
            // A term that was never anything but 0.
            if self.products[i * terms + i] <= 0.0 {
                self.products[i * terms + i] = 1.0;
            }
        }
        for pivot in 0..terms {
            for below in pivot + 1..terms {
                let by = self.products[below * terms + pivot] / self.products[pivot * terms + pivot];
                for column in pivot..terms {
                    self.products[below * terms + column] -= by * self.products[pivot * terms + column];
                }
                self.with_target[below] -= by * self.with_target[pivot];
            }
        }
        let mut solved = vec![0.0; terms];
        for i in (0..terms).rev() {
            let known: f64 = (i + 1..terms).map(|j| self.products[i * terms + j] * solved[j]).sum();
            solved[i] = (self.with_target[i] - known) / self.products[i * terms + i];
        }
        solved
    }
}
