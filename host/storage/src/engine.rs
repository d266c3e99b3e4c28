//! The seam under shard stores: ordered spaces of rows, written in atomic batches, read through snapshots.

mod fjall_engine;
mod memory_engine;

pub use fjall_engine::FjallEngine;
pub use memory_engine::MemoryEngine;

use bytes::Bytes;
use isobar_model::KeyRange;
use std::fmt;
use std::io;

/// An ordered space of rows. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SpaceId(pub u64);

impl SpaceId {
    /// The space every engine has from the first: what the node knows of its replicas.
    pub const META: Self = Self(0);
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One change of a batch. Keys are 1 to 65 535 bytes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row.
    Put {
        /// Where.
        space: SpaceId,
        /// Its key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Removes a row; one that is not there is no error.
    Remove {
        /// Where.
        space: SpaceId,
        /// Its key.
        key: Bytes,
    },
}

/// Rows in order of their keys, as they were at one instant.
pub type Rows = Box<dyn Iterator<Item = io::Result<(Bytes, Bytes)>> + Send>;

/// Reads at one instant: the same answer however much is written meanwhile.
pub trait View: Send + Sync + fmt::Debug {
    /// One row.
    ///
    /// # Errors
    /// `NotFound` for a space that does not exist; reading fails, or what was read is damaged.
    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>>;

    /// The rows of `range`. The iterator stands by itself: it may outlive the view, and the space.
    ///
    /// # Errors
    /// `NotFound` for a space that does not exist.
    fn range(&self, space: SpaceId, range: &KeyRange) -> io::Result<Rows>;
}

/// The engine of a node.
///
/// A batch is atomic and visible when `write` returns, and survives the death of the process, though not yet that of the machine:
/// batches become durable in the order they were written, at the latest when [`Engine::sync`] returns.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Makes a space; one that exists is no error.
    ///
    /// # Errors
    /// Writing fails.
    fn create(&self, space: SpaceId) -> io::Result<()>;

    /// Removes a space and its rows, in the background: it is gone for whoever looks for it from now on, while views and iterators
    /// opened before go on. After a restart it may be there again. One that does not exist is no error.
    fn delete(&self, space: SpaceId);

    /// All spaces but [`SpaceId::META`], ascending.
    fn spaces(&self) -> Vec<SpaceId>;

    /// Writes a batch.
    ///
    /// # Errors
    /// `NotFound` for a space that does not exist, `InvalidInput` for a key too short or too long: nothing was written. Otherwise
    /// writing failed, and the node must be restarted.
    fn write(&self, changes: Vec<Change>) -> io::Result<()>;

    /// One row as it is now.
    ///
    /// # Errors
    /// As [`View::get`].
    fn get(&self, space: SpaceId, key: &[u8]) -> io::Result<Option<Bytes>>;

    /// A view of now. Holding it makes the engine keep what it sees: drop it when done.
    fn view(&self) -> Box<dyn View>;

    /// Makes every batch written so far durable.
    ///
    /// # Errors
    /// Syncing fails: the node must be restarted.
    fn sync(&self) -> io::Result<()>;
}

/// Longest key of a row, in bytes: fjall's bound.
const MAX_ROW_KEY_BYTES: usize = u16::MAX as usize;

fn no_such_space(space: SpaceId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("the engine has no space {space}"))
}

/// Refuses keys that an engine can't hold.
fn check_keys(changes: &[Change]) -> io::Result<()> {
    for change in changes {
        let (Change::Put { key, .. } | Change::Remove { key, .. }) = change;
        if key.is_empty() || key.len() > MAX_ROW_KEY_BYTES {
            let message =
                format!("a row's key must be 1 to {MAX_ROW_KEY_BYTES} bytes long, this one has {}", key.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    Ok(())
}
