use crate::days::Days;
use crate::filter::Filter;
use crate::fit::Fit;
use crate::kpss::{CRITICAL, kpss};
use crate::live::Live;
use crate::order_search::{self, Bounds, search};
use crate::season::{Decomposition, Season};
use forecasting_kit::{MAX_HISTORY, Ring, Seasons};

/// Days of history that a fit looks at.
const DAYS: u64 = 14;
/// Two days are needed to see a season, a third to tell whether it holds.
const LEAST_DAYS: u64 = 3;
/// Days that a renewal looks at, at least: the longest forecast is as long as a day, and its origin lies before it.
const LEAST_RENEWED_DAYS: usize = 2;
/// Values that a model is fitted to, at most: a week of 5-minute steps.
const MAX_FITTED: usize = 2016;
/// Fewer than this say nothing of a model's order.
const LEAST_FITTED: usize = 20;
/// A remainder of more usual ones counts as so many in the fit, and so does an innovation when the model is at work: one burst shall not
/// decide either.
const ACCIDENT: f64 = 10.0;
/// The mean distance from the middle of a bell of standard deviation 1.
const MEAN_OF_BELL: f32 = 0.8;

/// Steps of history that a fit wants kept.
pub(crate) fn history_steps(day: u64) -> usize {
    (DAYS * day).min(MAX_HISTORY.max(LEAST_DAYS * day)) as usize
}

/// A new model from the history alone, the newest `since` steps of which were pushed: season, order and coefficients, then its errors over
/// past days as it would have made them. `last`: the last value known.
pub(crate) fn refit(seasons: &Seasons, history: &Ring, since: u64, bounds: Bounds, last: f32) -> Live {
    let days = newest_days(seasons, history, since);
    let past = Past::of(&days, usize::MAX);
    let fit = past.model(seasons.day, bounds, search);
    let (filter, guess) = match &fit {
        Some((fit, d)) => (Filter::new(&fit.model, *d, past.most), Some(MEAN_OF_BELL * fit.variance().sqrt() as f32)),
        None => (Filter::unfitted(), days.is_seasonal().then_some(past.usual_size as f32)),
    };
    let Past { first, .. } = past;
    let mut live = Live::new(seasons, past.season.clone(), filter, first, guess);
    live.set_order(fit.map(|(fit, _)| fit.model.order));
    past.steps().for_each(|(season, value)| live.push(seasons, season, value));
    if !past.is_known() {
        live = Live::unfitted(seasons, first);
        live.push(seasons, 0.0, last);
        (1..seasons.day).for_each(|_| live.push(seasons, 0.0, f32::NAN));
    }
    live
}

/// Brings `live` up to date with the newest days at a fraction of what a new one costs: another season, other coefficients, and another order where
/// that is plainly better. What is known of its errors stays: those were made in earnest.
pub(crate) fn renew(seasons: &Seasons, history: &Ring, since: u64, bounds: Bounds, live: &mut Live) {
    let days = newest_days(seasons, history, since);
    let past = Past::of(&days, MAX_FITTED.div_ceil(days.length).max(LEAST_RENEWED_DAYS));
    let Some(kept) = live.order().filter(|_| days.is_seasonal() && past.is_known()) else { return };
    let renewed = |values: &[f64], known: &[bool], bounds: Bounds| order_search::renew(values, known, bounds, kept);
    let Some((fit, d)) = past.model(seasons.day, bounds, renewed) else { return };
    live.set_order(Some(fit.model.order));
    live.replace(seasons, past.season.clone(), Filter::new(&fit.model, d, past.most), past.first, past.steps());
}

fn newest_days(seasons: &Seasons, history: &Ring, since: u64) -> Days {
    let count = (since.min(history_steps(seasons.day) as u64) / seasons.day).max(1) as usize;
    Days::newest(history, seasons.day as usize, count)
}

/// Past days as the season foresaw them, and what it left.
struct Past<'a> {
    season: Season,
    /// The first step.
    first: u64,
    values: &'a [f32],
    known: &'a [bool],
    foreseen: Vec<f32>,
    /// What was left, gaps bridged and accidents held.
    remainders: Vec<f64>,
    usual_size: f64,
    /// No innovation is to be taken for larger.
    most: f32,
}

