//! How good forecasts turned out to be: each is kept until the load it spoke of has occurred, then compared; over all shards and for each.
//!
//! WAPE: sum of absolute errors of the median over the sum of loads (Kolassa and Schütz 2007); the bias is the same with the errors' signs. Pinball
//! loss (Koenker and Bassett 1978) and coverage judge the quantiles, missed peaks the highest quantile of the maximum. All sums fade with a half-life,
//! so that a policy is judged by its recent days.

mod peaks;

pub use peaks::PeakScore;

use isobar_model::ShardId;
use peaks::PeakScorer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

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
    /// How far the median is above the load on average, as a share of the mean load: above 0 too much was forecast.
    pub bias: Option<f64>,
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
    /// Peaks missed, where any are forecast.
    pub peaks: Option<PeakScore>,
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

/// Places of the figures of one horizon: sums that fade, those of the quantiles covered from [`COVERED`] on.
const ERROR: usize = 0;
const LOAD: usize = 1;
const PINBALL: usize = 2;
const OVER: usize = 3;
const WEIGHT: usize = 4;
/// The steps judged, which do not fade.
const STEPS: usize = 5;
const COVERED: usize = 6;

/// Keeps forecasts until they can be judged.
#[derive(Clone, Debug)]
pub struct Scorer {
    spec: ScorerSpec,
    /// At most one entry a horizon and step, up to the longest horizon: bounded by the square of the horizons.
    pending: VecDeque<Pending>,
    /// `sums[horizon * width + figure]`, the width being [`COVERED`] and the quantiles.
    sums: Vec<f64>,
    /// The same of each shard: with four horizons and six quantiles 192 bytes, and some 60 to find them.
    shards: BTreeMap<ShardId, Box<[f32]>>,
    peaks: PeakScorer,
}

impl Scorer {
    /// A scorer that has seen nothing.
    #[must_use]
    pub fn new(mut spec: ScorerSpec) -> Self {
        spec.horizons.retain(|&horizon| horizon > 0);
        spec.horizons.sort_unstable();
        spec.horizons.dedup();
        let sums = vec![0.0; spec.horizons.len() * (COVERED + spec.quantiles.len())];
        Self { spec, pending: VecDeque::new(), sums, shards: BTreeMap::new(), peaks: PeakScorer::default() }
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

    /// Keeps a forecast of the maximum over the first `peak_steps`, made when `next_step` was the first step not closed.
    /// `peaks[row * quantiles + q]`; what is out of shape is not kept. A second forecast at the same step replaces the first.
    pub fn expect_peaks(&mut self, next_step: u64, shards: &[ShardId], peak_steps: u32, peaks: &[f32]) {
        self.peaks.expect(&self.spec, next_step, shards, peak_steps, peaks);
    }

    /// Judges all forecasts of `step`, now that it is closed; forecasts of earlier steps that were never closed are dropped.
    pub fn occurred(&mut self, step: u64, load: impl Fn(ShardId) -> f32) {
        let due: Vec<Pending> = self.pending.iter().filter(|p| p.target == step).cloned().collect();
        self.pending.retain(|p| p.target > step);
        for pending in due {
            self.judge(&pending, &load);
        }
        self.peaks.occurred(&self.spec, step, &load);
    }

    /// The score over all shards so far.
    #[must_use]
    pub fn score(&self) -> Score {
        let width = self.width();
        self.read(|horizon, figure| self.sums[horizon * width + figure], self.peaks.score(&self.spec, None))
    }

    /// The score of one shard so far; none where nothing of it was judged.
    #[must_use]
    pub fn score_of(&self, shard: ShardId) -> Option<Score> {
        let (sums, width) = (self.shards.get(&shard)?, self.width());
        let peaks = self.peaks.score(&self.spec, Some(shard));
        Some(self.read(|horizon, figure| f64::from(sums[horizon * width + figure]), peaks))
    }

    /// The quantiles that coverage is told of, ascending.
    #[must_use]
    pub fn quantiles(&self) -> &[f32] {
        &self.spec.quantiles
    }

    /// Drops the figures of shards that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(ShardId) -> bool) {
        self.shards.retain(|shard, _| keep(*shard));
        self.peaks.retain(keep);
    }

    fn width(&self) -> usize {
        COVERED + self.spec.quantiles.len()
    }

    fn read(&self, sum: impl Fn(usize, usize) -> f64, peaks: Option<PeakScore>) -> Score {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let horizons = self.spec.horizons.iter().enumerate().map(|(at, &horizon)| {
            let load = sum(at, LOAD);
            HorizonScore {
                horizon,
                wape: share(sum(at, ERROR), load),
                pinball: share(sum(at, PINBALL), load),
                bias: share(sum(at, OVER), load),
                coverage: (COVERED..self.width())
                    .map(|figure| share(sum(at, figure), sum(at, WEIGHT)).unwrap_or(0.0))
                    .collect(),
                steps: sum(at, STEPS) as u64,
            }
        });
        Score { horizons: horizons.collect(), peaks }
    }

