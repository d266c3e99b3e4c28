//! Bursts: load that no forecast feared, recognised within two ticks, and carried on for as long as bursts last here.
//!
//! A tick is *over* where its load passes all that could be known of it, each by a margin:
//! - what forecasts feared, by a share of it, some of the shard's usual noise, and a share of what a shard does on average;
//! - what the shard did in the last ten minutes, some times over: a load that goes on is no burst, however wrong the forecast;
//! - what it does at about this time on other days ([`Usual`]): a job that starts some minutes early is no burst either.
//!
//! Two ticks over running are a burst; one is, where it is enormous. A burst ends after some calm ticks. One that lasts too long is no burst but
//! the new level, and what is measured from then on is compared with it. Ticks without a load count for nothing. Load that rises by less than that
//! factor within ten minutes is not recognised; nor need it be: forecasts are made anew each step, and see it rise. Nor is what stays within
//! the uppermost quantile, or a habit: it was foreseen. How high the shard goes at other times of day does not count: a night's burst is one though
//! it stays below the noon.
//!
//! What is to be expected of a burst, no forecast says. Lives of bursts are taken as exponential, their mean that of those seen on this cluster
//! (total time over number of ends: the maximum-likelihood estimate, which counts bursts cut short as well; Epstein and Sobel 1953), with a
//! stated one to begin with. Then a quantile of the load is the burst's level for as long as its chance to last is above one minus the quantile.

mod usual;

pub use usual::Usual;

use crate::TickLoad;
use isobar_model::{InstantMs, ShardId};
use std::collections::BTreeMap;

/// Least noise, as a share of what was feared: a shard that was never seen to vary is not as steady as it seems.
const LEAST_NOISE_SHARE: f32 = 0.1;
/// Weight of one tick in the usual difference of neighbouring ticks: five minutes of 10-second ticks.
const NOISE_WEIGHT: f32 = 1.0 / 30.0;
/// A difference counts for at most so many times the usual one: noise is not learnt from what stands out of it.
const MOST_NOISE_TIMES: f32 = 4.0;
/// A tick is calm below this part of where a burst begins.
const CALM_PART: f32 = 0.75;
/// Weight of the newest tick in a burst's level.
const LEVEL_WEIGHT: f32 = 0.5;
/// Bursts that the stated usual life counts for.
const LIFE_PRIOR_BURSTS: f64 = 4.0;
/// What a burst's life keeps of its weight when another one ends: some twenty bursts make up what is usual.
const LIFE_FADE: f64 = 0.95;

/// When a shard is in a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstSpec {
    /// Over is a load above what was feared by this share of it, at least.
    pub least_share: f32,
    /// And by so many times the usual difference of neighbouring ticks.
    pub least_noises: f32,
    /// And by this share of the mean load of all shards: an idle shard's noise is no burst.
    pub least_share_of_mean: f32,
    /// And so many times what the shard did just now.
    pub least_rise: f32,
    /// One tick is enough where the load is so many times what makes a tick over.
    pub enormous_times: f32,
    /// Ticks that a shard's noise is learnt from before it is judged.
    pub warm_ticks: u32,
    /// Calm ticks that end a burst.
    pub calm_ticks: u32,
    /// What lasts longer is no burst.
    pub longest_ms: u64,
    /// Mean life of bursts, before any was seen to end.
    pub usual_ms: u64,
}

impl Default for BurstSpec {
    /// `least_share`, `least_rise` and what [`Usual`] counts as a habit were chosen so that some 90 % of planted bursts of three to twenty times the
    /// load are recognised with few others beside them: on days 7 to 12 of the trace `worldwide`, and on BitBrains machines that are not in
    /// it. After two hours every day's rhythm has moved on, and what still lasts is better learnt than hidden.
    fn default() -> Self {
        Self {
            least_share: 0.5,
            least_noises: 2.0,
            least_share_of_mean: 0.1,
            least_rise: 2.4,
            enormous_times: 3.0,
            warm_ticks: 6,
            calm_ticks: 6,
            longest_ms: 2 * 3_600_000,
            usual_ms: 30 * 60_000,
        }
    }
}

/// A burst that is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Start of its first tick.
    pub since: InstantMs,
    /// Load units per second, over the last ticks.
    pub level: f32,
    /// What of it was not feared.
    pub excess: f32,
}

