//! Swapping a policy without a gap: the next instance is made ready while the present one serves.
//!
//! 1. [`Brain::preparation`](super::Brain::preparation) takes what the next instance needs: a save of the present one, where both are revisions of one
//!    policy, and the stored history. Quick, needs the brain.
//! 2. [`Preparation::run`] opens it, restores or re-observes, and asks it once. Slow, needs no brain: any thread.
//! 3. [`Brain::activate`](super::Brain::activate) shows it the steps closed in between and puts it in place. Quick, needs the brain.
//!
//! Cancel safety: dropping a preparation or what it prepared leaves the present instance as it is.

use super::slot::{Bound, Saved};
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Role};
use isobar_ports::{Forecaster, Placer, PolicyFailure, PolicyHost};
use std::fmt;

/// What the next instance needs, taken from a brain.
#[derive(Debug)]
pub struct Preparation {
    pub(super) role: Role,
    pub(super) bound: Option<Bound>,
    pub(super) saved: Option<Saved>,
    /// The stored history; empty for placers.
    pub(super) history: Vec<LoadBatch>,
    /// First step that is not in it.
    pub(super) through: u64,
    /// The question that the new instance must be able to answer.
    pub(super) request: Option<ForecastRequest>,
}

pub(super) enum Ready {
    Builtin,
    Forecaster(Box<dyn Forecaster>),
    Placer(Box<dyn Placer>),
}

/// An instance ready to serve.
pub struct Prepared {
    pub(super) role: Role,
    pub(super) bound: Option<Bound>,
    pub(super) ready: Ready,
    pub(super) through: u64,
    pub(super) restored: bool,
    pub(super) observed_steps: u32,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Prepared");
        shown.field("role", &self.role).field("bound", &self.bound).field("restored", &self.restored);
        shown.finish_non_exhaustive()
    }
}

/// A swap done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapReport {
    /// The role.
    pub role: Role,
    /// What served; none: the native policy.
    pub from: Option<Bound>,
    /// What serves; none: the native policy.
    pub to: Option<Bound>,
    /// Whether it went on from a save of the one before.
    pub restored: bool,
    /// Steps of stored history it was shown instead, those closed during the preparation included.
    pub observed_steps: u32,
}

impl Preparation {
    /// Gives it a state that a revision of the same policy saved before this brain began, seen up to `observed_until`; see
    /// [`SavedPolicy`](super::SavedPolicy). One that the present instance has just given is newer and stays.
    #[must_use]
    pub fn with_saved(mut self, brain: &super::Brain, bytes: Vec<u8>, observed_until: InstantMs) -> Self {
        let through = brain.history().step_at(observed_until).min(self.through);
        self.saved = self.saved.or(Some(Saved { bytes, through }));
        self
    }

    /// Makes the instance ready. A failure says why it can't serve; the present one goes on.
    pub fn run(self, host: &dyn PolicyHost) -> Result<Prepared, PolicyFailure> {
        let Self { role, bound, saved, history, through, request } = self;
        let prepared = |bound, ready, through, restored, observed_steps| Prepared {
            role,
            bound,
            ready,
            through,
            restored,
            observed_steps,
        };
        let Some(next) = bound else { return Ok(prepared(None, Ready::Builtin, 0, false, 0)) };
        match role {
            Role::Place => {
                let from_save =
                    saved.and_then(|saved| host.placer(&next.digest, &next.config, Some(&saved.bytes)).ok());
                let restored = from_save.is_some();
                let placer = match from_save {
                    Some(placer) => placer,
                    None => host.placer(&next.digest, &next.config, None)?,
                };
                Ok(prepared(Some(next), Ready::Placer(placer), through, restored, 0))
            }
            Role::Forecast => {
                let restored = saved.and_then(|saved| {
                    let forecaster = host.forecaster(&next.digest, &next.config, Some(&saved.bytes)).ok()?;
                    Some((forecaster, saved.through))
                });
                if let Some((mut forecaster, through)) = restored
                    && asked(forecaster.as_mut(), request.as_ref()).is_ok()
                {
                    return Ok(prepared(Some(next), Ready::Forecaster(forecaster), through, true, 0));
                }
                let mut forecaster = host.forecaster(&next.digest, &next.config, None)?;
                for batch in &history {
                    forecaster.observe(batch)?;
                }
                asked(forecaster.as_mut(), request.as_ref())?;
                let observed = history.iter().map(|batch| batch.steps).max().unwrap_or(0);
                Ok(prepared(Some(next), Ready::Forecaster(forecaster), through, false, observed))
            }
        }
    }
}

/// Asks once, so that an instance that can't answer never serves. One that only lacks history may.
fn asked(forecaster: &mut dyn Forecaster, request: Option<&ForecastRequest>) -> Result<(), PolicyFailure> {
    match request.map(|request| forecaster.predict(request)) {
        None | Some(Ok(_) | Err(PolicyFailure::NotReady(_))) => Ok(()),
        Some(Err(failure)) => Err(failure),
    }
}
