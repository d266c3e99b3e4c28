//! Load batches of one step length from those of another.

use isobar_model::{InstantMs, LoadBatch};

/// The batch in steps of `step_ms`, each beginning at a multiple of it: means over what is known, missing where less than half is, as
/// [`crate::History`] has it. None where the batch's steps are longer, since what happened within them is not known.
#[must_use]
pub fn resample(batch: &LoadBatch, step_ms: u32) -> Option<LoadBatch> {
    if batch.step_ms == 0 || batch.step_ms > step_ms || !batch.is_well_formed() {
        return None;
    }
    let (fine, coarse) = (u64::from(batch.step_ms), u64::from(step_ms));
    let start = batch.start.0 / coarse;
    let end = (batch.start.0 + u64::from(batch.steps) * fine).div_ceil(coarse);
    let width = (end - start) as usize;
    let mut values = Vec::with_capacity(width * batch.shards.len());
    for row in 0..batch.shards.len() {
        let mut sums = vec![(0.0f64, 0u64); width];
        for (i, &value) in (0u64..).zip(batch.row(row)) {
            if !value.is_finite() {
                continue;
            }
            let (mut at, to) = (batch.start.0 + i * fine, batch.start.0 + (i + 1) * fine);
            while at < to {
                let step = at / coarse;
                let until = to.min((step + 1) * coarse);
                let (sum, covered) = &mut sums[(step - start) as usize];
                *sum += f64::from(value.max(0.0)) * (until - at) as f64;
                *covered += until - at;
                at = until;
            }
        }
        values.extend(sums.iter().map(
            |&(sum, covered)| {
                if covered * 2 >= coarse { (sum / covered as f64) as f32 } else { f32::NAN }
            },
        ));
    }
    let (start, steps) = (InstantMs(start * coarse), u32::try_from(width).ok()?);
    Some(LoadBatch { start, step_ms, steps, shards: batch.shards.clone(), values, ..*batch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{Metric, ShardId};

    #[test]
    fn minutes_become_five_minutes_and_a_part_of_a_step_counts_from_half_on() {
        let minutes = LoadBatch {
            metric: Metric::Load,
            start: InstantMs(120_000),
            step_ms: 60_000,
            steps: 10,
            shards: vec![ShardId(4)],
            values: vec![1.0, 2.0, 3.0, 10.0, f32::NAN, 10.0, 10.0, 20.0, 7.0, 7.0],
        };
        let five = resample(&minutes, 300_000).unwrap();
        assert_eq!((five.start, five.steps), (InstantMs(0), 3));
        assert_eq!(five.values[..2], [2.0, 12.5]);
        assert!(five.values[2].is_nan(), "two minutes of five");
        assert_eq!(resample(&five, 60_000), None);
        assert_eq!(resample(&five, 300_000).unwrap().values[..2], five.values[..2]);
    }
}
