//! What the search promises, on series made for it. How often it is right on real ones: `host/sim/tests/planted_links.rs`.

use super::*;
use crate::HistorySpec;
use isobar_model::insights::{MAX_CLUSTERS, MAX_LINKS_PER_FOLLOWER};
use isobar_model::{InstantMs, Link, LoadBatch, Metric};
use proptest::prelude::*;

const STEP_MS: u32 = 300_000;
const DAY: usize = 288;
/// A Monday, 00:00 UTC.
const MONDAY: InstantMs = InstantMs(1_375_660_800_000);

/// Repeatable noise about 0 (Knuth's MMIX generator, three draws added).
fn noise(seed: u64, steps: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..steps).map(|_| next() + next() + next()).collect()
}

/// A busy day's rhythm, and a momentum of its own in what departs from it.
fn load(seed: u64, days: usize) -> Vec<f32> {
    let mut drift = 0.0;
    let step = |(t, surprise): (usize, f32)| {
        drift = 0.8 * drift + surprise;
        100.0 + 60.0 * (t as f32 / DAY as f32 * std::f32::consts::TAU).sin() + 10.0 * drift
    };
    noise(seed, days * DAY).into_iter().enumerate().map(step).collect()
}

/// What departs from the rhythm, later and so many times as much.
fn echo(of: &[f32], lag: usize, gain: f32) -> Vec<f32> {
    let rhythm = |t: usize| 100.0 + 60.0 * (t as f32 / DAY as f32 * std::f32::consts::TAU).sin();
    (0..of.len()).map(|t| t.checked_sub(lag).map_or(0.0, |t| gain * (of[t] - rhythm(t)))).collect()
}

fn plus(one: &[f32], other: &[f32]) -> Vec<f32> {
    one.iter().zip(other).map(|(a, b)| a + b).collect()
}

fn history(rows: &[Vec<f32>]) -> History {
    let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: 28 * DAY });
    let batch = LoadBatch {
        metric: Metric::Load,
        start: MONDAY,
        step_ms: STEP_MS,
        steps: rows[0].len() as u32,
        shards: (1..=rows.len() as u64).map(ShardId).collect(),
        values: rows.concat(),
    };
    history.import(&batch).unwrap();
    history
}

fn find(rows: &[Vec<f32>]) -> Insights {
    find_insights(&history(rows), Vec::new(), InsightsSpec::default())
}

/// Follower, leader, lag.
fn told(links: &[Link]) -> Vec<(u64, u64, u32)> {
    links.iter().map(|link| (link.follower.0, link.leader.0, link.lag_steps)).collect()
}

#[test]
fn a_leader_is_found_with_its_lag_and_what_it_tells() {
    let leader = load(1, 14);
    for lag in [1, 7, 24] {
        let follower = plus(&load(2, 14), &echo(&leader, lag, 1.0));
        let found = find(&[leader.clone(), follower, load(3, 14)]);
        assert_eq!(told(&found.links), [(2, 1, lag as u32)]);
        // Half of what surprises the follower is its leader's; a little less shows, as the usual day is itself an estimate.
        assert!((0.6..0.75).contains(&found.links[0].strength), "{:?}", found.links);
        assert!((0.38..0.52).contains(&found.links[0].gain), "{:?}", found.links);
        assert!(found.groups.is_empty(), "{:?}", found.groups);
    }
}

#[test]
fn who_falls_when_another_rises_follows_it_too() {
    let leader = load(1, 14);
    let follower = plus(&load(2, 14), &echo(&leader, 4, -1.0));
    let found = find(&[leader, follower]);
    assert_eq!(told(&found.links), [(2, 1, 4)]);
    assert!(found.links[0].strength < -0.6, "{:?}", found.links);
}

#[test]
fn a_lead_longer_than_the_longest_is_none() {
    let leader = load(1, 14);
    for lag in [25, 26, 40] {
        let found = find(&[leader.clone(), plus(&load(2, 14), &echo(&leader, lag, 1.0))]);
        assert_eq!(found.links, [], "lag {lag}");
    }
}

#[test]
fn driven_at_the_same_time_means_together_not_behind() {
    let driver = load(1, 14);
    let driven = |seed| plus(&load(seed, 14), &echo(&driver, 0, 1.5));
    let found = find(&[driven(2), driven(3), load(4, 14), driven(5)]);
    assert_eq!(found.links, []);
    assert_eq!(found.groups.len(), 1);
    let mut shards: Vec<u64> = found.groups[0].shards.iter().map(|s| s.0).collect();
    shards.sort_unstable();
    assert_eq!(shards, [1, 2, 4]);
    assert!(found.groups[0].strength > 0.5, "{:?}", found.groups);
}

#[test]
fn the_direct_leader_is_named_and_not_its_other_followers() {
    let driver = load(1, 14);
    let rows = [driver.clone(), plus(&load(2, 14), &echo(&driver, 3, 1.2)), plus(&load(3, 14), &echo(&driver, 8, 1.2))];
    assert_eq!(told(&find(&rows).links), [(2, 1, 3), (3, 1, 8)]);
}

