//! Shards of which it is known who leads whom: real series, with followers planted among them. What finds links is judged by these.
//!
//! Each shard of a set reads a real series of its own, from a day of its own on, round and round. So all keep the time of day, and share
//! rhythms as real shards do, but no moment of one coincides with the same moment of another: what is found beyond the planted links is
//! false. A follower is a shard like the others, plus a leader's load some steps later.

use crate::trace::{DAY_STEPS, STEP_MS, Trace};
use isobar_model::{InstantMs, LoadBatch, Metric, ShardId};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::ops::RangeInclusive;

/// When sets begin: a Monday, 00:00 UTC.
const START: InstantMs = InstantMs(1_375_660_800_000);

/// What a set is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedSpec {
    /// Decides series, days, who follows whom, lags and shares.
    pub seed: u64,
    /// Shards that may be followed.
    pub leaders: usize,
    /// Shards that follow one of them.
    pub followers: usize,
    /// Shards that have to do with no other.
    pub innocents: usize,
    /// Steps between a leader and its follower.
    pub lags: RangeInclusive<u32>,
    /// Planted part of the variance of a follower's load about its usual day.
    pub shares: RangeInclusive<f64>,
}

impl PlantedSpec {
    /// Four leaders, six followers and fourteen innocents; lags of 1 to 24 steps; shares of 0.3 to 0.7.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, leaders: 4, followers: 6, innocents: 14, lags: 1..=24, shares: 0.3..=0.7 }
    }
}

/// A link that was planted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlantedLink {
    /// Who follows.
    pub follower: ShardId,
    /// Whom.
    pub leader: ShardId,
    /// After how many steps.
    pub lag_steps: u32,
    /// Planted part of the variance of the follower's load about its usual day.
    pub share: f64,
}

/// A set that can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlantedError {
    /// Not enough to read from.
    #[error("a set of {shards} shards needs as many series and days, the trace has {series} series of {days} days: ask for fewer shards")]
    TooFewSeries {
        /// Shards wanted.
        shards: usize,
        /// Series there are.
        series: usize,
        /// Whole days there are.
        days: usize,
    },
    /// Followers without leaders, a lag or a share out of range.
    #[error("followers need at least one leader, lags of 1 step or more and less than a day, and shares between 0 and 1")]
    Impossible,
}

/// Shards and what was planted among them.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedSet {
    /// Load of shard i, numbered i + 1: leaders first, then followers, then innocents; one value a 5-minute step.
    pub loads: Vec<Vec<f32>>,
    /// By follower.
    pub links: Vec<PlantedLink>,
}

impl PlantedSet {
    /// The set of this seed.
    pub fn new(trace: &Trace, spec: &PlantedSpec) -> Result<Self, PlantedError> {
        let shards = spec.leaders + spec.followers + spec.innocents;
        let (series, days) = (trace.names().len(), trace.steps() / DAY_STEPS);
        if shards > series || shards > days {
            return Err(PlantedError::TooFewSeries { shards, series, days });
        }
        let (lags, shares) = (&spec.lags, &spec.shares);
        let lags_sound = *lags.start() >= 1 && lags.start() <= lags.end() && (*lags.end() as usize) < DAY_STEPS;
        let shares_sound = *shares.start() >= 0.0 && shares.start() <= shares.end() && *shares.end() < 1.0;
        if !lags_sound || !shares_sound || (spec.leaders == 0 && spec.followers > 0) {
            return Err(PlantedError::Impossible);
        }
        let mut chance = StdRng::seed_from_u64(spec.seed);
        let mut numbers: Vec<usize> = (0..series).collect();
        let mut first_days: Vec<usize> = (0..days).collect();
        numbers.shuffle(&mut chance);
        first_days.shuffle(&mut chance);
        let mut loads: Vec<Vec<f32>> = numbers
            .iter()
            .zip(&first_days)
            .take(shards)
            .map(|(&number, &day)| {
                let whole = &trace.series(number)[..days * DAY_STEPS];
                let from = day * DAY_STEPS;
                whole[from..].iter().chain(&whole[..from]).copied().collect()
            })
            .collect();

        let mut links = Vec::with_capacity(spec.followers);
        for follower in spec.leaders..spec.leaders + spec.followers {
            let leader = chance.random_range(0..spec.leaders);
            let lag = chance.random_range(lags.clone());
            let share = chance.random_range(shares.clone());
            let whole_load = chance.random_bool(0.5);
            let unusual = from_usual_day(&loads[leader]);
            let own = from_usual_day(&loads[follower]);
            let (leading, following) = (variance(&unusual), variance(&own));
            let gain = if leading > 0.0 { (share / (1.0 - share) * following / leading).sqrt() } else { 0.0 };
            let planted = if whole_load { loads[leader].clone() } else { unusual };
            for (at, load) in loads[follower].iter_mut().enumerate().skip(lag as usize) {
                *load = (f64::from(*load) + gain * f64::from(planted[at - lag as usize])).max(0.0) as f32;
            }
            let shard = |number: usize| ShardId(number as u64 + 1);
            links.push(PlantedLink { follower: shard(follower), leader: shard(leader), lag_steps: lag, share });
        }
        Ok(Self { loads, links })
    }

