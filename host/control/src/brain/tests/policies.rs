//! Policies that misbehave: the loop goes on (promise 5).

use super::*;

fn bound(host: &Arc<FakeHost>, role: Role) -> Brain {
    let mut brain = brain(host);
    let prepared = brain.prepare(role, Some(FakeHost::revision("echo", 1)), "{}").unwrap();
    brain.activate(prepared).unwrap();
    brain
}

fn answered_by(tick: &Tick, role: Role) -> (String, Option<String>) {
    let evaluation = tick.record.evaluations.iter().find(|e| e.role == role).unwrap();
    (evaluation.policy.clone(), evaluation.failure.clone())
}

/// Promise 5.
#[test]
fn the_native_policy_answers_for_one_that_traps_and_it_comes_back_from_its_save() {
    let host = FakeHost::new(Script { fail_predict_at: vec![3], ..Script::default() });
    let mut brain = bound(&host, Role::Forecast);
    let mut tick = |step| brain.tick(&steady(step), &rules(Mode::Auto));
    for step in [1, 2] {
        assert_eq!(answered_by(&tick(step), Role::Forecast), ("echo".into(), None));
    }
    let failed = tick(3);
    let (policy, failure) = answered_by(&failed, Role::Forecast);
    assert_eq!(policy, "builtin");
    assert!(failure.unwrap().contains("trapped"));
    assert!(matches!(failed.events[..], [BrainEvent::PolicyFailed { running: 1, .. }]));
    // Saved at the first answer, after step 1: steps 2 to 4 are observed again.
    let back = tick(4);
    assert_eq!(answered_by(&back, Role::Forecast).0, "echo");
    assert!(matches!(back.events[..], [BrainEvent::PolicyRecovered { .. }]));
    let log = host.log.lock().unwrap();
    assert_eq!(log.opened, [false, true]);
    assert_eq!(log.observed.last(), Some(&(InstantMs(START + STEP_MS), 3)));
}

#[test]
fn a_failed_policy_is_asked_again_at_the_next_tick_though_no_step_closed() {
    let host = FakeHost::new(Script { fail_predict_at: vec![1], ..Script::default() });
    let mut brain = bound(&host, Role::Forecast);
    brain.tick(&steady(1), &rules(Mode::Auto));
    let within = |part: u64| Observation {
        now: InstantMs(START + STEP_MS + part * STEP_MS / 10),
        span_ms: STEP_MS / 10,
        ..steady(1)
    };
    let tick = brain.tick(&within(1), &rules(Mode::Auto));
    assert_eq!(answered_by(&tick, Role::Forecast).0, "echo");
    let tick = brain.tick(&within(2), &rules(Mode::Auto));
    assert!(tick.record.evaluations.iter().all(|e| e.role == Role::Place));
}

/// Promise 5.
#[test]
fn three_failures_running_mean_quarantine_until_another_is_bound() {
    let host = FakeHost::new(Script { fail_predict_at: (1..100).collect(), ..Script::default() });
    let mut brain = bound(&host, Role::Forecast);
    let mut events = Vec::new();
    for step in 1..=6 {
        let tick = brain.tick(&steady(step), &rules(Mode::Auto));
        assert_eq!(answered_by(&tick, Role::Forecast).0, "builtin");
        events.extend(tick.events);
    }
    let failures = events.iter().filter(|e| matches!(e, BrainEvent::PolicyFailed { .. })).count();
    let quarantines = events.iter().filter(|e| matches!(e, BrainEvent::PolicyQuarantined { .. })).count();
    assert_eq!((failures, quarantines, host.log.lock().unwrap().predicts), (3, 1, 3));
    assert!(brain.status()[0].quarantined);
    assert!(brain.forecast_of_all().fallback.is_some());

    *host.script.lock().unwrap() = Script::default();
    let prepared = brain.prepare(Role::Forecast, Some(FakeHost::revision("echo", 2)), "{}").unwrap();
    brain.activate(prepared).unwrap();
    let tick = brain.tick(&steady(7), &rules(Mode::Auto));
    assert_eq!(answered_by(&tick, Role::Forecast), ("echo".into(), None));
}

