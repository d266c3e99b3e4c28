//! The sending side of a snapshot's way.

use super::{Chunks, SnapshotAnswer, SnapshotMessage, SnapshotSource};
use crate::hub::RaftHub;
use crate::types::{SnapshotMeta, TypeConfig, Vote};
use isobar_model::NodeId;
use isobar_storage::GroupId;
use openraft::errors::{ReplicationClosed, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For the answer to one chunk: the receiver writes 256 KiB, perhaps behind a compaction.
const CHUNK_DEADLINE: Duration = Duration::from_secs(15);
/// For reading a whole replica back and comparing digests.
const FINISH_DEADLINE: Duration = Duration::from_secs(300);
/// Failures in a row, without a chunk taken between them, after which Raft decides anew (with a fresh snapshot).
const MAX_FAILURES: u32 = 20;
/// The longest wait between two tries; the first is 100 ms, each later one twice the one before.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Sends a snapshot and has it installed.
pub(crate) async fn send_snapshot(
    hub: &RaftHub,
    to: u64,
    group: GroupId,
    vote: Vote,
    meta: SnapshotMeta,
    source: Arc<dyn SnapshotSource>,
    cancel: impl Future<Output = ReplicationClosed> + Send,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let _copying = hub.copies().begin(group, NodeId(to), source.total_bytes());
    let started = Instant::now();
    tracing::info!(%group, to, bytes = source.total_bytes(), at = ?meta.last_log_id.map(|id| id.index), "sending a snapshot");
    let sending = Sending { hub, to, group, vote, meta, source, transfer: rand::random() };
    let outcome = tokio::select! {
        closed = cancel => Err(StreamingError::Closed(closed)),
        outcome = sending.run() => outcome.map_err(|reason| StreamingError::Unreachable(Unreachable::from_string(reason))),
    };
    match &outcome {
        Ok(_) => tracing::info!(%group, to, took_ms = started.elapsed().as_millis(), "sent a snapshot"),
        Err(error) => tracing::warn!(%group, to, %error, "a snapshot was not sent"),
    }
    outcome
}

struct Sending<'a> {
    hub: &'a RaftHub,
    to: u64,
    group: GroupId,
    vote: Vote,
    meta: SnapshotMeta,
    source: Arc<dyn SnapshotSource>,
    transfer: u64,
}

/// Why one try ended.
enum Broke {
    /// May go better next time.
    Off(String),
    /// Will not.
    Down(String),
}

impl Sending<'_> {
    async fn run(&self) -> Result<SnapshotResponse<TypeConfig>, String> {
        let mut failures = 0;
        let mut pause = Duration::from_millis(100);
        let mut furthest = 0;
        loop {
            let mut reached = furthest;
            let reason = match self.attempt(&mut reached).await {
                Ok(response) => return Ok(response),
                Err(Broke::Down(reason)) => return Err(reason),
                Err(Broke::Off(reason)) => reason,
            };
            if reached > furthest {
                (furthest, failures, pause) = (reached, 0, Duration::from_millis(100));
            }
            failures += 1;
            if failures > MAX_FAILURES {
                return Err(reason);
            }
            tracing::debug!(group = %self.group, to = self.to, reason, "a snapshot is interrupted");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Sends from wherever the receiver is; `reached` grows with each chunk it takes.
    async fn attempt(&self, reached: &mut u32) -> Result<SnapshotResponse<TypeConfig>, Broke> {
        let group = self.group.0;
        let header = self.source.header().map_err(|error| Broke::Down(error.to_string()))?;
        let begin = SnapshotMessage::Begin { group, transfer: self.transfer, meta: self.meta.clone(), header };
        let mut next = match self.ask(&begin, CHUNK_DEADLINE).await? {
            SnapshotAnswer::Next(next) => next,
            SnapshotAnswer::Installed(response) => return Ok(response),
            SnapshotAnswer::Unknown => return Err(Broke::Off("the receiver would not begin".to_owned())),
            SnapshotAnswer::Failed(reason) => return Err(Broke::Off(reason)),
        };
        let mut chunks: Option<Chunks> = None;
        loop {
            let source = Arc::clone(&self.source);
            let read = tokio::task::spawn_blocking(move || {
                let mut chunks = match chunks {
                    Some(chunks) => chunks,
                    None => source.chunks(next)?,
                };
                let chunk = chunks.next().transpose()?;
                io::Result::Ok((chunk, chunks))
            });
            let (chunk, rest) = match read.await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Err(Broke::Down(error.to_string())),
                Err(error) => return Err(Broke::Down(error.to_string())),
            };
            chunks = Some(rest);
            let Some(chunk) = chunk else { break };
            let (number, weight_bytes) = (chunk.number, chunk.weight_bytes);
            self.hub.copies().pace(self.group, NodeId(self.to), weight_bytes).await;
            let message = SnapshotMessage::Chunk { group, transfer: self.transfer, chunk };
            match self.ask(&message, CHUNK_DEADLINE).await? {
                SnapshotAnswer::Next(wanted) => {
                    if number >= *reached {
                        *reached = number + 1;
                        self.hub.copies().advance(self.group, NodeId(self.to), weight_bytes);
                    }
                    if wanted != number + 1 {
                        chunks = None;
                    }
                    next = wanted;
                }
                SnapshotAnswer::Installed(response) => return Ok(response),
                SnapshotAnswer::Unknown => return Err(Broke::Off("the receiver lost the transfer".to_owned())),
                SnapshotAnswer::Failed(reason) => return Err(Broke::Off(reason)),
            }
        }
        let finish = SnapshotMessage::Finish { group, transfer: self.transfer, vote: self.vote };
        match self.ask(&finish, FINISH_DEADLINE).await? {
            SnapshotAnswer::Installed(response) => Ok(response),
            SnapshotAnswer::Next(_) | SnapshotAnswer::Unknown => {
                Err(Broke::Off("the receiver lost the transfer".to_owned()))
            }
            SnapshotAnswer::Failed(reason) => Err(Broke::Down(reason)),
        }
    }

    async fn ask(&self, message: &SnapshotMessage, deadline: Duration) -> Result<SnapshotAnswer, Broke> {
        let answer = self.hub.send_snapshot(self.to, message, deadline).await;
        answer.map_err(|error| Broke::Off(error.to_string()))
    }
}
