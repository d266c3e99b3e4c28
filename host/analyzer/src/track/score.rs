//! How good forecasts of a track were.

use super::forecast::{LEVELS, LOWER_PEAK_LEVEL, PEAK_LEVEL, TrackForecast};
use super::series::Series;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// What is missing or not finite scores so badly, and nothing scores worse: one hopeless series must not be the whole mean.
pub const CLIP: f64 = 10.0;
/// Days before the origin whose mean error of the daily naive is the unit of errors.
const SCALE_DAYS: usize = 28;
/// Units up to this are flat: nothing can be scaled by them.
const FLAT: f64 = 1e-9;
/// Levels that the pinball loss is the mean of, by place in [`LEVELS`]: 0.5, 0.9, 0.99.
const JUDGED: [usize; 3] = [1, 2, 4];
const MEDIAN: usize = 1;
/// The ends of the 90 % interval.
const LOWEST: usize = 0;
const UPPER: usize = 3;
const HIGHEST: usize = 4;

/// The metrics of one series at one origin and horizon, over steps 1 to the horizon. NaN: can't be told, and is left out of means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TaskScore {
    /// Mean absolute error of the median, in units of the daily naive's mean error over the last 28 days before the origin.
    pub mase: f64,
    /// Twice the pinball loss averaged over 0.5, 0.9, 0.99, in the same unit. Lower is better.
    pub spl: f64,
    /// The same loss over the mean load of those days.
    pub wql: f64,
    /// Share of loads within the 0.05 and the 0.95 quantile.
    pub cov90: f64,
    /// Share of loads up to the 0.99 quantile.
    pub c99: f64,
    /// 1 where the true peak was above the peak forecast: the one given, else the largest of the 0.95 path.
    pub miss: f64,
    /// The peak forecast over the true peak. Its mean over tasks is a median.
    pub over: f64,
    /// The same two of the peak's 0.9 quantile, or the largest of that path.
    pub miss90: f64,
    /// See there.
    pub over90: f64,
    /// 1 where the forecast is missing or not finite.
    pub bad: f64,
}

impl TaskScore {
    const BAD: Self = Self {
        mase: CLIP,
        spl: CLIP,
        wql: CLIP,
        cov90: 0.0,
        c99: 0.0,
        miss: 1.0,
        over: CLIP,
        miss90: 1.0,
        over90: CLIP,
        bad: 1.0,
    };
}

/// Scores by series (its place in the track), origin and horizon.
pub type Tasks = BTreeMap<(usize, usize, usize), TaskScore>;

/// The score over a track.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrackScore {
    /// Over all tasks of a horizon, each weighing the same.
    pub horizons: BTreeMap<usize, TaskScore>,
    /// Forecasts that were missing or not finite, by horizon.
    pub missing: BTreeMap<usize, usize>,
    /// Median milliseconds a forecast; none where none tells.
    pub ms: Option<f64>,
}

impl TrackScore {
    /// The means over `tasks`; of [`TaskScore::over`] the median.
    #[must_use]
    pub fn of(tasks: &Tasks, forecasts: &[TrackForecast]) -> Self {
        let mut by_horizon = BTreeMap::<usize, Vec<TaskScore>>::new();
        for ((_, _, horizon), task) in tasks {
            by_horizon.entry(*horizon).or_default().push(*task);
        }
        let missing = |tasks: &Vec<TaskScore>| tasks.iter().filter(|task| task.bad > 0.0).count();
        Self {
            missing: by_horizon.iter().map(|(horizon, tasks)| (*horizon, missing(tasks))).collect(),
            horizons: by_horizon.iter().map(|(horizon, tasks)| (*horizon, summary(tasks))).collect(),
            ms: median(forecasts.iter().filter_map(|forecast| forecast.ms).collect()),
        }
    }
}

/// Scores `forecasts` at every origin of `track`, or only those that `wanted` picks (by place of the series, and origin). Of two
/// forecasts for one origin the later counts.
#[must_use]
pub fn score(track: &[Series], forecasts: &[TrackForecast], wanted: impl Fn(usize, usize) -> bool) -> Tasks {
    let given: HashMap<(&str, usize), &TrackForecast> =
        forecasts.iter().map(|forecast| ((forecast.id.as_str(), forecast.origin), forecast)).collect();
    let mut tasks = Tasks::new();
    for (place, series) in track.iter().enumerate() {
        for &origin in series.origins.iter().filter(|origin| wanted(place, **origin)) {
            let forecast = given.get(&(series.id.as_str(), origin)).copied();
            let unit = Unit::before(series, origin);
            for &horizon in &series.horizons {
                tasks.insert((place, origin, horizon), task(series, origin, horizon, &unit, forecast));
            }
        }
    }
    tasks
}

