use crate::config::Config;
use crate::following::{Following, Foreseen};
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

impl Series {
    /// The members' answers, averaged.
    fn mixed(&self, ask: &Ask<'_, Self>, levels: &[f32], scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        let Ask { first, horizon, peak_steps, .. } = *ask;
        let peak_steps = if peaks.is_empty() { 0 } else { peak_steps };
        let question = Question { first, horizon, levels, peak_steps };
        let answers = self.members.answers(ask.config, ask.seasons, question, scratch);
        let (court, weights) = (Court::new(ask.seasons.day), self.jury.weights());
        for step in 0..horizon {
            let weights = court.weights_at(&weights, first + step as u64);
            for level in 0..levels.len() {
                let at = level * horizon + step;
                values[at] = (0..MEMBERS).map(|m| weights[m] * answers[m].values[at].max(0.0)).sum();
            }
        }
        let weights = court.weights_at(&weights, first - 1 + peak_steps as u64);
        for (level, peak) in peaks.iter_mut().enumerate() {
            *peak = (0..MEMBERS).map(|m| weights[m] * answers[m].peaks[level].max(0.0)).sum();
        }
    }

    /// What leaders say of the steps asked for; of several the one whose errors are least.
    fn foreseen(&self, ask: &Ask<'_, Self>) -> Vec<Option<Foreseen>> {
        let (seasons, own) = (ask.seasons, &self.members.naive);
        let leaders: Vec<Following<'_>> = (ask.leaders.iter())
            .filter_map(|(link, leader)| Following::learn(seasons, own, &leader.members.naive, *link))
            .collect();
        if leaders.is_empty() {
            return Vec::new();
        }
        let of = |lead: u64| {
            let said = leaders.iter().filter_map(|leader| leader.foresee(seasons, own, lead));
            said.min_by(|a, b| a.shrink.total_cmp(&b.shrink))
        };
        (ask.first..ask.first + ask.horizon as u64).map(of).collect()
    }

    /// Draws a forecast towards what leaders say.
    fn follow(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        let foreseen = self.foreseen(ask);
        if foreseen.iter().all(Option::is_none) {
            return;
        }
        let mut medians = vec![0.0; ask.horizon];
        self.mixed(ask, &[0.5], scratch, &mut medians, &mut []);
        let within = ask.peak_steps.min(ask.horizon);
        let highest = |medians: &[f32]| medians[..within].iter().copied().fold(0.0f32, f32::max);
        let before = highest(&medians);
        for (step, said) in foreseen.iter().enumerate() {
            let Some(Foreseen { center, shrink, weight }) = *said else { continue };
            for path in values.chunks_exact_mut(ask.horizon) {
                let alone = path[step];
                path[step] += weight * (center + shrink * (alone - medians[step]) - alone);
            }
            medians[step] += weight * (center - medians[step]);
        }
        let risen = highest(&medians) - before;
        peaks.iter_mut().for_each(|peak| *peak += risen);
    }
}

impl SeriesModel for Series {
    const NAME: &'static str = "best";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const FORMAT: u16 = 1;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        match config.error_half_life_days {
            Some(days) if !(1.0..=60.0).contains(&days) => {
                Err(format!("`error_half_life_days` is 1 to 60, not {days}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days.unwrap_or(config.members.naive.error_half_life_days)
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
            let leads: Vec<u64> = court.leads().collect();
            let answers = self.members.answers_at(config, seasons, &JUDGED, &leads, &mut Scratch::default());
            self.jury.begin(self.next, &answers);
        }
    }

    fn is_ready(&self) -> bool {
        self.members.is_ready()
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        self.mixed(ask, ask.levels, scratch, values, peaks);
        if !ask.leaders.is_empty() {
            self.follow(ask, scratch, values, peaks);
        }
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.next == next
            && self.members.is_sound(config, seasons, next)
            && self.jury.is_sound(&Court::new(seasons.day), next)
    }
}
