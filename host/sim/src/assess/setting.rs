//! What is asked, and the scenarios made of the load.

use super::course::{SeedOutcome, SeedRun};
use super::findings::Findings;
use super::interval::quantile;
use super::shared_forecaster::SharedForecaster;
use super::unit_load::UnitLoad;
use crate::arms::{ArmError, MakeForecaster, MakePlacer};
use crate::scenario::{Scenario, ScenarioSpec, SimShard};
use crate::timeline::Placement;
use isobar_model::{LoadWeights, NodeId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use std::ops::Range;

/// Requests of a shard in a step, on average: nodes count whole requests, and so many make the rounding 1 %.
const REQUESTS_A_STEP: f64 = 10_000.0;
/// Shards at most: beyond, a run of all arms takes hours. Units are to be put together before.
pub(super) const MAX_SHARDS: usize = 1_024;
/// Shards × steps of history that each arm's brain keeps, at most: 16 MiB, with 27 brains at once. Older steps are left out.
const MAX_HISTORY_CELLS: usize = 1 << 22;
/// Steps of the window at most: ten days of five minutes and some. Later ones are left out.
const MAX_WINDOW_STEPS: usize = 4_032;
/// Fewest steps of the window of which anything can be said.
const MIN_WINDOW_STEPS: usize = 24;
/// Fewest parts of the window that are resampled, and most: days where there are so many.
const BLOCKS: Range<usize> = 4..32;
const DAY_MS: usize = 86_400_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AssessSpec {
    /// Nodes, all alike.
    pub nodes: usize,
    /// Capacity of all nodes together over the total load that the history stayed below in 95 of 100 steps. Several.
    pub headrooms: Vec<f64>,
    /// Steps from the decision to the effect of a move. Several.
    pub leads: Vec<usize>,
    /// Random starts, by their seeds.
    pub seeds: Vec<u64>,
    /// Steps known before the window; none: two thirds of the record.
    pub history_steps: Option<usize>,
    /// Most of a node's capacity, at the smallest headroom, that one shard may take in 99 of 100 steps of the history; larger units are split.
    pub shard_share: f64,
}

impl Default for AssessSpec {
    /// Six nodes, headrooms 1.1, 1.3 and 1.5, leads 1, 6 and 12, eight starts, shards of 15 % of a node.
    fn default() -> Self {
        Self {
            nodes: 6,
            headrooms: vec![1.1, 1.3, 1.5],
            leads: vec![1, 6, 12],
            seeds: (1..=8).collect(),
            history_steps: None,
            shard_share: 0.15,
        }
    }
}

impl AssessSpec {
    /// Whether it can be asked, whatever the record.
    pub fn check(&self) -> Result<(), AssessError> {
        let bad = |problem| Err(AssessError::BadSpec(problem));
        if !(2..=64).contains(&self.nodes) {
            return bad("from 2 to 64 nodes can be assessed");
        }
        if self.headrooms.is_empty()
            || self.headrooms.len() > 8
            || !self.headrooms.iter().all(|h| (0.5..=10.0).contains(h))
        {
            return bad("from 1 to 8 headrooms are wanted, each from 0.5 to 10");
        }
        if self.leads.is_empty() || self.leads.len() > 8 || !self.leads.iter().all(|lead| (1..=288).contains(lead)) {
            return bad("from 1 to 8 lead times are wanted, each from 1 to 288 steps");
        }
        if self.seeds.is_empty() || self.seeds.len() > 64 {
            return bad("from 1 to 64 starts can be assessed");
        }
        if !(0.01..=1.0).contains(&self.shard_share) {
            return bad("the share of a node that a shard may take is 0.01 to 1");
        }
        Ok(())
    }
}

/// Who decides.
#[derive(Clone)]
pub struct AssessPolicies {
    /// Forecasts for all arms but the clairvoyant.
    pub forecaster: MakeForecaster,
    /// Places without a forecast.
    pub reactive: MakePlacer,
    /// Places by the forecast.
    pub predictive: MakePlacer,
    /// The same for who knows the future: moves cost next to nothing.
    pub clairvoyant: MakePlacer,
}

impl std::fmt::Debug for AssessPolicies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssessPolicies").finish_non_exhaustive()
    }
}

/// An assessment that can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssessError {
    /// Too few steps.
    #[error(
        "the record has {steps} steps, of which {history} are history: at least {needed} are needed in all, half of them history; record longer, or choose a shorter --step"
    )]
    TooShort {
        /// Steps there are.
        steps: usize,
        /// Of which history.
        history: usize,
        /// Steps needed.
        needed: usize,
    },
    /// No load in the history.
    #[error("there is no load in the first {0} steps, which are history: nothing can be learned of them")]
    NoLoad(usize),
    /// Too many shards.
    #[error(
        "{0} shards are more than the {MAX_SHARDS} that can be assessed: put units together, or take fewer nodes or a larger --shard-share"
    )]
    TooManyShards(usize),
    /// A figure out of range.
    #[error("{0}")]
    BadSpec(&'static str),
}

