//! Promise 5, of forecasters: whatever the load looks like, none traps, and its quantiles are finite, in order and not negative. (The host's check of
//! every answer refuses anything else, so that an answer is sound by being one.)

#![expect(clippy::unwrap_used, reason = "a test that can not set up its host has failed")]

use isobar_bundle::first_party;
use isobar_model::{ForecastBatch, ForecastRequest, InstantMs, LoadBatch, Metric, Role, ShardId};
use isobar_ports::{Forecaster, PolicyFailure, PolicyHost};

const STEP_MS: u32 = 300_000;
const DAY: usize = 288;
const HISTORY: usize = 15 * DAY;
/// A Monday, 00:00 UTC.
const START_MS: u64 = 1_789_948_800_000;
/// Ticks after the history, each with a forecast at its end.
const TICKS: usize = 3;
const QUANTILES: [f32; 5] = [0.05, 0.5, 0.9, 0.95, 0.99];

fn wave(step: usize) -> f32 {
    20.0 + 15.0 * ((step % DAY) as f32 / DAY as f32 * std::f32::consts::TAU).sin() + (step * 7919 % 100) as f32 / 50.0
}

/// What occurs at each step.
type Load = fn(usize) -> f32;
/// Name, length of the history, load.
type Case = (&'static str, usize, Load);
type Shard = (ShardId, Load);

const CASES: &[Case] = &[
    ("all zero", HISTORY, |_| 0.0),
    ("constant", HISTORY, |_| 5.0),
    ("constant and huge", HISTORY, |_| 1e9),
    ("one spike", HISTORY, |step| if step == HISTORY - 700 { 1e6 } else { 1.0 }),
    ("one spike, and it is the last step", HISTORY, |step| if step == HISTORY - 1 { 1e9 } else { 0.0 }),
    ("all missing", HISTORY, |_| f32::NAN),
    ("all missing but one", HISTORY, |step| if step == 100 { 3.0 } else { f32::NAN }),
    ("two days of gap and many small ones", HISTORY, |step| {
        if (6 * DAY..8 * DAY).contains(&step) || step % 13 < 4 { f32::NAN } else { wave(step) }
    }),
    ("missing from the last week on", HISTORY, |step| if step > HISTORY - 7 * DAY { f32::NAN } else { wave(step) }),
    ("a counter that resets", HISTORY, |step| (step % 1_000) as f32 * 250.0),
    ("a change of level", HISTORY, |step| wave(step) * if step < 11 * DAY { 1.0 } else { 300.0 }),
    ("a fall to nothing", HISTORY, |step| if step < 12 * DAY { 1e4 * wave(step) } else { 0.0 }),
    ("a clock change, an hour forward", HISTORY, |step| wave(if step < 8 * DAY { step } else { step + 12 })),
    ("a clock change, an hour missing", HISTORY, |step| match step {
        step if step < 8 * DAY => wave(step),
        step if step < 8 * DAY + 12 => f32::NAN,
        step => wave(step),
    }),
    ("10^9 values", HISTORY, |step| 1e8 * wave(step)),
    ("10^-9 values", HISTORY, |step| 1e-11 * wave(step)),
    ("negative and infinite", HISTORY, |step| match step % 5 {
        0 => -3.0,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => f32::MAX,
        _ => wave(step),
    }),
    ("every other step nothing", HISTORY, |step| if step % 2 == 0 { 0.0 } else { 100.0 }),
    ("one day of history", DAY, wave),
    ("an hour of history", 12, wave),
    ("one step of history", 1, wave),
];

fn batch(shards: &[Shard], steps: std::ops::Range<usize>) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(START_MS + steps.start as u64 * u64::from(STEP_MS)),
        step_ms: STEP_MS,
        steps: steps.len() as u32,
        shards: shards.iter().map(|(shard, _)| *shard).collect(),
        values: shards.iter().flat_map(|(_, load)| steps.clone().map(load)).collect(),
    }
}

fn request(shards: &[Shard]) -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: shards.iter().map(|(shard, _)| *shard).collect(),
        horizon: DAY as u32,
        quantiles: QUANTILES.to_vec(),
        peak_steps: DAY as u32,
    }
}

