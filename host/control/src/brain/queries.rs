//! What a brain tells of itself.

use super::{Brain, ForecastAnswer, SlotStatus, forecasts};
use isobar_analyzer::{HeatMap, HeatMapSpec, PeakBand, RankInput, RankedShard, Score, rank};
use isobar_model::{ClusterView, ShardId};

/// The peak quantiles of a ranking: the ends of the interval, and between them what shards are ranked by: what is feared, not what is likely.
const RANKED_BAND: [f32; 3] = [0.05, 0.9, 0.95];

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
        let as_it_is = |load| PeakBand { low: load, feared: load, high: load };
        let peaks: Vec<PeakBand> = (view.shards.ids.iter().zip(&view.shards.leader_load))
            .map(|(&shard, &load)| {
                let peak = self.forecasts.peak(shard, RANKED_BAND).unwrap_or_else(|| as_it_is(load));
                let burst = self.bursts.as_ref().and_then(|bursts| bursts.of(shard)).map_or(0.0, |burst| burst.level);
                PeakBand { feared: peak.feared.max(burst), high: peak.high.max(burst), ..peak }
            })
            .collect();
        // Without peaks asked for, the ranking reads them from the paths.
        let peaks = if self.config.peak_steps == 0 { &[][..] } else { &peaks };
        let (start, lead_steps) = (self.forecasts.start, self.config.peak_steps);
        rank(RankInput { view, start, lead_steps, band: RANKED_BAND, peaks, moves: &self.last_moves, limit })
    }

    /// The quantiles that a ranked peak's interval reaches from and to: the nearest to 5 and 95 % that are forecast.
    #[must_use]
    pub fn ranked_interval(&self) -> [f32; 2] {
        let quantiles = &self.config.quantiles;
        [RANKED_BAND[0], RANKED_BAND[2]]
            .map(|wanted| quantiles.get(forecasts::nearest(quantiles, wanted)).copied().unwrap_or(wanted))
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
