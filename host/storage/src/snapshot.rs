//! Snapshots of a replica, sent in chunks.
//!
//! A snapshot is an engine view: taking one copies nothing, and applying goes on while it is sent. Its chunks are cut by size alone, so
//! that sending can go on from any of them.

use crate::digest::RowsDigest;
use crate::engine::{Rows, SpaceId, View};
use crate::row::{Kind, damaged, decode};
use crate::shard_store::{ReplicaRecord, ReplicaState};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use isobar_model::{Generation, KeyRange, ShardId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// Bytes of rows in a chunk: small enough to throttle by and to send again, large enough to keep a disk busy. A larger row comes alone.
pub const CHUNK_BYTES: usize = 256 << 10;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The shard.
    pub shard: ShardId,
    /// The internal keys it holds.
    pub range: KeyRange,
    /// The generation of the range.
    pub generation: Generation,
    /// Raft's marker of the last entry in it (see [`ReplicaState::applied`]).
    pub applied: Bytes,
    /// The sender's digest: what the receiver's own must come to.
    pub digest: RowsDigest,
    /// Rows in all.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// A part of a snapshot's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    /// From 0, without gap.
    pub number: u32,
    /// Whether it is the last.
    pub last: bool,
    /// The rows, in order of their keys.
    pub rows: Bytes,
    /// CRC-32 (IEEE) of number, `last` and rows.
    pub crc32: u32,
}

impl SnapshotChunk {
    fn new(number: u32, last: bool, rows: Bytes) -> Self {
        let crc32 = checksum(number, last, &rows);
        Self { number, last, rows, crc32 }
    }

    /// Whether it arrived as it was sent.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.crc32 == checksum(self.number, self.last, &self.rows)
    }

    /// Its rows; none where its bytes are not rows.
    pub(crate) fn decode_rows(&self) -> Option<Vec<(Bytes, Bytes)>> {
        let mut left = self.rows.clone();
        let mut rows = Vec::new();
        let take = |left: &mut Bytes| {
            let len = left.try_get_u32_le().ok()? as usize;
            (len <= left.len()).then(|| left.split_to(len))
        };
        while !left.is_empty() {
            rows.push((take(&mut left)?, take(&mut left)?));
        }
        Some(rows)
    }
}

fn checksum(number: u32, last: bool, rows: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&[u8::from(last)]);
    hasher.update(rows);
    hasher.finalize()
}

/// A replica at one instant. Drop it when it is sent: while it lives the engine keeps what it sees.
#[derive(Debug)]
pub struct ShardSnapshot {
    header: SnapshotHeader,
    view: Box<dyn View>,
    extent: SpaceId,
    /// First keys of the chunks that were cut so far, for going on from one of them. Grows by one key for 256 KiB sent.
    starts: Arc<Mutex<Vec<Bytes>>>,
}

impl ShardSnapshot {
    pub(crate) fn take(view: Box<dyn View>, shard: ShardId) -> io::Result<Self> {
        let read = |kind: Kind| view.get(SpaceId::META, &kind.key(shard.0));
        let record =
            read(Kind::Replica)?.ok_or_else(|| damaged(&format!("the record of the replica of shard {shard}")))?;
        let record: ReplicaRecord = decode("the record of a replica", &record)?;
        let state: ReplicaState = match read(Kind::State)? {
            Some(state) => decode("the state of a replica", &state)?,
            None => ReplicaState::default(),
        };
        let header = SnapshotHeader {
            shard,
            range: record.range.clone(),
            generation: record.generation,
            applied: state.applied,
            digest: state.digest,
            rows: state.rows,
            bytes: state.bytes,
        };
        let starts = Arc::new(Mutex::new(vec![record.range.start]));
        Ok(Self { header, view, extent: record.extent, starts })
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Its chunks from number `from` on, read as they are asked for. There is always at least one. The iterator stands by itself.
    ///
    /// # Errors
    /// The engine failed.
    pub fn chunks(&self, from: u32) -> io::Result<SnapshotChunks> {
        let (known, start) = {
            let starts = self.starts.lock();
            let known = (from as usize).min(starts.len() - 1);
            (known, starts[known].clone())
        };
        let rows = self.view.range(self.extent, &KeyRange { start, end: self.header.range.end.clone() })?;
        let mut chunks = SnapshotChunks {
            rows,
            pending: None,
            number: u32::try_from(known).map_err(io::Error::other)?,
            done: false,
            starts: Arc::clone(&self.starts),
        };
        while chunks.number < from && !chunks.done {
            chunks.cut()?;
        }
        Ok(chunks)
    }
}

/// The chunks of a snapshot, in order.
pub struct SnapshotChunks {
    rows: Rows,
    /// A row that did not fit into the last chunk.
    pending: Option<(Bytes, Bytes)>,
    number: u32,
    done: bool,
    starts: Arc<Mutex<Vec<Bytes>>>,
}

impl std::fmt::Debug for SnapshotChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotChunks").field("number", &self.number).field("done", &self.done).finish_non_exhaustive()
    }
}

impl SnapshotChunks {
    fn cut(&mut self) -> io::Result<SnapshotChunk> {
        let mut bytes = BytesMut::new();
        loop {
            let row = self.pending.take().map(Ok).or_else(|| self.rows.next());
            let Some((key, value)) = row.transpose()? else {
                self.done = true;
                break;
            };
            if !bytes.is_empty() && bytes.len() + 8 + key.len() + value.len() > CHUNK_BYTES {
                let mut starts = self.starts.lock();
                if starts.len() == self.number as usize + 1 {
                    starts.push(key.clone());
                }
                self.pending = Some((key, value));
                break;
            }
            for part in [key, value] {
                bytes.put_u32_le(u32::try_from(part.len()).map_err(io::Error::other)?);
                bytes.put(part);
            }
        }
        let chunk = SnapshotChunk::new(self.number, self.done, bytes.freeze());
        self.number += 1;
        Ok(chunk)
    }
}

impl Iterator for SnapshotChunks {
    type Item = io::Result<SnapshotChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let chunk = self.cut();
        self.done |= chunk.is_err();
        Some(chunk)
    }
}
