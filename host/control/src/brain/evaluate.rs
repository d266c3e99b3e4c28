//! Asking the policies: feeding, opening again, falling back, recording.

use super::saved::Saved;
use super::seats::Reseated;
use super::{Bound, Brain, BrainEvent, Forecasts};
use crate::decision::{Blobs, ForecastInput, Reopened, Shown, evaluation};
use isobar_analyzer::{Answerer, BandStanding, History};
use isobar_model::{
    ClusterView, Digest, EvaluationRecord, ForecastAnswerer, ForecastBatch, ForecastRequest, LoadBatch, Metric, Plan,
    Role, ShardId,
};
use isobar_ports::{Forecaster, PolicyFailure, Usage};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Rows of one batch of stored history. The contract allows 256; few rows keep a guest's memory flat, and so many may each
/// be fitted a model in one call.
pub(super) const OBSERVED_ROWS: usize = 32;
/// Up to so many steps are shown in one batch, as every tick's are.
const STEPS_AT_ONCE: u64 = 12;

/// Shows a forecaster all closed steps of these shards from `from` on; gives what it showed.
pub(super) fn feed(
    forecaster: &mut dyn Forecaster,
    history: &History,
    shards: impl IntoIterator<Item = ShardId>,
    from: u64,
) -> Result<Vec<LoadBatch>, PolicyFailure> {
    let at_once = history.end().saturating_sub(from) <= STEPS_AT_ONCE;
    let batches = history.batches(shards, from, if at_once { usize::MAX } else { OBSERVED_ROWS });
    for batch in &batches {
        // One that observed a part only would see the rest of it twice: no lack of history, a failure.
        forecaster.observe(batch).map_err(|failure| match failure {
            PolicyFailure::NotReady(why) => PolicyFailure::Policy(format!("does not observe: {why}")),
            PolicyFailure::Config(_)
            | PolicyFailure::Policy(_)
            | PolicyFailure::Trapped(_)
            | PolicyFailure::Deadline { .. }
            | PolicyFailure::OutOfFuel { .. }
            | PolicyFailure::Invalid(_)
            | PolicyFailure::Unavailable(_) => failure,
        })?;
    }
    Ok(batches)
}

/// The same question about these shards.
pub(super) fn asked_of(request: &ForecastRequest, shards: impl IntoIterator<Item = ShardId>) -> ForecastRequest {
    ForecastRequest { shards: shards.into_iter().collect(), quantiles: request.quantiles.clone(), ..*request }
}

fn of_rows(request: &ForecastRequest, rows: &[usize]) -> ForecastRequest {
    asked_of(request, rows.iter().filter_map(|row| request.shards.get(*row).copied()))
}

/// A forecast that a policy made.
struct Made {
    batch: ForecastBatch,
    input: ForecastInput,
    usage: Usage,
}

impl Brain {
    /// What a forecaster is asked about these shards.
    pub(super) fn request(&self, shards: Vec<ShardId>) -> ForecastRequest {
        ForecastRequest {
            metric: Metric::Load,
            shards,
            horizon: self.config.horizon_steps,
            quantiles: self.config.quantiles.clone(),
            peak_steps: self.config.peak_steps.min(self.config.horizon_steps),
        }
    }

