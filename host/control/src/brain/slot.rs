//! Who serves a role: the bound revision while it behaves, the native policy else.
//!
//! States: *builtin* (nothing bound) → *serving* → *failing* (instance thrown away, opened again from the last good save at the next
//! tick) → *quarantined* (after three failures running; only a new binding leaves it).

use super::round::BrainEvent;
use super::saved::Saved;
use isobar_model::{Digest, Role};
use isobar_ports::PolicyFailure;
use serde::{Deserialize, Serialize};

/// Failures running after which a policy is quarantined (DESIGN's lifecycle).
const FAILURES_TO_QUARANTINE: u32 = 3;

/// A revision with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The revision.
    pub digest: Digest,
    /// The policy's name: saves pass between revisions that share it.
    pub name: String,
    /// Configuration, JSON.
    pub config: String,
}

/// How a role is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotStatus {
    /// The role.
    pub role: Role,
    /// What is bound; none: the native policy.
    pub bound: Option<Bound>,
    /// Failures running.
    pub failures: u32,
    /// Whether it is shut out until another is bound.
    pub quarantined: bool,
    /// Why the native policy answered last, where another is bound.
    pub fallback: Option<String>,
}

/// One role's server.
pub(super) struct Slot<T: ?Sized> {
    pub(super) role: Role,
    pub(super) bound: Option<Bound>,
    pub(super) instance: Option<Box<T>>,
    pub(super) saved: Option<Saved>,
    /// First step that the instance has not observed.
    pub(super) fed: u64,
    /// Whether `saved` is newer than what was last taken to be persisted.
    saved_is_new: bool,
    /// Answers since a save was last asked for; none: never yet.
    unsaved: Option<u32>,
    failures: u32,
    quarantined: bool,
    pub(super) fallback: Option<String>,
}

impl<T: ?Sized> Slot<T> {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            bound: None,
            instance: None,
            saved: None,
            fed: 0,
            saved_is_new: false,
            unsaved: None,
            failures: 0,
            quarantined: false,
            fallback: None,
        }
    }

    /// The bound revision, where it may be asked.
    pub(super) fn to_ask(&self) -> Option<&Bound> {
        self.bound.as_ref().filter(|_| !self.quarantined)
    }

    pub(super) fn status(&self) -> SlotStatus {
        SlotStatus {
            role: self.role,
            bound: self.bound.clone(),
            failures: self.failures,
            quarantined: self.quarantined,
            fallback: self.fallback.clone(),
        }
    }

    /// A state other than by serving: bound anew, or its history changed under it.
    pub(super) fn rebind(&mut self, bound: Option<Bound>, instance: Option<Box<T>>, fed: u64) {
        *self = Self { bound, instance, fed, ..Self::new(self.role) };
    }

    /// Throws the instance and all it knew away; the next one observes everything again.
    pub(super) fn start_over(&mut self) {
        self.instance = None;
        self.saved = None;
        self.fed = 0;
    }

    pub(super) fn answered(&mut self, events: &mut Vec<BrainEvent>) {
        if let (true, Some(bound)) = (self.failures > 0, &self.bound) {
            let (policy, revision) = (bound.name.clone(), bound.digest);
            events.push(BrainEvent::PolicyRecovered { role: self.role, policy, revision });
        }
        self.failures = 0;
        self.fallback = None;
        self.unsaved = self.unsaved.map(|answers| answers.saturating_add(1));
    }

    pub(super) fn is_save_due(&self, every: u32) -> bool {
        self.unsaved.is_none_or(|answers| answers >= every)
    }

    /// The last save, where it was not taken before.
    pub(super) fn take_new_save(&mut self) -> Option<(Role, Digest, Saved)> {
        let is_new = std::mem::take(&mut self.saved_is_new);
        let (bound, saved) = (self.bound.as_ref()?, self.saved.as_ref()?);
        is_new.then(|| (self.role, bound.digest, saved.clone()))
    }

    /// Keeps a save. A policy that can't save serves on: it will observe more again, should it ever fail.
    pub(super) fn saved_as(&mut self, answer: Result<Saved, PolicyFailure>, events: &mut Vec<BrainEvent>) {
        self.unsaved = Some(0);
        match answer {
            Ok(saved) => {
                self.saved = Some(saved);
                self.saved_is_new = true;
            }
            Err(PolicyFailure::Policy(_) | PolicyFailure::NotReady(_) | PolicyFailure::Config(_)) => {}
            Err(
                dead @ (PolicyFailure::Trapped(_)
                | PolicyFailure::Deadline { .. }
                | PolicyFailure::OutOfFuel { .. }
                | PolicyFailure::Invalid(_)
                | PolicyFailure::Unavailable(_)),
            ) => self.failed(&dead, events),
        }
    }

    /// Notes a failure. The instance is thrown away, as most failures leave it dead; not by one that only lacks history.
    pub(super) fn failed(&mut self, failure: &PolicyFailure, events: &mut Vec<BrainEvent>) {
        self.fallback = Some(failure.to_string());
        if let PolicyFailure::NotReady(_) = failure {
            return;
        }
        self.instance = None;
        self.failures = self.failures.saturating_add(1);
        let Some(bound) = &self.bound else { return };
        let (role, policy, revision) = (self.role, bound.name.clone(), bound.digest);
        tracing::warn!(?role, %policy, %revision, %failure, running = self.failures, "policy failed, the native one answered");
        events.push(BrainEvent::PolicyFailed {
            role,
            policy: policy.clone(),
            revision,
            failure: failure.to_string(),
            running: self.failures,
        });
        // A save that leads to one failure after the other may be what is broken.
        if self.failures + 1 == FAILURES_TO_QUARANTINE {
            self.start_over();
        }
        if self.failures >= FAILURES_TO_QUARANTINE {
            self.quarantined = true;
            let reason = format!("{} failures running, the last: {failure}", self.failures);
            events.push(BrainEvent::PolicyQuarantined { role, policy, revision, reason });
        }
    }
}

impl<T: ?Sized> std::fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("status", &self.status()).field("fed", &self.fed).finish_non_exhaustive()
    }
}
