//! Load per shard and step, counted query by query, in bounded memory however long the log is and in whatever order it stands.

use isobar_model::InstantMs;

/// Cells of the grid at most: 64 MiB. For 64 shards that is a day and a half of seconds, or 65 weeks of five minutes.
const MAX_CELLS: usize = 1 << 23;
/// Lengths that steps may have, milliseconds: each is a whole multiple of the one before, so that steps can be joined.
const LENGTHS_MS: [u32; 11] =
    [100, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 86_400_000];

/// Counts load into cells of shards × steps. When there are too many, steps are joined into longer ones.
#[derive(Clone, Debug)]
pub struct LoadGrid {
    shards: usize,
    max_steps: usize,
    step_ms: u64,
    /// Number of the first step since the epoch.
    first: u64,
    newest: Option<InstantMs>,
    ahead_ms: u64,
    /// Load units, step by step.
    cells: Vec<f64>,
    misplaced: u64,
}

impl LoadGrid {
    /// An empty grid for so many shards whose steps begin `step_ms` long. What lies further than `ahead_ms` after the newest or before the first
    /// has a wrong time.
    #[must_use]
    pub fn new(shards: usize, step_ms: u32, ahead_ms: u64) -> Self {
        let shards = shards.max(1);
        let (max_steps, step_ms) = ((MAX_CELLS / shards).max(2), u64::from(step_ms.max(1)));
        Self { shards, max_steps, step_ms, first: 0, newest: None, ahead_ms, cells: Vec::new(), misplaced: 0 }
    }

    /// The longest length that a grid may begin with so that its steps can be joined to any of those people ask for.
    #[must_use]
    pub fn finest_ms() -> u32 {
        LENGTHS_MS[0]
    }

    /// Counts load of the shard at `place`; false where its time or place is wrong.
    #[inline]
    pub fn add(&mut self, at: InstantMs, place: usize, load: f64) -> bool {
        let step = at.0 / self.step_ms;
        let offset = step.wrapping_sub(self.first) as usize;
        // The common case: within the grid, not ahead.
        if place < self.shards
            && let Some(newest) = self.newest
            && at <= newest
            && step >= self.first
        {
            self.cells[offset * self.shards + place] += load;
            return true;
        }
        self.add_outside(at, place, load)
    }

    #[cold]
    fn add_outside(&mut self, at: InstantMs, place: usize, load: f64) -> bool {
        let first_ms = InstantMs(self.first * self.step_ms);
        let misplaced = place >= self.shards
            || self
                .newest
                .is_some_and(|newest| at.since_ms(newest) > self.ahead_ms || first_ms.since_ms(at) > self.ahead_ms);
        if misplaced {
            self.misplaced += 1;
            return false;
        }
        if self.newest.is_none() {
            self.first = at.0 / self.step_ms;
        }
        loop {
            let step = at.0 / self.step_ms;
            let (from, to) = (self.first.min(step), (self.first + self.steps() as u64).max(step + 1));
            if to - from <= self.max_steps as u64 {
                let before = (self.first - from) as usize * self.shards;
                if before > 0 {
                    self.cells.splice(0..0, std::iter::repeat_n(0.0, before));
                    self.first = from;
                }
                let needed = (to - from) as usize * self.shards;
                if self.cells.len() < needed {
                    self.cells.resize(needed, 0.0);
                }
                break;
            }
            let longer =
                LENGTHS_MS.into_iter().map(u64::from).find(|ms| *ms > self.step_ms && ms.is_multiple_of(self.step_ms));
            self.join(longer.unwrap_or(self.step_ms * 2));
        }
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        let offset = (at.0 / self.step_ms - self.first) as usize;
        self.cells[offset * self.shards + place] += load;
        true
    }

    /// Makes steps `to_ms` long, a whole multiple of what they are.
    fn join(&mut self, to_ms: u64) {
        let factor = to_ms / self.step_ms;
        let first = self.first / factor;
        let steps = self.steps();
        let joined = if steps == 0 { 0 } else { ((self.first + steps as u64 - 1) / factor - first) as usize + 1 };
        let mut cells = vec![0.0; joined * self.shards];
        for (step, row) in self.cells.chunks(self.shards).enumerate() {
            let to = ((self.first + step as u64) / factor - first) as usize * self.shards;
            cells[to..to + self.shards].iter_mut().zip(row).for_each(|(sum, load)| *sum += load);
        }
        (self.cells, self.first, self.step_ms) = (cells, first, to_ms);
    }

