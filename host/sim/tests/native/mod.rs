//! First-party policies, compiled natively, behind the ports.

use isobar_model::{ClusterView, ForecastBatch, ForecastRequest, LoadBatch, Plan, ShardId};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};
use isobar_sim::{Arms, Scenario};
use placing_kit::PlacementPolicy;
use predictive::Predictive;
use reactive::Reactive;
use seasonal_naive::SeasonalNaive;
use std::sync::Arc;

struct NativeForecaster(SeasonalNaive);

fn failed(failure: impl ToString) -> PolicyFailure {
    PolicyFailure::Policy(failure.to_string())
}

impl Forecaster for NativeForecaster {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        self.0.observe(batch).map_err(failed)
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        self.0.predict(request).map_err(failed)
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        self.0.forget(shards);
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        self.0.save().map_err(failed)
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

struct NativePlacer<P>(P);

impl<P: PlacementPolicy + Send> Placer for NativePlacer<P> {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        self.0.propose(view).map_err(failed)
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// The arms with `seasonal-naive`, `reactive` and `predictive`, configured so.
pub(crate) fn arms(scenario: Arc<Scenario>, reactive: &str, predictive: &str) -> Arms {
    let config = |failure: placing_kit::Failure| PolicyFailure::Config(failure.to_string());
    let (reactive, predictive) = (reactive.to_owned(), predictive.to_owned());
    let clairvoyant = r#"{"transfer_price_s": 1, "move_price_s": 2, "allowance": 1000}"#;
    let arms = Arms::new(
        scenario,
        Arc::new(|| Ok(Box::new(NativeForecaster(SeasonalNaive::new("").map_err(failed)?)))),
        Arc::new(move || Ok(Box::new(NativePlacer(Reactive::new(&reactive).map_err(config)?)))),
        Arc::new(move || Ok(Box::new(NativePlacer(Predictive::new(&predictive).map_err(config)?)))),
    );
    arms.with_clairvoyant(Arc::new(move || Ok(Box::new(NativePlacer(Predictive::new(clairvoyant).map_err(config)?)))))
}
