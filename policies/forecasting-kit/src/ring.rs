use serde::{Deserialize, Serialize};

/// The newest values of one series, found by step number. What is older than its length, not yet pushed or never known reads as NaN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ring {
    values: Vec<f32>,
    /// The step that the next value belongs to, and its place.
    next: u64,
    head: u32,
}

impl Ring {
    /// Room for `steps` values, at least one, the first of which belongs to step `next`.
    #[must_use]
    pub fn new(steps: usize, next: u64) -> Self {
        Self { values: vec![f32::NAN; steps.max(1)], next, head: 0 }
    }

    /// The step after the newest value.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Values it holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.values.len()
    }

    /// Adds the value of the next step; NaN: missing.
    pub fn push(&mut self, value: f32) {
        let slot = self.head as usize;
        if let Some(place) = self.values.get_mut(slot) {
            *place = value;
        }
        self.head = if slot + 1 < self.values.len() { self.head + 1 } else { 0 };
        self.next += 1;
    }

    /// The value of `step`, NaN where it is not known.
    #[must_use]
    pub fn at(&self, step: u64) -> f32 {
        self.slot(step).and_then(|slot| self.values.get(slot)).copied().unwrap_or(f32::NAN)
    }

    /// The value `lag` steps before `step`, NaN where it is not known.
    #[must_use]
    pub fn before(&self, step: u64, lag: u64) -> f32 {
        // A step before 0 wraps round, and so does its age: back to what it would be. Its slot was never written.
        self.at(step.wrapping_sub(lag))
    }

    /// The values of the `count` steps from `first` on, oldest first; for at most as many steps as it holds, the last of them pushed.
    pub fn run(&self, first: u64, count: u64) -> impl Iterator<Item = f32> {
        let start = self.slot(first).unwrap_or(0);
        let (older, newer) = self.values.split_at(start);
        newer.iter().chain(older).take(count as usize).copied()
    }

    /// The values of `N` steps from `first` on, NaN where they are not known. A step before 0 wraps round, as in [`before`](Self::before).
    #[must_use]
    pub fn lanes<const N: usize>(&self, first: u64) -> [f32; N] {
        let last = first.wrapping_add(N as u64 - 1);
        // All within what is held, and in one piece.
        if let (Some(start), Some(_)) = (self.slot(first), self.slot(last))
            && let Some(Ok(run)) = self.values.get(start..start + N).map(TryInto::try_into)
        {
            return run;
        }
        std::array::from_fn(|lane| self.at(first.wrapping_add(lane as u64)))
    }

    /// Whether it is as `new(steps, _)` would have made it and stands at step `next`: what a restored one must prove.
    #[must_use]
    pub fn fits(&self, steps: usize, next: u64) -> bool {
        self.values.len() == steps.max(1) && self.next == next && (self.head as usize) < self.values.len()
    }

    /// Where the value of `step` is; none where it is not held.
    fn slot(&self, step: u64) -> Option<usize> {
        // One comparison for both ends: the age of a step to come wraps round to a very great one.
        let age = self.next.wrapping_sub(step).wrapping_sub(1);
        if age >= self.values.len() as u64 {
            return None;
        }
        // Below the length, so nothing is lost by the cast.
        let (back, head) = (age as usize + 1, self.head as usize);
        Some(if back <= head { head - back } else { head + self.values.len() - back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_new_and_future_steps() {
        let mut ring = Ring::new(3, 10);
        for value in 0..6 {
            ring.push(value as f32);
        }
        assert_eq!(ring.capacity(), 3);
        assert!(ring.at(12).is_nan(), "overwritten");
        assert_eq!((ring.at(13), ring.at(15)), (3.0, 5.0));
        assert!(ring.at(16).is_nan(), "not yet pushed");
        assert_eq!(ring.before(15, 2), 3.0);
        assert!(ring.before(1, 2).is_nan());
        assert!(Ring::new(4, 0).at(0).is_nan());
        assert_eq!(ring.run(13, 3).collect::<Vec<_>>(), [3.0, 4.0, 5.0]);
        assert_eq!(ring.run(15, 1).collect::<Vec<_>>(), [5.0]);
        for first in 0..20 {
            let lanes: [f32; 2] = ring.lanes(first);
            assert_eq!(lanes.map(f32::to_bits), [ring.at(first), ring.at(first + 1)].map(f32::to_bits), "{first}");
        }
    }
}
