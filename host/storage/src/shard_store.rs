//! One replica's rows, digest and place in its log.

use crate::digest::RowsDigest;
use crate::engine::{Change, Engine, SpaceId};
use crate::extent::Extents;
use crate::row::Kind;
use crate::shard_command::{ShardCommand, ShardReply};
use crate::snapshot::{ShardSnapshot, SnapshotHeader};
use crate::snapshot_receiver::{ReceivedSnapshot, SnapshotReceiver};
use bytes::Bytes;
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use isobar_model::{Generation, Incarnation, KeyRange, ShardId};
use isobar_ports::ReplicaDigest;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

/// Most bytes of rows in one page of a scan: what a reply may hold in memory for one client. A row that is larger comes alone.
pub const MAX_PAGE_BYTES: usize = 1 << 20;
/// Verify entries whose digest is remembered: a mover asks for the last one, seconds after it; the others are for late askers.
const VERIFIES_KEPT: usize = 8;
/// Longest internal key, in bytes: a client's longest, behind a hash slot.
const MAX_INTERNAL_KEY_BYTES: usize = MAX_KEY_BYTES + 2;

/// Who a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// The shard.
    pub shard: ShardId,
    /// Which life of it on this node.
    pub incarnation: Incarnation,
    /// The extent its rows are in.
    pub extent: SpaceId,
    /// The internal keys it holds.
    pub range: KeyRange,
    /// Raised with every change of the range.
    pub generation: Generation,
}

/// How far a replica is. Written in the same batch as the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// What Raft wants to remember of the last applied entry (its log id, the membership); empty where nothing was applied.
    pub applied: Bytes,
    /// Over all rows.
    pub digest: RowsDigest,
    /// How many there are.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// What was recorded at the last verify entries, oldest first.
    pub verified: VecDeque<ReplicaDigest>,
}

impl ReplicaState {
    /// Puts `new` in the place of `old` under `key`.
    pub(crate) fn replace(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.digest.remove(key, old);
            self.rows -= 1;
            self.bytes -= (key.len() + old.len()) as u64;
        }
        if let Some(new) = new {
            self.digest.add(key, new);
            self.rows += 1;
            self.bytes += (key.len() + new.len()) as u64;
        }
    }
}

/// Part of a scan's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In order of the internal key.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Where to go on; none: the shard's part of the range is through.
    pub next: Option<Bytes>,
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The key is not in the shard's range: route again.
    #[error("the key is outside the range of the shard at generation {generation}")]
    OutOfRange {
        /// The generation of the range.
        generation: Generation,
    },
    /// The engine failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
struct Current {
    record: ReplicaRecord,
    state: ReplicaState,
}

/// Whether a store may still write: a snapshot that comes late must not bring back a replica that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Living,
    Removed,
}

/// One replica of a shard on this node. Its rows, its state and its place in the log change in one atomic batch; they are not synced on
/// their own, as the log has every entry until [`Self::sync`] was called and the log purged.
#[derive(Debug)]
pub struct ShardStore {
    engine: Arc<dyn Engine>,
    extents: Arc<Extents>,
    /// Held by whoever changes rows: one at a time. Readers never wait for it.
    changing: Mutex<Life>,
    current: RwLock<Current>,
}

