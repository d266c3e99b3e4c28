//! Moving a snapshot from a leader to a learner or a follower that is far behind.
//!
//! State before: the receiver's replica is empty or old, and serves what it has.
//! 1. *begin*: the sender names the transfer and what the snapshot is of; the receiver answers with the chunk that comes next, which is
//!    not the first where this transfer broke off before.
//! 2. *chunk*: one at a time, paced to the copy's rate. A lost connection leads back to 1.
//! 3. *finish*: the receiver reads back what it stored, compares digests, and installs through Raft, which checks the leader's vote.
//!
//! State after: the replica is at the snapshot's last entry, and the log goes on from there. The sender may be stopped at any point: the
//! receiver drops a half-taken snapshot when another begins, when the replica goes, or when nothing came for [`IDLE_LIMIT`].

use crate::hub::{Member, RaftHub};
use crate::types::{SnapshotMeta, TypeConfig, Vote};
use bytes::Bytes;
use isobar_model::NodeId;
use isobar_storage::{GroupId, ReceivedSnapshot};
use openraft::errors::{ReplicationClosed, StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a half-taken snapshot is kept for a sender that lost its connection.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// For the answer to one chunk: the receiver writes 256 KiB, perhaps behind a compaction.
const CHUNK_DEADLINE: Duration = Duration::from_secs(15);
/// For reading a whole replica back and comparing digests.
const FINISH_DEADLINE: Duration = Duration::from_secs(300);
/// Failures in a row, without a chunk taken between them, after which Raft decides anew (with a fresh snapshot).
const MAX_FAILURES: u32 = 20;
/// The longest wait between two tries; the first is 100 ms, each later one twice the one before.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// What can be sent: always the same bytes, from any chunk on.
pub(crate) trait SnapshotSource: Send + Sync + fmt::Debug {
    /// Encoded, for the receiver's state machine.
    fn header(&self) -> io::Result<Bytes>;
    /// Bytes of all chunks, as they are counted for rate and progress.
    fn total_bytes(&self) -> u64;
    /// Chunks from number `from` on.
    fn chunks(&self, from: u32) -> io::Result<Chunks>;
    /// All of it at once, where it is small enough to be held in memory.
    fn whole(&self) -> io::Result<Bytes> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this snapshot is read in chunks"))
    }
}

/// Chunks in order.
pub(crate) type Chunks = Box<dyn Iterator<Item = io::Result<Chunk>> + Send>;

/// A part of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) number: u32,
    /// Bytes that count for rate and progress.
    pub(crate) weight_bytes: u64,
    pub(crate) body: Bytes,
}

/// Takes what a source gives.
pub(crate) trait SnapshotSink: Send {
    /// The chunk that comes next.
    fn next_chunk(&self) -> u32;
    /// Takes a chunk, and says which comes next.
    fn take(&mut self, chunk: &Chunk) -> Result<u32, String>;
    /// Checks that the snapshot is whole and sound.
    fn finish(self: Box<Self>) -> Result<SnapshotData, String>;
}

