//! How long queries took.
//!
//! Log-linear buckets as in HdrHistogram: each doubling is cut into eight even parts, so that a value is known within a sixteenth of itself.

/// Buckets of one doubling, as a power of two.
const PART_BITS: u32 = 3;
const PARTS: u64 = 1 << PART_BITS;
/// The longest latency told apart from longer ones: 2^36 µs, 19 hours.
const MAX_BITS: u32 = 36;
const BUCKETS: usize = ((MAX_BITS - PART_BITS + 1) << PART_BITS) as usize;

/// Counts of latencies by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Box<[u32; BUCKETS]>,
    count: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), count: 0 }
    }
}

impl LatencyHistogram {
    /// Bytes it holds.
    pub const MEMORY_BYTES: usize = BUCKETS * 4;
    /// A quantile is off by at most this share of itself.
    pub const RELATIVE_ERROR: f64 = 1.0 / (2 * PARTS) as f64;

    /// Counts one latency in microseconds. A bucket stops at 2^32 − 1.
    pub fn record(&mut self, latency_us: u64) {
        let bucket = &mut self.counts[bucket_of(latency_us)];
        if *bucket < u32::MAX {
            *bucket += 1;
            self.count += 1;
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency in microseconds below which this share of them is (nearest rank); none: nothing was counted.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let rank = ((share.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            below += u64::from(count);
            if below >= rank {
                return Some(middle_of(bucket));
            }
        }
        None
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << MAX_BITS) - 1);
    if value < PARTS {
        return value as usize;
    }
    let doubling = value.ilog2() - PART_BITS;
    ((u64::from(doubling) << PART_BITS) + (value >> doubling)) as usize
}

fn middle_of(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket as f64;
    }
    let doubling = (bucket >> PART_BITS) - 1;
    let low = (PARTS + (bucket & (PARTS - 1))) << doubling;
    low as f64 + ((1u64 << doubling) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(
            mut latencies in prop::collection::vec((0u32..36, any::<u64>()).prop_map(|(bits, v)| v >> (63 - bits)), 1..300),
            share in 0.0f64..=1.0,
        ) {
            let mut histogram = LatencyHistogram::default();
            latencies.iter_mut().for_each(|v| {
                *v = (*v).min((1 << MAX_BITS) - 1);
                histogram.record(*v);
            });
            latencies.sort_unstable();
            let rank = ((share * latencies.len() as f64).ceil() as usize).max(1);
            let exact = latencies[rank - 1] as f64;
            let sketched = histogram.quantile_us(share).unwrap();
            prop_assert!((sketched - exact).abs() <= LatencyHistogram::RELATIVE_ERROR * exact, "{} for {}", sketched, exact);
        }
    }

    #[test]
    fn no_latency_no_quantile_and_the_longest_is_kept() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        histogram.record(u64::MAX);
        assert!(histogram.quantile_us(1.0).unwrap() > (1u64 << (MAX_BITS - 1)) as f64);
    }
}
