//! When to send which request: open loop, evenly spaced, from the trace's rates alone.

/// One request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    /// Microseconds of wall time after the step's start.
    pub(crate) at_us: u64,
    /// Index of the shard.
    pub(crate) shard: u32,
    /// Whether it writes.
    pub(crate) write: bool,
}

/// Every so many operations of a shard are writes, evenly interleaved: 20 %.
pub(crate) const OPS_PER_WRITE: u64 = 5;

/// Turns rates into requests. What a step's rate leaves over (less than one request) is carried into the next step, so that the number
/// sent never strays from the trace by more than one.
#[derive(Debug)]
pub(crate) struct Schedule {
    carry: Vec<f64>,
    sent: Vec<u64>,
}

impl Schedule {
    /// For so many shards.
    pub(crate) fn new(shards: usize) -> Self {
        // Golden-ratio phases, so that small shards do not all cross a whole request in the same step.
        let carry = (0..shards).map(|i| (i as f64 * 0.618_033_988_75) % 1.0).collect();
        Self { carry, sent: (0..shards as u64).collect() }
    }

    /// The requests of one step of `step_us` microseconds, `requests[i]` being the trace's count for shard i, in order of time.
    pub(crate) fn step(&mut self, requests: &[f64], step_us: u64) -> Vec<Due> {
        let mut due = Vec::new();
        for (shard, &wanted) in requests.iter().enumerate() {
            let total = self.carry[shard] + wanted.max(0.0);
            let count = total.floor();
            self.carry[shard] = total - count;
            for k in 0..count as u64 {
                // Shards of the same rate are kept apart by the same golden phases.
                let phase = (shard as f64 * 0.618_033_988_75) % 1.0;
                let at_us = ((k as f64 + phase) / count * step_us as f64) as u64;
                let write = self.sent[shard].is_multiple_of(OPS_PER_WRITE);
                self.sent[shard] += 1;
                due.push(Due { at_us, shard: u32::try_from(shard).unwrap_or(u32::MAX), write });
            }
        }
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_trace_within_one() {
        let mut schedule = Schedule::new(2);
        let (mut sent, mut writes) = ([0u64; 2], 0);
        for step in 1..=100u64 {
            for due in schedule.step(&[0.3, 7.7], 600_000) {
                sent[due.shard as usize] += 1;
                writes += u64::from(due.write);
                assert!(due.at_us < 600_000);
            }
            for (shard, rate) in [0.3, 7.7].into_iter().enumerate() {
                assert!((sent[shard] as f64 - rate * step as f64).abs() <= 1.0);
            }
        }
        // Each shard's share of writes is off by less than one.
        assert!((writes as f64 - (sent[0] + sent[1]) as f64 / 5.0).abs() < 2.0, "{writes} of {sent:?}");
    }

    #[test]
    fn requests_of_a_step_are_in_order_and_spread() {
        let due = Schedule::new(1).step(&[6.0], 600);
        assert_eq!(due.iter().map(|d| d.at_us).collect::<Vec<_>>(), [0, 100, 200, 300, 400, 500]);
    }
}
