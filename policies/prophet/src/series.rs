use crate::config::Config;
use crate::correction::{Correction, Parts};
use crate::decomposition::Decomposition;
use crate::fit::{Shape, fit};
use crate::future::{Future, Now};
use crate::history::{History, Slots};
use crate::seasonality::{MAX_ORDER, Seasonality};
use forecasting_kit::{Ask, ExpectingModel, LeadSketches, Ring, Scratch, Seasons, SeriesModel, forecast_from_errors};
use serde::{Deserialize, Serialize};

/// History that a first fit needs, and Prophet a daily term.
const LEAST_DAYS: f64 = 2.0;
/// History that Prophet needs for a weekly term.
const WEEKLY_DAYS: f64 = 14.0;
/// Room for the periodic terms of a day and of a week.
const MAX_TERMS: usize = 4 * MAX_ORDER as usize;

/// Where a shard's own number stands in a seed, beside the step.
const SEED_SHIFT: u32 = 32;

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    past: History,
    /// None before the first fit.
    model: Option<Decomposition>,
    /// The step that the next value belongs to.
    next: u64,
    /// When it is fitted anew, beside other shards.
    phase: u64,
    /// The usual load, whatever the time of day.
    usual: f32,
    /// Values seen.
    seen: u32,
    correction: Correction,
}

impl Series {
    /// What the model says of `step`, one after the history that it was fitted to.
    fn parts(&self, day: u64, step: u64) -> Parts {
        let Some(model) = &self.model else { return Parts { base: self.usual, ..Parts::default() } };
        let time_days = step as f64 / day as f64;
        let mut room = [0.0; MAX_TERMS];
        let terms = model.seasonality.terms().min(MAX_TERMS);
        let (of_day, of_week) = model.seasons(time_days, &mut room[..terms]);
        let (level, growth) = model.end();
        let days_since = time_days - model.start_days - model.span_days;
        Parts { base: (level + of_day) as f32, growth: (growth * days_since) as f32, week: of_week as f32 }
    }

    /// What the model says of the day to come, its growth and its week left aside.
    fn bases(&self, day: u64) -> Vec<f32> {
        let Some(model) = &self.model else { return vec![self.usual; day as usize] };
        let (level, _) = model.end();
        let mut room = [0.0; MAX_TERMS];
        let mut base = |step: u64| (level + model.season_of_day(step as f64 / day as f64, &mut room)) as f32;
        (self.next..self.next + day).map(&mut base).collect()
    }

    /// Fits the model anew to the history kept: the same history, the same model.
    fn refit(&mut self, config: &Config, day: u64) {
        let slots = Slots::of_day(day);
        let points = self.past.points(slots, config.history_days);
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let span_days = last.time_days - first.time_days + slots.steps() as f64 / day as f64;
        if span_days < LEAST_DAYS {
            return;
        }
        // A wave needs more than two slots, or it is none.
        let slots_a_day = day / slots.steps();
        let most = |period: u64| u32::try_from(period.saturating_sub(1) / 2).unwrap_or(u32::MAX);
        let shape = Shape {
            changepoints: config.changepoints as usize,
            changepoint_range: config.changepoint_range,
            changepoint_prior: config.changepoint_prior,
            seasonality: Seasonality {
                day_order: config.daily_order.min(most(slots_a_day)),
                week_order: if span_days < WEEKLY_DAYS { 0 } else { config.weekly_order.min(most(7 * slots_a_day)) },
            },
            daily_prior: config.daily_prior,
            weekly_prior: config.weekly_prior,
            steps_per_point: slots.steps() as f64,
            within_square: self.past.within_square(),
        };
        let Some(model) = fit(&points, &shape) else { return };
        let before = self.bases(day);
        let is_first = self.model.replace(model).is_none();
        if config.corrected {
            self.correction.rebase(&before, &self.bases(day), is_first);
        }
    }

