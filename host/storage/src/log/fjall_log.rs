//! The shared log on disk: one keyspace of a fjall database of its own.
//!
//! Its own database, not the one the replicas' rows are in: a batch holds its database's journal while it syncs, and applying must not
//! wait for the log's syncs.
//!
//! Rows are `[group, 8 bytes big endian] [tag] [index, 8 bytes big endian, of an entry]`.

use super::flusher::{Flusher, Job};
use super::tail::{Answer, Change, Tail};
use super::{GroupId, GroupLog, LogDone, LogEngine, LogRecord};
use crate::fjall_errors::io_error;
use crate::row::damaged;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Entries kept in memory of one group, in bytes: what a follower that is a little behind asks for.
const GROUP_TAIL_BYTES: usize = 512 << 10;
/// Entries kept in memory of a group that nobody wrote to for a while: an idle group must cost next to nothing.
const IDLE_TAIL_BYTES: usize = 4 << 10;
/// Entries kept in memory of all groups. Only what is not yet on disk (bounded by the queue) may exceed it.
const ALL_TAILS_BYTES: usize = 32 << 20;
/// Memtable of the log: what is read back from it after a restart, and what it costs in memory, twice over while it is written out.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Block cache: only a follower far behind reads from disk, and in order.
const CACHE_BYTES: u64 = 2 << 20;
/// fjall's least. The journal is cut back as memtables are written out.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Open files: the log has few tables.
const OPEN_FILES: usize = 16;
/// How often reading starts anew when a purge overtakes it.
const READ_ATTEMPTS: usize = 4;

const VOTE: u8 = 0;
const COMMITTED: u8 = 1;
const PURGED: u8 = 2;
const ENTRY: u8 = 3;

/// A [`LogEngine`] on disk. `done` is called on the flusher's thread. The queue to it holds 16 MiB: `submit` blocks while it is full.
/// Dropped, it writes what is queued.
#[derive(Debug)]
pub struct FjallLog {
    shared: Arc<Shared>,
    flusher: Flusher,
}

/// What the flusher and the callers share.
pub(super) struct Shared {
    database: fjall::Database,
    rows: fjall::Keyspace,
    groups: RwLock<HashMap<GroupId, Arc<Group>>>,
    /// Bytes in the tails of all groups.
    tail_bytes: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("groups", &self.groups.read().len())
            .field("tail_bytes", &self.tail_bytes.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A group in memory.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    tail: Mutex<Tail>,
    /// The last submission that the last sweep saw: none since, and the group is idle.
    swept: AtomicU64,
}

impl FjallLog {
    /// Opens the log in `directory`, which is made where it is missing.
    ///
    /// # Errors
    /// The directory can't be written to, another process has it open, or what is in it is damaged.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let database = fjall::Database::builder(directory)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(io_error)?;
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let rows = database.keyspace("log", options).map_err(io_error)?;
        let groups = RwLock::default();
        let shared = Arc::new(Shared { database, rows, groups, tail_bytes: AtomicUsize::new(0) });
        let flusher = Flusher::start(Arc::clone(&shared))?;
        Ok(Self { shared, flusher })
    }
}

impl LogEngine for FjallLog {
    fn open_group(&self, group: GroupId) -> io::Result<GroupLog> {
        let group = self.shared.group(group)?;
        let (mut state, last_index, mut last) = {
            let tail = group.tail.lock();
            let state = GroupLog {
                vote: tail.vote.clone(),
                committed: tail.committed.clone(),
                purged: tail.purged.clone(),
                last: None,
            };
            let last_index = tail.last_index();
            (state, last_index, last_index.and_then(|index| tail.read(index..index + 1).next()))
        };
        if let (Some(index), None) = (last_index, &last) {
            last = self.entries(group.id, index..index + 1, 0)?.pop();
        }
        state.last = last;
        Ok(state)
    }

    fn submit(&self, group: GroupId, records: Vec<LogRecord>, done: LogDone) {
        let committed_only = records.iter().all(|record| matches!(record, LogRecord::Committed(_)));
        let cost = records.iter().map(record_cost).sum();
        if let Err(error) = self.flusher.reserve(cost) {
            return done(Err(error));
        }
        let group = match self.shared.group(group) {
            Ok(group) => group,
            Err(error) => {
                self.flusher.release(cost);
                return done(Err(error));
            }
        };
        // The tail stays locked until the job is queued, so that jobs of a group are queued in the order of their submissions.
        let mut tail = group.tail.lock();
        let before = tail.bytes();
        let taken = tail.take(group.id, records);
        self.shared.note_growth(before, tail.bytes());
        match taken {
            Err(error) => {
                drop(tail);
                self.flusher.release(cost);
                done(Err(error));
            }
            Ok(changes) if committed_only => {
                let marker = changes.into_iter().rev().find_map(|change| match change {
                    Change::Committed(marker) => Some(marker),
                    Change::Put(..) | Change::Vote(_) | Change::Remove(_) | Change::Purged(..) | Change::Forget(_) => {
                        None
                    }
                });
                self.flusher.push_committed(group.id, marker, cost);
                drop(tail);
                done(Ok(()));
            }
            Ok(changes) => {
                let job = Job { group: Arc::clone(&group), submission: tail.submitted(), changes, cost, done };
                self.flusher.push(job);
                drop(tail);
            }
        }
    }

