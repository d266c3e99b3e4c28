//! Scores of forecasts in the words of the API.

use isobar_analyzer::Score;
use isobar_api::{ForecasterScoreInfo, GuardBandInfo, HorizonScoreInfo, PeakScoreInfo, RankingScoreInfo, ScoresInfo};
use isobar_control::{Bound, ForecastScores};
use isobar_model::ShardId;

/// The name of the native forecaster.
const BUILTIN: &str = "builtin";

pub(super) fn scores_info(shard: Option<ShardId>, scores: ForecastScores) -> ScoresInfo {
    let ForecastScores { step_ms, quantiles, bound, native, bands, ranking } = scores;
    let band = |band: isobar_control::BandScore| GuardBandInfo {
        end_step: band.end_step,
        judged: band.judged as u64,
        yielded: band.yielded as u64,
        policy_loss: band.policy_loss,
        native_loss: band.native_loss,
        evidence: band.evidence,
    };
    ScoresInfo {
        shard,
        step_ms,
        quantiles,
        bound: bound.map(|(bound, score)| forecaster(Some(bound), score)),
        native: native.map(|score| forecaster(None, score)),
        guard: bands.into_iter().map(band).collect(),
        ranking: RankingScoreInfo {
            horizon: ranking.horizon,
            share: ranking.share,
            precision: ranking.precision,
            baseline: ranking.baseline,
            steps: ranking.steps,
        },
    }
}

fn forecaster(bound: Option<Bound>, score: Score) -> ForecasterScoreInfo {
    let horizon = |of: isobar_analyzer::HorizonScore| HorizonScoreInfo {
        horizon: of.horizon,
        wape: of.wape,
        pinball: of.pinball,
        bias: of.bias,
        coverage: of.coverage,
        steps: of.steps,
    };
    let peaks = |of: isobar_analyzer::PeakScore| PeakScoreInfo {
        steps: of.steps,
        quantile: of.quantile,
        misses: of.misses,
        windows: of.windows,
    };
    ForecasterScoreInfo {
        revision: bound.as_ref().map(|bound| bound.digest),
        policy: bound.map_or_else(|| BUILTIN.to_owned(), |bound| bound.name),
        horizons: score.horizons.into_iter().map(horizon).collect(),
        peaks: score.peaks.map(peaks),
    }
}