    fn steps(&self) -> usize {
        self.cells.len() / self.shards
    }

    /// How long the record is, milliseconds: whole steps from the first to the newest.
    #[must_use]
    pub fn span_ms(&self) -> u64 {
        self.steps() as u64 * self.step_ms
    }

    /// Length of its steps now.
    #[must_use]
    pub fn step_ms(&self) -> u64 {
        self.step_ms
    }

    /// Queries left out for a time too far from the others', or for no shard.
    #[must_use]
    pub fn misplaced(&self) -> u64 {
        self.misplaced
    }

    /// Load per second of each shard, one value a step of `step_ms` or, where that is no multiple of the grid's, of the next length that is; with the
    /// start of the first step. The first and the last step are left out where the record holds a part of them only, as long as others stay.
    #[must_use]
    pub fn series(mut self, step_ms: u32) -> (InstantMs, u32, Vec<Vec<f32>>) {
        let wanted = u64::from(step_ms).max(self.step_ms).next_multiple_of(self.step_ms);
        if wanted > self.step_ms {
            self.join(wanted);
        }
        let cut = usize::from(self.steps() > 2);
        let (from, to) = (cut, self.steps() - cut);
        let step_s = self.step_ms as f64 / 1000.0;
        let series = |place: usize| {
            (from..to).map(|step| (self.cells[step * self.shards + place] / step_s) as f32).collect::<Vec<f32>>()
        };
        let start = InstantMs((self.first + from as u64) * self.step_ms);
        (start, self.step_ms as u32, (0..self.shards).map(series).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(series: &[Vec<f32>], step_ms: u32) -> f64 {
        series.iter().flatten().map(|load| f64::from(*load)).sum::<f64>() * f64::from(step_ms) / 1000.0
    }

    #[test]
    fn load_is_per_second_and_part_steps_at_the_ends_are_left_out() {
        let mut grid = LoadGrid::new(2, 1_000, u64::MAX);
        for ms in 0..50_u64 {
            assert!(grid.add(InstantMs(5_000 + ms * 100), (ms % 2) as usize, 2.0));
        }
        let (start, step_ms, series) = grid.series(1_000);
        assert_eq!((start, step_ms), (InstantMs(6_000), 1_000));
        assert_eq!(series, vec![vec![10.0; 3]; 2]);
    }

    #[test]
    fn wrong_times_and_places_are_counted_and_left_out() {
        let mut grid = LoadGrid::new(1, 1_000, 10_000);
        assert!(grid.add(InstantMs(50_000), 0, 1.0));
        assert!(
            !grid.add(InstantMs(90_000), 0, 1.0)
                && !grid.add(InstantMs(1_000), 0, 1.0)
                && !grid.add(InstantMs(50_000), 1, 1.0)
        );
        assert!(grid.add(InstantMs(45_000), 0, 1.0) && grid.add(InstantMs(59_000), 0, 1.0));
        assert_eq!((grid.misplaced(), grid.span_ms()), (3, 15_000));
    }

    #[test]
    fn a_long_log_gets_longer_steps_and_loses_nothing() {
        // 2^14 shards leave 512 steps.
        let mut grid = LoadGrid::new(1 << 14, 1_000, u64::MAX);
        for second in 0..20_000_u64 {
            grid.add(InstantMs(second * 1_000), second as usize % 7, 1.0);
        }
        assert_eq!(grid.step_ms(), 60_000);
        let (_, step_ms, series) = grid.series(60_000);
        assert_eq!(step_ms, 60_000);
        // 20 000 s are 333 whole minutes and a part; the first is left out, too.
        let total = total(&series, step_ms);
        assert!((total - 332.0 * 60.0).abs() < 0.01, "{total}");
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut times in prop::collection::vec(0_u64..3_000_000, 1..200)) {
            let counted = |times: &[u64]| {
                let mut grid = LoadGrid::new(3, 100, u64::MAX);
                times.iter().for_each(|ms| assert!(grid.add(InstantMs(*ms), (*ms % 3) as usize, 1.0)));
                grid.series(60_000)
            };
            let one = counted(&times);
            times.sort();
            prop_assert_eq!(one, counted(&times));
        }
    }
}
