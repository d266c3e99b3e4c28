//! The stored parts of the archive, load and utilisation at several resolutions: an ordered list of content-addressed blobs.

use crate::command::Refusal;
use isobar_analyzer::Family;
use isobar_model::{Digest, InstantMs};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most entries: all levels of all families, stored in the chunks that their specs name, are some 1 500; imports have the rest. Beyond it the
/// oldest go.
pub const MAX_ARCHIVE_ENTRIES: usize = 4_096;
/// Most blobs of one entry: at 16 MiB each a gigabyte, which is more than all budgets of memory.
pub const MAX_ARCHIVE_PARTS: usize = 64;
/// Most entries of one command: a level each of every family, and an import's besides.
const MAX_ENTRIES_AT_ONCE: usize = 32;

/// Closed steps of one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveEntry {
    /// Of which family.
    pub family: Family,
    /// Length of its steps.
    pub step_ms: u32,
    /// End of its last step.
    pub until: InstantMs,
    /// Its bytes.
    pub parts: Vec<Digest>,
}

impl ArchiveEntry {
    /// How long after its end it is still of use: as long as its level reaches back. 0 where that level is kept no more.
    fn span_ms(&self) -> u64 {
        let levels = self.family.spec().levels;
        levels.iter().find(|level| level.step_ms == self.step_ms).map_or(0, |level| level.span_ms())
    }
}

/// All entries, in the order in which they were made: a later one holds more of the same steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchiveList {
    pub(crate) entries: VecDeque<ArchiveEntry>,
}

impl ArchiveList {
    pub(crate) fn store(&mut self, entries: Vec<ArchiveEntry>) -> Result<(), Refusal> {
        if entries.is_empty() || entries.len() > MAX_ENTRIES_AT_ONCE {
            return Err(Refusal::invalid(format!(
                "1 to {MAX_ENTRIES_AT_ONCE} chunks of the archive are stored at once, not {}",
                entries.len()
            )));
        }
        if let Some(odd) = entries.iter().find(|e| e.parts.is_empty() || e.parts.len() > MAX_ARCHIVE_PARTS) {
            return Err(Refusal::invalid(format!(
                "a chunk of the archive has 1 to {MAX_ARCHIVE_PARTS} parts, not {}: give fewer steps at once",
                odd.parts.len()
            )));
        }
        if let Some(odd) = entries.iter().find(|e| e.span_ms() == 0) {
            return Err(Refusal::invalid(format!("{} is not kept at steps of {} ms", odd.family, odd.step_ms)));
        }
        self.entries.extend(entries);
        for family in Family::ALL {
            let newest = self.entries.iter().filter(|e| e.family == family).map(|e| e.until).max().unwrap_or_default();
            self.entries.retain(|e| e.family != family || e.until.plus_ms(e.span_ms()) > newest);
        }
        while self.entries.len() > MAX_ARCHIVE_ENTRIES {
            self.entries.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step_ms: u32, until_s: u64) -> ArchiveEntry {
        let parts = vec![Digest::of(&[until_s.to_le_bytes(), u64::from(step_ms).to_le_bytes()].concat())];
        ArchiveEntry { family: Family::Load, step_ms, until: InstantMs(until_s * 1000), parts }
    }

    /// Promise 8.
    #[test]
    fn each_level_goes_when_it_reaches_back_no_further() {
        let mut list = ArchiveList::default();
        for quarter in 1..=400 * 4 {
            let until_s = quarter * 6 * 3_600;
            list.store(vec![entry(10_000, until_s - 3_600), entry(10_000, until_s), entry(3_600_000, until_s)])
                .unwrap();
            assert!(list.entries.len() <= MAX_ARCHIVE_ENTRIES);
        }
        let of = |step_ms| list.entries.iter().filter(|e| e.step_ms == step_ms).count();
        assert_eq!((of(10_000), of(3_600_000)), (2, 396 * 4), "six hours, and thirteen months");
    }

    #[test]
    fn what_can_t_be_restored_is_not_stored() {
        let mut list = ArchiveList::default();
        assert!(list.store(vec![]).is_err());
        assert!(list.store(vec![entry(7_000, 1)]).is_err());
        assert!(list.store(vec![ArchiveEntry { parts: vec![], ..entry(10_000, 1) }]).is_err());
        let many = vec![Digest::of(b"a"); MAX_ARCHIVE_PARTS + 1];
        assert!(list.store(vec![ArchiveEntry { parts: many, ..entry(10_000, 1) }]).is_err());
        assert!(list.entries.is_empty());
    }
}
