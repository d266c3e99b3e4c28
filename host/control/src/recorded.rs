//! Steps that closed, as they are stored beside the control log and read by whoever leads next.

use isobar_model::{InstantMs, LoadBatch, ShardId};
use serde::{Deserialize, Serialize};

/// What one blob of recorded history holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedSteps {
    /// The steps, as they were measured.
    pub batches: Vec<LoadBatch>,
    /// Those of them that forecasters are not shown, by their start: a burst was on. No more than there are values.
    pub withheld: Vec<(ShardId, InstantMs)>,
}
