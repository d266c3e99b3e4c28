use crate::answer::answer;
use crate::contract::{MAX_GAP_DAYS, first_step, observed, read_config};
use crate::envelope::{seal, unseal};
use crate::error_quantiles::Scratch;
use crate::failure::Failure;
use crate::links::Links;
use crate::ring::Ring;
use crate::series_model::{Ask, Leader, Seasons, SeriesModel};
use isobar_model::ids::MAX_ID;
use isobar_model::{ForecastBatch, ForecastRequest, Link, LoadBatch, Metric, Relations, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A forecasting policy: one model of kind `M` for each metric and shard.
#[derive(Debug)]
pub struct Forecaster<M: SeriesModel> {
    config: M::Config,
    state: State<M>,
    /// Known with the first batch.
    seasons: Option<Seasons>,
    /// Which shards follow which. Not saved: the host says it again.
    links: BTreeMap<Metric, Links>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct State<M: SeriesModel> {
    /// Length of a step, milliseconds; 0 before the first batch.
    step_ms: u32,
    /// The step after the last one observed, for each metric.
    next: BTreeMap<Metric, u64>,
    tracks: BTreeMap<(Metric, ShardId), Track<M>>,
}

/// One series. Steps are counted from the Unix epoch, in lengths of a step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Track<M: SeriesModel> {
    /// It knows the step that the next value belongs to.
    history: Ring,
    model: M,
}

impl<M: SeriesModel> Forecaster<M> {
    /// A policy that has seen nothing. `config` is JSON; empty text stands for `{}`.
    ///
    /// # Errors
    /// [`Failure::Config`], naming the field.
    pub fn new(config: &str) -> Result<Self, Failure> {
        let config: M::Config = read_config(config)?;
        M::check(&config).map_err(Failure::Config)?;
        Ok(Self {
            config,
            state: State { step_ms: 0, next: BTreeMap::new(), tracks: BTreeMap::new() },
            seasons: None,
            links: BTreeMap::new(),
        })
    }

    /// Shows it steps. Those of a shard that it has seen already are passed over; a gap counts as missing.
    ///
    /// # Errors
    /// [`Failure::Other`] where the batch contradicts itself or an earlier one; nothing was learnt then.
    pub fn observe(&mut self, batch: &LoadBatch) -> Result<(), Failure> {
        let first = first_step(batch, self.state.step_ms)?;
        self.state.step_ms = batch.step_ms;
        let half_life = M::error_half_life_days(&self.config);
        let seasons = self.seasons.get_or_insert_with(|| Seasons::new(batch.step_ms, half_life));
        let after = first + u64::from(batch.steps);
        let next = self.state.next.entry(batch.metric).or_insert(after);
        *next = after.max(*next);
        for (row, shard) in batch.shards.iter().enumerate() {
            let track = self
                .state
                .tracks
                .entry((batch.metric, *shard))
                .or_insert_with(|| Track::new(&self.config, seasons, first, *shard));
            if first.saturating_sub(track.next()) > MAX_GAP_DAYS * seasons.day {
                *track = Track::new(&self.config, seasons, first, *shard);
            }
            while track.next() < first {
                track.push(&self.config, seasons, f32::NAN, (after - track.next() - 1) as usize);
            }
            let seen = usize::try_from(track.next() - first).unwrap_or(usize::MAX);
            for value in batch.row(row).iter().skip(seen) {
                track.push(&self.config, seasons, observed(*value), (after - track.next() - 1) as usize);
            }
        }
        Ok(())
    }

    /// Quantiles of the load to come. A shard never observed is expected to stay at 0.
    ///
    /// # Errors
    /// [`Failure::NotReady`] where none of the shards was ever observed; [`Failure::Other`] for a request outside the contract.
    pub fn predict(&self, request: &ForecastRequest) -> Result<ForecastBatch, Failure> {
        let now = self.state.next.get(&request.metric).copied().unwrap_or(0);
        let mut scratch = Scratch::default();
        answer(request, |shard, values, peaks| {
            let track = self.state.tracks.get(&(request.metric, shard)).filter(|track| track.model.is_ready());
            let Some((track, seasons)) = track.zip(self.seasons.as_ref()) else { return false };
            let led = self.links.get(&request.metric).map_or(&[][..], |links| links.of(shard));
            let leaders: Vec<Leader<'_, M>> =
                led.iter().filter_map(|link| self.leader(request.metric, *link)).collect();
            let ask = Ask {
                config: &self.config,
                seasons,
                history: &track.history,
                // A shard that missed the last batches is looked at from further away.
                first: now.saturating_sub(track.next()) + 1,
                horizon: request.horizon as usize,
                levels: &request.quantiles,
                peak_steps: request.peak_steps as usize,
                leaders: &leaders,
            };
            track.model.forecast(&ask, &mut scratch, values, peaks);
            true
        })
    }

    /// Takes in which shards follow which, in place of what was said before of this metric; which are alike is nothing to models of one series.
    ///
    /// # Errors
    /// [`Failure::Other`] for a link that can't be; nothing has changed then.
    pub fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), Failure> {
        self.links.entry(metric).or_default().take_in(&relations.links)
    }

    fn leader(&self, metric: Metric, link: Link) -> Option<Leader<'_, M>> {
        let Track { history, model } = self.state.tracks.get(&(metric, link.leader))?;
        model.is_ready().then_some(Leader { link, history, model })
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        let gone: std::collections::BTreeSet<_> = shards.iter().collect();
        self.state.tracks.retain(|(_, shard), _| !gone.contains(shard));
        self.links.values_mut().for_each(|links| links.forget(shards));
    }

    /// Everything that [`restore`](Self::restore) needs to go on from here.
    ///
    /// # Errors
    /// [`Failure::Other`] where it would be over the contract's limit: the next instance is then to observe the history again.
    pub fn save(&self) -> Result<Vec<u8>, Failure> {
        seal(M::NAME, M::FORMAT, &self.state)
    }

    /// Takes up where [`save`](Self::save) left off, in place of anything observed before.
    ///
    /// # Errors
    /// Why the bytes are no state of this policy and format; nothing has changed then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let state: State<M> = unseal(M::NAME, M::FORMAT, saved)?;
        let seasons = (state.step_ms != 0).then(|| Seasons::new(state.step_ms, M::error_half_life_days(&self.config)));
        let sound = match &seasons {
            Some(seasons) => state.tracks.iter().all(|((metric, _), track)| {
                state.next.get(metric).is_some_and(|next| track.next() <= *next && *next < 2 * MAX_ID)
                    && track.history.fits(M::history_steps(&self.config, seasons), track.next())
                    && track.model.is_sound(&self.config, seasons, track.next())
            }),
            None => state.tracks.is_empty(),
        };
        if !sound {
            return Err("the saved state does not fit this configuration: observe the history again instead".to_owned());
        }
        self.state = state;
        self.seasons = seasons;
        Ok(())
    }
}

impl<M: SeriesModel> Track<M> {
    fn new(config: &M::Config, seasons: &Seasons, first: u64, shard: ShardId) -> Self {
        let history = Ring::new(M::history_steps(config, seasons), first);
        Self { history, model: M::new(config, seasons, first, phase(shard)) }
    }

    /// The step that its next value belongs to.
    fn next(&self) -> u64 {
        self.history.next()
    }

    fn push(&mut self, config: &M::Config, seasons: &Seasons, value: f32, to_come: usize) {
        self.history.push(value);
        self.model.push(config, seasons, &self.history, value, to_come);
    }
}

/// A number that differs from shard to shard without a pattern (Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3).
fn phase(shard: ShardId) -> u64 {
    shard.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}
