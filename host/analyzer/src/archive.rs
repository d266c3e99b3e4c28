//! What a cluster remembers: load of shards at four resolutions, their operations, bytes and use of keys at two, what nodes use at three.
//!
//! | family | steps | a series | 1 000 shards (nodes: 10) |
//! |---|---|---|---|
//! | load | 10 s for 6 h, 1 min for 2 days, 5 min for 4 weeks, 1 h for 13 months | 127 KB | 127 MB |
//! | operations: reads, writes, bytes of both | 5 min for 4 days, 1 h for 4 weeks | 12.1 KB, four a shard | 49 MB |
//! | keys: how unevenly they are used | as operations | 12.1 KB | 12 MB |
//! | nodes: CPU, memory, storage, disk, network | 1 min for 2 days, 5 min for 4 weeks, 1 h for 13 months | 114 KB, six a node | 7 MB |
//!
//! Operations and keys are kept for 4 days so that what goes with load can be told from the time of day, which takes three.
//!
//! That is the most; shards that stand still cost a hundredth of it. Each family has a budget of its own ([`Pyramid`] says what goes first).

mod chunks;
mod drivers;
mod page;

pub use chunks::ArchiveChunk;
pub use page::BadQuery;

use crate::pyramid::{Chunk, ChunkError, Dropped, LevelSpec, Pyramid, PyramidSpec, Sample, Thinned};
use chunks::{chunk_of, due_of};
use isobar_model::{InstantMs, LoadBatch, Metric, NodeId, NodeMetric, ShardId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Samples may be so late: a node that has been silent for three ticks is down, and one that was restarted has new counters.
const LATE_MS: u64 = 120_000;
/// Budgets: a fifth more than 1 000 busy shards on 30 nodes need, or half as much again.
const LOAD_BUDGET_BYTES: usize = 192 << 20;
const OPERATIONS_BUDGET_BYTES: usize = 56 << 20;
const KEYS_BUDGET_BYTES: usize = OPERATIONS_BUDGET_BYTES / 4;
const NODES_BUDGET_BYTES: usize = 32 << 20;

const TEN_SECONDS_FOR_HOURS: LevelSpec = LevelSpec { step_ms: 10_000, keep_steps: 6 * 360, chunk_steps: 30 };
const MINUTES_FOR_DAYS: LevelSpec = LevelSpec { step_ms: 60_000, keep_steps: 2 * 1440, chunk_steps: 60 };
const FIVE_MINUTES_FOR_WEEKS: LevelSpec = LevelSpec { step_ms: 300_000, keep_steps: 28 * 288, chunk_steps: 72 };
const HOURS_FOR_MONTHS: LevelSpec = LevelSpec { step_ms: 3_600_000, keep_steps: 396 * 24, chunk_steps: 24 };

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Load of shards.
    Load,
    /// Operations and bytes of shards.
    Operations,
    /// What nodes use.
    Nodes,
    /// How unevenly the keys of shards are used.
    Keys,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Load, Self::Operations, Self::Nodes, Self::Keys];

    /// How it is kept.
    #[must_use]
    pub fn spec(self) -> PyramidSpec {
        let short = || {
            vec![
                LevelSpec { keep_steps: 4 * 288, chunk_steps: 12, ..FIVE_MINUTES_FOR_WEEKS },
                LevelSpec { keep_steps: 28 * 24, ..HOURS_FOR_MONTHS },
            ]
        };
        let (levels, budget_bytes) = match self {
            Self::Load => (
                vec![TEN_SECONDS_FOR_HOURS, MINUTES_FOR_DAYS, FIVE_MINUTES_FOR_WEEKS, HOURS_FOR_MONTHS],
                LOAD_BUDGET_BYTES,
            ),
            Self::Operations => (short(), OPERATIONS_BUDGET_BYTES),
            Self::Keys => (short(), KEYS_BUDGET_BYTES),
            Self::Nodes => (
                vec![LevelSpec { chunk_steps: 12, ..MINUTES_FOR_DAYS }, FIVE_MINUTES_FOR_WEEKS, HOURS_FOR_MONTHS],
                NODES_BUDGET_BYTES,
            ),
        };
        PyramidSpec { levels, late_ms: LATE_MS, budget_bytes }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Operations => "operations",
            Self::Nodes => "nodes",
            Self::Keys => "keys",
        })
    }
}

/// What one shard did up to an instant; what is not finite is not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardLoad {
    /// Which.
    pub shard: ShardId,
    /// The length of time that the rates are means over.
    pub span_ms: u64,
    /// Load units per second.
    pub load: f32,
    /// Reads per second.
    pub reads: f32,
    /// Writes per second.
    pub writes: f32,
    /// Bytes read per second.
    pub read_bytes: f32,
    /// Bytes written per second.
    pub write_bytes: f32,
    /// How unevenly its keys are used, 0 to 1.
    pub key_skew: f32,
}

/// What one node used up to an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeLoad {
    /// Which.
    pub node: NodeId,
    /// The length of time that rates are means over.
    pub span_ms: u64,
    /// What is known of it.
    pub values: Vec<(NodeMetric, f32)>,
}