    fn entries(&self, group: GroupId, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let group = self.shared.group(group)?;
        for _ in 0..READ_ATTEMPTS {
            let (on_disk, newest) = {
                let tail = group.tail.lock();
                let (on_disk, in_memory) = tail.locate(range.clone());
                let mut newest = Answer::default();
                newest.fill(max_bytes, tail.read(in_memory).map(Ok))?;
                (on_disk, newest.entries)
            };
            let mut answer = Answer::default();
            let all = answer.fill(max_bytes, self.shared.stored_entries(group.id, on_disk.clone()))?;
            let without_gap =
                answer.entries.iter().zip(on_disk.clone()).all(|((index, _), expected)| *index == expected);
            if without_gap && !all {
                return Ok(answer.entries);
            }
            if without_gap && answer.entries.len() as u64 == on_disk.end - on_disk.start {
                answer.fill(max_bytes, newest.into_iter().map(Ok))?;
                return Ok(answer.entries);
            }
            // Entries are missing: a purge or truncation overtook the reading, or they are really gone.
        }
        Err(damaged(&format!("the log of group {}", group.id)))
    }

    fn remove_group(&self, group: GroupId) -> io::Result<()> {
        let group = self.shared.group(group)?;
        let (sender, outcome) = mpsc::sync_channel(1);
        self.flusher.reserve(0)?;
        {
            let mut tail = group.tail.lock();
            let before = tail.bytes();
            let changes = tail.forget();
            self.shared.note_growth(before, tail.bytes());
            let done: LogDone = Box::new(move |result| {
                // Whoever asked waits for it below, or is gone.
                let _ = sender.try_send(result);
            });
            self.flusher.push(Job { group: Arc::clone(&group), submission: tail.submitted(), changes, cost: 0, done });
        }
        outcome.recv().map_err(|_| io::Error::other("the log was closed"))??;
        self.shared.groups.write().remove(&group.id);
        Ok(())
    }

    fn groups(&self) -> io::Result<Vec<GroupId>> {
        let mut groups = BTreeSet::new();
        let mut from = Some(0u64);
        while let Some(start) = from {
            let Some(row) = self.shared.rows.range(start.to_be_bytes()..).next() else { break };
            let group = group_of(&row.key().map_err(io_error)?)?;
            groups.insert(group);
            from = group.0.checked_add(1);
        }
        for (id, group) in &*self.shared.groups.read() {
            if group.tail.lock().is_untouched() {
                groups.remove(id);
            } else {
                groups.insert(*id);
            }
        }
        Ok(groups.into_iter().collect())
    }
}

