use super::*;
use proptest::prelude::*;

const STEP: u32 = 300_000;
const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);

fn history(keep_steps: usize) -> History {
    History::new(HistorySpec { metric: Metric::Load, step_ms: STEP, keep_steps })
}

fn batch(start: u64, shards: &[ShardId], values: &[f32]) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(start),
        step_ms: STEP,
        steps: (values.len() / shards.len()) as u32,
        shards: shards.to_vec(),
        values: values.to_vec(),
    }
}

fn tick(history: &mut History, end_s: u64, span_s: u64, load: f32) -> Option<LoadBatch> {
    history.record(InstantMs(end_s * 1000), span_s * 1000, &[TickLoad { shard: A, load }])
}

/// Equal, NaN like NaN.
fn same(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| l == r || (l.is_nan() && r.is_nan()))
}

#[test]
fn several_ticks_make_a_step() {
    let mut history = history(10);
    assert_eq!(tick(&mut history, 3000 + 100, 100, 1.0), None);
    assert_eq!(tick(&mut history, 3000 + 200, 100, 2.0), None);
    let closed = tick(&mut history, 3000 + 300, 100, 6.0).unwrap();
    assert_eq!((closed.start, closed.steps, closed.values), (InstantMs(3_000_000), 1, vec![3.0]));
    assert_eq!(history.end(), 11);
    assert_eq!(history.start_of(history.end()), InstantMs(3_300_000));
}

#[test]
fn a_tick_may_be_a_step_or_many() {
    let mut history = history(10);
    assert_eq!(tick(&mut history, 3300, 300, 4.0).unwrap().values, [4.0]);
    assert_eq!(tick(&mut history, 4200, 900, 5.0).unwrap().values, [5.0, 5.0, 5.0]);
}

#[test]
fn a_tick_across_a_boundary_counts_on_both_sides_by_time() {
    let mut history = history(10);
    tick(&mut history, 3200, 200, 3.0);
    let closed = tick(&mut history, 3400, 200, 6.0).unwrap();
    assert_eq!(closed.values, [4.0]);
    let closed = tick(&mut history, 3600, 200, 1.0).unwrap();
    assert_eq!(closed.values, [(6.0 + 2.0) / 3.0]);
}

#[test]
fn a_step_covered_by_less_than_half_is_missing() {
    let mut history = history(10);
    tick(&mut history, 3300, 300, 4.0);
    let closed = tick(&mut history, 3600, 100, 4.0).unwrap();
    assert!(same(&closed.values, &[f32::NAN]));
    assert!(same(&tick(&mut history, 3900, 300, f32::NAN).unwrap().values, &[f32::NAN]));
}

#[test]
fn a_silence_leaves_missing_steps_and_only_touched_ones_are_given() {
    let mut history = history(10);
    tick(&mut history, 3300, 300, 4.0);
    let closed = tick(&mut history, 4500, 300, 5.0).unwrap();
    assert_eq!((closed.start, closed.values), (InstantMs(4_200_000), vec![5.0]));
    let all = history.batches(history.shards(), 0, 256);
    assert!(same(&all[0].values, &[4.0, f32::NAN, f32::NAN, f32::NAN, 5.0]));
}

#[test]
fn time_counts_once_and_a_clock_that_goes_back_adds_nothing() {
    let mut history = history(10);
    tick(&mut history, 3300, 300, 4.0);
    assert_eq!(tick(&mut history, 3300, 300, 9.0), None);
    assert_eq!(tick(&mut history, 3200, 300, 9.0), None);
    assert_eq!(tick(&mut history, 3600, 600, 5.0).unwrap().values, [5.0]);
    assert_eq!(history.value(A, 10), 4.0);
}

