//! The ledger of an hour: what a policy's moves have spent of its budget, on the control clock.

use isobar_model::InstantMs;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The window of the budget.
const HOUR_MS: u64 = 3_600_000;
/// Entries nearer together than this are one, so that an hour never holds more than 61 of them. They count until the last of them is
/// an hour old, which errs on the careful side.
const GRAIN_MS: u64 = 60_000;

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Moves, leader transfers among them.
    pub moves: u64,
    /// Bytes of the replicas moved.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    first: InstantMs,
    last: InstantMs,
    spent: Spent,
}

/// Spending of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    entries: VecDeque<Entry>,
}

impl Ledger {
    /// Notes what a round spent.
    pub fn note(&mut self, now: InstantMs, spent: Spent) {
        if spent == Spent::default() {
            return;
        }
        self.entries.retain(|entry| now.since_ms(entry.last) < HOUR_MS);
        match self.entries.back_mut() {
            Some(entry) if now.since_ms(entry.first) < GRAIN_MS => {
                entry.last = entry.last.max(now);
                entry.spent.moves = entry.spent.moves.saturating_add(spent.moves);
                entry.spent.bytes = entry.spent.bytes.saturating_add(spent.bytes);
            }
            Some(_) | None => self.entries.push_back(Entry { first: now, last: now, spent }),
        }
    }

    /// What the hour before `now` saw.
    #[must_use]
    pub fn spent(&self, now: InstantMs) -> Spent {
        self.entries.iter().filter(|entry| now.since_ms(entry.last) < HOUR_MS).fold(Spent::default(), |sum, entry| {
            Spent {
                moves: sum.moves.saturating_add(entry.spent.moves),
                bytes: sum.bytes.saturating_add(entry.spent.bytes),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spending_is_forgotten_after_an_hour() {
        let mut ledger = Ledger::default();
        ledger.note(InstantMs(0), Spent { moves: 2, bytes: 10 });
        ledger.note(InstantMs(HOUR_MS / 2), Spent { moves: 1, bytes: 5 });
        assert_eq!(ledger.spent(InstantMs(HOUR_MS - 1)), Spent { moves: 3, bytes: 15 });
        assert_eq!(ledger.spent(InstantMs(HOUR_MS)), Spent { moves: 1, bytes: 5 });
        assert_eq!(ledger.spent(InstantMs(HOUR_MS * 2)), Spent::default());
    }

    /// Promise 8.
    #[test]
    fn a_busy_hour_stays_small() {
        let mut ledger = Ledger::default();
        (0..100_000).for_each(|i| ledger.note(InstantMs(i * 100), Spent { moves: 1, bytes: 1 }));
        assert!(ledger.entries.len() <= 61, "{}", ledger.entries.len());
    }
}
