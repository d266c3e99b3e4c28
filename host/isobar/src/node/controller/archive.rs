//! The archive at work: fed by each round, stored chunk by chunk, restored by whoever leads next.
//!
//! Blobs first, then the entry that names them; a chunk whose entry was not committed is due again at the next tick. What a new leader lacks is
//! what was not due yet: some minutes of the finest steps. Coarser ones it makes of those.

use super::{Controller, Surroundings};
use bytes::Bytes;
use isobar_analyzer::{Archive, ArchiveChunk, DriverColumn, resample};
use isobar_api::backend::BackendError;
use isobar_control::{ArchiveEntry, ControlCommand, ControlState};
use isobar_model::history::{HistoryPage, HistoryQuery, Window};
use isobar_model::{InstantMs, LoadBatch, Metric, NodeId, NodeMetric, ShardId};
use parking_lot::Mutex;
use std::sync::Arc;

/// The archive as it was stored. A part that can't be read is left out, and said: history with a gap is better than none.
pub(super) async fn restore(here: &Surroundings, state: &ControlState, recorded: &[LoadBatch]) -> Archive {
    let mut archive = Archive::default();
    if state.archive().is_empty() {
        for batch in recorded {
            if let Err(error) = archive.import(batch) {
                tracing::warn!(%error, "a batch of recorded history did not go into the archive");
            }
        }
    }
    for entry in state.archive() {
        for digest in &entry.parts {
            let taken = match here.blobs.get(*digest).await {
                Ok(bytes) => archive.restore(entry.family, &bytes).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = taken {
                tracing::error!(%digest, family = %entry.family, step_ms = entry.step_ms, error, "a part of the archive was left out");
            }
        }
    }
    archive.rebuild();
    for status in archive.status() {
        let (family, series, bytes) = (status.family, status.series, status.bytes);
        tracing::info!(%family, series, bytes, chunks = state.archive().len(), "the archive is restored");
    }
    archive
}

/// What the queries of all shards were like: some 33 ms for 1 000 of them. The archive is free again after each, so that those who ask it wait for
/// one shard at most.
pub(super) fn drivers(archive: &SharedArchive, step_ms: u32) -> Vec<DriverColumn> {
    let shards = archive.lock().shards();
    shards.into_iter().flat_map(|shard| archive.lock().drivers(shard, step_ms)).collect()
}

impl Controller {
    /// Takes in what the last round measured.
    pub(super) fn record_archive(&self, state: &ControlState, now: InstantMs) {
        let (shards, nodes) = self.with_baseline(|baseline| (baseline.shard_loads(), baseline.node_loads()));
        let told = {
            let mut archive = self.archive.lock();
            archive.retain(|_| true, |node| state.nodes().contains_key(&node));
            archive.record(now, &shards, &nodes)
        };
        for text in told {
            self.here.publish("history", text);
        }
    }

    /// Stores what is due.
    pub(super) async fn store_due(&self) -> anyhow::Result<()> {
        let due = self.archive.lock().due();
        if due.is_empty() {
            return Ok(());
        }
        let stored: Vec<_> = due.iter().map(|chunk| (chunk.family, chunk.step_ms, chunk.until)).collect();
        self.store(due).await?;
        let mut archive = self.archive.lock();
        stored.into_iter().for_each(|(family, step_ms, until)| archive.saved(family, step_ms, until));
        Ok(())
    }

    async fn store(&self, chunks: Vec<ArchiveChunk>) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        for ArchiveChunk { family, step_ms, until, parts, .. } in chunks {
            let mut digests = Vec::new();
            for part in parts {
                digests.push(self.here.blobs.put(Bytes::from(part)).await?);
            }
            entries.push(ArchiveEntry { family, step_ms, until, parts: digests });
        }
        if !entries.is_empty() {
            self.here.control.command(ControlCommand::StoreArchive { entries }).await?;
        }
        Ok(())
    }

    /// Takes in history from elsewhere. Load whose steps are no longer than the cluster's goes to forecasters, too.
    pub(crate) async fn import_history(&self, batch: LoadBatch) -> Result<(), BackendError> {
        let step_ms = self.here.read(|state| state.settings().step_ms);
        if batch.metric == Metric::Load {
            if batch.step_ms == step_ms {
                self.import_steps(batch.clone()).await?;
            } else if let Some(steps) = resample(&batch, step_ms) {
                self.import_steps(steps).await?;
            }
        }
        let archive = Arc::clone(&self.archive);
        let imported = tokio::task::spawn_blocking(move || archive.lock().import(&batch)).await;
        let imported = imported.map_err(|error| BackendError::Internal(format!("the import broke off: {error}")))?;
        let chunks = imported.map_err(|error| BackendError::Invalid(error.to_string()))?;
        let unstored = |error: anyhow::Error| {
            BackendError::Unavailable(format!("the history was not stored: {error}; import it again"))
        };
        self.store(chunks).await.map_err(unstored)
    }

    /// Steps of shards, a page at a time.
    pub(crate) fn history(&self, query: &HistoryQuery) -> Result<HistoryPage<ShardId>, BackendError> {
        self.archive.lock().history(query).map_err(|error| BackendError::Invalid(error.to_string()))
    }

    /// Steps of a node.
    pub(crate) fn node_history(&self, node: NodeId, window: Window) -> Result<HistoryPage<NodeMetric>, BackendError> {
        self.archive.lock().node_history(node, window).map_err(|error| BackendError::Invalid(error.to_string()))
    }

    /// Looks at the archive.
    pub(crate) fn with_archive<R>(&self, look: impl FnOnce(&Archive) -> R) -> R {
        look(&self.archive.lock())
    }
}

/// An archive that several tasks share.
pub(super) type SharedArchive = Arc<Mutex<Archive>>;
