//! A group's log as openraft wants it, over the log that all groups of a node share.

use crate::types::{Entry, LogId, TypeConfig, Vote, decode, encode};
use isobar_storage::{GroupId, LogEngine, LogRecord};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of entries in one message to a follower: large enough to catch up fast, small enough to leave the frame limit far off
/// (one entry may be larger, and travels alone).
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Makes durable what the entries about to be purged have done; purging before that could lose them with the machine's power.
pub(crate) type SyncState = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The log of one group.
#[derive(Clone)]
pub(crate) struct LogStore {
    group: GroupId,
    engine: Arc<dyn LogEngine>,
    sync_state: SyncState,
    /// What is asked for often, kept in memory. Written only by openraft's one core task of the group.
    cached: Arc<Mutex<Cached>>,
}

#[derive(Clone, Debug, Default)]
struct Cached {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore")
            .field("group", &self.group)
            .field("cached", &*self.cached.lock())
            .finish_non_exhaustive()
    }
}

impl LogStore {
    /// Opens the group's log, an empty one where there is none.
    pub(crate) fn open(group: GroupId, engine: Arc<dyn LogEngine>, sync_state: SyncState) -> io::Result<Self> {
        let stored = engine.open_group(group)?;
        let cached = Cached {
            vote: stored.vote.map(|bytes| decode(&bytes)).transpose()?,
            committed: stored.committed.map(|bytes| decode(&bytes)).transpose()?,
            purged: stored.purged.map(|(_, marker)| decode(&marker)).transpose()?,
            last: stored.last.map(|(_, entry)| decode::<Entry>(&entry)).transpose()?.map(|entry| entry.log_id()),
        };
        Ok(Self { group, engine, sync_state, cached: Arc::new(Mutex::new(cached)) })
    }

    /// Submits records and waits until they are durable.
    async fn write(&self, records: Vec<LogRecord>) -> io::Result<()> {
        let (sender, done) = oneshot::channel();
        self.engine.submit(
            self.group,
            records,
            Box::new(move |outcome| {
                let _ = sender.send(outcome);
            }),
        );
        done.await.map_err(|_| io::Error::other("the log has stopped"))?
    }

    fn read(&self, range: impl RangeBounds<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        let entries = self.engine.entries(self.group, start..end, max_bytes)?;
        entries.into_iter().map(|(_, bytes)| decode(&bytes)).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, MAX_BATCH_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.cached.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let cached = self.cached.lock();
        Ok(LogState { last_purged_log_id: cached.purged, last_log_id: cached.last.or(cached.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.cached.lock().vote = Some(*vote);
        self.write(vec![LogRecord::Vote(encode(vote)?)]).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.cached.lock().committed = committed;
        if let Some(committed) = committed {
            // Becomes durable with whatever comes next; losing it costs a replay, never data.
            self.engine.submit(self.group, vec![LogRecord::Committed(encode(&committed)?)], Box::new(|_| {}));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.cached.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut last = None;
        for entry in entries {
            records.push(LogRecord::Append { index: entry.log_id.index, entry: encode(&entry)? });
            last = Some(entry.log_id);
        }
        if last.is_none() {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.cached.lock().last = last;
        self.engine.submit(self.group, records, Box::new(move |outcome| callback.io_completed(outcome)));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        {
            let mut cached = self.cached.lock();
            if cached.last.map(|id| id.index) > last_log_id.map(|id| id.index) {
                cached.last = last_log_id;
            }
        }
        self.write(vec![LogRecord::TruncateAfter(last_log_id.map(|id| id.index))]).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let sync_state = Arc::clone(&self.sync_state);
        tokio::task::spawn_blocking(move || sync_state()).await.map_err(io::Error::other)??;
        {
            let mut cached = self.cached.lock();
            cached.purged = Some(log_id);
            if cached.last < Some(log_id) {
                cached.last = None;
            }
        }
        self.write(vec![LogRecord::Purge { upto: log_id.index, marker: encode(&log_id)? }]).await
    }
}
