//! The search, piece by piece: read each shard, screen all pairs, judge what stood out.

use super::clusters::{Profile, clusters};
use super::correlation::threshold;
use super::groups::groups;
use super::lead_lag::{Judge, MAX_LAG_STEPS, without_echoes};
use super::residual::Residual;
use super::sketch::Sketch;
use super::{DriverColumn, InsightsSpec};
use crate::History;
use isobar_model::{Driver, Insights, Link, ShardId};

/// Most steps looked at: two weeks of 5-minute steps are 4 032.
const MAX_WINDOW_STEPS: u64 = 4_096;
/// Steps looked at where the days asked for hold fewer: correlations of fewer are too vague to tell leaders by.
const MIN_WINDOW_STEPS: u64 = 2_016;
/// A history shorter than this holds no finding: a day and a half of 5-minute steps.
const MIN_KNOWN_STEPS: u64 = 432;
/// The time of day is taken off from so many days on.
const MIN_DAYS: usize = 3;
/// Steps, spread over the window, by which the busiest shards are chosen.
const RANKING_STEPS: u64 = 96;
/// Chance that a search finds even one link, group or driver that is none, were its model of chance exact.
const FALSE_FIND_CHANCE: f64 = 0.01;
/// Pairs are judged whose sketches agree by so many standard errors at a lag: a quarter of what a link must show, or less.
const SCREEN_Z: f32 = 3.5;
/// Most leaders judged for one follower, and most partners for one shard, those that agree best: a bound on the time of the last stage.
const MAX_CANDIDATES: usize = 16;
const MAX_PARTNERS: usize = 64;
/// Units of work, one being a pair screened at all lags (some 2 µs): to read a shard, to judge a leader, a partner.
const READ_UNITS: u64 = 256;
const LEADER_UNITS: u64 = 48;
const PARTNER_UNITS: u64 = 16;

const DAY_MS: u64 = 86_400_000;

/// The best of those that came, at most so many.
#[derive(Clone, Debug, Default)]
struct Best(Vec<(f32, usize)>);

impl Best {
    fn offer(&mut self, score: f32, number: usize, most: usize) {
        if self.0.len() == most && self.0.last().is_some_and(|last| last.0 >= score) {
            return;
        }
        let at = self.0.partition_point(|other| other.0 >= score);
        self.0.insert(at, (score, number));
        self.0.truncate(most);
    }

    fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|&(_, number)| number)
    }
}

/// One shard, read.
#[derive(Clone, Debug)]
struct Member {
    residual: Residual,
    sketch: Sketch,
    profile: Profile,
    leaders: Best,
    /// With a higher number.
    partners: Best,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The next shard to read.
    Read(usize),
    /// The next pair to screen, and the leader's sketch at every lag from 0 on.
    Screen { leader: usize, follower: usize, delayed: Vec<Sketch> },
    /// The next follower to judge.
    Judge(usize),
}

/// A search under way. It looks at a window that is fixed when it begins; steps that the history loses meanwhile count as missing.
#[derive(Clone, Debug)]
pub struct Search {
    first_step: u64,
    steps: usize,
    day: Option<usize>,
    /// To read, the busiest first.
    waiting: Vec<ShardId>,
    columns: Vec<DriverColumn>,
    shards: Vec<ShardId>,
    members: Vec<Member>,
    stage: Stage,
    pairs: Vec<(usize, usize, f32)>,
    found: Insights,
}

