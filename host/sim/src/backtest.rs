//! A forecaster run over a recorded series as if it were live: at each origin it has seen what came before, and nothing else.

use isobar_analyzer::track::{LEVELS, LOWER_PEAK_LEVEL, PEAK_LEVEL, Series, TrackForecast};
use isobar_analyzer::{Answerer, GuardSpec, Guards};
use isobar_model::{ForecastBatch, ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use isobar_ports::{Forecaster, PolicyFailure};
use std::collections::{BTreeMap, BTreeSet};

/// Days before the first origin from which on the guard looks on. A live one has looked on for longer; its sums fade to half in three days.
const GUARD_DAYS: usize = 7;

/// What came of a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtested {
    /// The policy's forecasts, by origin.
    pub raw: Vec<TrackForecast>,
    /// The same with the gate in its place where the guard says so, or where the policy did not answer; empty without a gate.
    pub guarded: Vec<TrackForecast>,
    /// Horizons at origins that the gate answered for, of those that were guarded.
    pub gated: usize,
    /// Why a forecast is missing, with the origin: after a failure that kills the instance, all later ones are.
    pub failures: Vec<(usize, PolicyFailure)>,
}

/// Runs `policy`, new and empty, over all origins of `series`, which it knows as `shard`. With a `gate` (new and empty, too) both forecast now and
/// then in the days before and between origins, so that the guard's state at an origin is what it would be live.
pub fn backtest(
    series: &Series,
    shard: ShardId,
    policy: &mut dyn Forecaster,
    gate: Option<&mut dyn Forecaster>,
) -> Backtested {
    let mut run = Run {
        series,
        shard,
        policy: Seat::new(policy),
        gate: gate.map(|gate| Gate { seat: Seat::new(gate), guards: Guards::new(guard_spec(series)) }),
        seen: 0,
        out: Backtested::default(),
    };
    for (stop, is_origin) in run.stops() {
        run.go_to(stop);
        if is_origin {
            run.forecast(stop);
        }
        run.tell_guard(stop);
    }
    run.out
}

/// The steps `from..to` of a series as a forecaster is shown them.
#[must_use]
pub fn batch(series: &Series, shard: ShardId, from: usize, to: usize) -> LoadBatch {
    let step_ms = series.step_s.saturating_mul(1_000);
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(series.start_s * 1_000 + from as u64 * u64::from(step_ms)),
        step_ms,
        steps: (to - from) as u32,
        shards: vec![shard],
        values: series.y[from..to].iter().map(|load| *load as f32).collect(),
    }
}

/// What a forecaster is asked at an origin: the quantiles that are scored.
#[must_use]
pub fn request(shard: ShardId, horizon: usize, peak_steps: usize) -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: vec![shard],
        horizon: horizon as u32,
        quantiles: LEVELS.map(|(_, level)| level).to_vec(),
        peak_steps: peak_steps as u32,
    }
}

fn guard_spec(series: &Series) -> GuardSpec {
    GuardSpec::daily(LEVELS.map(|(_, level)| level).to_vec(), series.day_steps as u32, series.horizon() as u32)
}

/// A forecaster, and whether it lives.
struct Seat<'a> {
    forecaster: &'a mut dyn Forecaster,
    dead: Option<PolicyFailure>,
}

impl<'a> Seat<'a> {
    fn new(forecaster: &'a mut dyn Forecaster) -> Self {
        Self { forecaster, dead: None }
    }

    fn observe(&mut self, batch: &LoadBatch) {
        // One that missed a batch knows another past than the series': it is out for good.
        if self.dead.is_none() {
            self.dead = self.forecaster.observe(batch).err();
        }
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        match &self.dead {
            Some(failure) => Err(failure.clone()),
            None => self.forecaster.predict(request),
        }
    }
}

struct Gate<'a> {
    seat: Seat<'a>,
    guards: Guards,
}

struct Run<'a> {
    series: &'a Series,
    shard: ShardId,
    policy: Seat<'a>,
    gate: Option<Gate<'a>>,
    /// Steps shown so far.
    seen: usize,
    out: Backtested,
}

