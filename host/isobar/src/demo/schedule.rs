//! When to send which request: open loop, evenly spaced, from the trace's rates alone.

use isobar_sim::{Requests, golden_phase};

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

/// Turns rates into requests.
#[derive(Debug)]
pub(crate) struct Schedule {
    requests: Requests,
}

impl Schedule {
    /// For so many shards.
    pub(crate) fn new(shards: usize, read_share: f32) -> Self {
        Self { requests: Requests::new(shards, f64::from(read_share)) }
    }

    /// The requests of one step of `step_us` microseconds, `requests[i]` being the trace's count for shard i, in order of time.
    pub(crate) fn step(&mut self, requests: &[f64], step_us: u64) -> Vec<Due> {
        let mut due = Vec::new();
        for (index, &wanted) in requests.iter().enumerate() {
            let sent = self.requests.step(index, wanted);
            let count = (sent.end - sent.start) as f64;
            let (phase, shard) = (golden_phase(index), u32::try_from(index).unwrap_or(u32::MAX));
            due.extend(sent.enumerate().map(|(k, sequence)| Due {
                at_us: ((k as f64 + phase) / count * step_us as f64) as u64,
                shard,
                write: self.requests.is_write(sequence),
            }));
        }
        due.sort_unstable();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_step_are_in_order_and_spread() {
        let due = Schedule::new(1, 0.8).step(&[6.0], 600);
        assert_eq!(due.iter().map(|d| d.at_us).collect::<Vec<_>>(), [0, 100, 200, 300, 400, 500]);
    }
}