impl Search {
    /// Chooses window and shards. `drivers` are optional; those of shards that are not compared are not looked at.
    #[must_use]
    pub fn begin(history: &History, drivers: Vec<DriverColumn>, spec: InsightsSpec) -> Self {
        let step_ms = u64::from(history.spec().step_ms);
        let wanted = (u64::from(spec.days) * DAY_MS / step_ms).clamp(MIN_WINDOW_STEPS, MAX_WINDOW_STEPS);
        let end = history.end();
        let first_step = end.saturating_sub(wanted);
        let known = |shard: ShardId| {
            let every = ((end - first_step) / RANKING_STEPS).max(1) as usize;
            let steps = (first_step..end).step_by(every);
            let values: Vec<f32> = steps.map(|step| history.value(shard, step)).collect();
            let known = values.iter().filter(|v| v.is_finite());
            let (count, sum) = (known.clone().count(), known.sum::<f32>());
            (count * 2 >= values.len() && count > 0).then(|| (shard, sum / count as f32))
        };
        let all = history.shards().count();
        let mut busiest: Vec<(ShardId, f32)> = history.shards().filter_map(known).collect();
        busiest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        busiest.truncate(spec.max_shards);
        // What is known of all of them together bounds the window from below: a young history is not padded with gaps.
        let waiting: Vec<ShardId> = busiest.into_iter().map(|(shard, _)| shard).collect();
        let young = |shard: &ShardId| (first_step..end).find(|&step| history.value(*shard, step).is_finite());
        let first_step = waiting.iter().filter_map(young).min().unwrap_or(end);
        let steps = (end - first_step) as usize;
        let waiting = if (steps as u64) < MIN_KNOWN_STEPS { Vec::new() } else { waiting };
        let day = (DAY_MS / step_ms) as usize;
        let found = Insights {
            from: history.start_of(first_step),
            until: history.start_of(end),
            step_ms: history.spec().step_ms,
            compared: waiting.len(),
            omitted: all - waiting.len(),
            ..Insights::default()
        };
        Self {
            first_step,
            steps,
            day: (DAY_MS.is_multiple_of(step_ms) && day * MIN_DAYS <= steps).then_some(day),
            shards: Vec::with_capacity(waiting.len()),
            members: Vec::with_capacity(waiting.len()),
            columns: drivers,
            waiting,
            stage: Stage::Read(0),
            pairs: Vec::new(),
            found,
        }
    }

    /// Does up to `units` of work, at least one piece; gives what was found once all is done. One unit is some 2 µs; a piece is at most
    /// some 2 000 of them.
    pub fn work(&mut self, history: &History, units: u64) -> Option<Insights> {
        let mut left = units;
        loop {
            let spent = match &mut self.stage {
                Stage::Read(next) => {
                    let at = *next;
                    if at < self.waiting.len() {
                        *next += 1;
                        self.read(history, at)
                    } else {
                        self.stage = Stage::Screen { leader: 0, follower: 0, delayed: Vec::new() };
                        0
                    }
                }
                Stage::Screen { leader, .. } if *leader >= self.members.len() => {
                    self.stage = Stage::Judge(0);
                    0
                }
                Stage::Screen { .. } => self.screen(left.max(1)),
                Stage::Judge(next) => {
                    let at = *next;
                    if at >= self.members.len() {
                        return Some(self.finish());
                    }
                    *next += 1;
                    self.judge(at)
                }
            };
            left = left.saturating_sub(spent);
            if left == 0 {
                return None;
            }
        }
    }

    fn judging(&self, trials: f64) -> Judge {
        Judge { steps: self.steps, threshold: threshold(trials, FALSE_FIND_CHANCE) }
    }

    fn read(&mut self, history: &History, at: usize) -> u64 {
        let shard = self.waiting[at];
        let end = self.first_step + self.steps as u64;
        let values: Vec<f32> = (self.first_step..end).map(|step| history.value(shard, step)).collect();
        let residual = Residual::of(&values, self.day);
        let (start, step_ms) = (history.start_of(self.first_step).0, u64::from(history.spec().step_ms));
        let profile = Profile::of(&values, start, step_ms);

        let judge = self.judging(self.columns.len() as f64);
        for column in self.columns.iter().filter(|column| column.shard == shard) {
            let value = |step: u64| {
                let at = step.checked_sub(column.first_step).and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| column.values.get(at)).copied().unwrap_or(f32::NAN)
            };
            let metric: Vec<f32> = (self.first_step..end).map(value).collect();
            // The mix is kept for fewer days than load is: a finding must hold in both halves of the time in which both are known.
            let Some(from) = metric.iter().position(|value| value.is_finite()) else { continue };
            let known = self.steps - from;
            if (known as u64) < MIN_KNOWN_STEPS {
                continue;
            }
            let judge = Judge { steps: known, ..judge };
            let surprises = Residual::of(&metric[from..], self.day.filter(|day| day * MIN_DAYS <= known));
            let of_load = &residual.values[from..];
            if let Some(strength) = judge.goes_with(&surprises.values, of_load) {
                let spread = |values: &[f32]| super::correlation::dot(values, values).sqrt();
                let relative = spread(of_load) / spread(&surprises.values);
                let slope = strength * relative * residual.scale / surprises.scale;
                let by_hour = profile.alike(&Profile::of(&metric, start, step_ms));
                self.found.drivers.push(Driver { shard, kind: column.kind, strength, slope, by_hour });
            }
        }

