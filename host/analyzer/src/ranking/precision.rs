//! How good a ranking turned out to be: of the shards said to become the hottest, how many did.

use isobar_model::ShardId;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Share of the `count` rows predicted highest that are among the `count` highest of the truth, `count` being `share` of the rows, rounded up.
/// Rows are alike in both; those where either is not finite are left out. Whatever is as high as the last of the truly highest counts as one of
/// them; of rows predicted alike the first are taken. None without rows, and where the last of the highest is not above 0: nothing is hot then.
///
/// Precision at k (Manning, Raghavan and Schütze 2008, chapter 8).
#[must_use]
pub fn top_precision(predicted: &[f32], truth: &[f32], share: f64) -> Option<f64> {
    let rows = predicted.iter().zip(truth).filter(|(p, t)| p.is_finite() && t.is_finite());
    let mut rows: Vec<(f32, f32)> = rows.map(|(p, t)| (*p, *t)).collect();
    let count = ((rows.len() as f64 * share).ceil() as usize).clamp(1, rows.len().max(1));
    let descending = |a: f32, b: f32| -> Ordering { b.total_cmp(&a) };
    let mut truths: Vec<f32> = rows.iter().map(|(_, t)| *t).collect();
    truths.sort_by(|a, b| descending(*a, *b));
    let least = *truths.get(count - 1)?;
    // Stable: the first of equals stay first.
    rows.sort_by(|(a, _), (b, _)| descending(*a, *b));
    let hits = rows.iter().take(count).filter(|(_, t)| *t >= least).count();
    (least > 0.0).then(|| hits as f64 / count as f64)
}

/// What is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionSpec {
    /// Steps ahead: 1 is the next step.
    pub horizon: u32,
    /// Share of the shards that are the hottest.
    pub share: f64,
    /// Steps in which a score loses half its weight.
    pub half_life_steps: f32,
}

/// How good the ranking was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankPrecision {
    /// Steps ahead.
    pub horizon: u32,
    /// Share of the shards that are the hottest.
    pub share: f64,
    /// Share of the shards forecast to be the hottest that were; none before anything was scored.
    pub precision: Option<f64>,
    /// The same, had the last measured load been taken for the forecast.
    pub baseline: Option<f64>,
    /// Steps scored so far.
    pub steps: u64,
}

/// What was said of one step.
#[derive(Clone, Debug)]
struct Pending {
    target: u64,
    shards: Vec<ShardId>,
    predicted: Vec<f32>,
    last: Vec<f32>,
}

/// Keeps rankings until they can be judged: 16 bytes a shard for each step of the horizon.
#[derive(Clone, Debug)]
pub struct RankScorer {
    spec: PrecisionSpec,
    /// At most one a step up to the horizon.
    pending: VecDeque<Pending>,
    hits: f64,
    baseline: f64,
    weight: f64,
    steps: u64,
}

impl RankScorer {
    /// A scorer that has seen nothing.
    #[must_use]
    pub fn new(spec: PrecisionSpec) -> Self {
        let spec = PrecisionSpec { horizon: spec.horizon.max(1), ..spec };
        Self { spec, pending: VecDeque::new(), hits: 0.0, baseline: 0.0, weight: 0.0, steps: 0 }
    }

    /// What is scored.
    #[must_use]
    pub fn spec(&self) -> &PrecisionSpec {
        &self.spec
    }

    /// Keeps what is said, when `next_step` is the first step not closed, of the horizon's step: the load forecast, and the last one measured, one
    /// each a shard. A second word at the same step replaces the first; what is out of shape is not kept.
    pub fn expect(&mut self, next_step: u64, shards: Vec<ShardId>, predicted: Vec<f32>, last: Vec<f32>) {
        if predicted.len() != shards.len() || last.len() != shards.len() {
            return;
        }
        let target = next_step.saturating_add(u64::from(self.spec.horizon) - 1);
        // What waits for a step out of reach, as after a clock that was set back, would wait for ever.
        self.pending.retain(|p| p.target != target && p.target >= next_step && p.target < target);
        self.pending.push_back(Pending { target, shards, predicted, last });
    }

