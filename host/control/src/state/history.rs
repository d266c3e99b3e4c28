//! The recorded load of the past: an ordered list of content-addressed blobs.

use crate::command::Refusal;
use isobar_model::{Digest, InstantMs};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// History kept: four weeks, so that a weekly pattern is seen four times.
pub const HISTORY_SPAN_MS: u64 = 28 * 86_400_000;
/// Most blobs named at a time: 28 days of one blob a 5-minute step are 8 064; twice that leaves room for shorter steps until they are
/// compacted. Beyond it the oldest go.
pub const MAX_HISTORY_BLOBS: usize = 16_384;

/// One blob of history: the load of all shards in consecutive steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryBlob {
    /// Start of its first step.
    pub first_step_ms: InstantMs,
    /// Steps in it.
    pub steps: u32,
    /// Its bytes.
    pub digest: Digest,
}

impl HistoryBlob {
    /// The end of its last step.
    #[must_use]
    pub fn end(&self, step_ms: u32) -> InstantMs {
        self.first_step_ms.plus_ms(u64::from(self.steps) * u64::from(step_ms))
    }
}

/// All blobs, ascending in time, without overlap; gaps are missing data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) blobs: VecDeque<HistoryBlob>,
}

impl History {
    /// What the history would be with these blobs too.
    pub(crate) fn with(&self, new: &[HistoryBlob], step_ms: u32) -> Result<Self, Refusal> {
        let mut blobs: Vec<HistoryBlob> = self.blobs.iter().chain(new).copied().collect();
        blobs.sort_by_key(|b| b.first_step_ms);
        for blob in new {
            if blob.steps == 0 || u64::from(blob.steps) * u64::from(step_ms) > HISTORY_SPAN_MS {
                return Err(Refusal::invalid(format!(
                    "a history blob of {} steps: give 1 step to {} days",
                    blob.steps,
                    HISTORY_SPAN_MS / 86_400_000
                )));
            }
            if !blob.first_step_ms.0.is_multiple_of(u64::from(step_ms)) {
                return Err(Refusal::invalid(format!(
                    "history at {} ms does not begin at a multiple of the step, {step_ms} ms",
                    blob.first_step_ms
                )));
            }
        }
        if let Some(pair) = blobs.windows(2).find(|pair| pair[0].end(step_ms) > pair[1].first_step_ms) {
            return Err(Refusal::conflict(format!(
                "history for {} ms is there already: leave out the steps that are known",
                pair[1].first_step_ms
            )));
        }
        let mut history = Self { blobs: blobs.into() };
        history.trim(step_ms);
        Ok(history)
    }

    /// What the history would be with `merged` in the place of `replaced`.
    pub(crate) fn compacted(&self, merged: HistoryBlob, replaced: &[Digest], step_ms: u32) -> Result<Self, Refusal> {
        let (start, end) = (merged.first_step_ms, merged.end(step_ms));
        let is_within = |b: &HistoryBlob| b.first_step_ms >= start && b.end(step_ms) <= end;
        let within: Vec<Digest> = self.blobs.iter().filter(|b| is_within(b)).map(|b| b.digest).collect();
        if within.is_empty() || within != replaced {
            return Err(Refusal::conflict(format!(
                "the history from {start} to {end} ms is not the {} blobs named: read the list again",
                replaced.len()
            )));
        }
        let rest = self.blobs.iter().filter(|b| !is_within(b)).copied().collect();
        Self { blobs: rest }.with(&[merged], step_ms)
    }

    fn trim(&mut self, step_ms: u32) {
        let Some(end) = self.blobs.back().map(|b| b.end(step_ms)) else { return };
        let keep_from = InstantMs(end.0.saturating_sub(HISTORY_SPAN_MS));
        while self.blobs.len() > MAX_HISTORY_BLOBS || self.blobs.front().is_some_and(|b| b.end(step_ms) <= keep_from) {
            self.blobs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::RefusalKind;

    const STEP: u32 = 300_000;

    fn blob(step: u64, steps: u32) -> HistoryBlob {
        let digest = Digest::of(&[step.to_le_bytes(), u64::from(steps).to_le_bytes()].concat());
        HistoryBlob { first_step_ms: InstantMs(step * u64::from(STEP)), steps, digest }
    }

    /// Promise 8.
    #[test]
    fn history_older_than_four_weeks_goes() {
        let mut history = History::default();
        for day in 0..40 {
            history = history.with(&[blob(day * 288, 288)], STEP).unwrap();
        }
        assert_eq!(history.blobs.len(), 28);
        assert_eq!(history.blobs[0], blob(12 * 288, 288));
    }

    #[test]
    fn a_day_takes_the_place_of_its_steps() {
        let steps: Vec<_> = (0..300).map(|i| blob(i, 1)).collect();
        let history = History::default().with(&steps, STEP).unwrap();
        let day = blob(0, 288);
        let replaced: Vec<_> = steps[..288].iter().map(|b| b.digest).collect();
        let wrong = history.compacted(day, &replaced[1..], STEP).unwrap_err();
        assert_eq!(wrong.kind, RefusalKind::Conflict);
        let compacted = history.compacted(day, &replaced, STEP).unwrap();
        assert_eq!(compacted.blobs.len(), 13);
        assert_eq!((compacted.blobs[0], compacted.blobs[1]), (day, blob(288, 1)));
    }

    #[test]
    fn a_known_step_is_not_recorded_twice() {
        let history = History::default().with(&[blob(5, 10)], STEP).unwrap();
        for known in [blob(5, 1), blob(14, 1), blob(0, 6), blob(0, 20)] {
            assert_eq!(history.with(&[known], STEP).unwrap_err().kind, RefusalKind::Conflict, "{known:?}");
        }
        assert_eq!(history.with(&[blob(15, 1), blob(4, 1)], STEP).unwrap().blobs.len(), 3);
        assert_eq!(history.with(&[blob(20, 0)], STEP).unwrap_err().kind, RefusalKind::Invalid);
    }
}
