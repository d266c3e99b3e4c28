use crate::ridge::Ridge;
use crate::width::{self, Width};
use forecasting_kit::{
    Ask, ExpectingModel, GUESSES, Guesses, LeadSketches, Ring, Scratch, Season, Seasons, SeriesModel, Spot, Spread,
    forecast_from_errors,
};
use serde::{Deserialize, Serialize};

/// The most values of history kept, whatever the step: 64 KiB.
const MAX_HISTORY: u64 = 16_384;
/// What was learnt before the first whole day counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;
/// In learning which guess is good, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;
/// In the regression, a feature or an error of more usual errors than this is taken for this one.
const LIMIT: f32 = 6.0;
/// Averages of the offset at present: the last one, and over about two steps, an hour, four hours.
const OFFSETS: usize = 4;
/// Usual load, median, yesterday, weekday: each less the expectation.
const PERIODIC: usize = 4;
const FEATURES: usize = OFFSETS + PERIODIC;
/// The offset believed, beforehand, to go on.
const CARRIED: usize = 1;
/// Samples that each belief weighs as much as.
const STIFFNESS: [f32; FEATURES] = [9.0; FEATURES];

/// The configuration of [`Spar`](crate::Spar).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u32,
    /// Days after which a past step counts half, 1 to 60.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { weeks: 2, error_half_life_days: 5.0 }
    }
}

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    history: Ring,
    season: Season,
    /// What was known at each step of the last day, and what is known now.
    past: [Ring; KNOWN],
    now: Known,
    spread: Spread,
    leads: Vec<Lead>,
    sketches: LeadSketches,
    /// Values seen.
    seen: u32,
    /// Whether history has reached back to the same time of an earlier day.
    is_seasonal: bool,
}

/// What is known at one step, beside the history.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Known {
    /// How far the load is above what was expected of it by the season: averages.
    offsets: [f32; OFFSETS],
    /// The usual load, whatever the time of day.
    usual: f32,
    /// The mean size of the last offsets, in usual ones.
    unrest: f32,
}

/// Numbers of [`Known`].
const KNOWN: usize = OFFSETS + 2;

/// What one lead has learnt.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lead {
    ridge: Ridge,
    width: Width,
}

/// An expectation, and the usual size of its error.
struct Expected {
    point: f32,
    size: f32,
}

/// What is known of a step to come whatever the lead, but for the usual load.
struct Target {
    guesses: Guesses,
    size: f32,
}

impl Known {
    fn at(past: &[Ring; KNOWN], step: u64) -> Option<Self> {
        let [a, b, c, d, usual, unrest] = past.each_ref().map(|ring| ring.at(step));
        (!usual.is_nan()).then_some(Self { offsets: [a, b, c, d], usual, unrest })
    }

    fn parts(&self) -> [f32; KNOWN] {
        let [a, b, c, d] = self.offsets;
        [a, b, c, d, self.usual, self.unrest]
    }
}

impl Lead {
    fn new(seasons: &Seasons, lead: u64) -> Self {
        Self { ridge: Ridge::new(FEATURES), width: Width::new(&seasons.bands, lead) }
    }
}

/// The share of an offset that is believed to be left `lead` steps later.
fn believed(day: u64, lead: u64) -> f32 {
    1.0 - lead.min(day) as f32 / day as f32
}

/// What one step counts in each average of offsets.
fn shares(day: u64) -> [f32; OFFSETS] {
    let of_day = |steps: f32| (steps / day as f32).min(0.4);
    [1.0, 0.4, of_day(23.0), of_day(6.0)]
}

/// What one step counts in the unrest.
const UNREST_SHARE: f32 = 0.2;

