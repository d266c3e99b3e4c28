//! Adaptive data mover: migrations as a pure state machine, and the driver that performs them.

mod driver;
#[cfg(test)]
mod fake;
mod records;
mod stages;
mod step;
mod verify;

pub use driver::{MAX_TASKS, Mover, Pace};
pub use records::{MigrationRecords, RecordError};
pub use stages::{MAX_FAILURES, MAX_IDLE_POLLS, MAX_LAG_ENTRIES, Walk};
pub use step::{Change, Effect, Outcome, Pause, Step};
