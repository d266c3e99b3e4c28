//! What a brain tells of itself.

use super::forecasts::{Forecasts, nearest};
use super::{Brain, ForecastAnswer, ShardForecast, SlotStatus};
use crate::decision::BUILTIN;
use isobar_analyzer::{HeatMap, HeatMapSpec, PeakBand, RankInput, RankedShard, Score, rank};
use isobar_model::{ClusterView, ForecastAnswerer, ShardId};

/// The peak quantiles of a ranking: the ends of the interval, and between them what shards are ranked by: what is feared, not what is likely.
const RANKED_BAND: [f32; 3] = [0.05, 0.9, 0.95];

impl Brain {
    /// The forecast in force of these shards, raised where one is in a burst.
    #[must_use]
    pub fn forecast(&self, shards: &[ShardId]) -> ForecastAnswer {
        let Forecasts { by, fallback, start, request, .. } = &self.forecasts;
        let of = |&shard: &ShardId| {
            let mut paths = self.forecasts.paths(shard)?.to_vec();
            self.raise(&self.forecasts, shard, &request.quantiles, &mut paths);
            let is_in_burst = self.burst_of(shard).is_some();
            let answerer = if is_in_burst { ForecastAnswerer::Burst } else { self.forecasts.answerer(shard) };
            let paths = paths.chunks(request.horizon.max(1) as usize).map(<[f32]>::to_vec).collect();
            Some(ShardForecast { shard, paths, peaks: self.peaks(shard), answerer })
        };
        ForecastAnswer {
            policy: by.as_ref().map_or(BUILTIN, |bound| &bound.name).to_owned(),
            revision: by.as_ref().map(|bound| bound.digest),
            fallback: fallback.clone(),
            start: *start,
            step_ms: self.config.step_ms,
            quantiles: request.quantiles.clone(),
            peak_steps: request.peak_steps,
            shards: shards.iter().filter_map(of).collect(),
        }
    }

    /// The same of all shards.
    #[must_use]
    pub fn forecast_of_all(&self) -> ForecastAnswer {
        self.forecast(&self.forecasts.request.shards)
    }

    /// The peaks of a shard in the forecast in force, no lower than its burst.
    fn peaks(&self, shard: ShardId) -> Vec<f32> {
        let least = self.burst_of(shard).map_or(0.0, |burst| burst.level);
        self.forecasts.peaks(shard).iter().map(|peak| peak.max(least)).collect()
    }

    /// Load past and forecast.
    #[must_use]
    pub fn heat_map(&self, spec: HeatMapSpec) -> HeatMap {
        let shards: Vec<ShardId> = self.history.shards().collect();
        let ahead = |shard, ahead: &mut [f32]| {
            ahead.iter_mut().zip(self.forecasts.median(shard)).for_each(|(step, value)| *step = *value);
            self.raise(&self.forecasts, shard, &[0.5], ahead);
        };
        HeatMap::draw(&self.history, &shards, ahead, spec)
    }

    /// Shards ranked by what they are about to do to their nodes, with what the last round would do about it.
    #[must_use]
    pub fn ranking(&self, limit: usize) -> Vec<RankedShard> {
        let Some(view) = &self.last_view else { return Vec::new() };
        let peaks: Vec<PeakBand> = (view.shards.ids.iter().zip(&view.shards.leader_load))
            .map(|(&shard, &load)| {
                let peaks = self.peaks(shard);
                let near = |quantile| nearest(&self.forecasts.request.quantiles, quantile);
                let [low, feared, high] =
                    RANKED_BAND.map(|quantile| peaks.get(near(quantile)).copied().unwrap_or(load));
                PeakBand { low, feared, high }
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
            .map(|wanted| quantiles.get(nearest(quantiles, wanted)).copied().unwrap_or(wanted))
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
