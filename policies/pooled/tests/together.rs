//! What shards teach each other.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use forecasting_kit::ForecastingPolicy;
use isobar_model::{ForecastRequest, InstantMs, Link, LoadBatch, Metric, Relations, ShardId};
use pooled::Pooled;
use proptest::prelude::*;

const STEP_MS: u32 = 1_800_000;
const DAY: usize = 48;

/// Half-hours of some shards from step `start` on; one row a shard.
fn batch(start: usize, shards: &[u64], rows: &[&[f32]]) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(start as u64 * u64::from(STEP_MS)),
        step_ms: STEP_MS,
        steps: rows.first().map_or(0, |row| row.len() as u32),
        shards: shards.iter().copied().map(ShardId).collect(),
        values: rows.concat(),
    }
}

/// The medians of a shard's next `horizon` steps.
fn median(policy: &Pooled, shard: u64, horizon: u32) -> Vec<f32> {
    let request = ForecastRequest {
        metric: Metric::Load,
        shards: vec![ShardId(shard)],
        horizon,
        quantiles: vec![0.5],
        peak_steps: 0,
    };
    policy.predict(&request).unwrap().values
}

fn clusters(clusters: &[&[u64]]) -> Relations {
    let clusters = clusters.iter().map(|shards| shards.iter().copied().map(ShardId).collect()).collect();
    Relations { links: vec![], clusters }
}

