//! One forecaster for many arms. Arms that run in step measure the same loads and ask the same question: its answer is computed once.

use super::alike::Alike;
use crate::arms::MakeForecaster;
use isobar_model::{ForecastBatch, ForecastRequest, LoadBatch, ShardId};
use isobar_ports::{Forecaster, PolicyFailure, Usage};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Answer = (ForecastRequest, Result<ForecastBatch, PolicyFailure>);

struct Shared {
    forecaster: Alike,
    /// A digest of each batch observed: an arm that saw another load must not be told of this one.
    observed: Vec<u64>,
    /// The last load seen of each shard: what is expected while the forecaster is not ready.
    newest: HashMap<ShardId, f32>,
    /// What was asked last, and after how many batches.
    last: Option<(usize, Answer)>,
    /// Why it failed, for whatever reason but a lack of history.
    failure: Option<PolicyFailure>,
}

/// An arm's own view of the shared forecaster: how much of it this arm has shown.
struct Handle {
    shared: Arc<Mutex<Shared>>,
    seen: usize,
}

/// A forecaster that several arms ask.
#[derive(Clone)]
pub(super) struct SharedForecaster(Arc<Mutex<Shared>>);

impl SharedForecaster {
    pub(super) fn new(make: &MakeForecaster) -> Result<Self, PolicyFailure> {
        let (observed, newest) = (Vec::new(), HashMap::new());
        let shared = Shared { forecaster: Alike::new(make)?, observed, newest, last: None, failure: None };
        Ok(Self(Arc::new(Mutex::new(shared))))
    }

    /// Makes handles for arms.
    pub(super) fn make(&self) -> MakeForecaster {
        let shared = Arc::clone(&self.0);
        Arc::new(move || Ok(Box::new(Handle { shared: Arc::clone(&shared), seen: 0 })))
    }

    /// Why it failed, if it did: arms would go on without forecasts, and their figures say nothing of it.
    pub(super) fn failure(&self) -> Option<PolicyFailure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }
}

impl Shared {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        self.forecaster.observe(batch)?;
        for (row, shard) in batch.shards.iter().enumerate() {
            if let Some(value) = batch.row(row).iter().rev().find(|value| value.is_finite()) {
                self.newest.insert(*shard, *value);
            }
        }
        Ok(())
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        match self.forecaster.predict(request) {
            Err(PolicyFailure::NotReady(_)) => Ok(self.as_it_is(request)),
            answer => answer,
        }
    }

    /// The forecast that needs no history: each shard goes on as it last was.
    fn as_it_is(&self, request: &ForecastRequest) -> ForecastBatch {
        let (quantiles, horizon) = (request.quantiles.len(), request.horizon as usize);
        let mut batch = ForecastBatch::default();
        for shard in &request.shards {
            let load = self.newest.get(shard).copied().unwrap_or(0.0);
            batch.values.extend(std::iter::repeat_n(load, quantiles * horizon));
            if request.peak_steps > 0 {
                batch.peaks.extend(std::iter::repeat_n(load, quantiles));
            }
        }
        batch
    }
}

fn digest(batch: &LoadBatch) -> u64 {
    // Zero-keyed SipHash: the same in every run.
    let mut hasher = DefaultHasher::new();
    (batch.start.0, batch.step_ms, batch.steps, &batch.shards).hash(&mut hasher);
    batch.values.iter().for_each(|value| value.to_bits().hash(&mut hasher));
    hasher.finish()
}

fn apart() -> PolicyFailure {
    PolicyFailure::Unavailable("arms that share a forecaster saw different loads".into())
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forecaster for Handle {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        let (digest, at) = (digest(batch), self.seen);
        let mut shared = self.lock();
        match shared.observed.get(at) {
            Some(known) if *known != digest => {
                shared.failure = Some(apart());
                return Err(apart());
            }
            Some(_) => {}
            None => {
                let shown = shared.observe(batch);
                shared.failure = shown.clone().err().or(shared.failure.take());
                shown?;
                shared.observed.push(digest);
            }
        }
        drop(shared);
        self.seen += 1;
        Ok(())
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        let mut shared = self.lock();
        if shared.observed.len() != self.seen {
            shared.failure = Some(apart());
            return Err(apart());
        }
        if let Some((seen, (asked, answer))) = &shared.last
            && *seen == self.seen
            && asked == request
        {
            return answer.clone();
        }
        let answer = shared.predict(request);
        shared.failure = answer.clone().err().or(shared.failure.take());
        shared.last = Some((self.seen, (request.clone(), answer.clone())));
        answer
    }

    fn forget(&mut self, _shards: &[ShardId]) -> Result<(), PolicyFailure> {
        // Shards neither split nor merge here.
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Ok(Vec::new())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
