use crate::smoother::{Place, SETTINGS, Smoother};
use forecasting_kit::{
    Ask, Drift, ExpectingModel, LeadSketches, Ring, Scratch, Seasons, SeriesModel, Spread, forecast_from_errors,
};
use serde::{Deserialize, Serialize};

/// What was learnt of errors before the first whole day counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;
/// In choosing a setting, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;
/// Another setting must err this much less, squared, before it takes over: two that are as good don't take turns.
const CLEARLY_LESS: f32 = 0.95;

/// The configuration of [`HoltWinters`](crate::HoltWinters).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Days after which a past error counts half, 1 to 60.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { error_half_life_days: 7.0 }
    }
}

/// One shard's loads. All values are square roots of loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    smoothers: Vec<Smoother>,
    /// Which of them speaks.
    chosen: usize,
    /// Values, and what the chosen one's level, trend and season were at each step of the last day; the season as it was before the step
    /// was known.
    history: Ring,
    levels: Ring,
    trends: Ring,
    seasons: Ring,
    drift: Drift,
    /// The usual value, whatever the time of day.
    usual: f32,
    spread: Spread,
    seen: u32,
    sketches: LeadSketches,
}

impl Series {
    fn choose(&mut self) {
        let mut best = self.chosen;
        for (i, smoother) in self.smoothers.iter().enumerate() {
            if let (Some(error), Some(least)) = (smoother.error(), self.smoothers[best].error())
                && error < CLEARLY_LESS * least
            {
                best = i;
            }
        }
        self.chosen = best;
    }
}

impl SeriesModel for Series {
    const NAME: &'static str = "holt-winters";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        Seasons::check_half_life(config.error_half_life_days)
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn new(_: &Config, seasons: &Seasons, first: u64, _: u64) -> Self {
        let ring = || Ring::new(seasons.day as usize + 1, first);
        Self {
            smoothers: vec![Smoother::new(seasons.day); SETTINGS.len()],
            chosen: SETTINGS.len() / 2,
            history: ring(),
            levels: ring(),
            trends: ring(),
            seasons: ring(),
            drift: Drift::new(&seasons.bands, first),
            usual: 0.0,
            spread: Spread::new(0.0),
            seen: 0,
            sketches: LeadSketches::new(&seasons.bands),
        }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, _: &Ring, value: f32, _: usize) {
        let (day, step) = (seasons.day, self.history.next());
        let value = value.sqrt();
        if self.seen == 0 && !value.is_nan() {
            self.usual = value;
            self.spread = Spread::new(value);
        }
        let sampled = seasons.bands.samples(step);
        let place = Place::of(day, step);
        let chosen = &self.smoothers[self.chosen];
        let season = chosen.season_at(step);
        let deviation = value - chosen.level - Smoother::trend_after(chosen.trend, 1) - season;
        let was_seasonal = chosen.is_seasonal();
        self.history.push(value);
        self.seasons.push(season);
        let Self { history, levels, trends, seasons: past, drift, usual, spread, sketches, .. } = self;
        if sampled && !value.is_nan() && self.seen > 0 {
            let carried = |origin, band| {
                let trend = Smoother::trend_after(trends.at(origin), seasons.bands.leads()[band]);
                levels.at(origin) + trend + drift.carried(origin, band)
            };
            sketches.learn(&seasons.bands, history, past, carried, |at| spread.size_at(day, at, *usual));
        }
        let size = self.spread.size_at(day, step, self.usual);
        for (smoother, setting) in self.smoothers.iter_mut().zip(SETTINGS) {
            smoother.push(setting.for_days_of(day), place, value, ACCIDENT * size);
        }
        if sampled {
            self.choose();
        }
        let chosen = &self.smoothers[self.chosen];
        if chosen.is_seasonal() && !was_seasonal {
            self.sketches.fade(BEFORE_FIRST_DAY);
        }
        self.levels.push(chosen.level);
        self.trends.push(chosen.trend);
        // What the level has not taken up is what may yet carry on.
        let left = value - chosen.level - season;
        if sampled {
            self.drift.learn(&seasons.bands, left, size);
        }
        self.drift.push(&seasons.bands, left);
        if value.is_nan() {
            return;
        }
        if sampled {
            self.spread.learn(seasons, step, if self.seen == 0 { 0.0 } else { deviation }, self.usual);
        }
        self.seen = self.seen.saturating_add(1);
        self.usual += (value - self.usual) / (self.seen as f32).min(day as f32);
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        forecast_from_errors(self, ask, scratch, values, peaks);
    }

    fn is_sound(&self, _: &Config, seasons: &Seasons, next: u64) -> bool {
        let steps = seasons.day as usize + 1;
        self.smoothers.len() == SETTINGS.len()
            && self.smoothers.iter().all(|smoother| smoother.is_sound(seasons.day))
            && self.chosen < SETTINGS.len()
            && [&self.history, &self.levels, &self.trends, &self.seasons].iter().all(|ring| ring.fits(steps, next))
            && self.drift.is_sound(&seasons.bands, next)
            && self.usual.is_finite()
            && self.spread.is_sound()
            && self.sketches.is_sound(&seasons.bands)
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        let (seasons, next) = (ask.seasons, self.history.next() - 1 + ask.first);
        let chosen = &self.smoothers[self.chosen];
        self.drift.fill_carried(&seasons.bands, ask.first, points);
        for (i, point) in points.iter_mut().enumerate() {
            let trend = Smoother::trend_after(chosen.trend, ask.first + i as u64);
            *point += chosen.level + trend + chosen.season_at(next + i as u64);
        }
        self.spread.fill_sizes(seasons.day, next, self.usual, sizes);
    }

    fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    fn to_load(value: f32) -> f32 {
        let root = value.max(0.0);
        root * root
    }
}
