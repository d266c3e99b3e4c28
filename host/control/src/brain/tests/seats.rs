//! A forecaster that can't serve all shards serves the hottest, and knows no others.

use super::*;
use crate::brain::saved::Saved;
use crate::decision::ForecastInput;

const SHARDS: u64 = 100;
const NODES: &[u64] = &[1, 2, 3];

/// Shard i has load i, but for one that is hotter than all.
fn heated(step: u64, hottest: u64) -> Observation {
    let loads: Vec<(&[u64], f32)> =
        (1..=SHARDS).map(|id| (NODES, if id == hottest { 500.0 } else { id as f32 })).collect();
    observed(step, &loads)
}

/// A host whose forecasts cost 10 of fuel a shard, and a brain whose tick may burn 80.
fn tight() -> (Arc<FakeHost>, Brain) {
    let host = FakeHost::new(Script { fuel_a_shard: Some(10), ..Script::default() });
    let brain = Brain::new(BrainConfig { forecast_fuel: 80, ..config() }, Arc::clone(&host) as Arc<dyn PolicyHost>);
    (host, brain)
}

fn bind(brain: &mut Brain) {
    let prepared = brain.prepare(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}").unwrap();
    brain.activate(prepared).unwrap();
}

fn input(tick: &Tick) -> ForecastInput {
    let named = tick.record.evaluations.iter().find(|e| e.role == Role::Forecast).unwrap().input;
    postcard::from_bytes(&tick.inputs.iter().find(|(digest, _)| *digest == named).unwrap().1).unwrap()
}

fn known(host: &FakeHost) -> Vec<u64> {
    host.log.lock().unwrap().known.clone()
}

#[test]
fn it_knows_the_hottest_alone_and_is_shown_the_history_of_those_that_join() {
    let (host, mut brain) = tight();
    for step in 1..=3 {
        brain.tick(&heated(step, 0), &rules(Mode::Auto));
    }
    bind(&mut brain);
    // A first batch is shown before it is known what a shard costs; the coldest of it leave at the first tick.
    assert_eq!(known(&host), (69..=100).collect::<Vec<_>>());
    let tick = brain.tick(&heated(4, 0), &rules(Mode::Auto));
    assert_eq!(known(&host), (93..=100).collect::<Vec<_>>());
    assert_eq!((input(&tick).left.len(), input(&tick).joined), (24, None));

    let tick = brain.tick(&heated(5, 7), &rules(Mode::Auto));
    assert_eq!(known(&host), [7, 94, 95, 96, 97, 98, 99, 100]);
    let joined = input(&tick).joined.unwrap();
    assert_eq!((joined.shards, joined.to), (vec![ShardId(7)], InstantMs(START + 5 * STEP_MS)));
    assert_eq!(host.log.lock().unwrap().observed.last(), Some(&(InstantMs(START), 5)), "all of its history");
    let by = |brain: &Brain, id: u64| brain.forecast(&[ShardId(id)]).shards[0].answerer;
    assert_eq!((by(&brain, 7), by(&brain, 93)), (ForecastAnswerer::Policy, ForecastAnswerer::Unasked));
    // As hot as it was for a moment: those that lead by little keep their seats.
    brain.tick(&heated(6, 0), &rules(Mode::Auto));
    assert_eq!(host.log.lock().unwrap().asked, [93, 94, 95, 96, 97, 98, 99, 100]);
}

#[test]
fn a_new_leader_goes_on_with_the_shards_that_the_state_knows() {
    let (host, mut old) = tight();
    let mut ticks = vec![old.tick(&heated(1, 0), &rules(Mode::Auto))];
    bind(&mut old);
    ticks.extend((2..=9).map(|step| old.tick(&heated(step, 0), &rules(Mode::Auto))));
    let saved = ticks.iter().rev().flat_map(|tick| tick.saved.clone()).next().unwrap();
    assert_eq!(Saved::from_stored(&saved.bytes, 0).unwrap().shards, (93..=100).map(ShardId).collect::<Vec<_>>());

    let (_, mut new) = tight();
    ticks.iter().for_each(|tick| new.import_history(tick.closed.as_ref().unwrap()).unwrap());
    let preparation = new.preparation(Role::Forecast, Some(FakeHost::revision("echo", 1)), "{}");
    let prepared = preparation.with_saved(&new, &saved.bytes, saved.observed_until).run(host.as_ref()).unwrap();
    assert!(new.activate(prepared).unwrap().restored);
    let tick = new.tick(&heated(10, 7), &rules(Mode::Auto));
    let ForecastInput { joined, left, .. } = input(&tick);
    assert_eq!((joined.unwrap().shards, left), (vec![ShardId(7)], vec![ShardId(93)]));
}

/// It is not stopped, and serves all again step by step.
#[test]
fn one_that_fails_before_it_saved_is_shown_the_hottest_first() {
    let (host, mut brain) = tight();
    host.script.lock().unwrap().fail_predict_at = vec![1];
    bind(&mut brain);
    brain.tick(&heated(1, 0), &rules(Mode::Auto));
    let tick = brain.tick(&heated(2, 0), &rules(Mode::Auto));
    let ForecastInput { reopened, joined, .. } = input(&tick);
    assert_eq!(reopened.unwrap().shown.shards, []);
    assert_eq!(joined.unwrap().shards.first(), Some(&ShardId(100)));
}