    fn judge(&mut self, pending: &Pending, load: &impl Fn(ShardId) -> f32) {
        let (quantiles, width) = (&self.spec.quantiles, self.width());
        let fade = 0.5f64.powf(1.0 / f64::from(self.spec.half_life_steps.max(1.0)));
        let range = pending.horizon * width..(pending.horizon + 1) * width;
        let overall = &mut self.sums[range.clone()];
        for (figure, sum) in overall.iter_mut().enumerate() {
            *sum = if figure == STEPS { *sum + 1.0 } else { *sum * fade };
        }
        let off = |q: &f32| (q - 0.5).abs();
        let median = quantiles.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b))).map(|(i, _)| i);
        let Some(median) = median else { return };
        let mut figures = vec![0.0f64; width];
        for (row, &shard) in pending.shards.iter().enumerate() {
            let actual = f64::from(load(shard));
            let expected = &pending.values[row * quantiles.len()..(row + 1) * quantiles.len()];
            if !actual.is_finite() || expected.iter().any(|v| !v.is_finite()) {
                continue;
            }
            let over = f64::from(expected[median]) - actual;
            figures[..COVERED].copy_from_slice(&[over.abs(), actual, 0.0, over, 1.0, 1.0]);
            for (place, (&q, &value)) in quantiles.iter().zip(expected).enumerate() {
                let (q, miss) = (f64::from(q), actual - f64::from(value));
                figures[PINBALL] += f64::max(q * miss, (q - 1.0) * miss) / quantiles.len() as f64;
                figures[COVERED + place] = f64::from(u8::from(miss <= 0.0));
            }
            let horizons = self.spec.horizons.len();
            let own = self.shards.entry(shard).or_insert_with(|| vec![0.0; horizons * width].into_boxed_slice());
            let own = &mut own[range.clone()];
            for (figure, ((sum, own), new)) in overall.iter_mut().zip(own).zip(&figures).enumerate() {
                if figure == STEPS {
                    // Counted once over all shards, above.
                    *own += 1.0;
                } else {
                    *sum += new;
                    *own = *own * fade as f32 + *new as f32;
                }
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
        assert_eq!(score.bias, Some((-1.0 + 2.0) / 8.0));
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

    #[test]
    fn each_shard_has_a_score_of_its_own_until_it_is_dropped() {
        let mut scorer = scorer(&[1]);
        let b = ShardId(2);
        scorer.expect(10, &[A, b], 1, &[1.0, 1.0, 1.0, 0.0, 9.0, 9.0]);
        scorer.occurred(10, |shard| if shard == A { 1.0 } else { 6.0 });
        let of = |scorer: &Scorer, shard| scorer.score_of(shard).map(|score| score.horizons[0].clone());
        let second = of(&scorer, b).unwrap();
        assert_eq!((of(&scorer, A).unwrap().wape, second.wape, second.bias), (Some(0.0), Some(0.5), Some(0.5)));
        assert_eq!((second.coverage, second.steps), (vec![0.0, 1.0, 1.0], 1));
        scorer.retain(|shard| shard == A);
        assert!(of(&scorer, b).is_none() && of(&scorer, A).is_some() && of(&scorer, ShardId(9)).is_none());
    }

    #[test]
    fn a_peak_is_missed_where_any_step_of_its_window_is_above_the_highest_quantile() {
        let mut scorer = scorer(&[1]);
        let b = ShardId(2);
        assert_eq!(scorer.score().peaks, None);
        // Of A at most 5 is feared, of B 9.
        scorer.expect_peaks(10, &[A, b], 3, &[1.0, 2.0, 5.0, 1.0, 2.0, 9.0]);
        for (step, load) in [(10, 4.0), (11, 6.0), (12, 1.0)] {
            assert_eq!(scorer.score().peaks.and_then(|peaks| peaks.misses), None);
            scorer.occurred(step, |_| load);
        }
        let peaks = |shard| scorer.score_of(shard).and_then(|score| score.peaks);
        let all = scorer.score().peaks.unwrap();
        assert_eq!((all.steps, all.quantile, all.misses, all.windows), (3, 0.9, Some(0.5), 2));
        // Nothing but peaks was forecast of them.
        assert_eq!((peaks(A), peaks(b)), (None, None));
    }

    #[test]
    fn windows_with_gaps_are_not_judged() {
        let mut scorer = scorer(&[1]);
        for from in [10, 13] {
            scorer.expect(from, &[A], 1, &[1.0; 3]);
            scorer.expect_peaks(from, &[A], 2, &[1.0, 2.0, 3.0]);
        }
        // A missing load; then a step never closed.
        scorer.occurred(10, |_| f32::NAN);
        scorer.occurred(11, |_| 9.0);
        scorer.occurred(14, |_| 9.0);
        assert_eq!(scorer.score().peaks.map(|peaks| peaks.windows), Some(0));
        scorer.expect(15, &[A], 1, &[1.0; 3]);
        scorer.expect_peaks(15, &[A], 2, &[1.0, 2.0, 3.0]);
        scorer.occurred(15, |_| 3.0);
        scorer.occurred(16, |_| 4.0);
        let peaks = scorer.score_of(A).unwrap().peaks.unwrap();
        assert_eq!((peaks.misses, peaks.windows), (Some(1.0), 1));
    }

    /// Promise 8.
    #[test]
    fn forecasts_never_judged_do_not_pile_up() {
        let mut scorer = scorer(&[1, 6, 12]);
        for step in 0..10_000 {
            scorer.expect(step, &[A], 12, &[1.0; 36]);
            scorer.expect(step, &[A], 12, &[1.0; 36]);
            scorer.expect_peaks(step, &[A], 12, &[1.0; 3]);
            scorer.expect_peaks(step, &[A], 12, &[1.0; 3]);
            if step % 3 > 0 {
                scorer.occurred(step, |_| 1.0);
            }
        }
        assert!(scorer.pending.len() <= 2 + 6 + 12, "{}", scorer.pending.len());
        assert!(scorer.peaks.pending() <= 12, "{}", scorer.peaks.pending());
    }
}
