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
    /// Steps pushed, as far as the history reaches.
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
        self.since = (self.since + 1).min(self.history.capacity() as u64);
        if !value.is_nan() {
            self.last = value;
        }
        self.live.push(seasons, self.live.season.at(step), value);
        if self.since >= seasons.day && !self.last.is_nan() {
            let schedule = Schedule::new(config.refit_steps(seasons.day), seasons.day);
            let now = (step + 1).wrapping_add(self.phase);
            // A fit forgets all but the history: where another one comes within the batch, this one would leave nothing behind.
            match schedule.due(now, self.since) {
                Some(_) if schedule.fits_within(now, self.since, to_come as u64) => {}
                Some(Due::Fit) => {
                    self.live = refit(seasons, &self.history, self.since, config.bounds(), self.last);
                }
                Some(Due::Renewal) => renew(seasons, &self.history, self.since, config.bounds(), &mut self.live),
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
