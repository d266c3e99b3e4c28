use crate::calibration::Calibration;
use crate::config::Config;
use crate::following::{Following, Foreseen, Watched};
use crate::jury::{Court, JUDGED, Jury, MEDIAN};
use crate::members::{MEMBERS, Members, Question};
use forecasting_kit::{Ask, Leader, Ring, Scratch, Seasons, SeriesModel};
use serde::{Deserialize, Serialize};

/// One shard's loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    members: Members,
    jury: Jury,
    calibration: Calibration,
    phase: u64,
    /// The step that the next value belongs to.
    next: u64,
}

/// Quantiles of the mixture.
struct Mixed {
    medians: Vec<f32>,
    /// `paths[level * horizon + step]`, and of the maximum `peaks[level]`, at the levels asked for.
    paths: Vec<f32>,
    peaks: Vec<f32>,
}

impl Series {
    /// The members' answers, averaged.
    fn mixed(&self, court: &Court, ask: &Ask<'_, Self>, scratch: &mut Scratch) -> Mixed {
        let Ask { first, horizon, peak_steps, .. } = *ask;
        // The median is needed, too, whether it was asked for or not.
        let median = ask.levels.partition_point(|level| *level < MEDIAN);
        let asked_for = ask.levels.get(median) == Some(&MEDIAN);
        let mut levels = ask.levels.to_vec();
        if !asked_for {
            levels.insert(median, MEDIAN);
        }
        let question = Question { first, horizon, levels: &levels, peak_steps };
        let answers = self.members.answers(ask.config, ask.seasons, ask.history, question, scratch);
        let weights = self.jury.weights();
        let mut paths = vec![0.0; levels.len() * horizon];
        for step in 0..horizon {
            let weights = court.between(&weights, first + step as u64);
            for level in 0..levels.len() {
                let at = level * horizon + step;
                paths[at] = (0..MEMBERS).map(|m| weights[m] * answers[m].values[at].max(0.0)).sum();
            }
        }
        let weights = court.between(&weights, first - 1 + peak_steps as u64);
        let peak = |level: usize| (0..MEMBERS).map(|m| weights[m] * answers[m].peaks[level].max(0.0)).sum();
        let mut peaks: Vec<f32> = if peak_steps > 0 { (0..levels.len()).map(peak).collect() } else { Vec::new() };
        let own = median * horizon..(median + 1) * horizon;
        let medians = if asked_for {
            paths[own].to_vec()
        } else {
            if peak_steps > 0 {
                peaks.remove(median);
            }
            paths.drain(own).collect()
        };
        Mixed { medians, paths, peaks }
    }

    /// What leaders say of the steps asked for; of several the one whose errors are least.
    fn foreseen<'a>(&self, ask: &Ask<'a, Self>) -> Vec<Option<Foreseen>> {
        let (seasons, own) = (ask.seasons, Watched { model: &self.members.naive, history: ask.history });
        let watched =
            |leader: &Leader<'a, Self>| Watched { model: &leader.model.members.naive, history: leader.history };
        let leaders: Vec<Following<'_>> = (ask.leaders.iter())
            .filter_map(|leader| Following::learn(seasons, own, watched(leader), leader.link))
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

    /// Draws a forecast with these medians towards what leaders say.
    fn follow(&self, ask: &Ask<'_, Self>, mut medians: Vec<f32>, values: &mut [f32], peaks: &mut [f32]) {
        let foreseen = self.foreseen(ask);
        if foreseen.iter().all(Option::is_none) {
            return;
        }
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
    const FORMAT: u16 = 2;
    type Config = Config;

    fn check(config: &Config) -> Result<(), String> {
        config.error_half_life_days.map_or(Ok(()), Seasons::check_half_life)
    }

    fn error_half_life_days(config: &Config) -> f32 {
        config.error_half_life_days.unwrap_or(config.members.naive.error_half_life_days)
    }

    fn history_steps(config: &Config, seasons: &Seasons) -> usize {
        Members::history_steps(config, seasons)
    }

    fn new(config: &Config, seasons: &Seasons, first: u64, phase: u64) -> Self {
        Self {
            members: Members::new(config, seasons, first, phase),
            jury: Jury::new(),
            calibration: Calibration::new(),
            phase,
            next: first,
        }
    }

    fn push(&mut self, config: &Config, seasons: &Seasons, history: &Ring, value: f32, to_come: usize) {
        let court = Court::new(seasons.day);
        self.members.push(config, seasons, history, value, to_come);
        let Self { jury, calibration, next, .. } = self;
        jury.hear(&court, *next, value, |heard| calibration.learn(&court, *next, &heard));
        self.next += 1;
        if court.begins(self.next, self.phase) && self.members.is_ready() {
            let leads: Vec<u64> = court.leads().collect();
            let answers = self.members.answers_at(config, seasons, history, &JUDGED, &leads, &mut Scratch::default());
            self.jury.begin(self.next, &answers);
        }
    }

    fn is_ready(&self) -> bool {
        self.members.is_ready()
    }

    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]) {
        let court = Court::new(ask.seasons.day);
        let Mixed { medians, paths, peaks: mixed_peaks } = self.mixed(&court, ask, scratch);
        peaks.iter_mut().zip(mixed_peaks).for_each(|(peak, mixed)| *peak = mixed);
        for (step, median) in medians.iter().enumerate() {
            let lead = ask.first + step as u64;
            let factors = self.calibration.factors(&court, self.next - 1 + lead, lead);
            for (level, asked) in ask.levels.iter().enumerate() {
                let at = level * ask.horizon + step;
                let factor = factors[usize::from(*asked > MEDIAN)];
                values[at] = median + factor * (paths[at] - median);
            }
        }
        if !ask.leaders.is_empty() {
            self.follow(ask, medians, values, peaks);
        }
    }

    fn is_sound(&self, config: &Config, seasons: &Seasons, next: u64) -> bool {
        self.next == next
            && self.members.is_sound(config, seasons, next)
            && self.jury.is_sound(&Court::new(seasons.day), next)
            && self.calibration.is_sound()
    }
}
