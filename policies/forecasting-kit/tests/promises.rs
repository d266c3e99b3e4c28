//! What every first-party forecaster promises, whatever it is shown.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use forecasting_kit::{Failure, Forecaster, ForecastingPolicy};
use isobar_model::{ForecastBatch, ForecastRequest, InstantMs, Link, LoadBatch, Metric, Relations, ShardId};
use proptest::prelude::*;

const STEP_MS: u32 = 3_600_000;
const LEVELS: [f32; 7] = [0.0, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0];

/// One test, for all policies.
macro_rules! for_each_policy {
    ($($(#[$attribute:meta])* fn $name:ident<$policy:ident>() $body:block)*) => {
        $(fn $name<$policy: ForecastingPolicy>() $body)*
        mod best_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<best::Best>(); })* }
        mod arima_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<arima::Arima>(); })* }
        mod seasonal_naive_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<seasonal_naive::SeasonalNaive>(); })* }
        mod lstm_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<lstm::Lstm>(); })* }
        mod holt_winters_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<holt_winters::HoltWinters>(); })* }
        mod prophet_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<prophet::Prophet>(); })* }
        mod pooled_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<pooled::Pooled>(); })* }
        mod spar_policy { $($(#[$attribute])* #[test] fn $name() { super::$name::<spar::Spar>(); })* }
    };
}

fn policy<P: ForecastingPolicy>() -> P {
    P::new("").unwrap()
}

/// Hours of shards 1, 2 … from step `start` on; one row a shard.
fn batch(start: u64, rows: &[Vec<f32>]) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(start * u64::from(STEP_MS)),
        step_ms: STEP_MS,
        steps: rows.first().map_or(0, |row| row.len() as u32),
        shards: (1..=rows.len() as u64).map(ShardId).collect(),
        values: rows.concat(),
    }
}

fn request(shards: &[u64], horizon: u32, peak_steps: u32) -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: shards.iter().copied().map(ShardId).collect(),
        horizon,
        quantiles: LEVELS.to_vec(),
        peak_steps,
    }
}

/// Promise: every value finite and not negative, not falling from one quantile to the next, and as many as were asked for.
fn assert_within_the_contract(request: &ForecastRequest, forecast: &ForecastBatch) {
    let (quantiles, horizon) = (request.quantiles.len(), request.horizon as usize);
    assert_eq!(forecast.values.len(), request.shards.len() * quantiles * horizon);
    assert_eq!(forecast.peaks.len(), if request.peak_steps > 0 { request.shards.len() * quantiles } else { 0 });
    assert!(forecast.values.iter().chain(&forecast.peaks).all(|value| value.is_finite() && *value >= 0.0));
    for row in 0..request.shards.len() {
        for step in 0..horizon {
            let across: Vec<f32> = (0..quantiles).map(|q| forecast.path(request, row, q)[step]).collect();
            assert!(across.is_sorted(), "row {row}, step {step}: {across:?}");
        }
    }
    assert!(forecast.peaks.chunks(quantiles).all(|peaks| peaks.is_sorted()));
}

/// Days of a load that follows the hours, with a little wobble of its own.
fn daily(days: u64) -> Vec<f32> {
    (0..days * 24)
        .map(|hour| {
            let wobble = (hour * 2_654_435_761 % 97) as f32 / 97.0;
            100.0 + 80.0 * ((hour % 24) as f32 / 24.0 * std::f32::consts::TAU).sin() + 6.0 * wobble
        })
        .collect()
}

/// What a machine may count, and what it may not.
fn any_load() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => 0.0f32..1000.0,
        2 => Just(0.0f32),
        2 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::MAX),
        1 => Just(-5.0f32),
        1 => Just(f32::MIN_POSITIVE),
        1 => any::<f32>(),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        proptest::collection::vec(any_load(), 1..400),
        (any_load(), 1usize..400).prop_map(|(value, length)| vec![value; length]),
        proptest::collection::vec(0.0f32..1e6, 300..1000),
    ]
}

