//! A policy host for simulations: the policies it is given are its native ones, there is nothing to upload.

use crate::arms::{MakeForecaster, MakePlacer};
use isobar_model::{ClusterView, Digest, ForecastBatch, ForecastRequest, LoadBatch, Plan, ShardId};
use isobar_ports::{Forecaster, Inspection, Placer, PolicyFailure, PolicyHost, Rejection, Usage};
use std::sync::{Mutex, PoisonError};

/// The host. A policy that can be made once is made: a configuration that does not fit shows before the first tick.
pub(crate) struct SimHost {
    forecaster: MakeForecaster,
    placer: MakePlacer,
    /// Made to see that they can be, and served first.
    first_forecaster: Mutex<Option<Box<dyn Forecaster>>>,
    first_placer: Mutex<Option<Box<dyn Placer>>>,
}

impl SimHost {
    pub(crate) fn new(forecaster: MakeForecaster, placer: MakePlacer) -> Result<Self, PolicyFailure> {
        let (first_forecaster, first_placer) = (Mutex::new(Some(forecaster()?)), Mutex::new(Some(placer()?)));
        Ok(Self { forecaster, placer, first_forecaster, first_placer })
    }
}

fn no_uploads<T>() -> Result<T, PolicyFailure> {
    Err(PolicyFailure::Unavailable("a simulation runs the policies it was given".into()))
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
        let first = self.first_forecaster.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| (self.forecaster)().unwrap_or_else(|failure| Box::new(Failing(failure))))
    }

    fn builtin_placer(&self) -> Box<dyn Placer> {
        let first = self.first_placer.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| (self.placer)().unwrap_or_else(|failure| Box::new(Failing(failure))))
    }
}

/// A policy that could be made once and not again.
struct Failing(PolicyFailure);

impl Forecaster for Failing {
    fn observe(&mut self, _: &LoadBatch) -> Result<(), PolicyFailure> {
        Err(self.0.clone())
    }

    fn predict(&mut self, _: &ForecastRequest) -> Result<ForecastBatch, PolicyFailure> {
        Err(self.0.clone())
    }

    fn forget(&mut self, _: &[ShardId]) -> Result<(), PolicyFailure> {
        Err(self.0.clone())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Err(self.0.clone())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

impl Placer for Failing {
    fn propose(&mut self, _: &ClusterView) -> Result<Plan, PolicyFailure> {
        Err(self.0.clone())
    }

    fn save(&mut self) -> Result<Vec<u8>, PolicyFailure> {
        Err(self.0.clone())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