impl<'a> Past<'a> {
    /// The last `foreseen_days` of `days`, or as many as can be foreseen.
    fn of(days: &'a Days, foreseen_days: usize) -> Self {
        let day = days.length;
        let Decomposition { season, foreseen_from, foreseen } = if days.is_seasonal() {
            Decomposition::of(days, foreseen_days)
        } else {
            let end = days.first + (days.count() * day) as u64;
            Decomposition { season: Season::flat(end), foreseen_from: days.count() - 1, foreseen: vec![0.0; day] }
        };
        let from = foreseen_from * day;
        let (values, known) = (&days.values[from..], &days.known[from..]);
        let mut remainders: Vec<f64> =
            values.iter().zip(&foreseen).map(|(value, season)| f64::from(value - season)).collect();
        let usual_size = tame(&mut remainders, known);
        // A series that never strayed, or never was anything but 0, says nothing of how far it may leap.
        let usual_value = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let most = usual_value.max((ACCIDENT * usual_size) as f32);
        let most = if most > 0.0 { most } else { f32::INFINITY };
        Self { season, first: days.first + from as u64, values, known, foreseen, remainders, usual_size, most }
    }

    fn is_known(&self) -> bool {
        self.known.iter().any(|known| *known)
    }

    /// Of each step, what was foreseen and what came; NaN: missing.
    fn steps(&self) -> impl Iterator<Item = (f32, f32)> {
        let values = self.values.iter().zip(self.known).map(|(value, known)| if *known { *value } else { f32::NAN });
        self.foreseen.iter().copied().zip(values)
    }

    /// The ARIMA model, by `search`, of what the season left, and how often it is differenced; none where there is too little to go by.
    fn model(&self, day: u64, bounds: Bounds, search: impl Fn(&[f64], &[bool], Bounds) -> Fit) -> Option<(Fit, usize)> {
        let from = self.remainders.len().saturating_sub(MAX_FITTED);
        let (values, known) = (&self.remainders[from..], &self.known[from..]);
        if known.iter().filter(|known| **known).count() < LEAST_FITTED {
            return None;
        }
        // What carries on for less than a day is no change of level.
        let strays = kpss(values, day as usize) > CRITICAL;
        if strays {
            let differences: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let known: Vec<bool> = known.windows(2).map(|pair| pair[0] && pair[1]).collect();
            Some((search(&differences, &known, Bounds { mean: false, ..bounds }), 1))
        } else {
            Some((search(values, known, bounds), 0))
        }
    }
}

/// Draws a straight line where values were not known, and holds accidents within bounds. Gives the usual size of a value.
fn tame(values: &mut [f64], known: &[bool]) -> f64 {
    let mut last: Option<usize> = None;
    for at in 0..values.len() {
        if !known[at] {
            continue;
        }
        if let Some(last) = last {
            let slope = (values[at] - values[last]) / (at - last) as f64;
            let start = values[last];
            (last + 1..at).for_each(|gap| values[gap] = start + slope * (gap - last) as f64);
        } else {
            let first = values[at];
            values[..at].fill(first);
        }
        last = Some(at);
    }
    match last {
        Some(last) => {
            let end = values[last];
            values[last + 1..].fill(end);
        }
        None => values.fill(0.0),
    }
    let usual = values.iter().map(|value| value.abs()).sum::<f64>() / values.len().max(1) as f64;
    values.iter_mut().for_each(|value| *value = value.clamp(-ACCIDENT * usual, ACCIDENT * usual));
    usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_and_accidents_bounded() {
        let mut values = [9.0, 1.0, 9.0, 9.0, 4.0, 9.0];
        tame(&mut values, &[false, true, false, false, true, false]);
        assert_eq!(values, [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        let mut values = [1.0; 100];
        values[50] = 1e9;
        tame(&mut values, &[true; 100]);
        assert!(values[50] < 1e9);
        let mut values = [f64::NAN; 3];
        assert_eq!(tame(&mut values, &[false; 3]), 0.0);
    }
}
