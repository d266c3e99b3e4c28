//! The mover's records, in the control group's state.

use crate::node::control::Control;
use async_trait::async_trait;
use isobar_api::backend::BackendError;
use isobar_control::ControlCommand;
use isobar_model::Migration;
use isobar_mover::{Change, MigrationRecords, RecordError};
use std::sync::Arc;

/// Migrations as the control group has them.
#[derive(Clone)]
pub(crate) struct Records(pub(crate) Arc<Control>);

#[async_trait]
impl MigrationRecords for Records {
    async fn live(&self) -> Vec<Migration> {
        let group = self.0.group.as_ref();
        group.map(|group| group.read(|state| state.live_migrations().values().cloned().collect())).unwrap_or_default()
    }

    async fn advance(&self, change: &Change) -> Result<(), RecordError> {
        let Change { id, from, to, copied_bytes, total_bytes, failures, error } = change.clone();
        let command = ControlCommand::AdvanceMigration { id, from, to, copied_bytes, total_bytes, failures, error };
        match self.0.command(command).await {
            Ok(_) => Ok(()),
            Err(BackendError::Unavailable(reason) | BackendError::Timeout(reason)) => Err(RecordError::Retry(reason)),
            Err(other) => Err(RecordError::Conflict(other.to_string())),
        }
    }
}
