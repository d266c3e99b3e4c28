//! What Python's Prophet makes of the series in `check/fixtures.json` (by `check/fixtures.py`), this model makes of them too.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use prophet::{Change, Decomposition, Point, Prophet, Seasonality, Shape, fit};
use serde_json::Value;

/// Most that a forecast may differ by, in loads of the history's largest one.
const TOLERANCE: f64 = 0.002;
/// The same where Prophet's search stopped so far short of the maximum, in the logarithm of the density, that it is the less exact one.
const TOLERANCE_FOR_STOPPED_SHORT: f64 = 0.01;
const STOPPED_SHORT: f64 = 1.0;
const CHANGEPOINTS: usize = 25;
const SEASONALITY_PRIOR: f64 = 10.0;

struct Fixture(Value);

fn fixtures() -> Vec<Fixture> {
    let list: Vec<Value> = serde_json::from_str(include_str!("../check/fixtures.json")).unwrap();
    list.into_iter().map(Fixture).collect()
}

impl Fixture {
    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap()
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        self.0[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
    }

    fn points(&self) -> Vec<Point> {
        let (day, first) = (self.number("day"), self.number("first"));
        let steps = self.numbers("y").into_iter().enumerate();
        steps
            .map(|(step, value)| Point { time_days: (first + step as f64) / day, value })
            .filter(|point| point.value.is_finite())
            .collect()
    }

    fn seasonality(&self) -> Seasonality {
        let order = |key: &str| self.0[key].as_u64().unwrap() as u32;
        Seasonality { day_order: order("day_order"), week_order: order("week_order") }
    }

    fn ours(&self) -> Decomposition {
        let shape = Shape {
            changepoints: CHANGEPOINTS,
            changepoint_range: 0.8,
            changepoint_prior: self.number("changepoint_prior"),
            seasonality: self.seasonality(),
            daily_prior: SEASONALITY_PRIOR,
            weekly_prior: SEASONALITY_PRIOR,
            steps_per_point: 1.0,
            within_square: 0.0,
        };
        fit(&self.points(), &shape).unwrap()
    }

    fn prophets(&self) -> Decomposition {
        let points = self.points();
        let (first, last) = (points[0], points[points.len() - 1]);
        let changes = self.numbers("changepoints").into_iter().zip(self.numbers("changes"));
        Decomposition {
            start_days: first.time_days,
            span_days: last.time_days - first.time_days,
            scale: points.iter().fold(0.0, |most, point| point.value.max(most)),
            slope: self.number("slope"),
            offset: self.number("offset"),
            changes: changes.map(|(time, change)| Change { time, change }).collect(),
            seasonality: self.seasonality(),
            waves: [self.numbers("daily"), self.numbers("weekly")].concat(),
            noise: self.number("noise"),
        }
    }

    fn log_posteriors(&self) -> [f64; 2] {
        let (points, prior) = (self.points(), self.number("changepoint_prior"));
        [self.ours(), self.prophets()].map(|model| log_posterior(&model, &points, prior))
    }
}

fn forecast(model: &Decomposition, time_days: f64) -> f64 {
    let mut room = vec![0.0; model.seasonality.terms()];
    let (of_day, of_week) = model.seasons(time_days, &mut room);
    model.trend(time_days) + of_day + of_week
}

/// The logarithm of Prophet's posterior density, but for a constant.
fn log_posterior(model: &Decomposition, points: &[Point], changepoint_prior: f64) -> f64 {
    let square = |value: f64, width: f64| 0.5 * (value / width).powi(2);
    let likelihood = |point: &Point| {
        -model.noise.ln() - square((point.value - forecast(model, point.time_days)) / model.scale, model.noise)
    };
    points.iter().map(likelihood).sum::<f64>()
        - square(model.slope, 5.0)
        - square(model.offset, 5.0)
        - square(model.noise, 0.5)
        - model.changes.iter().map(|bend| bend.change.abs() / changepoint_prior).sum::<f64>()
        - model.waves.iter().map(|wave| square(*wave, SEASONALITY_PRIOR)).sum::<f64>()
}

