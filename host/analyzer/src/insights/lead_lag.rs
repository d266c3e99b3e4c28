//! Which series lead which: the cross-correlation of their innovations, at each lag, must say so over all of the window and in each half of it.
//!
//! Where several series lead one (a driver and others that it drives, a leader and its copies), the strongest is taken first, and each next one only for
//! what the ones before leave unexplained (forward selection by partial correlation). So a link goes to the direct leader wherever that is
//! among the shards.

use super::correlation::{Correlation, at_lag, dot, peak};
use isobar_model::{Link, ShardId};
use std::ops::Range;

/// Longest lead looked for: two hours of 5-minute steps. What leads by more is better told by the time of day.
pub const MAX_LAG_STEPS: usize = 24;
/// Most leaders of one shard: forecasters take few covariates, and each next explains less.
pub const MAX_LINKS_PER_FOLLOWER: usize = 4;

/// A link explains at least this share of what the follower's own past does not: less helps no forecast.
const MIN_GAIN: f32 = 0.015;
/// The leading correlation is at least so many times any of the same pair at a lag of 0 or the other way round. Two shards driven by a third
/// at the same time lead each other equally, that is not at all.
const MIN_DOMINANCE: f32 = 1.2;
/// Two shards move together from this correlation on: a tenth of the variance shared.
const MIN_TOGETHER: f32 = 0.316;
/// Standard errors that each half of the window must show by itself. Over the whole window the bound is that of the largest of all pairs and lags
/// by chance; halves are asked so that one coincidence of two bursts, which lies in one of them, makes no link.
const HALF_Z: f32 = 2.0;
/// Parts of the window, days where it is two weeks, and how many of them must show the sign of the whole: a link that lives on two weekends, when
/// whole fleets rest, is none. By chance so many agree once in 35 times.
const PARTS: usize = 14;
const MIN_PARTS: usize = 11;
/// Lags after the leading one that count as explained by the same leader, and before: the two filters smear an echo over a few steps.
const ECHO_AFTER: usize = 3;
const ECHO_BEFORE: usize = 1;

/// A leader found, by the series' numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lead {
    pub(super) leader: usize,
    pub(super) lag: usize,
    pub(super) strength: f32,
    pub(super) gain: f32,
}

/// Drops links that a common leader tells: where one leads both ends, by lags that differ by the link's own, the weaker of the two claims on the follower is an
/// echo. Both survive the selection when what the leader does is cut off or smeared on its way.
pub(super) fn without_echoes(links: Vec<Link>) -> Vec<Link> {
    let of = |follower: ShardId| links.iter().filter(move |link| link.follower == follower);
    let echo = |link: &Link| {
        // As the sibling's claim, or as the claim of the leader's own leader.
        let weaker_than = |other: &Link| (link.gain, other.leader) < (other.gain, link.leader);
        let chained = |near: &Link, far: &Link| {
            let between = of(near.leader).find(|between| between.leader == far.leader);
            between.is_some_and(|between| (between.lag_steps + near.lag_steps).abs_diff(far.lag_steps) <= 1)
        };
        of(link.follower)
            .filter(|other| other.leader != link.leader)
            .any(|other| weaker_than(other) && (chained(link, other) || chained(other, link)))
    };
    links.iter().filter(|link| !echo(link)).copied().collect()
}

/// Judges pairs of series of equal length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    pub(super) steps: usize,
    /// Standard errors over the whole window.
    pub(super) threshold: f32,
}

impl Judge {
    /// The window in so many parts.
    fn parts(&self, count: usize) -> impl Iterator<Item = Range<usize>> {
        let steps = self.steps;
        (0..count).map(move |part| part * steps / count..(part + 1) * steps / count)
    }

    /// Whether a correlation holds in each half and in most parts, at the same lag.
    fn holds(&self, early: &[f32], late: &[f32], lag: i32, whole: Correlation) -> bool {
        let same_sign = |part: &Range<usize>| at_lag(early, late, lag, part).r * whole.r > 0.0;
        let clear = |half: &Range<usize>| same_sign(half) && at_lag(early, late, lag, half).z.abs() >= HALF_Z;
        self.parts(2).all(|half| clear(&half)) && self.parts(PARTS).filter(same_sign).count() >= MIN_PARTS
    }

    /// The lag at which `leader` leads `follower`, if it does.
    fn leads(&self, leader: &[f32], follower: &[f32]) -> Option<(usize, Correlation)> {
        let most = MAX_LAG_STEPS as i32;
        // One lag further than is asked, so that the flank of a later peak is not taken for one.
        let (lag, whole) = peak(leader, follower, -most..most + 2, &(0..self.steps));
        if !(1..=most).contains(&lag) || whole.z.abs() < self.threshold || whole.r * whole.r < MIN_GAIN {
            return None;
        }
        let (_, backwards) = peak(leader, follower, -most..1, &(0..self.steps));
        let dominates = whole.r.abs() >= MIN_DOMINANCE * backwards.r.abs();
        (dominates && self.holds(leader, follower, lag, whole)).then_some((lag as usize, whole))
    }

