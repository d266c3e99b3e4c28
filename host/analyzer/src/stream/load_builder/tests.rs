use super::*;
use isobar_model::LoadWeights;
use proptest::prelude::*;
use std::collections::BTreeMap;

const STEP_MS: u32 = 1_000;

fn spec(shards: usize) -> LoadBuilderSpec {
    LoadBuilderSpec {
        shards: (1..=shards as u64).map(ShardId).collect(),
        step_ms: STEP_MS,
        lateness_ms: 2_000,
        gap_ms: 10_000,
        ahead_ms: 3_600_000,
        weights: LoadMilli::new(&LoadWeights::default()),
        sample_rate: 1.0,
    }
}

/// All values of one metric, by shard and start of the step; missing ones left out.
fn built(
    spec: LoadBuilderSpec,
    metric: Metric,
    events: &[(u64, usize, Operation)],
) -> (BTreeMap<(u64, u64), f32>, Vec<Timing>) {
    let mut values = BTreeMap::new();
    let mut sink = |batch: LoadBatch| {
        assert!(batch.is_well_formed());
        for (row, shard) in batch.shards.iter().enumerate().filter(|_| batch.metric == metric) {
            for (i, &value) in batch.row(row).iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                let start = batch.start.0 + i as u64 * u64::from(batch.step_ms);
                assert!(values.insert((shard.0, start), value).is_none(), "step {start} of shard {shard} came twice");
            }
        }
    };
    let mut builder = LoadBuilder::new(spec);
    let timings =
        events.iter().map(|&(at, place, op)| builder.record(InstantMs(at), place, op, 100, &mut sink)).collect();
    builder.finish(&mut sink);
    (values, timings)
}

/// A read of the first shard every 100 ms.
fn steady(from_ms: u64, to_ms: u64) -> Vec<(u64, usize, Operation)> {
    (from_ms..to_ms).step_by(100).map(|at| (at, 0, Operation::Get)).collect()
}

#[test]
fn reads_and_writes_weigh_as_documented() {
    let mut events = steady(0, 3_000);
    events.insert(15, (1_450, 1, Operation::Put));
    events.insert(16, (1_450, 1, Operation::Scan));
    let loads = built(spec(2), Metric::Load, &events).0;
    assert_eq!(loads[&(1, 1_000)], 10.0);
    assert_eq!(loads[&(2, 1_000)], 3.0);
    assert_eq!(loads[&(2, 2_000)], 0.0);
    assert_eq!(built(spec(2), Metric::WriteBytes, &events).0[&(2, 1_000)], 100.0);
}

#[test]
fn an_event_within_the_lateness_counts_and_a_later_one_does_not() {
    let mut events = steady(0, 4_000);
    events.push((1_950, 1, Operation::Get));
    events.push((1_850, 1, Operation::Get));
    events.push((500, 1, Operation::Get));
    let (reads, timings) = built(spec(2), Metric::ReadOps, &events);
    assert_eq!(timings[timings.len() - 3..], [Timing::Counted, Timing::Counted, Timing::Late]);
    assert_eq!((reads[&(2, 1_000)], reads[&(2, 0)]), (2.0, 0.0));
}

#[test]
fn a_rest_is_zero_and_a_gap_is_missing() {
    let mut events = steady(0, 5_000);
    events.extend(steady(12_000, 15_000));
    events.extend(steady(40_000, 43_000));
    let (reads, _) = built(spec(1), Metric::ReadOps, &events);
    assert_eq!((reads[&(1, 4_000)], reads[&(1, 8_000)], reads[&(1, 12_000)]), (10.0, 0.0, 10.0));
    assert!((15..40).all(|s| !reads.contains_key(&(1, s * 1_000))), "the gap is missing");
    assert!(reads.contains_key(&(1, 40_000)));
}

/// A rest that begins where a batch is given is a rest all the same.
#[test]
fn a_rest_after_any_number_of_steps_is_zero() {
    for steps in [BATCH_STEPS as u64 - 1, BATCH_STEPS as u64, BATCH_STEPS as u64 + 1] {
        let mut events = steady(0, steps * 1_000);
        events.extend(steady((steps + 5) * 1_000, (steps + 8) * 1_000));
        let reads = built(spec(1), Metric::ReadOps, &events).0;
        assert_eq!(reads.len() as u64, steps + 8);
        assert_eq!(reads.values().filter(|v| **v == 0.0).count(), 5);
    }
}

#[test]
fn a_wrong_clock_is_refused() {
    let mut events = steady(0, 1_000);
    events.push((1 << 50, 0, Operation::Get));
    events.push((u64::MAX, 0, Operation::Get));
    events.extend(steady(1_000, 2_000));
    let timings = built(spec(1), Metric::Load, &events).1;
    assert_eq!(timings.iter().filter(|t| **t == Timing::Ahead).count(), 2);
    assert_eq!(timings.last(), Some(&Timing::Counted));
}

#[test]
fn the_ends_of_a_record_count_for_what_they_cover() {
    // From 400 ms on, up to 2 200 ms: the first step is covered by 60 %, the last by 20 %.
    let reads = built(spec(1), Metric::ReadOps, &steady(400, 2_201)).0;
    assert_eq!(reads.keys().map(|k| k.1).collect::<Vec<_>>(), [0, 1_000]);
    assert!(reads.values().all(|rate| (rate - 10.0).abs() < 0.01), "{reads:?}");
}

#[test]
fn a_sample_is_scaled_up() {
    let sampled = LoadBuilderSpec { sample_rate: 0.1, ..spec(1) };
    assert_eq!(built(sampled, Metric::ReadOps, &steady(0, 3_000)).0[&(1, 1_000)], 100.0);
}

proptest! {
    /// Nothing is lost and nothing is counted twice: what was counted, less the half-covered ends, is in the batches.
    #[test]
    fn events_out_of_order_within_the_lateness_are_all_counted(
        jitter in prop::collection::vec(0u64..2_000, 200..600),
        shards in 1usize..5,
    ) {
        // Steady time, each event up to the lateness behind.
        let start = 10_000;
        let mut events: Vec<_> = jitter
            .iter()
            .enumerate()
            .map(|(i, &back)| (start + i as u64 * 50 - back, i % shards, if i % 3 == 0 { Operation::Put } else { Operation::Get }))
            .collect();
        // Anchors at the ends cover the first and the last step.
        let (low, high) = (start - 2_000, start + jitter.len() as u64 * 50);
        let (low, high) = (low / 1_000 * 1_000, high.next_multiple_of(1_000) + 999);
        events.insert(0, (low, 0, Operation::Get));
        events.push((high, 0, Operation::Get));
        let mut exact = BTreeMap::<(u64, u64), f32>::new();
        for &(at, place, operation) in &events {
            *exact.entry((place as u64 + 1, at / 1_000 * 1_000)).or_default() += if operation.is_write() { 2.0 } else { 1.0 };
        }
        let (loads, timings) = built(spec(shards), Metric::Load, &events);
        prop_assert!(timings.iter().all(|t| *t == Timing::Counted), "{:?}", timings);
        for (key, value) in &loads {
            prop_assert_eq!(exact.get(key).copied().unwrap_or(0.0), *value, "{:?}", key);
        }
        prop_assert!(exact.keys().all(|key| loads.contains_key(key)));
    }
}
