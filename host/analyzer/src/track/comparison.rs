//! Two forecasters compared, series by series.

use super::score::{Tasks, known_mean};
use serde::Serialize;
use std::collections::BTreeMap;

/// Samples drawn: the ends of the interval then move by a fiftieth of its length from seed to seed.
const RESAMPLES: usize = 4_000;
/// The same differences give the same interval.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mean difference of the scaled pinball loss over series, with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// The first's loss less the second's; below zero the first is better.
    pub mean: f64,
    /// The 95 % interval, by bootstrap over series (Efron 1979): their origins overlap, so that a series is one observation.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Share of the series on which the first is better.
    pub better: f64,
    /// Series that both could be judged on.
    pub series: usize,
}

/// Compares two forecasters by horizon, on the tasks that both have.
#[must_use]
pub fn compare(a: &Tasks, b: &Tasks) -> BTreeMap<usize, PairedDifference> {
    let mut differences = BTreeMap::<usize, BTreeMap<usize, Vec<f64>>>::new();
    for ((series, origin, horizon), first) in a {
        if let Some(second) = b.get(&(*series, *origin, *horizon)) {
            differences.entry(*horizon).or_default().entry(*series).or_default().push(first.spl - second.spl);
        }
    }
    let by_horizon = differences.into_iter().filter_map(|(horizon, by_series)| {
        let means = by_series.into_values().map(|of_series| known_mean(of_series.into_iter()));
        Some((horizon, difference(&means.filter(|mean| mean.is_finite()).collect::<Vec<_>>())?))
    });
    by_horizon.collect()
}

fn difference(means: &[f64]) -> Option<PairedDifference> {
    let count = means.len();
    if count == 0 {
        return None;
    }
    let mean = |sum: f64| sum / count as f64;
    let mut chance = SEED;
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean((0..count).map(|_| means[(next(&mut chance) % count as u64) as usize]).sum()))
        .collect();
    resampled.sort_unstable_by(f64::total_cmp);
    Some(PairedDifference {
        mean: mean(means.iter().sum()),
        low: quantile(&resampled, 0.025),
        high: quantile(&resampled, 0.975),
        better: mean(means.iter().filter(|mean| **mean < 0.0).count() as f64),
        series: count,
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Between two of the sorted values, in proportion.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let (below, share) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + share * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::TaskScore;

    fn tasks(spl: impl Fn(usize, usize) -> f64, series: usize) -> Tasks {
        let task = |spl| TaskScore {
            mase: 0.0,
            spl,
            wql: 0.0,
            cov90: 0.0,
            c99: 0.0,
            miss: 0.0,
            over: 0.0,
            miss90: 0.0,
            over90: 0.0,
            bad: 0.0,
        };
        (0..series).flat_map(|place| [100, 200].map(|origin| ((place, origin, 12), task(spl(place, origin))))).collect()
    }

    #[test]
    fn the_interval_holds_the_mean_and_narrows_with_more_series() {
        let compared = |count: usize| {
            let a = tasks(|place, _| 0.4 + (place % 5) as f64 / 10.0, count);
            compare(&a, &tasks(|_, _| 0.7, count))[&12]
        };
        let (few, many) = (compared(20), compared(320));
        assert!((few.mean + 0.1).abs() < 1e-12 && few.low < few.mean && few.mean < few.high, "{few:?}");
        assert_eq!((few.better, few.series), (0.6, 20));
        // Standard deviation 0.1414 of the differences: plus or minus 1.96 of its standard errors.
        assert!((many.high - many.low - 2.0 * 1.96 * 0.1414 / 320f64.sqrt()).abs() < 2e-3, "{many:?}");
        assert_eq!(few, compared(20), "the same differences, the same interval");
    }

    #[test]
    fn series_that_can_not_be_judged_are_left_out() {
        let a = tasks(|place, origin| if place == 0 || origin == 100 { f64::NAN } else { 1.0 }, 3);
        let both = compare(&a, &tasks(|_, _| 2.0, 3))[&12];
        assert_eq!((both.series, both.mean, both.low, both.high), (2, -1.0, -1.0, -1.0));
        assert!(compare(&a, &Tasks::new()).is_empty());
    }
}
