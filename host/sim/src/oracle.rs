//! The forecaster that knows: what a placer could do with perfect forecasts.

use crate::scenario::Scenario;
use isobar_model::{ForecastBatch, ForecastRequest, LoadBatch, ShardId};
use isobar_ports::{Forecaster, PolicyFailure, Usage};
use std::sync::Arc;

/// Answers with the load that will be, every quantile alike. Past the trace's end the last day repeats.
#[derive(Clone, Debug)]
pub struct Oracle {
    scenario: Arc<Scenario>,
    /// The first step not yet observed.
    next: usize,
}

impl Oracle {
    /// An oracle that has observed nothing.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>) -> Self {
        Self { scenario, next: 0 }
    }
}

impl Forecaster for Oracle {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        let start = batch.start.since_ms(self.scenario.instant(0)) / u64::from(self.scenario.step_ms);
        self.next = start as usize + batch.steps as usize;
        Ok(())
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        let (horizon, quantiles, last) = (request.horizon as usize, request.quantiles.len(), self.scenario.steps());
        let cost = self.scenario.leader_cost();
        let mut answer = ForecastBatch::default();
        for shard in &request.shards {
            let unknown = || PolicyFailure::Policy(format!("shard {shard} is not in the scenario"));
            let ops = &self.scenario.shards[self.scenario.shard_index(*shard).ok_or_else(unknown)?].ops;
            let at = |step: usize| if step < last { step } else { last - 1 - (last - 1 - step % last) % 288.min(last) };
            let path: Vec<f32> = (self.next..self.next + horizon).map(|step| ops[at(step)] * cost).collect();
            let peak = path.iter().take(request.peak_steps as usize).fold(0.0_f32, |a, &b| a.max(b));
            for _ in 0..quantiles {
                answer.values.extend_from_slice(&path);
                if request.peak_steps > 0 {
                    answer.peaks.push(peak);
                }
            }
        }
        Ok(answer)
    }

    fn forget(&mut self, _shards: &[ShardId]) -> Result<(), PolicyFailure> {
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(self.next.to_le_bytes().to_vec())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