    /// Forecasts all shards with history by the native forecaster, and by the bound one those it may be asked about; of both the better founded
    /// is put in force, shard by shard.
    pub(super) fn forecast_all(&mut self, blobs: &mut Blobs, events: &mut Vec<BrainEvent>) -> EvaluationRecord {
        let known: Vec<ShardId> = self.history.shards().filter(|&shard| self.history.knows(shard)).collect();
        let request = self.request(known);
        let end = self.history.end();
        let start = self.history.start_of(end);
        let steps = request.horizon as usize;
        self.stale = false;

        let native = self.ask_native(&request);
        self.builtin_score.expect(end, &request.shards, steps, &native.batch.values);
        self.builtin_score.expect_peaks(end, &request.shards, request.peak_steps, &native.batch.peaks);
        self.builtin_forecasts = Forecasts::new(None, None, start, request.clone(), Arc::new(native.batch.clone()));

        let asked = self.forecaster.to_ask().cloned();
        let answer = match &asked {
            Some(bound) if !request.shards.is_empty() => Some(self.ask_bound(bound, &request, &native.batch)),
            Some(_) | None => None,
        };
        let (made, by, whole) = match answer {
            Some(Ok((made, rows))) => {
                self.forecaster.answered(events);
                self.score.expect(end, &made.input.request.shards, steps, &made.batch.values);
                self.score.expect_peaks(end, &made.input.request.shards, request.peak_steps, &made.batch.peaks);
                let (batch, others) = self.guarded(end, &request, &rows, &made, &native.batch, events);
                let whole = (Arc::new(batch), others);
                self.save_now_and_then(events);
                (made, asked, whole)
            }
            Some(Err(failure)) => {
                self.forecaster.failed(&failure, events);
                // Its next instance is asked at the next tick, not only when a step closes.
                self.stale = self.forecaster.instance.is_none() && self.forecaster.to_ask().is_some();
                let whole = (Arc::clone(&self.builtin_forecasts.batch), HashMap::new());
                (native, None, whole)
            }
            None => {
                let whole = (Arc::clone(&self.builtin_forecasts.batch), HashMap::new());
                (native, None, whole)
            }
        };
        let fallback = self.forecaster.fallback.clone();
        let record = evaluation(
            Role::Forecast,
            by.as_ref(),
            blobs.note(&made.input),
            blobs.note(&made.batch),
            made.usage,
            fallback.clone(),
        );
        let (batch, others) = whole;
        self.forecasts = Forecasts::new(by, fallback, start, request, batch).with_others(others);
        self.expect_ranks();
        record
    }

    /// The rows of a request, hottest first, by what the native forecaster fears of them.
    fn hottest_rows(request: &ForecastRequest, native: &ForecastBatch) -> Vec<usize> {
        let width = request.quantiles.len() * request.horizon as usize;
        let feared = |row: usize| {
            let paths = native.values.get(row * width..(row + 1) * width).unwrap_or_default();
            paths.iter().copied().fold(0.0f32, f32::max)
        };
        let mut hottest: Vec<(f32, usize)> = (0..request.shards.len()).map(|row| (feared(row), row)).collect();
        hottest.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
        hottest.into_iter().map(|(_, row)| row).collect()
    }

    /// Shards with history, hottest first: by what the native forecaster feared of them last; before it was asked, by their last values.
    pub(super) fn hottest_shards(&self) -> Vec<ShardId> {
        let end = self.history.end();
        let heat = |shard: ShardId| {
            let feared = self.builtin_forecasts.paths(shard);
            let feared = feared.map(|paths| paths.iter().copied().fold(0.0f32, f32::max));
            let last = || self.history.value(shard, end.saturating_sub(1)).max(0.0);
            feared.unwrap_or_else(last)
        };
        let known = self.history.shards().filter(|&shard| self.history.knows(shard));
        let mut hottest: Vec<(f32, ShardId)> = known.map(|shard| (heat(shard), shard)).collect();
        hottest.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
        hottest.into_iter().map(|(_, shard)| shard).collect()
    }

    /// The native forecast of all shards with the policy's in its place where the policy was asked and its guard lets it answer; and who
    /// answered for the rest.
    fn guarded(
        &mut self,
        end: u64,
        request: &ForecastRequest,
        rows: &[usize],
        made: &Made,
        native: &ForecastBatch,
        events: &mut Vec<BrainEvent>,
    ) -> (ForecastBatch, HashMap<ShardId, ForecastAnswerer>) {
        let asked = &made.input.request;
        let gate = native.of_rows(request, rows);
        let mut others = HashMap::new();
        let answer = match &mut self.guards {
            Some(guards) => {
                guards.expect(end, asked, &made.batch, &gate);
                let yields = |band: &BandStanding| band.answerer == Answerer::Gate;
                for &shard in &asked.shards {
                    if guards.standing(shard).iter().any(yields) {
                        others.insert(shard, ForecastAnswerer::Guarded);
                    }
                }
                guards.answer(asked, &made.batch, &gate)
            }
            None => made.batch.clone(),
        };
        self.note_outscored(asked, events);
        let mut whole = native.clone();
        whole.put_rows(request, rows, &answer);
        let asked: HashSet<ShardId> = asked.shards.iter().copied().collect();
        let unasked = request.shards.iter().filter(|shard| !asked.contains(shard));
        others.extend(unasked.map(|shard| (*shard, ForecastAnswerer::Unasked)));
        (whole, others)
    }