    /// As Prophet forecasts: its trend and waves, and quantiles of simulated futures.
    fn forecast_uncorrected(&self, ask: &Ask<'_, Self>, values: &mut [f32], peaks: &mut [f32]) {
        let day = ask.seasons.day;
        let expected = |lead: u64| {
            let Parts { base, growth, week } = self.parts(day, self.next - 1 + lead);
            base + growth + week
        };
        let steps = ask.horizon.max(ask.peak_steps) as u64;
        let points: Vec<f32> = (ask.first..ask.first + steps).map(expected).collect();
        let untried = Decomposition::untried(f64::from(self.usual), (self.next - 1) as f64 / day as f64);
        let model = self.model.as_ref().unwrap_or(&untried);
        let now = Now { next: self.next, day };
        let mut future = Future::of(model, now, ask.first - 1 + steps, self.next ^ (self.phase << SEED_SHIFT));
        let (errors, levels) = (future.error_quantiles(ask.levels), ask.levels.len());
        for (step, (point, lead)) in points.iter().zip(ask.first..).take(ask.horizon).enumerate() {
            for level in 0..levels {
                let error = future.between(lead, |at| errors[at * levels + level]);
                values[level * ask.horizon + step] = point + error as f32;
            }
        }
        if !peaks.is_empty() {
            let maxima = future.peak_quantiles(ask.first, &points[..ask.peak_steps], ask.levels);
            for (peak, maximum) in peaks.iter_mut().zip(maxima) {
                *peak = maximum as f32;
            }
        }
    }
}

fn refit_steps(config: &Config, day: u64) -> u64 {
    (u64::from(config.refit_hours) * day / 24).max(1)
}

impl SeriesModel for Series {
    const NAME: &'static str = "prophet";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.check()
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn new(config: &Config, seasons: &Seasons, first: u64, phase: u64) -> Self {
        Self {
            past: History::new(config, Slots::of_day(seasons.day), first),
            model: None,
            next: first,
            phase,
            usual: 0.0,
            seen: 0,
            correction: Correction::new(seasons, first),
        }
    }

    fn push(&mut self, config: &Config, seasons: &Seasons, _: &Ring, value: f32, _: usize) {
        let day = seasons.day;
        if self.seen == 0 && !value.is_nan() {
            self.usual = value;
            self.correction.begin(value);
        }
        self.past.push(Slots::of_day(day), self.next, value);
        if config.corrected {
            self.correction.push(seasons, self.parts(day, self.next), value, self.usual);
        }
        if !value.is_nan() {
            self.seen = self.seen.saturating_add(1);
            self.usual += (value - self.usual) / (self.seen as f32).min(day as f32);
        }
        self.next += 1;
        if (self.next + self.phase).is_multiple_of(refit_steps(config, day)) {
            self.refit(config, day);
        }
    }

    fn is_ready(&self) -> bool {
        self.seen > 0
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        if ask.config.corrected {
            forecast_from_errors(self, ask, scratch, values, peaks);
        } else {
            self.forecast_uncorrected(ask, values, peaks);
        }
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.past.is_sound(config, Slots::of_day(seasons.day), next)
            && self.model.as_ref().is_none_or(Decomposition::is_sound)
            && self.next == next
            && self.usual.is_finite()
            && (!config.corrected || self.correction.is_sound(seasons, next))
    }
}

impl ExpectingModel for Series {
    fn expect(&self, ask: &Ask<'_, Self>, points: &mut [f32], sizes: &mut [f32]) {
        for ((point, size), lead) in points.iter_mut().zip(sizes).zip(ask.first..) {
            let parts = self.parts(ask.seasons.day, self.next - 1 + lead);
            (*point, *size) = self.correction.expect(ask.seasons, lead, parts, self.usual);
        }
    }

    fn sketches(&self) -> &LeadSketches {
        self.correction.sketches()
    }

    fn to_load(value: f32) -> f32 {
        value
    }
}
