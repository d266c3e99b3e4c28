//! Where the mover finds and keeps the replicated records of migrations.

use crate::step::Change;
use async_trait::async_trait;
use isobar_model::Migration;

/// Why a change was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record is not as the mover thought: read it again.
    #[error("{0}")]
    Conflict(String),
    /// No quorum, a time-out: try again; it may have been recorded all the same.
    #[error("try again: {0}")]
    Retry(String),
    /// This node no longer leads the control group.
    #[error("no longer the controller: {0}")]
    NotLeader(String),
}

/// The records, in the control group's replicated state.
#[async_trait]
pub trait MigrationRecords: Send + Sync {
    /// Migrations in flight, as this node has applied them.
    async fn live(&self) -> Vec<Migration>;
    /// Commits a change, by compare-and-set on its `from`. Recording an end twice is no error.
    async fn advance(&self, change: &Change) -> Result<(), RecordError>;
}
