//! Rows of [`SpaceId::META`]: what a node knows of its replicas. Keys are a letter and a big-endian number, so that they sort.

use crate::engine::{Change, Engine, SpaceId};
use bytes::Bytes;
use isobar_model::KeyRange;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A value that someone keeps by name.
    Cell = b'c',
    /// The number of the next extent.
    NextExtent = b'n',
    /// Who a replica is, by shard.
    Replica = b'r',
    /// How far a replica is, by shard.
    State = b's',
    /// How many replicas use an extent.
    ExtentUses = b'x',
}

impl Kind {
    pub(crate) fn key(self, number: u64) -> Bytes {
        let mut key = vec![self as u8];
        key.extend_from_slice(&number.to_be_bytes());
        key.into()
    }

    pub(crate) fn put<T: Serialize>(self, number: u64, value: &T) -> io::Result<Change> {
        let value = postcard::to_stdvec(value).map_err(io::Error::other)?.into();
        Ok(Change::Put { space: SpaceId::META, key: self.key(number), value })
    }

    pub(crate) fn remove(self, number: u64) -> Change {
        Change::Remove { space: SpaceId::META, key: self.key(number) }
    }

    /// All rows of this kind, by number.
    pub(crate) fn all<T: DeserializeOwned>(self, engine: &dyn Engine) -> io::Result<Vec<(u64, T)>> {
        let range = KeyRange {
            start: Bytes::copy_from_slice(&[self as u8]),
            end: Some(Bytes::copy_from_slice(&[self as u8 + 1])),
        };
        let number = |key: &[u8]| {
            let number = key.get(1..).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
            number.ok_or_else(|| damaged(&format!("the key of a row of kind {self:?}")))
        };
        engine
            .view()
            .range(SpaceId::META, &range)?
            .map(|row| row.and_then(|(key, value)| Ok((number(&key)?, decode(&format!("{self:?}"), &value)?))))
            .collect()
    }
}

/// Reads a stored value.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|_| damaged(what))
}

/// The error for stored data that can't be read.
pub(crate) fn damaged(what: &str) -> io::Error {
    let message = format!(
        "the data directory is damaged: {what} can't be read. Give the node an empty data directory; its replicas are copied from the others"
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}
