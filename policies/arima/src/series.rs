use crate::arma::MAX_LAGS;
use crate::live::Live;
use crate::order_search::Bounds;
use crate::refit::{history_steps, refit, renew};
use crate::schedule::{Due, Schedule};
use forecasting_kit::{Ask, ExpectingModel, LeadSketches, Ring, Scratch, Seasons, SeriesModel, forecast_from_errors};
use serde::{Deserialize, Serialize};

/// The configuration of [`Arima`](crate::Arima).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Lags of values that a model may have, 0 to 5.
    pub max_p: u8,
    /// Lags of innovations that a model may have, 0 to 5.
    pub max_q: u8,
    /// Hours after which a model is renewed, 1 to 168: every seventh time it is fitted anew from nothing.
    pub refit_hours: f32,
    /// Days after which a past error counts half, 1 to 60.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_p: 5, max_q: 5, refit_hours: 24.0, error_half_life_days: 7.0 }
    }
}

impl Config {
    fn refit_steps(&self, day: u64) -> u64 {
        ((self.refit_hours / 24.0 * day as f32).round() as u64).max(1)
    }

    fn bounds(&self) -> Bounds {
        Bounds { max_p: usize::from(self.max_p), max_q: usize::from(self.max_q), mean: true }
    }
}

/// One shard's loads. All values are square roots of loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    history: Ring,
    /// Steps pushed since the first value, as far as the history reaches.
    since: u64,
    /// What shifts the steps at which it is fitted anew.
    phase: u64,
    /// The last value known; NaN before there is one.
    last: f32,
    live: Live,
}

impl SeriesModel for Series {
    const NAME: &'static str = "arima";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        for (name, lags) in [("max_p", config.max_p), ("max_q", config.max_q)] {
            if usize::from(lags) > MAX_LAGS {
                return Err(format!("`{name}` is 0 to {MAX_LAGS}, not {lags}"));
            }
        }
        if !(1.0..=168.0).contains(&config.refit_hours) {
            return Err(format!("`refit_hours` is 1 to 168, not {}", config.refit_hours));
        }
        Seasons::check_half_life(config.error_half_life_days)
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn new(_: &Config, seasons: &Seasons, first: u64, phase: u64) -> Self {
        Self {
            history: Ring::new(history_steps(seasons.day), first),
            since: 0,
            phase,
            last: f32::NAN,
            live: Live::unfitted(seasons, first),
        }
    }

    fn push(&mut self, config: &Config, seasons: &Seasons, _: &Ring, value: f32, to_come: usize) {
        let (value, step) = (value.sqrt(), self.history.next());
        self.history.push(value);
        if !value.is_nan() {
            self.last = value;
        }
        // What was missing before there was any value is no history.
        if !self.last.is_nan() {
            self.since = (self.since + 1).min(self.history.capacity() as u64);
        }
        self.live.push(seasons, self.live.season.at(step), value);
        if self.since >= seasons.day && !self.last.is_nan() {
            let schedule = Schedule::new(config.refit_steps(seasons.day), seasons.day);
            let now = (step + 1).wrapping_add(self.phase);
            // A fit forgets all but the history: where another one comes within the batch, this one would leave nothing behind.
            match schedule.due(now, self.since) {
                Some(_) if schedule.fits_within(now, self.since, to_come as u64) => {}
                // Without a model there is nothing to renew.
                Some(due) if due == Due::Fit || self.live.order().is_none() => {
                    self.live = refit(seasons, &self.history, self.since, config.bounds(), self.last);
                }
                Some(_) => renew(seasons, &self.history, self.since, config.bounds(), &mut self.live),
                None => {}
            }
        }
    }

    fn is_ready(&self) -> bool {
        !self.last.is_nan()
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        forecast_from_errors(self, ask, scratch, values, peaks);
    }

    fn is_sound(&self, _: &Config, seasons: &Seasons, next: u64) -> bool {
        self.history.fits(history_steps(seasons.day), next)
            && self.since <= self.history.capacity() as u64
            && (self.last.is_nan() || self.last >= 0.0)
            && self.live.is_sound(seasons, next)
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        self.live.expect(ask.seasons, ask.first, points, sizes);
    }

    fn sketches(&self) -> &LeadSketches {
        self.live.sketches()
    }

    fn to_load(value: f32) -> f32 {
        let root = value.max(0.0);
        root * root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forecasting_kit::Forecaster;
    use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};

    const STEP_MS: u32 = 1_800_000;
    const DAY: u64 = 48;

    fn load(step: u64) -> f32 {
        100.0 + 80.0 * ((step % DAY) as f32 / DAY as f32 * std::f32::consts::TAU).sin()
    }

    /// Mean error over the next day of each of thirty shards, shown `missing` days without a load and then `days` with.
    fn errors(missing: u64, days: u64) -> Vec<f32> {
        let mut policy = Forecaster::<Series>::new("").unwrap();
        let shards: Vec<ShardId> = (1..=30).map(ShardId).collect();
        let end = (missing + days) * DAY;
        for step in 0..end {
            let value = if step < missing * DAY { f32::NAN } else { load(step) };
            let start = InstantMs(step * u64::from(STEP_MS));
            let values = vec![value; shards.len()];
            let shards = shards.clone();
            let batch = LoadBatch { metric: Metric::Load, start, step_ms: STEP_MS, steps: 1, shards, values };
            policy.observe(&batch).unwrap();
        }
        let horizon = DAY as u32;
        let request = ForecastRequest { metric: Metric::Load, shards, horizon, quantiles: vec![0.5], peak_steps: 0 };
        let values = policy.predict(&request).unwrap().values;
        let off = |path: &[f32]| (end..).zip(path).map(|(step, value)| (value - load(step)).abs()).sum::<f32>();
        values.chunks_exact(DAY as usize).map(|path| off(path) / DAY as f32).collect()
    }

    #[test]
    fn a_young_shard_has_a_season_soon_whatever_was_missing_before() {
        for missing in [0, 20] {
            let errors = errors(missing, 3);
            assert!(errors.iter().all(|error| *error < 20.0), "after {missing} days of nothing: {errors:?}");
        }
    }
}