#[test]
fn in_a_chain_each_follows_the_one_before() {
    let first = load(1, 14);
    let second = plus(&load(2, 14), &echo(&first, 3, 1.5));
    let third = plus(&load(3, 14), &echo(&second, 5, 1.5));
    assert_eq!(told(&find(&[first, second, third]).links), [(2, 1, 3), (3, 2, 5)]);
}

#[test]
fn two_leaders_of_one_shard_are_both_named_the_one_that_tells_more_first() {
    let (one, other) = (load(1, 14), load(2, 14));
    let follower = plus(&load(3, 14), &plus(&echo(&one, 2, 0.8), &echo(&other, 11, 1.2)));
    assert_eq!(told(&find(&[one, other, follower]).links), [(3, 2, 11), (3, 1, 2)]);
}

/// Promise 8.
#[test]
fn a_follower_has_at_most_so_many_leaders() {
    let leaders: Vec<Vec<f32>> = (1..=7).map(|seed| load(seed, 14)).collect();
    let sum = leaders.iter().zip(1..).fold(load(9, 14), |sum, (leader, lag)| plus(&sum, &echo(leader, 2 * lag, 1.0)));
    let found = find(&[leaders, vec![sum]].concat());
    assert_eq!(found.links.len(), MAX_LINKS_PER_FOLLOWER);
}

#[test]
fn a_shared_rhythm_is_no_link() {
    let rows: Vec<Vec<f32>> = (1..=40).map(|seed| load(seed, 14)).collect();
    let found = find(&rows);
    assert_eq!((&found.links[..], &found.groups[..]), (&[][..], &[][..]));
    assert_eq!(found.clusters.len(), 1);
    assert_eq!(found.clusters[0].shards.len(), 40);
    assert!((found.clusters[0].load_share - 1.0).abs() < 1e-5);
}

#[test]
fn one_common_moment_is_no_link() {
    // Both burst once, two steps apart, as when a whole zone restarts.
    let mut rows = [load(1, 14), load(2, 14)];
    for (row, at) in rows.iter_mut().zip([2000, 2002]) {
        row[at..at + 6].iter_mut().for_each(|v| *v += 5_000.0);
    }
    assert_eq!(find(&rows).links, []);
}

#[test]
fn clusters_are_of_one_shape_whatever_the_size() {
    let shape = |seed: u64, size: f32, phase: f32| {
        let wave = |t: usize| (t as f32 / DAY as f32 * std::f32::consts::TAU + phase).sin();
        let noise = noise(seed, 14 * DAY);
        (0..14 * DAY).map(|t| size * (2.0 + wave(t) + 0.2 * noise[t])).collect::<Vec<f32>>()
    };
    let noon = std::f32::consts::PI;
    let flat: Vec<f32> = noise(9, 14 * DAY).into_iter().map(|v| 5.0 + v).collect();
    let found = find(&[shape(1, 1.0, 0.0), shape(2, 500.0, 0.0), shape(3, 100.0, noon), shape(4, 90.0, noon), flat]);
    let shards: Vec<Vec<u64>> = found.clusters.iter().map(|c| c.shards.iter().map(|s| s.0).collect()).collect();
    assert_eq!(shards, [vec![2, 1], vec![3, 4]]);
    assert_eq!(found.unclustered, 1);
    let profile = &found.clusters[0].profile;
    assert_eq!(profile.len(), 168);
    // Highest at six in the morning of each day, half again as high as usual.
    assert!((profile[5] - 1.5).abs() < 0.05 && (profile[24 + 6] - 1.5).abs() < 0.05, "{profile:?}");
}

/// Promise 8.
#[test]
fn there_are_at_most_so_many_clusters() {
    let spike = |n: usize| (0..14 * DAY).map(|t| if t / 12 % 168 == 4 * n { 100.0 } else { 1.0 }).collect::<Vec<f32>>();
    let found = find(&(0..40).map(spike).collect::<Vec<_>>());
    assert_eq!((found.clusters.len(), found.unclustered), (MAX_CLUSTERS, 40 - MAX_CLUSTERS));
}

#[test]
fn what_goes_with_load_is_found_with_its_slope() {
    let writes: Vec<f32> = noise(5, 14 * DAY).into_iter().map(|v| 0.3 + 0.1 * v).collect();
    let mut busy = load(1, 14);
    busy.iter_mut().zip(&writes).for_each(|(load, share)| *load += 150.0 * share);
    let column =
        |kind, values| DriverColumn { shard: ShardId(1), kind, first_step: MONDAY.0 / u64::from(STEP_MS), values };
    let skew = noise(6, 14 * DAY);
    let columns = vec![column(DriverKind::WriteShare, writes), column(DriverKind::KeySkew, skew)];
    let found = find_insights(&history(&[busy, load(2, 14)]), columns, InsightsSpec::default());
    assert_eq!(found.drivers.len(), 1, "{:?}", found.drivers);
    let driver = found.drivers[0];
    assert_eq!((driver.shard, driver.kind, driver.by_hour), (ShardId(1), DriverKind::WriteShare, None));
    assert!((driver.slope - 150.0).abs() < 20.0, "{driver:?}");
}

