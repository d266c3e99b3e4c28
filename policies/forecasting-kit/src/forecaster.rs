use crate::envelope::{seal, unseal};
use crate::failure::Failure;
use crate::series_model::{Seasons, SeriesModel};
use isobar_model::ids::MAX_ID;
use isobar_model::{ForecastBatch, ForecastRequest, LoadBatch, Metric, ShardId};
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
    /// The step that its next value belongs to.
    next: u64,
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
        Ok(Self { config, state: State { step_ms: 0, next: BTreeMap::new(), tracks: BTreeMap::new() }, seasons: None })
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
                .or_insert_with(|| Track::new(&self.config, seasons, first));
            if first.saturating_sub(track.next) > MAX_GAP_DAYS * seasons.day {
                *track = Track::new(&self.config, seasons, first);
            }
            while track.next < first {
                track.push(&self.config, seasons, f32::NAN);
            }
            let seen = usize::try_from(track.next - first).unwrap_or(usize::MAX);
            for value in batch.row(row).iter().skip(seen) {
                let value = if value.is_finite() { value.clamp(0.0, MAX_LOAD) } else { f32::NAN };
                track.push(&self.config, seasons, value);
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
        let mut scratch = Scratch::new(seasons, request);
        let mut any = false;
        for (row, shard) in request.shards.iter().enumerate() {
            let Some(track) = self.state.tracks.get(&(request.metric, *shard)) else { continue };
            if !track.model.is_ready() {
                continue;
            }
            any = true;
            let values = &mut out.values[row * levels.len() * horizon..(row + 1) * levels.len() * horizon];
            let peaks = &mut out.peaks[row * peaks..(row + 1) * peaks];
            scratch.forecast(&self.config, seasons, track, now, request, values, peaks);
        }
        if any { Ok(out) } else { Err(none()) }
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        let gone: std::collections::BTreeSet<_> = shards.iter().collect();
        self.state.tracks.retain(|(_, shard), _| !gone.contains(shard));
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
                state.next.get(metric).is_some_and(|next| track.next <= *next && *next < 2 * MAX_ID)
                    && track.model.is_sound(&self.config, seasons, track.next)
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
    fn new(config: &M::Config, seasons: &Seasons, first: u64) -> Self {
        Self { next: first, model: M::new(config, seasons, first) }
    }

    fn push(&mut self, config: &M::Config, seasons: &Seasons, value: f32) {
        self.model.push(config, seasons, value);
        self.next += 1;
    }
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

/// Room for one series' forecast, used again for the next.
struct Scratch {
    points: Vec<f32>,
    sizes: Vec<f32>,
    lead_errors: Vec<f32>,
    peak_errors: Vec<f32>,
}

impl Scratch {
    fn new(seasons: &Seasons, request: &ForecastRequest) -> Self {
        let steps = request.horizon.max(request.peak_steps) as usize;
        let errors = seasons.bands.leads().len() * request.quantiles.len();
        Self {
            points: vec![0.0; steps],
            sizes: vec![0.0; steps],
            lead_errors: vec![0.0; errors],
            peak_errors: vec![0.0; errors],
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one series' share of one request; a struct would only rename them")]
    fn forecast<M: SeriesModel>(
        &mut self,
        config: &M::Config,
        seasons: &Seasons,
        track: &Track<M>,
        now: u64,
        request: &ForecastRequest,
        values: &mut [f32],
        peaks: &mut [f32],
    ) {
        let levels = request.quantiles.as_slice();
        let horizon = request.horizon as usize;
        // A shard that missed the last batches is looked at from further away.
        let first = now.saturating_sub(track.next) + 1;
        track.model.expect(config, seasons, first, &mut self.points, &mut self.sizes);
        let sketches = track.model.sketches();
        sketches.lead_quantiles(levels, &mut self.lead_errors);
        for step in 0..horizon {
            let spot = seasons.bands.spot(first + step as u64);
            let mut least = 0.0f32;
            for level in 0..levels.len() {
                let error = spot.between(|band| self.lead_errors[band * levels.len() + level]);
                least = least.max(bounded(M::to_load(self.points[step] + self.sizes[step] * error)));
                values[level * horizon + step] = least;
            }
        }
        if peaks.is_empty() {
            return;
        }
        sketches.peak_quantiles(levels, &mut self.peak_errors);
        let window = request.peak_steps as usize;
        let highest = (0..window).max_by(|a, b| self.points[*a].total_cmp(&self.points[*b])).unwrap_or(0);
        let spot = seasons.bands.spot(first - 1 + window as u64);
        let mut least = 0.0f32;
        for (level, peak) in peaks.iter_mut().enumerate() {
            let error = spot.between(|band| self.peak_errors[band * levels.len() + level]);
            least = least.max(bounded(M::to_load(self.points[highest] + self.sizes[highest] * error)));
            *peak = least;
        }
    }
}

/// A load: finite and not negative.
fn bounded(load: f32) -> f32 {
    // Written so that NaN becomes 0.
    if load > 0.0 { load.min(MAX_LOAD) } else { 0.0 }
}
