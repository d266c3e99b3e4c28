use forecasting_kit::{
    Ask, Drift, ExpectingModel, LANES, LeadSketches, Ring, Scratch, Season, Seasons, SeriesModel, Spread,
    forecast_from_errors,
};
use serde::{Deserialize, Serialize};

/// What was learnt of errors before the first whole day counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;
/// In learning which guess is good, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;

/// The configuration of [`SeasonalNaive`](crate::SeasonalNaive).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u8,
    /// Days after which a past error counts half, 1 to 60.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { weeks: 2, error_half_life_days: 7.0 }
    }
}

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What the season said of each step of the last day.
    expected: Ring,
    season: Season,
    drift: Drift,
    /// The usual load, whatever the time of day.
    usual: f32,
    spread: Spread,
    /// Values seen.
    seen: u32,
    /// Whether history has reached back to the same time of an earlier day.
    is_seasonal: bool,
    sketches: LeadSketches,
}

impl Series {
    /// How far load stood from what its season said of that step; NaN where either is not known any more. Reaches back a day and more.
    /// `history`: of this series, as it was pushed.
    #[must_use]
    pub fn deviation(&self, history: &Ring, step: u64) -> f32 {
        history.at(step) - self.expected.at(step)
    }

    /// The part of that which was expected at `origin`, a day ago at most, for the lead of `band`; NaN where not known.
    #[must_use]
    pub fn carried(&self, origin: u64, band: usize) -> f32 {
        self.drift.carried(origin, band)
    }

    /// What is expected `lead` steps from now: of the season, and carried on from the present deviation.
    #[must_use]
    pub fn expectation(&self, seasons: &Seasons, history: &Ring, lead: u64) -> (f32, f32) {
        let step = history.next() - 1 + lead;
        let guesses = self.season.guesses(history, seasons.day, step, self.usual);
        (self.season.mix(&guesses), self.drift.carried_from_now(&seasons.bands, lead))
    }

    /// The step that its next value belongs to.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.expected.next()
    }
}

impl SeriesModel for Series {
    const NAME: &'static str = "seasonal-naive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        Season::check_weeks(config.weeks)?;
        Seasons::check_half_life(config.error_half_life_days)
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn history_steps(config: &Config, seasons: &Seasons) -> usize {
        Season::history_steps(config.weeks, seasons.day)
    }

    fn new(config: &Config, seasons: &Seasons, first: u64, _: u64) -> Self {
        Self {
            expected: Ring::new(seasons.day as usize + 1, first),
            season: Season::new(config.weeks),
            drift: Drift::new(&seasons.bands, first),
            usual: 0.0,
            spread: Spread::new(0.0),
            seen: 0,
            is_seasonal: false,
            sketches: LeadSketches::new(&seasons.bands),
        }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, history: &Ring, value: f32, _: usize) {
        let (day, step) = (seasons.day, self.expected.next());
        if self.seen == 0 && !value.is_nan() {
            self.usual = value;
            self.spread = Spread::new(value);
        }
        let guesses = self.season.guesses(history, day, step, self.usual);
        let expected = self.season.mix(&guesses);
        self.expected.push(expected);
        if value.is_nan() {
            self.drift.push(&seasons.bands, f32::NAN);
            return;
        }
        if !self.is_seasonal && Season::is_seasonal(&guesses) {
            self.is_seasonal = true;
            self.sketches.fade(BEFORE_FIRST_DAY);
        }
        self.seen = self.seen.saturating_add(1);
        let deviation = value - expected;
        let size = self.spread.size_at(day, step, self.usual);
        if seasons.bands.samples(step) {
            let Self { expected: season, drift, spread, usual, sketches, .. } = self;
            let carried = |origin, band| drift.carried(origin, band);
            sketches.learn(&seasons.bands, history, season, carried, |at| spread.size_at(day, at, *usual));
            self.drift.learn(&seasons.bands, deviation, size);
            self.spread.learn(seasons, step, deviation, self.usual);
            self.season.weigh();
        }
        self.season.learn(day, &guesses, value, ACCIDENT * size);
        self.drift.push(&seasons.bands, deviation);
        self.usual += (value - self.usual) / (self.seen as f32).min(day as f32);
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        forecast_from_errors(self, ask, scratch, values, peaks);
    }

    fn is_sound(&self, _: &Config, seasons: &Seasons, next: u64) -> bool {
        self.expected.fits(seasons.day as usize + 1, next)
            && self.season.is_sound()
            && self.drift.is_sound(&seasons.bands, next)
            && self.usual.is_finite()
            && self.spread.is_sound()
            && self.sketches.is_sound(&seasons.bands)
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        let (seasons, history, next) = (ask.seasons, ask.history, ask.history.next() - 1 + ask.first);
        self.drift.fill_carried(&seasons.bands, ask.first, points);
        for (points, step) in points.chunks_mut(LANES).zip((next..).step_by(LANES)) {
            let expected = self.season.mix_lanes(&self.season.guesses_of_lanes(history, seasons.day, step, self.usual));
            points.iter_mut().zip(expected).for_each(|(point, expected)| *point += expected);
        }
        self.spread.fill_sizes(seasons.day, next, self.usual, sizes);
    }

    fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    fn to_load(value: f32) -> f32 {
        value
    }
}
