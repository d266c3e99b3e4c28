//! What is kept in memory of one group's log: its state, and its newest entries.

use super::{GroupId, LogRecord, out_of_order};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;

/// Bytes that an entry in memory costs beside its own: index, reference and the allocation's header, rounded up.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Which entries exist, in memory or not: those from `first` up to and without `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) next: u64,
    /// Whether an empty log must go on at `next`, since it was purged.
    pub(super) purged: bool,
}

impl Span {
    fn is_empty(self) -> bool {
        self.first >= self.next
    }

    /// The span after `record`, or none where an entry does not follow.
    fn after(mut self, record: &LogRecord) -> Option<Self> {
        match record {
            LogRecord::Append { index, .. } => {
                if self.is_empty() && !self.purged {
                    self.first = *index;
                } else if *index != self.next {
                    return None;
                }
                self.next = index + 1;
            }
            LogRecord::TruncateAfter(after) => {
                self.next = self.next.min(after.map_or(0, |after| after + 1)).max(self.first);
            }
            LogRecord::Purge { upto, .. } => {
                self.first = self.first.max(upto + 1);
                self.next = self.next.max(self.first);
                self.purged = true;
            }
            LogRecord::Vote(_) | LogRecord::Committed(_) => {}
        }
        Some(self)
    }
}

/// An entry in memory.
#[derive(Clone, Debug)]
struct TailEntry {
    bytes: Bytes,
    /// The submission it came with: while that is not flushed, the entry is nowhere else.
    submission: u64,
}

impl TailEntry {
    fn cost(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD_BYTES
    }
}

/// What a submission changes on disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put(u64, Bytes),
    Vote(Bytes),
    Committed(Bytes),
    Remove(Range<u64>),
    Purged(u64, Bytes),
    /// Vote, markers and these entries: all there is.
    Forget(Range<u64>),
}

/// A group's state, and its newest entries without gap up to the last one. Pure: the log around it reads and writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) purged: Option<(u64, Bytes)>,
    span: Span,
    /// The newest entries: the last of them is that before `span.next`.
    entries: VecDeque<TailEntry>,
    /// What `entries` cost.
    bytes: usize,
    /// The last submission, numbered from 1.
    submitted: u64,
    /// The last submission that is flushed.
    flushed: u64,
}

