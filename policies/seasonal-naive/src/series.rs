use crate::level::Level;
use crate::season::Season;
use forecasting_kit::{LeadSketches, Ring, Seasons, SeriesModel};
use serde::{Deserialize, Serialize};

/// Times of day at which the usual size of an error is kept apart.
const SPREADS: usize = 24;
/// The most values of history kept, whatever the step: 64 KiB.
const MAX_HISTORY: u64 = 16_384;
/// How much of what was learnt before the first whole day counts after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;

/// The configuration of [`SeasonalNaive`](crate::SeasonalNaive).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u32,
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
    history: Ring,
    /// What the season said of each step of the last day.
    expected: Ring,
    season: Season,
    level: Level,
    /// The usual load, whatever the time of day.
    usual: f32,
    /// The usual size of an error, whatever the time of day, and by time of day up to the last time it was that time.
    spread: f32,
    spreads: [f32; SPREADS],
    /// The errors since the present time of day began: their sum and number.
    present: (f32, f32),
    /// Values seen, up to where it no longer matters.
    seen: u32,
    /// Whether a day of history has been reached.
    whole_day: bool,
    sketches: LeadSketches,
}

fn history_steps(config: &Config, day: u64) -> usize {
    // A quarter of an hour more, for the neighbours of the oldest.
    (u64::from(config.weeks) * 7 * day + day / 64 + 1).min(MAX_HISTORY) as usize
}

impl Series {
    fn size_at(&self, day: u64, step: u64) -> f32 {
        size(&self.spreads, self.spread, self.usual, day, step)
    }
}

fn slot(day: u64, step: u64) -> usize {
    ((step % day) * SPREADS as u64 / day) as usize
}

/// The usual size of an error at `step`: mostly that of its time of day. Never quite nothing: a series that never erred may yet.
fn size(spreads: &[f32; SPREADS], spread: f32, usual: f32, day: u64, step: u64) -> f32 {
    let own = spreads[slot(day, step)];
    let mixed = if own.is_nan() { spread } else { 0.75 * own + 0.25 * spread };
    mixed + 0.002 * usual + 1e-6
}

impl SeriesModel for Series {
    const NAME: &'static str = "seasonal-naive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 1;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        if !(1..=4).contains(&config.weeks) {
            return Err(format!("`weeks` is 1 to 4, not {}", config.weeks));
        }
        if !(1.0..=60.0).contains(&config.error_half_life_days) {
            return Err(format!("`error_half_life_days` is 1 to 60, not {}", config.error_half_life_days));
        }
        Ok(())
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn new(config: &Config, seasons: &Seasons, first: u64) -> Self {
        Self {
            history: Ring::new(history_steps(config, seasons.day), first),
            expected: Ring::new(seasons.day as usize + 1, first),
            season: Season::new(),
            level: Level::new(&seasons.bands, seasons.day, first),
            usual: 0.0,
            spread: 0.0,
            spreads: [f32::NAN; SPREADS],
            present: (0.0, 0.0),
            seen: 0,
            whole_day: false,
            sketches: LeadSketches::new(&seasons.bands),
        }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, value: f32) {
        let (day, step) = (seasons.day, self.history.next());
        let usual = if self.seen == 0 { value } else { self.usual };
        let guesses = Season::guesses(&self.history, day, step, usual);
        let expected = self.season.mix(&guesses);
        self.history.push(value);
        self.expected.push(expected);
        if value.is_nan() {
            self.level.push(&seasons.bands, day, step, f32::NAN, 1.0, 1.0);
            return;
        }
        if self.seen == 0 {
            // The first value is all there is: half of it is a wide guess of how far off the next may be.
            (self.usual, self.spread) = (value, 0.5 * value);
        }
        if !self.whole_day && !guesses[0].is_nan() {
            self.whole_day = true;
            self.sketches.fade(BEFORE_FIRST_DAY);
        }
        self.seen = self.seen.saturating_add(1);
        let size_now = self.size_at(day, step);
        let deviation = value - expected;
        let Self { history, expected: season, level, spreads, spread, usual, sketches, .. } = self;
        self.season.learn(&guesses, value, 20.0 * size_now);
        sketches.learn(
            &seasons.bands,
            step,
            |at| history.at(at),
            |origin, target| season.at(target) + level.carried(&seasons.bands, origin, target - origin),
            |at| size(spreads, *spread, *usual, day, at),
        );
        self.level.push(&seasons.bands, day, step, deviation, size_now, 0.9985);
        let weight = (1.0 / self.seen as f32).max(1.0 / (4.0 * day as f32));
        self.spread += (deviation.abs().min(20.0 * size_now) - self.spread) * weight.min(0.1);
        self.usual += (value - self.usual) * (1.0 / self.seen as f32).max(1.0 / day as f32);
        self.present.0 += deviation.abs().min(20.0 * size_now);
        self.present.1 += 1.0;
        let here = slot(day, step);
        if slot(day, step + 1) != here || day == 1 {
            let mean = self.present.0 / self.present.1;
            let old = self.spreads[here];
            self.spreads[here] = if old.is_nan() { mean } else { old + 0.2 * (mean - old) };
            self.present = (0.0, 0.0);
        }
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn expect(&self, _: &Config, seasons: &Seasons, first: u64, points: &mut [f32], sizes: &mut [f32]) {
        let origin = self.history.next() - 1;
        for (i, (point, size)) in points.iter_mut().zip(sizes).enumerate() {
            let lead = first + i as u64;
            let step = origin + lead;
            let guesses = Season::guesses(&self.history, seasons.day, step, self.usual);
            *point = self.season.mix(&guesses) + self.level.carried_from_now(&seasons.bands, lead);
            *size = self.size_at(seasons.day, step);
        }
    }

    fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    fn to_load(value: f32) -> f32 {
        value
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.history.fits(history_steps(config, seasons.day), next)
            && self.expected.fits(seasons.day as usize + 1, next)
            && self.season.is_sound()
            && self.level.is_sound(&seasons.bands, seasons.day, next)
            && self.usual.is_finite()
            && self.spread.is_finite()
            && self.sketches.is_sound(&seasons.bands)
    }
}
