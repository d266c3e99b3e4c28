use crate::config::Config;
use crate::pool::Pool;
use crate::terms::Terms;
use forecasting_kit::{Failure, ForecastingPolicy, Scratch, answer, first_step, observed, read_config, seal, unseal};
use isobar_model::{ForecastBatch, ForecastRequest, LoadBatch, Metric, Relations, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of the saved state's format.
const FORMAT: u16 = 1;

/// The policy: observes and predicts many shards together.
///
/// Of a tick, neither the order of shards nor how they are split into batches makes a difference. Of batches of many steps it does: a
/// shard shown later sees what those before it did, they don't see it.
#[derive(Debug)]
pub struct Pooled {
    config: Config,
    /// Known with the first batch.
    terms: Option<Terms>,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Length of a step, milliseconds; 0 before the first batch.
    step_ms: u32,
    pools: BTreeMap<Metric, Pool>,
}

impl ForecastingPolicy for Pooled {
    const NAME: &'static str = "pooled";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: &str) -> Result<Self, Failure> {
        let config: Config = read_config(config)?;
        config.check().map_err(Failure::Config)?;
        Ok(Self { config, terms: None, state: State::default() })
    }

    fn observe(&mut self, batch: &LoadBatch) -> Result<(), Failure> {
        let first = first_step(batch, self.state.step_ms)?;
        self.state.step_ms = batch.step_ms;
        let terms = self.terms.get_or_insert_with(|| Terms::new(batch.step_ms, &self.config));
        let pool = self.state.pools.entry(batch.metric).or_default();
        pool.admit(terms, &batch.shards, first);
        // Step by step, as ticks are: shards see each other.
        for ahead in 0..batch.steps as usize {
            let step = first + ahead as u64;
            pool.turn_to(terms, step);
            for (row, shard) in batch.shards.iter().enumerate() {
                pool.observe(terms, *shard, step, observed(batch.row(row)[ahead]));
            }
        }
        Ok(())
    }

    fn predict(&self, request: &ForecastRequest) -> Result<ForecastBatch, Failure> {
        let pool = self.terms.as_ref().zip(self.state.pools.get(&request.metric));
        let mut scratch = Scratch::default();
        answer(request, |shard, values, peaks| {
            pool.is_some_and(|(terms, pool)| pool.forecast(terms, shard, request, &mut scratch, values, peaks))
        })
    }

    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), Failure> {
        self.state.pools.entry(metric).or_default().relate(self.terms.as_ref(), relations)
    }

    fn forget(&mut self, shards: &[ShardId]) {
        self.state.pools.values_mut().for_each(|pool| pool.forget(shards));
    }

    fn save(&self) -> Result<Vec<u8>, Failure> {
        seal(Self::NAME, FORMAT, &self.state)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let state: State = unseal(Self::NAME, FORMAT, saved)?;
        let terms = (state.step_ms != 0).then(|| Terms::new(state.step_ms, &self.config));
        let sound = match &terms {
            Some(terms) => state.pools.values().all(|pool| pool.is_empty() || pool.is_sound(terms)),
            None => state.pools.values().all(Pool::is_empty),
        };
        if !sound {
            return Err("the saved state does not fit this configuration: observe the history again instead".to_owned());
        }
        (self.state, self.terms) = (state, terms);
        Ok(())
    }
}