impl ShardStore {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        extents: Arc<Extents>,
        record: ReplicaRecord,
        state: ReplicaState,
    ) -> Self {
        Self { engine, extents, changing: Mutex::new(Life::Living), current: RwLock::new(Current { record, state }) }
    }

    /// Who the replica is.
    #[must_use]
    pub fn record(&self) -> ReplicaRecord {
        self.current.read().record.clone()
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> ReplicaState {
        self.current.read().state.clone()
    }

    /// What it recorded at the verify entry with this log index, while that is one of the last eight.
    #[must_use]
    pub fn digest_at(&self, index: u64) -> Option<ReplicaDigest> {
        self.current.read().state.verified.iter().find(|digest| digest.index == index).copied()
    }

    /// Applies commands, each with its log index, in order and in one batch, and remembers `applied` with them. Returns the encoded
    /// [`ShardReply`] of each. No commands: only `applied` moves on, as after a blank entry or a membership.
    ///
    /// A key is checked against the range as it is now: a command routed by an older generation takes effect where its key is still in
    /// range, and is refused otherwise (promise 4).
    ///
    /// # Errors
    /// `NotFound` where the replica was removed. Otherwise the engine failed: nothing was applied, and the node must be restarted.
    pub fn apply(&self, commands: &[(u64, Bytes)], applied: Bytes) -> io::Result<Vec<Bytes>> {
        let _changing = self.change()?;
        let (record, state) = {
            let current = self.current.read();
            (current.record.clone(), current.state.clone())
        };
        let mut round = Round { engine: &*self.engine, record: &record, state, written: HashMap::new() };
        let mut replies = Vec::with_capacity(commands.len());
        for (index, command) in commands {
            let reply = match ShardCommand::decode(command) {
                Ok(command) => round.apply(*index, command)?,
                Err(error) => ShardReply::Malformed(format!("not a shard command: {error}")),
            };
            replies.push(reply.encode());
        }
        let Round { mut state, written, .. } = round;
        state.applied = applied;
        let space = record.extent;
        let mut changes = Vec::with_capacity(written.len() + 1);
        changes.extend(written.into_iter().map(|(key, value)| match value {
            Some(value) => Change::Put { space, key, value },
            None => Change::Remove { space, key },
        }));
        changes.push(Kind::State.put(record.shard.0, &state)?);
        self.engine.write(changes)?;
        self.current.write().state = state;
        Ok(replies)
    }

    /// The value of an internal key, as last applied.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let current = self.current.read();
        let ReplicaRecord { range, generation, extent, .. } = &current.record;
        if !range.contains(key) {
            return Err(ReadError::OutOfRange { generation: *generation });
        }
        if key.is_empty() {
            return Ok(None); // no row has an empty key: `apply` refuses it
        }
        Ok(self.engine.get(*extent, key)?)
    }

    /// Rows from `start` up to and without `end`, as last applied: at most `limit` of them and [`MAX_PAGE_BYTES`]. What lies past the
    /// shard's range is left out.
    ///
    /// # Errors
    /// See [`ReadError`]; the key that must be in range is `start`.
    pub fn scan(&self, start: &Bytes, end: Option<&Bytes>, limit: usize) -> Result<Page, ReadError> {
        let rows = {
            let current = self.current.read();
            let ReplicaRecord { range, generation, extent, .. } = &current.record;
            if !range.contains(start) {
                return Err(ReadError::OutOfRange { generation: *generation });
            }
            let end = end.into_iter().chain(&range.end).min().cloned();
            if end.as_ref().is_some_and(|end| end <= start) {
                return Ok(Page::default());
            }
            self.engine.view().range(*extent, &KeyRange { start: start.clone(), end })?
        };
        let mut page = Page::default();
        let mut bytes = 0;
        for row in rows {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            if page.rows.len() >= limit || (bytes > MAX_PAGE_BYTES && !page.rows.is_empty()) {
                page.next = Some(key);
                break;
            }
            page.rows.push((key, value));
        }
        Ok(page)
    }

    /// Everything as last applied, at one instant; applying goes on meanwhile.
    ///
    /// # Errors
    /// The engine failed.
    pub fn snapshot(&self) -> io::Result<ShardSnapshot> {
        let shard = self.current.read().record.shard;
        ShardSnapshot::take(self.engine.view(), shard)
    }

    /// Gets ready to receive a snapshot into an extent of its own. The replica serves and applies as before until
    /// [`Self::install`].
    ///
    /// # Errors
    /// `InvalidInput` for the snapshot of another shard; the engine failed.
    pub fn receive(&self, header: SnapshotHeader) -> io::Result<SnapshotReceiver> {
        self.check_shard(header.shard)?;
        SnapshotReceiver::new(Arc::clone(&self.engine), self.extents.create()?, header)
    }

    /// Puts a received snapshot in the place of all rows and state, atomically and durably; the old extent is deleted in the background.
    ///
    /// # Errors
    /// `InvalidInput` for the snapshot of another shard, `NotFound` where the replica was removed; the engine failed.
    pub fn install(&self, received: ReceivedSnapshot) -> io::Result<()> {
        let ReceivedSnapshot { header, extent } = received;
        self.check_shard(header.shard)?;
        let _changing = self.change()?;
        let mut current = self.current.write();
        let old = current.record.extent;
        let record = ReplicaRecord {
            extent: extent.id,
            range: header.range,
            generation: header.generation,
            ..current.record.clone()
        };
        let state = ReplicaState {
            applied: header.applied,
            digest: header.digest,
            rows: header.rows,
            bytes: header.bytes,
            verified: VecDeque::new(),
        };
        let changes = vec![Kind::Replica.put(record.shard.0, &record)?, Kind::State.put(record.shard.0, &state)?];
        self.extents.write(Some(extent), Some(old), changes)?;
        *current = Current { record, state };
        Ok(())
    }

    /// Makes everything applied so far durable. Call it before the log is purged.
    ///
    /// # Errors
    /// Syncing failed: the node must be restarted.
    pub fn sync(&self) -> io::Result<()> {
        self.engine.sync()
    }

    /// Removes the replica for good: from now on nothing can be applied or installed.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut life = self.change()?;
        let ReplicaRecord { shard, extent, .. } = self.record();
        let changes = vec![Kind::Replica.remove(shard.0), Kind::State.remove(shard.0)];
        self.extents.write(None, Some(extent), changes)?;
        *life = Life::Removed;
        Ok(())
    }

    fn change(&self) -> io::Result<MutexGuard<'_, Life>> {
        let life = self.changing.lock();
        match *life {
            Life::Living => Ok(life),
            Life::Removed => {
                let message = format!("the replica of shard {} was removed from this node", self.record().shard);
                Err(io::Error::new(io::ErrorKind::NotFound, message))
            }
        }
    }

    fn check_shard(&self, shard: ShardId) -> io::Result<()> {
        let own = self.current.read().record.shard;
        if shard == own {
            return Ok(());
        }
        let message = format!("a snapshot of shard {shard} was sent to a replica of shard {own}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// One call of [`ShardStore::apply`].
struct Round<'a> {
    engine: &'a dyn Engine,
    record: &'a ReplicaRecord,
    state: ReplicaState,
    /// What this round wrote so far, none where it removed.
    written: HashMap<Bytes, Option<Bytes>>,
}

impl Round<'_> {
    fn apply(&mut self, index: u64, command: ShardCommand) -> io::Result<ShardReply> {
        match command {
            ShardCommand::Put { key, value, generation: _ } => {
                if value.len() > MAX_VALUE_BYTES {
                    let reason = format!("a value has at most {MAX_VALUE_BYTES} bytes, this one {}", value.len());
                    return Ok(ShardReply::Malformed(reason));
                }
                self.write(key, Some(value))
            }
            ShardCommand::Delete { key, generation: _ } => self.write(key, None),
            ShardCommand::Verify => {
                let digest = ReplicaDigest { index, digest: self.state.digest.0, rows: self.state.rows };
                if self.state.verified.len() >= VERIFIES_KEPT {
                    self.state.verified.pop_front();
                }
                self.state.verified.push_back(digest);
                Ok(ShardReply::Verified(digest))
            }
        }
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) -> io::Result<ShardReply> {
        if key.is_empty() || key.len() > MAX_INTERNAL_KEY_BYTES {
            let reason = format!("a key has 1 to {MAX_INTERNAL_KEY_BYTES} bytes, this one {}", key.len());
            return Ok(ShardReply::Malformed(reason));
        }
        if !self.record.range.contains(&key) {
            return Ok(ShardReply::OutOfRange { generation: self.record.generation });
        }
        let old = match self.written.get(&key) {
            Some(value) => value.clone(),
            None => self.engine.get(self.record.extent, &key)?,
        };
        self.state.replace(&key, old.as_deref(), value.as_deref());
        self.written.insert(key, value);
        Ok(ShardReply::Written)
    }
}
