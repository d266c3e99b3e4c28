//! How a shard's load is spread over its keys: where to split it so that each half has half the load.
//!
//! A weighted Greenwald–Khanna summary (Greenwald, Khanna 2001, "Space-efficient online computation of quantile summaries"), fed through a sorted
//! buffer as in GKArray (Luo, Wang, Yi, Cormode 2016, "Quantiles over data streams: experimental comparisons, new analyses, and further
//! improvements"), with two changes. The size is fixed and the error follows, not the other way round: each cut says how far it can be off. And
//! a tuple knows what its own key weighs, so that a hot key, however heavy, blurs nothing beside it.

use crate::stream::key_prefix::KeyPrefix;

/// A key of the summary. With `R` the sum of `gap` up to and with a tuple, the load on keys up to and with its key is from `R` to `R + slack`.
#[derive(Clone, Copy, Debug)]
struct Tuple {
    key: KeyPrefix,
    /// Load told to be after the tuple before and up to this key.
    gap: u64,
    /// What of `gap` certainly fell on this very key.
    own: u64,
    slack: u64,
}

impl Tuple {
    /// How far the rank of a key just before this one is unknown.
    fn blur(&self) -> u64 {
        self.gap - self.own + self.slack
    }
}

/// A place to cut a range of keys in two.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// First internal key of the right part.
    pub boundary: Vec<u8>,
    /// Share of the load left of it, 0 to 1.
    pub left_share: f64,
    /// The true share differs by no more than this.
    pub error_share: f64,
}

/// Load by key, in a fixed number of tuples.
#[derive(Clone, Debug)]
pub struct KeyHistogram {
    capacity: usize,
    tuples: Vec<Tuple>,
    buffer: Vec<(KeyPrefix, u64)>,
    total: u64,
    /// Tuples whose joint blur stays below this are merged; grows with the load.
    threshold: u64,
    /// The lightest load ever added: finer steps of the threshold change nothing.
    lightest: u64,
}

/// Fewest tuples that make sense, and most: a million shards' boundaries need no more.
const MIN_TUPLES: usize = 8;
const MAX_TUPLES: usize = 1 << 20;

impl KeyHistogram {
    /// A histogram with so many tuples, from 8 to 2^20.
    #[must_use]
    pub fn new(tuples: usize) -> Self {
        let capacity = tuples.clamp(MIN_TUPLES, MAX_TUPLES);
        Self {
            capacity,
            tuples: Vec::with_capacity(capacity + buffered(capacity)),
            buffer: Vec::with_capacity(buffered(capacity)),
            total: 0,
            threshold: 0,
            lightest: u64::MAX,
        }
    }

    /// Bytes that a histogram with so many tuples holds.
    #[must_use]
    pub const fn memory_bytes(tuples: usize) -> usize {
        (tuples + buffered(tuples)) * size_of::<Tuple>() + buffered(tuples) * size_of::<(KeyPrefix, u64)>()
    }

    /// Adds load to an internal key.
    pub fn record(&mut self, key: KeyPrefix, weight: u64) {
        if weight == 0 || self.total.checked_add(weight).is_none() {
            return;
        }
        self.total += weight;
        self.lightest = self.lightest.min(weight);
        self.buffer.push((key, weight));
        if self.buffer.len() == buffered(self.capacity) {
            self.flush();
        }
    }

    /// All load added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The cut that comes nearest to having this share of the load on its left; none: all load is on one key, or there is none.
    #[must_use]
    pub fn cut(&self, share: f64) -> Option<Cut> {
        let mut flushed = self.clone();
        flushed.flush();
        flushed.nearest(share)
    }

    /// Boundaries of so many parts of about even load, ascending; fewer where keys are too few or too hot.
    #[must_use]
    pub fn cuts(&self, parts: usize) -> Vec<Cut> {
        let mut flushed = self.clone();
        flushed.flush();
        let mut cuts: Vec<Cut> = (1..parts).filter_map(|i| flushed.nearest(i as f64 / parts as f64)).collect();
        cuts.dedup_by(|b, a| a.boundary >= b.boundary);
        cuts
    }

