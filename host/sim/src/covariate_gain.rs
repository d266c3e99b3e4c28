//! What knowing leaders is worth to a forecaster: planted followers forecast with and without their links.

use crate::planted::PlantedSet;
use crate::trace::DAY_STEPS;
use isobar_model::{Link, ShardId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Quantiles asked for: the median, and what placement fears.
pub const SCORED_QUANTILES: [f32; 3] = [0.5, 0.9, 0.99];
/// Days of history before an origin that scale its errors.
const SCALE_DAYS: usize = 28;
/// Largest scaled loss that counts: a series that hardly ever changes would outweigh all others.
const MAX_LOSS: f64 = 10.0;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// One forecast asked for: all that was known at its origin.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    set: &'a PlantedSet,
    /// Steps known.
    pub origin: usize,
    /// Whose load.
    pub follower: ShardId,
    /// Links of the follower, as found; empty: forecast without.
    pub links: &'a [Link],
    /// Steps ahead.
    pub horizon: usize,
}

impl<'a> Question<'a> {
    /// A shard's load up to the origin, not beyond; empty for a shard that is not in the set.
    #[must_use]
    pub fn known(&self, shard: ShardId) -> &'a [f32] {
        let number = (shard.0 as usize).wrapping_sub(1);
        self.set.loads.get(number).map_or(&[], |load| &load[..self.origin.min(load.len())])
    }
}

/// Scaled pinball losses of one follower, means over origins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FollowerLoss {
    /// Number of the set.
    pub set: u64,
    /// Whose.
    pub follower: ShardId,
    /// Steps ahead, as many as its leader leads.
    pub horizon: usize,
    /// Without links.
    pub without: f64,
    /// With those found.
    pub with: f64,
}

/// Forecasts every planted follower at each origin, over as many steps as its leader leads: so far ahead the leader has already told. `forecast` gives a path
/// of the horizon's length for each of [`SCORED_QUANTILES`]; a path that is too short or not finite scores the most a loss can be.
///
/// The loss is twice the pinball loss (Koenker and Bassett 1978), averaged over the quantiles, in units of the daily naive forecast's mean error
/// before the origin.
pub fn follower_losses(
    number: u64,
    set: &PlantedSet,
    found: &[Link],
    origins: &[usize],
    mut forecast: impl FnMut(&Question<'_>) -> [Vec<f32>; 3],
) -> Vec<FollowerLoss> {
    let mut losses = Vec::with_capacity(set.links.len());
    for planted in &set.links {
        let links: Vec<Link> = found.iter().filter(|link| link.follower == planted.follower).copied().collect();
        let horizon = planted.lag_steps as usize;
        let load = &set.loads[planted.follower.0 as usize - 1];
        let mut sums = [0.0; 2];
        let mut scored = 0usize;
        for &origin in origins.iter().filter(|&&origin| origin + horizon <= load.len()) {
            let unit = naive_error(&load[..origin]);
            if unit <= 0.0 {
                continue;
            }
            scored += 1;
            for (sum, links) in sums.iter_mut().zip([&[][..], &links[..]]) {
                let question = Question { set, origin, follower: planted.follower, links, horizon };
                *sum += (pinball(&forecast(&question), &load[origin..origin + horizon]) / unit).min(MAX_LOSS);
            }
        }
        if scored > 0 {
            let [without, with] = sums.map(|sum| sum / scored as f64);
            losses.push(FollowerLoss { set: number, follower: planted.follower, horizon, without, with });
        }
    }
    losses
}

/// Mean error of yesterday's value, over the last [`SCALE_DAYS`].
fn naive_error(past: &[f32]) -> f64 {
    let past = &past[past.len().saturating_sub(SCALE_DAYS * DAY_STEPS)..];
    let Some(pairs) = past.len().checked_sub(DAY_STEPS).filter(|&pairs| pairs > 0) else { return 0.0 };
    let errors = past[DAY_STEPS..].iter().zip(past).map(|(now, before)| f64::from((now - before).abs()));
    errors.sum::<f64>() / pairs as f64
}

fn pinball(paths: &[Vec<f32>; 3], actual: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (path, quantile) in paths.iter().zip(SCORED_QUANTILES) {
        if path.len() < actual.len() || path.iter().any(|v| !v.is_finite()) {
            return f64::INFINITY;
        }
        let quantile = f64::from(quantile);
        for (forecast, actual) in path.iter().zip(actual) {
            let miss = f64::from(actual - forecast);
            sum += f64::max(quantile * miss, (quantile - 1.0) * miss);
        }
    }
    2.0 * sum / (paths.len() * actual.len()) as f64
}

/// Share of the loss that links cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CovariateGain {
    /// Mean loss without links.
    pub without: f64,
    /// Mean loss with them.
    pub with: f64,
    /// 1 − with / without.
    pub cut: f64,
    /// Its 95 % interval, by a bootstrap over sets (Efron 1979): followers of one set share leaders.
    pub interval: (f64, f64),
}

