//! What nodes are about to use, from what their shards are about to do and where those live.
//!
//! **Costs.** For each node and figure: use = idle + a × load led + b × load followed, by least squares whose sums fade with a half-life of a
//! day of ten-second ticks. None of the three is below zero: of all ways to leave out terms, the best one that keeps to it is taken (an exact
//! non-negative fit, as there are only eight). Where a node has seen too little, or always the same, its fit leans on that of all nodes
//! together. Memory and disk are levels, not rates: they are taken to stay as they are, with the spread of their changes.
//!
//! **Forecast.** Quantiles of shards do not add up, so their means and variances are used: the mean and spread of each shard's quantiles, the
//! sum of means, and for the variance of the sum a common correlation *r* of the shards' errors, measured as they occur:
//! (1 - r) × sum of variances + r × (sum of spreads)². What the fit leaves unexplained adds its own variance. The sum is taken as normal, cut
//! at zero. It fails where costs differ between shards (large values beside small ones), and where the sum of few shards is skewed: then the
//! upper quantiles are too low.

mod costs;
mod moments;

use costs::{Costs, Sums};
use isobar_model::{InstantMs, NodeForecast, NodeId, NodeMetric, NodePath};
use moments::{Moments, normal_quantile};
use std::collections::BTreeMap;

/// What a step leaves of the sums of the correlation: half after a day of five-minute steps.
const CORRELATION_FADE: f64 = 0.9976;
/// Errors of at least so many shards say something about their correlation.
const LEAST_SHARDS: usize = 3;
/// Ticks of nodes, all together, before what load costs is told: three nodes have them in a hundred seconds.
const LEAST_TICKS: f64 = 30.0;
/// What a tick leaves of the sums of a level's changes.
const LEVEL_FADE: f64 = 0.99;

/// What a node did in one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSeen {
    /// Which.
    pub node: NodeId,
    /// Leader load of the shards it leads, together.
    pub led: f32,
    /// Follower load of the others on it, together.
    pub followed: f32,
    /// What it used.
    pub figures: Vec<(NodeMetric, f32)>,
}

/// One shard on a node, and its forecast.
#[derive(Clone, Copy, Debug)]
pub struct ShardPart<'a> {
    /// Whether the node leads it.
    pub leads: bool,
    /// Load of a follower per unit of leader load.
    pub follower_share: f32,
    /// Leader load: one path a quantile, one value a step.
    pub paths: &'a [Vec<f32>],
}

/// A level that stays: its last value, and how it changes.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    last: Option<f64>,
    squares: f64,
    weight: f64,
}

/// What a load unit costs any node, as far as all of them together show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitCosts {
    /// Of a shard that it leads.
    pub led: f32,
    /// Of a follower on it.
    pub followed: f32,
}

/// Learns what load costs, and forecasts what nodes use.
#[derive(Clone, Debug, Default)]
pub struct NodeForecaster {
    of_node: BTreeMap<(NodeId, NodeMetric), Sums>,
    of_all: BTreeMap<NodeMetric, Sums>,
    levels: BTreeMap<(NodeId, NodeMetric), Level>,
    /// Fading sums: of squares of the sum of standard errors, of the squares, and of pairs of shards.
    joint: f64,
    single: f64,
    pairs: f64,
    shards: f64,
}

/// What occurred less the mean of what was forecast for a step, over the forecast's spread. None where either is not known, or the spread is
/// nothing.
#[must_use]
pub fn standard_error(quantiles: &[f32], paths: &[Vec<f32>], step: usize, occurred: f32) -> Option<f32> {
    let values: Vec<f64> = paths.iter().filter_map(|path| path.get(step)).map(|&value| f64::from(value)).collect();
    let moments = Moments::of(quantiles, &values).filter(|moments| moments.spread > 0.0)?;
    let error = (f64::from(occurred) - moments.mean) / moments.spread;
    error.is_finite().then_some(error as f32)
}

fn is_level(metric: NodeMetric) -> bool {
    match metric {
        NodeMetric::MemoryBytes | NodeMetric::DiskUsedBytes => true,
        NodeMetric::CpuMillicores | NodeMetric::StorageIops | NodeMetric::StorageBytes | NodeMetric::NetworkBytes => {
            false
        }
    }
}

impl NodeForecaster {
    /// Learns from one tick. A node of which load or a figure is not known teaches nothing of it.
    pub fn observe(&mut self, nodes: &[NodeSeen]) {
        for seen in nodes.iter().filter(|seen| seen.led.is_finite() && seen.followed.is_finite()) {
            for &(metric, value) in seen.figures.iter().filter(|(_, value)| value.is_finite()) {
                if is_level(metric) {
                    self.levels.entry((seen.node, metric)).or_default().observe(f64::from(value));
                    continue;
                }
                let load = [1.0, f64::from(seen.led.max(0.0)), f64::from(seen.followed.max(0.0))];
                let all = self.of_all.entry(metric).or_default();
                all.observe(load, f64::from(value), None);
                let prior = all.fit(None);
                self.of_node.entry((seen.node, metric)).or_default().observe(load, f64::from(value), Some(&prior));
            }
        }
    }