/// A batch that can't be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadImport {
    /// Nothing of the kind is kept of shards.
    #[error("{0:?} is no metric of shards: give load, read-ops, write-ops, read-bytes or write-bytes")]
    Metric(Metric),
    /// Steps too long for all levels.
    #[error("steps of {step_ms} ms are longer than history keeps: resample them to {most_ms} ms or less")]
    StepMs {
        /// The batch's.
        step_ms: u32,
        /// The longest that is of use.
        most_ms: u32,
    },
    /// Values do not fit rows and columns.
    #[error("{values} values for {shards} shards of {steps} steps")]
    Shape {
        /// Values given.
        values: usize,
        /// Rows given.
        shards: usize,
        /// Columns given.
        steps: u32,
    },
    /// Beyond what counts as an instant.
    #[error("the batch ends beyond 2^53 ms: its start is in milliseconds since the Unix epoch")]
    Time,
}

/// How full the archive is, and what it did not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// Of which family.
    pub family: Family,
    /// Series held.
    pub series: usize,
    /// Bytes held.
    pub bytes: usize,
    /// Bytes allowed.
    pub budget_bytes: usize,
    /// What was dropped.
    pub dropped: Dropped,
}

type OperationKey = (ShardId, Metric);
type NodeKey = (NodeId, NodeMetric);

/// All that is remembered.
#[derive(Clone, Debug)]
pub struct Archive {
    load: Pyramid<ShardId>,
    operations: Pyramid<OperationKey>,
    nodes: Pyramid<NodeKey>,
    keys: Pyramid<ShardId>,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            load: Pyramid::new(Family::Load.spec()),
            operations: Pyramid::new(Family::Operations.spec()),
            nodes: Pyramid::new(Family::Nodes.spec()),
            keys: Pyramid::new(Family::Keys.spec()),
        }
    }
}

impl Archive {
    /// Takes in what shards and nodes did up to `now`. Gives a sentence for each family that had to forget levels, or got some back.
    pub fn record(&mut self, now: InstantMs, shards: &[ShardLoad], nodes: &[NodeLoad]) -> Vec<String> {
        let load = shards.iter().map(|s| Sample { key: s.shard, span_ms: s.span_ms, value: s.load, heat: s.load });
        let thinned = self.load.record(now, load);
        let mut told: Vec<String> =
            tell(Family::Load, &thinned, |shard| format!("shard {shard}")).into_iter().collect();
        let operations = shards.iter().flat_map(|s| {
            [
                (Metric::ReadOps, s.reads),
                (Metric::WriteOps, s.writes),
                (Metric::ReadBytes, s.read_bytes),
                (Metric::WriteBytes, s.write_bytes),
            ]
            .map(|(metric, value)| Sample {
                key: (s.shard, metric),
                span_ms: s.span_ms,
                value,
                heat: s.load,
            })
        });
        let thinned = self.operations.record(now, operations);
        told.extend(tell(Family::Operations, &thinned, |(shard, metric)| format!("{metric:?} of shard {shard}")));
        let skews = shards.iter().map(|s| Sample { key: s.shard, span_ms: s.span_ms, value: s.key_skew, heat: s.load });
        let thinned = self.keys.record(now, skews);
        told.extend(tell(Family::Keys, &thinned, |shard| format!("shard {shard}")));
        let used = nodes.iter().flat_map(|n| {
            n.values.iter().map(|&(metric, value)| Sample {
                key: (n.node, metric),
                span_ms: n.span_ms,
                value,
                heat: 0.0,
            })
        });
        let thinned = self.nodes.record(now, used);
        told.extend(tell(Family::Nodes, &thinned, |(node, metric)| format!("{} of node {node}", metric.name())));
        told
    }

    /// Takes in measured load from elsewhere, of any step up to three hours; gives what is to be stored of it at once.
    pub fn import(&mut self, batch: &LoadBatch) -> Result<Vec<ArchiveChunk>, BadImport> {
        if !batch.is_well_formed() {
            let (values, shards, steps) = (batch.values.len(), batch.shards.len(), batch.steps);
            return Err(BadImport::Shape { values, shards, steps });
        }
        let most_ms = 3 * HOURS_FOR_MONTHS.step_ms;
        if batch.step_ms == 0 || batch.step_ms > most_ms {
            return Err(BadImport::StepMs { step_ms: batch.step_ms, most_ms });
        }
        let end = batch.start.0.checked_add(u64::from(batch.steps) * u64::from(batch.step_ms));
        if end.is_none_or(|end| end >= isobar_model::ids::MAX_ID) {
            return Err(BadImport::Time);
        }
        match batch.metric {
            Metric::Load => Ok(import(&mut self.load, Family::Load, batch, |shard| shard)),
            metric @ (Metric::ReadOps | Metric::WriteOps | Metric::ReadBytes | Metric::WriteBytes) => {
                Ok(import(&mut self.operations, Family::Operations, batch, |shard| (shard, metric)))
            }
            metric @ (Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes) => {
                Err(BadImport::Metric(metric))
            }
        }
    }

