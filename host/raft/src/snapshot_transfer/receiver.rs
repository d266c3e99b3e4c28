//! The receiving side of a snapshot's way.

use super::{Chunk, SnapshotAnswer, SnapshotMessage, SnapshotSink};
use crate::hub::Member;
use crate::types::{SnapshotMeta, TypeConfig, Vote};
use isobar_model::NodeId;
use isobar_storage::GroupId;
use openraft::raft::SnapshotResponse;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a half-taken snapshot is kept for a sender that lost its connection.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// Snapshots being received, at most one for each group.
#[derive(Default)]
pub(crate) struct Receiver {
    transfers: Mutex<HashMap<GroupId, Arc<Incoming>>>,
}

struct Incoming {
    from: NodeId,
    transfer: u64,
    meta: SnapshotMeta,
    touched: Mutex<Instant>,
    /// Held while a chunk is taken or the snapshot is installed, by the task that does it: a caller that gives up stops neither.
    state: Arc<tokio::sync::Mutex<Taking>>,
}

enum Taking {
    Open(Box<dyn SnapshotSink>),
    Installed(SnapshotResponse<TypeConfig>),
    Spoilt,
}

impl Receiver {
    /// Drops what was received for `group`.
    pub(crate) fn forget(&self, group: GroupId) {
        self.transfers.lock().remove(&group);
    }

    pub(crate) async fn receive(
        &self,
        from: NodeId,
        member: Arc<dyn Member>,
        message: SnapshotMessage,
    ) -> SnapshotAnswer {
        let group = message.group();
        match message {
            SnapshotMessage::Begin { transfer, meta, header, .. } => {
                self.begin(group, from, transfer, meta, &header, member.as_ref()).await
            }
            SnapshotMessage::Chunk { transfer, chunk, .. } => match self.find(group, from, transfer) {
                Some(incoming) => incoming.take(chunk).await,
                None => SnapshotAnswer::Unknown,
            },
            SnapshotMessage::Finish { transfer, vote, .. } => match self.find(group, from, transfer) {
                Some(incoming) => incoming.finish(vote, member).await,
                None => SnapshotAnswer::Unknown,
            },
        }
    }

    fn find(&self, group: GroupId, from: NodeId, transfer: u64) -> Option<Arc<Incoming>> {
        let mut transfers = self.transfers.lock();
        transfers.retain(|_, incoming| incoming.touched.lock().elapsed() < IDLE_LIMIT);
        let incoming = transfers.get(&group).filter(|found| found.from == from && found.transfer == transfer)?;
        *incoming.touched.lock() = Instant::now();
        Some(Arc::clone(incoming))
    }

    async fn begin(
        &self,
        group: GroupId,
        from: NodeId,
        transfer: u64,
        meta: SnapshotMeta,
        header: &[u8],
        member: &dyn Member,
    ) -> SnapshotAnswer {
        if let Some(incoming) = self.find(group, from, transfer) {
            match &*incoming.state.lock().await {
                Taking::Open(sink) => return SnapshotAnswer::Next(sink.next_chunk()),
                Taking::Installed(response) => return SnapshotAnswer::Installed(response.clone()),
                Taking::Spoilt => {}
            }
        }
        match member.snapshot_sink(&meta, header) {
            Ok(sink) => {
                let next = sink.next_chunk();
                let incoming = Incoming {
                    from,
                    transfer,
                    meta,
                    touched: Mutex::new(Instant::now()),
                    state: Arc::new(tokio::sync::Mutex::new(Taking::Open(sink))),
                };
                self.transfers.lock().insert(group, Arc::new(incoming));
                SnapshotAnswer::Next(next)
            }
            Err(error) => SnapshotAnswer::Failed(error.to_string()),
        }
    }
}

impl Incoming {
    async fn take(&self, chunk: Chunk) -> SnapshotAnswer {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let taken = tokio::task::spawn_blocking(move || match &mut *state {
            Taking::Open(sink) => match sink.take(&chunk) {
                Ok(next) => SnapshotAnswer::Next(next),
                Err(reason) => SnapshotAnswer::Failed(reason),
            },
            Taking::Installed(response) => SnapshotAnswer::Installed(response.clone()),
            Taking::Spoilt => SnapshotAnswer::Unknown,
        });
        taken.await.unwrap_or(SnapshotAnswer::Unknown)
    }

    async fn finish(&self, vote: Vote, member: Arc<dyn Member>) -> SnapshotAnswer {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let meta = self.meta.clone();
        let installing = tokio::spawn(async move {
            let sink = match std::mem::replace(&mut *state, Taking::Spoilt) {
                Taking::Open(sink) => sink,
                Taking::Installed(response) => {
                    *state = Taking::Installed(response.clone());
                    return SnapshotAnswer::Installed(response);
                }
                Taking::Spoilt => return SnapshotAnswer::Unknown,
            };
            let data = match tokio::task::spawn_blocking(move || sink.finish()).await {
                Ok(Ok(data)) => data,
                Ok(Err(reason)) => return SnapshotAnswer::Failed(reason),
                Err(error) => return SnapshotAnswer::Failed(error.to_string()),
            };
            match member.install(vote, meta, data).await {
                Ok(response) => {
                    *state = Taking::Installed(response.clone());
                    SnapshotAnswer::Installed(response)
                }
                Err(reason) => SnapshotAnswer::Failed(reason),
            }
        });
        installing.await.unwrap_or(SnapshotAnswer::Unknown)
    }
}
