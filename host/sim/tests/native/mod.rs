//! First-party policies, compiled natively, behind the ports.

use forecasting_kit::SeriesModel;
use holt_winters::HoltWinters;
use isobar_model::{ClusterView, ForecastBatch, ForecastRequest, LoadBatch, Plan, ShardId};
use isobar_ports::{Forecaster, Placer, PolicyFailure, Usage};
use isobar_sim::{Arms, CLAIRVOYANT_CONFIG, MakeForecaster, MakePlacer, Scenario};
use placing_kit::PlacementPolicy;
use predictive::Predictive;
use reactive::Reactive;
use seasonal_naive::SeasonalNaive;
use std::ops::Range;
use std::sync::Arc;

fn failed(failure: impl ToString) -> PolicyFailure {
    PolicyFailure::Policy(failure.to_string())
}

struct NativeForecaster<M: SeriesModel>(forecasting_kit::Forecaster<M>);

impl<M: SeriesModel> Forecaster for NativeForecaster<M>
where
    forecasting_kit::Forecaster<M>: Send,
{
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

/// Two forecasters that observe alike, the second one serving for a while, as when policies are swapped.
struct Swapped {
    first: Box<dyn Forecaster>,
    second: Box<dyn Forecaster>,
    /// Rounds in which the second one serves.
    swapped: Range<usize>,
    round: usize,
}

impl Forecaster for Swapped {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        self.first.observe(batch)?;
        self.second.observe(batch)
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        let serving = if self.swapped.contains(&self.round) { &mut self.second } else { &mut self.first };
        self.round += 1;
        serving.predict(request)
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        self.first.forget(shards)?;
        self.second.forget(shards)
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        self.first.save()
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// Which forecasters an experiment runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forecasters {
    #[default]
    SeasonalNaive,
    HoltWinters,
    /// As in the demo: the other one serves in the middle third of a window.
    Swapped,
}

impl std::str::FromStr for Forecasters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "seasonal-naive" => Ok(Self::SeasonalNaive),
            "holt-winters" => Ok(Self::HoltWinters),
            "swapped" => Ok(Self::Swapped),
            _ => Err(format!("`{text}` is none of seasonal-naive, holt-winters, swapped")),
        }
    }
}

impl Forecasters {
    pub(crate) fn make(self, window_steps: usize) -> MakeForecaster {
        let naive = || -> Result<Box<dyn Forecaster>, PolicyFailure> {
            Ok(Box::new(NativeForecaster(SeasonalNaive::new("").map_err(failed)?)))
        };
        let smoothed = || -> Result<Box<dyn Forecaster>, PolicyFailure> {
            Ok(Box::new(NativeForecaster(HoltWinters::new("").map_err(failed)?)))
        };
        match self {
            Self::SeasonalNaive => Arc::new(naive),
            Self::HoltWinters => Arc::new(smoothed),
            Self::Swapped => Arc::new(move || {
                let swapped = window_steps / 3..2 * window_steps / 3;
                Ok(Box::new(Swapped { first: naive()?, second: smoothed()?, swapped, round: 0 }))
            }),
        }
    }
}

/// A placer's core.
pub(crate) struct NativePlacer<P>(pub(crate) P);

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

/// A first-party placer with this configuration.
pub(crate) fn placer<P: PlacementPolicy + Send + 'static>(config: &str) -> MakePlacer {
    let (config, failed) =
        (config.to_owned(), |failure: placing_kit::Failure| PolicyFailure::Config(failure.to_string()));
    Arc::new(move || Ok(Box::new(NativePlacer(P::new(&config).map_err(failed)?))))
}

/// The arms with these forecasters, and `reactive` and `predictive` configured so.
pub(crate) fn arms(scenario: Arc<Scenario>, forecasters: Forecasters, reactive: &str, predictive: &str) -> Arms {
    let forecaster = forecasters.make(scenario.spec.window_steps);
    Arms::new(scenario, forecaster, placer::<Reactive>(reactive), placer::<Predictive>(predictive))
        .with_clairvoyant(placer::<Predictive>(CLAIRVOYANT_CONFIG))
}
