//! What shards may do together: marginal forecasts put together as their pasts were (the Schaake shuffle; Clark, Gangopadhyay, Hay, Rajagopalan
//! and Wilby 2004, "The Schaake Shuffle: A Method for Reconstructing Space–Time Variability in Forecasted Precipitation and Temperature Fields").
//!
//! The past days of all shards at the same time of day are the template. A scenario stands for one of these days: at each step it has, of each
//! shard, the forecast quantile of the rank that this day has among the days, for that shard and step. So each shard's values over the scenarios
//! are its forecast, and what is high together was high together.
//!
//! What it takes for dependence is all that days have in common: where both of two shards rest at weekends, or grow from week to week, they seem
//! to depend on each other, though a forecast may know of it.

use crate::history::History;
use isobar_model::ShardId;
use isobar_model::cluster_view::{MAX_SCENARIO_SHARDS, MAX_SCENARIOS};
use std::cmp::Ordering;

const DAY_MS: u64 = 86_400_000;
/// Ranks among fewer days than this say nothing of dependence: by chance two shards are ordered alike one time in six with three.
const LEAST_DAYS: usize = 4;

/// A shard's forecast of its leader load, `paths[q * steps + step]`.
#[derive(Clone, Copy, Debug)]
pub struct Marginal<'a> {
    /// Which.
    pub shard: ShardId,
    /// One path a quantile.
    pub paths: &'a [f32],
}

/// Scenarios of some shards, `values[(row * count + scenario) * steps + step]`. All are as likely.
#[derive(Clone, Debug, PartialEq)]
pub struct JointScenarios {
    /// Rows, in the order of the marginals.
    pub shards: Vec<ShardId>,
    /// Scenarios of each.
    pub count: usize,
    /// Leader load.
    pub values: Vec<f32>,
}