        let sketch = Sketch::of(&residual.values);
        self.shards.push(shard);
        self.members.push(Member { residual, sketch, profile, leaders: Best::default(), partners: Best::default() });
        READ_UNITS
    }

    /// Screens the next `units` pairs, or those left with the same leader.
    fn screen(&mut self, units: u64) -> u64 {
        let Stage::Screen { leader, follower, delayed } = &mut self.stage else { return 0 };
        if delayed.is_empty() {
            *delayed = (0..=MAX_LAG_STEPS).map(|lag| self.members[*leader].sketch.delayed(lag)).collect();
        }
        let from = *follower;
        let to = self.members.len().min(from.saturating_add(usize::try_from(units).unwrap_or(usize::MAX)));
        for other in (from..to).filter(|other| other != leader) {
            let sketch = &self.members[other].sketch;
            let best = delayed[1..].iter().map(|early| early.agreement(sketch).abs()).fold(0.0, f32::max);
            if best >= SCREEN_Z {
                self.members[other].leaders.offer(best, *leader, MAX_CANDIDATES);
            }
            if other > *leader {
                let now = delayed[0].agreement(&self.members[other].sketch);
                if now >= SCREEN_Z {
                    self.members[*leader].partners.offer(now, other, MAX_PARTNERS);
                }
            }
        }
        *follower = to;
        if to == self.members.len() {
            (*leader, *follower) = (*leader + 1, 0);
            delayed.clear();
        }
        (to - from) as u64
    }

    fn judge(&mut self, follower: usize) -> u64 {
        let member = &self.members[follower];
        let series = |number: usize| (number, &self.members[number].residual.values[..]);
        let others = self.members.len() as f64;
        let lags = (2 * MAX_LAG_STEPS + 1) as f64;
        let judge = self.judging(others * (others - 1.0) / 2.0 * lags);
        let leads = judge.leaders(&member.residual.values, member.leaders.numbers().map(series));
        self.found.links.extend(leads.into_iter().map(|lead| Link {
            follower: self.shards[follower],
            leader: self.shards[lead.leader],
            lag_steps: lead.lag as u32,
            strength: lead.strength,
            gain: lead.gain,
        }));
        let together = member.partners.numbers().filter_map(|other| {
            let strength = judge.together(&member.residual.values, &self.members[other].residual.values)?;
            Some((follower, other, strength))
        });
        self.pairs.extend(together);
        1 + member.leaders.0.len() as u64 * LEADER_UNITS + member.partners.0.len() as u64 * PARTNER_UNITS
    }

    fn finish(&mut self) -> Insights {
        let mut found = std::mem::take(&mut self.found);
        found.groups = groups(&self.shards, &self.pairs);
        let profiles: Vec<Profile> = self.members.iter().map(|member| member.profile.clone()).collect();
        (found.clusters, found.unclustered) = clusters(&self.shards, &profiles);
        found.links = without_echoes(found.links);
        found
            .links
            .sort_by(|a, b| a.follower.cmp(&b.follower).then(b.gain.total_cmp(&a.gain)).then(a.leader.cmp(&b.leader)));
        found.drivers.sort_by_key(|driver| (driver.shard, driver.kind));
        found
    }
}