impl CovariateGain {
    /// Of the losses of all sets; none: no losses.
    #[must_use]
    pub fn of(losses: &[FollowerLoss]) -> Option<Self> {
        let mut sets: Vec<(u64, f64, f64)> = Vec::new();
        for loss in losses {
            match sets.iter_mut().find(|set| set.0 == loss.set) {
                Some(set) => (set.1, set.2) = (set.1 + loss.without, set.2 + loss.with),
                None => sets.push((loss.set, loss.without, loss.with)),
            }
        }
        let cut = |sums: (f64, f64)| if sums.0 > 0.0 { 1.0 - sums.1 / sums.0 } else { 0.0 };
        let sum =
            |sets: &mut dyn Iterator<Item = (u64, f64, f64)>| sets.fold((0.0, 0.0), |s, x| (s.0 + x.1, s.1 + x.2));
        let all = sum(&mut sets.iter().copied());
        if sets.is_empty() {
            return None;
        }
        let mut chance = StdRng::seed_from_u64(0);
        let mut cuts: Vec<f64> = (0..RESAMPLES)
            .map(|_| cut(sum(&mut (0..sets.len()).map(|_| sets[chance.random_range(0..sets.len())]))))
            .collect();
        cuts.sort_by(f64::total_cmp);
        let count = losses.len() as f64;
        Some(Self {
            without: all.0 / count,
            with: all.1 / count,
            cut: cut(all),
            interval: (cuts[RESAMPLES / 40], cuts[RESAMPLES - 1 - RESAMPLES / 40]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::PlantedLink;

    fn set() -> PlantedSet {
        let load: Vec<f32> = (0..3 * DAY_STEPS).map(|t| (t % DAY_STEPS + t / DAY_STEPS) as f32).collect();
        let link = PlantedLink { follower: ShardId(2), leader: ShardId(1), lag_steps: 2, share: 0.5 };
        PlantedSet { loads: vec![load.clone(), load], links: vec![link] }
    }

    fn found() -> Link {
        Link { follower: ShardId(2), leader: ShardId(1), lag_steps: 2, strength: 0.7, gain: 0.5 }
    }

    #[test]
    fn the_future_is_not_shown_and_links_only_once() {
        let other = Link { follower: ShardId(1), ..found() };
        let mut seen = Vec::new();
        follower_losses(7, &set(), &[found(), other], &[600], |question| {
            assert_eq!((question.known(ShardId(1)).len(), question.known(ShardId(9)).len()), (600, 0));
            seen.push((question.horizon, question.links.len()));
            [vec![0.0; 2], vec![0.0; 2], vec![0.0; 2]]
        });
        assert_eq!(seen, [(2, 0), (2, 1)]);
    }

    #[test]
    fn losses_are_pinball_in_units_of_the_naive_error() {
        // Every day is 1 higher than the one before: the naive error is 1. The truth is 26, 27.
        let losses = follower_losses(7, &set(), &[found()], &[600], |question| {
            let by = if question.links.is_empty() { 1.0 } else { 0.0 };
            [0, 1, 2].map(|_| vec![26.0 - by, 27.0 - by])
        });
        let wanted = 2.0 * f64::from(0.5f32 + 0.9 + 0.99) / 3.0;
        assert!((losses[0].without - wanted).abs() < 1e-6 && losses[0].with == 0.0, "{losses:?}");
        let gain = CovariateGain::of(&losses).unwrap();
        assert_eq!((gain.cut, gain.interval), (1.0, (1.0, 1.0)));
        assert_eq!(CovariateGain::of(&[]), None);
    }

    #[test]
    fn no_answer_is_the_worst_answer() {
        let losses = follower_losses(7, &set(), &[], &[600], |_| [vec![26.0], vec![26.0; 2], vec![f32::NAN; 2]]);
        assert_eq!((losses[0].without, losses[0].with), (MAX_LOSS, MAX_LOSS));
    }
}