/// Scenarios of at most [`MAX_SCENARIO_SHARDS`] shards, the first ones, from the last [`MAX_SCENARIOS`] days that most of them have history of.
/// Shards that lack one of these days are left out. None where there are fewer than four days, where a day is not a number of steps, or where
/// the marginals do not fit `quantiles` and `steps`. The forecast begins at the end of `history`.
#[must_use]
pub fn joint_scenarios(
    history: &History,
    steps: usize,
    quantiles: &[f32],
    marginals: &[Marginal<'_>],
) -> Option<JointScenarios> {
    let step_ms = u64::from(history.spec().step_ms);
    if steps == 0 || quantiles.is_empty() || !DAY_MS.is_multiple_of(step_ms) {
        return None;
    }
    let marginals = &marginals[..marginals.len().min(MAX_SCENARIO_SHARDS)];
    if marginals.iter().any(|marginal| marginal.paths.len() != quantiles.len() * steps) {
        return None;
    }
    let day_steps = DAY_MS / step_ms;
    let templates: Vec<Template> =
        marginals.iter().map(|marginal| Template::read(history, marginal.shard, steps, day_steps)).collect();
    let days = common_days(&templates);
    if days.len() < LEAST_DAYS {
        return None;
    }
    let has_all = |template: &Template| days.iter().all(|&day| template.days[day].is_some());
    let mut found = JointScenarios { shards: Vec::new(), count: days.len(), values: Vec::new() };
    for (marginal, template) in marginals.iter().zip(&templates).filter(|(_, template)| has_all(template)) {
        found.shards.push(marginal.shard);
        let paths: Vec<&[f32]> = days.iter().filter_map(|&day| template.days[day].as_deref()).collect();
        shuffle(marginal, steps, quantiles, &paths, &mut found.values);
    }
    (!found.shards.is_empty()).then_some(found)
}

/// A shard's past days at the forecast's time of day, the last one first; none: not enough is known of it.
struct Template {
    days: Vec<Option<Vec<f32>>>,
}

impl Template {
    fn read(history: &History, shard: ShardId, steps: usize, day_steps: u64) -> Self {
        let end = history.end();
        // A forecast of more than a day has its last day ahead of what is known of yesterday.
        let first = (steps as u64).div_ceil(day_steps);
        let day = |back: u64| {
            let mut values = vec![f32::NAN; steps];
            history.read(shard, end.checked_sub(back * day_steps)?, &mut values);
            fill(values)
        };
        Self { days: (first..first + MAX_SCENARIOS as u64).map(day).collect() }
    }
}

/// A day with what is missing as it was before; none where half of it is missing.
fn fill(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let known = values.iter().filter(|value| value.is_finite()).count();
    if known * 2 <= values.len() {
        return None;
    }
    let mut last = values.iter().copied().find(|value| value.is_finite())?;
    for value in &mut values {
        if value.is_finite() {
            last = *value;
        } else {
            *value = last;
        }
    }
    Some(values)
}

/// The days that at least half of the shards have.
fn common_days(templates: &[Template]) -> Vec<usize> {
    let have = |day: usize| templates.iter().filter(|template| template.days[day].is_some()).count();
    (0..MAX_SCENARIOS).filter(|&day| have(day) * 2 >= templates.len().max(1)).collect()
}

/// Appends a shard's scenarios, one a day.
fn shuffle(marginal: &Marginal<'_>, steps: usize, quantiles: &[f32], days: &[&[f32]], values: &mut Vec<f32>) {
    let (begin, count) = (values.len(), days.len());
    values.resize(begin + count * steps, 0.0);
    let rows = &mut values[begin..];
    // Days that were alike, as those of an idle shard, are ordered by chance, each shard by its own: to order all shards by the day would be to
    // find them alike.
    let chance: Vec<u64> = (0..count as u64).map(|day| mixed(marginal.shard.0, day)).collect();
    let levels: Vec<Level> = (0..count).map(|rank| Level::of(quantiles, (rank as f32 + 0.5) / count as f32)).collect();
    let mut order: Vec<usize> = (0..count).collect();
    for step in 0..steps {
        let by = |a: &usize, b: &usize| days[*a][step].total_cmp(&days[*b][step]).then(chance[*a].cmp(&chance[*b]));
        sort_nearly_sorted(&mut order, by);
        for (&day, level) in order.iter().zip(&levels) {
            rows[day * steps + step] = level.value(marginal.paths, steps, step);
        }
    }
}

/// From one step to the next few days change places: an insertion sort is done in one pass.
fn sort_nearly_sorted(order: &mut [usize], by: impl Fn(&usize, &usize) -> Ordering) {
    for end in 1..order.len() {
        let mut at = end;
        while at > 0 && by(&order[at - 1], &order[at]) == Ordering::Greater {
            order.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// A place between two quantiles; beyond the outermost, that one.
#[derive(Clone, Copy, Debug)]
struct Level {
    below: usize,
    above: usize,
    weight: f32,
}

impl Level {
    fn of(quantiles: &[f32], level: f32) -> Self {
        let above = quantiles.partition_point(|&q| q < level).min(quantiles.len() - 1);
        let below = above.saturating_sub(1);
        let apart = quantiles[above] - quantiles[below];
        let weight = if apart > 0.0 { ((level - quantiles[below]) / apart).clamp(0.0, 1.0) } else { 1.0 };
        Self { below, above, weight }
    }

    fn value(self, paths: &[f32], steps: usize, step: usize) -> f32 {
        let (below, above) = (paths[self.below * steps + step], paths[self.above * steps + step]);
        below + self.weight * (above - below)
    }
}

/// SplitMix64 of both (Steele, Lea and Flood 2014).
fn mixed(shard: u64, day: u64) -> u64 {
    let mut z = shard.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((day + 1).wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::HistorySpec;
    use isobar_model::{InstantMs, LoadBatch, Metric};

    const STEP_MS: u32 = 3_600_000;
    const QUANTILES: [f32; 3] = [0.1, 0.5, 0.9];

    /// So many days by the hour, `load(shard, day, hour)`, the last day being day 0.
    fn past(days: usize, shards: u64, load: impl Fn(u64, usize, usize) -> f32) -> History {
        let mut history =
            History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: 24 * days.max(1) });
        let values =
            (1..=shards).flat_map(|shard| (0..24 * days).map(move |step| (shard, days - 1 - step / 24, step % 24)));
        let batch = LoadBatch {
            metric: Metric::Load,
            start: InstantMs(DAY_MS),
            step_ms: STEP_MS,
            steps: 24 * days as u32,
            shards: (1..=shards).map(ShardId).collect(),
            values: values.map(|(shard, day, hour)| load(shard, day, hour)).collect(),
        };
        history.import(&batch).unwrap();
        history
    }

    /// Every shard is forecast to be at 1, 2 and 3 times its number.
    fn scenarios(history: &History, shards: u64, steps: usize) -> Option<JointScenarios> {
        let paths: Vec<Vec<f32>> =
            (1..=shards).map(|shard| [1.0, 2.0, 3.0].map(|q| vec![q * shard as f32; steps]).concat()).collect();
        let marginals: Vec<Marginal<'_>> =
            (1..).zip(&paths).map(|(shard, paths)| Marginal { shard: ShardId(shard), paths }).collect();
        joint_scenarios(history, steps, &QUANTILES, &marginals)
    }

    /// Days in an order that is not that of time.
    fn jumbled(day: usize) -> f32 {
        (day * 7 % 16) as f32
    }

    fn row(found: &JointScenarios, row: usize, scenario: usize, steps: usize) -> &[f32] {
        let at = (row * found.count + scenario) * steps;
        &found.values[at..at + steps]
    }

    #[test]
    fn what_peaked_together_peaks_together_and_what_was_opposed_does_not() {
        // Shard 2 is high on the days when shard 1 is, shard 3 on the others.
        let history = past(16, 3, |shard, day, hour| {
            let high = jumbled(day) + hour as f32;
            if shard == 3 { 100.0 - high } else { high * shard as f32 }
        });
        let found = scenarios(&history, 3, 12).unwrap();
        assert_eq!((found.shards.len(), found.count), (3, 16));
        let at = |shard: usize, scenario: usize| row(&found, shard, scenario, 12)[5] / (shard + 1) as f32;
        for scenario in 0..16 {
            assert_eq!(at(0, scenario), at(1, scenario));
            assert!((at(0, scenario) + at(2, scenario) - 4.0).abs() < 1e-5, "one is high where the other is low");
        }
        let highest = (0..16).max_by(|&a, &b| at(0, a).total_cmp(&at(0, b))).unwrap();
        assert_eq!(at(0, highest), 3.0);
        assert_eq!(at(2, highest), 1.0);
        // Together they never come to the sum of their upper quantiles, though each alone may.
        let most = (0..16).map(|scenario| at(0, scenario) + at(2, scenario)).fold(0.0, f32::max);
        assert!(most < 4.1);
    }

    #[test]
    fn each_shard_s_values_are_its_forecast_s_whatever_the_template() {
        let history = past(16, 2, |shard, day, hour| (mixed(shard, (day * 24 + hour) as u64) % 1_000) as f32);
        let found = scenarios(&history, 2, 24).unwrap();
        let wanted: Vec<f32> = (0..16)
            .map(|rank| (rank as f32 + 0.5) / 16.0)
            .map(|level: f32| 1.0 + ((level.clamp(0.1, 0.9) - 0.1) / 0.4))
            .collect();
        for step in 0..24 {
            let mut values: Vec<f32> = (0..16).map(|scenario| row(&found, 0, scenario, 24)[step]).collect();
            values.sort_by(f32::total_cmp);
            assert!(values.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?} {wanted:?}");
        }
    }

    #[test]
    fn idle_shards_do_not_seem_to_depend_on_each_other() {
        let history = past(16, 40, |_, _, _| 0.0);
        let found = scenarios(&history, 40, 1).unwrap();
        // The correlation of neighbours, on average over pairs: nothing but chance.
        let normal = |shard: usize, scenario: usize| row(&found, shard, scenario, 1)[0] / (shard + 1) as f32 - 2.0;
        let product = |a: usize, b: usize| (0..16).map(|s| normal(a, s) * normal(b, s)).sum::<f32>();
        let (own, joint): (f32, f32) =
            (0..39).fold((0.0, 0.0), |(own, joint), a| (own + product(a, a), joint + product(a, a + 1)));
        assert!((joint / own).abs() < 0.15, "{}", joint / own);
    }

    #[test]
    fn with_less_history_there_are_fewer_scenarios_or_none() {
        let of = |days: usize, steps: usize| {
            scenarios(&past(days, 2, |_, day, _| jumbled(day)), 2, steps).map(|found| found.count)
        };
        assert_eq!([of(3, 12), of(4, 12), of(15, 12), of(40, 12)], [None, Some(4), Some(15), Some(16)]);
        assert_eq!(of(6, 48), Some(5), "of two days ahead yesterday does not tell");
    }

    #[test]
    fn a_shard_that_most_days_lack_is_left_out_and_gaps_are_bridged() {
        let history = past(8, 3, |shard, day, hour| match (shard, hour) {
            (3, _) if day > 1 => f32::NAN,
            (2, 3..6) => f32::NAN,
            _ => jumbled(day),
        });
        let found = scenarios(&history, 3, 24).unwrap();
        assert_eq!((found.shards.as_slice(), found.count), (&[ShardId(1), ShardId(2)][..], 8));
        assert!(found.values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn what_does_not_fit_gives_none() {
        let history = past(8, 1, |_, day, _| jumbled(day));
        let marginal = Marginal { shard: ShardId(1), paths: &[1.0; 7] };
        assert_eq!(joint_scenarios(&history, 2, &QUANTILES, &[marginal]), None);
        assert_eq!(scenarios(&history, 1, 0), None);
        assert_eq!(scenarios(&history, 0, 2), None);
        let odd = History::new(HistorySpec { metric: Metric::Load, step_ms: 7_000, keep_steps: 9 });
        assert_eq!(scenarios(&odd, 1, 2), None);
    }
}
