//! Receiving a snapshot.
//!
//! The rows go into an extent of their own, so that the replica serves what it has until the snapshot is whole and proven. Proven means:
//! the receiver reads back what it stored and its digest comes to the sender's. A receiver that is dropped leaves nothing behind.

use crate::digest::RowsDigest;
use crate::engine::{Change, Engine};
use crate::extent::FreshExtent;
use crate::snapshot::{SnapshotChunk, SnapshotHeader};
use bytes::Bytes;
use isobar_model::KeyRange;
use std::io;
use std::sync::Arc;

/// Why a chunk or a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Chunks are missing: send from `expected` on.
    #[error("chunk {expected} comes next, chunk {given} came: send from chunk {expected} on")]
    Gap {
        /// What is missing.
        expected: u32,
        /// What came.
        given: u32,
    },
    /// It did not arrive as it was sent: send it again.
    #[error("chunk {number} was damaged on its way: send it again")]
    Damaged {
        /// Which.
        number: u32,
    },
    /// The snapshot can't be right: start again with a new one.
    #[error("the snapshot is not sound: {0}: start again with a new one")]
    Unsound(String),
    /// The engine failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the chunks of one snapshot in order.
#[derive(Debug)]
pub struct SnapshotReceiver {
    engine: Arc<dyn Engine>,
    extent: FreshExtent,
    header: SnapshotHeader,
    next: u32,
    complete: bool,
    /// The last key taken.
    last_key: Option<Bytes>,
    received_bytes: u64,
}

/// A whole snapshot whose digest is proven, to be installed. Dropped instead, it is deleted.
#[derive(Debug)]
pub struct ReceivedSnapshot {
    pub(crate) header: SnapshotHeader,
    pub(crate) extent: FreshExtent,
}

impl ReceivedSnapshot {
    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }
}

impl SnapshotReceiver {
    pub(crate) fn new(engine: Arc<dyn Engine>, extent: FreshExtent, header: SnapshotHeader) -> io::Result<Self> {
        Ok(Self { engine, extent, header, next: 0, complete: false, last_key: None, received_bytes: 0 })
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The number of the chunk that comes next: where to go on after a break.
    #[must_use]
    pub fn next_chunk(&self) -> u32 {
        self.next
    }

    /// Whether the last chunk was taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Bytes of keys and values taken so far; of [`SnapshotHeader::bytes`].
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Takes a chunk and returns the number of the one that comes next. A chunk taken before is no error and changes nothing.
    ///
    /// # Errors
    /// See [`ReceiveError`]; the chunk was not taken.
    pub fn take(&mut self, chunk: &SnapshotChunk) -> Result<u32, ReceiveError> {
        if !chunk.is_intact() {
            return Err(ReceiveError::Damaged { number: chunk.number });
        }
        if chunk.number < self.next {
            return Ok(self.next);
        }
        if chunk.number > self.next {
            return Err(ReceiveError::Gap { expected: self.next, given: chunk.number });
        }
        if self.complete {
            return Err(ReceiveError::Unsound(format!("chunk {} came after the last", chunk.number)));
        }
        let unsound = |what: &str| ReceiveError::Unsound(format!("chunk {} {what}", chunk.number));
        let rows = chunk.decode_rows().ok_or_else(|| unsound("holds something else than rows"))?;
        let mut last_key = self.last_key.as_ref();
        let mut bytes = 0;
        for (key, value) in &rows {
            if last_key.is_some_and(|last| key <= last) {
                return Err(unsound("is not in order of the keys"));
            }
            if !self.header.range.contains(key) {
                return Err(unsound("holds a key outside the shard's range"));
            }
            last_key = Some(key);
            bytes += (key.len() + value.len()) as u64;
        }
        let last_key = last_key.cloned();
        let space = self.extent.id;
        self.engine.write(rows.into_iter().map(|(key, value)| Change::Put { space, key, value }).collect())?;
        self.last_key = last_key;
        self.received_bytes += bytes;
        self.complete = chunk.last;
        self.next += 1;
        Ok(self.next)
    }

    /// Reads back what was stored and compares it with the header.
    ///
    /// # Errors
    /// `Unsound` where chunks are missing or the digest differs; the engine failed. What was received is deleted.
    pub fn finish(self) -> Result<ReceivedSnapshot, ReceiveError> {
        if !self.complete {
            return Err(ReceiveError::Unsound(format!("it ends before chunk {}", self.next)));
        }
        let everything = KeyRange { start: Bytes::new(), end: None };
        let (mut digest, mut rows, mut bytes) = (RowsDigest::default(), 0, 0);
        for row in self.engine.view().range(self.extent.id, &everything)? {
            let (key, value) = row?;
            digest.add(&key, &value);
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        let Self { header, extent, .. } = self;
        if (digest, rows, bytes) != (header.digest, header.rows, header.bytes) {
            return Err(ReceiveError::Unsound(format!(
                "stored {rows} rows of {bytes} bytes with digest {:032x}, the sender has {} rows of {} bytes with digest {:032x}",
                digest.0, header.rows, header.bytes, header.digest.0
            )));
        }
        Ok(ReceivedSnapshot { header, extent })
    }
}
