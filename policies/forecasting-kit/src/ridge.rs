use serde::{Deserialize, Serialize};

/// The most features of one regression.
pub const MAX_FEATURES: usize = 16;
/// Room for a triangle of that many rows.
const MAX_TRIANGLE: usize = MAX_FEATURES * (MAX_FEATURES + 1) / 2;
/// Of the stiffness, so much is left of a pivot that rounding has eaten up.
const LEAST_PIVOT: f32 = 0.5;

/// What a least-squares fit needs to know of its samples, newer ones counting more. Sums of several can be added up: one fit of them all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Sums of products of features: the lower triangle, row by row.
    products: Vec<f32>,
    /// Sums of each feature times what the belief left unexplained.
    moments: Vec<f32>,
}

/// A least-squares fit that forgets, shrunk towards a belief held beforehand instead of towards nothing (A. E. Hoerl and R. W. Kennard,
/// "Ridge regression", 1970): with few samples it says what was believed, with many what was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ridge {
    sums: Sums,
    coefficients: Vec<f32>,
}

impl Sums {
    /// Of so many features, at most [`MAX_FEATURES`]; nothing seen yet.
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self { products: vec![0.0; features * (features + 1) / 2], moments: vec![0.0; features] }
    }

    /// Adds a sample. Older ones keep the share `keep` of their weight. `belief`: the same each time.
    pub fn learn(&mut self, features: &[f32], target: f32, belief: &[f32], keep: f32) {
        let left = target - features.iter().zip(belief).map(|(feature, share)| feature * share).sum::<f32>();
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

    /// Takes in what another has seen, of as many features and the same belief.
    pub fn add(&mut self, other: &Self) {
        self.products.iter_mut().zip(&other.products).for_each(|(sum, other)| *sum += other);
        self.moments.iter_mut().zip(&other.moments).for_each(|(sum, other)| *sum += other);
    }

    /// Writes the coefficients that fit, the belief being `towards` now and not what it was in learning. `stiffness` as in [`solve`](Self::solve).
    pub fn solve_towards(&self, belief: &[f32], towards: &[f32], stiffness: &[f32], coefficients: &mut [f32]) {
        // What the new belief explains beyond the old one is left to be explained no more.
        let mut left = self.clone();
        for (i, moment) in left.moments.iter_mut().enumerate() {
            for (j, (towards, belief)) in towards.iter().zip(belief).enumerate() {
                let (row, column) = (i.max(j), i.min(j));
                *moment -= self.products[row * (row + 1) / 2 + column] * (towards - belief);
            }
        }
        left.solve(towards, stiffness, coefficients);
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub fn fade(&mut self, share: f32) {
        self.products.iter_mut().chain(&mut self.moments).for_each(|sum| *sum *= share);
    }

    /// Writes the coefficients that fit. `stiffness`, more than 0 each: how many samples, of a feature of size 1, the belief about a feature
    /// weighs as much as.
    pub fn solve(&self, belief: &[f32], stiffness: &[f32], coefficients: &mut [f32]) {
        // Cholesky's decomposition, with the first of its two triangles solved on the way.
        let mut root = [0.0f32; MAX_TRIANGLE];
        let mut correction = [0.0f32; MAX_FEATURES];
        let mut inverse = [0.0f32; MAX_FEATURES];
        let mut start = 0;
        for (i, (stiffness, moment)) in stiffness.iter().zip(&self.moments).enumerate() {
            let (above, row) = root.split_at_mut(start);
            let products = &self.products[start..=start + i];
            let mut column_start = 0;
            for j in 0..i {
                let column = &above[column_start..=column_start + j];
                row[j] = (products[j] - dot(&row[..j], column)) * inverse[j];
                column_start += j + 1;
            }
            let row = &row[..i];
            let pivot = products[i] + stiffness - dot(row, row);
            inverse[i] = 1.0 / pivot.max(LEAST_PIVOT * stiffness).sqrt();
            correction[i] = (moment - dot(row, &correction[..i])) * inverse[i];
            start += i + 1;
        }
        for i in (0..self.moments.len()).rev() {
            start -= i + 1;
            correction[i] *= inverse[i];
            let (solved, row) = (correction[i], &root[start..start + i]);
            for (left, root) in correction.iter_mut().zip(row) {
                *left -= root * solved;
            }
        }
        for ((coefficient, belief), correction) in coefficients.iter_mut().zip(belief).zip(correction) {
            *coefficient = belief + correction;
        }
    }

    /// Whether learning could have made it, of so many features.
    #[must_use]
    pub fn is_sound(&self, features: usize) -> bool {
        self.products.len() == features * (features + 1) / 2
            && self.moments.len() == features
            && self.products.iter().chain(&self.moments).all(|number| number.is_finite())
    }
}

impl Ridge {
    /// Of `belief.len()` features, at most [`MAX_FEATURES`]; nothing seen yet.
    #[must_use]
    pub fn new(belief: &[f32]) -> Self {
        Self { sums: Sums::new(belief.len()), coefficients: belief.to_vec() }
    }

    /// What the last [`fit`](Self::fit) found, one for each feature.
    #[must_use]
    pub fn coefficients(&self) -> &[f32] {
        &self.coefficients
    }

    /// As [`Sums::learn`].
    pub fn learn(&mut self, features: &[f32], target: f32, belief: &[f32], keep: f32) {
        self.sums.learn(features, target, belief, keep);
    }

    /// As [`Sums::fade`].
    pub fn fade(&mut self, share: f32) {
        self.sums.fade(share);
    }

    /// Fits anew, as [`Sums::solve`] does.
    pub fn fit(&mut self, belief: &[f32], stiffness: &[f32]) {
        self.sums.solve(belief, stiffness, &mut self.coefficients);
    }

    /// Whether learning could have made it, of so many features.
    #[must_use]
    pub fn is_sound(&self, features: usize) -> bool {
        self.sums.is_sound(features)
            && self.coefficients.len() == features
            && self.coefficients.iter().all(|number| number.is_finite())
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planted_is_found_and_little_data_says_little() {
        let belief = [1.0, 0.0, 0.0];
        let (mut many, mut few) = (Ridge::new(&belief), Ridge::new(&belief));
        for i in 0..2000u32 {
            let noise = |seed: u32| (i.wrapping_mul(seed) >> 16) as f32 / 32768.0 - 1.0;
            let features = [noise(2_654_435_761), noise(2_246_822_519), noise(3_266_489_917)];
            let target = 0.5 * features[0] - 2.0 * features[2];
            many.learn(&features, target, &belief, 1.0);
            if i < 3 {
                few.learn(&features, target, &belief, 1.0);
            }
        }
        many.fit(&belief, &[1.0; 3]);
        few.fit(&belief, &[100.0; 3]);
        for (i, planted) in [0.5, 0.0, -2.0].into_iter().enumerate() {
            assert!((many.coefficients()[i] - planted).abs() < 0.02, "{i}: {:?}", many.coefficients());
            assert!((few.coefficients()[i] - belief[i]).abs() < 0.1, "{i}: {:?}", few.coefficients());
        }
    }

    #[test]
    fn features_that_say_the_same_share_it() {
        let mut ridge = Ridge::new(&[0.0; 2]);
        for i in 0..1000 {
            let value = (i % 7) as f32 - 3.0;
            ridge.learn(&[value, value], value, &[0.0; 2], 1.0);
        }
        ridge.fit(&[0.0; 2], &[1.0, 1.0]);
        assert!(ridge.coefficients().iter().all(|share| (share - 0.5).abs() < 0.01), "{ridge:?}");
        assert!(ridge.is_sound(2) && !ridge.is_sound(3));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut ridge = Ridge::new(&[0.0]);
        for i in 0..2000 {
            let feature = (i % 5) as f32 - 2.0;
            ridge.learn(&[feature], if i < 1000 { -feature } else { feature }, &[0.0], 0.98);
        }
        ridge.fit(&[0.0], &[1.0]);
        assert!((ridge.coefficients()[0] - 1.0).abs() < 0.05, "{ridge:?}");
    }

    #[test]
    fn another_belief_than_in_learning_is_as_if_it_had_been_that_one() {
        let sample = |i: u32| {
            let noise = |seed: u32| (i.wrapping_mul(seed) >> 16) as f32 / 32768.0 - 1.0;
            ([noise(2_654_435_761), noise(2_246_822_519)], noise(3_266_489_917))
        };
        let (belief, towards) = ([1.0, 0.0], [-0.5, 2.0]);
        let (mut before, mut after) = (Sums::new(2), Sums::new(2));
        for (features, target) in (0..20).map(sample) {
            before.learn(&features, target, &belief, 0.9);
            after.learn(&features, target, &towards, 0.9);
        }
        let (mut found, mut wanted) = ([0.0; 2], [0.0; 2]);
        before.solve_towards(&belief, &towards, &[3.0; 2], &mut found);
        after.solve(&towards, &[3.0; 2], &mut wanted);
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-4), "{found:?}, {wanted:?}");
    }

    #[test]
    fn sums_of_parts_fit_as_the_whole_does() {
        let (mut whole, mut parts) = (Sums::new(1), [Sums::new(1), Sums::new(1)]);
        for i in 0..40u8 {
            let feature = f32::from(i % 5);
            whole.learn(&[feature], 2.0 * feature, &[0.0], 1.0);
            parts[usize::from(i % 2)].learn(&[feature], 2.0 * feature, &[0.0], 1.0);
        }
        let [mut sum, other] = parts;
        sum.add(&other);
        assert_eq!(sum, whole);
        let mut found = [0.0];
        sum.solve(&[0.0], &[1.0], &mut found);
        assert!((found[0] - 2.0).abs() < 0.02, "{found:?}");
    }
}
