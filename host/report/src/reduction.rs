//! Fewer points that look the same.

use crate::axis::drawable;

/// Points drawn of one line at most, before any are left out: more than pixels are wide.
pub(crate) const MAX_POINTS: usize = 2_000;
/// Parts of the x axis of which four points each are kept where a line has more.
const BUCKETS: usize = MAX_POINTS / 4;

/// Runs of points without a gap between, in order of x. Points that can't be drawn are gaps.
///
/// Of a line with more than [`MAX_POINTS`], each of 500 parts of its width keeps its first, lowest, highest and last point, which gives the same
/// pixels: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation" (VLDB 2014).
pub(crate) fn runs(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let mut sorted: Vec<(f64, f64)> = points.iter().copied().filter(|point| drawable(point.0)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    if sorted.len() <= MAX_POINTS {
        let runs = sorted.split(|point| !drawable(point.1));
        return runs.filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect();
    }
    let mut runs = Vec::new();
    let mut run = Vec::new();
    for bucket in buckets(&sorted, |point| point.0) {
        let mut kept: Vec<(f64, f64)> = Vec::with_capacity(4);
        let seen = || bucket.iter().enumerate().filter(|(_, point)| drawable(point.1));
        let (first, last) = (seen().next(), seen().next_back());
        let low = seen().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let high = seen().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let mut at: Vec<usize> = [first, low, high, last].into_iter().flatten().map(|(at, _)| at).collect();
        at.sort_unstable();
        at.dedup();
        kept.extend(at.into_iter().map(|at| bucket[at]));
        if kept.is_empty() && !run.is_empty() {
            runs.push(std::mem::take(&mut run));
        }
        run.extend(kept);
    }
    runs.extend((!run.is_empty()).then_some(run));
    runs
}

/// Runs of a band without a gap between: x, low, high. Of many, each of the parts of its width keeps its lowest low and highest high.
pub(crate) fn band_runs(points: &[(f64, f64, f64)]) -> Vec<Vec<(f64, f64, f64)>> {
    let mut sorted: Vec<(f64, f64, f64)> = points.iter().copied().filter(|point| drawable(point.0)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let whole = |point: &(f64, f64, f64)| drawable(point.1) && drawable(point.2);
    if sorted.len() > MAX_POINTS {
        let joined = buckets(&sorted, |point| point.0).map(|bucket| {
            let seen = || bucket.iter().filter(|point| whole(point));
            let low = seen().map(|point| point.1).fold(f64::INFINITY, f64::min);
            let high = seen().map(|point| point.2).fold(f64::NEG_INFINITY, f64::max);
            (bucket[bucket.len() / 2].0, low, high)
        });
        sorted = joined.collect();
    }
    sorted.split(|point| !whole(point)).filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
}

/// Sorted points, those of each part of the width together; empty parts are left out.
fn buckets<T>(sorted: &[T], x: impl Fn(&T) -> f64 + Copy) -> impl Iterator<Item = &[T]> {
    let (low, high) = (sorted.first().map_or(0.0, x), sorted.last().map_or(1.0, x));
    let width = (high - low).max(f64::MIN_POSITIVE);
    let bucket = move |point: &T| (((x(point) - low) / width * BUCKETS as f64) as usize).min(BUCKETS - 1);
    sorted.chunk_by(move |a, b| bucket(a) == bucket(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_points_are_kept_as_they_are_and_gaps_part_them() {
        let nan = f64::NAN;
        assert_eq!(runs(&[(2.0, 3.0), (0.0, 1.0), (1.0, nan), (nan, 9.0)]), [vec![(0.0, 1.0)], vec![(2.0, 3.0)]]);
        assert_eq!(band_runs(&[(0.0, 1.0, 2.0), (1.0, nan, 2.0)]), [vec![(0.0, 1.0, 2.0)]]);
        assert!(runs(&[]).is_empty() && band_runs(&[]).is_empty() && runs(&[(0.0, nan); 5_000]).is_empty());
    }

    #[test]
    fn a_spike_survives() {
        let mut points: Vec<(f64, f64)> =
            (0..1_000_000).map(|at| (f64::from(at), (f64::from(at) * 1e-4).sin())).collect();
        points[777_777].1 = 50.0;
        let runs = runs(&points);
        assert_eq!(runs.len(), 1);
        assert!(runs[0].len() <= MAX_POINTS && runs[0].contains(&(777_777.0, 50.0)), "{}", runs[0].len());
        assert!(runs[0].is_sorted_by(|a, b| a.0 < b.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn whatever_comes_the_number_of_points_is_bounded_and_the_extremes_stay(
            values in prop::collection::vec(prop_oneof![8 => -10.0..10.0f64, 1 => Just(f64::NAN)], 0..9_000)
        ) {
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect();
            let kept: Vec<f64> = runs(&points).concat().into_iter().map(|point| point.1).collect();
            prop_assert!(kept.len() <= MAX_POINTS);
            let highest = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(highest(&kept), highest(&values));
            let band: Vec<(f64, f64, f64)> = points.iter().map(|(x, y)| (*x, y - 1.0, y + 1.0)).collect();
            prop_assert!(band_runs(&band).concat().len() <= MAX_POINTS);
        }
    }
}