/// What became of a burst in one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BurstChange {
    /// It was recognised.
    Began {
        /// Which shard's.
        shard: ShardId,
        /// As it stands.
        burst: Burst,
    },
    /// It is over.
    Ended {
        /// Which shard's.
        shard: ShardId,
        /// From its first tick to its last.
        lasted_ms: u64,
        /// It goes on, and is taken for the shard's new level.
        lasting: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Calm,
    /// One tick was over.
    Suspect {
        since: InstantMs,
        load: f32,
        usual: Usual,
    },
    /// `usual`: before it began.
    On {
        burst: Burst,
        calm_ticks: u32,
        usual: Usual,
    },
}

/// One shard's, some 100 bytes.
#[derive(Clone, Copy, Debug)]
struct Watch {
    state: State,
    seen: InstantMs,
    last: f32,
    noise: f32,
    ticks: u32,
    /// Start of the first and end of the last tick over, of the newest burst.
    span: Option<(InstantMs, InstantMs)>,
}

/// All shards' bursts.
#[derive(Clone, Debug)]
pub struct Bursts {
    spec: BurstSpec,
    shards: BTreeMap<ShardId, Watch>,
    now: InstantMs,
    /// Faded total of lives, and the number of ends.
    lives_ms: f64,
    ends: f64,
}

impl Bursts {
    /// None on, nothing learnt.
    #[must_use]
    pub fn new(spec: BurstSpec) -> Self {
        Self { spec, shards: BTreeMap::new(), now: InstantMs(0), lives_ms: 0.0, ends: 0.0 }
    }

    /// Takes in one tick of `span_ms` that ended at `now`; `feared` is the uppermost quantile forecast of it, none where nothing was, and `usual` is
    /// asked of those above it. A clock that goes back adds nothing.
    pub fn record(
        &mut self,
        now: InstantMs,
        span_ms: u64,
        loads: &[TickLoad],
        feared: impl Fn(ShardId) -> Option<f32>,
        usual: impl Fn(ShardId) -> Usual,
    ) -> Vec<BurstChange> {
        if now <= self.now {
            return Vec::new();
        }
        self.now = now;
        let known = loads.iter().filter(|tick| tick.load.is_finite());
        let (sum, count) = known.fold((0.0f64, 0u32), |(sum, n), tick| (sum + f64::from(tick.load.max(0.0)), n + 1));
        let least_excess = self.spec.least_share_of_mean * (sum / f64::from(count.max(1))) as f32;
        let from = InstantMs(now.0.saturating_sub(span_ms));
        let mut changes = Vec::new();
        for tick in loads {
            let watch = self.shards.entry(tick.shard).or_insert_with(|| Watch::new(now));
            watch.seen = now;
            if tick.load.is_finite() {
                let feared = feared(tick.shard).filter(|upper| upper.is_finite());
                let usual = || usual(tick.shard);
                let began = watch.record(&self.spec, (from, now), tick.load.max(0.0), feared, least_excess, usual);
                changes.extend(began.map(|burst| BurstChange::Began { shard: tick.shard, burst }));
            }
        }
        self.end_those_over(&mut changes);
        changes
    }