impl Run<'_> {
    /// Where to stop, and whether it is an origin.
    fn stops(&self) -> BTreeMap<usize, bool> {
        let mut stops = BTreeSet::new();
        if let (Some(gate), Some(first), Some(last)) =
            (&self.gate, self.series.origins.first(), self.series.origins.last())
        {
            let from = first.saturating_sub(GUARD_DAYS * self.series.day_steps).max(1);
            stops.extend((from..*last).filter(|step| gate.guards.spec().keeps(*step as u64)));
        }
        let mut stops: BTreeMap<usize, bool> = stops.into_iter().map(|stop| (stop, false)).collect();
        stops.extend(self.series.origins.iter().map(|origin| (*origin, true)));
        stops
    }

    /// Shows both the steps up to `stop`.
    fn go_to(&mut self, stop: usize) {
        let batch = batch(self.series, self.shard, self.seen, stop);
        self.policy.observe(&batch);
        if let Some(gate) = &mut self.gate {
            gate.seat.observe(&batch);
            for (step, load) in (self.seen..stop).zip(&batch.values) {
                gate.guards.occurred(step as u64, |_| *load);
            }
        }
        self.seen = stop;
    }

    /// Both forecast for the guard, where it keeps forecasts of this step.
    fn tell_guard(&mut self, stop: usize) {
        let Some(gate) = self.gate.as_mut().filter(|gate| gate.guards.spec().keeps(stop as u64)) else { return };
        let request = request(self.shard, self.series.horizon(), 0);
        if let (Ok(policy), Ok(theirs)) = (self.policy.predict(&request), gate.seat.predict(&request)) {
            gate.guards.expect(stop as u64, &request, &policy, &theirs);
        }
    }

    fn forecast(&mut self, origin: usize) {
        let mut raw = Answers::new(self.series, origin);
        let mut guarded = Answers::new(self.series, origin);
        let mut failure = None;
        for &steps in &self.series.horizons {
            let request = request(self.shard, self.series.horizon(), steps);
            let ours = self.policy.predict(&request);
            let ms = self.policy.forecaster.usage().wall_us as f64 / 1e3;
            if let Some(gate) = &mut self.gate {
                let theirs = gate.seat.predict(&request);
                let by_gate = match (&ours, &theirs) {
                    (Ok(ours), Ok(theirs)) => {
                        guarded.add(&request, &gate.guards.answer(&request, ours, theirs), ms);
                        gate.guards.answerer(self.shard, steps as u32) == Answerer::Gate
                    }
                    (Ok(ours), Err(_)) => {
                        guarded.add(&request, ours, ms);
                        false
                    }
                    (Err(_), Ok(theirs)) => {
                        guarded.add(&request, theirs, ms);
                        true
                    }
                    (Err(_), Err(_)) => false,
                };
                self.out.gated += usize::from(by_gate);
            }
            match ours {
                Ok(ours) => raw.add(&request, &ours, ms),
                Err(why) => failure = Some(why),
            }
        }
        self.out.failures.extend(failure.map(|failure| (origin, failure)));
        self.out.raw.extend(raw.forecast);
        self.out.guarded.extend(guarded.forecast);
    }
}

/// The answers at one origin, one a horizon: they differ in the peak that was asked for.
struct Answers<'a> {
    series: &'a Series,
    origin: usize,
    forecast: Option<TrackForecast>,
}

impl<'a> Answers<'a> {
    fn new(series: &'a Series, origin: usize) -> Self {
        Self { series, origin, forecast: None }
    }

    fn add(&mut self, request: &ForecastRequest, batch: &ForecastBatch, ms: f64) {
        let forecast = self.forecast.get_or_insert_with(|| TrackForecast {
            id: self.series.id.clone(),
            origin: self.origin,
            paths: [const { Vec::new() }; LEVELS.len()],
            peaks: BTreeMap::new(),
            lower_peaks: BTreeMap::new(),
            ms: None,
        });
        for (q, path) in forecast.paths.iter_mut().enumerate() {
            *path = batch.path(request, 0, q).iter().map(|value| written(*value)).collect();
        }
        let steps = request.peak_steps as usize;
        if let Some(peak) = batch.peaks.get(PEAK_LEVEL) {
            forecast.peaks.insert(steps, written(*peak));
        }
        if let Some(peak) = batch.peaks.get(LOWER_PEAK_LEVEL) {
            forecast.lower_peaks.insert(steps, written(*peak));
        }
        forecast.ms = Some(ms);
    }
}

/// The double that the value's shortest decimal stands for: what a load of 0.7 was, and what a file of forecasts says.
fn written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests;
