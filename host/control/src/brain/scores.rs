//! How good the forecasts and the ranking made of them turned out to be.

use super::{Bound, Brain};
use isobar_analyzer::{Answerer, BandStanding, PrecisionSpec, RankPrecision, RankScorer, Score};
use isobar_model::ShardId;
use serde::Serialize;

/// The ranking is judged an hour ahead, where forecasts reach so far: 12 steps of five minutes.
const RANKED_HORIZON_STEPS: u32 = 12;
/// The hottest: one shard in ten.
const RANKED_SHARE: f64 = 0.1;
/// Half-life of the ranking's score: a day of five-minute steps, as of the forecasters'.
const RANKED_HALF_LIFE_STEPS: f32 = super::SCORE_HALF_LIFE_STEPS;

/// Who answers for the horizons of one band, and how it came to that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BandScore {
    /// The last step of the band; what lies beyond belongs to the last band.
    pub end_step: u32,
    /// Shards of which enough was judged.
    pub judged: usize,
    /// Shards among them that the native forecaster answers for.
    pub yielded: usize,
    /// The bound forecaster's faded sum of pinball losses over these shards, in the load's unit.
    pub policy_loss: f64,
    /// The native one's.
    pub native_loss: f64,
    /// Faded number of values judged.
    pub evidence: f64,
}

/// Scores over all shards, or of one. Steps withheld from forecasters, since a burst was on, are not judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastScores {
    /// Length of a step.
    pub step_ms: u32,
    /// The quantiles that coverage is told of, ascending.
    pub quantiles: Vec<f32>,
    /// The bound forecaster with its score; none: none is bound, or nothing of the shard was judged.
    pub bound: Option<(Bound, Score)>,
    /// The native forecaster's; none: nothing of the shard was judged.
    pub native: Option<Score>,
    /// The guard's bands; empty without a guard.
    pub bands: Vec<BandScore>,
    /// How good the ranking was over all shards.
    pub ranking: RankPrecision,
}

impl Brain {
    /// How good the forecasts were, over all shards or of one.
    #[must_use]
    pub fn forecast_scores(&self, shard: Option<ShardId>) -> ForecastScores {
        let of = |scorer: &isobar_analyzer::Scorer| match shard {
            Some(shard) => scorer.score_of(shard),
            None => Some(scorer.score()),
        };
        ForecastScores {
            step_ms: self.config.step_ms,
            quantiles: self.score.quantiles().to_vec(),
            bound: self.forecaster.bound.clone().zip(of(&self.score)),
            native: of(&self.builtin_score),
            bands: self.bands(shard),
            ranking: self.ranks.score(),
        }
    }

    fn bands(&self, shard: Option<ShardId>) -> Vec<BandScore> {
        // Without a bound forecaster there is nobody to guard against.
        let Some(guards) = self.guards.as_ref().filter(|_| self.forecaster.bound.is_some()) else { return Vec::new() };
        let least = guards.spec().least_evidence;
        let none = |&end_step: &u32| BandScore {
            end_step,
            judged: 0,
            yielded: 0,
            policy_loss: 0.0,
            native_loss: 0.0,
            evidence: 0.0,
        };
        let mut bands: Vec<BandScore> = guards.spec().band_ends.iter().map(none).collect();
        let mut add = |standing: &[BandStanding]| {
            for (band, standing) in bands.iter_mut().zip(standing) {
                let is_judged = standing.evidence >= least;
                band.judged += usize::from(is_judged);
                band.yielded += usize::from(standing.answerer == Answerer::Gate);
                band.policy_loss += standing.policy_loss;
                band.native_loss += standing.gate_loss;
                band.evidence += standing.evidence;
            }
        };
        match shard {
            Some(shard) => add(guards.standing(shard)),
            None => self.history.shards().for_each(|shard| add(guards.standing(shard))),
        }
        bands
    }

    /// Keeps what the forecast in force says of the load an hour ahead, next to the last step's.
    pub(super) fn expect_ranks(&mut self) {
        let end = self.history.end();
        let Some(last_step) = end.checked_sub(1) else { return };
        let step = self.ranks.spec().horizon as usize - 1;
        let shards = self.forecasts.request.shards.clone();
        let ahead = |shard: &ShardId| self.forecasts.median(*shard).get(step).copied().unwrap_or(f32::NAN);
        let predicted = shards.iter().map(ahead).collect();
        let last = shards.iter().map(|shard| self.history.value(*shard, last_step)).collect();
        self.ranks.expect(end, shards, predicted, last);
    }
}

/// A scorer of rankings that has seen nothing, for forecasts so long.
pub(super) fn rank_scorer(horizon_steps: u32) -> RankScorer {
    RankScorer::new(PrecisionSpec {
        horizon: RANKED_HORIZON_STEPS.min(horizon_steps),
        share: RANKED_SHARE,
        half_life_steps: RANKED_HALF_LIFE_STEPS,
    })
}
