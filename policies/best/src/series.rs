use crate::config::Config;
use crate::jury::{Court, JUDGED, Jury};
use crate::members::{MEMBERS, Members, Question};
use forecasting_kit::{Ask, Scratch, Seasons, SeriesModel};
use serde::{Deserialize, Serialize};

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    members: Members,
    jury: Jury,
    phase: u64,
    /// The step that the next value belongs to.
    next: u64,
}

impl SeriesModel for Series {
    const NAME: &'static str = "best";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 1;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        if !(1.0..=60.0).contains(&config.error_half_life_days) {
            return Err(format!("`error_half_life_days` is 1 to 60, not {}", config.error_half_life_days));
        }
        Ok(())
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days
    }

    fn new(config: &Config, seasons: &Seasons, first: u64, phase: u64) -> Self {
        Self { members: Members::new(config, seasons, first, phase), jury: Jury::new(), phase, next: first }
    }

    fn push(&mut self, config: &Config, seasons: &Seasons, value: f32, to_come: usize) {
        let court = Court::new(seasons.day);
        self.members.push(config, seasons, value, to_come);
        self.jury.hear(&court, self.next, value);
        self.next += 1;
        if court.begins(self.next, self.phase, to_come) && self.members.is_ready() {
            let horizon = seasons.day as usize;
            let question = Question { first: 1, horizon, levels: &JUDGED, peak_steps: 0 };
            let answers = self.members.answers(config, seasons, question, &mut Scratch::default());
            self.jury.begin(&court, self.next, &answers, horizon);
        }
    }

    fn is_ready(&self) -> bool {
        self.members.is_ready()
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        let question =
            Question { first: ask.first, horizon: ask.horizon, levels: ask.levels, peak_steps: ask.peak_steps };
        let answers = self.members.answers(ask.config, ask.seasons, question, scratch);
        let weights = self.jury.weights();
        let court = Court::new(ask.seasons.day);
        let weights_at = |lead: u64| court.weights_at(&weights, lead);
        for step in 0..ask.horizon {
            let weights = weights_at(ask.first + step as u64);
            for level in 0..ask.levels.len() {
                let at = level * ask.horizon + step;
                values[at] = (0..MEMBERS).map(|m| weights[m] * answers[m].values[at].max(0.0)).sum();
            }
        }
        let weights = weights_at(ask.first - 1 + ask.peak_steps as u64);
        for (level, peak) in peaks.iter_mut().enumerate() {
            *peak = (0..MEMBERS).map(|m| weights[m] * answers[m].peaks[level].max(0.0)).sum();
        }
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.next == next
            && self.members.is_sound(config, seasons, next)
            && self.jury.is_sound(&Court::new(seasons.day), next)
    }
}
