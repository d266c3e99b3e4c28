/// Solves `matrix · x = right` in place of `right`, for a symmetric positive definite matrix of which the lower triangle is given, row by
/// row; the triangle is overwritten by its Cholesky factor. False, and both are spoilt, where the matrix is not positive definite.
#[must_use]
pub(crate) fn solve(matrix: &mut [f64], right: &mut [f64]) -> bool {
    let size = right.len();
    for row in 0..size {
        let (above, here) = matrix.split_at_mut(row * size);
        for column in 0..row {
            let other = &above[column * size..column * size + column + 1];
            let sum = dot(&here[..column], &other[..column]);
            here[column] = (here[column] - sum) / other[column];
        }
        let square = here[row] - dot(&here[..row], &here[..row]);
        if !(square > 0.0 && square.is_finite()) {
            return false;
        }
        here[row] = square.sqrt();
        // The forward substitution goes along.
        right[row] = (right[row] - dot(&here[..row], &right[..row])) / here[row];
    }
    for row in (0..size).rev() {
        let factor = &matrix[row * size..row * size + row + 1];
        let value = right[row] / factor[row];
        right[row] = value;
        for (right, factor) in right[..row].iter_mut().zip(factor) {
            *right -= factor * value;
        }
    }
    true
}

/// Four sums side by side: one alone would wait for itself at every step.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_fours, b_fours) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_fours.remainder().iter().zip(b_fours.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 4];
    for (a, b) in a_fours.zip(b_fours) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    rest + (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_it_solves_is_solved(size in 1usize..14, numbers in proptest::collection::vec(-1.0f64..1.0, 14 * 15)) {
            let (roots, wanted) = numbers.split_at(14 * 14);
            let root = |row: usize, column: usize| roots[row * 14 + column];
            let entry = |a: usize, b: usize| {
                (0..size).map(|k| root(a, k) * root(b, k)).sum::<f64>() + if a == b { 0.1 } else { 0.0 }
            };
            let mut matrix: Vec<f64> = (0..size * size).map(|at| entry(at / size, at % size)).collect();
            let mut right: Vec<f64> =
                (0..size).map(|row| (0..size).map(|column| entry(row, column) * wanted[column]).sum()).collect();
            prop_assert!(solve(&mut matrix, &mut right));
            for (found, wanted) in right.iter().zip(wanted) {
                prop_assert!((found - wanted).abs() < 1e-8, "{found} is not {wanted}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_said_to_be_none() {
        assert!(!solve(&mut [1.0, 0.0, 2.0, 1.0], &mut [1.0, 1.0]));
        assert!(!solve(&mut [f64::NAN], &mut [1.0]));
        assert!(!solve(&mut [0.0], &mut [1.0]));
    }
}
