use crate::ensemble::Ensemble;
use crate::features::Features;
use crate::math::sinh;
use crate::network::Answer;
use crate::quantiles::{Level, MIDDLE};
use crate::window::{Scale, Window};
use forecasting_kit::{Ask, MAX_HISTORY, Ring, Scratch, Seasons, SeriesModel};
use serde::{Deserialize, Serialize};

/// Days of history kept: what the network was trained on.
const HISTORY_DAYS: u64 = 28;
/// Without history, the gaps between quantiles are wider by this factor than the network thinks; from a day on, by none.
const WIDER_WITHOUT_HISTORY: f32 = 2.0;

/// The configuration of [`Lstm`](crate::Lstm): there is nothing to configure, all is in the weights.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// Steps seen, missing ones too, as far as the history reaches.
    seen: u32,
    /// Whether any was not missing.
    is_known: bool,
}

fn history_steps(day: u64) -> usize {
    (HISTORY_DAYS * day).min(MAX_HISTORY) as usize
}

impl SeriesModel for Series {
    const NAME: &'static str = "lstm";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(_: &Config) -> Result<(), String> {
        Ok(())
    }

    fn error_half_life_days(_: &Config) -> f32 {
        // It keeps no errors.
        7.0
    }

    fn history_steps(_: &Config, seasons: &Seasons) -> usize {
        history_steps(seasons.day)
    }

    fn new(_: &Config, _: &Seasons, _: u64, _: u64) -> Self {
        Self { seen: 0, is_known: false }
    }

    fn push(&mut self, _: &Config, seasons: &Seasons, _: &Ring, value: f32, _: usize) {
        self.is_known |= !value.is_nan();
        if (self.seen as usize) < history_steps(seasons.day) {
            self.seen += 1;
        }
    }

    fn is_ready(&self) -> bool {
        self.is_known && Ensemble::embedded().is_some()
    }

    fn forecast(&self, ask: &Ask<'_, Self>, _: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        let Some(ensemble) = Ensemble::embedded() else { return };
        let window = Window::of(ask.history, self.seen as usize, ask.seasons.day);
        let features = Features::of(&window);
        let mut forecasting = ensemble.begin(&features);
        let levels: Vec<Level> = ask.levels.iter().map(|level| Level::of(*level)).collect();
        let wider = widening(self.seen as f32 / ask.seasons.day as f32);
        let peak_steps = if peaks.is_empty() { 0 } else { ask.peak_steps };
        for step in 0..ask.horizon.max(peak_steps) {
            let ahead = features.ahead(&window, (ask.first + step as u64) as i64);
            let answer = forecasting.step(&ahead, step < peak_steps);
            if step < ask.horizon {
                let answer = widened(answer, wider);
                for (i, level) in levels.iter().enumerate() {
                    values[i * ask.horizon + step] = load(&features.scale, level.pick(&answer));
                }
            }
        }
        if !peaks.is_empty() {
            let answer = widened(forecasting.peak(window.day), wider);
            for (peak, level) in peaks.iter_mut().zip(levels) {
                *peak = load(&features.scale, level.pick(&answer));
            }
        }
    }

    fn forecast_at(&self, ask: &Ask<'_, Self>, leads: &[u64], _: &mut Scratch, values: &mut [f32]) {
        let Some(ensemble) = Ensemble::embedded() else { return };
        let window = Window::of(ask.history, self.seen as usize, ask.seasons.day);
        let features = Features::of(&window);
        let mut forecasting = ensemble.begin(&features);
        let levels: Vec<Level> = ask.levels.iter().map(|level| Level::of(*level)).collect();
        let wider = widening(self.seen as f32 / ask.seasons.day as f32);
        for (i, lead) in leads.iter().enumerate() {
            let answer = widened(forecasting.step(&features.ahead(&window, *lead as i64), false), wider);
            for (values, level) in values.chunks_exact_mut(leads.len()).zip(&levels) {
                values[i] = load(&features.scale, level.pick(&answer));
            }
        }
    }

    fn is_sound(&self, _: &Config, seasons: &Seasons, _: u64) -> bool {
        self.seen as usize <= history_steps(seasons.day)
    }
}

/// By how much quantiles are wider with so many days of history.
fn widening(days: f32) -> f32 {
    1.0 + (WIDER_WITHOUT_HISTORY - 1.0) * (1.0 - days).max(0.0)
}

fn widened(answer: Answer, wider: f32) -> Answer {
    if wider == 1.0 { answer } else { answer.map(|z| answer[MIDDLE] + (z - answer[MIDDLE]) * wider) }
}

fn load(scale: &Scale, z: f32) -> f32 {
    scale.centre + scale.unit * sinh(z)
}
