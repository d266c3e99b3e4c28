use super::*;
use proptest::prelude::*;

const A: ShardId = ShardId(1);
const TICK_MS: u64 = 10_000;
const FEARED: f32 = 12.0;
const USUAL: Usual = Usual { recent: 10.0, habit: 11.0 };

/// Ticks on end, of one shard.
struct Run {
    bursts: Bursts,
    tick: u64,
    usual: Usual,
}

impl Run {
    fn warm() -> Self {
        let mut run = Self { bursts: Bursts::new(BurstSpec::default()), tick: 1_000, usual: USUAL };
        for _ in 0..10 {
            assert_eq!(run.tick(10.0), []);
        }
        run
    }

    fn tick(&mut self, load: f32) -> Vec<BurstChange> {
        self.tick += 1;
        let now = InstantMs(self.tick * TICK_MS);
        self.bursts.record(now, TICK_MS, &[TickLoad { shard: A, load }], |_| Some(FEARED), |_| self.usual)
    }
}

#[test]
fn the_second_tick_over_is_a_burst_and_calm_ends_it() {
    let mut run = Run::warm();
    assert_eq!(run.tick(30.0), []);
    assert!(run.bursts.overlaps(A, InstantMs((run.tick - 1) * TICK_MS), InstantMs(run.tick * TICK_MS)));
    let began = run.tick(30.0);
    let burst = Burst { since: InstantMs((run.tick - 2) * TICK_MS), level: 30.0, excess: 18.0 };
    assert_eq!(began, [BurstChange::Began { shard: A, burst }]);
    for _ in 0..4 {
        assert_eq!(run.tick(30.0), []);
    }
    let until = InstantMs(run.tick * TICK_MS);
    let changes: Vec<_> = (0..6).flat_map(|_| run.tick(10.0)).collect();
    assert_eq!(changes, [BurstChange::Ended { shard: A, lasted_ms: 6 * TICK_MS, lasting: false }]);
    assert_eq!(run.bursts.of(A), None);
    assert!(run.bursts.overlaps(A, burst.since, until));
    assert!(!run.bursts.overlaps(A, until, InstantMs(run.tick * TICK_MS)));
}

#[test]
fn one_enormous_tick_is_enough_and_one_that_is_only_large_is_not() {
    let mut run = Run::warm();
    assert_eq!(run.tick(30.0), []);
    assert_eq!(run.tick(10.0), []);
    assert_eq!(run.bursts.of(A), None);
    assert_eq!(run.tick(100.0).len(), 1);
    assert_eq!(run.bursts.of(A).unwrap().level, 100.0);
}

#[test]
fn what_lasts_is_the_new_level_and_not_recognised_again_before_it_came_down() {
    let mut run = Run::warm();
    let changes: Vec<_> = (0..2_000)
        .flat_map(|tick| {
            run.usual.recent = if tick < 60 { 10.0 } else { 30.0 };
            run.tick(30.0)
        })
        .collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[1], BurstChange::Ended { shard: A, lasted_ms: 2 * 3_600_000, lasting: true });
    run.usual.recent = 10.0;
    assert_eq!(run.tick(10.0), []);
    assert_eq!((run.tick(30.0), run.tick(30.0).len()), (vec![], 1));
}

#[test]
fn a_load_that_goes_on_is_no_burst_however_wrong_the_forecast() {
    let mut run = Run::warm();
    run.usual.recent = 30.0;
    let changes: Vec<_> = (0..20).flat_map(|_| run.tick(60.0)).collect();
    assert_eq!(changes, []);
    assert_eq!((run.tick(80.0), run.tick(80.0).len()), (vec![], 1));
    assert_eq!((0..6).flat_map(|_| run.tick(30.0)).count(), 1, "back to what it was, it is over");
}

#[test]
fn a_habit_is_no_burst() {
    let mut run = Run::warm();
    run.usual.habit = 40.0;
    let changes: Vec<_> = (0..20).flat_map(|_| run.tick(40.0)).collect();
    assert_eq!(changes, []);
    assert_eq!((run.tick(41.0), run.tick(41.0).len()), (vec![], 1));
}

/// Ticks may be as long as steps: the first one over is the last step when the second one is judged.
#[test]
fn a_burst_is_judged_by_what_was_usual_before_it() {
    let mut run = Run::warm();
    assert_eq!(run.tick(30.0), []);
    run.usual.recent = 30.0;
    assert_eq!(run.tick(30.0).len(), 1);
    assert_eq!((0..60).flat_map(|_| run.tick(30.0)).count(), 0, "it goes on");
}

