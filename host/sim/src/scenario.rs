//! A scenario: tenants made shards, shards placed on nodes.

use crate::node_plan::NodePlan;
use crate::start::random_placement;
use crate::timeline::Placement;
use crate::trace::{DAY_STEPS, Regions, STEP_MS, Tenant, Trace};
use isobar_model::{InstantMs, LoadBatch, LoadWeights, Metric, NodeId, ShardId};
use std::ops::Range;

/// Bytes of one replica where a scenario does not say: what a demo's shard holds, within an order of magnitude.
const SHARD_BYTES: u64 = 1 << 20;

/// Step 0 on the control clock: 2024-01-01, a Monday, 00:00 UTC. The sources' own years do not matter, their hours do.
const ORIGIN: InstantMs = InstantMs(1_704_067_200_000);

/// What makes a scenario out of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioSpec {
    /// Nodes, all alike.
    pub nodes: usize,
    /// Copies of each shard.
    pub replication_factor: usize,
    /// Steps known before the first window.
    pub history_steps: usize,
    /// Steps of one window.
    pub window_steps: usize,
    /// Capacity of all nodes together over the total load that the history stayed below in 95 of 100 steps.
    pub headroom: f64,
    /// In place of `headroom`: load units per second that a node of size 1 carries.
    pub capacity: Option<f64>,
    /// Most of a node's capacity that one shard may take as leader in 99 of 100 steps of the history; larger tenants are split.
    pub shard_share: f64,
    /// Operations per second of all tenants together, on average over the history.
    pub mean_ops_per_s: f64,
    /// Share of reads among the operations.
    pub read_share: f32,
    /// What operations cost.
    pub weights: LoadWeights,
    /// How the series become tenants.
    pub regions: Regions,
    /// Seed of the start placement.
    pub seed: u64,
}

impl Default for ScenarioSpec {
    /// The demo's: six nodes, factor 3, 14 days of history, windows of 12 hours, headroom 1.3, reads 80 %.
    fn default() -> Self {
        Self {
            nodes: 6,
            replication_factor: 3,
            history_steps: 14 * DAY_STEPS,
            window_steps: DAY_STEPS / 2,
            headroom: 1.3,
            capacity: None,
            shard_share: 0.15,
            mean_ops_per_s: 1_000.0,
            read_share: 0.8,
            weights: LoadWeights::default(),
            regions: Regions::default(),
            seed: 1,
        }
    }
}

/// A scenario that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Too short a trace.
    #[error("the trace has {steps} steps a tenant; history and one window need {needed}")]
    TooShort {
        /// What it has.
        steps: usize,
        /// What is needed.
        needed: usize,
    },
    /// A figure out of range.
    #[error("{0}")]
    BadSpec(&'static str),
}

/// One shard: a tenant, or an equal part of a large one.
#[derive(Clone, Debug, PartialEq)]
pub struct SimShard {
    /// The tenant's name.
    pub tenant: String,
    /// Which part of it, from 0.
    pub part: usize,
    /// Parts it has.
    pub parts: usize,
    /// Offered operations per second, one value a step.
    pub ops: Vec<f32>,
}

/// Shards with their offered rates, nodes with their capacity, and where everything begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What made it.
    pub spec: ScenarioSpec,
    /// Length of a step.
    pub step_ms: u32,
    /// Shards; their [`ShardId`]s count from 1.
    pub shards: Vec<SimShard>,
    /// Load units per second that a node of size 1 carries; see [`Scenario::capacity_of`].
    pub capacity: f32,
    /// The nodes, `spec.nodes` of them, and what befalls them.
    pub nodes: NodePlan,
    /// Bytes of one replica of each shard.
    pub bytes: Vec<u64>,
    /// Where the replicas of each shard begin, the leader first: seeded, random, balanced by count.
    pub start: Placement,
}

impl Scenario {
    /// Builds the scenario. Everything is decided by the trace's history, the specification and its seed, nothing by what comes after.
    pub fn new(trace: &Trace, spec: ScenarioSpec) -> Result<Self, ScenarioError> {
        check(&spec)?;
        let tenants = trace.tenants(spec.regions, spec.history_steps);
        let nodes = NodePlan::alike(spec.nodes);
        Self::of_tenants(tenants, nodes, spec)
    }