    /// Steps of each shard.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.loads.first().map_or(0, Vec::len)
    }

    /// Steps `from` up to and without `to` of all shards, as history to import. The first step begins a Monday, 00:00 UTC.
    #[must_use]
    pub fn batch(&self, from: usize, to: usize) -> LoadBatch {
        let to = to.min(self.steps());
        let from = from.min(to);
        LoadBatch {
            metric: Metric::Load,
            start: START.plus_ms(from as u64 * u64::from(STEP_MS)),
            step_ms: STEP_MS,
            steps: (to - from) as u32,
            shards: (1..=self.loads.len() as u64).map(ShardId).collect(),
            values: self.loads.iter().flat_map(|load| load[from..to].iter().copied()).collect(),
        }
    }
}

/// Load less its mean at that time of day.
fn from_usual_day(load: &[f32]) -> Vec<f32> {
    let mut usual = [0.0f64; DAY_STEPS];
    for (at, &value) in load.iter().enumerate() {
        usual[at % DAY_STEPS] += f64::from(value);
    }
    let days = (load.len() / DAY_STEPS).max(1) as f64;
    load.iter().enumerate().map(|(at, &value)| (f64::from(value) - usual[at % DAY_STEPS] / days) as f32).collect()
}

fn variance(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        Trace::worldwide().unwrap()
    }

    #[test]
    fn a_seed_names_a_set() {
        let set = |seed| PlantedSet::new(&trace(), &PlantedSpec::new(seed)).unwrap();
        assert_eq!(set(7), set(7));
        assert_ne!(set(7).links, set(8).links);
    }

    #[test]
    fn followers_hold_their_leaders_load_at_the_lag() {
        let spec = PlantedSpec { lags: 5..=5, shares: 0.9..=0.9, ..PlantedSpec::new(3) };
        let set = PlantedSet::new(&trace(), &spec).unwrap();
        assert_eq!(set.links.len(), 6);
        for link in &set.links {
            let [leader, follower] = [link.leader, link.follower].map(|s| from_usual_day(&set.loads[s.0 as usize - 1]));
            let (early, late) = (&leader[..leader.len() - 5], &follower[5..]);
            let product: f64 = early.iter().zip(late).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let r = product / early.len() as f64 / (variance(early) * variance(late)).sqrt();
            assert!(r > 0.8, "{link:?}: correlation {r}");
        }
    }

    #[test]
    fn sets_that_cannot_be_made_are_refused() {
        let refused = |spec: PlantedSpec| PlantedSet::new(&trace(), &spec).unwrap_err();
        let many = refused(PlantedSpec { innocents: 100, ..PlantedSpec::new(1) });
        assert!(many.to_string().contains("ask for fewer shards"), "{many}");
        assert_eq!(refused(PlantedSpec { leaders: 0, ..PlantedSpec::new(1) }), PlantedError::Impossible);
        assert_eq!(refused(PlantedSpec { lags: 0..=3, ..PlantedSpec::new(1) }), PlantedError::Impossible);
        assert_eq!(refused(PlantedSpec { shares: 0.5..=1.0, ..PlantedSpec::new(1) }), PlantedError::Impossible);
    }
}
