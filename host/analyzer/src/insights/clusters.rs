//! Shards of the same shape of day or week, so that few models can serve many.
//!
//! As in QB5000 (Ma, Van Aken, Hefny, Mezerhane, Pavlo and Gordon 2018): online clustering of normalised patterns by cosine similarity, clusters that have
//! grown alike being merged. Here the pattern is the load by hour, less its mean; the busiest shards come first, so that chance plays no part.

use super::correlation::dot;
use isobar_model::insights::MAX_CLUSTERS;
use isobar_model::{Cluster, ShardId};

/// Hours of a week, and of a day.
pub(super) const WEEK_HOURS: usize = 168;
pub(super) const DAY_HOURS: usize = 24;
/// Alike from this cosine on: QB5000's ρ.
const MIN_SIMILARITY: f32 = 0.8;
/// A shape is one only where the window's halves agree on it so far.
const MIN_REPEAT: f32 = 0.3;
/// Rounds in which shards look for a nearer cluster. Most settle in two or three.
const MAX_ROUNDS: usize = 8;
/// 1970-01-01 was a Thursday; weeks are shown from Monday on.
const HOURS_FROM_MONDAY: u64 = 72;
const HOUR_MS: u64 = 3_600_000;

/// A shard's usual load by hour.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// Relative to its mean, one value an hour; empty: it has no shape that repeats.
    pub(super) shape: Vec<f32>,
    /// Load units per second.
    pub(super) mean: f32,
}

impl Profile {
    /// Of values a step, the first beginning at `start_ms`.
    pub(super) fn of(values: &[f32], start_ms: u64, step_ms: u64) -> Self {
        let known = values.iter().filter(|v| v.is_finite());
        let count = known.clone().count();
        let mean = (known.map(|&v| f64::from(v)).sum::<f64>() / count.max(1) as f64) as f32;
        let hours_seen = values.len() as u64 * step_ms / HOUR_MS;
        let period = if hours_seen >= 2 * WEEK_HOURS as u64 { WEEK_HOURS } else { DAY_HOURS };
        let none = Self { shape: Vec::new(), mean };
        // Steps longer than an hour leave hours empty.
        if hours_seen < 2 * DAY_HOURS as u64 || step_ms > HOUR_MS || mean <= 0.0 {
            return none;
        }
        let half = values.len() / 2;
        let by_hour = |from: usize, to: usize| {
            let mut sums = vec![(0.0f64, 0u32); period];
            for (at, &value) in (from..to).zip(&values[from..to]).filter(|(_, v)| v.is_finite()) {
                let hour = (start_ms + at as u64 * step_ms) / HOUR_MS + HOURS_FROM_MONDAY;
                let sum = &mut sums[(hour % period as u64) as usize];
                *sum = (sum.0 + f64::from(value), sum.1 + 1);
            }
            let relative =
                |(sum, count): (f64, u32)| if count > 0 { (sum / f64::from(count)) as f32 / mean } else { 1.0 };
            sums.into_iter().map(relative).collect::<Vec<f32>>()
        };
        let (first, second) = (unit(&by_hour(0, half)), unit(&by_hour(half, values.len())));
        if similarity(&first, &second) < MIN_REPEAT {
            return none;
        }
        Self { shape: by_hour(0, values.len()), mean }
    }

    /// How alike two shapes are, −1 to 1; none: one of them has no shape.
    pub(super) fn alike(&self, other: &Self) -> Option<f32> {
        let both = !self.shape.is_empty() && self.shape.len() == other.shape.len();
        both.then(|| similarity(&unit(&self.shape), &unit(&other.shape)))
    }
}

/// Less its mean, of length 1; all 0 where it is flat.
fn unit(shape: &[f32]) -> Vec<f32> {
    let mean = shape.iter().sum::<f32>() / shape.len().max(1) as f32;
    let size = shape.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt();
    shape.iter().map(|v| if size > 1e-6 { (v - mean) / size } else { 0.0 }).collect()
}

fn similarity(a: &[f32], b: &[f32]) -> f32 {
    if a.len() == b.len() { dot(a, b) } else { 0.0 }
}

fn nearest(shape: &[f32], centres: &[Vec<f32>]) -> Option<(usize, f32)> {
    let near = centres.iter().enumerate().map(|(i, centre)| (i, similarity(shape, centre)));
    near.fold(
        None,
        |best: Option<(usize, f32)>, next| if best.is_some_and(|b| b.1 >= next.1) { best } else { Some(next) },
    )
}

/// Clusters of shards in the order of their load, those with most load first, and how many shards are in none.
pub(super) fn clusters(shards: &[ShardId], profiles: &[Profile]) -> (Vec<Cluster>, usize) {
    let shapes: Vec<Vec<f32>> = profiles.iter().map(|profile| unit(&profile.shape)).collect();
    let shaped = |i: usize| shapes[i].iter().any(|v| *v != 0.0);
    let mut centres: Vec<Vec<f32>> = Vec::new();
    let mut home: Vec<Option<usize>> = vec![None; shapes.len()];
    for _ in 0..MAX_ROUNDS {
        let before = home.clone();
        for i in (0..shapes.len()).filter(|&i| shaped(i)) {
            home[i] = nearest(&shapes[i], &centres).filter(|near| near.1 >= MIN_SIMILARITY).map(|near| near.0);
            if home[i].is_none() && centres.len() < MAX_CLUSTERS {
                home[i] = Some(centres.len());
                centres.push(shapes[i].clone());
            }
        }
        // Each centre becomes the mean of its shards; those now alike become one, the busier keeping its place.
        let mut means: Vec<Vec<f32>> = Vec::new();
        for (at, old) in centres.iter().enumerate() {
            let mut sum = vec![0.0; old.len()];
            for i in (0..shapes.len()).filter(|&i| home[i] == Some(at)) {
                sum.iter_mut().zip(&shapes[i]).for_each(|(sum, v)| *sum += v);
            }
            let mean = unit(&sum);
            let alike = nearest(&mean, &means).filter(|near| near.1 >= MIN_SIMILARITY).map(|near| near.0);
            let to = alike.unwrap_or(means.len());
            home.iter_mut().filter(|home| **home == Some(at)).for_each(|home| *home = Some(to));
            if alike.is_none() {
                means.push(mean);
            }
        }
        let settled = before == home && means.len() == centres.len();
        centres = means;
        if settled {
            break;
        }
    }

    let all: f32 = profiles.iter().map(|profile| profile.mean).sum();
    let mut found: Vec<Cluster> = (0..centres.len())
        .map(|at| {
            let members: Vec<usize> = (0..shapes.len()).filter(|&i| home[i] == Some(at)).collect();
            let load: f32 = members.iter().map(|&i| profiles[i].mean).sum();
            let mut profile = vec![0.0; centres[at].len()];
            for &i in &members {
                let by = 1.0 / members.len() as f32;
                profile.iter_mut().zip(&profiles[i].shape).for_each(|(sum, v)| *sum += v * by);
            }
            let load_share = if all > 0.0 { load / all } else { 0.0 };
            Cluster { shards: members.into_iter().map(|i| shards[i]).collect(), load_share, profile }
        })
        .filter(|cluster| !cluster.shards.is_empty())
        .collect();
    found.sort_by(|a, b| b.load_share.total_cmp(&a.load_share).then(a.shards.cmp(&b.shards)));
    let inside: usize = found.iter().map(|cluster| cluster.shards.len()).sum();
    (found, shards.len() - inside)
}
