use crate::envelope::{seal, unseal};
use crate::error_quantiles::Scratch;
use crate::failure::Failure;
use crate::ring::Ring;
use crate::series_model::{Ask, Leader, Seasons, SeriesModel};
use isobar_model::ids::MAX_ID;
use isobar_model::insights::MAX_LINKS_PER_FOLLOWER;
use isobar_model::{ForecastBatch, ForecastRequest, Link, LoadBatch, Metric, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Larger loads are taken for this one: far past any machine, and its square is still an f32.
pub const MAX_LOAD: f32 = 1e15;
/// The furthest step ahead that may be asked for: four weeks of 5-minute steps.
pub const MAX_HORIZON_STEPS: u32 = 8064;
/// The most quantiles that may be asked for.
const MAX_QUANTILES: usize = 64;
/// The contract's limit of a saved state.
pub const MAX_SAVE_BYTES: usize = 64 << 20;
/// A gap longer than this empties a series: nothing from before it would be near enough to use.
const MAX_GAP_DAYS: u64 = 28;

/// A forecasting policy: one model of kind `M` for each metric and shard.
#[derive(Debug)]
pub struct Forecaster<M: SeriesModel> {
    config: M::Config,
    state: State<M>,
    /// Known with the first batch.
    seasons: Option<Seasons>,
    /// Which shards follow which: of each follower, at most as many as the contract allows. Not saved: the host says it again.
    links: BTreeMap<(Metric, ShardId), Vec<Link>>,
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
        let config = if config.trim().is_empty() { "{}" } else { config };
        if !config.trim_start().starts_with('{') {
            // A list would do for serde, its entries taken for the fields in turn.
            return Err(Failure::Config("the configuration is to be a JSON object".to_owned()));
        }
        let config: M::Config = serde_json::from_str(config).map_err(|error| Failure::Config(error.to_string()))?;
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
        if !batch.is_well_formed() {
            return Err(Failure::Other(format!(
                "{} values do not fit {} shards of {} steps",
                batch.values.len(),
                batch.shards.len(),
                batch.steps
            )));
        }
        if batch.step_ms == 0 {
            return Err(Failure::Other("a step of 0 ms".to_owned()));
        }
        if batch.start.0 >= MAX_ID {
            return Err(Failure::Other(format!("an instant of {} ms, past what the contract allows", batch.start)));
        }
        if self.state.step_ms != 0 && self.state.step_ms != batch.step_ms {
            return Err(Failure::Other(format!(
                "steps of {} ms after steps of {} ms: open a new instance for another step",
                batch.step_ms, self.state.step_ms
            )));
        }
        self.state.step_ms = batch.step_ms;
        let half_life = M::error_half_life_days(&self.config);
        let seasons = self.seasons.get_or_insert_with(|| Seasons::new(batch.step_ms, half_life));
        // To the nearest step: a tick that comes a little early or late is the same tick.
        let first = (batch.start.0 + u64::from(batch.step_ms) / 2) / u64::from(batch.step_ms);
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
                let value = if value.is_finite() { value.clamp(0.0, MAX_LOAD) } else { f32::NAN };
                track.push(&self.config, seasons, value, (after - track.next() - 1) as usize);
            }
        }
        Ok(())
    }

    /// Quantiles of the load to come. A shard never observed is expected to stay at 0.
    ///
    /// # Errors
    /// [`Failure::NotReady`] where none of the shards was ever observed; [`Failure::Other`] for a request outside the contract.
    pub fn predict(&self, request: &ForecastRequest) -> Result<ForecastBatch, Failure> {
        check(request)?;
        let (horizon, levels) = (request.horizon as usize, request.quantiles.as_slice());
        let peaks = if request.peak_steps > 0 { levels.len() } else { 0 };
        let mut out = ForecastBatch {
            values: vec![0.0; request.shards.len() * levels.len() * horizon],
            peaks: vec![0.0; request.shards.len() * peaks],
        };
        if request.shards.is_empty() {
            return Ok(out);
        }
        let none = || Failure::NotReady("none of these shards has been observed yet".to_owned());
        let seasons = self.seasons.as_ref().ok_or_else(none)?;
        let now = *self.state.next.get(&request.metric).ok_or_else(none)?;
        let mut scratch = Scratch::default();
        let mut any = false;
        for (row, shard) in request.shards.iter().enumerate() {
            let Some(track) = self.state.tracks.get(&(request.metric, *shard)) else { continue };
            if !track.model.is_ready() {
                continue;
            }
            any = true;
            let values = &mut out.values[row * levels.len() * horizon..(row + 1) * levels.len() * horizon];
            let peaks = &mut out.peaks[row * peaks..(row + 1) * peaks];
            let led = self.links.get(&(request.metric, *shard)).map_or(&[][..], Vec::as_slice);
            let leaders: Vec<Leader<'_, M>> =
                led.iter().filter_map(|link| self.leader(request.metric, *link)).collect();
            let ask = Ask {
                config: &self.config,
                seasons,
                history: &track.history,
                // A shard that missed the last batches is looked at from further away.
                first: now.saturating_sub(track.next()) + 1,
                horizon,
                levels,
                peak_steps: request.peak_steps as usize,
                leaders: &leaders,
            };
            track.model.forecast(&ask, &mut scratch, values, peaks);
            mend(values, horizon);
            raise_to_paths(peaks, values, horizon, request.peak_steps as usize);
            mend(peaks, 1);
        }
        if any { Ok(out) } else { Err(none()) }
    }

    /// Takes in which shards follow which, in place of what was said before of this metric. Of a follower with more links than the contract
    /// allows, the first ones count.
    ///
    /// # Errors
    /// [`Failure::Other`] for a link that can't be; nothing has changed then.
    pub fn relate(&mut self, metric: Metric, links: &[Link]) -> Result<(), Failure> {
        let sound = |link: &Link| link.lag_steps > 0 && link.leader != link.follower && link.strength.is_finite();
        if let Some(link) = links.iter().find(|link| !sound(link)) {
            let Link { follower, leader, lag_steps, strength, .. } = link;
            return Err(Failure::Other(format!(
                "no link: shard {follower} after {leader} by {lag_steps} steps, with strength {strength}"
            )));
        }
        self.links.retain(|(of, _), _| *of != metric);
        for link in links {
            let own = self.links.entry((metric, link.follower)).or_default();
            if own.len() < MAX_LINKS_PER_FOLLOWER {
                own.push(*link);
            }
        }
        Ok(())
    }

    fn leader(&self, metric: Metric, link: Link) -> Option<Leader<'_, M>> {
        let Track { history, model } = self.state.tracks.get(&(metric, link.leader))?;
        model.is_ready().then_some(Leader { link, history, model })
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        let gone: std::collections::BTreeSet<_> = shards.iter().collect();
        self.state.tracks.retain(|(_, shard), _| !gone.contains(shard));
        self.links.retain(|(_, shard), _| !gone.contains(shard));
    }

    /// Everything that [`restore`](Self::restore) needs to go on from here.
    ///
    /// # Errors
    /// [`Failure::Other`] where it would be over the contract's limit: the next instance is then to observe the history again.
    pub fn save(&self) -> Result<Vec<u8>, Failure> {
        let state = postcard::to_allocvec(&self.state).map_err(|error| Failure::Other(error.to_string()))?;
        let sealed = seal(M::NAME, M::FORMAT, &state);
        if sealed.len() > MAX_SAVE_BYTES {
            return Err(Failure::Other(format!(
                "the state of {} series takes {} bytes, over the limit of {MAX_SAVE_BYTES}: observe the history again instead",
                self.state.tracks.len(),
                sealed.len()
            )));
        }
        Ok(sealed)
    }

    /// Takes up where [`save`](Self::save) left off, in place of anything observed before.
    ///
    /// # Errors
    /// Why the bytes are no state of this policy and format; nothing has changed then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let state = unseal(M::NAME, M::FORMAT, saved)?;
        let state: State<M> =
            postcard::from_bytes(state).map_err(|error| format!("the saved state can't be read: {error}"))?;
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

