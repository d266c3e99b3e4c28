//! A policy host for simulations: the policies it is given are its native ones, there is nothing to upload. It notes where they fail, since a brain
//! whose policies fail goes on without them, and looks like one that has nothing to do.

use crate::arms::{MakeForecaster, MakePlacer};
use isobar_model::{ClusterView, Digest, ForecastBatch, ForecastRequest, LoadBatch, Metric, Plan, Relations, ShardId};
use isobar_ports::{Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection, Usage};
use std::sync::{Arc, Mutex, PoisonError};

/// How often policies failed, and how the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFailures {
    /// How often.
    pub count: u64,
    /// Why the first time.
    pub first: Option<PolicyFailure>,
}

/// The host. A policy that can be made once is made: a configuration that does not fit shows before the first tick.
pub(crate) struct SimHost {
    forecaster: MakeForecaster,
    placer: MakePlacer,
    /// Made to see that they can be, and served first.
    first_forecaster: Mutex<Option<Box<dyn Forecaster>>>,
    first_placer: Mutex<Option<Box<dyn Placer>>>,
    failures: Arc<Mutex<PolicyFailures>>,
}

impl SimHost {
    pub(crate) fn new(forecaster: MakeForecaster, placer: MakePlacer) -> Result<Self, PolicyFailure> {
        let (first_forecaster, first_placer) = (Mutex::new(Some(forecaster()?)), Mutex::new(Some(placer()?)));
        Ok(Self { forecaster, placer, first_forecaster, first_placer, failures: Arc::default() })
    }

    /// Failures up to now.
    pub(crate) fn failures(&self) -> PolicyFailures {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn no_uploads<T>() -> Result<T, PolicyFailure> {
    Err(PolicyFailure::Unavailable("a simulation runs the policies it was given".into()))
}

/// The one made first, else another.
fn next<T: ?Sized>(
    first: &Mutex<Option<Box<T>>>,
    make: &dyn Fn() -> Result<Box<T>, PolicyFailure>,
) -> Result<Box<T>, PolicyFailure> {
    first.lock().unwrap_or_else(PoisonError::into_inner).take().map_or_else(make, Ok)
}

impl PolicyHost for SimHost {
    fn inspect(&self, _artifact: &[u8]) -> Result<Inspection, Rejection> {
        Err(Rejection("a simulation takes no uploads".into()))
    }

    fn forecaster(&self, _: &Digest, _: &str, _: Option<&[u8]>) -> Result<Box<dyn Forecaster>, PolicyFailure> {
        no_uploads()
    }

    fn placer(&self, _: &Digest, _: &str, _: Option<&[u8]>) -> Result<Box<dyn Placer>, PolicyFailure> {
        no_uploads()
    }

    fn builtin_forecaster(&self) -> Box<dyn Forecaster> {
        let policy = next(&self.first_forecaster, self.forecaster.as_ref());
        Box::new(Watched { policy, failures: Arc::clone(&self.failures) })
    }

    fn builtin_placer(&self) -> Box<dyn Placer> {
        let policy = next(&self.first_placer, self.placer.as_ref());
        Box::new(Watched { policy, failures: Arc::clone(&self.failures) })
    }
}

/// A policy, or why there is none; its failures are noted.
struct Watched<T: ?Sized> {
    policy: Result<Box<T>, PolicyFailure>,
    failures: Arc<Mutex<PolicyFailures>>,
}

impl<T: ?Sized> Watched<T> {
    fn call<A>(&mut self, call: impl FnOnce(&mut T) -> Result<A, PolicyFailure>) -> Result<A, PolicyFailure> {
        let answer = match &mut self.policy {
            Ok(policy) => call(policy),
            Err(failure) => Err(failure.clone()),
        };
        match &answer {
            // A lack of history is no failure of the policy's.
            Ok(_) | Err(PolicyFailure::NotReady(_)) => {}
            Err(failure) => {
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.count += 1;
                failures.first.get_or_insert_with(|| failure.clone());
            }
        }
        answer
    }
}

impl Forecaster for Watched<dyn Forecaster> {
    fn observe(&mut self, batch: &LoadBatch) -> Result<(), PolicyFailure> {
        self.call(|policy| policy.observe(batch))
    }

    fn predict(&mut self, request: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        self.call(|policy| policy.predict(request))
    }

    fn relate(&mut self, metric: Metric, relations: &Relations) -> Result<(), PolicyFailure> {
        self.call(|policy| policy.relate(metric, relations))
    }

    fn forget(&mut self, shards: &[ShardId]) -> Result<(), PolicyFailure> {
        self.call(|policy| policy.forget(shards))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        self.call(|policy| policy.save())
    }

    fn usage(&self) -> Usage {
        self.policy.as_ref().map(|policy| policy.usage()).unwrap_or_default()
    }
}

impl Placer for Watched<dyn Placer> {
    fn propose(&mut self, view: &ClusterView) -> Result<Plan, PolicyFailure> {
        self.call(|policy| policy.propose(view))
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        self.call(|policy| policy.save())
    }

    fn usage(&self) -> Usage {
        self.policy.as_ref().map(|policy| policy.usage()).unwrap_or_default()
    }
}
