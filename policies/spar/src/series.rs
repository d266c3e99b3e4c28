use crate::lead::{Lead, Sample, Shares};
use crate::target::{Expected, Known, Past, Target};
use forecasting_kit::{
    Ask, ExpectingModel, LeadSketches, Reach, Ring, Scratch, Season, Seasons, SeriesModel, Spot, Spread, exp2,
    forecast_from_errors, log2, peak_error, width,
};
use serde::{Deserialize, Serialize};

/// What was learnt before the first whole day counts for this much after it: it was learnt without a season.
const BEFORE_FIRST_DAY: f32 = 0.02;
/// In learning which guess is good, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;
/// Errors of maxima count half after so many of the half-lives configured: there are few of them, and what matters is the largest.
const PEAK_HALF_LIVES: f32 = 4.0;
/// Leads are fitted anew in so many turns, so that no step has to fit them all.
const TURNS: u8 = 3;

/// The configuration of [`Spar`](crate::Spar).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u8,
    /// Days after which what was learnt counts half, 1 to 60: some leads take half of that, some a little more.
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
    season: Season,
    past: Past,
    now: Known,
    spread: Spread,
    leads: Vec<Lead>,
    sketches: LeadSketches,
    /// Values seen.
    seen: u32,
    /// Which leads are fitted anew at the next sample.
    turn: u8,
    /// Whether history has reached back to the same time of an earlier day.
    is_seasonal: bool,
}

impl Series {
    /// The step `lead` steps ahead of what is known.
    fn target(&self, history: &Ring, day: u64, step: u64, lead: u64) -> Target {
        Target {
            guesses: self.season.guesses(history, day, step, self.now.usual),
            hourly: self.past.hourly(day, step, lead),
            size: self.spread.size_at(day, step, self.now.usual),
        }
    }

    /// What was, or is, expected of a step `lead` steps after this was known.
    fn expected(
        &self,
        seasons: &Seasons,
        history: &Ring,
        step: u64,
        lead: u64,
        known: &Known,
        unrest: f32,
    ) -> Expected {
        let target = self.target(history, seasons.day, step, lead);
        let shares = Shares::at(&self.leads, seasons.bands.spot(lead));
        target.expect(&target.from(&self.season, known), &shares, unrest, known.usual)
    }

    /// Learns, for every lead, from the newest value, just come to be known.
    fn learn(&mut self, seasons: &Seasons, history: &Ring, value: f32, mut target: Target) {
        let step = history.next() - 1;
        let (day, bands) = (seasons.day, &seasons.bands);
        self.turn = (self.turn + 1) % TURNS;
        for (band, &lead) in bands.leads().iter().enumerate() {
            let Some(origin) = step.checked_sub(lead) else { break };
            let Some(known) = self.past.at(origin) else { continue };
            let (reach, unrest) = (Reach::new(day, lead), known.unrest());
            let keep = Lead::keep(bands, reach);
            target.hourly = self.past.hourly(day, step, lead);
            let outset = target.from(&self.season, &known);
            let shares = Shares::at(&self.leads, Spot { band, share: 0.0 });
            let expected = target.expect(&outset, &shares, unrest, known.usual);
            let error = value - expected.point;
            self.sketches.add(band, error / expected.size, keep);
            if bands.ends_window(band, step) {
                self.learn_peak(seasons, history, band, origin, &known);
            }
            let sample = Sample {
                features: outset.features,
                surprise: (value - outset.season) / target.size,
                error: error / target.size,
                unrest,
                level: width::level(expected.point, known.usual),
            };
            if let Some(learner) = self.leads.get_mut(band) {
                learner.learn(reach, &sample, keep);
                if band % usize::from(TURNS) == usize::from(self.turn) {
                    learner.fit(bands, reach);
                }
            }
        }
    }

    /// Learns from the maximum of the steps after `origin`, up to the lead of `band`, all of them known by now.
    fn learn_peak(&mut self, seasons: &Seasons, history: &Ring, band: usize, origin: u64, known: &Known) {
        let unrest = known.unrest();
        let expected = |ahead| {
            let Expected { point, size } = self.expected(seasons, history, origin + ahead, ahead, known, unrest);
            (point, size)
        };
        if let Some(error) = peak_error(history, origin, seasons.bands.leads()[band], expected) {
            let keep = exp2(log2(seasons.bands.window_keep(band)) / PEAK_HALF_LIVES);
            self.sketches.add_peak(band, error, keep);
        }
    }
}

