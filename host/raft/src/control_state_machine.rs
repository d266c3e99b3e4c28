//! A replicated state as openraft wants it: in memory, with its last snapshot on disk.
//!
//! After a restart the state is the last snapshot plus the log after it, up to what was known to be committed. A snapshot is durable
//! before openraft hears of it, and so before the log is cut.

use crate::snapshot_transfer::{Chunk, Chunks, SnapshotData, SnapshotSink, SnapshotSource};
use crate::types::{LogId, Reply, SnapshotMeta, StoredMembership, TypeConfig, decode, encode};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use isobar_ports::ReplicatedState;
use isobar_storage::Cell;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Bytes of a chunk of a state on its way.
const CHUNK_BYTES: usize = 256 << 10;
/// The largest state that is taken from a peer: metadata and digests of a million shards fit.
const MAX_STATE_BYTES: usize = 1 << 30;

/// The state and how far it is, changed together.
pub(crate) struct Applied<S> {
    pub(crate) state: S,
    last: Option<LogId>,
    membership: StoredMembership,
}

/// What the group's member and its readers share.
pub(crate) struct Shared<S> {
    pub(crate) applied: RwLock<Applied<S>>,
    pub(crate) index: watch::Sender<u64>,
    cell: Cell,
    /// What the cell holds, so that an older snapshot never replaces a newer one.
    saved: Mutex<Option<LogId>>,
}

/// A snapshot on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Saved {
    meta: SnapshotMeta,
    state: Bytes,
}

impl<S: ReplicatedState> Shared<S> {
    pub(crate) fn new(state: S, cell: Cell) -> Self {
        let applied = Applied { state, last: None, membership: StoredMembership::default() };
        Self { applied: RwLock::new(applied), index: watch::Sender::new(0), cell, saved: Mutex::new(None) }
    }

    /// Makes a snapshot durable, unless a newer one is.
    fn save(&self, saved: &Saved) -> io::Result<()> {
        let mut last = self.saved.lock();
        if saved.meta.last_log_id > *last {
            self.cell.write(encode(saved)?)?;
            *last = saved.meta.last_log_id;
        }
        Ok(())
    }

    fn load(&self) -> io::Result<Option<Saved>> {
        let mut last = self.saved.lock();
        let Some(bytes) = self.cell.read()? else { return Ok(None) };
        let saved: Saved = decode(&bytes)?;
        *last = saved.meta.last_log_id;
        Ok(Some(saved))
    }
}

/// Applies the control group's log.
pub(crate) struct ControlStateMachine<S> {
    shared: Arc<Shared<S>>,
}

impl<S> ControlStateMachine<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared }
    }
}

impl<S: ReplicatedState> RaftStateMachine<TypeConfig> for ControlStateMachine<S> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder<S>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.shared.applied.read();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<T>(&mut self, mut entries: T) -> io::Result<()>
    where
        T: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let index = entry.log_id.index;
            let reply = {
                let mut applied = self.shared.applied.write();
                applied.last = Some(entry.log_id);
                match entry.payload {
                    EntryPayload::Normal(command) => applied.state.apply(index, &command.0),
                    EntryPayload::Membership(membership) => {
                        applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                        Bytes::new()
                    }
                    EntryPayload::Blank => Bytes::new(),
                }
            };
            self.shared.index.send_replace(index);
            if let Some(responder) = responder {
                responder.send(Reply(reply));
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<S> {
        let applied = self.shared.applied.read();
        let meta = SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership.clone() };
        SnapshotBuilder {
            shared: Arc::clone(&self.shared),
            saved: Arc::new(Saved { meta, state: applied.state.snapshot() }),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let state = match snapshot {
            SnapshotData::State(state) => state,
            // The one on disk, as the group starts.
            SnapshotData::Source(source) => source.whole()?,
            SnapshotData::Marker | SnapshotData::Shard(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "this is not the snapshot of a replicated state",
                ));
            }
        };
        let shared = Arc::clone(&self.shared);
        let saved = Saved { meta: meta.clone(), state };
        let install = move || {
            shared.save(&saved)?;
            let mut applied = shared.applied.write();
            applied.state.restore(&saved.state)?;
            applied.last = saved.meta.last_log_id;
            applied.membership = saved.meta.last_membership;
            drop(applied);
            shared.index.send_replace(saved.meta.last_log_id.map_or(0, |id| id.index));
            Ok(())
        };
        tokio::task::spawn_blocking(install).await.map_err(io::Error::other)?
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some(saved) = self.shared.load()? else { return Ok(None) };
        let source = Arc::new(StateSource(saved.state));
        Ok(Some(Snapshot { meta: saved.meta, snapshot: SnapshotData::Source(source) }))
    }
}

