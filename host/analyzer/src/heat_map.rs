//! The heat map: what the hottest shards did and will do, at a size that people and wires can take.

use crate::History;
use isobar_model::{InstantMs, ShardId};

/// What part of it, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatMapSpec {
    /// Closed steps back from now.
    pub past_steps: usize,
    /// Forecast steps ahead.
    pub future_steps: usize,
    /// Most rows; the shards with the highest peaks get them.
    pub max_rows: usize,
    /// Most columns, at least one on either side of now; several steps share one where there are more.
    pub max_columns: usize,
    /// Columns are no shorter than this, and whole steps; 0: a step is long enough.
    pub shortest_column_ms: u64,
}

/// Rates by shard and time. Past columns come first; where several steps share a column it shows the highest, so that no hot spot is averaged away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// Start of the first column.
    pub start: InstantMs,
    /// Length of a column.
    pub column_ms: u64,
    /// Columns.
    pub columns: usize,
    /// Columns of the past among them; the rest is forecast.
    pub past_columns: usize,
    /// Rows, by number.
    pub shards: Vec<ShardId>,
    /// The metric's units per second, `values[row * columns + column]`; NaN: missing.
    pub values: Vec<f32>,
    /// Shards left out as there were more than rows.
    pub omitted: usize,
}

/// The steps that a map is drawn of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// Length of a step.
    pub(crate) step_ms: u32,
    /// Where steps begin, modulo the step.
    pub(crate) phase_ms: u64,
    /// The first step that is not closed, by number: now.
    pub(crate) end: u64,
    /// Closed steps that are kept.
    pub(crate) kept: usize,
}

impl HeatMap {
    /// Draws the map of `shards`; `forecast` writes the median forecast of one, from now on, over what is missing else.
    #[must_use]
    pub fn draw(
        history: &History,
        shards: &[ShardId],
        forecast: impl Fn(ShardId, &mut [f32]),
        spec: HeatMapSpec,
    ) -> Self {
        let timeline = Timeline {
            step_ms: history.spec().step_ms,
            phase_ms: history.start_of(0).0,
            end: history.end(),
            kept: history.spec().keep_steps,
        };
        Self::of(timeline, shards, spec, |shard, first, past, ahead| {
            history.read(shard, first, past);
            forecast(shard, ahead);
        })
    }

    /// Draws the map of the steps that `read` gives: it is told the shard and the number of its first step, and fills in the closed steps
    /// from that one on and the steps ahead, all of them NaN before.
    pub(crate) fn of(
        timeline: Timeline,
        shards: &[ShardId],
        spec: HeatMapSpec,
        read: impl Fn(ShardId, u64, &mut [f32], &mut [f32]),
    ) -> Self {
        let Timeline { step_ms, phase_ms, end, kept } = timeline;
        let step_ms = u64::from(step_ms.max(1));
        let past = spec.past_steps.min(kept).min(usize::try_from(end).unwrap_or(usize::MAX));
        let (per_column, past_columns, future_columns) = columns(past, spec, step_ms);
        let columns = past_columns + future_columns;
        let lead_in = past_columns * per_column;
        // Before the first of these steps there may be no time at all.
        let before = (lead_in as u64).saturating_sub(end) as usize;
        let first = end.saturating_sub(lead_in as u64);

        let mut steps = vec![f32::NAN; lead_in + future_columns * per_column];
        let fill = |shard: ShardId, steps: &mut Vec<f32>| {
            steps.fill(f32::NAN);
            let (past, ahead) = steps.split_at_mut(lead_in);
            let ahead_len = spec.future_steps.min(ahead.len());
            read(shard, first, &mut past[before..], &mut ahead[..ahead_len]);
        };
        // Shards are read twice where there are too many: the peaks of a hundred thousand fit into memory, all their columns do not.
        let omitted = shards.len().saturating_sub(spec.max_rows);
        let mut chosen = shards.to_vec();
        if omitted > 0 {
            let mut peak = |shard| {
                fill(shard, &mut steps);
                highest(&steps)
            };
            let mut peaks: Vec<(f32, ShardId)> = shards.iter().map(|&shard| (peak(shard), shard)).collect();
            // Shards of which nothing is known come last, those of equal peaks by number.
            let key = |peak: f32| if peak.is_nan() { f32::NEG_INFINITY } else { peak };
            peaks.select_nth_unstable_by(spec.max_rows, |a, b| key(b.0).total_cmp(&key(a.0)).then(a.1.cmp(&b.1)));
            chosen = peaks[..spec.max_rows].iter().map(|(_, shard)| *shard).collect();
        }
        chosen.sort_unstable();

        let mut values = Vec::with_capacity(chosen.len() * columns);
        for &shard in &chosen {
            fill(shard, &mut steps);
            values.extend(steps.chunks_exact(per_column).map(highest));
        }
        Self {
            start: InstantMs(first.saturating_mul(step_ms).saturating_add(phase_ms)),
            column_ms: step_ms * per_column as u64,
            columns,
            past_columns,
            shards: chosen,
            values,
            omitted,
        }
    }
}

/// Steps of a column, and columns before and after now. Now is a column's edge, so that no column mixes what was with what may be.
fn columns(past: usize, spec: HeatMapSpec, step_ms: u64) -> (usize, usize, usize) {
    let shortest = usize::try_from(spec.shortest_column_ms.div_ceil(step_ms)).unwrap_or(usize::MAX);
    let all = past + spec.future_steps;
    // No column need be longer than all there is.
    let shortest = shortest.min(all).max(1);
    let split = |per_column: usize| (per_column, past.div_ceil(per_column), spec.future_steps.div_ceil(per_column));
    let most = spec.max_columns.max(1);
    let per_column = all.div_ceil(most).max(shortest);
    // Both sides are rounded up, which may make one column too many: the next longer columns that fit are at most twice as long.
    let fits = |&(_, past, future): &(usize, usize, usize)| past + future <= most;
    (per_column..=all.max(per_column)).map(split).find(fits).unwrap_or_else(|| split(all.max(1)))
}

