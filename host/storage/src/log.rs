//! The durable log that all groups of a node share.
//!
//! One log for a node, not one for a group: whatever waits, of whichever group, becomes durable by one `fdatasync` (group commit).
//!
//! What holds for every [`LogEngine`]:
//! - records of one group take effect in the order they were submitted;
//! - `done` is called once the records, and all of the group submitted before them, are durable, on a thread of the log's own or on the
//!   caller's; it must not block and must not call the log. Committed markers alone are answered at once;
//! - what was submitted can be read at once, durable or not;
//! - a failed write or sync is final: every later submit fails, and says that the node must be restarted. (After a failed `fsync` the
//!   kernel may have dropped the pages, so that trying again would acknowledge what is not on disk.)

mod fjall_log;
mod flusher;
mod memory_log;
mod tail;

pub use fjall_log::FjallLog;
pub use memory_log::MemoryLog;

use bytes::Bytes;
use isobar_model::ShardId;
use std::fmt;
use std::io;
use std::ops::Range;

/// A Raft group: the number of its shard, or 0 for the control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group that replicates the control state. No shard has this number.
    pub const CONTROL: Self = Self(0);
}

impl From<ShardId> for GroupId {
    fn from(shard: ShardId) -> Self {
        Self(shard.0)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One change of a group's log. Entries, votes and markers are opaque: their encoding is Raft's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRecord {
    /// Adds an entry. Indices ascend without gap from the last one; the first of an empty log may be any, unless the log was purged:
    /// then it follows the purged index.
    Append {
        /// Its index.
        index: u64,
        /// Its encoding.
        entry: Bytes,
    },
    /// Replaces the vote.
    Vote(Bytes),
    /// Replaces the marker of what is committed. Alone it becomes durable with the next other record of any group, or within seconds:
    /// Raft may lose it and recover.
    Committed(Bytes),
    /// Removes all entries after this index; all entries there are where none is given.
    TruncateAfter(Option<u64>),
    /// Removes all entries up to and with `upto`, and keeps `marker` in their place. A purge past the last entry empties the log.
    Purge {
        /// Last index removed.
        upto: u64,
        /// What Raft wants to remember of it (its log id).
        marker: Bytes,
    },
}

/// What a log holds of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLog {
    /// The vote last saved.
    pub vote: Option<Bytes>,
    /// The committed marker last saved.
    pub committed: Option<Bytes>,
    /// Index and marker of the last purge.
    pub purged: Option<(u64, Bytes)>,
    /// Index and encoding of the last entry; none where the log is empty (then `purged` says where it goes on).
    pub last: Option<(u64, Bytes)>,
}

/// Called once with the outcome of a submission.
pub type LogDone = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The log of a node. See the module for what every implementation promises.
pub trait LogEngine: Send + Sync + fmt::Debug {
    /// What is there of `group`, an empty log where nothing is.
    ///
    /// # Errors
    /// Reading fails, or what was read is damaged.
    fn open_group(&self, group: GroupId) -> io::Result<GroupLog>;

    /// Queues `records` and returns. Blocks while the queue is full (its bound is the implementation's), which lasts as long as one
    /// sync: safe to call from an async task, as no task is needed for the queue to empty.
    ///
    /// Where a record breaks the order of indices, none takes effect and `done` gets `InvalidInput` at once.
    fn submit(&self, group: GroupId, records: Vec<LogRecord>, done: LogDone);

    /// Entries of `range` that exist, ascending, durable or not; stops after `max_bytes`, though never before the first entry.
    ///
    /// # Errors
    /// Reading fails, or what was read is damaged.
    fn entries(&self, group: GroupId, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>>;

    /// Removes all there is of `group`, durably, and returns when it is gone. The group must not be written to meanwhile. Removing
    /// what is not there is no error.
    ///
    /// # Errors
    /// Writing fails.
    fn remove_group(&self, group: GroupId) -> io::Result<()>;

    /// All groups of which anything is stored, ascending.
    ///
    /// # Errors
    /// Reading fails.
    fn groups(&self) -> io::Result<Vec<GroupId>>;
}

/// The error of a submission that breaks the order of indices.
fn out_of_order(group: GroupId, index: u64, expected: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("group {group}: entry {index} does not follow the log, whose next index is {expected}"),
    )
}