#[test]
fn trend_and_forecast_are_prophets() {
    for fixture in fixtures() {
        let model = fixture.ours();
        let [ours, prophets] = fixture.log_posteriors();
        let tolerance = if ours - prophets < STOPPED_SHORT { TOLERANCE } else { TOLERANCE_FOR_STOPPED_SHORT };
        let asked = fixture.numbers("asked");
        for (key, of) in [
            ("yhat", &forecast as &dyn Fn(&Decomposition, f64) -> f64),
            ("trend", &|model: &Decomposition, time_days| model.trend(time_days)),
        ] {
            for (step, prophets) in asked.iter().zip(fixture.numbers(key)) {
                let ours = of(&model, step / fixture.number("day"));
                let off = (ours - prophets).abs() / model.scale;
                assert!(off < tolerance, "{}, {key} at {step}: {ours}, not {prophets}", fixture.name());
            }
        }
        let noise = model.noise / fixture.number("noise");
        assert!((noise - 1.0).abs() < 0.001, "{}: noise {noise} times Prophet's", fixture.name());
    }
}

#[test]
fn prophets_parameters_mean_here_what_they_mean_there() {
    for fixture in fixtures() {
        let model = fixture.prophets();
        for (step, yhat) in fixture.numbers("asked").iter().zip(fixture.numbers("yhat")) {
            let ours = forecast(&model, step / fixture.number("day"));
            assert!((ours - yhat).abs() < 0.01, "{} at {step}: {ours}, not {yhat}", fixture.name());
        }
    }
}

#[test]
fn no_parameters_of_prophets_are_more_probable_than_ours() {
    for fixture in fixtures() {
        let [ours, prophets] = fixture.log_posteriors();
        assert!(ours > prophets - 0.1, "{}: {ours} is below {prophets}", fixture.name());
    }
}

#[test]
fn uncorrected_the_policy_forecasts_as_prophet_does() {
    const STEP_MS: u32 = 1_800_000;
    for fixture in fixtures() {
        // Fitted often, so that the last fit is nearly as new as Prophet's.
        let config = serde_json::json!({
            "corrected": false,
            "refit_hours": 6,
            "daily_order": fixture.0["day_order"],
            "weekly_order": fixture.0["week_order"],
            "changepoint_prior": fixture.0["changepoint_prior"],
        });
        let values: Vec<f32> = fixture.numbers("y").into_iter().map(|value| value as f32).collect();
        let (steps, first) = (values.len(), fixture.number("first"));
        let mut policy = Prophet::new(&config.to_string()).unwrap();
        let batch = |from: usize, to: usize| LoadBatch {
            metric: Metric::Load,
            start: InstantMs((first as u64 + from as u64) * u64::from(STEP_MS)),
            step_ms: STEP_MS,
            steps: (to - from) as u32,
            shards: vec![ShardId(1)],
            values: values[from..to].to_vec(),
        };
        policy.observe(&batch(0, steps)).unwrap();
        let request = ForecastRequest {
            metric: Metric::Load,
            shards: vec![ShardId(1)],
            horizon: 48,
            quantiles: vec![0.1, 0.5, 0.9],
            peak_steps: 48,
        };
        let forecast = policy.predict(&request).unwrap();

        let tail = |key: &str| fixture.numbers(key).split_off(fixture.numbers("asked").len() - 48);
        let width = tail("high").iter().zip(tail("low")).map(|(high, low)| high - low).sum::<f64>() / 48.0;
        for (level, key) in ["low", "yhat", "high"].into_iter().enumerate() {
            let off =
                forecast.path(&request, 0, level).iter().zip(tail(key)).map(|(ours, theirs)| f64::from(*ours) - theirs);
            let mean = off.clone().sum::<f64>() / 48.0;
            let most = off.fold(0.0f64, |most, off| most.max(off.abs()));
            assert!(mean.abs() < 0.08 * width, "{}, {key}: off by {mean} of a width of {width}", fixture.name());
            assert!(most < 0.15 * width, "{}, {key}: off by up to {most} of a width of {width}", fixture.name());
        }
    }
}