/// History in one batch, then ticks; the last answer. None: not ready.
fn run(
    forecaster: &mut dyn Forecaster,
    shards: &[Shard],
    length: usize,
) -> Result<Option<ForecastBatch>, PolicyFailure> {
    let request = request(shards);
    let mut answer = None;
    for steps in std::iter::once(0..length).chain((length..length + TICKS).map(|step| step..step + 1)) {
        forecaster.observe(&batch(shards, steps))?;
        answer = match forecaster.predict(&request) {
            Ok(answer) => Some(answer),
            Err(PolicyFailure::NotReady(_)) => None,
            Err(failure) => return Err(failure),
        };
    }
    Ok(answer)
}

fn assert_sound(what: &str, request: &ForecastRequest, answer: &ForecastBatch) {
    let rows = request.shards.len();
    assert_eq!((answer.values.len(), answer.peaks.len()), (rows * 5 * DAY, rows * 5), "{what}");
    for row in 0..rows {
        for step in 0..DAY {
            let of_step = QUANTILES.iter().enumerate().map(|(q, _)| answer.path(request, row, q)[step]);
            let of_step: Vec<f32> = of_step.collect();
            assert!(of_step.iter().all(|v| v.is_finite() && *v >= 0.0), "{what}, step {step}: {of_step:?}");
            assert!(of_step.is_sorted(), "{what}, step {step}: {of_step:?}");
        }
        let peaks = &answer.peaks[row * 5..(row + 1) * 5];
        assert!(peaks.is_sorted() && peaks.iter().all(|v| v.is_finite() && *v >= 0.0), "{what}: peaks {peaks:?}");
    }
}

fn each_forecaster(test: impl Fn(&str, &dyn Fn() -> Box<dyn Forecaster>)) {
    let (host, _folder) = isobar::track_run::tool_host().unwrap();
    for policy in first_party().iter().filter(|policy| policy.role == Role::Forecast) {
        let digest = host.inspect(policy.component).unwrap().digest;
        test(policy.name, &|| host.forecaster(&digest, "{}", None).unwrap());
    }
}

#[test]
fn every_degenerate_load_gets_finite_quantiles_in_order_and_never_a_trap() {
    each_forecaster(|name, open| {
        for (number, (case, length, load)) in CASES.iter().enumerate() {
            let what = format!("{name}, {case}");
            let shards = [(ShardId(number as u64 + 1), *load)];
            let answer = run(open().as_mut(), &shards, *length).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let Some(answer) = answer else {
                assert!(case.starts_with("all missing"), "{what}: not ready");
                continue;
            };
            assert_sound(&what, &request(&shards), &answer);
            // What was never near is not the expected load: nothing doubles for ever.
            let seen = (0..length + TICKS).map(load).filter(|load| load.is_finite()).fold(0.0, f32::max);
            let median = answer.path(&request(&shards), 0, 1).iter().copied().fold(0.0, f32::max);
            assert!(median <= 10.0 * seen + 1.0, "{what}: a median of {median}, where the highest load was {seen}");
        }
    });
}

/// What one shard's load does to its forecaster is nothing to the others.
#[test]
fn degenerate_shards_side_by_side_are_forecast_all_the_same() {
    let of = |case: &Case| case.2;
    let shards: Vec<_> = (1..).map(ShardId).zip(CASES.iter().map(of)).collect();
    each_forecaster(|name, open| {
        let answer = run(open().as_mut(), &shards, HISTORY).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_sound(name, &request(&shards), &answer.unwrap_or_else(|| panic!("{name}: not ready")));
    });
}

#[test]
fn a_load_that_never_changed_is_expected_to_stay() {
    each_forecaster(|name, open| {
        for (case, length, load) in CASES.iter().filter(|(case, ..)| *case == "constant" || *case == "all zero") {
            let shards = [(ShardId(1), *load)];
            let answer = run(open().as_mut(), &shards, *length).unwrap().unwrap();
            let constant = load(0);
            for median in answer.path(&request(&shards), 0, 1) {
                assert!((median - constant).abs() <= 0.05 * constant + 1e-3, "{name}, {case}: {median}");
            }
        }
    });
}
