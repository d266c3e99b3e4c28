//! Which operations a shard serves.

use crate::stream::query_event::Operation;

/// Count and bytes of one operation; both stop at the largest number rather than wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpTotals {
    /// How many.
    pub count: u64,
    /// Bytes read or written by them.
    pub bytes: u64,
}

/// Exact counts of each operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpMix([OpTotals; Operation::ALL.len()]);

impl OpMix {
    /// Counts `times` operations of so many bytes each.
    pub fn record(&mut self, operation: Operation, bytes: u64, times: u64) {
        let totals = &mut self.0[operation.number()];
        totals.count = totals.count.saturating_add(times);
        totals.bytes = totals.bytes.saturating_add(bytes.saturating_mul(times));
    }

    /// What was counted of one operation.
    #[must_use]
    pub fn of(&self, operation: Operation) -> OpTotals {
        self.0[operation.number()]
    }

    /// All operations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, totals| sum.saturating_add(totals.count))
    }

    /// Share of an operation among all, 0 to 1.
    #[must_use]
    pub fn share(&self, operation: Operation) -> f64 {
        self.of(operation).count as f64 / self.count().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_to_one() {
        let mut mix = OpMix::default();
        (0..30).for_each(|i| mix.record(if i % 3 == 0 { Operation::Put } else { Operation::Get }, 10, 1));
        assert_eq!(mix.of(Operation::Put), OpTotals { count: 10, bytes: 100 });
        let sum: f64 = Operation::ALL.iter().map(|&op| mix.share(op)).sum();
        assert!((sum - 1.0).abs() < 1e-12 && mix.share(Operation::Scan) == 0.0);
    }
}