/// What errors before an origin are measured in.
struct Unit {
    /// Mean error of the daily naive.
    naive_error: f64,
    /// Mean load.
    level: f64,
}

impl Unit {
    fn before(series: &Series, origin: usize) -> Self {
        let day = series.day_steps;
        let past = &series.y[origin.saturating_sub(SCALE_DAYS * day)..origin];
        let changes = past.iter().skip(day).zip(past).map(|(now, then)| (now - then).abs());
        Self { naive_error: known_mean(changes), level: known_mean(past.iter().map(|load| load.abs())) }
    }
}

fn task(series: &Series, origin: usize, horizon: usize, unit: &Unit, forecast: Option<&TrackForecast>) -> TaskScore {
    let Some(forecast) = forecast else { return TaskScore::BAD };
    let sound = |path: &Vec<f64>| path.len() >= horizon && path[..horizon].iter().all(|value| value.is_finite());
    if !forecast.paths.iter().all(sound) {
        return TaskScore::BAD;
    }
    let y = &series.y[origin..origin + horizon];
    let against = |level: usize, judge: &dyn Fn(f64, f64) -> f64| {
        let pairs = y.iter().zip(&forecast.paths[level]).filter(|(load, _)| !load.is_nan());
        known_mean(pairs.map(|(load, value)| judge(*load, *value)))
    };
    let pinball = |level: usize| {
        let a = JUDGED_LEVELS[level];
        against(level, &|load, value| f64::max(a * (load - value), (a - 1.0) * (load - value)))
    };
    let loss = 2.0 * JUDGED.iter().map(|level| pinball(*level)).sum::<f64>() / JUDGED.len() as f64;
    let true_peak = y.iter().copied().fold(f64::NAN, f64::max);
    let peak = |level: usize, given: &BTreeMap<usize, f64>| {
        let highest = || forecast.paths[level][..horizon].iter().copied().fold(f64::NAN, f64::max);
        given.get(&horizon).copied().unwrap_or_else(highest)
    };
    let (peak, lower_peak) = (peak(PEAK_LEVEL, &forecast.peaks), peak(LOWER_PEAK_LEVEL, &forecast.lower_peaks));
    let clipped = |value: f64| if value > CLIP { CLIP } else { value };
    let flat = unit.naive_error <= FLAT;
    let scaled = |error: f64| if flat { f64::NAN } else { clipped(error / unit.naive_error) };
    let share = |inside: bool| f64::from(u8::from(inside));
    let told = |metric: f64| if true_peak.is_nan() { f64::NAN } else { metric };
    let (missed, over) = (|peak| told(share(true_peak > peak)), |peak: f64| told(peak / floor(true_peak)));
    let within =
        y.iter().zip(&forecast.paths[LOWEST]).zip(&forecast.paths[UPPER]).filter(|((load, _), _)| !load.is_nan());
    TaskScore {
        mase: scaled(against(MEDIAN, &|load, value| (load - value).abs())),
        spl: scaled(loss),
        wql: clipped(loss / floor(unit.level)),
        cov90: known_mean(within.map(|((load, low), high)| share(load >= low && load <= high))),
        c99: against(HIGHEST, &|load, value| share(load <= value)),
        miss: missed(peak),
        over: over(peak),
        miss90: missed(lower_peak),
        over90: over(lower_peak),
        bad: 0.0,
    }
}

/// [`LEVELS`] as doubles: 0.9, not the nearest `f32`.
const JUDGED_LEVELS: [f64; LEVELS.len()] = [0.05, 0.5, 0.9, 0.95, 0.99];

/// Large enough to divide by.
fn floor(value: f64) -> f64 {
    if value < FLAT { FLAT } else { value }
}

/// The mean of what is no NaN; NaN of nothing.
pub(super) fn known_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) =
        values.filter(|value| !value.is_nan()).fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / count as f64 }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

fn summary(tasks: &[TaskScore]) -> TaskScore {
    let mean = |pick: fn(&TaskScore) -> f64| known_mean(tasks.iter().map(pick));
    TaskScore {
        mase: mean(|task| task.mase),
        spl: mean(|task| task.spl),
        wql: mean(|task| task.wql),
        cov90: mean(|task| task.cov90),
        c99: mean(|task| task.c99),
        miss: mean(|task| task.miss),
        over: median(tasks.iter().map(|task| task.over).collect()).unwrap_or(f64::NAN),
        miss90: mean(|task| task.miss90),
        over90: median(tasks.iter().map(|task| task.over90).collect()).unwrap_or(f64::NAN),
        bad: mean(|task| task.bad),
    }
}

#[cfg(test)]
mod tests;
