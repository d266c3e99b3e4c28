#![expect(clippy::needless_range_loop, reason = "matrices and lags are walked by their indices, as the formulas are")]

use crate::arma::MAX_PARAMETERS;

/// The normal equations of a least-squares problem with a few unknowns: `matrix x = target`, of which the first `n` count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormalEquations {
    pub(crate) matrix: [[f64; MAX_PARAMETERS]; MAX_PARAMETERS],
    pub(crate) target: [f64; MAX_PARAMETERS],
}

impl NormalEquations {
    pub(crate) fn new() -> Self {
        Self { matrix: [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS], target: [0.0; MAX_PARAMETERS] }
    }

    /// The solution for the first `n` unknowns with each diagonal entry made `1 + damping` times as large (Marquardt); none where the matrix
    /// is not positive definite. By Cholesky's decomposition, of the lower triangle.
    pub(crate) fn solve(&self, n: usize, damping: f64) -> Option<[f64; MAX_PARAMETERS]> {
        /// A pivot so much smaller than its diagonal entry is rounding.
        const LEAST_PIVOT: f64 = 1e-12;
        let mut root = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
        let mut x = [0.0; MAX_PARAMETERS];
        for i in 0..n {
            for j in 0..=i {
                let mut sum = self.matrix[i][j];
                if i == j {
                    sum *= 1.0 + damping;
                }
                for k in 0..j {
                    sum -= root[i][k] * root[j][k];
                }
                if i == j {
                    if sum.is_nan() || sum <= LEAST_PIVOT * self.matrix[i][i] {
                        return None;
                    }
                    root[i][i] = sum.sqrt();
                } else {
                    root[i][j] = sum / root[j][j];
                }
            }
        }
        for i in 0..n {
            let known: f64 = (0..i).map(|k| root[i][k] * x[k]).sum();
            x[i] = (self.target[i] - known) / root[i][i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| root[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / root[i][i];
        }
        x[..n].iter().all(|value| value.is_finite()).then_some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_refuses() {
        let mut equations = NormalEquations::new();
        equations.matrix[0][0] = 4.0;
        equations.matrix[1][0] = 2.0;
        equations.matrix[1][1] = 3.0;
        equations.target[0] = 2.0;
        equations.target[1] = 5.0;
        let x = equations.solve(2, 0.0).unwrap_or_else(|| panic!("positive definite"));
        assert!((x[0] + 0.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12, "{x:?}");
        equations.matrix[1][1] = 1.0;
        assert!(equations.solve(2, 0.0).is_none(), "singular");
        assert!(equations.solve(2, 0.1).is_some(), "but not when damped");
        equations.matrix[0][0] = f64::NAN;
        assert!(equations.solve(2, 0.1).is_none());
    }
}
