use serde::{Deserialize, Serialize};

/// Squared sizes that the belief at the beginning weighs as much as: it is soon outweighed.
const PRIOR: f32 = 1.0;
/// What was left of more usual errors than this teaches no more.
const LIMIT: f32 = 6.0;

/// How much of one part of the model is to be believed, between nothing and all of it: what of it came true lately (a regression through the
/// origin; stacked generalisation: D. H. Wolpert 1992).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// Sums, older ones fading: of the part times what came true of it, and of its square; in usual errors.
    product: f32,
    square: f32,
}

impl Trust {
    /// Before anything came true: `share` is believed.
    pub(crate) fn new(share: f32) -> Self {
        Self { product: share * PRIOR, square: PRIOR }
    }

    /// The share believed.
    pub(crate) fn share(&self) -> f32 {
        (self.product / self.square).clamp(0.0, 1.0)
    }

    /// Learns that the model said `part`, and that `left` was left of the load when all it believed in was taken away; both in usual
    /// errors. What was learnt before keeps the share `keep` of its weight.
    pub(crate) fn learn(&mut self, part: f32, left: f32, keep: f32) {
        let part = part.clamp(-LIMIT, LIMIT);
        let came_true = left.clamp(-LIMIT, LIMIT) + self.share() * part;
        self.product = keep * self.product + part * came_true;
        self.square = (keep * self.square + part * part).max(PRIOR);
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.product.is_finite() && self.square.is_finite() && self.square >= PRIOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_true_is_believed_and_what_does_not_is_not() {
        let (mut half, mut none) = (Trust::new(1.0), Trust::new(1.0));
        for step in 0..2000u32 {
            let part = (step as f32 * 0.1).sin();
            half.learn(part, 0.5 * part - half.share() * part, 0.999);
            none.learn(part, -none.share() * part, 0.999);
        }
        assert!((half.share() - 0.5).abs() < 0.02, "{}", half.share());
        assert!(none.share() < 0.02, "{}", none.share());
        assert!(half.is_sound() && none.is_sound());
    }
}
