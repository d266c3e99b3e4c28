use super::chance::exponential;
use super::{BadShape, within};
use crate::trace::DAY_STEPS;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;

/// Tenants go, and after a while others come in their place: each is there for an exponential time, then away for one.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// Mean days that a tenant stays.
    pub life_days: f64,
    /// Mean days until another comes.
    pub gap_days: f64,
}

impl Default for Churn {
    fn default() -> Self {
        Self { life_days: 7.0, gap_days: 1.0 }
    }
}

impl Churn {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("life_days", self.life_days, 0.01, 3_660.0)?;
        within("gap_days", self.gap_days, 0.01, 3_660.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], rng: &mut StdRng) {
        let there = self.life_days / (self.life_days + self.gap_days);
        for row in rows {
            // As if it had gone on for ever before: exponential times have no memory.
            let mut is_there = rng.random::<f64>() < there;
            let mut at = 0.0;
            while (at as usize) < row.len() {
                let mean = if is_there { self.life_days } else { self.gap_days };
                // A stay of less than a step counts as one: a loop must come to its end.
                let until = at + (exponential(rng, mean) * DAY_STEPS as f64).max(1.0);
                if !is_there {
                    let to = (until as usize).min(row.len());
                    row[at as usize..to].iter_mut().for_each(|value| *value = 0.0);
                }
                (at, is_there) = (until, !is_there);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;

    #[test]
    fn tenants_are_there_for_their_share_of_the_time() {
        let rows = shaped(2_000, Shape::Churn(Churn { life_days: 1.0, gap_days: 0.5 }));
        let there = rows.iter().flatten().filter(|v| **v > 0.0).count() as f64 / (2_000.0 * 864.0);
        assert!((there - 2.0 / 3.0).abs() < 0.02, "{there}");
        let turns: usize = rows.iter().map(|row| row.windows(2).filter(|w| w[0] != w[1]).count()).sum();
        // Three days, each with two thirds of a departure and as many arrivals.
        assert!((turns as f64 / 2_000.0 - 4.0).abs() < 0.3, "{turns}");
    }
}
