//! Compiled policies at hand, by digest. Bounded: the one used longest ago goes first; its machine code stays in the vault.

use crate::contract::{ForecastingPolicyPre, PlacementPolicyPre};
use crate::sandbox::Tenant;
use isobar_model::{Digest, Role};
use parking_lot::Mutex;
use std::sync::Arc;

/// Policies held ready. Each holds its machine code mapped: 100 KiB for Rust, tens of MiB for Python.
const MAX_READY: usize = 32;

/// A policy linked and checked against the contract: an instance is microseconds away.
pub(crate) struct Compiled {
    pub(crate) linked: Linked,
    pub(crate) imports: Vec<String>,
}

/// By role.
pub(crate) enum Linked {
    Forecast(ForecastingPolicyPre<Tenant>),
    Place(PlacementPolicyPre<Tenant>),
}

impl Linked {
    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Forecast(_) => Role::Forecast,
            Self::Place(_) => Role::Place,
        }
    }
}

/// Least recently used first.
#[derive(Default)]
pub(crate) struct Registry {
    ready: Mutex<Vec<(Digest, Arc<Compiled>)>>,
}

impl Registry {
    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<Compiled>> {
        let mut ready = self.ready.lock();
        let at = ready.iter().position(|(known, _)| known == digest)?;
        let entry = ready.remove(at);
        let compiled = Arc::clone(&entry.1);
        ready.push(entry);
        Some(compiled)
    }

    pub(crate) fn insert(&self, digest: Digest, compiled: Arc<Compiled>) {
        let mut ready = self.ready.lock();
        ready.retain(|(known, _)| *known != digest);
        if ready.len() == MAX_READY {
            ready.remove(0);
        }
        ready.push((digest, compiled));
    }
}