    /// Asks for a plan: of the bound placer, or where it fails of the native one.
    pub(super) fn propose(
        &mut self,
        view: &ClusterView,
        blobs: &mut Blobs,
        events: &mut Vec<BrainEvent>,
    ) -> (Plan, EvaluationRecord) {
        let input = blobs.note(view);
        if let Some(bound) = self.placer.to_ask().cloned() {
            match self.ask_placer(&bound, view) {
                Ok((plan, usage)) => {
                    self.placer.answered(events);
                    self.save_placer(events);
                    let record = evaluation(Role::Place, Some(&bound), input, blobs.note(&plan), usage, None);
                    return (plan, record);
                }
                Err(failure) => self.placer.failed(&failure, events),
            }
        }
        let fallback = self.placer.bound.as_ref().and(self.placer.fallback.clone());
        match self.builtin_placer.propose(view) {
            Ok(plan) => {
                let usage = self.builtin_placer.usage();
                let record = evaluation(Role::Place, None, input, blobs.note(&plan), usage, fallback);
                (plan, record)
            }
            // Without any answer nothing moves.
            Err(failure) => {
                let plan = Plan { moves: Vec::new(), notes: vec![format!("no plan: {failure}")] };
                let record = evaluation(
                    Role::Place,
                    None,
                    input,
                    blobs.note(&plan),
                    Usage::default(),
                    Some(failure.to_string()),
                );
                (plan, record)
            }
        }
    }

    /// The state of the serving forecaster, with the step it has seen up to and the shards it knows.
    pub(super) fn save_forecaster(&mut self) -> Option<Saved> {
        let (through, shards) = (self.forecaster.fed, self.seats.taken().collect());
        let bytes = self.forecaster.instance.as_mut()?.save().ok();
        // A save that failed may have killed the instance; the last good one will do.
        bytes.map(|bytes| Saved { bytes, through, shards }).or_else(|| self.forecaster.saved.clone())
    }

    /// Has the bound forecaster look at all that is new and forecast the shards it serves; gives which rows of the request these are, ascending.
    fn ask_bound(
        &mut self,
        bound: &Bound,
        request: &ForecastRequest,
        native: &ForecastBatch,
    ) -> Result<(Made, Vec<usize>), PolicyFailure> {
        let _span =
            tracing::info_span!("evaluation", role = "forecast", policy = %bound.name, revision = %bound.digest)
                .entered();
        let reopened = if self.forecaster.instance.is_none() { Some(self.reopen(bound)?) } else { None };
        let (end, fed) = (self.history.end(), self.forecaster.fed);
        let Some(instance) = &mut self.forecaster.instance else {
            return Err(PolicyFailure::Unavailable("the instance did not open".into()));
        };
        let observed = feed(instance.as_mut(), &self.history, self.seats.taken(), fed)?;
        self.forecaster.fed = end;

        let hottest = Self::hottest_rows(request, native);
        let hottest_shards: Vec<ShardId> = hottest.iter().filter_map(|row| request.shards.get(*row).copied()).collect();
        let fuel = self.config.forecast_fuel;
        let Reseated { joined, left, more_to_come } =
            self.seats.reseat(&hottest_shards, |shard| self.history.kept(shard), fuel);
        if !left.is_empty() {
            instance.forget(&left)?;
        }
        if let Some(batch) = feed(instance.as_mut(), &self.history, joined.iter().copied(), 0)?.last() {
            self.seats.note_observed(instance.usage().fuel, batch.values.len());
        }
        let related = self.seeker.news_for(reopened.is_some() || !joined.is_empty());
        if let Some(relations) = &related {
            instance.relate(request.metric, relations)?;
        }
        let seated = hottest.into_iter().filter(|row| self.seats.holds(request.shards[*row]));
        let mut rows: Vec<usize> = seated.take(self.seats.allowed(fuel)).collect();
        rows.sort_unstable();
        let request = of_rows(request, &rows);
        let batch = instance.predict(&request)?;
        fits(&batch, &request)?;
        let usage = instance.usage();
        self.seats.note_forecast(usage.fuel, rows.len());
        // Those that wait have their turn at the next tick, not only when a step closes.
        self.stale |= more_to_come;
        let observed = if reopened.is_some() { Vec::new() } else { observed };
        let joined = (!joined.is_empty()).then(|| self.shown(joined, 0));
        Ok((Made { batch, input: ForecastInput { reopened, observed, left, joined, related, request }, usage }, rows))
    }

