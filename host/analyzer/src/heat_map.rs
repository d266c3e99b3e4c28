//! The heat map: load of the hottest shards, past and forecast, at a size that people and wires can take.

use crate::History;
use isobar_model::{InstantMs, ShardId};
use serde::{Deserialize, Serialize};

/// What part of it, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatMapSpec {
    /// Closed steps back from now.
    pub past_steps: usize,
    /// Forecast steps ahead.
    pub future_steps: usize,
    /// Most rows; the shards with the highest peaks get them.
    pub max_rows: usize,
    /// Most columns; several steps share one where there are more.
    pub max_columns: usize,
}

/// Load by shard and time. Past columns come first; where several steps share a column it shows the highest, so that no hot spot is averaged away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Load units per second, `values[row * columns + column]`; none: missing.
    pub values: Vec<Option<f32>>,
    /// Shards left out as there were more than rows.
    pub omitted: usize,
}

impl HeatMap {
    /// Draws the map of `shards`, the median forecast of each being given by `forecast` (steps from now on; shorter is missing).
    #[must_use]
    pub fn draw<'a>(
        history: &History,
        shards: &[ShardId],
        forecast: impl Fn(ShardId) -> &'a [f32],
        spec: HeatMapSpec,
    ) -> Self {
        let past = spec.past_steps.min(history.spec().keep_steps).min(history.end() as usize);
        let steps = past + spec.future_steps;
        let per_column = steps.div_ceil(spec.max_columns.max(1)).max(1);
        // Now is a column's edge, so that no column mixes what was with what may be.
        let (past_columns, future_columns) = (past.div_ceil(per_column), spec.future_steps.div_ceil(per_column));
        let columns = past_columns + future_columns;
        let lead_in = past_columns * per_column;

        let mut steps = vec![f32::NAN; lead_in + future_columns * per_column];
        let mut row = |shard: ShardId| -> Vec<Option<f32>> {
            steps.fill(f32::NAN);
            // Before the first of these steps there may be no time at all.
            let before = (lead_in as u64).saturating_sub(history.end()) as usize;
            let first = history.end().saturating_sub(lead_in as u64);
            history.read(shard, first, &mut steps[before..lead_in]);
            let ahead = steps[lead_in..].iter_mut().take(spec.future_steps);
            ahead.zip(forecast(shard)).for_each(|(step, value)| *step = *value);
            let highest = |column: &[f32]| {
                let known = column.iter().copied().filter(|value| value.is_finite());
                known.reduce(f32::max)
            };
            steps.chunks_exact(per_column).map(highest).collect()
        };
        let mut rows: Vec<(ShardId, Vec<Option<f32>>)> = shards.iter().map(|&shard| (shard, row(shard))).collect();
        let peak = |row: &[Option<f32>]| row.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max);
        rows.sort_by(|(a, left), (b, right)| peak(right).total_cmp(&peak(left)).then(a.cmp(b)));
        let omitted = rows.len().saturating_sub(spec.max_rows);
        rows.truncate(spec.max_rows);
        rows.sort_by_key(|(shard, _)| *shard);

        let column_ms = u64::from(history.spec().step_ms) * per_column as u64;
        Self {
            start: history.start_of(history.end().saturating_sub(lead_in as u64)),
            column_ms,
            columns,
            past_columns,
            shards: rows.iter().map(|(shard, _)| *shard).collect(),
            values: rows.into_iter().flat_map(|(_, row)| row).collect(),
            omitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistorySpec;
    use isobar_model::{LoadBatch, Metric};

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

    fn draw(past_steps: usize, future_steps: usize, max_rows: usize, max_columns: usize) -> HeatMap {
        let forecast = |shard: ShardId| if shard == ShardId(1) { &[5.0f32, 6.0, 7.0][..] } else { &[] };
        let spec = HeatMapSpec { past_steps, future_steps, max_rows, max_columns };
        HeatMap::draw(&history(), &[ShardId(2), ShardId(1)], forecast, spec)
    }

    #[test]
    fn past_and_forecast_stand_side_by_side() {
        let map = draw(2, 2, 10, 10);
        assert_eq!((map.start, map.column_ms, map.columns, map.past_columns), (InstantMs(102_000), 1000, 4, 2));
        assert_eq!(map.shards, [ShardId(1), ShardId(2)]);
        assert_eq!(map.values, [Some(3.0), None, Some(5.0), Some(6.0), Some(0.0), Some(0.0), None, None]);
    }

    /// Promise 8.
    #[test]
    fn size_is_bounded_and_peaks_survive_it() {
        let map = draw(4, 3, 1, 4);
        assert_eq!((map.columns, map.past_columns, map.column_ms, map.omitted), (4, 2, 2000, 1));
        assert_eq!((map.shards, map.values), (vec![ShardId(2)], vec![Some(9.0), Some(0.0), None, None]));
    }
}