for_each_policy! {
    fn forecasts_of_anything_are_within_the_contract<P>() {
        proptest!(|(history in any_history(), start in 0u64..500_000, horizon in 0u32..80, peak_steps in 0u32..80)| {
            let mut policy = policy::<P>();
            policy.observe(&batch(start, &[history])).unwrap();
            let request = request(&[1], horizon, peak_steps);
            match policy.predict(&request) {
                Ok(forecast) => assert_within_the_contract(&request, &forecast),
                Err(failure) => prop_assert!(matches!(failure, Failure::NotReady(_)), "{failure}"),
            }
        });
    }

    fn many_steps_at_once_teach_the_same_as_one_by_one<P>() {
        proptest!(ProptestConfig::with_cases(48), |(history in any_history(), start in 0u64..1000)| {
            let (mut at_once, mut one_by_one) = (policy::<P>(), policy::<P>());
            at_once.observe(&batch(start, std::slice::from_ref(&history))).unwrap();
            for (step, value) in history.iter().enumerate() {
                one_by_one.observe(&batch(start + step as u64, &[vec![*value]])).unwrap();
            }
            let request = request(&[1], 30, 12);
            prop_assert_eq!(at_once.predict(&request), one_by_one.predict(&request));
            prop_assert_eq!(at_once.save().unwrap(), one_by_one.save().unwrap());
        });
    }

    fn a_restored_policy_goes_on_as_if_nothing_had_happened<P>() {
        proptest!(ProptestConfig::with_cases(48), |(history in any_history(), later in any_history())| {
            let mut kept = policy::<P>();
            kept.observe(&batch(7, std::slice::from_ref(&history))).unwrap();
            let mut restored = policy::<P>();
            restored.restore(&kept.save().unwrap()).unwrap();
            let later = batch(7 + history.len() as u64, &[later]);
            kept.observe(&later).unwrap();
            restored.observe(&later).unwrap();
            let request = request(&[1], 30, 12);
            prop_assert_eq!(kept.predict(&request), restored.predict(&request));
            prop_assert_eq!(kept.save().unwrap(), restored.save().unwrap());
        });
    }

    fn a_damaged_save_is_refused<P>() {
        let mut saved = policy::<P>();
        saved.observe(&batch(0, &[daily(3), daily(3)])).unwrap();
        let saved = saved.save().unwrap();
        proptest!(|(garbage in proptest::collection::vec(any::<u8>(), 0..300), at in 0..saved.len(), bit in 0u8..8)| {
            let mut policy = policy::<P>();
            prop_assert!(policy.restore(&garbage).is_err());
            prop_assert!(policy.restore(&saved[..at]).is_err());
            let mut damaged = saved.clone();
            damaged[at] ^= 1 << bit;
            prop_assert!(policy.restore(&damaged).is_err());
            // And is as it was.
            prop_assert!(matches!(policy.predict(&request(&[1], 1, 0)), Err(Failure::NotReady(_))));
        });
    }

    fn a_regular_load_is_foreseen<P>() {
        let mut policy = policy::<P>();
        policy.observe(&batch(0, &[daily(21)])).unwrap();
        let request = request(&[1], 24, 24);
        let forecast = policy.predict(&request).unwrap();
        let truth = &daily(22)[21 * 24..];
        for (step, truth) in truth.iter().enumerate() {
            let (low, median, high) =
                (forecast.path(&request, 0, 1)[step], forecast.path(&request, 0, 2)[step], forecast.path(&request, 0, 5)[step]);
            assert!((median - truth).abs() < 8.0, "step {step}: {median}, not {truth}");
            assert!(low - 6.0 < *truth && *truth < high + 6.0, "step {step}: {truth} outside {low} to {high}");
            assert!(high - low < 60.0, "step {step}: {low} to {high} says nothing");
        }
        let peak = forecast.peaks[2];
        assert!((170.0..200.0).contains(&peak), "{peak}");
    }

    fn a_constant_load_stays_and_an_idle_shard_stays_idle<P>() {
        let mut policy = policy::<P>();
        policy.observe(&batch(0, &[vec![50.0; 240], vec![0.0; 240]])).unwrap();
        let request = request(&[1, 2], 24, 12);
        let forecast = policy.predict(&request).unwrap();
        assert!(forecast.path(&request, 0, 2).iter().all(|median| (median - 50.0).abs() < 0.5));
        assert!(forecast.path(&request, 0, 5).iter().all(|high| *high < 55.0));
        assert!(forecast.path(&request, 1, 5).iter().all(|high| *high < 0.01), "{:?}", forecast.path(&request, 1, 5));
    }

    fn below_a_day_the_last_value_goes_on_and_the_quantiles_are_wide<P>() {
        let mut policy = policy::<P>();
        policy.observe(&batch(0, &[vec![90.0, 110.0, 95.0, 100.0]])).unwrap();
        let request = request(&[1], 6, 0);
        let forecast = policy.predict(&request).unwrap();
        let at = |q: usize| forecast.path(&request, 0, q)[0];
        assert!((80.0..120.0).contains(&at(2)), "{}", at(2));
        assert!(at(1) < 80.0 && at(4) > 120.0, "{} to {}", at(1), at(4));
    }

    fn gaps_count_as_missing<P>() {
        let history = daily(14);
        let (mut gap, mut missing) = (policy::<P>(), policy::<P>());
        gap.observe(&batch(0, &[history[..200].to_vec()])).unwrap();
        gap.observe(&batch(230, &[history[230..].to_vec()])).unwrap();
        let mut with_nan = history.clone();
        with_nan[200..230].fill(f32::NAN);
        missing.observe(&batch(0, &[with_nan])).unwrap();
        let request = request(&[1], 24, 24);
        assert_eq!(gap.predict(&request), missing.predict(&request));
    }

    fn steps_seen_before_are_passed_over<P>() {
        let history = daily(10);
        let (mut once, mut twice) = (policy::<P>(), policy::<P>());
        once.observe(&batch(0, std::slice::from_ref(&history))).unwrap();
        twice.observe(&batch(0, &[history[..150].to_vec()])).unwrap();
        twice.observe(&batch(100, &[history[100..].to_vec()])).unwrap();
        twice.observe(&batch(20, &[history[20..60].to_vec()])).unwrap();
        assert_eq!(once.save(), twice.save());
    }

    fn a_shard_that_joins_later_is_forecast_as_if_it_had_always_been_there<P>() {
        let (early, late) = (daily(9), daily(9).into_iter().map(|load| 3.0 * load).collect::<Vec<f32>>());
        let of_late = |start: u64, values: &[f32]| LoadBatch { shards: vec![ShardId(2)], ..batch(start, &[values.to_vec()]) };
        let (mut joined, mut always) = (policy::<P>(), policy::<P>());
        joined.observe(&batch(0, std::slice::from_ref(&early))).unwrap();
        joined.observe(&of_late(0, &late[..200])).unwrap();
        // Told to forget it, and shown it once more.
        joined.forget(&[ShardId(2)]);
        joined.observe(&of_late(0, &late)).unwrap();
        always.observe(&batch(0, &[early, late])).unwrap();
        let later = batch(9 * 24, &[vec![120.0], vec![300.0]]);
        [&mut joined, &mut always].into_iter().for_each(|policy| policy.observe(&later).unwrap());
        let request = request(&[2], 24, 12);
        let (joined, always) = (joined.predict(&request).unwrap(), always.predict(&request).unwrap());
        assert_within_the_contract(&request, &joined);
        // Learning across shards, in whatever order they come, it is not the very same.
        if P::NAME == "pooled" {
            let off = joined.values.iter().zip(&always.values).map(|(a, b)| (a - b).abs());
            // Of loads up to some 560.
            assert!(off.fold(0.0, f32::max) < 30.0, "{joined:?} {always:?}");
        } else {
            assert_eq!(joined, always);
        }
    }

    fn a_gap_of_years_costs_nothing_and_empties_the_series<P>() {
        let mut policy = policy::<P>();
        policy.observe(&batch(0, &[daily(10)])).unwrap();
        policy.observe(&batch(400_000, &[vec![7.0; 3]])).unwrap();
        let forecast = policy.predict(&request(&[1], 1, 0)).unwrap();
        assert!((forecast.values[2] - 7.0).abs() < 2.0, "{:?}", forecast.values);
    }

    fn a_shard_that_missed_batches_is_forecast_from_further_away<P>() {
        let history = daily(20);
        let (mut policy, mut other) = (policy::<P>(), policy::<P>());
        policy.observe(&batch(0, &[history[..456].to_vec(), history[..456].to_vec()])).unwrap();
        other.observe(&batch(0, &[history[..456].to_vec(), history[..456].to_vec()])).unwrap();
        // Three more hours, of the first shard only.
        policy.observe(&batch(456, &[history[456..459].to_vec()])).unwrap();
        let (late, early) = (request(&[2], 4, 0), request(&[2], 7, 0));
        let (late_forecast, early_forecast) = (policy.predict(&late).unwrap(), other.predict(&early).unwrap());
        let (late, early) = (late_forecast.path(&late, 0, 2), &early_forecast.path(&early, 0, 2)[3..]);
        if P::NAME == "pooled" {
            // What the first shard taught meanwhile counts for the second, too.
            assert!(late.iter().zip(early).all(|(late, early)| (late - early).abs() < 0.01 * early), "{late:?} {early:?}");
        } else {
            assert_eq!(late, early);
        }
    }

    fn unknown_shards_are_idle_but_knowing_none_is_a_failure<P>() {
        let mut policy = policy::<P>();
        assert!(matches!(policy.predict(&request(&[1], 2, 0)), Err(Failure::NotReady(_))));
        policy.observe(&batch(0, &[vec![f32::NAN; 5]])).unwrap();
        assert!(matches!(policy.predict(&request(&[1], 2, 0)), Err(Failure::NotReady(_))));
        policy.observe(&batch(5, &[vec![5.0; 5]])).unwrap();
        let both = request(&[99, 1], 2, 0);
        let forecast = policy.predict(&both).unwrap();
        assert!(forecast.path(&both, 0, 5).iter().all(|value| *value == 0.0));
        assert!(forecast.path(&both, 1, 2).iter().all(|value| *value > 0.0));
        policy.forget(&[ShardId(1)]);
        assert!(matches!(policy.predict(&both), Err(Failure::NotReady(_))));
        assert_eq!(policy.predict(&request(&[], 2, 3)), Ok(ForecastBatch::default()));
    }

    fn links_of_any_kind_leave_forecasts_within_the_contract<P>() {
        proptest!(ProptestConfig::with_cases(48), |(
            histories in proptest::collection::vec(any_history(), 3),
            links in proptest::collection::vec((1u64..6, 1u64..6, 0u32..400, -1.5f32..1.5), 0..20),
        )| {
            let length = histories.iter().map(Vec::len).max().unwrap_or(0);
            let rows: Vec<Vec<f32>> = histories.iter().map(|row| {
                row.iter().copied().chain(std::iter::repeat(f32::NAN)).take(length).collect()
            }).collect();
            let mut policy = policy::<P>();
            policy.observe(&batch(0, &rows)).unwrap();
            let links: Vec<Link> = links.into_iter().map(|(follower, leader, lag_steps, strength)| {
                Link { follower: ShardId(follower), leader: ShardId(leader), lag_steps, strength, gain: 0.5 }
            }).collect();
            let impossible = links.iter().any(|link| link.lag_steps == 0 || link.leader == link.follower);
            let relations = Relations { links, clusters: vec![vec![ShardId(2), ShardId(9)], vec![ShardId(3)]] };
            prop_assert_eq!(policy.relate(Metric::Load, &relations).is_err(), impossible);
            let request = request(&[1, 2, 3], 30, 12);
            if let Ok(forecast) = policy.predict(&request) {
                assert_within_the_contract(&request, &forecast);
            }
        });
    }

    fn metrics_are_series_of_their_own<P>() {
        let mut policy = policy::<P>();
        policy.observe(&batch(0, &[vec![5.0; 30]])).unwrap();
        let mut reads = batch(0, &[vec![500.0; 30]]);
        reads.metric = Metric::ReadOps;
        policy.observe(&reads).unwrap();
        let mut request = request(&[1], 1, 0);
        assert!((policy.predict(&request).unwrap().values[2] - 5.0).abs() < 1.0);
        request.metric = Metric::ReadOps;
        assert!((policy.predict(&request).unwrap().values[2] - 500.0).abs() < 100.0);
    }

    fn contradictions_are_refused_with_a_reason<P>() {
        let mut policy = policy::<P>();
        let mut wrong = batch(0, &[vec![1.0; 4]]);
        wrong.values.pop();
        assert!(policy.observe(&wrong).is_err_and(|failure| failure.to_string().contains("3 values do not fit")));
        let mut wrong = batch(0, &[vec![1.0; 4]]);
        wrong.step_ms = 0;
        assert!(policy.observe(&wrong).is_err());
        let mut wrong = batch(0, &[vec![1.0; 4]]);
        wrong.start = InstantMs(u64::MAX);
        assert!(policy.observe(&wrong).is_err());
        let mut wrong = batch(0, &[vec![1.0; 4]]);
        policy.observe(&wrong).unwrap();
        wrong.step_ms = 1000;
        assert!(policy.observe(&wrong).is_err_and(|failure| failure.to_string().contains("another step")));
        let mut wrong = request(&[1], 1, 0);
        wrong.quantiles = vec![0.9, 0.1];
        assert!(policy.predict(&wrong).is_err());
        wrong.quantiles = vec![f32::NAN];
        assert!(policy.predict(&wrong).is_err());
        wrong.quantiles = vec![0.5];
        wrong.horizon = u32::MAX;
        assert!(policy.predict(&wrong).is_err());
    }

    fn a_configuration_that_does_not_fit_is_refused_by_name<P>() {
        let refusal = |config: &str| match P::new(config) {
            Err(Failure::Config(text)) => text,
            other => panic!("{config} gave {other:?}", other = other.map(|_| ())),
        };
        assert!(refusal(r#"{"alhpa": 1}"#).contains("alhpa"));
        refusal("[1]");
        refusal("{");
        let schema: serde_json::Value = serde_json::from_str(P::CONFIG_SCHEMA).unwrap();
        if schema["properties"].get("error_half_life_days").is_some() {
            assert!(refusal(r#"{"error_half_life_days": 0}"#).contains("error_half_life_days"));
            assert!(refusal(r#"{"error_half_life_days": "long"}"#).contains("invalid type"));
            assert!(P::new(r#"{"error_half_life_days": 14}"#).is_ok());
        }
        assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    }

    fn the_shortest_step_is_bearable<P>() {
        let mut policy = policy::<P>();
        let mut batch = batch(0, &[vec![5.0; 20_000]]);
        batch.step_ms = 1;
        policy.observe(&batch).unwrap();
        assert!(policy.save().unwrap().len() < 1 << 20);
        assert_within_the_contract(&request(&[1], 8, 8), &policy.predict(&request(&[1], 8, 8)).unwrap());
    }

    fn one_five_minute_shard_stays_within_its_memory<P>() {
        let mut policy = policy::<P>();
        let values: Vec<f32> = (0..28 * 288).map(|step| (step % 288) as f32).collect();
        let mut batch = batch(0, &[values]);
        batch.step_ms = 300_000;
        policy.observe(&batch).unwrap();
        let bytes = policy.save().unwrap().len();
        let most = 64 << 10;
        assert!(bytes <= most, "{bytes}");
    }
}

#[test]
fn a_save_of_another_policy_is_refused() {
    let mut naive = policy::<seasonal_naive::SeasonalNaive>();
    naive.observe(&batch(0, &[daily(3)])).unwrap();
    let refusal = policy::<holt_winters::HoltWinters>().restore(&naive.save().unwrap());
    assert!(refusal.is_err_and(|text| text.contains("seasonal-naive")));
}

#[test]
fn a_save_under_another_configuration_is_refused() {
    let mut naive = policy::<seasonal_naive::SeasonalNaive>();
    naive.observe(&batch(0, &[daily(3)])).unwrap();
    let mut longer = Forecaster::<seasonal_naive::Series>::new(r#"{"weeks": 4}"#).unwrap();
    assert!(longer.restore(&naive.save().unwrap()).is_err_and(|text| text.contains("observe the history again")));
}
