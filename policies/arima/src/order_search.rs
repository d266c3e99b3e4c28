use crate::arma::{MAX_LAGS, Order};
use crate::fit::{Effort, Fit, Sample, fit};
use crate::start::Start;

/// Orders tried at most: the stepwise search seldom needs more than a dozen, and where it does the last ones hardly differ.
const MAX_TRIED: usize = 16;
/// Of these, the newest that orders are compared by: two days of 5-minute steps tell them apart as well as a week does, at a third of the work.
const MAX_SEARCHED: usize = 672;
/// While searching: a share of 0.0003 of the sum is a tenth of what a parameter costs.
const SEARCHING: Effort = Effort { iterations: 8, tolerance: 3e-4 };
/// For the one chosen.
const SETTLING: Effort = Effort { iterations: 40, tolerance: 1e-6 };
/// For one that stands for a day.
const RENEWING: Effort = Effort { iterations: 8, tolerance: 1e-3 };

/// What the search may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_p: usize,
    pub(crate) max_q: usize,
    /// Whether a mean may be part of it.
    pub(crate) mean: bool,
}

/// The model of the order that Akaike's corrected criterion prefers, found step by step: from four simple ones on, each round tries the
/// neighbours of the best so far (R. J. Hyndman and Y. Khandakar, "Automatic time series forecasting", 2008). The innovations of all are summed
/// over the same steps. `values` are finite and differenced already.
pub(crate) fn search(values: &[f64], known: &[bool], bounds: Bounds) -> Fit {
    let (max_p, max_q) = (bounds.max_p.min(MAX_LAGS), bounds.max_q.min(MAX_LAGS));
    let sample = Sample { values, known, skip: max_p.min(values.len() / 2) };
    let from = values.len().saturating_sub(MAX_SEARCHED);
    let newest = Sample { values: &values[from..], known: &known[from..], skip: max_p.min((values.len() - from) / 2) };
    let start = Start::new(values);
    let mut tried: Vec<(Order, f64)> = Vec::with_capacity(MAX_TRIED);
    let mut criterion_of = |order: Order| {
        if let Some((_, criterion)) = tried.iter().find(|(other, _)| *other == order) {
            return *criterion;
        }
        if tried.len() >= MAX_TRIED {
            return f64::INFINITY;
        }
        let fit = fit(newest, &start.model(order), SEARCHING);
        let criterion = fit.criterion(fit.count);
        tried.push((order, criterion));
        criterion
    };
    let order = |p: usize, q: usize, mean: bool| Order { p: p.min(max_p), q: q.min(max_q), mean: mean && bounds.mean };
    let mut best = order(0, 0, true);
    let mut least = criterion_of(best);
    let mut look_at = |candidate: Order, best: &mut Order, least: &mut f64| {
        let criterion = criterion_of(candidate);
        // Written so that one that is no number never wins.
        let better = criterion < *least;
        if better {
            (*best, *least) = (candidate, criterion);
        }
        better
    };
    for (p, q) in [(2, 2), (1, 0), (0, 1)] {
        look_at(order(p, q, true), &mut best, &mut least);
    }
    look_at(order(0, 0, false), &mut best, &mut least);
    // Each round goes on from a better order, and orders are few.
    loop {
        let Order { p, q, mean } = best;
        let neighbours = [
            order(p.saturating_sub(1), q, mean),
            order(p, q.saturating_sub(1), mean),
            order(p + 1, q, mean),
            order(p, q + 1, mean),
            order(p.saturating_sub(1), q.saturating_sub(1), mean),
            order(p.saturating_sub(1), q + 1, mean),
            order(p + 1, q.saturating_sub(1), mean),
            order(p + 1, q + 1, mean),
            order(p, q, !mean),
        ];
        let mut went_on = false;
        for neighbour in neighbours {
            // As soon as one is better the search goes on from there.
            if look_at(neighbour, &mut best, &mut least) {
                went_on = true;
                break;
            }
        }
        if !went_on {
            break;
        }
    }
    fit(sample, &start.model(best), SETTLING)
}

/// The same at a tenth of the price, when `kept` was the best order lately: the better of that one and the one that regressions prefer now (E. J.
/// Hannan and J. Rissanen 1982).
pub(crate) fn renew(values: &[f64], known: &[bool], bounds: Bounds, kept: Order) -> Fit {
    let sample = Sample { values, known, skip: MAX_LAGS.min(values.len() / 2) };
    let start = Start::new(values);
    let kept = Order { p: kept.p.min(bounds.max_p), q: kept.q.min(bounds.max_q), mean: kept.mean && bounds.mean };
    let rival = start.best_order(bounds, kept);
    let fitted = |order: Order| fit(sample, &start.model(order), RENEWING);
    let ours = fitted(kept);
    if rival == kept {
        return ours;
    }
    let theirs = fitted(rival);
    // Written so that a criterion that is no number never wins.
    if theirs.criterion(theirs.count) < ours.criterion(ours.count) { theirs } else { ours }
}