    /// The cut whose distance from `share`, taken at its worst, is least.
    fn nearest(&self, share: f64) -> Option<Cut> {
        let total = self.total as f64;
        let wanted = share.clamp(0.0, 1.0) * total;
        let mut best: Option<(f64, Cut)> = None;
        let mut consider = |boundary: Vec<u8>, least: u64, most: u64| {
            let (middle, error) = ((least as f64 + most as f64) / 2.0, most.saturating_sub(least) as f64 / 2.0);
            let off = (middle - wanted).abs() + error;
            if best.as_ref().is_none_or(|(best_off, _)| off < *best_off) {
                best = Some((off, Cut { boundary, left_share: middle / total, error_share: error / total }));
            }
        };
        let mut before = 0;
        for (i, tuple) in self.tuples.iter().enumerate() {
            let up_to = before + tuple.gap;
            // Before the smallest key there is nothing to cut off, nor after the largest.
            if i > 0 {
                consider(tuple.key.first(), before, up_to - tuple.own + tuple.slack);
            }
            if i + 1 < self.tuples.len()
                && let Some(boundary) = tuple.key.after()
            {
                consider(boundary, up_to, up_to + tuple.slack);
            }
            before = up_to;
        }
        best.map(|(_, cut)| cut)
    }

    /// Merges what is buffered into the tuples, from the last key to the first, in place.
    fn flush(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 += b.1;
            }
            same
        });
        let Some(&(filler, _)) = self.buffer.first() else { return };
        let mut old = self.tuples.len();
        self.tuples.resize(old + self.buffer.len(), Tuple { key: filler, gap: 0, own: 0, slack: 0 });
        let mut free = self.tuples.len();
        // How far a key just before the old tuple last placed is unknown; nothing is unknown past the last one.
        let mut blur = 0;
        let place_old = |tuples: &mut Vec<Tuple>, old: &mut usize, free: &mut usize, added: u64| -> u64 {
            *old -= 1;
            *free -= 1;
            let mut tuple = tuples[*old];
            let blur = tuple.blur();
            tuple.gap += added;
            tuple.own += added;
            tuples[*free] = tuple;
            blur
        };
        while let Some(&(key, weight)) = self.buffer.last() {
            self.buffer.pop();
            while old > 0 && self.tuples[old - 1].key > key {
                blur = place_old(&mut self.tuples, &mut old, &mut free, 0);
            }
            if old > 0 && self.tuples[old - 1].key == key {
                blur = place_old(&mut self.tuples, &mut old, &mut free, weight);
            } else {
                free -= 1;
                self.tuples[free] = Tuple { key, gap: weight, own: weight, slack: blur };
            }
        }
        // What is left of the old ones is in its place already, but for the gap that equal keys left.
        self.tuples.drain(old..free);
        self.compress();
    }

    /// Merges neighbours until no more tuples are left than there is room for, at the lowest threshold that does it. A higher one would fill
    /// every tuple up, so that whatever comes next finds no tuple to be merged into and drives the threshold up again.
    fn compress(&mut self) {
        if self.tuples.len() <= self.capacity {
            return;
        }
        let (mut low, mut step) = (self.threshold, self.lightest.max(1));
        while self.merged_len(low.saturating_add(step)) > self.capacity {
            low = low.saturating_add(step);
            step = step.saturating_mul(2);
        }
        let mut high = low.saturating_add(step);
        while high - low > self.lightest / 2 + 1 {
            let middle = low + (high - low) / 2;
            if self.merged_len(middle) > self.capacity { low = middle } else { high = middle }
        }
        self.threshold = high;
        let mut kept = self.tuples.len() - 1;
        for at in (0..self.tuples.len() - 1).rev() {
            let tuple = self.tuples[at];
            if merges(at, &tuple, self.tuples[kept].blur(), high) {
                self.tuples[kept].gap += tuple.gap;
            } else {
                kept -= 1;
                self.tuples[kept] = tuple;
            }
        }
        self.tuples.drain(..kept);
    }

    /// How many tuples would be left after merging at this threshold.
    fn merged_len(&self, threshold: u64) -> usize {
        let (mut left, mut blur) = (1, self.tuples.last().map_or(0, Tuple::blur));
        for (at, tuple) in self.tuples.iter().enumerate().rev().skip(1) {
            if merges(at, tuple, blur, threshold) {
                blur += tuple.gap;
            } else {
                left += 1;
                blur = tuple.blur();
            }
        }
        left
    }
}