    /// Builds the scenario of tenants with relative loads, of equal length each, on these nodes; the specification's number of nodes is set by them.
    pub fn of_tenants(tenants: Vec<Tenant>, nodes: NodePlan, spec: ScenarioSpec) -> Result<Self, ScenarioError> {
        let spec = ScenarioSpec { nodes: nodes.nodes.len(), ..spec };
        check(&spec)?;
        let steps = tenants.first().map_or(0, |tenant| tenant.load.len());
        let needed = spec.history_steps + spec.window_steps;
        if steps < needed {
            return Err(ScenarioError::TooShort { steps, needed });
        }
        let history = 0..spec.history_steps;
        let mut total: Vec<f64> =
            history.clone().map(|step| tenants.iter().map(|tenant| f64::from(tenant.load[step])).sum()).collect();
        let mean = total.iter().sum::<f64>() / total.len() as f64;
        if mean <= 0.0 {
            return Err(ScenarioError::BadSpec("the trace's history holds no load"));
        }
        let scale = spec.mean_ops_per_s / mean;
        let (leader, follower) = costs(&spec);
        let units_per_op = f64::from(leader) + f64::from(follower) * (spec.replication_factor - 1) as f64;
        let by_headroom = spec.headroom * quantile(&mut total, 0.95) * scale * units_per_op / nodes.total_size();
        let capacity = spec.capacity.unwrap_or(by_headroom);
        let mut shards = Vec::new();
        for tenant in tenants {
            let mut past: Vec<f64> = tenant.load[history.clone()].iter().map(|&v| f64::from(v) * scale).collect();
            let peak = quantile(&mut past, 0.99) * f64::from(leader);
            let parts = (peak / (spec.shard_share * capacity)).ceil().max(1.0) as usize;
            let ops: Vec<f32> = tenant.load.iter().map(|&v| (f64::from(v) * scale / parts as f64) as f32).collect();
            shards.extend((0..parts).map(|part| SimShard {
                tenant: tenant.name.clone(),
                part,
                parts,
                ops: ops.clone(),
            }));
        }
        let start = random_placement(shards.len(), &nodes, spec.replication_factor, spec.seed);
        let bytes = vec![SHARD_BYTES; shards.len()];
        Ok(Self { step_ms: STEP_MS, capacity: capacity as f32, nodes, bytes, start, shards, spec })
    }

    /// A scenario of given parts, for tests of their own. `capacity` in load units per second.
    #[must_use]
    pub fn from_parts(spec: ScenarioSpec, shards: Vec<SimShard>, capacity: f32, start: Placement) -> Self {
        let (nodes, bytes) = (NodePlan::alike(spec.nodes), vec![SHARD_BYTES; shards.len()]);
        Self { spec, step_ms: STEP_MS, shards, capacity, nodes, bytes, start }
    }

    /// Load units per second that a node carries, by its place among them.
    #[must_use]
    pub fn capacity_of(&self, node: usize) -> f32 {
        self.capacity * self.nodes.nodes.get(node).map_or(1.0, |node| node.size)
    }

    /// Load units that one operation costs the leader.
    #[must_use]
    pub fn leader_cost(&self) -> f32 {
        costs(&self.spec).0
    }

    /// Load units that one operation costs each follower.
    #[must_use]
    pub fn follower_cost(&self) -> f32 {
        costs(&self.spec).1
    }

