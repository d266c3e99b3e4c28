/// The statistic that a series which keeps returning to one level exceeds once in a hundred times: a needless difference costs more, a day
/// ahead, than a missing one.
pub(crate) const CRITICAL: f64 = 0.739;

/// Whether `values` stray from one level: large where they do (D. Kwiatkowski, P. C. B. Phillips, P. Schmidt, Y. Shin 1992). What carries on for
/// up to `lags` steps is not held against them. 0 where they never change.
pub(crate) fn kpss(values: &[f64], lags: usize) -> f64 {
    let n = values.len();
    if n < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    // sums[t] is that of the first t values, less their mean.
    let mut sums = Vec::with_capacity(n + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    sums.extend(values.iter().map(|value| {
        sum += value - mean;
        sum
    }));
    let strayed: f64 = sums[1..].iter().map(|sum| sum * sum).sum();
    // Newey's and West's long-run variance: with Bartlett's weights it is the mean square of the sums over all windows of `lags + 1` steps, those
    // that reach beyond an end too; one pass, however many the lags.
    // Windows as long as the whole say nothing.
    let window = lags.min(n / 4) + 1;
    let variance = (1..n + window)
        .map(|end| {
            let sum = sums[end.min(n)] - sums[end.saturating_sub(window)];
            sum * sum
        })
        .sum::<f64>()
        / window as f64;
    let statistic = strayed / (n as f64 * variance);
    if variance > 0.0 && statistic.is_finite() { statistic } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_strays_and_noise_does_not_however_long_a_day_is() {
        // A linear congruential generator (Knuth's MMIX).
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        let noise: Vec<f64> = (0..2016).map(next).collect();
        let walk: Vec<f64> = noise.iter().scan(0.0, |sum, step| Some(*sum + step).inspect(|now| *sum = *now)).collect();
        for lags in [48, 288, 2880, 8640] {
            let (noise, walk) = (kpss(&noise, lags), kpss(&walk, lags));
            assert!(noise < walk, "{lags} lags: {noise} {walk}");
            assert!(noise < CRITICAL, "{lags} lags: {noise}");
        }
        assert_eq!(kpss(&[3.0; 100], 24), 0.0);
    }
}