    /// Learns how errors of forecasts go together: of each shard, what occurred less the middle forecast of it, over the forecast's spread.
    pub fn observe_errors(&mut self, standard: impl IntoIterator<Item = f32>) {
        let errors: Vec<f64> =
            standard.into_iter().filter(|e| e.is_finite()).map(|e| f64::from(e).clamp(-5.0, 5.0)).collect();
        if errors.len() < LEAST_SHARDS {
            return;
        }
        let n = errors.len() as f64;
        let (sum, squares) = errors.iter().fold((0.0, 0.0), |(sum, squares), e| (sum + e, squares + e * e));
        self.joint = self.joint * CORRELATION_FADE + sum * sum;
        self.single = self.single * CORRELATION_FADE + squares;
        self.pairs = self.pairs * CORRELATION_FADE + n * (n - 1.0);
        self.shards = self.shards * CORRELATION_FADE + n;
    }

    /// The correlation of any two shards' errors, 0 to 1; 0 before any was measured.
    #[must_use]
    pub fn correlation(&self) -> f32 {
        if self.pairs <= 0.0 || self.single <= 0.0 {
            return 0.0;
        }
        let (covariance, variance) = ((self.joint - self.single) / self.pairs, self.single / self.shards);
        (covariance / variance).clamp(0.0, 1.0) as f32
    }

    /// What load costs on average over the nodes; none before enough ticks of them were seen. Of a level load costs nothing.
    #[must_use]
    pub fn unit_costs(&self, metric: NodeMetric) -> Option<UnitCosts> {
        if is_level(metric) {
            return Some(UnitCosts { led: 0.0, followed: 0.0 });
        }
        let Costs([_, led, followed]) = self.of_all.get(&metric).filter(|all| all.ticks() >= LEAST_TICKS)?.fit(None);
        Some(UnitCosts { led: led as f32, followed: followed as f32 })
    }

    /// Forgets nodes that are gone for ever.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.of_node.retain(|(node, _), _| keep(*node));
        self.levels.retain(|(node, _), _| keep(*node));
    }

    /// What a node with these shards uses in each step. `quantiles` are those of the shards' paths, ascending, and of the answer.
    #[must_use]
    pub fn forecast(
        &self,
        node: NodeId,
        (start, step_ms): (InstantMs, u32),
        quantiles: &[f32],
        parts: &[ShardPart<'_>],
    ) -> NodeForecast {
        let horizon = parts.iter().filter_map(|part| part.paths.first()).map(Vec::len).max().unwrap_or(0);
        let loads: Vec<Joint> = (0..horizon).map(|step| Joint::of(parts, quantiles, step)).collect();
        let z: Vec<f64> = quantiles.iter().map(|&q| normal_quantile(f64::from(q))).collect();
        let correlation = self.correlation();
        let mut paths = Vec::new();
        for metric in NodeMetric::ALL {
            let (costs, unexplained) = if is_level(metric) {
                let Some(level) = self.levels.get(&(node, metric)) else { continue };
                let Some(last) = level.last else { continue };
                (Costs([last, 0.0, 0.0]), level.variance())
            } else {
                let Some(sums) = self.of_node.get(&(node, metric)) else { continue };
                let prior = self.of_all.get(&metric).map(|all| all.fit(None));
                (sums.fit(prior.as_ref()), sums.unexplained())
            };
            let [idle, per_led, per_followed] = costs.0;
            let at = |z: f64| {
                let value = |load: &Joint| {
                    let (mean, variance) = load.cost(&costs, f64::from(correlation));
                    (mean + z * (variance + unexplained).sqrt()).max(0.0) as f32
                };
                loads.iter().map(value).collect()
            };
            paths.push(NodePath {
                metric,
                idle: idle as f32,
                per_led: per_led as f32,
                per_followed: per_followed as f32,
                paths: z.iter().map(|&z| at(z)).collect(),
            });
        }
        NodeForecast { node, start, step_ms, quantiles: quantiles.to_vec(), correlation, paths }
    }
}

impl Level {
    fn observe(&mut self, value: f64) {
        if let Some(last) = self.last {
            self.squares = self.squares * LEVEL_FADE + (value - last).powi(2);
            self.weight = self.weight * LEVEL_FADE + 1.0;
        }
        self.last = Some(value);
    }

    fn variance(&self) -> f64 {
        if self.weight > 0.0 { self.squares / self.weight } else { 0.0 }
    }
}

/// Load of all shards of a node in one step, led and followed: sums of means, variances and spreads.
#[derive(Clone, Copy, Debug, Default)]
struct Joint {
    led: Moments,
    followed: Moments,
}

impl Joint {
    fn of(parts: &[ShardPart<'_>], quantiles: &[f32], step: usize) -> Self {
        let mut joint = Self::default();
        for part in parts {
            let values = part.paths.iter().filter_map(|path| path.get(step)).map(|&value| f64::from(value));
            let Some(moments) = Moments::of(quantiles, &values.collect::<Vec<_>>()) else { continue };
            if part.leads {
                joint.led.add(&moments);
            } else {
                joint.followed.add(&moments.scaled(f64::from(part.follower_share.max(0.0))));
            }
        }
        joint
    }

    /// Mean and variance of what it costs.
    fn cost(&self, Costs([idle, a, b]): &Costs, correlation: f64) -> (f64, f64) {
        let mean = idle + a * self.led.mean + b * self.followed.mean;
        let alone = a * a * self.led.variance + b * b * self.followed.variance;
        let together = (a * self.led.spread + b * self.followed.spread).powi(2);
        (mean, (1.0 - correlation) * alone + correlation * together)
    }
}

#[cfg(test)]
mod tests;
