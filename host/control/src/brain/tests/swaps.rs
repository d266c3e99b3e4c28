//! Swapping policies, and starting over from what is stored.

use super::*;
use crate::decision::ForecastInput;
use isobar_model::{Cluster, Insights, Link, LoadBatch};

fn trace(steps: u32) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(START - u64::from(steps) * STEP_MS),
        step_ms: STEP_MS as u32,
        steps,
        shards: vec![ShardId(1), ShardId(2), ShardId(3)],
        values: vec![40.0; 3 * steps as usize],
    }
}

fn swap(brain: &mut Brain, name: &str, number: u8) -> SwapReport {
    let prepared = brain.prepare(Role::Forecast, Some(FakeHost::revision(name, number)), "{}").unwrap();
    brain.activate(prepared).unwrap()
}

#[test]
fn another_revision_of_one_policy_goes_on_from_a_save() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    brain.import_history(&trace(100)).unwrap();
    let first = swap(&mut brain, "echo", 1);
    assert_eq!((first.from, first.restored, first.observed_steps), (None, false, 100));
    brain.tick(&steady(1), &rules(Mode::Auto));
    let second = swap(&mut brain, "echo", 2);
    assert_eq!(
        (second.from.map(|b| b.digest), second.restored, second.observed_steps),
        (Some(Digest([1; 32])), true, 0)
    );
    let tick = brain.tick(&steady(2), &rules(Mode::Auto));
    assert_eq!(tick.record.evaluations[0].revision, Some(Digest([2; 32])));
    assert_eq!(
        host.log.lock().unwrap().observed,
        [(InstantMs(START - 100 * STEP_MS), 100), (InstantMs(START), 1), (InstantMs(START + STEP_MS), 1)]
    );
}

#[test]
fn another_policy_observes_the_stored_history_and_so_does_one_that_refuses_the_save() {
    let host = FakeHost::new(Script { refuse_saved: true, ..Script::default() });
    let mut brain = brain(&host);
    brain.import_history(&trace(100)).unwrap();
    swap(&mut brain, "echo", 1);
    let other = swap(&mut brain, "holt", 2);
    assert_eq!((other.restored, other.observed_steps), (false, 100));
    let refused = swap(&mut brain, "holt", 3);
    assert_eq!((refused.restored, refused.observed_steps), (false, 100));
}

#[test]
fn steps_closed_during_a_preparation_are_shown_before_the_switch() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    brain.import_history(&trace(10)).unwrap();
    let preparation = brain.preparation(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}");
    brain.tick(&steady(1), &rules(Mode::Auto));
    brain.tick(&steady(2), &rules(Mode::Auto));
    let prepared = preparation.run(host.as_ref()).unwrap();
    let report = brain.activate(prepared).unwrap();
    assert_eq!(report.observed_steps, 12);
    assert_eq!(host.log.lock().unwrap().observed.last(), Some(&(InstantMs(START), 2)));
}

#[test]
fn a_policy_that_cannot_serve_leaves_the_present_one_in_place() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    brain.import_history(&trace(10)).unwrap();
    swap(&mut brain, "echo", 1);
    let bad = brain.prepare(Role::Forecast, Some(FakeHost::revision("other", 2)), "bad");
    assert_eq!(bad.unwrap_err(), PolicyFailure::Config("field `period`".into()));
    host.script.lock().unwrap().fail_always = true;
    assert!(brain.prepare(Role::Forecast, Some(FakeHost::revision("other", 2)), "{}").is_err());
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    assert_eq!(tick.record.evaluations[0].revision, Some(Digest([1; 32])));
}

#[test]
fn forecasts_say_why_they_are_native_until_a_forecaster_is_ready() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    brain.await_forecaster("it is being readied".into());
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    assert_eq!(tick.record.evaluations[0].policy, "builtin");
    let answer = brain.forecast_of_all();
    assert_eq!((answer.policy.as_str(), answer.fallback.as_deref()), ("builtin", Some("it is being readied")));
    swap(&mut brain, "echo", 1);
    brain.tick(&steady(2), &rules(Mode::Auto));
    let answer = brain.forecast_of_all();
    assert_eq!((answer.policy.as_str(), answer.fallback), ("echo", None));
}

