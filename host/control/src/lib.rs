//! The control loop and the replicated control state.

mod command;
mod state;

pub use command::{ControlCommand, ControlReply, Proposal, Refusal, RefusalKind, ShardCount};
pub use state::events::{ControlEvent, EventKind, MAX_EVENTS};
pub use state::history::{HISTORY_SPAN_MS, HistoryBlob, MAX_HISTORY_BLOBS};
pub use state::migrations::{MAX_FINISHED_MIGRATIONS, MAX_LIVE_MIGRATIONS, MigrationTotals};
pub use state::rounds::{DecisionEntry, HeldPlan, MAX_DECISIONS, MAX_HELD_PLANS, SavedState};
pub use state::settings::Settings;
pub use state::{ControlState, SNAPSHOT_VERSION};
