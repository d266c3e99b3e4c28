use crate::error_quantiles::Scratch;
use crate::lead_sketches::Bands;
use crate::ring::Ring;
use isobar_model::Link;
use serde::{Serialize, de::DeserializeOwned};

/// Milliseconds of a day: the season of loads that follow people.
const DAY_MS: u64 = 86_400_000;
/// Days have at most so many steps, those of 10 s: with shorter ones the season is no longer a day. It bounds the memory of a shard.
const MAX_DAY_STEPS: u64 = 8640;

/// What every model needs to know of time.
#[derive(Clone, Debug)]
pub struct Seasons {
    /// Steps of a day, at least 1 and at most 8640.
    pub day: u64,
    /// The leads at which errors are kept apart.
    pub bands: Bands,
}

impl Seasons {
    /// Refuses a half-life of errors that is none: the configuration's field `error_half_life_days`.
    ///
    /// # Errors
    /// What it is to be.
    pub fn check_half_life(days: f32) -> Result<(), String> {
        if (1.0..=60.0).contains(&days) {
            Ok(())
        } else {
            Err(format!("`error_half_life_days` is 1 to 60, not {days}"))
        }
    }

    /// For steps of so many milliseconds, with the errors' weight halved every `error_half_life_days` days.
    #[must_use]
    pub fn new(step_ms: u32, error_half_life_days: f32) -> Self {
        let day = ((DAY_MS + u64::from(step_ms) / 2) / u64::from(step_ms.max(1))).clamp(1, MAX_DAY_STEPS);
        Self { day, bands: Bands::new(day, error_half_life_days) }
    }
}

/// What one model is asked, once for each series of a request.
#[derive(Debug)]
pub struct Ask<'a, M: SeriesModel> {
    /// The policy's configuration.
    pub config: &'a M::Config,
    /// Time, as its steps count it.
    pub seasons: &'a Seasons,
    /// What was observed of this series: the newest [`history_steps`](SeriesModel::history_steps), all of them pushed.
    pub history: &'a Ring,
    /// Lead of the first step asked for: 1, or more for a shard that missed the last batches.
    pub first: u64,
    /// Steps asked for.
    pub horizon: usize,
    /// Levels of the quantiles asked for, ascending within 0 to 1.
    pub levels: &'a [f32],
    /// Also the maximum over the first so many steps; 0: not asked for.
    pub peak_steps: usize,
    /// Shards that this one follows, as far as they are known here.
    pub leaders: &'a [Leader<'a, M>],
}

/// A shard that another one follows.
#[derive(Debug)]
pub struct Leader<'a, M> {
    /// How it is followed.
    pub link: Link,
    /// Its history.
    pub history: &'a Ring,
    /// Its model.
    pub model: &'a M,
}

/// A forecaster of one series of loads, fed step by step.
///
/// Values pushed are finite and within 0 to [`MAX_LOAD`](crate::MAX_LOAD), or NaN where the step is missing.
pub trait SeriesModel: Sized + Serialize + DeserializeOwned {
    /// The policy's name.
    const NAME: &'static str;
    /// The policy's version.
    const VERSION: &'static str;
    /// JSON Schema (draft 2020-12) of the configuration.
    const CONFIG_SCHEMA: &'static str;
    /// The number of the saved state's format: raised whenever a field of the state changes.
    const FORMAT: u16;
    /// The configuration; `deny_unknown_fields`, so that a mistyped name is refused by name.
    type Config: DeserializeOwned;

    /// Refuses a configuration whose values are out of range; the text names the field.
    fn check(config: &Self::Config) -> Result<(), String>;
    /// Days after which a past error counts half.
    fn error_half_life_days(config: &Self::Config) -> f32;
    /// How many of the newest values it looks back on. They are kept for it, once for all that a model is made of; 0: none.
    fn history_steps(_: &Self::Config, _: &Seasons) -> usize {
        0
    }
    /// A model that has seen nothing; its first value will belong to step `first`. `phase` differs from shard to shard: what is done
    /// seldom, such as fitting anew, is done where `step + phase` says so, and no tick has to do it for all shards.
    fn new(config: &Self::Config, seasons: &Seasons, first: u64, phase: u64) -> Self;
    /// Adds the value of the next step, the newest in `history`, of a batch that has `to_come` more steps after it. Must leave the same state however steps are
    /// batched: `to_come` may only save work whose result would be overwritten within the batch.
    fn push(&mut self, config: &Self::Config, seasons: &Seasons, history: &Ring, value: f32, to_come: usize);
    /// Whether it has seen any value at all.
    fn is_ready(&self) -> bool;
    /// Writes quantiles of the load to come, `values[level * horizon + step]`, and of its maximum, `peaks[level]` (empty: not asked for). The
    /// caller mends what is not finite, negative, or falls from one level to the next.
    fn forecast(&self, ask: &Ask<'_, Self>, scratch: &mut Scratch, values: &mut [f32], peaks: &mut [f32]);
    /// Writes quantiles of the load at a few leads alone, ascending: `values[level * leads.len() + i]`. Of `ask` only configuration, seasons,
    /// history and levels count. A model to which each step is work of its own had better do just these; here all up to the last are made.
    fn forecast_at(&self, ask: &Ask<'_, Self>, leads: &[u64], scratch: &mut Scratch, values: &mut [f32]) {
        let Ask { config, seasons, history, levels, .. } = *ask;
        let horizon = leads.last().map_or(0, |last| *last as usize);
        let whole = Ask { config, seasons, history, first: 1, horizon, levels, peak_steps: 0, leaders: &[] };
        let mut paths = vec![0.0; levels.len() * horizon];
        self.forecast(&whole, scratch, &mut paths, &mut []);
        for (values, path) in values.chunks_exact_mut(leads.len().max(1)).zip(paths.chunks_exact(horizon.max(1))) {
            for (value, lead) in values.iter_mut().zip(leads) {
                *value = path.get((*lead as usize).saturating_sub(1)).copied().unwrap_or(0.0);
            }
        }
    }
    /// Whether it is one that pushing could have made, standing at step `next`: what a restored one must prove.
    fn is_sound(&self, config: &Self::Config, seasons: &Seasons, next: u64) -> bool;
}
