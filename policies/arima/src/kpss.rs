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
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let (mut sum, mut strayed) = (0.0, 0.0);
    for value in &centred {
        sum += value;
        strayed += sum * sum;
    }
    // Newey's and West's long-run variance, with Bartlett's weights.
    let mut variance: f64 = centred.iter().map(|value| value * value).sum();
    for lag in 1..=lags.min(n - 1) {
        let weight = 2.0 * (1.0 - lag as f64 / (lags + 1) as f64);
        variance += weight * centred.iter().skip(lag).zip(&centred).map(|(now, before)| now * before).sum::<f64>();
    }
    let statistic = strayed / (n as f64 * variance);
    if variance > 0.0 && statistic.is_finite() { statistic } else { 0.0 }
}