/// The same on every run, within -1 to 1.
fn noise(shard: u64, step: usize) -> f32 {
    let mixed = (shard * 1_000_003 + step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / 8_388_608.0 - 1.0
}

/// A load about 100 whose offsets go on (`keeps` near 1), or turn round with each step (near -1).
fn wandering(shard: u64, keeps: f32, steps: usize) -> Vec<f32> {
    let mut offset = 0.0;
    (0..steps)
        .map(|step| {
            offset = keeps * offset + 5.0 * noise(shard, step);
            100.0 + offset
        })
        .collect()
}

/// How far the next step is expected above 100, after it was 12 above.
fn expected_after_a_jump(told: Option<&Relations>) -> f32 {
    let (steps, one, other) = (4 * DAY, [1, 2, 3], [4, 5, 6]);
    let rows: Vec<Vec<f32>> = one
        .iter()
        .map(|shard| wandering(*shard, 0.9, steps))
        .chain(other.iter().map(|shard| wandering(*shard, -0.9, steps)))
        .collect();
    let mut policy = Pooled::new("").unwrap();
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    policy.observe(&batch(0, &[1, 2, 3, 4, 5, 6], &rows)).unwrap();
    // A shard hardly known yet.
    policy.observe(&batch(steps, &[7], &[&[100.0, 101.0, 99.0, 100.0, 112.0]])).unwrap();
    if let Some(told) = told {
        policy.relate(Metric::Load, told).unwrap();
    }
    median(&policy, 7, 1)[0] - 100.0
}

#[test]
fn a_new_shard_is_forecast_as_its_cluster_goes() {
    let with_one = expected_after_a_jump(Some(&clusters(&[&[1, 2, 3, 7], &[4, 5, 6]])));
    let with_other = expected_after_a_jump(Some(&clusters(&[&[1, 2, 3], &[4, 5, 6, 7]])));
    let untold = expected_after_a_jump(None);
    assert!(with_other < untold && untold < with_one, "{with_other}, {untold}, {with_one}");
    assert!(with_one - with_other > 5.0, "{with_other}, {with_one}");
}

#[test]
fn being_told_the_same_again_changes_nothing() {
    let rows = [wandering(1, 0.9, 3 * DAY), wandering(2, 0.5, 3 * DAY), wandering(3, 0.0, 3 * DAY)];
    let link = Link { follower: ShardId(3), leader: ShardId(1), lag_steps: 2, strength: 0.8, gain: 0.5 };
    let told = Relations { links: vec![link], ..clusters(&[&[1, 2], &[3]]) };
    let mut policy = Pooled::new("").unwrap();
    policy.observe(&batch(0, &[1, 2, 3], &[&rows[0], &rows[1], &rows[2]])).unwrap();
    policy.relate(Metric::Load, &told).unwrap();
    let before = policy.save().unwrap();
    policy.relate(Metric::Load, &told).unwrap();
    assert_eq!(policy.save().unwrap(), before);
    let mut restored = Pooled::new("").unwrap();
    restored.restore(&before).unwrap();
    restored.relate(Metric::Load, &told).unwrap();
    assert_eq!(restored.save().unwrap(), before, "nor after it was opened anew");
}

#[test]
fn clusters_that_share_a_shard_or_are_too_many_are_refused_and_change_nothing() {
    let mut policy = Pooled::new("").unwrap();
    policy.observe(&batch(0, &[1, 2], &[&[5.0; 60], &[6.0; 60]])).unwrap();
    let before = policy.save().unwrap();
    assert!(policy.relate(Metric::Load, &clusters(&[&[1, 2], &[2]])).is_err());
    assert!(policy.relate(Metric::Load, &clusters(&[&[][..]; 33])).is_err());
    assert_eq!(policy.save().unwrap(), before);
}

/// Absolute errors of the median over the next `LAG` steps, summed over the last days.
fn errors_of_a_follower(links: Vec<Link>) -> f32 {
    const LAG: usize = 4;
    let steps = 12 * DAY;
    let leader = wandering(1, 0.3, steps);
    let follower: Vec<f32> = (0..steps)
        .map(|step| 100.0 + 3.0 * noise(2, step) + if step < LAG { 0.0 } else { 2.0 * (leader[step - LAG] - 100.0) })
        .collect();
    let mut policy = Pooled::new("").unwrap();
    let from = steps - 4 * DAY;
    policy.observe(&batch(0, &[1, 2], &[&leader[..from], &follower[..from]])).unwrap();
    policy.relate(Metric::Load, &Relations { links, clusters: vec![] }).unwrap();
    let mut sum = 0.0;
    for now in from..steps - LAG {
        let said = median(&policy, 2, LAG as u32);
        sum += said.iter().zip(&follower[now..]).map(|(said, truth)| (said - truth).abs()).sum::<f32>();
        policy.observe(&batch(now, &[1, 2], &[&leader[now..=now], &follower[now..=now]])).unwrap();
    }
    sum
}

#[test]
fn a_follower_is_foreseen_better_once_its_leader_is_told() {
    let link = Link { follower: ShardId(2), leader: ShardId(1), lag_steps: 4, strength: 0.9, gain: 0.8 };
    let (alone, led) = (errors_of_a_follower(vec![]), errors_of_a_follower(vec![link]));
    assert!(led < 0.7 * alone, "{led} with the leader, {alone} without");
}

/// The states after the same ticks: each whole, in this order and in two batches cut there, and many together.
fn states_after(order: &[u64], cut: usize, keeps: f32) -> [Vec<u8>; 3] {
    let steps = 2 * DAY + 10;
    let rows: Vec<Vec<f32>> = (1..=5).map(|shard| wandering(shard, keeps, steps)).collect();
    let link = Link { follower: ShardId(2), leader: ShardId(4), lag_steps: 3, strength: 0.7, gain: 0.5 };
    let told = Relations { links: vec![link], ..clusters(&[&[1, 3, 5], &[2]]) };
    let (mut whole, mut parts, mut long) =
        (Pooled::new("").unwrap(), Pooled::new("").unwrap(), Pooled::new("").unwrap());
    for step in 0..steps {
        let row = |shard: &u64| &rows[*shard as usize - 1][step..=step];
        let all = [1, 2, 3, 4, 5];
        whole.observe(&batch(step, &all, &all.iter().map(row).collect::<Vec<_>>())).unwrap();
        for part in [&order[..cut], &order[cut..]] {
            parts.observe(&batch(step, part, &part.iter().map(row).collect::<Vec<_>>())).unwrap();
        }
        if step == DAY + 7 {
            long.observe(&batch(0, &all, &rows.iter().map(|row| &row[..=step]).collect::<Vec<_>>())).unwrap();
            for policy in [&mut whole, &mut parts, &mut long] {
                policy.relate(Metric::Load, &told).unwrap();
            }
        }
    }
    long.observe(&batch(DAY + 8, &[1, 2, 3, 4, 5], &rows.iter().map(|row| &row[DAY + 8..]).collect::<Vec<_>>()))
        .unwrap();
    [whole, parts, long].map(|policy| policy.save().unwrap())
}

#[test]
fn a_shard_that_comes_first_in_a_tick_is_seen_as_one_that_comes_last() {
    // A day after the first offset: what was kept of the leader's went as far back as it had come itself.
    let [whole, parts, long] = states_after(&[4, 2, 1, 5, 3], 1, 0.469_950_2);
    assert!(whole == parts && whole == long);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn neither_the_order_of_shards_in_a_tick_nor_its_batches_make_a_difference(
        order in Just([1u64, 2, 3, 4, 5]).prop_shuffle(),
        cut in 1usize..5,
        keeps in -0.9f32..0.9,
    ) {
        let [whole, parts, long] = states_after(&order, cut, keeps);
        prop_assert!(whole == parts);
        prop_assert!(whole == long, "nor whether steps come together");
    }
}