    /// The correlation of two series that move together, if they do.
    pub(super) fn together(&self, one: &[f32], other: &[f32]) -> Option<f32> {
        let whole = at_lag(one, other, 0, &(0..self.steps));
        let clear = whole.z.abs() >= self.threshold && whole.r >= MIN_TOGETHER && self.holds(one, other, 0, whole);
        let most = MAX_LAG_STEPS as i32;
        (clear && peak(one, other, -most..most + 1, &(0..self.steps)).0 == 0).then_some(whole.r)
    }

    /// The correlation at lag 0 of a metric with load, if it is clear.
    pub(super) fn goes_with(&self, metric: &[f32], load: &[f32]) -> Option<f32> {
        let whole = at_lag(metric, load, 0, &(0..self.steps));
        let clear = whole.z.abs() >= self.threshold && whole.r * whole.r >= MIN_GAIN;
        (clear && self.holds(metric, load, 0, whole)).then_some(whole.r)
    }

    /// The leaders of `follower` among `candidates` (numbers and series), the strongest first.
    pub(super) fn leaders<'a>(
        &self,
        follower: &[f32],
        candidates: impl IntoIterator<Item = (usize, &'a [f32])>,
    ) -> Vec<Lead> {
        let found: Vec<(usize, &[f32], usize, Correlation)> = candidates
            .into_iter()
            .filter_map(|(number, leader)| {
                self.leads(leader, follower).map(|(lag, whole)| (number, leader, lag, whole))
            })
            .collect();
        let variance = dot(follower, follower);
        let none = Explained { basis: Vec::new(), rest: follower.to_vec() };
        let alone = |series: &[f32], lag| variance - dot_self(&none.with(series, lag).rest);
        let mut ordered: Vec<(f32, _)> = found.into_iter().map(|lead| (alone(lead.1, lead.2), lead)).collect();
        ordered.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.0.cmp(&b.1.0)));

        let mut unexplained = none;
        let mut leads = Vec::new();
        for (_, (leader, series, lag, whole)) in ordered {
            if leads.len() == MAX_LINKS_PER_FOLLOWER {
                break;
            }
            let own = unexplained.beyond(delayed(series, lag));
            let part = at_lag(&own, &unexplained.rest, 0, &(0..self.steps));
            if part.z.abs() < self.threshold || !self.holds(&own, &unexplained.rest, 0, part) {
                continue;
            }
            let with = unexplained.with(series, lag);
            let gain = (dot_self(&unexplained.rest) - dot_self(&with.rest)) / variance;
            if gain >= MIN_GAIN {
                leads.push(Lead { leader, lag, strength: whole.r, gain });
                unexplained = with;
            }
        }
        leads
    }
}

fn dot_self(series: &[f32]) -> f32 {
    dot(series, series)
}

fn delayed(series: &[f32], lag: usize) -> Vec<f32> {
    let lag = lag.min(series.len());
    let mut late = vec![0.0; series.len()];
    late[lag..].copy_from_slice(&series[..series.len() - lag]);
    late
}

/// A series less what others explain of it by least squares (Gram and Schmidt).
#[derive(Clone)]
struct Explained {
    /// Orthonormal.
    basis: Vec<Vec<f32>>,
    rest: Vec<f32>,
}

impl Explained {
    /// What a series has beyond those that explain already.
    fn beyond(&self, mut series: Vec<f32>) -> Vec<f32> {
        self.basis.iter().for_each(|unit| take_off(&mut series, unit));
        series
    }

    /// What is left once a leader at its lag, and its echo around that, explain too.
    fn with(&self, series: &[f32], lag: usize) -> Self {
        let mut with = self.clone();
        for lag in lag.saturating_sub(ECHO_BEFORE).max(1)..=lag + ECHO_AFTER {
            with.explain(delayed(series, lag));
        }
        with
    }

    fn explain(&mut self, series: Vec<f32>) {
        let size_before = dot(&series, &series);
        let mut unit = self.beyond(series);
        let size = dot(&unit, &unit);
        // Rounding is all that is left of a series that others make up.
        if size <= size_before * 1e-4 {
            return;
        }
        let by = 1.0 / size.sqrt();
        unit.iter_mut().for_each(|v| *v *= by);
        take_off(&mut self.rest, &unit);
        self.basis.push(unit);
    }
}

fn take_off(series: &mut [f32], unit: &[f32]) {
    let part = dot(series, unit);
    series.iter_mut().zip(unit).for_each(|(v, u)| *v -= part * u);
}