impl Tail {
    /// A group as it was found on disk: nothing in memory yet.
    pub(super) fn new(
        vote: Option<Bytes>,
        committed: Option<Bytes>,
        purged: Option<(u64, Bytes)>,
        existing: Option<Range<u64>>,
    ) -> Self {
        let floor = purged.as_ref().map_or(0, |(upto, _)| upto + 1);
        let Range { start: first, end: next } = existing.unwrap_or(floor..floor);
        let span = Span { first, next, purged: purged.is_some() };
        Self { vote, committed, purged, span, ..Self::default() }
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_untouched(&self) -> bool {
        self.vote.is_none() && self.committed.is_none() && self.purged.is_none() && self.span.is_empty()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last submission's number.
    pub(super) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Index of the last entry.
    pub(super) fn last_index(&self) -> Option<u64> {
        (!self.span.is_empty()).then(|| self.span.next - 1)
    }

    /// Index of the first entry in memory, or the one after the last.
    fn tail_first(&self) -> u64 {
        self.span.next - self.entries.len() as u64
    }

    /// Takes in `records` as one submission and says what to write.
    ///
    /// # Errors
    /// An entry does not follow the log: then nothing is changed.
    pub(super) fn take(&mut self, group: GroupId, records: Vec<LogRecord>) -> io::Result<Vec<Change>> {
        let mut span = self.span;
        for record in &records {
            span = match (span.after(record), record) {
                (Some(span), _) => span,
                (None, LogRecord::Append { index, .. }) => return Err(out_of_order(group, *index, span.next)),
                (None, _) => span,
            };
        }
        self.submitted += 1;
        let mut changes = Vec::with_capacity(records.len());
        for record in records {
            self.take_one(record, &mut changes);
        }
        Ok(changes)
    }

    fn take_one(&mut self, record: LogRecord, changes: &mut Vec<Change>) {
        let before = self.span;
        let Some(after) = before.after(&record) else { return };
        match record {
            LogRecord::Append { index, entry } => {
                let in_tail = TailEntry { bytes: entry.clone(), submission: self.submitted };
                self.bytes += in_tail.cost();
                self.entries.push_back(in_tail);
                changes.push(Change::Put(index, entry));
            }
            LogRecord::Vote(vote) => {
                self.vote = Some(vote.clone());
                changes.push(Change::Vote(vote));
            }
            LogRecord::Committed(committed) => {
                self.committed = Some(committed.clone());
                changes.push(Change::Committed(committed));
            }
            LogRecord::TruncateAfter(_) => {
                for _ in after.next..before.next {
                    let Some(entry) = self.entries.pop_back() else { break };
                    self.bytes -= entry.cost();
                }
                if after.next < before.next {
                    changes.push(Change::Remove(after.next..before.next));
                }
            }
            LogRecord::Purge { upto, marker } => {
                for _ in self.tail_first()..after.first {
                    let Some(entry) = self.entries.pop_front() else { break };
                    self.bytes -= entry.cost();
                }
                let gone = before.first..after.first.min(before.next);
                if !gone.is_empty() {
                    changes.push(Change::Remove(gone));
                }
                if self.purged.as_ref().is_none_or(|(earlier, _)| *earlier < upto) {
                    self.purged = Some((upto, marker.clone()));
                    changes.push(Change::Purged(upto, marker));
                }
            }
        }
        self.span = after;
    }

    /// Forgets everything, as one submission, and says what to write.
    pub(super) fn forget(&mut self) -> Vec<Change> {
        let Span { first, next, .. } = self.span;
        *self = Self { submitted: self.submitted + 1, flushed: self.flushed, ..Self::default() };
        vec![Change::Forget(first..next)]
    }

    /// Notes that everything up to and with this submission is flushed.
    pub(super) fn note_flushed(&mut self, submission: u64) {
        self.flushed = self.flushed.max(submission);
    }

    /// Forgets the oldest flushed entries until the others cost at most `bytes`; returns how much that freed.
    pub(super) fn shrink_to(&mut self, bytes: usize) -> usize {
        let before = self.bytes;
        while self.bytes > bytes && self.entries.front().is_some_and(|e| e.submission <= self.flushed) {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes -= entry.cost();
        }
        if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        before - self.bytes
    }

    /// Cuts the existing entries of `range` in two: those to read from disk, and those to read from memory.
    pub(super) fn locate(&self, range: Range<u64>) -> (Range<u64>, Range<u64>) {
        let start = range.start.max(self.span.first);
        let end = range.end.min(self.span.next).max(start);
        let cut = self.tail_first().clamp(start, end);
        (start..cut, cut..end)
    }

    /// Entries of `range`, as far as in memory.
    pub(super) fn read(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Bytes)> {
        let first = self.tail_first();
        range.map_while(move |index| {
            let entry = self.entries.get(usize::try_from(index.checked_sub(first)?).ok()?)?;
            Some((index, entry.bytes.clone()))
        })
    }
}

/// Entries on their way to whoever asked for at most so many bytes, though never for none.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) entries: Vec<(u64, Bytes)>,
    bytes: usize,
}

impl Answer {
    /// Takes entries until `max_bytes` are used up. Returns whether there was room for all of them.
    pub(super) fn fill(
        &mut self,
        max_bytes: usize,
        entries: impl Iterator<Item = io::Result<(u64, Bytes)>>,
    ) -> io::Result<bool> {
        for entry in entries {
            let (index, entry) = entry?;
            self.bytes = self.bytes.saturating_add(entry.len());
            if self.bytes > max_bytes && !self.entries.is_empty() {
                return Ok(false);
            }
            self.entries.push((index, entry));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(1);

    fn append(tail: &mut Tail, index: u64) -> Vec<Change> {
        let entry = Bytes::from(vec![index as u8; 100]);
        tail.take(GROUP, vec![LogRecord::Append { index, entry }]).unwrap()
    }

    fn indices(tail: &Tail) -> Vec<u64> {
        let (_, in_memory) = tail.locate(0..u64::MAX);
        tail.read(in_memory).map(|(index, _)| index).collect()
    }

    #[test]
    fn only_what_is_flushed_leaves_memory() {
        let mut tail = Tail::default();
        (0..10).for_each(|index| drop(append(&mut tail, index)));
        assert_eq!(tail.shrink_to(0), 0, "nothing is on disk yet");
        tail.note_flushed(7);
        assert_eq!(tail.shrink_to(0), 7 * (100 + ENTRY_OVERHEAD_BYTES));
        assert_eq!(indices(&tail), [7, 8, 9]);
        assert_eq!(tail.locate(2..9), (2..7, 7..9));
        assert_eq!(tail.locate(20..30), (20..20, 20..20));
        tail.note_flushed(10);
        tail.shrink_to(0);
        assert_eq!((tail.bytes(), tail.last_index()), (0, Some(9)));
        assert!(tail.entries.capacity() < 4, "an idle group costs next to nothing");
    }

    #[test]
    fn a_truncation_below_memory_leaves_the_rest_to_disk() {
        let mut tail = Tail::new(None, None, None, Some(3..20));
        append(&mut tail, 20);
        let changes = tail.take(GROUP, vec![LogRecord::TruncateAfter(Some(10))]).unwrap();
        assert_eq!(changes, [Change::Remove(11..21)]);
        assert_eq!(tail.locate(0..100), (3..11, 11..11));
        append(&mut tail, 11);
        assert_eq!(tail.locate(0..100), (3..11, 11..12));
        assert_eq!(tail.bytes(), 100 + ENTRY_OVERHEAD_BYTES);
    }

    #[test]
    fn a_purge_past_the_end_removes_only_what_exists() {
        let mut tail = Tail::new(None, None, None, Some(3..6));
        let purge = |upto| LogRecord::Purge { upto, marker: Bytes::new() };
        let changes = tail.take(GROUP, vec![purge(1_000_000)]).unwrap();
        assert_eq!(changes, [Change::Remove(3..6), Change::Purged(1_000_000, Bytes::new())]);
        assert!(tail.take(GROUP, vec![LogRecord::Append { index: 6, entry: Bytes::new() }]).is_err());
        append(&mut tail, 1_000_001);
        assert_eq!(tail.take(GROUP, vec![purge(5)]).unwrap(), [], "an older purge changes nothing");
        assert_eq!(indices(&tail), [1_000_001]);
    }
}