    /// What is closed, not stored yet, and enough of it for a chunk. Each is asked for until [`Self::saved`] is told of it.
    #[must_use]
    pub fn due(&self) -> Vec<ArchiveChunk> {
        let mut due = Vec::new();
        due.extend(due_of(&self.load, Family::Load));
        due.extend(due_of(&self.operations, Family::Operations));
        due.extend(due_of(&self.nodes, Family::Nodes));
        due.extend(due_of(&self.keys, Family::Keys));
        due
    }

    /// Notes that a chunk is stored.
    pub fn saved(&mut self, family: Family, step_ms: u32, until: InstantMs) {
        fn note<K: Copy + Ord>(pyramid: &mut Pyramid<K>, step_ms: u32, until: InstantMs) {
            if let Some(level) = pyramid.level(step_ms) {
                pyramid.saved(level, until.0 / u64::from(step_ms));
            }
        }
        match family {
            Family::Load => note(&mut self.load, step_ms, until),
            Family::Operations => note(&mut self.operations, step_ms, until),
            Family::Nodes => note(&mut self.nodes, step_ms, until),
            Family::Keys => note(&mut self.keys, step_ms, until),
        }
    }

    /// Takes in one stored part; all of them, in the order in which they were stored, and then [`Self::rebuild`].
    pub fn restore(&mut self, family: Family, bytes: &[u8]) -> Result<(), ChunkError> {
        fn take<K: Copy + Ord + Serialize + DeserializeOwned>(
            pyramid: &mut Pyramid<K>,
            bytes: &[u8],
        ) -> Result<(), ChunkError> {
            pyramid.restore(&Chunk::decode(bytes)?);
            Ok(())
        }
        match family {
            Family::Load => take(&mut self.load, bytes),
            Family::Operations => take(&mut self.operations, bytes),
            Family::Nodes => take(&mut self.nodes, bytes),
            Family::Keys => take(&mut self.keys, bytes),
        }
    }

    /// Makes what coarser levels had not stored of what finer ones had.
    pub fn rebuild(&mut self) {
        self.load.rebuild();
        self.operations.rebuild();
        self.nodes.rebuild();
        self.keys.rebuild();
    }

    /// Drops shards and nodes that are gone for ever.
    pub fn retain(&mut self, shard: impl Fn(ShardId) -> bool, node: impl Fn(NodeId) -> bool) {
        self.load.retain(&shard);
        self.operations.retain(|(id, _)| shard(id));
        self.keys.retain(&shard);
        self.nodes.retain(|(id, _)| node(id));
    }

    /// How full it is.
    #[must_use]
    pub fn status(&self) -> [ArchiveStatus; 4] {
        fn of<K: Copy + Ord>(pyramid: &Pyramid<K>, family: Family) -> ArchiveStatus {
            ArchiveStatus {
                family,
                series: pyramid.keys().count(),
                bytes: pyramid.bytes(),
                budget_bytes: pyramid.spec().budget_bytes,
                dropped: pyramid.dropped(),
            }
        }
        [
            of(&self.load, Family::Load),
            of(&self.operations, Family::Operations),
            of(&self.nodes, Family::Nodes),
            of(&self.keys, Family::Keys),
        ]
    }
}

/// One sentence for all series that a family thinned out in one tick.
fn tell<K: Copy>(family: Family, thinned: &[Thinned<K>], name: impl Fn(K) -> String) -> Option<String> {
    let first = thinned.first()?;
    let keeps = match first.finest_step_ms {
        Some(ms) => format!("steps of {} s and more", ms / 1000),
        None => "nothing".to_owned(),
    };
    let others = match thinned.len() - 1 {
        0 => String::new(),
        more => format!(", as have {more} others a changed one"),
    };
    Some(format!("the history of {family} is at its budget of memory: {} keeps {keeps} now{others}", name(first.key)))
}

fn import<K: Copy + Ord + Serialize + DeserializeOwned>(
    pyramid: &mut Pyramid<K>,
    family: Family,
    batch: &LoadBatch,
    key: impl Fn(ShardId) -> K,
) -> Vec<ArchiveChunk> {
    let mut reached: Vec<Range<u64>> = vec![0..0; pyramid.spec().levels.len()];
    for (row, &shard) in batch.shards.iter().enumerate() {
        for (all, steps) in
            reached.iter_mut().zip(pyramid.import(key(shard), batch.start, batch.step_ms, batch.row(row)))
        {
            *all = match (all.is_empty(), steps.is_empty()) {
                (true, _) => steps,
                (false, true) => all.clone(),
                (false, false) => all.start.min(steps.start)..all.end.max(steps.end),
            };
        }
    }
    let chunks = reached.into_iter().enumerate().filter(|(_, steps)| !steps.is_empty());
    chunks.filter_map(|(level, steps)| chunk_of(pyramid, family, level, steps)).collect()
}

#[cfg(test)]
mod tests;
