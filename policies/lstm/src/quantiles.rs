use crate::math::ln;

/// Levels the network answers at.
pub(crate) const LEVELS: [f32; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99];
/// Place of the median.
pub(crate) const MIDDLE: usize = 4;
/// Levels further out are taken for these: past what was learnt there is only guessing.
const OUTERMOST: f32 = 5e-4;
/// Beyond the last level quantiles go on by so much of the slope between the last two: tails in units of z are thinner than a line.
const BEYOND: f32 = 0.5;

/// Where an asked level lies among those the network answers at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// The two it is computed from: the first, and how far towards the second; below 0 or above 1 beyond the ends.
    from: usize,
    share: f32,
}

impl Level {
    /// Levels are compared by their logits, in which tails are nearly straight.
    pub(crate) fn of(level: f32) -> Self {
        let logit = |p: f32| ln(p) - ln(1.0 - p);
        let level = level.clamp(OUTERMOST, 1.0 - OUTERMOST);
        let above = LEVELS.iter().position(|known| *known >= level).unwrap_or(LEVELS.len() - 1).max(1);
        let (low, high) = (logit(LEVELS[above - 1]), logit(LEVELS[above]));
        let share = (logit(level) - low) / (high - low);
        let share = if share < 0.0 { share * BEYOND } else { share.min(1.0) + (share - 1.0).max(0.0) * BEYOND };
        Self { from: above - 1, share }
    }

    pub(crate) fn pick(self, z: &[f32; LEVELS.len()]) -> f32 {
        let (low, high) = (z[self.from], z[self.from + 1]);
        // Exact at the known levels.
        if self.share == 1.0 { high } else { low + (high - low) * self.share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels_are_exact_and_others_lie_between_and_beyond() {
        let z: [f32; LEVELS.len()] = std::array::from_fn(|i| i as f32 * 2.0 - 3.0);
        for (level, expected) in LEVELS.iter().zip(z) {
            assert_eq!(Level::of(*level).pick(&z), expected, "{level}");
        }
        let picked: Vec<f32> = (0..=1000).map(|i| Level::of(i as f32 / 1000.0).pick(&z)).collect();
        assert!(picked.is_sorted());
        assert!(picked[0] < z[0] && picked[1000] > z[9] && picked[1000] < z[9] + 5.0);
        assert!((picked[600] - 5.7).abs() < 0.1, "{}", picked[600]);
    }
}