/// The mix of queries is kept for days, load for weeks: what goes with load is looked for where both are known.
#[test]
fn a_mix_known_for_the_last_days_only_is_enough() {
    let found_of = |days: usize| {
        let writes: Vec<f32> = noise(5, days * DAY).into_iter().map(|v| 0.3 + 0.1 * v).collect();
        let mut busy = load(1, 14);
        let (_, last) = busy.split_at_mut((14 - days) * DAY);
        last.iter_mut().zip(&writes).for_each(|(load, share)| *load += 150.0 * share);
        let first_step = MONDAY.0 / u64::from(STEP_MS) + ((14 - days) * DAY) as u64;
        let column = |kind, values| DriverColumn { shard: ShardId(1), kind, first_step, values };
        let columns = vec![column(DriverKind::WriteShare, writes), column(DriverKind::KeySkew, noise(6, days * DAY))];
        find_insights(&history(&[busy, load(2, 14)]), columns, InsightsSpec::default()).drivers
    };
    for days in [2, 4] {
        let found = found_of(days);
        assert_eq!(found.iter().map(|driver| driver.kind).collect::<Vec<_>>(), [DriverKind::WriteShare], "{days} days");
        assert!((found[0].slope - 150.0).abs() < 45.0, "{found:?}");
    }
    assert_eq!(found_of(1), [], "a day is too short to tell");
}

#[test]
fn what_is_left_out_is_said() {
    let mut young = load(3, 14);
    young[..9 * DAY].fill(f32::NAN);
    let rows = [load(1, 14), load(2, 14), young, load(4, 14).into_iter().map(|v| v * 9.0).collect()];
    let found = find_insights(&history(&rows), Vec::new(), InsightsSpec { max_shards: 2, ..InsightsSpec::default() });
    assert_eq!((found.compared, found.omitted), (2, 2));
    let short = find(&[load(1, 1), load(2, 1)]);
    assert_eq!((short.compared, short.omitted, &short.links[..]), (0, 2, &[][..]));
}

#[test]
fn the_work_may_be_cut_anyhow() {
    let leader = load(1, 14);
    let rows: Vec<Vec<f32>> = (2..14).map(|seed| plus(&load(seed, 14), &echo(&leader, seed as usize, 1.0))).collect();
    let history = history(&[vec![leader], rows].concat());
    let whole = find_insights(&history, Vec::new(), InsightsSpec::default());
    assert_eq!(whole.links.len(), 12);
    for units in [1, 7, 1000] {
        let mut search = Search::begin(&history, Vec::new(), InsightsSpec::default());
        let (mut calls, mut found) = (0, None);
        while found.is_none() {
            found = search.work(&history, units);
            calls += 1;
            assert!(calls < 100_000, "the search does not end");
        }
        assert_eq!(found.as_ref(), Some(&whole));
        assert!(calls > 1);
    }
}

#[test]
fn a_shard_forgotten_meanwhile_is_no_harm() {
    let mut history = history(&[load(1, 14), load(2, 14), load(3, 14)]);
    let mut search = Search::begin(&history, Vec::new(), InsightsSpec::default());
    assert_eq!(search.work(&history, 1), None);
    history.forget(&[ShardId(1), ShardId(2), ShardId(3)]);
    let found = search.work(&history, u64::MAX).unwrap();
    assert_eq!((found.compared, &found.links[..]), (3, &[][..]));
}

fn odd_row(steps: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        4 => 0.0f32..1e3,
        1 => Just(0.0),
        1 => Just(f32::NAN),
        1 => Just(1e9),
        1 => Just(f32::MAX),
        1 => Just(f32::MIN_POSITIVE),
    ];
    prop_oneof![
        proptest::collection::vec(value, 1..20).prop_map(move |some| some
            .iter()
            .copied()
            .cycle()
            .take(steps)
            .collect()),
        (0.0f32..1e9).prop_map(move |level| vec![level; steps]),
        (0u64..1000).prop_map(move |seed| load(seed, steps / DAY)),
        (0..steps).prop_map(move |at| (0..steps).map(|t| if t == at { 1e9 } else { 0.0 }).collect()),
        Just(vec![f32::NAN; steps]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the history holds: no panic, the same again, only finite figures in range, nobody leads itself.
    #[test]
    fn any_history_gives_sound_findings(rows in proptest::collection::vec(odd_row(4 * DAY), 1..7)) {
        let found = find(&rows);
        prop_assert_eq!(&found, &find(&rows));
        for link in &found.links {
            prop_assert!(link.leader != link.follower);
            prop_assert!((1..=MAX_LAG_STEPS as u32).contains(&link.lag_steps));
            prop_assert!(link.strength.abs() <= 1.001 && (0.0..=1.001).contains(&link.gain), "{:?}", link);
        }
        for cluster in &found.clusters {
            prop_assert!(cluster.load_share.is_finite() && cluster.profile.iter().all(|v| v.is_finite()));
        }
        let inside: usize = found.clusters.iter().map(|cluster| cluster.shards.len()).sum();
        prop_assert_eq!(inside + found.unclustered, found.compared);
    }
}
