//! Which series lead which: the cross-correlation of their innovations, at each lag, must say so over all of the window and in each half of it.
//!
//! Where several series lead one (a driver and others that it drives, a leader and its copies), the strongest is taken first, and each next one only for
//! what the ones before leave unexplained (forward selection by partial correlation). So a link goes to the direct leader wherever that is
//! among the shards.

use super::correlation::{Correlation, at_lag, dot, peak};
use std::ops::Range;

/// Longest lead looked for: two hours of 5-minute steps. What leads by more is better told by the time of day.
pub const MAX_LAG_STEPS: usize = 24;
/// Most leaders of one shard: forecasters take few covariates, and each next explains less.
pub const MAX_LINKS_PER_FOLLOWER: usize = 4;

/// A link explains at least this share of what the follower's own past does not: less helps no forecast.
const MIN_GAIN: f32 = 0.02;
/// The leading correlation is at least so many times any of the same pair at a lag of 0 or the other way round. Two shards driven by a third
/// at the same time lead each other equally, that is not at all.
const MIN_DOMINANCE: f32 = 1.2;
/// Two shards move together from this correlation on: a tenth of the variance shared.
const MIN_TOGETHER: f32 = 0.316;
/// Standard errors that each half of the window must show by itself. Over the whole window the bound is that of the largest of all pairs and lags
/// by chance; halves are asked so that one coincidence of two bursts, which lies in one of them, makes no link.
const HALF_Z: f32 = 3.0;
/// Lags after the leading one that count as explained by the same leader, and before: the two filters smear an echo over a few steps.
const ECHO_AFTER: usize = 2;
const ECHO_BEFORE: usize = 1;

/// A leader found, by the series' numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lead {
    pub(super) leader: usize,
    pub(super) lag: usize,
    pub(super) strength: f32,
    pub(super) gain: f32,
}

/// Judges pairs of series of equal length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge {
    pub(super) steps: usize,
    /// Standard errors over the whole window.
    pub(super) threshold: f32,
}

impl Judge {
    fn halves(&self) -> [Range<usize>; 2] {
        [0..self.steps / 2, self.steps / 2..self.steps]
    }

    /// Whether a correlation holds in each half, at the same lag.
    fn holds(&self, early: &[f32], late: &[f32], lag: i32, whole: Correlation) -> bool {
        self.halves().iter().all(|half| {
            let part = at_lag(early, late, lag, half);
            part.r * whole.r > 0.0 && part.z.abs() >= HALF_Z
        })
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
        let same_lag = |half: &Range<usize>| {
            let (at, _) = peak(leader, follower, 1..most + 1, half);
            at.abs_diff(lag) <= 1
        };
        let dominates = whole.r.abs() >= MIN_DOMINANCE * backwards.r.abs();
        let holds = dominates && self.holds(leader, follower, lag, whole) && self.halves().iter().all(same_lag);
        holds.then_some((lag as usize, whole))
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
        let mut found: Vec<(usize, &[f32], usize, Correlation)> = candidates
            .into_iter()
            .filter_map(|(number, leader)| {
                self.leads(leader, follower).map(|(lag, whole)| (number, leader, lag, whole))
            })
            .collect();
        found.sort_by(|a, b| b.3.r.abs().total_cmp(&a.3.r.abs()).then(a.0.cmp(&b.0)));

        let variance = dot(follower, follower);
        let mut unexplained = Explained { basis: Vec::new(), rest: follower.to_vec() };
        let mut leads = Vec::new();
        for (leader, series, lag, whole) in found {
            if leads.len() == MAX_LINKS_PER_FOLLOWER {
                break;
            }
            let own = unexplained.beyond(delayed(series, lag));
            let part = at_lag(&own, &unexplained.rest, 0, &(0..self.steps));
            if part.z.abs() < self.threshold || !self.holds(&own, &unexplained.rest, 0, part) {
                continue;
            }
            // Kept as it was, should the leader turn out to add too little.
            let mut with = unexplained.clone();
            let before = dot(&with.rest, &with.rest);
            for lag in lag.saturating_sub(ECHO_BEFORE).max(1)..=lag + ECHO_AFTER {
                with.explain(delayed(series, lag));
            }
            let gain = (before - dot(&with.rest, &with.rest)) / variance;
            if gain >= MIN_GAIN {
                leads.push(Lead { leader, lag, strength: whole.r, gain });
                unexplained = with;
            }
        }
        leads
    }
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
