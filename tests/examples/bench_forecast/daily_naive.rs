//! The daily naive with empirical quantiles: the honest gate that every forecaster must not be worse than.

use isobar_analyzer::track::{LEVELS, Series, TrackForecast};
use std::collections::BTreeMap;

/// Days whose changes from one to the next give the quantiles.
const DAYS: usize = 28;
/// The median's place in [`LEVELS`]: yesterday's value as it is.
const MEDIAN: usize = 1;

/// Yesterday's value at the same time, plus the quantiles of its past errors: times the square root of the days ahead, none below zero.
pub(crate) fn forecasts(track: &[Series]) -> Vec<TrackForecast> {
    track.iter().flat_map(|series| series.origins.iter().map(|origin| forecast(series, *origin))).collect()
}

fn forecast(series: &Series, origin: usize) -> TrackForecast {
    let day = series.day_steps;
    let past = &series.y[origin.saturating_sub((DAYS + 1) * day)..origin];
    let mut changes: Vec<f64> = past.iter().skip(day).zip(past).map(|(now, then)| now - then).collect();
    changes.retain(|change| change.is_finite());
    changes.sort_unstable_by(f64::total_cmp);
    let paths = std::array::from_fn(|level| {
        let error = if level == MEDIAN { 0.0 } else { quantile(&changes, f64::from(LEVELS[level].1)) };
        (0..series.horizon())
            .map(|step| {
                // The same time of the last day on which it is known.
                let known = (1..).map_while(|back| (origin + step % day).checked_sub(back * day));
                let base = known.map(|at| series.y[at]).find(|load| load.is_finite()).unwrap_or(0.0);
                (base + error * ((step / day + 1) as f64).sqrt()).max(0.0)
            })
            .collect()
    });
    TrackForecast {
        id: series.id.clone(),
        origin,
        paths,
        peaks: BTreeMap::new(),
        lower_peaks: BTreeMap::new(),
        ms: None,
    }
}

/// Of sorted values, between two in proportion; 0 of none.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = level * last as f64;
    let below = at.floor() as usize;
    sorted[below] + at.fract() * (sorted[(below + 1).min(last)] - sorted[below])
}