/// Whether the tuple at this place is merged into the next, whose blur is given. The smallest key stays: so no load is ever told to be below
/// it, and a key below it is known exactly.
fn merges(at: usize, tuple: &Tuple, next_blur: u64, threshold: u64) -> bool {
    at > 0 && tuple.gap + next_blur <= threshold
}

/// Keys collected before they are merged in.
const fn buffered(capacity: usize) -> usize {
    capacity / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn of(stream: &[(u32, u64)], tuples: usize) -> (KeyHistogram, BTreeMap<Vec<u8>, u64>) {
        let mut histogram = KeyHistogram::new(tuples);
        let mut exact = BTreeMap::new();
        for &(number, weight) in stream {
            histogram.record(KeyPrefix::new(None, &key(number)), weight);
            *exact.entry(key(number)).or_default() += weight;
        }
        (histogram, exact)
    }

    fn left_of(boundary: &[u8], exact: &BTreeMap<Vec<u8>, u64>) -> u64 {
        exact.iter().filter(|(key, _)| key.as_slice() < boundary).map(|(_, weight)| weight).sum()
    }

    proptest! {
        #[test]
        fn the_true_share_is_within_the_stated_error(
            stream in prop::collection::vec(((0u32..60).prop_map(|k| k * k / 9), 1u64..4), 1..900),
            tuples in 8usize..40,
            share in 0.0f64..1.0,
        ) {
            let (histogram, exact) = of(&stream, tuples);
            let total: u64 = exact.values().sum();
            prop_assert_eq!(histogram.total(), total);
            let Some(cut) = histogram.cut(share) else {
                prop_assert_eq!(exact.len(), 1);
                return Ok(());
            };
            let left = left_of(&cut.boundary, &exact);
            prop_assert!((left as f64 / total as f64 - cut.left_share).abs() <= cut.error_share + 1e-9);
            prop_assert!(histogram.tuples.len() <= tuples);
        }

        #[test]
        fn cuts_ascend(stream in prop::collection::vec((0u32..500, 1u64..4), 1..900), parts in 1usize..20) {
            let cuts = of(&stream, 32).0.cuts(parts);
            prop_assert!(cuts.len() < parts.max(1));
            prop_assert!(cuts.windows(2).all(|pair| pair[0].boundary < pair[1].boundary));
        }
    }

    /// Scrambled, ascending and descending orders of arrival; the last two are a summary's worst.
    #[test]
    fn halves_are_halves_whatever_the_order() {
        const KEYS: u32 = 40_000;
        let orders: [fn(u32) -> u32; 3] = [|i| i, |i| KEYS - 1 - i, |i| (i * 7_919) % KEYS];
        for order in orders {
            let stream: Vec<_> = (0..KEYS).map(|i| (order(i), 1 + u64::from(i % 2))).collect();
            let (histogram, exact) = of(&stream, 96);
            let total: u64 = exact.values().sum();
            for share in [0.1, 0.5, 0.9] {
                let cut = histogram.cut(share).unwrap();
                let left = left_of(&cut.boundary, &exact) as f64 / total as f64;
                assert!((left - share).abs() <= 0.025, "{left} for {share}");
                assert!(cut.error_share <= 0.025, "{cut:?}");
            }
        }
    }

    #[test]
    fn a_hot_key_is_cut_off_exactly() {
        // Half of all load on one key in the middle of many.
        let stream: Vec<_> = (0..20_000u32).flat_map(|i| [((i * 7_919) % 20_000, 1), (10_000, 1)]).collect();
        let (histogram, exact) = of(&stream, 64);
        let cut = histogram.cut(0.25).unwrap();
        let left = left_of(&cut.boundary, &exact) as f64 / 40_000.0;
        assert!((left - 0.25).abs() < 0.02, "{left}");
        // At a half there is nothing to cut but one side of the hot key, or the other.
        let half = histogram.cut(0.5).unwrap();
        assert!((half.left_share - 0.25).abs() < 0.03 || (half.left_share - 0.75).abs() < 0.03, "{half:?}");
    }

    #[test]
    fn one_key_can_not_be_cut() {
        assert_eq!(KeyHistogram::new(8).cut(0.5), None);
        assert_eq!(of(&[(1, 5), (1, 2)], 8).0.cut(0.5), None);
        let (two, _) = of(&[(1, 5), (2, 5)], 8);
        assert_eq!(two.cut(0.5).map(|cut| (cut.left_share, cut.error_share)), Some((0.5, 0.0)));
    }
}
