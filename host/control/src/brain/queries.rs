//! What a brain tells of itself.

use super::{Brain, ForecastAnswer, SlotStatus};
use isobar_analyzer::{HeatMap, HeatMapSpec, RankInput, RankedShard, Score, rank};
use isobar_model::{ClusterView, ShardId};

/// The peak quantile that shards are ranked by: what is feared, not what is likely.
const RANKED_QUANTILE: f32 = 0.9;

impl Brain {
    /// The forecast in force of these shards.
    #[must_use]
    pub fn forecast(&self, shards: &[ShardId]) -> ForecastAnswer {
        self.forecasts.answer(shards.iter().copied(), self.config.step_ms, self.bursts.as_ref())
    }

    /// The forecast in force of all shards.
    #[must_use]
    pub fn forecast_of_all(&self) -> ForecastAnswer {
        self.forecasts.answer(self.forecasts.request.shards.iter().copied(), self.config.step_ms, self.bursts.as_ref())
    }

    /// Load past and forecast.
    #[must_use]
    pub fn heat_map(&self, spec: HeatMapSpec) -> HeatMap {
        let shards: Vec<ShardId> = self.history.shards().collect();
        HeatMap::draw(&self.history, &shards, |shard| self.forecasts.median(shard), spec)
    }

    /// Shards ranked by what they are about to do to their nodes, with what the last round would do about it.
    #[must_use]
    pub fn ranking(&self, limit: usize) -> Vec<RankedShard> {
        let Some(view) = &self.last_view else { return Vec::new() };
        let peaks: Vec<f32> = (view.shards.ids.iter().zip(&view.shards.leader_load))
            .map(|(&shard, &load)| {
                let peak = self.forecasts.peak(shard, RANKED_QUANTILE).unwrap_or(load);
                let burst = self.bursts.as_ref().and_then(|bursts| bursts.of(shard));
                burst.map_or(peak, |burst| peak.max(burst.level))
            })
            .collect();
        // Without peaks asked for, the ranking reads them from the paths.
        let peaks = if self.config.peak_steps == 0 { &[][..] } else { &peaks };
        rank(RankInput { view, peaks, moves: &self.last_moves, limit })
    }

    /// How good the forecasts were: those of the bound forecaster, and those of the native one.
    #[must_use]
    pub fn score(&self) -> (Score, Score) {
        (self.score.score(), self.builtin_score.score())
    }

    /// How each role is served.
    #[must_use]
    pub fn status(&self) -> [SlotStatus; 2] {
        [self.forecaster.status(), self.placer.status()]
    }

    /// The cluster as the last round saw it.
    #[must_use]
    pub fn last_view(&self) -> Option<&ClusterView> {
        self.last_view.as_ref()
    }
}