    /// Opens the bound forecaster from its last good save, else empty; it is fed the rest of the history next.
    fn reopen(&mut self, bound: &Bound) -> Result<Reopened, PolicyFailure> {
        let saved = self.forecaster.saved.clone().and_then(|saved| {
            let instance = self.host.forecaster(&bound.digest, &bound.config, Some(&saved.bytes)).ok()?;
            Some((instance, saved))
        });
        let (instance, fed, shards, saved) = match saved {
            Some((instance, saved)) => (instance, saved.through, saved.shards, Some(Digest::of(&saved.bytes))),
            None => (self.host.forecaster(&bound.digest, &bound.config, None)?, 0, Vec::new(), None),
        };
        self.forecaster.instance = Some(instance);
        self.forecaster.fed = fed;
        self.seats.start_over(shards.iter().copied());
        Ok(Reopened { saved, shown: self.shown(shards, fed) })
    }

    /// What an instance is shown of shards of which it has seen the steps before `fed`.
    fn shown(&self, shards: Vec<ShardId>, fed: u64) -> Shown {
        let (from, to) = (self.history.start_of(fed), self.history.start_of(self.history.end()));
        let withheld = self.withheld_from(from).into_iter().filter(|(shard, _)| shards.contains(shard)).collect();
        Shown { shards, from, to, withheld }
    }

    fn ask_native(&mut self, request: &ForecastRequest) -> Made {
        // The whole of the history need not be told again: it is stored.
        let all = || Reopened { saved: None, shown: self.shown(self.history.shards().collect(), 0) };
        let reopened = (self.builtin_forecaster.fed == 0).then(all);
        let input = |observed| ForecastInput {
            reopened,
            observed,
            left: Vec::new(),
            joined: None,
            related: None,
            request: request.clone(),
        };
        if request.shards.is_empty() {
            return Made { batch: ForecastBatch::default(), input: input(Vec::new()), usage: Usage::default() };
        }
        match self.native_answer(request) {
            Ok((batch, observed, usage)) => Made { batch, input: input(observed), usage },
            Err(failure) => {
                tracing::warn!(%failure, "the native forecaster failed, load is taken to go on as it is");
                self.builtin_forecaster.start_over();
                Made { batch: self.as_it_is(request), input: input(Vec::new()), usage: Usage::default() }
            }
        }
    }

    fn native_answer(
        &mut self,
        request: &ForecastRequest,
    ) -> Result<(ForecastBatch, Vec<LoadBatch>, Usage), PolicyFailure> {
        let slot = &mut self.builtin_forecaster;
        let instance = slot.instance.get_or_insert_with(|| self.host.builtin_forecaster());
        let observed = feed(instance.as_mut(), &self.history, self.history.shards(), slot.fed)?;
        let all_at_once = std::mem::replace(&mut slot.fed, self.history.end()) == 0;
        let batch = instance.predict(request)?;
        fits(&batch, request)?;
        Ok((batch, if all_at_once { Vec::new() } else { observed }, instance.usage()))
    }

    /// The forecast that needs nothing: each shard goes on as it last was.
    fn as_it_is(&self, request: &ForecastRequest) -> ForecastBatch {
        let last = |shard: ShardId| {
            let kept = self.history.spec().keep_steps as u64;
            let steps = (self.history.end().saturating_sub(kept)..self.history.end()).rev();
            steps.map(|step| self.history.value(shard, step)).find(|v| v.is_finite()).unwrap_or(0.0)
        };
        let (quantiles, horizon) = (request.quantiles.len(), request.horizon as usize);
        let mut batch = ForecastBatch::default();
        for &shard in &request.shards {
            let load = last(shard);
            batch.values.extend(std::iter::repeat_n(load, quantiles * horizon));
            if request.peak_steps > 0 {
                batch.peaks.extend(std::iter::repeat_n(load, quantiles));
            }
        }
        batch
    }

