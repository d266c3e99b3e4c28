//! From rates to whole requests: what a shard's offered rate comes to in one step.

use std::ops::Range;

/// Counts each shard's requests, step by step. What a step's rate leaves over (less than one request) is carried into the next step, so that
/// the number sent never strays from the trace by more than one.
#[derive(Clone, Debug, PartialEq)]
pub struct Requests {
    carry: Vec<f64>,
    sent: Vec<u64>,
    read_share: f64,
}

impl Requests {
    /// For so many shards, this share of their requests being reads.
    #[must_use]
    pub fn new(shards: usize, read_share: f64) -> Self {
        // Golden-ratio phases, so that small shards do not all cross a whole request, or write, in the same step.
        let carry = (0..shards).map(golden_phase).collect();
        Self { carry, sent: (0..shards as u64).collect(), read_share }
    }

    /// The next step's requests of a shard for which the trace wants so many, by their sequence numbers; see [`Requests::is_write`].
    pub fn step(&mut self, shard: usize, wanted: f64) -> Range<u64> {
        let total = self.carry[shard] + if wanted.is_finite() { wanted.max(0.0) } else { 0.0 };
        let count = total.floor();
        self.carry[shard] = total - count;
        let first = self.sent[shard];
        self.sent[shard] += count as u64;
        first..self.sent[shard]
    }

    /// Whether the request of this sequence number writes: writes are interleaved evenly among the reads.
    #[must_use]
    pub fn is_write(&self, sequence: u64) -> bool {
        self.writes_before(sequence + 1) > self.writes_before(sequence)
    }

    /// How many of these requests write.
    #[must_use]
    pub fn writes(&self, requests: &Range<u64>) -> u64 {
        self.writes_before(requests.end) - self.writes_before(requests.start)
    }

    fn writes_before(&self, sequence: u64) -> u64 {
        // A hair more, so that a share of exactly one in five does not fall short by a rounding.
        (sequence as f64 * (1.0 - self.read_share) + 1e-6).floor() as u64
    }
}

/// A phase within 0 to 1 for each shard, no two near each other.
#[must_use]
pub fn golden_phase(shard: usize) -> f64 {
    (shard as f64 * 0.618_033_988_75) % 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_trace_within_one() {
        let mut requests = Requests::new(2, 0.8);
        let (mut sent, mut writes) = ([0u64; 2], 0);
        for step in 1..=100u64 {
            for (shard, wanted) in [0.3, 7.7].into_iter().enumerate() {
                let range = requests.step(shard, wanted);
                assert_eq!(requests.writes(&range), range.clone().filter(|n| requests.is_write(*n)).count() as u64);
                sent[shard] += range.end - range.start;
                writes += requests.writes(&range);
                assert!((sent[shard] as f64 - wanted * step as f64).abs() <= 1.0);
            }
        }
        // Each shard's share of writes is off by less than one.
        assert!((writes as f64 - (sent[0] + sent[1]) as f64 / 5.0).abs() < 2.0, "{writes} of {sent:?}");
    }

    #[test]
    fn rates_that_are_none_send_nothing() {
        let mut requests = Requests::new(1, 0.8);
        assert!(requests.step(0, f64::NAN).is_empty() && requests.step(0, -3.0).is_empty());
        assert!(Requests::new(1, 1.0).writes(&(0..1_000)) == 0 && Requests::new(1, 0.0).writes(&(0..1_000)) == 1_000);
    }
}