/// What was made of the record, for people to check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Units in the record.
    pub units: usize,
    /// Shards made of them.
    pub shards: usize,
    /// Units that were split.
    pub split_units: usize,
    /// Units that would have to be split further than they can be, because of one hot key.
    pub unsplittable_units: usize,
    /// Nodes.
    pub nodes: usize,
    /// Length of a step in milliseconds.
    pub step_ms: u32,
    /// Steps of the record before the history that is kept.
    pub skipped_steps: usize,
    /// Steps known before the window.
    pub history_steps: usize,
    /// Steps of the window.
    pub window_steps: usize,
    /// Steps of the record that are not used: older than the history that is kept, or later than the longest window.
    pub unused_steps: usize,
    /// Load per second, in the record's own unit, that all together stay below in 95 of 100 steps of the history.
    pub usual_peak: f64,
    /// The largest total load of the window over that.
    pub window_peak_share: f64,
    /// Largest share of all load that one shard has, on average over the history.
    pub largest_shard_share: f64,
}

/// Loads made shards, ready to be run.
#[derive(Clone, Debug)]
pub struct Assessment {
    pub(super) spec: AssessSpec,
    pub(super) policies: AssessPolicies,
    pub(super) facts: Facts,
    pub(super) step_ms: u32,
    pub(super) shards: Vec<SimShard>,
    pub(super) bytes: Option<Vec<u64>>,
    /// Load units per second of a node at headroom 1.
    pub(super) node_at_one: f64,
}

impl Assessment {
    /// Makes shards of units that are all recorded over the same steps. Everything is decided by the history, nothing by what comes after.
    pub fn new(
        units: &[UnitLoad],
        step_ms: u32,
        spec: AssessSpec,
        policies: AssessPolicies,
    ) -> Result<Self, AssessError> {
        spec.check()?;
        let steps = units.iter().map(|unit| unit.values.len()).min().unwrap_or(0);
        let needed = 2 * MIN_WINDOW_STEPS;
        let history = spec.history_steps.unwrap_or(steps * 2 / 3).min(steps);
        if history < MIN_WINDOW_STEPS || steps - history < MIN_WINDOW_STEPS {
            return Err(AssessError::TooShort { steps, history, needed });
        }
        let total = |step: usize| units.iter().map(|unit| f64::from(unit.values[step])).sum::<f64>();
        let mut past: Vec<f64> = (0..history).map(total).collect();
        past.sort_by(f64::total_cmp);
        let usual_peak = quantile(&past, 0.95);
        if usual_peak <= 0.0 {
            return Err(AssessError::NoLoad(history));
        }
        let smallest = spec.headrooms.iter().copied().fold(f64::INFINITY, f64::min);
        let node = usual_peak / spec.nodes as f64;
        let most = spec.shard_share * smallest * node;
        let wanted_parts = |unit: &UnitLoad| {
            let mut past: Vec<f64> = unit.values[..history].iter().map(|value| f64::from(*value)).collect();
            past.sort_by(f64::total_cmp);
            (quantile(&past, 0.99) / most).ceil().max(1.0) as usize
        };
        let wanted: Vec<usize> = units.iter().map(wanted_parts).collect();
        let parts = |at: usize| wanted[at].min(units[at].max_parts.max(1));
        let shards: usize = (0..units.len()).map(parts).sum();
        if shards > MAX_SHARDS {
            return Err(AssessError::TooManyShards(shards));
        }

        let kept = (MAX_HISTORY_CELLS / shards.max(1)).max(MIN_WINDOW_STEPS).min(history);
        let window = (steps - history).min(MAX_WINDOW_STEPS);
        let used = history - kept..history + window;
        let mean = past.iter().sum::<f64>() / past.len() as f64;
        let step_s = f64::from(step_ms) / 1000.0;
        let scale = REQUESTS_A_STEP * shards as f64 / (mean.max(usual_peak * 1e-3) * step_s);
        let mut made = Vec::with_capacity(shards);
        for (at, unit) in units.iter().enumerate() {
            let parts = parts(at);
            let ops: Vec<f32> = unit.values[used.clone()]
                .iter()
                .map(|value| (f64::from(*value) * scale / parts as f64) as f32)
                .collect();
            made.extend((0..parts).map(|part| SimShard { tenant: unit.name.clone(), part, parts, ops: ops.clone() }));
        }
        let bytes = units.iter().map(|unit| unit.bytes).collect::<Option<Vec<u64>>>().map(|bytes| {
            let each = bytes.iter().enumerate();
            each.flat_map(|(at, bytes)| std::iter::repeat_n(bytes / parts(at) as u64, parts(at))).collect()
        });
        let mean_of = |shard: &SimShard| shard.ops[..kept].iter().map(|ops| f64::from(*ops)).sum::<f64>();
        let sums: Vec<f64> = made.iter().map(mean_of).collect();
        let facts = Facts {
            units: units.len(),
            shards,
            split_units: (0..units.len()).filter(|at| parts(*at) > 1).count(),
            unsplittable_units: (0..units.len()).filter(|at| parts(*at) < wanted[*at]).count(),
            nodes: spec.nodes,
            step_ms,
            skipped_steps: history - kept,
            history_steps: kept,
            window_steps: window,
            unused_steps: steps - used.len(),
            usual_peak,
            window_peak_share: (history..history + window).map(total).fold(0.0, f64::max) / usual_peak,
            largest_shard_share: sums.iter().copied().fold(0.0, f64::max) / sums.iter().sum::<f64>().max(1e-9),
        };
        Ok(Self { policies, facts, step_ms, shards: made, bytes, node_at_one: node * scale, spec })
    }