    fn ask_placer(&mut self, bound: &Bound, view: &ClusterView) -> Result<(Plan, Usage), PolicyFailure> {
        let _span =
            tracing::info_span!("evaluation", role = "place", policy = %bound.name, revision = %bound.digest).entered();
        if self.placer.instance.is_none() {
            let from_save = self
                .placer
                .saved
                .as_ref()
                .and_then(|saved| self.host.placer(&bound.digest, &bound.config, Some(&saved.bytes)).ok());
            let instance = match from_save {
                Some(instance) => instance,
                None => self.host.placer(&bound.digest, &bound.config, None)?,
            };
            self.placer.instance = Some(instance);
        }
        let Some(instance) = &mut self.placer.instance else {
            return Err(PolicyFailure::Unavailable("the instance did not open".into()));
        };
        let plan = instance.propose(view)?;
        Ok((plan, instance.usage()))
    }

    /// Saves after the first answer, then each time so many steps were served.
    fn save_now_and_then(&mut self, events: &mut Vec<BrainEvent>) {
        let through = self.forecaster.fed;
        if !self.forecaster.is_save_due(self.config.save_every_steps) {
            return;
        }
        let Some(answer) = self.forecaster.instance.as_mut().map(|instance| instance.save()) else { return };
        let answer = answer.map(|bytes| Saved { bytes, through, shards: self.seats.taken().collect() });
        if let Ok(saved) = &answer {
            self.seats.note_saved(saved.bytes.len());
        }
        self.forecaster.saved_as(answer, events);
    }

    fn save_placer(&mut self, events: &mut Vec<BrainEvent>) {
        if !self.placer.is_save_due(self.config.save_every_steps) {
            return;
        }
        let Some(answer) = self.placer.instance.as_mut().map(|instance| instance.save()) else { return };
        let through = self.history.end();
        self.placer.saved_as(answer.map(|bytes| Saved { bytes, through, shards: Vec::new() }), events);
    }

    /// Says once when the native forecaster answers for most of what was judged.
    fn note_outscored(&mut self, asked: &ForecastRequest, events: &mut Vec<BrainEvent>) {
        let Some(guards) = &self.guards else { return };
        let least = guards.spec().least_evidence;
        let judged = asked.shards.iter().flat_map(|shard| guards.standing(*shard)).filter(|b| b.evidence >= least);
        let (judged, yielded) = judged.fold((0usize, 0usize), |(judged, yielded), band| {
            (judged + 1, yielded + usize::from(band.answerer == Answerer::Gate))
        });
        let outscored = 2 * yielded > judged;
        if outscored {
            self.forecaster.fallback =
                Some(format!("outscored by the native forecaster on {yielded} of {judged} shards and horizons"));
        }
        if let (true, false, Some(bound)) = (outscored, self.outscored, &self.forecaster.bound) {
            let (role, policy, revision) = (Role::Forecast, bound.name.clone(), bound.digest);
            events.push(BrainEvent::PolicyOutscored { role, policy, revision, judged, yielded });
        }
        self.outscored = outscored;
    }
}

/// The policy host checks all of this; a native policy does not pass through it.
fn fits(batch: &ForecastBatch, request: &ForecastRequest) -> Result<(), PolicyFailure> {
    let paths = request.shards.len() * request.quantiles.len();
    let peaks = if request.peak_steps == 0 { 0 } else { paths };
    let (values, asked) = (batch.values.len(), paths * request.horizon as usize);
    if values != asked || batch.peaks.len() != peaks {
        let got = batch.peaks.len();
        return Err(PolicyFailure::Invalid(format!("{values} values and {got} peaks, {asked} and {peaks} asked")));
    }
    let is_bad = |v: &f32| !v.is_finite() || *v < 0.0;
    // In whole chunks, which vectors do: each tick brings hundreds of thousands.
    let chunks = batch.values.chunks(1_024).chain(batch.peaks.chunks(1_024));
    let mut bad = chunks.filter(|chunk| chunk.iter().fold(false, |bad, v| bad | is_bad(v)));
    match bad.next().and_then(|chunk| chunk.iter().find(|v| is_bad(v))) {
        Some(bad) => Err(PolicyFailure::Invalid(format!("a forecast of {bad}"))),
        None => Ok(()),
    }
}
