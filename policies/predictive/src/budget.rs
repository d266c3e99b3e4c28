//! How much work a round may be.

/// Counts what is judged. Counts, not time: the same round does the same work wherever it is replayed.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    pub(crate) fn new(evaluations: u64) -> Self {
        Self { left: evaluations }
    }

    /// Takes one evaluation; false once all are used.
    pub(crate) fn spend(&mut self) -> bool {
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }

    /// Evaluations left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }
}