    /// What was made of the record.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is asked.
    #[must_use]
    pub fn spec(&self) -> &AssessSpec {
        &self.spec
    }

    /// Total load per step of history and window, in the record's own unit, and the place where the window begins.
    #[must_use]
    pub fn total(&self) -> (Vec<f64>, usize) {
        let scale = self.facts.usual_peak / (self.node_at_one * self.spec.nodes as f64);
        let steps = self.shards.first().map_or(0, |shard| shard.ops.len());
        let total = |step: usize| self.shards.iter().map(|shard| f64::from(shard.ops[step])).sum::<f64>() * scale;
        ((0..steps).map(total).collect(), self.facts.history_steps)
    }

    /// A run of all arms from the start of one seed.
    pub fn begin(&self, seed: u64) -> Result<SeedRun, ArmError> {
        SeedRun::new(self, seed, SharedForecaster::new(&self.policies.forecaster)?)
    }

    /// Runs from several starts. They carry the same load, so that they share each forecast: step all of them before any is stepped again.
    pub fn begin_together(&self, seeds: &[u64]) -> Result<Vec<SeedRun>, ArmError> {
        let shared = SharedForecaster::new(&self.policies.forecaster)?;
        seeds.iter().map(|seed| SeedRun::new(self, *seed, shared.clone())).collect()
    }

    /// What all runs come to, in the order of the seeds.
    #[must_use]
    pub fn conclude(&self, runs: &[SeedOutcome]) -> Findings {
        Findings::of(self, runs)
    }

    /// The scenario of one seed at one headroom.
    pub(super) fn scenario(&self, seed: u64, headroom: f64) -> Scenario {
        let spec = ScenarioSpec {
            nodes: self.spec.nodes,
            replication_factor: 1,
            history_steps: self.facts.history_steps,
            window_steps: self.facts.window_steps,
            headroom,
            shard_share: self.spec.shard_share,
            read_share: 1.0,
            weights: LoadWeights::default(),
            seed,
            ..ScenarioSpec::default()
        };
        let start = random_start(self.shards.len(), self.spec.nodes, seed);
        let capacity = (headroom * self.node_at_one) as f32;
        let mut scenario = Scenario::from_parts(spec, self.shards.clone(), capacity, start);
        scenario.step_ms = self.step_ms;
        scenario
    }

    /// Parts of the window that are resampled: days, or what is nearest to them and makes enough parts.
    pub(super) fn blocks(&self) -> Vec<Range<usize>> {
        let (first, steps) = (self.facts.history_steps, self.facts.window_steps);
        let day = (DAY_MS / self.step_ms as usize).max(1);
        let count = (steps / day).clamp(BLOCKS.start, BLOCKS.end).min(steps);
        let edge = |at: usize| first + steps * at / count;
        (0..count).map(|at| edge(at)..edge(at + 1)).collect()
    }
}

/// A random placement in which no node has two more shards than another.
fn random_start(shards: usize, nodes: usize, seed: u64) -> Placement {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut order: Vec<u64> = (1..=nodes as u64).collect();
    order.shuffle(&mut rng);
    let mut homes: Vec<NodeId> = (0..shards).map(|at| NodeId(order[at % nodes])).collect();
    homes.shuffle(&mut rng);
    homes.into_iter().map(|home| vec![home]).collect()
}
