//! Reading the archive: which level answers, and one bounded page after another.

use super::Archive;
use crate::heat_map::{HeatMap, HeatMapSpec, Timeline};
use crate::pyramid::Pyramid;
use isobar_model::history::{HistoryPage, HistoryQuery, HistoryRow, Resolution, Window};
use isobar_model::{InstantMs, Metric, NodeId, NodeMetric, ShardId};
use std::ops::Range;

/// Steps that `auto` aims below: as many as a wide screen has columns.
const AUTO_STEPS: u64 = 2_000;
/// How far back `auto` looks where nobody says.
const AUTO_BACK_MS: u64 = 3_600_000;

/// A question that has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// Nothing of the kind is kept of shards.
    #[error("{0:?} is no metric of shards: ask for load, read-ops, write-ops, read-bytes or write-bytes")]
    Metric(Metric),
    /// The level is not kept.
    #[error("this metric is not kept at {wanted}: ask for {offered}, or for auto")]
    Resolution {
        /// What was asked for.
        wanted: Resolution,
        /// What there is.
        offered: String,
    },
    /// Nothing lies between.
    #[error("from ({from} ms) is not before to ({to} ms)")]
    Empty {
        /// The first instant.
        from: InstantMs,
        /// The instant after the last.
        to: InstantMs,
    },
}

impl Archive {
    /// Steps of shards, a page at a time.
    pub fn history(&self, query: &HistoryQuery) -> Result<HistoryPage<ShardId>, BadQuery> {
        match query.metric {
            Metric::Load => page(&self.load, query, self.load.keys(), |shard| shard),
            metric @ (Metric::ReadOps | Metric::WriteOps | Metric::ReadBytes | Metric::WriteBytes) => {
                page(&self.operations, query, self.load.keys(), |shard| (shard, metric))
            }
            metric @ (Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes) => {
                Err(BadQuery::Metric(metric))
            }
        }
    }

    /// The heat map of a metric, of what is measured: its means in closed steps. The coarsest level whose steps fit into the shortest column
    /// answers, or the finest there is.
    pub fn heat_map(&self, metric: Metric, spec: HeatMapSpec) -> Result<HeatMap, BadQuery> {
        match metric {
            Metric::Load => Ok(heat_map(&self.load, self.load.keys(), |shard| shard, spec)),
            Metric::ReadOps | Metric::WriteOps | Metric::ReadBytes | Metric::WriteBytes => {
                Ok(heat_map(&self.operations, self.load.keys(), |shard| (shard, metric), spec))
            }
            Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes => {
                Err(BadQuery::Metric(metric))
            }
        }
    }

    /// Steps of all that is known of a node: a row a metric.
    pub fn node_history(&self, node: NodeId, window: Window) -> Result<HistoryPage<NodeMetric>, BadQuery> {
        let (level, steps) = choose(&self.nodes, window)?;
        let step_ms = self.nodes.spec().levels[level].step_ms;
        let keys = self.nodes.keys().filter(|(id, _)| *id == node);
        let rows = keys
            .map(|key| HistoryRow { key: key.1, steps: self.nodes.read(key, level, steps.clone()).collect() })
            .collect();
        Ok(HistoryPage { start: start(&steps, step_ms), step_ms, steps: count(&steps), rows, next: None })
    }
}

fn page<K: Copy + Ord>(
    pyramid: &Pyramid<K>,
    query: &HistoryQuery,
    all: impl Iterator<Item = ShardId>,
    key: impl Fn(ShardId) -> K,
) -> Result<HistoryPage<ShardId>, BadQuery> {
    let (level, steps) = choose(pyramid, query.window)?;
    let step_ms = pyramid.spec().levels[level].step_ms;
    let most = (query.max_steps / count(&steps).max(1) as usize).max(1);
    let mut shards: Vec<ShardId> = if query.shards.is_empty() { all.collect() } else { query.shards.clone() };
    shards.sort_unstable();
    shards.dedup();
    shards.retain(|shard| query.after.is_none_or(|after| *shard > after));
    let more = shards.len() > most;
    shards.truncate(most);
    let next = shards.last().copied().filter(|_| more);
    let row =
        |shard: ShardId| HistoryRow { key: shard, steps: pyramid.read(key(shard), level, steps.clone()).collect() };
    let rows = shards.into_iter().map(row).collect();
    Ok(HistoryPage { start: start(&steps, step_ms), step_ms, steps: count(&steps), rows, next })
}

fn heat_map<K: Copy + Ord>(
    pyramid: &Pyramid<K>,
    shards: impl Iterator<Item = ShardId>,
    key: impl Fn(ShardId) -> K,
    spec: HeatMapSpec,
) -> HeatMap {
    let levels = &pyramid.spec().levels;
    let fits = |&level: &usize| u64::from(levels[level].step_ms) <= spec.shortest_column_ms;
    let level = (0..levels.len()).rev().find(fits).unwrap_or(0);
    let step_ms = levels[level].step_ms;
    let end = pyramid.now().0 / u64::from(step_ms);
    let kept = usize::try_from(end.saturating_sub(pyramid.kept(level).start)).unwrap_or(usize::MAX);
    let shards: Vec<ShardId> = shards.collect();
    HeatMap::of(Timeline { step_ms, phase_ms: 0, end, kept }, &shards, spec, |shard, first, past, _| {
        let until = first + past.len() as u64;
        let steps = pyramid.read(key(shard), level, first..until);
        past.iter_mut().zip(steps).for_each(|(out, step)| *out = step.mean);
    })
}

/// The level that answers, and its steps.
fn choose<K: Copy + Ord>(pyramid: &Pyramid<K>, window: Window) -> Result<(usize, Range<u64>), BadQuery> {
    let levels = &pyramid.spec().levels;
    let to = window.to.unwrap_or(pyramid.now());
    let step_of = |level: usize| u64::from(levels[level].step_ms);
    let (level, from) = match window.resolution.step_ms() {
        Some(step_ms) => {
            let offered = || {
                let kept = |resolution: &Resolution| resolution.step_ms().is_some_and(|ms| pyramid.level(ms).is_some());
                let names = Resolution::ALL.iter().filter(|r| kept(r)).map(Resolution::to_string);
                names.collect::<Vec<_>>().join(", ")
            };
            let level = pyramid
                .level(step_ms)
                .ok_or_else(|| BadQuery::Resolution { wanted: window.resolution, offered: offered() })?;
            (level, window.from.unwrap_or(InstantMs(pyramid.kept(level).start * step_of(level)).min(to)))
        }
        None => {
            let from = window.from.unwrap_or(InstantMs(to.0.saturating_sub(AUTO_BACK_MS)));
            let reaches = |&level: &usize| {
                let columns = to.since_ms(from) / step_of(level);
                pyramid.kept(level).start * step_of(level) <= from.0 && columns <= AUTO_STEPS
            };
            ((0..levels.len()).find(reaches).unwrap_or(levels.len() - 1), from)
        }
    };
    if from >= to && window.from.is_some() {
        return Err(BadQuery::Empty { from, to });
    }
    let kept = pyramid.kept(level);
    let first = (from.0 / step_of(level)).clamp(kept.start, kept.end);
    let end = to.0.div_ceil(step_of(level)).clamp(first, kept.end.max(first));
    Ok((level, first..end))
}

fn start(steps: &Range<u64>, step_ms: u32) -> InstantMs {
    InstantMs(steps.start * u64::from(step_ms))
}

fn count(steps: &Range<u64>) -> u32 {
    u32::try_from(steps.end - steps.start).unwrap_or(u32::MAX)
}