/// The features, in usual sizes, and what they are features of.
fn features(season: &Season, target: &Target, known: &Known) -> (f32, [f32; FEATURES]) {
    let mut guesses = target.guesses;
    guesses[GUESSES - 1] = known.usual;
    let base = season.mix(&guesses);
    let unit = 1.0 / target.size;
    let above = |guess: f32| if guess.is_nan() { 0.0 } else { ((guess - base) * unit).clamp(-LIMIT, LIMIT) };
    let [a, b, c, d] = known.offsets.map(|offset| offset * unit);
    (base, [a, b, c, d, above(known.usual), above(guesses[2]), above(guesses[0]), above(guesses[3])])
}

impl Series {
    /// What is expected of a step from what was known `lead` steps before it.
    fn expected(
        &self,
        seasons: &Seasons,
        target: &Target,
        known: &Known,
        lead: u64,
        spot: Spot,
        unrest: f32,
    ) -> Expected {
        let (base, features) = features(&self.season, target, known);
        let mut above = believed(seasons.day, lead) * features[CARRIED];
        for (i, feature) in features.iter().enumerate() {
            above += feature * spot.between(|band| self.leads[band].ridge.correction(i));
        }
        let point = base + above * target.size;
        let level = width::level(point, known.usual);
        let widening = spot.between(|band| self.leads[band].width.widening(unrest, level));
        Expected { point, size: width::widened(target.size, widening) }
    }

    fn target(&self, seasons: &Seasons, step: u64) -> Target {
        Target {
            guesses: Season::guesses(&self.history, seasons.day, step, self.now.usual),
            size: self.spread.size_at(seasons.day, step, self.now.usual),
        }
    }

    /// Learns from the newest value, just come to be known.
    fn learn(&mut self, seasons: &Seasons, step: u64, value: f32, target: &Target) {
        let bands = &seasons.bands;
        for (band, &lead) in bands.leads().iter().enumerate() {
            let Some(origin) = step.checked_sub(lead) else { break };
            let Some(known) = Known::at(&self.past, origin) else { continue };
            let unrest = width::unrest(known.unrest);
            let spot = Spot { band, share: 0.0 };
            let expected = self.expected(seasons, target, &known, lead, spot, unrest);
            let error = value - expected.point;
            self.sketches.add(bands, band, error / expected.size);
            if bands.ends_window(band, step) {
                self.learn_peak(seasons, band, origin, &known);
            }
            let (base, mut features) = features(&self.season, target, &known);
            features.iter_mut().for_each(|feature| *feature = feature.clamp(-LIMIT, LIMIT));
            let surprise = ((value - base) / target.size).clamp(-LIMIT, LIMIT);
            let left = surprise - believed(seasons.day, lead) * features[CARRIED];
            let level = width::level(expected.point, known.usual);
            let Lead { ridge, width } = &mut self.leads[band];
            ridge.learn(&features, left, bands.keep());
            ridge.fit(&STIFFNESS);
            width.learn(bands, lead, error / target.size, unrest, level);
            width.fit(bands, lead);
        }
    }

    /// Learns from the maximum of the steps after `origin`, up to the lead of `band`, all of them known by now.
    fn learn_peak(&mut self, seasons: &Seasons, band: usize, origin: u64, known: &Known) {
        let bands = &seasons.bands;
        let lead = bands.leads()[band];
        let unrest = width::unrest(known.unrest);
        let (mut truth, mut seen) = (f32::NEG_INFINITY, 0);
        for value in self.history.run(origin + 1, lead) {
            if !value.is_nan() {
                truth = truth.max(value);
                seen += 1;
            }
        }
        if (seen as f32) < KNOWN_SHARE * lead as f32 {
            return;
        }
        let mut highest = Expected { point: f32::NEG_INFINITY, size: 1.0 };
        for ahead in 1..=lead {
            let target = self.target(seasons, origin + ahead);
            let expected = self.expected(seasons, &target, known, ahead, bands.spot(ahead), unrest);
            if expected.point > highest.point {
                highest = expected;
            }
        }
        if highest.point.is_finite() {
            self.sketches.add_peak(bands, band, (truth - highest.point) / highest.size);
        }
    }
}

