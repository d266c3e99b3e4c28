use crate::failure::Failure;
use crate::forecaster::Forecaster;
use crate::series_model::SeriesModel;
use isobar_model::{ForecastBatch, ForecastRequest, LoadBatch, Metric, Relations, ShardId};

/// A forecasting policy as the contract sees it. [`Forecaster`] is one of any model of one series; what learns across shards is one itself.
pub trait ForecastingPolicy: Sized {
    /// The policy's name.
    const NAME: &'static str;
    /// The policy's version.
    const VERSION: &'static str;
    /// JSON Schema (draft 2020-12) of the configuration.
    const CONFIG_SCHEMA: &'static str;

    /// A policy that has seen nothing. `config` is JSON; empty text stands for `{}`.
    ///
    /// # Errors
    /// [`Failure::Config`], naming the field.
    fn new(config: &str) -> Result<Self, Failure>;
    /// Shows it steps. Those of a shard that it has seen already are passed over; a gap counts as missing.
    ///
    /// # Errors
    /// [`Failure::Other`] where the batch contradicts itself or an earlier one; nothing was learnt then.
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), Failure>;
    /// Quantiles of the load to come. A shard never observed is expected to stay at 0.
    ///
    /// # Errors
    /// [`Failure::NotReady`] where none of the shards was ever observed; [`Failure::Other`] for a request outside the contract.
    fn predict(&self, request: &ForecastRequest) -> Result<ForecastBatch, Failure>;
    /// Takes in what was found of shards together, in place of what was said before of this metric.
    ///
    /// # Errors
    /// [`Failure::Other`] for what can't be; nothing has changed then.
    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), Failure>;
    /// Drops shards that are gone for ever.
    fn forget(&mut self, shards: &[ShardId]);
    /// Everything that [`restore`](Self::restore) needs to go on from here.
    ///
    /// # Errors
    /// [`Failure::Other`] where it would be over the contract's limit: the next instance is then to observe the history again.
    fn save(&self) -> Result<Vec<u8>, Failure>;
    /// Takes up where [`save`](Self::save) left off, in place of anything observed before.
    ///
    /// # Errors
    /// Why the bytes are no state of this policy and format; nothing has changed then.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
}

impl<M: SeriesModel> ForecastingPolicy for Forecaster<M> {
    const NAME: &'static str = M::NAME;
    const VERSION: &'static str = M::VERSION;
    const CONFIG_SCHEMA: &'static str = M::CONFIG_SCHEMA;

    fn new(config: &str) -> Result<Self, Failure> {
        Self::new(config)
    }

    fn observe(&mut self, batch: &LoadBatch) -> Result<(), Failure> {
        self.observe(batch)
    }

    fn predict(&self, request: &ForecastRequest) -> Result<ForecastBatch, Failure> {
        self.predict(request)
    }

    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), Failure> {
        self.relate(metric, relations)
    }

    fn forget(&mut self, shards: &[ShardId]) {
        self.forget(shards);
    }

    fn save(&self) -> Result<Vec<u8>, Failure> {
        self.save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        self.restore(saved)
    }
}