/// Promise 8.
#[test]
fn rows_keep_the_newest_steps_only() {
    let mut history = history(3);
    history.import(&batch(0, &[A], &[0.0, 1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!(history.batches(history.shards(), 0, 256)[0].values, [2.0, 3.0, 4.0]);
    assert!(history.value(A, 1).is_nan());
    tick(&mut history, 1_000_000_000, 999_000_000, 7.0).unwrap();
    assert_eq!(history.batches(history.shards(), 0, 256)[0].values.len(), 3);
}

#[test]
fn what_is_imported_comes_back_in_batches_of_the_asked_size() {
    let mut history = history(100);
    history.import(&batch(0, &[A, B], &[1.0, 2.0, f32::NAN, 4.0])).unwrap();
    history.import(&batch(600_000, &[B], &[5.0])).unwrap();
    let batches = history.batches(history.shards(), 0, 1);
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].shards, [A]);
    assert!(same(&batches[0].values, &[1.0, 2.0, f32::NAN]));
    assert!(same(&batches[1].values, &[f32::NAN, 4.0, 5.0]));
    assert!(same(&history.batches(history.shards(), 2, 256)[0].values, &[f32::NAN, 5.0]));
    assert_eq!(history.batches(history.shards(), 3, 256), []);
}

#[test]
fn ticks_go_on_where_the_import_ends_whatever_its_phase() {
    let mut history = history(100);
    history.import(&batch(100_000, &[A], &[1.0, 2.0])).unwrap();
    assert_eq!(tick(&mut history, 700, 10, 9.0), None);
    let closed = tick(&mut history, 1000, 300, 3.0).unwrap();
    assert_eq!((closed.start, closed.values), (InstantMs(700_000), vec![3.0]));
}

#[test]
fn batches_that_do_not_fit_are_refused_with_what_to_do() {
    let mut history = history(100);
    history.import(&batch(300_000, &[A], &[1.0])).unwrap();
    let refused = |history: &mut History, change: fn(&mut LoadBatch)| {
        let mut bad = batch(600_000, &[A], &[1.0]);
        change(&mut bad);
        history.import(&bad).unwrap_err().to_string()
    };
    assert!(refused(&mut history, |b| b.metric = Metric::ReadOps).contains("ReadOps"));
    assert!(refused(&mut history, |b| b.step_ms = 1000).contains("resample"));
    assert!(refused(&mut history, |b| b.start = InstantMs(601_000)).contains("1000 ms into a step"));
    assert!(refused(&mut history, |b| b.values.clear()).contains("0 values for 1 shards"));
    assert_eq!(history.end(), 2);
}

#[test]
fn forgotten_shards_are_gone_and_children_inherit() {
    let mut history = history(100);
    history.import(&batch(0, &[A], &[2.0, 4.0])).unwrap();
    history.inherit(A, B, 0.25);
    history.forget(&[A]);
    assert!(!history.knows(A));
    assert_eq!(history.batches(history.shards(), 0, 256)[0].values, [0.5, 1.0]);
}

proptest! {
    /// A constant load stays what it is, however ticks and steps meet.
    #[test]
    fn a_constant_load_is_constant_in_every_step(spans in proptest::collection::vec(1u64..1_000, 1..60), load in 0f32..1e6) {
        let mut history = history(10_000);
        let mut now = 3_000u64;
        let mut steps = 0;
        for span in spans {
            now += span;
            if let Some(closed) = tick(&mut history, now, span, load) {
                steps += closed.steps as u64;
                for value in closed.values {
                    prop_assert!((value - load).abs() <= load * 1e-6);
                }
            }
        }
        prop_assert_eq!(steps, now / 300 - 10);
    }
}

#[test]
fn a_run_of_steps_is_read_with_gaps_where_nothing_is_known() {
    let mut history = history(10);
    history.import(&batch(10 * u64::from(STEP), &[A], &[1.0, f32::NAN, 3.0])).unwrap();
    let mut out = [0.0; 6];
    history.read(A, 8, &mut out);
    assert!(same(&out, &[f32::NAN, f32::NAN, 1.0, f32::NAN, 3.0, f32::NAN]));
    history.read(B, 8, &mut out);
    assert!(same(&out, &[f32::NAN; 6]));
}

#[test]
fn a_step_withheld_is_missing_to_those_who_observe_and_to_nobody_else() {
    let mut history = history(3);
    history.import(&batch(0, &[A, B], &[1.0, 2.0, 3.0, 4.0])).unwrap();
    history.withhold(A, 1);
    history.withhold(A, 7);
    assert!(same(&history.batches(history.shards(), 0, 256)[0].values, &[1.0, f32::NAN, 3.0, 4.0]));
    assert_eq!((history.value(A, 1), history.batch(1, 2, &[A]).values), (2.0, vec![2.0]));
    assert_eq!(history.withheld(0).collect::<Vec<_>>(), [(A, 1)]);
    // Promise 8: the mark goes with its step.
    history.import(&batch(2 * 300_000, &[A], &[5.0, 6.0, 7.0])).unwrap();
    assert_eq!(history.withheld(0).count(), 0);
}