/// Of a window, at least this share must be known for its maximum to count.
const KNOWN_SHARE: f32 = 0.875;

fn history_steps(config: &Config, day: u64) -> usize {
    (u64::from(config.weeks) * 7 * day).min(MAX_HISTORY) as usize
}

impl SeriesModel for Series {
    const NAME: &'static str = "spar";
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

    fn new(config: &Config, seasons: &Seasons, first: u64, _: u64) -> Self {
        Self {
            history: Ring::new(history_steps(config, seasons.day), first),
            season: Season::new(),
            past: std::array::from_fn(|_| Ring::new(seasons.day as usize + 1, first)),
            now: Known { offsets: [0.0; OFFSETS], usual: 0.0, unrest: 1.0 },
            spread: Spread::new(0.0),
            leads: seasons.bands.leads().iter().map(|lead| Lead::new(seasons, *lead)).collect(),
            sketches: LeadSketches::new(&seasons.bands),
            seen: 0,
            is_seasonal: false,
        }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, value: f32, _: usize) {
        let (day, step) = (seasons.day, self.history.next());
        if self.seen == 0 && !value.is_nan() {
            self.now.usual = value;
            self.spread = Spread::new(value);
        }
        let target = self.target(seasons, step);
        self.history.push(value);
        if !value.is_nan() {
            if !self.is_seasonal && Season::is_seasonal(&target.guesses) {
                self.is_seasonal = true;
                self.sketches.fade(BEFORE_FIRST_DAY);
                for Lead { ridge, width } in &mut self.leads {
                    ridge.fade(BEFORE_FIRST_DAY);
                    width.fade(BEFORE_FIRST_DAY);
                }
            }
            self.seen = self.seen.saturating_add(1);
            let offset = value - self.season.mix(&target.guesses);
            if seasons.bands.samples(step) {
                self.learn(seasons, step, value, &target);
                self.spread.learn(seasons, step, offset, self.now.usual);
                self.season.weigh();
            }
            self.season.learn(day, &target.guesses, value, ACCIDENT * target.size);
            for (mean, share) in self.now.offsets.iter_mut().zip(shares(day)) {
                *mean += share * (offset - *mean);
            }
            self.now.unrest += UNREST_SHARE * ((offset.abs() / target.size).min(ACCIDENT) - self.now.unrest);
            self.now.usual += (value - self.now.usual) / (self.seen as f32).min(day as f32);
        }
        let known = if self.seen > 0 { self.now.parts() } else { [f32::NAN; KNOWN] };
        for (ring, part) in self.past.iter_mut().zip(known) {
            ring.push(part);
        }
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        forecast_from_errors(self, ask, scratch, values, peaks);
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.history.fits(history_steps(config, seasons.day), next)
            && self.season.is_sound()
            && self.past.iter().all(|ring| ring.fits(seasons.day as usize + 1, next))
            && self.now.parts().iter().all(|part| part.is_finite())
            && self.spread.is_sound()
            && self.leads.len() == seasons.bands.leads().len()
            && self.leads.iter().all(|lead| lead.ridge.is_sound(FEATURES) && lead.width.is_sound())
            && self.sketches.is_sound(&seasons.bands)
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        let seasons = ask.seasons;
        let unrest = width::unrest(self.now.unrest);
        for (i, (point, size)) in points.iter_mut().zip(sizes).enumerate() {
            let lead = ask.first + i as u64;
            let target = self.target(seasons, self.history.next() - 1 + lead);
            let expected = self.expected(seasons, &target, &self.now, lead, seasons.bands.spot(lead), unrest);
            (*point, *size) = (expected.point, expected.size);
        }
    }

    fn sketches(&self) -> &LeadSketches {
        &self.sketches
    }

    fn to_load(value: f32) -> f32 {
        value
    }
}
