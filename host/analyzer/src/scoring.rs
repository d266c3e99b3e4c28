//! How good forecasts turned out to be: each is kept until the load it spoke of has occurred, then compared.
//!
//! WAPE: sum of absolute errors of the median over the sum of loads (Kolassa and Schütz 2007). Pinball loss (Koenker and Bassett 1978) and
//! coverage judge the quantiles. All sums fade with a half-life, so that a policy is judged by its recent days.

use isobar_model::ShardId;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ScorerSpec {
    /// Horizons, in steps ahead: 1 is the next step.
    pub horizons: Vec<u32>,
    /// Quantiles of the forecasts, ascending.
    pub quantiles: Vec<f32>,
    /// Steps in which a score loses half its weight.
    pub half_life_steps: f32,
}

/// The score at one horizon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HorizonScore {
    /// Steps ahead.
    pub horizon: u32,
    /// Weighted absolute percentage error of the median, 0 is perfect; none before anything was scored.
    pub wape: Option<f64>,
    /// Mean pinball loss over quantiles, as a share of the mean load.
    pub pinball: Option<f64>,
    /// Share of loads at or below each quantile's forecast; the quantile itself is perfect.
    pub coverage: Vec<f64>,
    /// Steps scored so far.
    pub steps: u64,
}

/// The score over all horizons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// By horizon.
    pub horizons: Vec<HorizonScore>,
}

impl Score {
    /// Mean WAPE over the horizons that were scored.
    #[must_use]
    pub fn wape(&self) -> Option<f64> {
        let scored: Vec<f64> = self.horizons.iter().filter_map(|h| h.wape).collect();
        (!scored.is_empty()).then(|| scored.iter().sum::<f64>() / scored.len() as f64)
    }

    /// Steps scored at every horizon.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.horizons.iter().map(|h| h.steps).min().unwrap_or(0)
    }
}

/// Forecasts of one step, made some steps before it.
#[derive(Clone, Debug)]
struct Pending {
    target: u64,
    horizon: usize,
    shards: Vec<ShardId>,
    /// `values[row * quantiles + q]`.
    values: Vec<f32>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    error: f64,
    load: f64,
    pinball: f64,
    weight: f64,
    covered: Vec<f64>,
    steps: u64,
}

/// Keeps forecasts until they can be judged.
#[derive(Clone, Debug)]
pub struct Scorer {
    spec: ScorerSpec,
    /// At most one entry a horizon and step, up to the longest horizon: bounded by the square of the horizons.
    pending: VecDeque<Pending>,
    sums: Vec<Sums>,
}

impl Scorer {
    /// A scorer that has seen nothing.
    #[must_use]
    pub fn new(mut spec: ScorerSpec) -> Self {
        spec.horizons.retain(|&horizon| horizon > 0);
        spec.horizons.sort_unstable();
        spec.horizons.dedup();
        let covered = vec![0.0; spec.quantiles.len()];
        let sums = vec![Sums { covered, ..Sums::default() }; spec.horizons.len()];
        Self { spec, pending: VecDeque::new(), sums }
    }

    /// Keeps a forecast made when `next_step` was the first step not closed. `values[(row * quantiles + q) * steps + step]`; horizons
    /// beyond its steps are not kept. A second forecast of a step from the same distance replaces the first.
    pub fn expect(&mut self, next_step: u64, shards: &[ShardId], steps: usize, values: &[f32]) {
        let quantiles = self.spec.quantiles.len();
        if values.len() != shards.len() * quantiles * steps {
            return;
        }
        for (horizon, &ahead) in self.spec.horizons.iter().enumerate() {
            let step = ahead as usize - 1;
            if step >= steps {
                continue;
            }
            let target = next_step + step as u64;
            self.pending.retain(|p| (p.target, p.horizon) != (target, horizon));
            let picked = (0..shards.len() * quantiles).map(|path| values[path * steps + step]).collect();
            self.pending.push_back(Pending { target, horizon, shards: shards.to_vec(), values: picked });
        }
    }

    /// Judges all forecasts of `step`, now that it is closed; forecasts of earlier steps that were never closed are dropped.
    pub fn occurred(&mut self, step: u64, load: impl Fn(ShardId) -> f32) {
        let due: Vec<Pending> = self.pending.iter().filter(|p| p.target == step).cloned().collect();
        self.pending.retain(|p| p.target > step);
        for pending in due {
            self.judge(&pending, &load);
        }
    }

    /// The score so far.
    #[must_use]
    pub fn score(&self) -> Score {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let horizons = self.spec.horizons.iter().zip(&self.sums).map(|(&horizon, sums)| HorizonScore {
            horizon,
            wape: share(sums.error, sums.load),
            pinball: share(sums.pinball, sums.load),
            coverage: sums.covered.iter().map(|&covered| share(covered, sums.weight).unwrap_or(0.0)).collect(),
            steps: sums.steps,
        });
        Score { horizons: horizons.collect() }
    }

