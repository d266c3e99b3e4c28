use crate::decomposition::{Change, Decomposition};
use crate::maximum::Maximum;
use crate::normal_equations::{Frame, NormalEquations, Point};
use crate::seasonality::Seasonality;

/// The fewest values that are worth a fit.
const LEAST_POINTS: usize = 4;

/// What is fitted, and how freely.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The most places where the trend may bend; fewer where history is short.
    pub changepoints: usize,
    /// They are spread evenly over this first share of the history.
    pub changepoint_range: f64,
    /// Scale of the Laplace prior of a bend: the larger, the more freely the trend bends.
    pub changepoint_prior: f64,
    /// Which periodic terms there are.
    pub seasonality: Seasonality,
    /// Standard deviation of the prior of the daily terms' coefficients, in loads of the largest one.
    pub daily_prior: f64,
    /// The same of the weekly ones.
    pub weekly_prior: f64,
    /// Steps that each value is the mean of, and the mean square of their distance from it: so that means of many steps weigh, and are as
    /// noisy, as the steps themselves.
    pub steps_per_point: f64,
    /// See above.
    pub within_square: f64,
}

/// The most probable Prophet model of `points`, ascending in time: a trend that bends at changepoints, periodic terms and noise (S. J. Taylor,
/// B. Letham, "Forecasting at scale", The American Statistician 2018). None for fewer than four values, values all at one time, or where
/// rounding spoils the solution.
///
/// Values are read once, for their normal equations; what is most probable follows from those alone (`Maximum`).
#[must_use]
pub fn fit(points: &[Point], shape: &Shape) -> Option<Decomposition> {
    let frame = frame(points)?;
    let places = changepoints(points, frame, shape);
    let equations = NormalEquations::of(points, frame, &places, shape.seasonality);
    let Maximum { coefficients, noise } = Maximum::of(&equations, shape, frame.scale)?;
    let (waves, trend) = coefficients.split_at(shape.seasonality.terms());
    let changes = places.iter().zip(&trend[2..]).map(|(time, change)| Change { time: *time, change: *change });
    Some(Decomposition {
        start_days: frame.start_days,
        span_days: frame.span_days,
        scale: frame.scale,
        slope: trend[0],
        offset: trend[1],
        changes: changes.collect(),
        seasonality: shape.seasonality,
        waves: waves.to_vec(),
        noise,
    })
}

fn frame(points: &[Point]) -> Option<Frame> {
    let [first, .., last] = points else { return None };
    let scale = points.iter().fold(0.0, |largest: f64, point| largest.max(point.value.abs()));
    let span_days = last.time_days - first.time_days;
    let enough = points.len() >= LEAST_POINTS && span_days > 0.0 && scale.is_finite();
    // All zero: any scale will do.
    let scale = if scale > 0.0 { scale } else { 1.0 };
    enough.then_some(Frame { start_days: first.time_days, span_days, scale })
}

/// Times of changepoints: those of values evenly spread over the first share of the history, as Prophet takes them, without the first.
fn changepoints(points: &[Point], frame: Frame, shape: &Shape) -> Vec<f64> {
    let reach = (points.len() as f64 * shape.changepoint_range).floor() as usize;
    let count = shape.changepoints.min(reach.saturating_sub(1));
    let place = |nth: usize| (nth as f64 * (reach - 1) as f64 / count as f64).round_ties_even() as usize;
    (1..=count).filter_map(|nth| points.get(place(nth))).map(|point| frame.time(point.time_days)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(changepoints: usize) -> Shape {
        Shape {
            changepoints,
            changepoint_range: 0.8,
            changepoint_prior: 0.05,
            seasonality: Seasonality { day_order: 3, week_order: 0 },
            daily_prior: 10.0,
            weekly_prior: 10.0,
            steps_per_point: 1.0,
            within_square: 0.0,
        }
    }

    fn hours(loads: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let points = loads.into_iter().enumerate();
        points.map(|(hour, value)| Point { time_days: 20_000.0 + hour as f64 / 24.0, value }).collect()
    }

    #[test]
    fn a_bend_and_a_wave_are_found_again() {
        let load = |hour: usize| {
            let bent = (hour as f64 - 170.0).max(0.0);
            200.0 + 0.5 * bent + 20.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin()
        };
        let model = fit(&hours((0..336).map(load)), &shape(25)).expect("enough of a history");
        let mut room = [0.0; 6];
        let time_days = 20_000.0 + 340.0 / 24.0;
        let found = model.trend(time_days) + model.seasons(time_days, &mut room).0;
        assert!((found - load(340)).abs() < 2.0, "{found}, not {}", load(340));
        assert!(model.noise * model.scale < 2.0);
    }

    #[test]
    fn too_little_to_fit_is_none() {
        assert!(fit(&hours([1.0, 2.0, 3.0]), &shape(25)).is_none());
        assert!(fit(&[Point { time_days: 3.0, value: 1.0 }; 9], &shape(25)).is_none());
    }

    proptest! {
        #[test]
        fn any_history_gives_a_sound_model_or_none(
            loads in proptest::collection::vec(prop_oneof![Just(0.0), 0.0..1e3, 0.0..1e15, Just(1e15)], 0..200),
            changepoints in 0usize..60,
        ) {
            if let Some(model) = fit(&hours(loads), &shape(changepoints)) {
                prop_assert!(model.is_sound(), "{model:?}");
            }
        }
    }
}
