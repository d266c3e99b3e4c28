//! A log in memory, for simulations and tests.

use super::tail::{Answer, Tail};
use super::{GroupId, GroupLog, LogDone, LogEngine, LogRecord};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// A [`LogEngine`] that keeps everything in memory, unbounded, and calls `done` before `submit` returns: deterministic, no threads.
/// A clone of the `Arc` around it given to the next life of a node is what that node's disk would hold.
#[derive(Debug, Default)]
pub struct MemoryLog {
    groups: Mutex<BTreeMap<GroupId, Tail>>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl LogEngine for MemoryLog {
    fn open_group(&self, group: GroupId) -> io::Result<GroupLog> {
        let mut groups = self.groups.lock();
        let tail = groups.entry(group).or_default();
        let last = tail.last_index().and_then(|index| tail.read(index..index + 1).next());
        Ok(GroupLog { vote: tail.vote.clone(), committed: tail.committed.clone(), purged: tail.purged.clone(), last })
    }

    fn submit(&self, group: GroupId, records: Vec<LogRecord>, done: LogDone) {
        let outcome = self.groups.lock().entry(group).or_default().take(group, records).map(|_| ());
        done(outcome);
    }

    fn entries(&self, group: GroupId, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let groups = self.groups.lock();
        let Some(tail) = groups.get(&group) else { return Ok(Vec::new()) };
        let (_, range) = tail.locate(range);
        let mut answer = Answer::default();
        answer.fill(max_bytes, tail.read(range).map(Ok))?;
        Ok(answer.entries)
    }

    fn remove_group(&self, group: GroupId) -> io::Result<()> {
        self.groups.lock().remove(&group);
        Ok(())
    }

    fn groups(&self) -> io::Result<Vec<GroupId>> {
        let groups = self.groups.lock();
        Ok(groups.iter().filter(|(_, tail)| !tail.is_untouched()).map(|(&group, _)| group).collect())
    }
}
