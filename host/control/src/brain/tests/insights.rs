//! The search for what drives what, beside the ticks.

use super::*;
use isobar_analyzer::DriverColumn;
use isobar_model::DriverKind;

/// Two weeks in which shard 2 does what shard 1 did three steps before, and shard 3 as it likes.
fn followed() -> LoadBatch {
    const STEPS: usize = 14 * 288;
    let mut state = 7u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let first: Vec<f32> = (0..STEPS).map(|_| 10.0 + 10.0 * noise()).collect();
    let second = (0..STEPS).map(|step| step.checked_sub(3).map_or(15.0, |led| first[led]) + noise()).collect();
    let third = (0..STEPS).map(|_| 10.0 + 10.0 * noise()).collect();
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(START - STEPS as u64 / 14 * STEP_MS),
        step_ms: STEP_MS as u32,
        steps: STEPS as u32,
        shards: (1..=3).map(ShardId).collect(),
        values: [first, second, third].concat(),
    }
}

fn search(brain: &mut Brain) -> usize {
    (0..100_000).take_while(|_| brain.look_for_insights(1, Vec::new)).count()
}

#[test]
fn who_follows_whom_is_found_piece_by_piece_and_again_each_hour() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    assert!(!brain.look_for_insights(u64::MAX, || panic!("no search begins")), "there is nothing to look at yet");
    assert_eq!(brain.insights(), None);
    brain.import_history(&followed()).unwrap();
    assert!(search(&mut brain) > 3);
    let found = brain.insights().unwrap();
    let links: Vec<_> = found.links.iter().map(|link| (link.follower.0, link.leader.0, link.lag_steps)).collect();
    assert_eq!(links, [(2, 1, 3)]);

    // Eleven steps on it is not looked again; after the twelfth it is.
    let first = 13 * 288;
    for step in 1..=12 {
        assert!(!brain.look_for_insights(1, || panic!("no search begins")), "step {step}");
        brain.tick(&steady(first + step), &rules(Mode::Observe));
    }
    assert!(search(&mut brain) > 3);
    assert_eq!(brain.insights().unwrap().until, found.until.plus_ms(12 * STEP_MS));
}

#[test]
fn a_search_is_given_what_queries_were_like_when_it_begins() {
    let mut brain = brain(&FakeHost::new(Script::default()));
    let batch = followed();
    brain.import_history(&batch).unwrap();
    // The share of writes of shard 1 goes with its load.
    let writes = || {
        let values = batch.row(0).iter().map(|load| 0.2 + load / 100.0).collect();
        let first_step = batch.start.0 / STEP_MS;
        vec![DriverColumn { shard: ShardId(1), kind: DriverKind::WriteShare, first_step, values }]
    };
    assert!(brain.look_for_insights(1, writes));
    while brain.look_for_insights(u64::MAX, || panic!("the search has begun")) {}
    let found = brain.insights().unwrap();
    let drivers: Vec<_> = found.drivers.iter().map(|driver| (driver.shard.0, driver.kind)).collect();
    assert_eq!(drivers, [(1, DriverKind::WriteShare)]);
    assert!((found.drivers[0].slope - 100.0).abs() < 5.0, "{:?}", found.drivers);
}