    /// Judges what was said of `step`, now that it is closed; what was said of earlier steps is dropped. A load that is not finite is missing.
    pub fn occurred(&mut self, step: u64, load: impl Fn(ShardId) -> f32) {
        let due = self.pending.iter().position(|p| p.target == step).and_then(|at| self.pending.remove(at));
        self.pending.retain(|p| p.target > step);
        let Some(Pending { shards, predicted, last, .. }) = due else { return };
        // One who has no last load is not compared: both rank the same shards.
        let known = |i: &usize| predicted[*i].is_finite() && last[*i].is_finite();
        let rows: Vec<usize> = (0..shards.len()).filter(known).collect();
        let of = |values: &[f32]| rows.iter().map(|&i| values[i]).collect::<Vec<f32>>();
        let truth: Vec<f32> = rows.iter().map(|&i| load(shards[i])).collect();
        let (hits, baseline) = (
            top_precision(&of(&predicted), &truth, self.spec.share),
            top_precision(&of(&last), &truth, self.spec.share),
        );
        if let (Some(hits), Some(baseline)) = (hits, baseline) {
            let fade = 0.5f64.powf(1.0 / f64::from(self.spec.half_life_steps.max(1.0)));
            self.hits = self.hits * fade + hits;
            self.baseline = self.baseline * fade + baseline;
            self.weight = self.weight * fade + 1.0;
            self.steps += 1;
        }
    }

    /// The score so far.
    #[must_use]
    pub fn score(&self) -> RankPrecision {
        let mean = |sum: f64| (self.weight > 0.0).then(|| sum / self.weight);
        RankPrecision {
            horizon: self.spec.horizon,
            share: self.spec.share,
            precision: mean(self.hits),
            baseline: mean(self.baseline),
            steps: self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_of_the_two_hottest_were_foretold() {
        let truth = [1.0, 9.0, 8.0, 2.0];
        assert_eq!(top_precision(&[1.0, 5.0, 2.0, 3.0], &truth, 0.5), Some(0.5));
        assert_eq!(top_precision(&truth, &truth, 0.5), Some(1.0));
        // Rounded up: one of four.
        assert_eq!(top_precision(&[0.0, 0.0, 1.0, 0.0], &truth, 0.1), Some(0.0));
    }

    #[test]
    fn whoever_is_as_hot_as_the_last_is_hot_and_idle_shards_never() {
        assert_eq!(top_precision(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0], 0.3), Some(1.0));
        assert_eq!(top_precision(&[1.0, 2.0], &[0.0, 0.0], 0.5), None);
        assert_eq!(top_precision(&[], &[], 0.5), None);
        // The missing are left out on both sides.
        assert_eq!(top_precision(&[9.0, 2.0, 1.0], &[f32::NAN, 2.0, 1.0], 0.5), Some(1.0));
    }

    #[test]
    fn a_forecast_that_sees_the_turn_beats_the_last_value() {
        let shards: Vec<ShardId> = (0..10).map(ShardId).collect();
        let mut scorer = RankScorer::new(PrecisionSpec { horizon: 3, share: 0.1, half_life_steps: 10.0 });
        // The hottest is another one at each step.
        let truth = |step: u64, shard: u64| if shard == step % 10 { 9.0 } else { 1.0 };
        for step in 1..40u64 {
            let at = |step: u64| (0..10).map(|shard| truth(step, shard)).collect::<Vec<f32>>();
            scorer.expect(step, shards.clone(), at(step + 2), at(step - 1));
            scorer.occurred(step, |shard| truth(step, shard.0));
        }
        let score = scorer.score();
        assert_eq!((score.precision, score.baseline, score.steps), (Some(1.0), Some(0.0), 37));
    }

    /// Promise 8.
    #[test]
    fn what_is_never_judged_does_not_pile_up() {
        let mut scorer = RankScorer::new(PrecisionSpec { horizon: 12, share: 0.1, half_life_steps: 10.0 });
        for step in (0..10_000).chain(0..100) {
            scorer.expect(step, vec![ShardId(1)], vec![1.0], vec![1.0]);
            scorer.expect(step, vec![ShardId(1)], vec![1.0], vec![]);
        }
        assert!(scorer.pending.len() <= 12, "{}", scorer.pending.len());
    }

    proptest! {
        #[test]
        fn a_precision_is_a_share_and_the_truth_foretells_itself(
            rows in proptest::collection::vec((0.0f32..9.0, 0.0f32..9.0), 0..60),
            share in 0.0f64..1.5,
        ) {
            let (predicted, truth): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            prop_assert!(top_precision(&predicted, &truth, share).is_none_or(|p| (0.0..=1.0).contains(&p)));
            prop_assert!(top_precision(&truth, &truth, share).is_none_or(|p| p == 1.0));
        }
    }
}
