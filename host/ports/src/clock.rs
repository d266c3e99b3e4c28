//! The control clock: sped up in the demo, virtual in simulation.

use isobar_model::InstantMs;

/// Tells the time that policies, planner, cool-downs and budgets live by. Raft, deadlines and throttles live on wall time instead.
pub trait Clock: Send + Sync {
    /// Now, on the control clock.
    fn now(&self) -> InstantMs;
    /// Milliseconds of wall time that `control_ms` of the control clock take.
    fn wall_ms(&self, control_ms: u64) -> u64;
}
