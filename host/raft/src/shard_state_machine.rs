//! A shard's state machine as openraft wants it, over its replica's store.
//!
//! The store is durable by itself (up to the last sync, which comes before every purge of the log), so that a snapshot is a view of it:
//! building one copies nothing and only lets the log be cut, and the one that is sent is opened at that moment.

use crate::hub::RaftHub;
use crate::snapshot_transfer::{Chunk, Chunks, SnapshotData, SnapshotSink, SnapshotSource};
use crate::types::{LogId, Reply, SnapshotMeta, StoredMembership, TypeConfig, decode, encode};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use isobar_storage::{
    GroupId, ReceiveError, ShardSnapshot, ShardStore, SnapshotChunk, SnapshotHeader, SnapshotReceiver,
};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// What the store keeps for Raft beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Applied {
    /// Reads a store's marker; empty: nothing was applied.
    pub(crate) fn read(marker: &[u8]) -> io::Result<Self> {
        if marker.is_empty() { Ok(Self::default()) } else { decode(marker) }
    }

    fn meta(self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.last, last_membership: self.membership }
    }
}

/// Applies a shard's log.
#[derive(Clone, Debug)]
pub(crate) struct ShardStateMachine {
    group: GroupId,
    hub: RaftHub,
    store: Arc<ShardStore>,
    applied: Applied,
}

impl ShardStateMachine {
    pub(crate) fn open(group: GroupId, hub: RaftHub, store: Arc<ShardStore>) -> io::Result<Self> {
        let applied = Applied::read(&store.state().applied)?;
        Ok(Self { group, hub, store, applied })
    }
}

impl RaftStateMachine<TypeConfig> for ShardStateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = LogCut;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut applied = self.applied.clone();
        let mut commands = Vec::new();
        // Who waits, and for the reply to which command; none: the entry is no command.
        let mut waiting = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            applied.last = Some(entry.log_id);
            let mut command = None;
            match entry.payload {
                EntryPayload::Normal(bytes) => {
                    command = Some(commands.len());
                    commands.push((entry.log_id.index, bytes.0));
                }
                EntryPayload::Membership(membership) => {
                    applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
                EntryPayload::Blank => {}
            }
            if let Some(responder) = responder {
                waiting.push((responder, command));
            }
        }
        let replies = self.store.apply(&commands, encode(&applied)?)?;
        self.applied = applied;
        for (responder, command) in waiting {
            let reply = command.and_then(|command| replies.get(command).cloned()).unwrap_or_default();
            responder.send(Reply(reply));
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<LogCut> {
        // While a copy is being sent, the log after it must stay: the learner would need a second snapshot, and then a third.
        if !force && self.hub.copies().is_sending(self.group) {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> LogCut {
        LogCut(self.applied.clone().meta())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        let about = meta.clone();
        let install = move || match snapshot {
            SnapshotData::Shard(received) => store.install(received),
            SnapshotData::Source(source) => {
                // Not by way of the network: the same proof, chunk by chunk.
                let mut sink = ShardSink::open(&store, &about, &source.header()?)?;
                for chunk in source.chunks(0)? {
                    sink.take(&chunk?).map_err(io::Error::other)?;
                }
                store.install(sink.0.finish().map_err(io::Error::other)?)
            }
            SnapshotData::Marker | SnapshotData::State(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not the snapshot of a shard"))
            }
        };
        tokio::task::spawn_blocking(install).await.map_err(io::Error::other)??;
        self.applied = Applied { last: meta.last_log_id, membership: meta.last_membership.clone() };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        if self.applied.last.is_none() {
            return Ok(None);
        }
        let snapshot = ShardSource(self.store.snapshot()?);
        let meta = Applied::read(&snapshot.0.header().applied)?.meta();
        Ok(Some(Snapshot { meta, snapshot: SnapshotData::Source(Arc::new(snapshot)) }))
    }
}

/// Lets the log be cut at what was applied.
#[derive(Debug)]
pub(crate) struct LogCut(SnapshotMeta);

impl RaftSnapshotBuilder<TypeConfig> for LogCut {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        Ok(Snapshot { meta: self.0.clone(), snapshot: SnapshotData::Marker })
    }
}

/// Sends a view of a replica.
#[derive(Debug)]
struct ShardSource(ShardSnapshot);

/// Bytes of a row's two lengths in a chunk.
const ROW_OVERHEAD_BYTES: u64 = 8;

impl SnapshotSource for ShardSource {
    fn header(&self) -> io::Result<Bytes> {
        encode(self.0.header())
    }

    fn total_bytes(&self) -> u64 {
        self.0.header().bytes + ROW_OVERHEAD_BYTES * self.0.header().rows
    }

    fn chunks(&self, from: u32) -> io::Result<Chunks> {
        Ok(Box::new(self.0.chunks(from)?.map(|chunk| {
            let chunk = chunk?;
            Ok(Chunk { number: chunk.number, weight_bytes: chunk.rows.len() as u64, body: encode(&chunk)? })
        })))
    }
}

/// Takes a replica's rows.
#[derive(Debug)]
pub(crate) struct ShardSink(SnapshotReceiver);

impl ShardSink {
    /// Gets ready for the snapshot that `meta` and `header` tell of, which must agree.
    pub(crate) fn open(store: &ShardStore, meta: &SnapshotMeta, header: &[u8]) -> io::Result<Self> {
        let header: SnapshotHeader = decode(header)?;
        if Applied::read(&header.applied)?.meta() != *meta {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the snapshot is of another log entry than it says",
            ));
        }
        Ok(Self(store.receive(header)?))
    }
}

impl SnapshotSink for ShardSink {
    fn next_chunk(&self) -> u32 {
        self.0.next_chunk()
    }

    fn take(&mut self, chunk: &Chunk) -> Result<u32, String> {
        let chunk: SnapshotChunk = decode(&chunk.body).map_err(|error| error.to_string())?;
        match self.0.take(&chunk) {
            Ok(next) => Ok(next),
            // The sender goes back to what is missing.
            Err(ReceiveError::Gap { expected, .. }) => Ok(expected),
            Err(ReceiveError::Damaged { number }) => Ok(number),
            Err(error @ (ReceiveError::Unsound(_) | ReceiveError::Io(_))) => Err(error.to_string()),
        }
    }

    fn finish(self: Box<Self>) -> Result<SnapshotData, String> {
        self.0.finish().map(SnapshotData::Shard).map_err(|error| error.to_string())
    }
}
