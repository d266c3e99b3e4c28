//! The native built-in policies: the same cores as the components, linked in, so that a tick always has an answer.

use isobar_model::{ClusterView, ForecastBatch, ForecastRequest, LoadBatch, Plan, ShardId};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};
use placing_kit::PlacementPolicy;
use reactive::Reactive;
use seasonal_naive::SeasonalNaive;
use std::time::Instant;

/// `seasonal-naive` with its default configuration.
#[must_use]
pub fn builtin_forecaster() -> Box<dyn Forecaster> {
    match SeasonalNaive::new("{}") {
        Ok(core) => Box::new(NativeForecaster { core, usage: Usage::default() }),
        Err(failure) => unreachable!("the default configuration is refused: {failure}"),
    }
}

/// `reactive` with its default configuration.
#[must_use]
pub fn builtin_placer() -> Box<dyn Placer> {
    match Reactive::new("{}") {
        Ok(core) => Box::new(NativePlacer { core, usage: Usage::default() }),
        Err(failure) => unreachable!("the default configuration is refused: {failure}"),
    }
}

/// Runs `call` and notes how long it took. Native code burns no fuel and has no memory of its own.
fn timed<T>(usage: &mut Usage, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = call();
    *usage = Usage { wall_us: started.elapsed().as_micros() as u64, ..Usage::default() };
    answer
}

struct NativeForecaster {
    core: SeasonalNaive,
    usage: Usage,
}

fn forecast_failure(failure: forecasting_kit::Failure) -> PolicyFailure {
    match failure {
        forecasting_kit::Failure::Config(text) => PolicyFailure::Config(text),
        forecasting_kit::Failure::NotReady(text) => PolicyFailure::NotReady(text),
        forecasting_kit::Failure::Other(text) => PolicyFailure::Policy(text),
    }
}

impl Forecaster for NativeForecaster {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        timed(&mut self.usage, || self.core.observe(batch)).map_err(forecast_failure)
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        timed(&mut self.usage, || self.core.predict(request)).map_err(forecast_failure)
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        timed(&mut self.usage, || self.core.forget(shards));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        timed(&mut self.usage, || self.core.save()).map_err(forecast_failure)
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

struct NativePlacer {
    core: Reactive,
    usage: Usage,
}

impl Placer for NativePlacer {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        timed(&mut self.usage, || self.core.propose(view)).map_err(|failure| match failure {
            placing_kit::Failure::Config(text) => PolicyFailure::Config(text),
            placing_kit::Failure::Other(text) => PolicyFailure::Policy(text),
        })
    }

    /// Nothing: all that it needs is in the view.
    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}