/// What openraft passes between our state machines and our network.
pub(crate) enum SnapshotData {
    /// Compacts the log and is not to be read: the state machine is its own snapshot.
    Marker,
    /// To be sent.
    Source(Arc<dyn SnapshotSource>),
    /// A shard's, received and proven.
    Shard(ReceivedSnapshot),
    /// A replicated state's, whole.
    State(Bytes),
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Marker => "Marker",
            Self::Source(_) => "Source",
            Self::Shard(_) => "Shard",
            Self::State(_) => "State",
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum SnapshotMessage {
    Begin { group: u64, transfer: u64, meta: SnapshotMeta, header: Bytes },
    Chunk { group: u64, transfer: u64, chunk: Chunk },
    Finish { group: u64, transfer: u64, vote: Vote },
}

impl SnapshotMessage {
    pub(crate) fn group(&self) -> GroupId {
        match self {
            Self::Begin { group, .. } | Self::Chunk { group, .. } | Self::Finish { group, .. } => GroupId(*group),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum SnapshotAnswer {
    /// Send this chunk next.
    Next(u32),
    /// Done.
    Installed(SnapshotResponse<TypeConfig>),
    /// The receiver knows nothing of this transfer (any more): begin again.
    Unknown,
    /// This snapshot will not do.
    Failed(String),
}

// ---------------------------------------------------------------------------------------------------------------------------------
// The sender

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

// ---------------------------------------------------------------------------------------------------------------------------------
// The receiver

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

// ---------------------------------------------------------------------------------------------------------------------------------
// Rates and progress

/// The rate and the progress of the copies this node sends or may come to send.
#[derive(Debug, Default)]
pub(crate) struct CopyTable {
    copies: Mutex<HashMap<(GroupId, NodeId), Copy>>,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    /// 0: unthrottled.
    rate_bytes_per_s: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) total_bytes: u64,
    sending: bool,
}

/// Marks a copy as being sent until dropped.
pub(crate) struct Copying<'a> {
    table: &'a CopyTable,
    key: (GroupId, NodeId),
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if let Some(copy) = self.table.copies.lock().get_mut(&self.key) {
            copy.sending = false;
        }
    }
}

impl CopyTable {
    /// Paces copies of `group` to `node` from now on, one that runs included.
    pub(crate) fn set_rate(&self, group: GroupId, node: NodeId, rate_bytes_per_s: u64) {
        self.copies.lock().entry((group, node)).or_default().rate_bytes_per_s = rate_bytes_per_s;
    }

    pub(crate) fn begin(&self, group: GroupId, node: NodeId, total_bytes: u64) -> Copying<'_> {
        let key = (group, node);
        let mut copies = self.copies.lock();
        let copy = copies.entry(key).or_default();
        (copy.copied_bytes, copy.total_bytes, copy.sending) = (0, total_bytes, true);
        Copying { table: self, key }
    }

    fn advance(&self, group: GroupId, node: NodeId, bytes: u64) {
        if let Some(copy) = self.copies.lock().get_mut(&(group, node)) {
            copy.copied_bytes = (copy.copied_bytes + bytes).min(copy.total_bytes);
        }
    }

    /// Waits as long as `bytes` take at the copy's rate: the bucket starts empty, so that a copy takes its bytes divided by its rate. The
    /// wait is cut up, so that a new rate counts soon.
    async fn pace(&self, group: GroupId, node: NodeId, bytes: u64) {
        const SLICE: Duration = Duration::from_millis(250);
        #[expect(clippy::cast_precision_loss, reason = "a pace needs no more than 52 bits")]
        let mut left = bytes as f64;
        loop {
            let rate = self.copies.lock().get(&(group, node)).map_or(0, |copy| copy.rate_bytes_per_s);
            if rate == 0 || left <= 0.0 {
                return;
            }
            #[expect(clippy::cast_precision_loss, reason = "a pace needs no more than 52 bits")]
            let rate = rate as f64;
            let wait = Duration::try_from_secs_f64(left / rate).unwrap_or(SLICE).min(SLICE);
            tokio::time::sleep(wait).await;
            left -= wait.as_secs_f64() * rate;
            if left < 1.0 {
                return;
            }
        }
    }

    /// How far the copy of `group` to `node` is.
    pub(crate) fn progress(&self, group: GroupId, node: NodeId) -> Copy {
        self.copies.lock().get(&(group, node)).copied().unwrap_or_default()
    }

    /// Whether any copy of `group` is being sent.
    pub(crate) fn is_sending(&self, group: GroupId) -> bool {
        self.copies.lock().iter().any(|((of, _), copy)| *of == group && copy.sending)
    }

    /// Drops rate and progress of the copy of `group` to `node`.
    pub(crate) fn end(&self, group: GroupId, node: NodeId) {
        self.copies.lock().remove(&(group, node));
    }

    /// Drops all there is of `group`.
    pub(crate) fn forget(&self, group: GroupId) {
        self.copies.lock().retain(|(of, _), _| *of != group);
    }
}
