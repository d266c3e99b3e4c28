use serde::{Deserialize, Serialize};

/// The most features of one regression.
const MAX_FEATURES: usize = 12;
/// Room for a triangle of that many rows.
const MAX_TRIANGLE: usize = MAX_FEATURES * (MAX_FEATURES + 1) / 2;

/// A least-squares fit that forgets, shrunk towards a belief held beforehand instead of towards nothing (A. E. Hoerl and R. W. Kennard,
/// "Ridge regression", 1970): with few samples it says what was believed, with many what was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ridge {
    /// Sums of products of features: the lower triangle, row by row.
    products: Vec<f32>,
    /// Sums of each feature times what the belief had left.
    moments: Vec<f32>,
    /// How the fit differs from the belief.
    corrections: Vec<f32>,
}

impl Ridge {
    /// Of `features` features, at most twelve; nothing seen yet.
    pub(crate) fn new(features: usize) -> Self {
        Self {
            products: vec![0.0; features * (features + 1) / 2],
            moments: vec![0.0; features],
            corrections: vec![0.0; features],
        }
    }

    /// The coefficient of feature `i`, in addition to what is believed.
    pub(crate) fn correction(&self, i: usize) -> f32 {
        self.corrections[i]
    }

    /// Adds a sample; `left`: what the belief left unexplained. Older ones keep the share `keep` of their weight.
    pub(crate) fn learn(&mut self, features: &[f32], left: f32, keep: f32) {
        let mut products = self.products.iter_mut();
        for (i, feature) in features.iter().enumerate() {
            for (other, product) in features[..=i].iter().zip(&mut products) {
                *product = keep * *product + feature * other;
            }
        }
        for (moment, feature) in self.moments.iter_mut().zip(features) {
            *moment = keep * *moment + feature * left;
        }
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub(crate) fn fade(&mut self, share: f32) {
        self.products.iter_mut().chain(&mut self.moments).for_each(|sum| *sum *= share);
    }

    /// Fits anew; `stiffness[i]`: samples, of a feature of size 1, that the belief about feature `i` weighs as much as; more than 0.
    pub(crate) fn fit(&mut self, stiffness: &[f32]) {
        // Cholesky's decomposition, then both triangles in turn.
        let size = self.moments.len();
        let mut root = [0.0f32; MAX_TRIANGLE];
        let mut solution = [0.0f32; MAX_FEATURES];
        let mut start = 0;
        for i in 0..size {
            let mut column_start = 0;
            for j in 0..=i {
                let (row, column) = (&root[start..start + j], &root[column_start..column_start + j]);
                let sum: f32 = row.iter().zip(column).map(|(a, b)| a * b).sum();
                let left = self.products[start + j] - sum;
                root[start + j] = if i == j {
                    // The belief alone keeps the pivot positive; what rounding takes away is given back.
                    (left + stiffness[i]).max(0.5 * stiffness[i]).sqrt()
                } else {
                    left / root[column_start + j]
                };
                column_start += j + 1;
            }
            let sum: f32 = root[start..start + i].iter().zip(&solution).map(|(a, b)| a * b).sum();
            solution[i] = (self.moments[i] - sum) / root[start + i];
            start += i + 1;
        }
        for i in (0..size).rev() {
            start -= i + 1;
            solution[i] /= root[start + i];
            for j in 0..i {
                solution[j] -= root[start + j] * solution[i];
            }
        }
        self.corrections.copy_from_slice(&solution[..size]);
    }

    /// Whether learning could have made it, of so many features.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        self.products.len() == features * (features + 1) / 2
            && self.moments.len() == features
            && self.corrections.len() == features
            && self.products.iter().chain(&self.moments).chain(&self.corrections).all(|sum| sum.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planted_is_found_and_little_data_says_little() {
        let (mut many, mut few) = (Ridge::new(3), Ridge::new(3));
        for i in 0..2000u32 {
            let noise = |seed: u32| (i.wrapping_mul(seed) >> 16) as f32 / 32768.0 - 1.0;
            let features = [noise(2_654_435_761), noise(2_246_822_519), noise(3_266_489_917)];
            let left = 0.5 * features[0] - 2.0 * features[2];
            many.learn(&features, left, 1.0);
            if i < 3 {
                few.learn(&features, left, 1.0);
            }
        }
        many.fit(&[1.0; 3]);
        few.fit(&[100.0; 3]);
        for (i, planted) in [0.5, 0.0, -2.0].into_iter().enumerate() {
            assert!((many.correction(i) - planted).abs() < 0.02, "{i}: {}", many.correction(i));
            assert!(few.correction(i).abs() < 0.1, "{i}: {}", few.correction(i));
        }
    }

    #[test]
    fn features_that_say_the_same_share_it() {
        let mut ridge = Ridge::new(2);
        for i in 0..1000 {
            let value = (i % 7) as f32 - 3.0;
            ridge.learn(&[value, value], value, 1.0);
        }
        ridge.fit(&[1.0, 1.0]);
        assert!((ridge.correction(0) - 0.5).abs() < 0.01 && (ridge.correction(1) - 0.5).abs() < 0.01, "{ridge:?}");
    }
}