    fn judge(&mut self, pending: &Pending, load: &impl Fn(ShardId) -> f32) {
        let quantiles = &self.spec.quantiles;
        let sums = &mut self.sums[pending.horizon];
        let fade = 0.5f64.powf(1.0 / f64::from(self.spec.half_life_steps.max(1.0)));
        for sum in
            [&mut sums.error, &mut sums.load, &mut sums.pinball, &mut sums.weight].into_iter().chain(&mut sums.covered)
        {
            *sum *= fade;
        }
        sums.steps += 1;
        let off = |q: &f32| (q - 0.5).abs();
        let median = quantiles.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b))).map(|(i, _)| i);
        for (row, &shard) in pending.shards.iter().enumerate() {
            let actual = f64::from(load(shard));
            let expected = &pending.values[row * quantiles.len()..(row + 1) * quantiles.len()];
            if !actual.is_finite() || expected.iter().any(|v| !v.is_finite()) {
                continue;
            }
            let Some(median) = median else { continue };
            sums.load += actual;
            sums.weight += 1.0;
            sums.error += (actual - f64::from(expected[median])).abs();
            for ((&q, &value), covered) in quantiles.iter().zip(expected).zip(&mut sums.covered) {
                let (q, miss) = (f64::from(q), actual - f64::from(value));
                sums.pinball += f64::max(q * miss, (q - 1.0) * miss) / quantiles.len() as f64;
                *covered += f64::from(u8::from(miss <= 0.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ShardId = ShardId(1);

    fn scorer(horizons: &[u32]) -> Scorer {
        Scorer::new(ScorerSpec { horizons: horizons.to_vec(), quantiles: vec![0.1, 0.5, 0.9], half_life_steps: 100.0 })
    }

    #[test]
    fn a_perfect_forecast_has_no_error() {
        let mut scorer = scorer(&[1, 2]);
        scorer.expect(10, &[A], 2, &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        scorer.occurred(10, |_| 1.0);
        scorer.occurred(11, |_| 2.0);
        let score = scorer.score();
        assert_eq!(score.wape(), Some(0.0));
        assert_eq!(score.horizons[1].pinball, Some(0.0));
        assert_eq!(score.steps(), 1);
    }

    #[test]
    fn errors_are_weighed_by_load_and_quantiles_by_their_side() {
        let mut scorer = scorer(&[1]);
        scorer.expect(10, &[A, ShardId(2)], 1, &[0.0, 1.0, 3.0, 0.0, 8.0, 9.0]);
        scorer.occurred(10, |shard| if shard == A { 2.0 } else { 6.0 });
        let score = &scorer.score().horizons[0];
        assert_eq!(score.wape, Some((1.0 + 2.0) / 8.0));
        assert_eq!(score.coverage, [0.0, 0.5, 1.0]);
        let expected = (0.1 * 2.0 + 0.5 * 1.0 + 0.1 * 1.0 + 0.1 * 6.0 + 0.5 * 2.0 + 0.1 * 3.0) / 3.0 / 8.0;
        assert!((score.pinball.unwrap() - expected).abs() < 1e-6);
    }

    #[test]
    fn missing_loads_and_forecasts_out_of_shape_are_not_scored() {
        let mut scorer = scorer(&[1]);
        scorer.expect(10, &[A], 1, &[1.0]);
        scorer.occurred(10, |_| 5.0);
        assert_eq!(scorer.score().wape(), None);
        scorer.expect(11, &[A], 1, &[1.0, 1.0, 1.0]);
        scorer.occurred(11, |_| f32::NAN);
        assert_eq!(scorer.score().wape(), None);
    }

    #[test]
    fn old_errors_fade() {
        let mut scorer = scorer(&[1]);
        let mut step = |guess: f32| {
            let at = scorer.score().horizons[0].steps;
            scorer.expect(at, &[A], 1, &[guess; 3]);
            scorer.occurred(at, |_| 1.0);
            scorer.score().wape().unwrap()
        };
        assert_eq!(step(2.0), 1.0);
        let after: Vec<f64> = (0..300).map(|_| step(1.0)).collect();
        assert!(after[299] < 0.005 && after.is_sorted_by(|a, b| a >= b));
    }

    /// Promise 8.
    #[test]
    fn forecasts_never_judged_do_not_pile_up() {
        let mut scorer = scorer(&[1, 6, 12]);
        for step in 0..10_000 {
            scorer.expect(step, &[A], 12, &[1.0; 36]);
            scorer.expect(step, &[A], 12, &[1.0; 36]);
            scorer.occurred(step, |_| 1.0);
        }
        assert!(scorer.pending.len() <= 1 + 6 + 12, "{}", scorer.pending.len());
    }
}