/// Saves the state as it was when the builder was made.
pub(crate) struct SnapshotBuilder<S> {
    shared: Arc<Shared<S>>,
    saved: Arc<Saved>,
}

impl<S: ReplicatedState> RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder<S> {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (shared, saved) = (Arc::clone(&self.shared), Arc::clone(&self.saved));
        tokio::task::spawn_blocking(move || shared.save(&saved)).await.map_err(io::Error::other)??;
        Ok(Snapshot { meta: self.saved.meta.clone(), snapshot: SnapshotData::Marker })
    }
}

/// Sends a state.
struct StateSource(Bytes);

impl fmt::Debug for StateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateSource({} bytes)", self.0.len())
    }
}

/// What a state is to be when it has arrived.
#[derive(Debug, Serialize, Deserialize)]
struct StateHeader {
    bytes: usize,
    digest: isobar_model::Digest,
}

impl SnapshotSource for StateSource {
    fn header(&self) -> io::Result<Bytes> {
        encode(&StateHeader { bytes: self.0.len(), digest: isobar_model::Digest::of(&self.0) })
    }

    fn total_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn chunks(&self, from: u32) -> io::Result<Chunks> {
        let state = self.0.clone();
        let chunk = move |number: u32| {
            let start = (number as usize).checked_mul(CHUNK_BYTES).filter(|&start| start < state.len())?;
            let body = state.slice(start..(start + CHUNK_BYTES).min(state.len()));
            Some(Ok(Chunk { number, weight_bytes: body.len() as u64, body }))
        };
        Ok(Box::new((from..).map_while(chunk)))
    }

    fn whole(&self) -> io::Result<Bytes> {
        Ok(self.0.clone())
    }
}

/// Takes a state.
#[derive(Debug)]
pub(crate) struct StateSink {
    header: StateHeader,
    next: u32,
    state: BytesMut,
}

impl StateSink {
    pub(crate) fn open(header: &[u8]) -> io::Result<Self> {
        let header: StateHeader = decode(header)?;
        if header.bytes > MAX_STATE_BYTES {
            let message = format!("a state of {} bytes is over the limit of {MAX_STATE_BYTES}", header.bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self { header, next: 0, state: BytesMut::new() })
    }
}

impl SnapshotSink for StateSink {
    fn next_chunk(&self) -> u32 {
        self.next
    }

    fn take(&mut self, chunk: &Chunk) -> Result<u32, String> {
        if chunk.number == self.next {
            if self.state.len() + chunk.body.len() > self.header.bytes {
                return Err("the state is longer than it was said to be".to_owned());
            }
            self.state.extend_from_slice(&chunk.body);
            self.next += 1;
        }
        Ok(self.next)
    }

    fn finish(self: Box<Self>) -> Result<SnapshotData, String> {
        let state = self.state.freeze();
        if state.len() != self.header.bytes || isobar_model::Digest::of(&state) != self.header.digest {
            return Err("the state did not arrive as it was sent".to_owned());
        }
        Ok(SnapshotData::State(state))
    }
}
