//! A shard that another leads is forecast better once the host has said so.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use best::Best;
use isobar_model::{ForecastRequest, InstantMs, Link, LoadBatch, Metric, Relations, ShardId};

const STEP_MS: u32 = 300_000;
const DAY: usize = 288;
const LAG: usize = 8;
const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
const LEADER: ShardId = ShardId(1);
const FOLLOWER: ShardId = ShardId(2);

/// A number within -1 to 1 without a pattern (SplitMix64).
fn noise(seed: u64, step: usize) -> f32 {
    let mut z = (seed << 32 | step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Deviations that fade within an hour.
fn deviations(seed: u64, steps: usize) -> Vec<f32> {
    let mut now = 0.0;
    (0..steps)
        .map(|step| {
            now = 0.85 * now + 12.0 * noise(seed, step);
            now
        })
        .collect()
}

fn season(step: usize) -> f32 {
    150.0 + 60.0 * (step as f32 / DAY as f32 * std::f32::consts::TAU).sin()
}

/// A leader and who does in part what it did `LAG` steps before.
fn pair(steps: usize, share: f32) -> [Vec<f32>; 2] {
    let (led, own) = (deviations(1, steps), deviations(2, steps));
    let leader = (0..steps).map(|step| season(step) + led[step]).collect();
    let follower = (0..steps)
        .map(|step| {
            let before = step.checked_sub(LAG).map_or(0.0, |before| led[before]);
            season(step + 40) + share * before + (1.0 - share) * own[step]
        })
        .collect();
    [leader, follower]
}

/// Pinball loss of the follower's next `LAG` steps, over some origins, told of the link or not.
fn loss(rows: &[Vec<f32>; 2], link: Option<Link>) -> f32 {
    let mut policy = Best::new("").unwrap();
    let steps = rows[0].len();
    let mut seen = 0;
    let mut loss = 0.0;
    for origin in (steps - 3 * DAY..steps - LAG).step_by(25) {
        policy
            .observe(&LoadBatch {
                metric: Metric::Load,
                start: InstantMs(seen as u64 * u64::from(STEP_MS)),
                step_ms: STEP_MS,
                steps: (origin - seen) as u32,
                shards: vec![LEADER, FOLLOWER],
                values: rows.iter().flat_map(|row| row[seen..origin].to_vec()).collect(),
            })
            .unwrap();
        seen = origin;
        policy.relate(Metric::Load, &Relations { links: link.into_iter().collect(), clusters: vec![] }).unwrap();
        let request = ForecastRequest {
            metric: Metric::Load,
            shards: vec![FOLLOWER],
            horizon: LAG as u32,
            quantiles: LEVELS.to_vec(),
            peak_steps: LAG as u32,
        };
        let forecast = policy.predict(&request).unwrap();
        for (q, level) in LEVELS.iter().enumerate() {
            for (truth, said) in rows[1][origin..].iter().zip(forecast.path(&request, 0, q)) {
                loss += (level * (truth - said)).max((level - 1.0) * (truth - said));
            }
        }
    }
    loss
}

fn link(strength: f32) -> Link {
    Link { follower: FOLLOWER, leader: LEADER, lag_steps: LAG as u32, strength, gain: strength * strength }
}

#[test]
fn a_leader_makes_its_followers_forecast_better() {
    let rows = pair(12 * DAY, 0.7);
    let (alone, led) = (loss(&rows, None), loss(&rows, Some(link(0.9))));
    assert!(led < 0.7 * alone, "{led} with the leader, {alone} without");
}

#[test]
fn a_leader_that_says_nothing_does_little_harm() {
    let rows = pair(12 * DAY, 0.0);
    let (alone, misled) = (loss(&rows, None), loss(&rows, Some(link(0.9))));
    assert!(misled < 1.02 * alone, "{misled} with a leader that is none, {alone} without");
}
