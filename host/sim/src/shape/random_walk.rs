use super::chance::normal;
use super::{BadShape, within};
use crate::trace::DAY_STEPS;
use rand::rngs::StdRng;
use serde::Deserialize;

/// The farthest a walk goes, as a factor either way: past it a tenant would outweigh all others, or be none.
const FARTHEST: f64 = 16.0;

/// Each tenant's load wanders by itself: its logarithm is a random walk. The past says nothing of where to.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomWalk {
    /// Standard deviation of the logarithm after a day; 0.5: within a factor of 1.6 either way, two times in three.
    pub sigma_per_day: f64,
}

impl Default for RandomWalk {
    fn default() -> Self {
        Self { sigma_per_day: 0.5 }
    }
}

impl RandomWalk {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("sigma_per_day", self.sigma_per_day, 0.0, 10.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], rng: &mut StdRng) {
        let sigma = self.sigma_per_day / (DAY_STEPS as f64).sqrt();
        for row in rows {
            let mut log = 0.0_f64;
            for value in row {
                *value *= log.exp() as f32;
                log = (log + sigma * normal(rng)).clamp(-FARTHEST.ln(), FARTHEST.ln());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;

    #[test]
    fn walks_spread_with_the_root_of_time() {
        let rows = shaped(2_000, Shape::RandomWalk(RandomWalk { sigma_per_day: 0.3 }));
        for days in [1, 2] {
            let logs = rows.iter().map(|row| f64::from(row[days * DAY_STEPS]).ln());
            let spread = (logs.map(|v| v * v).sum::<f64>() / 2_000.0).sqrt();
            assert!((spread / (0.3 * (days as f64).sqrt()) - 1.0).abs() < 0.06, "{days}: {spread}");
        }
        let wild = shaped(50, Shape::RandomWalk(RandomWalk { sigma_per_day: 10.0 }));
        assert!(wild.iter().flatten().all(|v| (1.0 / 16.1..16.1).contains(v)));
    }
}
