/// Solves `matrix · x = right` in place of `right`, for a symmetric positive definite matrix of which the lower triangle is given, row by
/// row; the triangle is overwritten by its Cholesky factor. False, and both are spoilt, where the matrix is not positive definite.
#[must_use]
pub(crate) fn solve(matrix: &mut [f64], right: &mut [f64]) -> bool {
    let solvable = eliminate(matrix, right, right.len());
    if solvable {
        substitute(matrix, right, right.len());
    }
    solvable
}

/// Solves for the first `count` unknowns in terms of the others: what is left of the others' rows, from column `count` on, and of their right
/// sides are the equations of the others alone (the Schur complement). False as in [`solve`].
#[must_use]
pub(crate) fn eliminate(matrix: &mut [f64], right: &mut [f64], count: usize) -> bool {
    let size = right.len();
    for row in 0..size {
        let (above, here) = matrix.split_at_mut(row * size);
        for column in 0..row.min(count) {
            let other = &above[column * size..column * size + column + 1];
            here[column] = (here[column] - dot(&here[..column], &other[..column])) / other[column];
        }
        // What the eliminated ones have of this row.
        let (factor, rest) = here.split_at_mut(row.min(count));
        for (above, rest) in above.chunks_exact(size).skip(count).zip(&mut *rest) {
            *rest -= dot(factor, &above[..count]);
        }
        let own = &mut rest[row.saturating_sub(count)];
        *own -= dot(factor, factor);
        // The forward substitution goes along.
        right[row] -= dot(factor, &right[..row.min(count)]);
        if row < count {
            if !(*own > 0.0 && own.is_finite()) {
                return false;
            }
            *own = own.sqrt();
            right[row] /= *own;
        }
    }
    true
}

/// Once the unknowns from `count` on are known, and stand in `right`: finds those that were eliminated.
pub(crate) fn substitute(matrix: &[f64], right: &mut [f64], count: usize) {
    let size = right.len();
    for row in (0..size).rev() {
        let factor = &matrix[row * size..row * size + row + 1];
        if row < count {
            right[row] /= factor[row];
        }
        let value = right[row];
        for (right, factor) in right[..row.min(count)].iter_mut().zip(factor) {
            *right -= factor * value;
        }
    }
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
            let matrix: Vec<f64> = (0..size * size).map(|at| entry(at / size, at % size)).collect();
            let right: Vec<f64> =
                (0..size).map(|row| (0..size).map(|column| entry(row, column) * wanted[column]).sum()).collect();
            let (mut whole, mut found) = (matrix.clone(), right.clone());
            prop_assert!(solve(&mut whole, &mut found));
            for (found, wanted) in found.iter().zip(wanted) {
                prop_assert!((found - wanted).abs() < 1e-8, "{found} is not {wanted}");
            }
            for count in 0..=size {
                // Some are eliminated, the others' own equations solved, and those found again.
                let (mut whole, mut found) = (matrix.clone(), right.clone());
                prop_assert!(eliminate(&mut whole, &mut found, count));
                let mut left: Vec<f64> = (count..size).flat_map(|row| whole[row * size + count..(row + 1) * size].to_vec()).collect();
                prop_assert!(solve(&mut left, &mut found[count..]));
                substitute(&whole, &mut found, count);
                for (found, wanted) in found.iter().zip(wanted) {
                    prop_assert!((found - wanted).abs() < 1e-8, "{found} is not {wanted}, {count} eliminated");
                }
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
