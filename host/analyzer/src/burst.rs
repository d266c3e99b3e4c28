//! Bursts: load that no forecast feared, recognised within two ticks, and carried on for as long as bursts last here.
//!
//! A tick is *over* where its load passes the forecast's upper quantile by a margin: some times the usual spread, a share of what was feared,
//! and a share of what a shard does on average, whichever is most. Two ticks over running are a burst; one is, where it is enormous. A burst ends
//! after some calm ticks. One that lasts too long is no burst but the new level: it ends, too, and the shard is judged again once its load has
//! come down or forecasts have come up. Ticks without a load count for nothing.
//!
//! What is to be expected of a burst, no forecast says. Lives of bursts are taken as exponential, their mean that of those seen on this cluster
//! (total time over number of ends: the maximum-likelihood estimate, which counts bursts cut short as well; Epstein and Sobel 1953), with a
//! stated one to begin with. Then a quantile of the load is the burst's level for as long as its chance to last is above one minus the quantile.

use crate::TickLoad;
use isobar_model::{InstantMs, ShardId};
use std::collections::BTreeMap;

/// Least spread, as a share of what is feared: a forecaster without any spread is not as sure as it says.
const LEAST_SPREAD_SHARE: f32 = 0.1;
/// Weight of one tick in the usual difference of neighbouring ticks: five minutes of 10-second ticks.
const NOISE_WEIGHT: f32 = 1.0 / 30.0;
/// A difference counts for at most so many times the usual one: noise is not learnt from what stands out of it.
const MOST_NOISE_TIMES: f32 = 4.0;
/// A tick is calm below this part of the way from what was feared to where a burst begins.
const CALM_PART: f32 = 0.5;
/// Weight of the newest tick in a burst's level.
const LEVEL_WEIGHT: f32 = 0.5;
/// Bursts that the stated usual life counts for.
const LIFE_PRIOR_BURSTS: f64 = 4.0;
/// What a burst's life keeps of its weight when another one ends: some twenty bursts make up what is usual.
const LIFE_FADE: f64 = 0.95;

/// When a shard is in a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstSpec {
    /// Over is a load above what was feared by so many usual spreads, at least.
    pub margin_spreads: f32,
    /// And by this share of what was feared.
    pub least_share: f32,
    /// And by this share of the mean load of all shards: an idle shard's noise is no burst.
    pub least_share_of_mean: f32,
    /// One tick is enough where the load is above what was feared by so many times the margin.
    pub enormous_margins: f32,
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
    /// Two spreads above the feared: at the 97 % quantile of a normal forecast some six standard deviations. After two hours every day's rhythm
    /// has moved on, and what still lasts is better learnt than hidden.
    fn default() -> Self {
        Self {
            margin_spreads: 2.0,
            least_share: 0.5,
            least_share_of_mean: 0.1,
            enormous_margins: 4.0,
            warm_ticks: 6,
            calm_ticks: 6,
            longest_ms: 2 * 3_600_000,
            usual_ms: 30 * 60_000,
        }
    }
}

/// What was forecast of a shard's present step, in load units per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feared {
    /// The median.
    pub median: f32,
    /// The uppermost quantile.
    pub upper: f32,
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
    },
    On {
        burst: Burst,
        calm_ticks: u32,
    },
    /// Over, as a burst was that lasted too long.
    Accepted,
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

    /// Takes in one tick of `span_ms` that ended at `now`; `feared` is what was forecast of it, none where nothing was. A clock that goes back adds
    /// nothing.
    pub fn record(
        &mut self,
        now: InstantMs,
        span_ms: u64,
        loads: &[TickLoad],
        feared: impl Fn(ShardId) -> Option<Feared>,
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
                let feared = feared(tick.shard).filter(|f| f.median.is_finite() && f.upper.is_finite());
                let began = watch.record(&self.spec, (from, now), tick.load.max(0.0), feared, least_excess);
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
            State::Calm | State::Suspect { .. } | State::Accepted => None,
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
            let State::On { burst, calm_ticks } = watch.state else { continue };
            let is_calm = calm_ticks >= spec.calm_ticks.max(1);
            let is_long = now.since_ms(burst.since) >= spec.longest_ms;
            if is_calm || is_long {
                let lasted_ms = watch.span.map_or(0, |(since, until)| until.since_ms(since));
                let lasting = !is_calm && calm_ticks == 0;
                watch.state = if is_calm { State::Calm } else { State::Accepted };
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
        feared: Option<Feared>,
        least_excess: f32,
    ) -> Option<Burst> {
        let difference = (load - self.last).abs();
        self.last = load;
        let Feared { median, upper } = feared?;
        let least_spread = LEAST_SPREAD_SHARE * upper;
        let spread = (upper - median).max(self.noise).max(least_spread);
        let margin = (spec.margin_spreads * spread).max(spec.least_share * upper).max(least_excess);
        let is_over = load > upper + margin;
        let is_enormous = load > upper + spec.enormous_margins * margin;
        let is_calm = load <= upper + CALM_PART * margin;
        let is_judged = self.ticks >= spec.warm_ticks;
        self.ticks = self.ticks.saturating_add(1);
        if !is_over && difference.is_finite() {
            let counted = difference.min(MOST_NOISE_TIMES * self.noise.max(least_spread));
            // The plain mean of the first ones.
            let weight = NOISE_WEIGHT.max(1.0 / self.ticks as f32);
            self.noise += weight * (counted - self.noise);
        }
        if !is_judged {
            return None;
        }
        let (next, began) = match self.state {
            State::Calm | State::Suspect { .. } if !is_over => (State::Calm, None),
            State::Calm if !is_enormous => (State::Suspect { since: from, load }, None),
            State::Calm => self.begin(from, now, load, upper),
            State::Suspect { since, load: first } => {
                self.begin(since, now, first + LEVEL_WEIGHT * (load - first), upper)
            }
            State::On { burst, calm_ticks } => {
                if !is_calm {
                    self.span = Some((burst.since, now));
                }
                let level = burst.level + LEVEL_WEIGHT * (load - burst.level);
                let burst = Burst { level, excess: (level - upper).max(0.0), ..burst };
                (State::On { burst, calm_ticks: if is_calm { calm_ticks + 1 } else { 0 } }, None)
            }
            State::Accepted => (if is_over { State::Accepted } else { State::Calm }, None),
        };
        self.state = next;
        began
    }

    fn begin(&mut self, since: InstantMs, now: InstantMs, level: f32, upper: f32) -> (State, Option<Burst>) {
        let burst = Burst { since, level, excess: (level - upper).max(0.0) };
        self.span = Some((since, now));
        (State::On { burst, calm_ticks: 0 }, Some(burst))
    }
}

#[cfg(test)]
mod tests;
