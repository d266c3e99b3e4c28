//! The forecaster that a new cluster begins with, until an operator decides otherwise.
//!
//! Named before the cluster is formed, bound once by its leader as an operator would bind it, and never again: whatever is bound or unbound
//! later, and whoever leads, what operators chose stays. A cluster that was formed without one keeps the native forecaster.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use isobar_model::{Binding, Digest, KeyspaceId, Role};
use serde::{Deserialize, Serialize};

/// Longest name of a policy, in bytes: those that come with the binary have a dozen.
const MAX_NAME_BYTES: usize = 64;
/// The only number that a default binding ever has: it is the first of its role.
const FIRST: u64 = 1;

/// What is to become, or has become, of the default forecaster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DefaultForecaster {
    /// Nothing is to be bound: there is none, or an operator was first.
    #[default]
    None,
    /// The policy of this name is to be bound.
    Awaited(String),
    /// It was bound.
    Bound,
}

impl DefaultForecaster {
    /// What a snapshot of a release without defaults lacks at its end.
    pub(super) fn encoded_absence() -> Vec<u8> {
        postcard::to_allocvec(&Self::None).expect("a variant is plain data, which always encodes")
    }
}

impl ControlState {
    /// The policy that the leader is to bind by itself as the forecaster of this new cluster; none: nothing to do.
    #[must_use]
    pub fn awaited_forecaster(&self) -> Option<&str> {
        match &self.default_forecaster {
            DefaultForecaster::Awaited(policy) if self.cluster.is_some() => Some(policy),
            DefaultForecaster::Awaited(_) | DefaultForecaster::None | DefaultForecaster::Bound => None,
        }
    }

    /// Whether a binding is what the cluster began with by itself, not an operator's choice.
    #[must_use]
    pub fn is_default(&self, binding: &Binding) -> bool {
        self.default_forecaster == DefaultForecaster::Bound
            && (binding.role, binding.keyspace, binding.number) == (Role::Forecast, None, FIRST)
    }

    pub(super) fn begin_with_forecaster(&mut self, policy: Option<String>) -> Result<ControlReply, Refusal> {
        if self.cluster.is_some() {
            return Ok(ControlReply::Done);
        }
        if let Some(name) = policy.as_ref().filter(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
            return Err(Refusal::invalid(format!(
                "the name of a policy has 1 to {MAX_NAME_BYTES} bytes, not {}",
                name.len()
            )));
        }
        self.default_forecaster = policy.map_or(DefaultForecaster::None, DefaultForecaster::Awaited);
        Ok(ControlReply::Done)
    }

    pub(super) fn bind_default_forecaster(&mut self, revision: Digest) -> Result<ControlReply, Refusal> {
        if self.awaited_forecaster().is_none() {
            return Err(Refusal::conflict(
                "no default forecaster is awaited: it was bound, or an operator bound another".to_owned(),
            ));
        }
        self.check_bindable(Role::Forecast, Some(revision))?;
        self.default_forecaster = DefaultForecaster::Bound;
        self.put_binding(Role::Forecast, None, Some(revision), "{}".to_owned(), ", the default of a new cluster")
    }

    /// An operator binds this scope: whatever it is, it stays.
    pub(super) fn settle_default_forecaster(&mut self, role: Role, keyspace: Option<KeyspaceId>) {
        if self.awaited_forecaster().is_some() && (role, keyspace) == (Role::Forecast, None) {
            self.default_forecaster = DefaultForecaster::None;
        }
    }

    /// Says what a cluster that was just formed begins with.
    pub(super) fn tell_default_forecaster(&mut self) {
        if let Some(policy) = self.awaited_forecaster() {
            let (text, fields) = (
                format!(
                    "forecasts are to be made by {policy}, the default of a new cluster; by the built-in policy until it is ready"
                ),
                [("policy", policy.to_owned())],
            );
            self.event(EventKind::Cluster, text, &fields);
        }
    }
}