#[test]
fn ticks_without_load_count_for_nothing() {
    let mut run = Run::warm();
    run.tick(30.0);
    assert_eq!(run.tick(f32::NAN), []);
    assert_eq!(run.tick(30.0).len(), 1);
    for _ in 0..20 {
        assert_eq!(run.tick(f32::NAN), []);
    }
    assert!(run.bursts.of(A).is_some());
}

#[test]
fn noise_of_idle_shards_is_no_burst() {
    let mut bursts = Bursts::new(BurstSpec::default());
    for tick in 1..500u64 {
        let loads = [(A, if tick.is_multiple_of(9) { 1.0 } else { 0.0 }), (ShardId(2), 100.0)];
        let loads = loads.map(|(shard, load)| TickLoad { shard, load });
        let upper = |shard| Some(if shard == A { 0.02 } else { 110.0 });
        let changes = bursts.record(InstantMs(tick * TICK_MS), TICK_MS, &loads, upper, |_| Usual::default());
        assert_eq!(changes, []);
    }
}

#[test]
fn lives_are_learnt_and_carry_a_level_on() {
    let mut run = Run::warm();
    let usual_before = run.bursts.usual_ms();
    run.tick(30.0);
    run.tick(30.0);
    let start = InstantMs(run.tick * TICK_MS);
    let mut paths = [[10.0; 20], [12.0; 20]].concat();
    run.bursts.raise(A, start, 300_000, &[0.5, 0.97], &mut paths);
    let raised = |path: &[f32]| path.iter().filter(|value| **value == 30.0).count();
    // Half of all bursts of half an hour's mean life last 20.8 minutes, three in a hundred 105.
    assert_eq!((raised(&paths[..20]), raised(&paths[20..])), (5, 20));
    assert_eq!(paths[5], 10.0);
    (0..6).for_each(|_| drop(run.tick(10.0)));
    assert!(run.bursts.usual_ms() < usual_before);
    let mut after = [10.0; 20];
    run.bursts.raise(A, start, 300_000, &[0.5], &mut after);
    assert_eq!(after, [10.0; 20]);
}

/// Promise 8.
#[test]
fn shards_not_heard_of_are_dropped() {
    let mut run = Run::warm();
    run.bursts.record(InstantMs(run.tick * TICK_MS + 3 * 3_600_000), TICK_MS, &[], |_| None, |_| USUAL);
    assert!(run.bursts.shards.is_empty());
}

proptest! {
    /// Promise 7: what was feared is no burst, whatever its shape.
    #[test]
    fn no_burst_within_what_was_feared(loads in prop::collection::vec(0.0f32..18.0, 1..300)) {
        let mut run = Run::warm();
        for load in loads {
            prop_assert_eq!(run.tick(load), []);
        }
    }

    #[test]
    fn quantiles_stay_in_order(
        mut quantiles in prop::collection::vec(0.01f32..0.99, 1..6),
        base in prop::collection::vec(0.0f32..50.0, 6 * 8),
        level in 60.0f32..500.0,
        late_ms in 0u64..600_000,
    ) {
        quantiles.sort_by(f32::total_cmp);
        let mut run = Run::warm();
        run.tick(level);
        run.tick(level);
        let steps = 8;
        let mut paths = vec![0.0f32; quantiles.len() * steps];
        for step in 0..steps {
            let mut column: Vec<f32> = (0..quantiles.len()).map(|q| base[q * steps + step]).collect();
            column.sort_by(f32::total_cmp);
            column.into_iter().enumerate().for_each(|(q, value)| paths[q * steps + step] = value);
        }
        let before = paths.clone();
        let start = InstantMs((run.tick * TICK_MS).saturating_sub(late_ms));
        run.bursts.raise(A, start, 300_000, &quantiles, &mut paths);
        for step in 0..steps {
            prop_assert!((1..quantiles.len()).all(|q| paths[(q - 1) * steps + step] <= paths[q * steps + step]));
        }
        prop_assert!(paths.iter().zip(&before).all(|(now, before)| now >= before));
        prop_assert!((0..quantiles.len()).all(|q| paths[q * steps] >= level.min(run.bursts.of(A).unwrap().level)
            || start.0 > run.tick * TICK_MS));
    }

    /// No input makes it panic, nor a load that is no number.
    #[test]
    fn any_input_is_taken(ticks in prop::collection::vec((any::<f32>(), any::<f32>(), any::<f32>(), any::<u64>()), 1..60)) {
        let mut bursts = Bursts::new(BurstSpec::default());
        for (load, upper, recent, now) in ticks {
            let usual = |_| Usual { recent, habit: 0.0 };
            bursts.record(InstantMs(now), now / 2, &[TickLoad { shard: A, load }], |_| Some(upper), usual);
            let mut paths = [0.0; 4];
            bursts.raise(A, InstantMs(now), u32::MAX, &[0.5], &mut paths);
        }
    }
}