    /// Steps of each shard's rates.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.shards.first().map_or(0, |shard| shard.ops.len())
    }

    /// Steps of window `k`: the first begins where the history ends.
    #[must_use]
    pub fn window(&self, k: usize) -> Range<usize> {
        let start = self.spec.history_steps + k * self.spec.window_steps;
        start..start + self.spec.window_steps
    }

    /// Whole windows that the trace holds.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.steps().saturating_sub(self.spec.history_steps) / self.spec.window_steps
    }

    /// The history that is known at `step`: as many steps before it as before the first window.
    #[must_use]
    pub fn history(&self, step: usize) -> Range<usize> {
        step.saturating_sub(self.spec.history_steps)..step
    }

    /// When `step` begins, on the control clock.
    #[must_use]
    pub fn instant(&self, step: usize) -> InstantMs {
        ORIGIN.plus_ms(step as u64 * u64::from(self.step_ms))
    }

    /// The nodes' numbers, from 1.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.spec.nodes as u64).map(NodeId)
    }

    /// A node's place among them.
    #[must_use]
    pub fn node_index(&self, node: NodeId) -> Option<usize> {
        (1..=self.spec.nodes as u64).contains(&node.0).then(|| node.0 as usize - 1)
    }

    /// The shards' numbers, from 1.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (1..=self.shards.len() as u64).map(ShardId)
    }

    /// A shard's place among them.
    #[must_use]
    pub fn shard_index(&self, shard: ShardId) -> Option<usize> {
        (1..=self.shards.len() as u64).contains(&shard.0).then(|| shard.0 as usize - 1)
    }

    /// The leaders' load in `steps`, for a forecaster: batches of at most 256 shards, as the contract wants history.
    #[must_use]
    pub fn load_batches(&self, steps: Range<usize>) -> Vec<LoadBatch> {
        let cost = self.leader_cost();
        let ids: Vec<ShardId> = self.shard_ids().collect();
        ids.chunks(256)
            .zip(self.shards.chunks(256))
            .map(|(ids, shards)| LoadBatch {
                metric: Metric::Load,
                start: self.instant(steps.start),
                step_ms: self.step_ms,
                steps: steps.len() as u32,
                shards: ids.to_vec(),
                values: shards.iter().flat_map(|s| s.ops[steps.clone()].iter().map(|ops| ops * cost)).collect(),
            })
            .collect()
    }
}

fn check(spec: &ScenarioSpec) -> Result<(), ScenarioError> {
    let bad = |problem| Err(ScenarioError::BadSpec(problem));
    if spec.replication_factor == 0 || spec.replication_factor > spec.nodes {
        return bad("the replication factor must be 1 to the number of nodes");
    }
    if !(spec.headroom > 0.0 && spec.shard_share > 0.0 && spec.mean_ops_per_s > 0.0) {
        return bad("headroom, shard share and mean operations per second must be above 0");
    }
    if spec.capacity.is_some_and(|capacity| !(capacity > 0.0 && capacity.is_finite())) {
        return bad("a node's capacity must be above 0");
    }
    if !(0.0..=1.0).contains(&spec.read_share) {
        return bad("the share of reads must be 0 to 1");
    }
    if spec.history_steps == 0 || spec.window_steps == 0 || spec.regions.count == 0 {
        return bad("history, windows and regions must not be empty");
    }
    Ok(())
}

/// Load units of one operation on the leader and on each follower.
fn costs(spec: &ScenarioSpec) -> (f32, f32) {
    let (reads, writes) = (spec.read_share, 1.0 - spec.read_share);
    (spec.weights.leader(reads, writes), spec.weights.follower(writes))
}

/// The value that a share `q` of the values stay at or below (linear between neighbours). Sorts them.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = q * (values.len() - 1) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shard_is_too_large_and_tenants_are_whole() {
        let trace = Trace::worldwide().unwrap();
        let scenario = Scenario::new(&trace, ScenarioSpec::default()).unwrap();
        assert!(scenario.shards.len() >= 100, "{} shards", scenario.shards.len());
        assert!(scenario.windows() >= 20);
        for shard in &scenario.shards {
            let mut past: Vec<f64> = shard.ops[scenario.history(scenario.window(0).start)]
                .iter()
                .map(|&v| f64::from(v * scenario.leader_cost()))
                .collect();
            assert!(quantile(&mut past, 0.99) <= 0.1501 * f64::from(scenario.capacity));
        }
        let mean: f64 =
            scenario.shards.iter().map(|s| s.ops[..4032].iter().map(|&v| f64::from(v)).sum::<f64>() / 4032.0).sum();
        assert!((mean - 1_000.0).abs() < 0.1, "{mean}");
    }

    #[test]
    fn impossible_scenarios_are_refused() {
        let trace = Trace::worldwide().unwrap();
        let refused = |spec| Scenario::new(&trace, spec).unwrap_err().to_string();
        assert!(refused(ScenarioSpec { nodes: 2, ..ScenarioSpec::default() }).contains("replication factor"));
        assert!(refused(ScenarioSpec { headroom: f64::NAN, ..ScenarioSpec::default() }).contains("headroom"));
        assert!(refused(ScenarioSpec { history_steps: 9_000, ..ScenarioSpec::default() }).contains("need 9144"));
    }
}