impl SeriesModel for Series {
    const NAME: &'static str = "spar";
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
            season: Season::new(config.weeks),
            past: Past::new(seasons.day, first),
            now: Known::new(),
            spread: Spread::new(0.0),
            leads: seasons.bands.leads().iter().map(|lead| Lead::new(seasons.day, *lead)).collect(),
            sketches: LeadSketches::new(&seasons.bands),
            seen: 0,
            turn: 0,
            is_seasonal: false,
        }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, history: &Ring, value: f32, _: usize) {
        let (day, step) = (seasons.day, history.next() - 1);
        if value.is_nan() {
            self.past.push((self.seen > 0).then_some(&self.now));
            return;
        }
        if self.seen == 0 {
            self.now.usual = value;
            self.spread = Spread::new(value);
        }
        let target = self.target(history, day, step, 1);
        if !self.is_seasonal && Season::is_seasonal(&target.guesses) {
            self.is_seasonal = true;
            self.sketches.fade(BEFORE_FIRST_DAY);
            self.leads.iter_mut().for_each(|lead| lead.fade(BEFORE_FIRST_DAY));
        }
        self.seen = self.seen.saturating_add(1);
        let offset = value - self.season.mix(&target.guesses);
        if seasons.bands.samples(step) {
            self.learn(seasons, history, value, target);
            self.spread.learn(seasons, step, offset, self.now.usual);
            self.season.weigh();
        }
        self.season.learn(day, &target.guesses, value, ACCIDENT * target.size);
        self.now.push(day, value, offset, target.size, self.seen);
        self.past.push(Some(&self.now));
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        forecast_from_errors(self, ask, scratch, values, peaks);
    }

    fn is_sound(&self, _: &Config, seasons: &Seasons, next: u64) -> bool {
        self.season.is_sound()
            && self.past.fits(seasons.day, next)
            && self.now.is_sound()
            && self.spread.is_sound()
            && self.leads.len() == seasons.bands.leads().len()
            && self.leads.iter().all(Lead::is_sound)
            && self.sketches.is_sound(&seasons.bands)
            && self.turn < TURNS
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        let unrest = self.now.unrest();
        for (i, (point, size)) in points.iter_mut().zip(sizes).enumerate() {
            let lead = ask.first + i as u64;
            let step = ask.history.next() - 1 + lead;
            let expected = self.expected(ask.seasons, ask.history, step, lead, &self.now, unrest);
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 288;

    /// What it expects of the next `horizon` steps, after these.
    fn expected(values: impl IntoIterator<Item = f32>, horizon: usize) -> Vec<f32> {
        let (config, seasons) = (Config::default(), Seasons::new(300_000, 5.0));
        let mut series = Series::new(&config, &seasons, 0, 0);
        let mut history = Ring::new(Series::history_steps(&config, &seasons), 0);
        for value in values {
            history.push(value);
            series.push(&config, &seasons, &history, value, 0);
        }
        assert!(series.is_sound(&config, &seasons, history.next()));
        let (mut points, mut sizes) = (vec![0.0; horizon], vec![0.0; horizon]);
        let ask = Ask {
            config: &config,
            seasons: &seasons,
            history: &history,
            first: 1,
            horizon,
            levels: &[],
            peak_steps: 0,
            leaders: &[],
        };
        series.expect(&ask, &mut points, &mut sizes);
        assert!(sizes.iter().all(|size| *size > 0.0));
        points
    }

    /// The same on every run, within -1 to 1.
    fn noise(step: u64) -> f32 {
        ((step * 2_654_435_761) >> 7 & 0xffff) as f32 / 32_768.0 - 1.0
    }

    fn daily(step: u64) -> f32 {
        100.0 + 50.0 * ((step % DAY) as f32 / DAY as f32 * std::f32::consts::TAU).sin() + noise(step)
    }

    #[test]
    fn it_learns_whether_offsets_last() {
        // Now and then 20 more than by the season: for one step, or for a whole day.
        let with = |length: u64| {
            let offset = move |step: u64| if step / length % 9 == 4 { 20.0 } else { 0.0 };
            let now = (20 * DAY..).find(|step| step / length % 9 == 4).unwrap() + length.min(24);
            let found = expected((0..now).map(|step| daily(step) + offset(step)), 8);
            (0..8).map(|ahead| found[ahead as usize] - daily(now + ahead)).sum::<f32>() / 8.0
        };
        let (short, long) = (with(1), with(DAY));
        assert!(short.abs() < 4.0, "{short}");
        assert!(long > 14.0, "{long}");
    }

    #[test]
    fn what_runs_every_hour_is_foreseen_though_its_minute_differs_from_day_to_day() {
        let has_job = |step: u64| (step + 5 * (step / DAY)) % 12 < 2;
        let now = 20 * DAY + DAY / 2;
        let load = |step: u64| 20.0 + noise(step) + if has_job(step) { 60.0 } else { 0.0 };
        let found = expected((0..now).map(load), 24);
        for job in [true, false] {
            let of: Vec<_> = (0..24).filter(|ahead| has_job(now + ahead) == job).collect();
            let mean = of.iter().map(|ahead| found[*ahead as usize]).sum::<f32>() / of.len() as f32;
            let truth = if job { 80.0 } else { 20.0 };
            assert!((mean - truth).abs() < 12.0, "{mean}, not {truth}");
        }
    }

    #[test]
    fn with_two_days_of_history_it_is_the_season() {
        let found = expected((0..2 * DAY).map(daily), DAY as usize);
        for (ahead, found) in found.iter().enumerate() {
            let truth = daily(2 * DAY + ahead as u64);
            assert!((found - truth).abs() < 8.0, "{ahead} ahead: {found}, not {truth}");
        }
    }
}