/// The highest value that is known; NaN where none is.
fn highest(steps: &[f32]) -> f32 {
    let known = steps.iter().copied().filter(|value| value.is_finite());
    known.fold(f32::NAN, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistorySpec;
    use isobar_model::{LoadBatch, Metric};
    use proptest::prelude::*;

    fn history() -> History {
        let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: 1000, keep_steps: 100 });
        let batch = LoadBatch {
            metric: Metric::Load,
            start: InstantMs(100_000),
            step_ms: 1000,
            steps: 4,
            shards: vec![ShardId(1), ShardId(2)],
            values: vec![1.0, 2.0, 3.0, f32::NAN, 9.0, 0.0, 0.0, 0.0],
        };
        history.import(&batch).unwrap();
        history
    }

    /// A forecast of these steps.
    fn write(steps: &[f32]) -> impl Fn(ShardId, &mut [f32]) {
        move |_, ahead| ahead.iter_mut().zip(steps).for_each(|(step, value)| *step = *value)
    }

    fn draw(past_steps: usize, future_steps: usize, max_rows: usize, max_columns: usize) -> HeatMap {
        let forecast = |shard: ShardId, ahead: &mut [f32]| {
            if shard == ShardId(1) {
                write(&[5.0, 6.0, 7.0])(shard, ahead);
            }
        };
        let spec = HeatMapSpec { past_steps, future_steps, max_rows, max_columns, shortest_column_ms: 0 };
        HeatMap::draw(&history(), &[ShardId(2), ShardId(1)], forecast, spec)
    }

    fn known(map: &HeatMap) -> Vec<Option<f32>> {
        map.values.iter().map(|value| value.is_finite().then_some(*value)).collect()
    }

    #[test]
    fn past_and_forecast_stand_side_by_side() {
        let map = draw(2, 2, 10, 10);
        assert_eq!((map.start, map.column_ms, map.columns, map.past_columns), (InstantMs(102_000), 1000, 4, 2));
        assert_eq!(map.shards, [ShardId(1), ShardId(2)]);
        assert_eq!(known(&map), [Some(3.0), None, Some(5.0), Some(6.0), Some(0.0), Some(0.0), None, None]);
    }

    /// Promise 8.
    #[test]
    fn size_is_bounded_and_peaks_survive_it() {
        let map = draw(4, 3, 1, 4);
        assert_eq!((map.columns, map.past_columns, map.column_ms, map.omitted), (4, 2, 2000, 1));
        assert_eq!((known(&map), map.shards), (vec![Some(9.0), Some(0.0), None, None], vec![ShardId(2)]));
    }

    #[test]
    fn columns_are_as_long_as_asked_for() {
        let spec =
            HeatMapSpec { past_steps: 4, future_steps: 3, max_rows: 9, max_columns: 9, shortest_column_ms: 1_500 };
        let map = HeatMap::draw(&history(), &[ShardId(1)], write(&[5.0, 6.0, 7.0]), spec);
        assert_eq!((map.column_ms, map.columns, map.past_columns), (2000, 4, 2));
        assert_eq!(known(&map), [Some(2.0), Some(3.0), Some(6.0), Some(7.0)]);
        // Longer than all of it is as good as all of it: a column on either side.
        let map = HeatMap::draw(
            &history(),
            &[ShardId(1)],
            write(&[5.0]),
            HeatMapSpec { shortest_column_ms: u64::MAX, ..spec },
        );
        assert_eq!((map.columns, known(&map)), (2, vec![Some(3.0), Some(5.0)]));
    }

    #[test]
    fn shards_of_which_nothing_is_known_go_first() {
        let spec = HeatMapSpec { past_steps: 4, future_steps: 0, max_rows: 2, max_columns: 9, shortest_column_ms: 0 };
        let shards = [ShardId(0), ShardId(1), ShardId(2), ShardId(3)];
        let map = HeatMap::draw(&history(), &shards, write(&[]), spec);
        assert_eq!((map.shards, map.omitted), (vec![ShardId(1), ShardId(2)], 2));
        let nothing = HeatMap::draw(&history(), &[], write(&[]), HeatMapSpec { max_rows: 0, past_steps: 0, ..spec });
        assert_eq!((nothing.columns, nothing.values, nothing.omitted), (0, vec![], 0));
    }

    proptest! {
        /// Promise 8.
        #[test]
        fn it_is_never_larger_than_asked_for(
            past_steps in 0usize..200, future_steps in 0usize..100, max_rows in 0usize..4, max_columns in 2usize..50,
            shortest_column_ms in 0u64..90_000,
        ) {
            let spec = HeatMapSpec { past_steps, future_steps, max_rows, max_columns, shortest_column_ms };
            let map = HeatMap::draw(&history(), &[ShardId(1), ShardId(2)], write(&[4.0, 20.0]), spec);
            prop_assert!(map.columns <= max_columns && map.shards.len() <= max_rows);
            prop_assert_eq!(map.values.len(), map.columns * map.shards.len());
            prop_assert_eq!(map.shards.len() + map.omitted, 2);
            // Now is where the past ends, and what is highest is seen.
            prop_assert!(map.past_columns as u64 * map.column_ms >= past_steps.min(100) as u64 * 1000);
            if max_rows > 0 && future_steps >= 2 {
                prop_assert_eq!(highest(&map.values), 20.0);
            }
        }
    }
}
