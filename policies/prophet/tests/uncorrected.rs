//! What `forecasting-kit/tests/promises.rs` holds every policy to, held also by this one when it is told not to correct itself.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use prophet::{Failure, Prophet};
use proptest::prelude::*;

const STEP_MS: u32 = 3_600_000;

fn policy() -> Prophet {
    Prophet::new(r#"{"corrected": false}"#).unwrap()
}

fn batch(start: u64, values: &[f32]) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(start * u64::from(STEP_MS)),
        step_ms: STEP_MS,
        steps: values.len() as u32,
        shards: vec![ShardId(1)],
        values: values.to_vec(),
    }
}

fn request(horizon: u32, peak_steps: u32) -> ForecastRequest {
    let quantiles = vec![0.0, 0.05, 0.5, 0.95, 1.0];
    ForecastRequest { metric: Metric::Load, shards: vec![ShardId(1)], horizon, quantiles, peak_steps }
}

fn any_history() -> impl Strategy<Value = Vec<f32>> {
    let load = prop_oneof![6 => 0.0f32..1000.0, 2 => Just(0.0f32), 2 => Just(f32::NAN), 1 => any::<f32>()];
    proptest::collection::vec(load, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn quantiles_of_anything_are_finite_and_in_order(history in any_history(), horizon in 0u32..80, peak_steps in 0u32..80) {
        let mut policy = policy();
        policy.observe(&batch(500, &history)).unwrap();
        let request = request(horizon, peak_steps);
        match policy.predict(&request) {
            Ok(forecast) => {
                prop_assert!(forecast.values.iter().chain(&forecast.peaks).all(|load| load.is_finite() && *load >= 0.0));
                prop_assert!(forecast.peaks.is_sorted());
                for step in 0..horizon as usize {
                    let across: Vec<f32> = (0..5).map(|q| forecast.path(&request, 0, q)[step]).collect();
                    prop_assert!(across.is_sorted(), "step {}: {:?}", step, across);
                }
            }
            Err(failure) => prop_assert!(matches!(failure, Failure::NotReady(_)), "{failure}"),
        }
    }

    #[test]
    fn one_by_one_and_after_a_restart_it_is_the_same_policy(history in any_history(), cut in 0usize..400) {
        let (mut at_once, mut one_by_one) = (policy(), policy());
        at_once.observe(&batch(7, &history)).unwrap();
        for (step, value) in history.iter().enumerate() {
            one_by_one.observe(&batch(7 + step as u64, &[*value])).unwrap();
            if step == cut {
                let saved = one_by_one.save().unwrap();
                one_by_one = policy();
                one_by_one.restore(&saved).unwrap();
            }
        }
        prop_assert_eq!(at_once.predict(&request(30, 12)), one_by_one.predict(&request(30, 12)));
        prop_assert_eq!(at_once.save().unwrap(), one_by_one.save().unwrap());
    }
}

#[test]
fn a_state_learnt_without_correction_is_refused_by_a_policy_that_corrects() {
    let mut without = policy();
    without.observe(&batch(0, &[5.0; 100])).unwrap();
    let refusal = Prophet::new("").unwrap().restore(&without.save().unwrap());
    assert!(refusal.is_err_and(|text| text.contains("observe the history again")));
}

#[test]
fn far_ahead_a_forecast_is_still_bounded_in_time_and_size() {
    let mut policy = policy();
    let days: Vec<f32> = (0..72u16).map(|hour| f32::from(hour % 24) + f32::from(hour)).collect();
    policy.observe(&batch(0, &days)).unwrap();
    // Another shard goes on for a hundred years; the first is asked for from as far away.
    let mut other = batch(876_000, &[1.0]);
    other.shards = vec![ShardId(2)];
    policy.observe(&other).unwrap();
    let forecast = policy.predict(&request(24, 24)).unwrap();
    assert!(forecast.values.iter().all(|load| load.is_finite()));
}
