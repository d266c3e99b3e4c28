//! Forecasts, the heat map and the ranking in the words of the API.

use isobar_api::PeakInterval;
use isobar_api::backend::{ForecastReport, HeatMap, RankedShard};
use isobar_control::ForecastAnswer;
use isobar_model::{ForecastBatch, ForecastRequest, Metric};

/// The first `horizon` steps of a forecast, or as many as were made.
pub(super) fn forecast_report(answer: ForecastAnswer, horizon: u32) -> ForecastReport {
    let made = answer.shards.first().and_then(|s| s.paths.first()).map_or(0, Vec::len);
    let horizon = horizon.min(u32::try_from(made).unwrap_or(u32::MAX));
    let mut batch = ForecastBatch::default();
    for shard in &answer.shards {
        for path in &shard.paths {
            batch.values.extend(path.iter().take(horizon as usize));
        }
        batch.peaks.extend(&shard.peaks);
    }
    ForecastReport {
        request: ForecastRequest {
            metric: Metric::Load,
            shards: answer.shards.iter().map(|s| s.shard).collect(),
            horizon,
            quantiles: answer.quantiles,
            peak_steps: answer.peak_steps,
        },
        batch,
        start: answer.start,
        step_ms: answer.step_ms,
        policy: answer.policy,
        revision: answer.revision,
        fallback: answer.fallback,
        answerers: answer.shards.iter().map(|shard| shard.answerer).collect(),
    }
}

pub(super) fn heat_map(map: isobar_analyzer::HeatMap) -> HeatMap {
    let past = u32::try_from(map.past_columns).unwrap_or(u32::MAX);
    HeatMap {
        start: map.start,
        column_ms: map.column_ms,
        past,
        future: u32::try_from(map.columns).unwrap_or(u32::MAX).saturating_sub(past),
        shards: map.shards,
        values: map.values,
        omitted: map.omitted as u64,
    }
}

/// `interval`: the quantiles that a peak's interval reaches from and to.
pub(super) fn ranked_shard(ranked: isobar_analyzer::RankedShard, interval: [f32; 2]) -> RankedShard {
    let [low_quantile, high_quantile] = interval;
    let known = |load: f32| load.is_finite().then_some(load);
    RankedShard {
        shard: ranked.shard,
        load: ranked.load,
        predicted_peak: ranked.peak.feared,
        peak_interval: PeakInterval {
            low: known(ranked.peak.low),
            high: known(ranked.peak.high),
            low_quantile,
            high_quantile,
        },
        peak_at: ranked.peak_at,
        peak_window: [ranked.peak_from, ranked.peak_until],
        replicas: ranked.replicas,
        recommended: ranked.recommended.map(|recommended| (recommended.proposed, recommended.replicas)),
        urgency: ranked.urgency,
        latest_start: ranked.latest_start,
    }
}