/// Refuses a request outside the contract.
fn check(request: &ForecastRequest) -> Result<(), Failure> {
    if request.horizon > MAX_HORIZON_STEPS || request.peak_steps > MAX_HORIZON_STEPS {
        return Err(Failure::Other(format!("forecasts reach at most {MAX_HORIZON_STEPS} steps ahead")));
    }
    if request.quantiles.len() > MAX_QUANTILES {
        return Err(Failure::Other(format!("at most {MAX_QUANTILES} quantiles")));
    }
    let within = request.quantiles.iter().all(|level| (0.0..=1.0).contains(level));
    if !within || !request.quantiles.is_sorted() {
        return Err(Failure::Other("quantiles must ascend and lie within 0 to 1".to_owned()));
    }
    Ok(())
}

/// Makes quantiles of one series what the contract asks for: finite, not negative, and of one step not falling.
fn mend(values: &mut [f32], horizon: usize) {
    let mut rows = values.chunks_exact_mut(horizon.max(1));
    let Some(mut below) = rows.next() else { return };
    below.iter_mut().for_each(|value| *value = bounded(*value));
    for row in rows {
        for (value, below) in row.iter_mut().zip(&*below) {
            let load = bounded(*value);
            *value = if load < *below { *below } else { load };
        }
        below = row;
    }
}

/// The maximum is never below a step of it, and so are its quantiles.
fn raise_to_paths(peaks: &mut [f32], paths: &[f32], horizon: usize, peak_steps: usize) {
    for (peak, path) in peaks.iter_mut().zip(paths.chunks_exact(horizon.max(1))) {
        // `f32::max` passes over NaN.
        *peak = path.iter().take(peak_steps).copied().fold(*peak, f32::max);
    }
}

/// A load: finite and not negative.
fn bounded(load: f32) -> f32 {
    // Written so that NaN becomes 0, and without a branch.
    let capped = if load < MAX_LOAD { load } else { MAX_LOAD };
    if load > 0.0 { capped } else { 0.0 }
}