#[test]
fn going_back_to_the_native_policy_is_a_swap_too() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    swap(&mut brain, "echo", 1);
    let prepared = brain.prepare(Role::Forecast, None, "").unwrap();
    let report = brain.activate(prepared).unwrap();
    assert_eq!((report.from.map(|b| b.name), report.to), (Some("echo".into()), None));
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    assert_eq!(tick.record.evaluations[0].policy, "builtin");
}

#[test]
fn a_new_leader_goes_on_from_the_saved_state_and_the_tick_before() {
    let host = FakeHost::new(Script::default());
    let mut old = brain(&host);
    old.import_history(&trace(10)).unwrap();
    swap(&mut old, "echo", 1);
    let ticks: Vec<Tick> = (1..=3).map(|step| old.tick(&steady(step), &rules(Mode::Auto))).collect();
    let saved = ticks.iter().flat_map(|tick| tick.saved.clone()).next().unwrap();
    assert_eq!((saved.revision, saved.observed_until), (Digest([1; 32]), InstantMs(START + STEP_MS)));

    let mut new = brain(&host);
    new.import_history(&trace(10)).unwrap();
    ticks.iter().for_each(|tick| new.import_history(tick.closed.as_ref().unwrap()).unwrap());
    new.continue_after(ticks[2].record.tick);
    let preparation = new.preparation(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}");
    let prepared = preparation.with_saved(&new, &saved.bytes, saved.observed_until).run(host.as_ref()).unwrap();
    let report = new.activate(prepared).unwrap();
    assert_eq!((report.restored, report.observed_steps), (true, 2));
    assert_eq!(new.tick(&steady(4), &rules(Mode::Auto)).record.tick, 4);
}

#[test]
fn history_imported_late_is_observed_from_the_start() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    swap(&mut brain, "echo", 1);
    brain.tick(&steady(1), &rules(Mode::Auto));
    brain.import_history(&trace(50)).unwrap();
    brain.tick(&steady(2), &rules(Mode::Auto));
    assert_eq!(host.log.lock().unwrap().observed.last(), Some(&(InstantMs(START - 50 * STEP_MS), 52)));
}

#[test]
fn forgotten_shards_are_no_longer_forecast() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    brain.tick(&steady(1), &rules(Mode::Auto));
    brain.forget(&[ShardId(2)]);
    brain.tick(&observed(2, &[(&[1, 2, 3], 40.0)]), &rules(Mode::Auto));
    let shards: Vec<u64> = brain.forecast_of_all().shards.iter().map(|s| s.shard.0).collect();
    assert_eq!(shards, [1, 3]);
}

#[test]
fn a_forecaster_is_told_once_which_shards_lead_and_which_are_alike_and_so_is_the_next_one() {
    let host = FakeHost::new(Script::default());
    let mut brain = brain(&host);
    swap(&mut brain, "echo", 1);
    let link = Link { follower: ShardId(2), leader: ShardId(1), lag_steps: 3, strength: 0.9, gain: 0.7 };
    let alike = Cluster { shards: vec![ShardId(3), ShardId(1)], load_share: 0.7, profile: vec![1.0; 24] };
    let found = Insights { links: vec![link], clusters: vec![alike], ..Insights::default() };
    let relations = found.relations();
    assert_eq!(relations.clusters, [[ShardId(3), ShardId(1)]]);
    brain.seeker.find(found);
    let related = || host.log.lock().unwrap().related.clone();
    let tick = brain.tick(&steady(1), &rules(Mode::Auto));
    assert_eq!(related(), std::slice::from_ref(&relations));
    let input = &tick.record.evaluations.iter().find(|e| e.role == Role::Forecast).unwrap().input;
    let (_, bytes) = tick.inputs.iter().find(|(digest, _)| digest == input).unwrap();
    let input: ForecastInput = postcard::from_bytes(bytes).unwrap();
    assert_eq!(input.related, Some(relations.clone()), "a replay must tell it, too");
    brain.tick(&steady(2), &rules(Mode::Auto));
    assert_eq!(related().len(), 1);
    swap(&mut brain, "echo", 2);
    brain.tick(&steady(3), &rules(Mode::Auto));
    assert_eq!(related(), [relations.clone(), relations]);
}