#[test]
fn a_policy_that_lacks_history_is_waited_for_without_blame() {
    let host = FakeHost::new(Script { not_ready_for: 5, ..Script::default() });
    let mut brain = bound(&host, Role::Forecast);
    for step in 1..=5 {
        let tick = brain.tick(&steady(step), &rules(Mode::Auto));
        let (policy, failure) = answered_by(&tick, Role::Forecast);
        assert_eq!((policy.as_str(), tick.events.len()), ("builtin", 0));
        assert!(failure.unwrap().contains("not ready"));
    }
    let tick = brain.tick(&steady(6), &rules(Mode::Auto));
    assert_eq!(answered_by(&tick, Role::Forecast), ("echo".into(), None));
    assert_eq!(host.log.lock().unwrap().opened.len(), 1);
}

#[test]
fn a_placer_that_burns_its_fuel_is_answered_for_and_shut_out() {
    let host = FakeHost::new(Script { placer_traps: true, ..Script::default() });
    let mut brain = bound(&host, Role::Place);
    let ticks: Vec<Tick> = (1..=4).map(|step| brain.tick(&steady(step), &rules(Mode::Auto))).collect();
    assert!(ticks.iter().all(|tick| answered_by(tick, Role::Place).0 == "builtin"));
    assert!(matches!(ticks[2].events[1], BrainEvent::PolicyQuarantined { role: Role::Place, .. }));
    assert_eq!(ticks[3].events, []);
}

#[test]
fn a_forecaster_much_worse_than_the_native_one_yields_to_it() {
    let host = FakeHost::new(Script { bias: Some(3.0), ..Script::default() });
    let mut brain = bound(&host, Role::Forecast);
    let swing = |step: u64| observed(step, &[(&[1, 2, 3], 20.0 + (step % 2) as f32)]);
    let ticks: Vec<Tick> = (1..=12).map(|step| brain.tick(&swing(step), &rules(Mode::Auto))).collect();
    assert_eq!(answered_by(&ticks[1], Role::Forecast), ("echo".into(), None));
    let outscored = |tick: &Tick| tick.events.iter().any(|e| matches!(e, BrainEvent::PolicyOutscored { .. }));
    assert_eq!(ticks.iter().filter(|tick| outscored(tick)).count(), 1);
    assert!(answered_by(&ticks[11], Role::Forecast).1.unwrap().contains("outscored"));
    let forecast = brain.forecast_of_all();
    let shard = &forecast.shards[0];
    assert_eq!(shard.answerer, ForecastAnswerer::Guarded);
    assert!(shard.paths[1].iter().all(|median| *median < 30.0), "the native forecaster's: {:?}", shard.paths);
    let (ours, native) = brain.score();
    assert!(ours.wape().unwrap() > 1.5 * native.wape().unwrap());
    // The same of the one shard there is, and by band.
    for shard in [None, Some(ShardId(1))] {
        let scores = brain.forecast_scores(shard);
        let (bound, ours) = scores.bound.unwrap();
        assert_eq!((bound.name.as_str(), ours.peaks.unwrap().misses), ("echo", Some(0.0)));
        assert!(ours.horizons[0].bias.unwrap() > 1.5 && scores.native.unwrap().horizons[0].bias.unwrap() < 0.1);
        let band = scores.bands[0];
        assert_eq!((scores.bands.len(), band.judged, band.yielded), (1, 1, 1));
        assert!(band.policy_loss > band.native_loss && band.evidence >= 8.0, "{band:?}");
    }
    let nobody = brain.forecast_scores(Some(ShardId(99)));
    assert_eq!((nobody.bound, nobody.native, nobody.bands[0].judged), (None, None, 0));
}

#[test]
fn where_fuel_is_short_the_hottest_shards_are_asked_about_and_the_others_forecast_natively() {
    let host = FakeHost::new(Script::default());
    // One forecast of the fake burns more than that, however many shards it is of.
    let config = BrainConfig { forecast_fuel: 2, ..config() };
    let mut brain = Brain::new(config, Arc::clone(&host) as Arc<dyn PolicyHost>);
    let prepared = brain.prepare(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}").unwrap();
    brain.activate(prepared).unwrap();
    let nodes: &[u64] = &[1, 2, 3];
    for step in 1..=4 {
        brain.tick(&observed(step, &[(nodes, 10.0), (nodes, 30.0), (nodes, 20.0)]), &rules(Mode::Auto));
    }
    let forecast = brain.forecast_of_all();
    let by: Vec<ForecastAnswerer> = forecast.shards.iter().map(|shard| shard.answerer).collect();
    assert_eq!(by, [ForecastAnswerer::Unasked, ForecastAnswerer::Policy, ForecastAnswerer::Unasked]);
    assert!(forecast.shards.iter().all(|shard| shard.paths[1][0] > 5.0));
}
