//! Swapping a policy without a gap: the next instance is made ready while the present one serves.
//!
//! 1. [`Brain::preparation`](super::Brain::preparation) takes what the next instance needs: a save of the present one, where both are revisions of one
//!    policy, and the stored history. Quick, needs the brain.
//! 2. [`Preparation::run`] opens it, restores or re-observes, and asks it once. Slow, needs no brain: any thread.
//! 3. [`Brain::activate`](super::Brain::activate) shows it the steps closed in between and puts it in place. Quick, needs the brain.
//!
//! Cancel safety: dropping a preparation or what it prepared leaves the present instance as it is.

use super::evaluate::asked_of;
use super::saved::Saved;
use super::seats::Seats;
use super::slot::Bound;
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Role};
use isobar_ports::{Forecaster, Placer, PolicyFailure, PolicyHost};
use std::fmt;

/// What the next instance needs, taken from a brain.
#[derive(Debug)]
pub struct Preparation {
    pub(super) role: Role,
    pub(super) bound: Option<Bound>,
    pub(super) saved: Option<Saved>,
    /// The stored history, hottest shards first; empty for placers.
    pub(super) history: Vec<LoadBatch>,
    /// First step that is not in it.
    pub(super) through: u64,
    /// The question that the new instance must be able to answer, of no shards yet.
    pub(super) request: ForecastRequest,
    /// What a tick's forecasts may burn.
    pub(super) fuel: u64,
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
    /// Shards that a forecaster knows.
    pub(super) seats: Seats,
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
    pub fn with_saved(mut self, brain: &super::Brain, bytes: &[u8], observed_until: InstantMs) -> Self {
        let through = brain.history().step_at(observed_until).min(self.through);
        self.saved = self.saved.or_else(|| Saved::from_stored(bytes, through));
        self
    }

    /// Makes the instance ready. A failure says why it can't serve; the present one goes on.
    pub fn run(self, host: &dyn PolicyHost) -> Result<Prepared, PolicyFailure> {
        let Self { role, bound, saved, history, through, request, fuel } = self;
        let prepared = |bound, ready, restored| Prepared {
            role,
            bound,
            ready,
            through,
            seats: Seats::default(),
            restored,
            observed_steps: 0,
        };
        let Some(next) = bound else { return Ok(Prepared { through: 0, ..prepared(None, Ready::Builtin, false) }) };
        match role {
            Role::Place => {
                let from_save =
                    saved.and_then(|saved| host.placer(&next.digest, &next.config, Some(&saved.bytes)).ok());
                let restored = from_save.is_some();
                let placer = match from_save {
                    Some(placer) => placer,
                    None => host.placer(&next.digest, &next.config, None)?,
                };
                Ok(prepared(Some(next), Ready::Placer(placer), restored))
            }
            Role::Forecast => {
                let restored = saved.and_then(|saved| {
                    let forecaster = host.forecaster(&next.digest, &next.config, Some(&saved.bytes)).ok()?;
                    Some((forecaster, saved))
                });
                if let Some((mut forecaster, saved)) = restored {
                    let mut seats = Seats::of(saved.shards);
                    if asked(forecaster.as_mut(), &request, &mut seats).is_ok() {
                        let through = saved.through;
                        return Ok(Prepared {
                            through,
                            seats,
                            ..prepared(Some(next), Ready::Forecaster(forecaster), true)
                        });
                    }
                }
                let mut forecaster = host.forecaster(&next.digest, &next.config, None)?;
                let mut seats = Seats::default();
                for batch in &history {
                    // What a shard takes is known when the first ones were shown.
                    let is_first = seats.taken().len() == 0;
                    if !is_first && seats.taken().len() + batch.shards.len() > seats.allowed(fuel) {
                        break;
                    }
                    forecaster.observe(batch)?;
                    seats.note_observed(forecaster.usage().fuel, batch.values.len());
                    seats.take(&batch.shards);
                    if is_first && history.len() > 1 {
                        asked(forecaster.as_mut(), &request, &mut seats)?;
                        seats.note_saved(forecaster.save()?.len());
                    }
                }
                asked(forecaster.as_mut(), &request, &mut seats)?;
                let observed_steps = history.iter().map(|batch| batch.steps).max().unwrap_or(0);
                let ready = Ready::Forecaster(forecaster);
                Ok(Prepared { seats, observed_steps, ..prepared(Some(next), ready, false) })
            }
        }
    }
}

/// Asks once about the shards it knows, so that an instance that can't answer never serves. One that only lacks history may.
fn asked(forecaster: &mut dyn Forecaster, request: &ForecastRequest, seats: &mut Seats) -> Result<(), PolicyFailure> {
    let request = asked_of(request, seats.taken());
    if request.shards.is_empty() {
        return Ok(());
    }
    match forecaster.predict(&request) {
        Ok(_) => {
            seats.note_forecast(forecaster.usage().fuel, request.shards.len());
            Ok(())
        }
        Err(PolicyFailure::NotReady(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}