    /// The shard's burst, while it is on.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> Option<Burst> {
        self.shards.get(&shard).and_then(|watch| match watch.state {
            State::On { burst, .. } => Some(burst),
            State::Calm | State::Suspect { .. } => None,
        })
    }

    /// Whether the newest burst, or what is suspected to become one, was on for a part of this time.
    #[must_use]
    pub fn overlaps(&self, shard: ShardId, from: InstantMs, to: InstantMs) -> bool {
        self.shards.get(&shard).is_some_and(|watch| {
            let suspected = matches!(watch.state, State::Suspect { since, .. } if since < to && watch.seen > from);
            suspected || watch.span.is_some_and(|(since, until)| since < to && until > from)
        })
    }

    /// Mean life of bursts here.
    #[must_use]
    pub fn usual_ms(&self) -> f64 {
        (self.spec.usual_ms as f64 * LIFE_PRIOR_BURSTS + self.lives_ms) / (LIFE_PRIOR_BURSTS + self.ends)
    }

    /// Raises a shard's forecast to what its burst will be if it lasts as bursts do; `paths[q * steps + step]`, the first step beginning at
    /// `start`. Quantiles stay in order. Without a burst nothing changes.
    pub fn raise(&self, shard: ShardId, start: InstantMs, step_ms: u32, quantiles: &[f32], paths: &mut [f32]) {
        let Some(burst) = self.of(shard) else { return };
        let steps = paths.len() / quantiles.len().max(1);
        let usual_ms = self.usual_ms();
        for (path, &quantile) in paths.chunks_exact_mut(steps.max(1)).zip(quantiles) {
            let lasts_ms = -usual_ms * (1.0 - f64::from(quantile).clamp(0.0, 1.0)).ln();
            for (step, value) in path.iter_mut().enumerate() {
                let begins = InstantMs(start.0.saturating_add(step as u64 * u64::from(step_ms)));
                if begins.since_ms(self.now) as f64 <= lasts_ms {
                    *value = value.max(burst.level);
                }
            }
        }
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        for shard in shards {
            self.shards.remove(shard);
        }
    }

    /// Ends bursts that lasted too long, or that nothing is heard of any more; drops shards not seen for as long.
    fn end_those_over(&mut self, changes: &mut Vec<BurstChange>) {
        let (now, spec) = (self.now, self.spec);
        for (&shard, watch) in &mut self.shards {
            let State::On { burst, calm_ticks, .. } = watch.state else { continue };
            let is_calm = calm_ticks >= spec.calm_ticks.max(1);
            let is_long = now.since_ms(burst.since) >= spec.longest_ms;
            if is_calm || is_long {
                let lasted_ms = watch.span.map_or(0, |(since, until)| until.since_ms(since));
                let lasting = !is_calm && calm_ticks == 0;
                watch.state = State::Calm;
                self.lives_ms = self.lives_ms * LIFE_FADE + lasted_ms as f64;
                self.ends = self.ends * LIFE_FADE + if lasting { 0.0 } else { 1.0 };
                changes.push(BurstChange::Ended { shard, lasted_ms, lasting });
            }
        }
        self.shards.retain(|_, watch| now.since_ms(watch.seen) < spec.longest_ms);
    }
}

impl Watch {
    fn new(now: InstantMs) -> Self {
        Self { state: State::Calm, seen: now, last: f32::NAN, noise: 0.0, ticks: 0, span: None }
    }

    /// Takes in a tick; gives the burst that began with it.
    fn record(
        &mut self,
        spec: &BurstSpec,
        (from, now): (InstantMs, InstantMs),
        load: f32,
        feared: Option<f32>,
        least_excess: f32,
        usual: impl FnOnce() -> Usual,
    ) -> Option<Burst> {
        let difference = (load - self.last).abs();
        self.last = load;
        let upper = feared?;
        let least_noise = LEAST_NOISE_SHARE * upper;
        let noise = self.noise.max(least_noise);
        let foreseen = upper + (spec.least_noises * noise).max(spec.least_share * upper).max(least_excess);
        let usual = match self.state {
            State::Calm if load <= foreseen => Usual::default(),
            State::Calm => usual(),
            State::Suspect { usual, .. } | State::On { usual, .. } => usual,
        };
        let line = foreseen.max(spec.least_rise * usual.recent).max(usual.habit);
        let is_over = load > line;
        let is_judged = self.ticks >= spec.warm_ticks;
        self.ticks = self.ticks.saturating_add(1);
        if !is_over && difference.is_finite() {
            let counted = difference.min(MOST_NOISE_TIMES * noise);
            // The plain mean of the first ones.
            let weight = NOISE_WEIGHT.max(1.0 / self.ticks as f32);
            self.noise += weight * (counted - self.noise);
        }
        if !is_judged {
            return None;
        }
        let begin = |since: InstantMs, level: f32| Burst { since, level, excess: (level - upper).max(0.0) };
        let mut began = None;
        self.state = match self.state {
            State::Calm | State::Suspect { .. } if !is_over => State::Calm,
            State::Calm if load <= spec.enormous_times * line => State::Suspect { since: from, load, usual },
            State::Calm => State::On { burst: *began.insert(begin(from, load)), calm_ticks: 0, usual },
            State::Suspect { since, load: first, .. } => {
                let level = first + LEVEL_WEIGHT * (load - first);
                State::On { burst: *began.insert(begin(since, level)), calm_ticks: 0, usual }
            }
            State::On { burst, calm_ticks, .. } => {
                let level = burst.level + LEVEL_WEIGHT * (load - burst.level);
                let is_calm = load <= CALM_PART * line;
                if !is_calm {
                    self.span = Some((burst.since, now));
                }
                State::On {
                    burst: begin(burst.since, level),
                    calm_ticks: if is_calm { calm_ticks + 1 } else { 0 },
                    usual,
                }
            }
        };
        if let Some(burst) = began {
            self.span = Some((burst.since, now));
        }
        began
    }
}

#[cfg(test)]
mod tests;
