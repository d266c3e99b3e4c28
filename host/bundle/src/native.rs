//! First-party policies compiled into the binary, by name: the same cores as the components, without a sandbox around them. They burn no fuel and
//! have no memory of their own; for what runs many of them for a long time, and trusts them.

use forecasting_kit::ForecastingPolicy;
use isobar_model::{ClusterView, ForecastBatch, ForecastRequest, LoadBatch, Metric, Plan, Relations, ShardId};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};
use placing_kit::PlacementPolicy;
use std::time::Instant;

/// The forecaster of this name, with this configuration (JSON); none where none has that name.
///
/// # Errors
/// [`PolicyFailure::Config`], naming the field.
pub fn native_forecaster(name: &str, config: &str) -> Result<Option<Box<dyn Forecaster>>, PolicyFailure> {
    Ok(Some(match name {
        "arima" => forecaster::<arima::Arima>(config)?,
        "best" => forecaster::<best::Best>(config)?,
        "holt-winters" => forecaster::<holt_winters::HoltWinters>(config)?,
        "lstm" => forecaster::<lstm::Lstm>(config)?,
        "pooled" => forecaster::<pooled::Pooled>(config)?,
        "prophet" => forecaster::<prophet::Prophet>(config)?,
        "seasonal-naive" => forecaster::<seasonal_naive::SeasonalNaive>(config)?,
        "spar" => forecaster::<spar::Spar>(config)?,
        _ => return Ok(None),
    }))
}

/// The placer of this name, with this configuration (JSON); none where none has that name.
///
/// # Errors
/// [`PolicyFailure::Config`], naming the field.
pub fn native_placer(name: &str, config: &str) -> Result<Option<Box<dyn Placer>>, PolicyFailure> {
    Ok(Some(match name {
        "consolidate" => placer::<consolidate::Consolidate>(config)?,
        "predictive" => placer::<predictive::Predictive>(config)?,
        "published-rules" => placer::<published_rules::PublishedRules>(config)?,
        "reactive" => placer::<reactive::Reactive>(config)?,
        "spread" => placer::<spread::Spread>(config)?,
        _ => return Ok(None),
    }))
}

fn forecaster<P: ForecastingPolicy + Send + 'static>(config: &str) -> Result<Box<dyn Forecaster>, PolicyFailure> {
    let policy = P::new(config).map_err(forecast_failure)?;
    Ok(Box::new(NativeForecaster { policy, usage: Usage::default() }))
}

fn placer<P: PlacementPolicy + Send + 'static>(config: &str) -> Result<Box<dyn Placer>, PolicyFailure> {
    let policy = P::new(config).map_err(place_failure)?;
    Ok(Box::new(NativePlacer { policy, usage: Usage::default() }))
}

/// Runs `call` and notes how long it took.
fn timed<T>(usage: &mut Usage, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = call();
    *usage = Usage { wall_us: started.elapsed().as_micros() as u64, ..Usage::default() };
    answer
}

fn forecast_failure(failure: forecasting_kit::Failure) -> PolicyFailure {
    match failure {
        forecasting_kit::Failure::Config(text) => PolicyFailure::Config(text),
        forecasting_kit::Failure::NotReady(text) => PolicyFailure::NotReady(text),
        forecasting_kit::Failure::Other(text) => PolicyFailure::Policy(text),
    }
}

fn place_failure(failure: placing_kit::Failure) -> PolicyFailure {
    match failure {
        placing_kit::Failure::Config(text) => PolicyFailure::Config(text),
        placing_kit::Failure::Other(text) => PolicyFailure::Policy(text),
    }
}

struct NativeForecaster<P> {
    policy: P,
    usage: Usage,
}

impl<P: ForecastingPolicy + Send> Forecaster for NativeForecaster<P> {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        timed(&mut self.usage, || self.policy.observe(batch)).map_err(forecast_failure)
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        timed(&mut self.usage, || self.policy.predict(request)).map_err(forecast_failure)
    }

    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), PolicyFailure> {
        timed(&mut self.usage, || self.policy.relate(metric, relations)).map_err(forecast_failure)
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        timed(&mut self.usage, || self.policy.forget(shards));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        timed(&mut self.usage, || self.policy.save()).map_err(forecast_failure)
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

struct NativePlacer<P> {
    policy: P,
    usage: Usage,
}

impl<P: PlacementPolicy + Send> Placer for NativePlacer<P> {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        timed(&mut self.usage, || self.policy.propose(view)).map_err(place_failure)
    }

    /// Nothing: all that it needs is in the view.
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}
