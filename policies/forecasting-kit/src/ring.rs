use serde::{Deserialize, Serialize};

/// The newest values of one series, found by step number. What is older than its length, not yet pushed or never known reads as NaN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ring {
    /// A power of two of them, so that finding a slot is a mask and no division.
    values: Vec<f32>,
    /// The step that the next value belongs to.
    next: u64,
}

impl Ring {
    /// Room for at least `steps` values, the first of which belongs to step `next`.
    #[must_use]
    pub fn new(steps: usize, next: u64) -> Self {
        Self { values: vec![f32::NAN; steps.max(1).next_power_of_two()], next }
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
        let slot = self.slot(self.next);
        if let Some(place) = self.values.get_mut(slot) {
            *place = value;
        }
        self.next += 1;
    }

    /// The value of `step`, NaN where it is not known.
    #[must_use]
    pub fn at(&self, step: u64) -> f32 {
        // One comparison for both ends: the age of a step to come wraps round to a very great one.
        let age = self.next.wrapping_sub(step).wrapping_sub(1);
        if age >= self.values.len() as u64 {
            return f32::NAN;
        }
        self.values.get(self.slot(step)).copied().unwrap_or(f32::NAN)
    }

    /// The value `lag` steps before `step`, NaN where it is not known.
    #[must_use]
    pub fn before(&self, step: u64, lag: u64) -> f32 {
        // A step before 0 wraps round, and so does its age: back to what it would be. Its slot was never written.
        self.at(step.wrapping_sub(lag))
    }

    /// The values of the `count` steps from `first` on, oldest first; for at most as many steps as it holds, the last of them pushed.
    pub fn run(&self, first: u64, count: u64) -> impl Iterator<Item = f32> {
        let start = self.slot(first);
        let (older, newer) = self.values.split_at(start.min(self.values.len()));
        newer.iter().chain(older).take(count as usize).copied()
    }

    /// The values of `N` steps from `first` on, NaN where they are not known. A step before 0 wraps round, as in [`before`](Self::before).
    #[must_use]
    pub fn lanes<const N: usize>(&self, first: u64) -> [f32; N] {
        let oldest = self.next.wrapping_sub(first).wrapping_sub(1);
        let start = self.slot(first);
        // All within what is held, and in one piece: ages fall, so that the newest is the one that may not have come yet.
        if oldest < self.values.len() as u64
            && oldest + 1 >= N as u64
            && let Some(Ok(run)) = self.values.get(start..start + N).map(TryInto::try_into)
        {
            return run;
        }
        std::array::from_fn(|lane| self.at(first.wrapping_add(lane as u64)))
    }

    /// Whether it is as `new(steps, _)` would have made it and stands at step `next`: what a restored one must prove.
    #[must_use]
    pub fn fits(&self, steps: usize, next: u64) -> bool {
        self.values.len() == steps.max(1).next_power_of_two() && self.next == next
    }

    fn slot(&self, step: u64) -> usize {
        // The mask keeps it below the length, so nothing is lost by the cast.
        (step & (self.values.len() as u64 - 1)) as usize
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
        assert_eq!(ring.capacity(), 4);
        assert!(ring.at(11).is_nan(), "overwritten");
        assert_eq!((ring.at(12), ring.at(15)), (2.0, 5.0));
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