impl Shared {
    /// The group in memory, read from disk where it is not.
    fn group(&self, id: GroupId) -> io::Result<Arc<Group>> {
        if let Some(group) = self.groups.read().get(&id) {
            return Ok(Arc::clone(group));
        }
        let mut groups = self.groups.write();
        if let Some(group) = groups.get(&id) {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(Group { id, tail: Mutex::new(self.load(id)?), swept: AtomicU64::new(0) });
        groups.insert(id, Arc::clone(&group));
        Ok(group)
    }

    fn load(&self, group: GroupId) -> io::Result<Tail> {
        let read = |tag: u8| {
            let value = self.rows.get(key(group, tag)).map_err(io_error)?;
            Ok::<_, io::Error>(value.map(|value| Bytes::copy_from_slice(&value)))
        };
        let purged = match read(PURGED)? {
            None => None,
            Some(value) => {
                let (upto, marker) = value.split_first_chunk().ok_or_else(|| damaged("the purge marker of a group"))?;
                Some((u64::from_be_bytes(*upto), value.slice_ref(marker)))
            }
        };
        let mut entries = self.rows.range(entry_key(group, 0)..=entry_key(group, u64::MAX));
        let index = |row: fjall::Guard| index_of(&row.key().map_err(io_error)?);
        let first = entries.next().map(index).transpose()?;
        let last = entries.next_back().map(index).transpose()?.or(first);
        let existing = first.zip(last).map(|(first, last)| first..last + 1);
        Ok(Tail::new(read(VOTE)?, read(COMMITTED)?, purged, existing))
    }

    fn stored_entries(&self, group: GroupId, range: Range<u64>) -> impl Iterator<Item = io::Result<(u64, Bytes)>> {
        self.rows.range(entry_key(group, range.start)..entry_key(group, range.end)).map(|row| {
            let (key, entry) = row.into_inner().map_err(io_error)?;
            Ok((index_of(&key)?, Bytes::copy_from_slice(&entry)))
        })
    }

    /// Writes what jobs change, in their order, then the markers; synced where there are jobs.
    pub(super) fn write(&self, jobs: &[Job], committed: &HashMap<GroupId, Bytes>) -> io::Result<()> {
        let mode = if jobs.is_empty() { fjall::PersistMode::Buffer } else { fjall::PersistMode::SyncData };
        let mut batch = self.database.batch().durability(Some(mode));
        for job in jobs {
            let group = job.group.id;
            for change in &job.changes {
                match change {
                    Change::Put(index, entry) => batch.insert(&self.rows, entry_key(group, *index), &entry[..]),
                    Change::Vote(vote) => batch.insert(&self.rows, key(group, VOTE), &vote[..]),
                    Change::Committed(marker) => batch.insert(&self.rows, key(group, COMMITTED), &marker[..]),
                    Change::Purged(upto, marker) => {
                        let value = [&upto.to_be_bytes()[..], marker].concat();
                        batch.insert(&self.rows, key(group, PURGED), value);
                    }
                    Change::Remove(range) => {
                        for index in range.clone() {
                            batch.remove(&self.rows, entry_key(group, index));
                        }
                    }
                    Change::Forget(range) => {
                        for tag in [VOTE, COMMITTED, PURGED] {
                            batch.remove(&self.rows, key(group, tag));
                        }
                        for index in range.clone() {
                            batch.remove(&self.rows, entry_key(group, index));
                        }
                    }
                }
            }
        }
        for (group, marker) in committed {
            batch.insert(&self.rows, key(*group, COMMITTED), &marker[..]);
        }
        batch.commit().map_err(io_error)
    }

    /// Notes that a job is on disk: its entries need not be in memory any more.
    pub(super) fn note_flushed(&self, group: &Group, submission: u64) {
        let mut tail = group.tail.lock();
        tail.note_flushed(submission);
        let freed = tail.shrink_to(GROUP_TAIL_BYTES);
        self.tail_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Whether the tails together hold more than they may.
    pub(super) fn is_over_bound(&self) -> bool {
        self.tail_bytes.load(Ordering::Relaxed) > ALL_TAILS_BYTES
    }

    /// Shrinks the tails of groups that nobody wrote to since the last sweep and, where all together hold too much, the others.
    pub(super) fn sweep(&self) {
        let over = self.is_over_bound();
        let groups: Vec<Arc<Group>> = self.groups.read().values().cloned().collect();
        let share = ALL_TAILS_BYTES / 2 / groups.len().max(1);
        for group in groups {
            let mut tail = group.tail.lock();
            let idle = group.swept.swap(tail.submitted(), Ordering::Relaxed) == tail.submitted();
            let bytes = match (idle, over) {
                (true, _) => IDLE_TAIL_BYTES,
                (false, true) => share,
                (false, false) => GROUP_TAIL_BYTES,
            };
            let freed = tail.shrink_to(bytes);
            self.tail_bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    fn note_growth(&self, before: usize, after: usize) {
        if after >= before {
            self.tail_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.tail_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

/// What a record takes of the queue, in bytes.
fn record_cost(record: &LogRecord) -> usize {
    const OVERHEAD_BYTES: usize = 128;
    OVERHEAD_BYTES
        + match record {
            LogRecord::Append { entry: bytes, .. }
            | LogRecord::Vote(bytes)
            | LogRecord::Committed(bytes)
            | LogRecord::Purge { marker: bytes, .. } => bytes.len(),
            LogRecord::TruncateAfter(_) => 0,
        }
}

fn key(group: GroupId, tag: u8) -> Vec<u8> {
    let mut key = group.0.to_be_bytes().to_vec();
    key.push(tag);
    key
}

fn entry_key(group: GroupId, index: u64) -> Vec<u8> {
    let mut key = key(group, ENTRY);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn group_of(key: &[u8]) -> io::Result<GroupId> {
    let (group, _) = key.split_first_chunk().ok_or_else(|| damaged("a key of the log"))?;
    Ok(GroupId(u64::from_be_bytes(*group)))
}

fn index_of(key: &[u8]) -> io::Result<u64> {
    let (_, index) = key.split_last_chunk().ok_or_else(|| damaged("a key of the log"))?;
    Ok(u64::from_be_bytes(*index))
}
