//! The control loop and the replicated control state.
//!
//! Architecture invariant: synchronous and pure given the policies: no clock, no chance, no I/O. The shell drives it.

pub mod brain;
mod command;
pub mod decision;
mod recorded;
mod state;

pub use brain::{
    BandScore, Bound, Brain, BrainConfig, BrainEvent, ForecastAnswer, ForecastScores, MovePace, Preparation, Prepared,
    Recording, RoundRules, SavedPolicy, ShardForecast, SlotStatus, SwapReport, Tick,
};
pub use command::{ControlCommand, ControlReply, Proposal, Refusal, RefusalKind, ShardCount};
pub use decision::{ForecastInput, Reopened, Shown, without_wall_time};
pub use recorded::RecordedSteps;
pub use state::archive::{ArchiveEntry, MAX_ARCHIVE_ENTRIES, MAX_ARCHIVE_PARTS};
pub use state::events::{ControlEvent, EventKind, MAX_EVENTS};
pub use state::history::{HISTORY_SPAN_MS, HistoryBlob, MAX_HISTORY_BLOBS};
pub use state::migrations::{MAX_FINISHED_MIGRATIONS, MAX_LIVE_MIGRATIONS, MigrationTotals};
pub use state::rounds::{DecisionEntry, HeldPlan, MAX_DECISIONS, MAX_HELD_PLANS, SavedState};
pub use state::settings::Settings;
pub use state::{ControlState, SNAPSHOT_VERSION};
