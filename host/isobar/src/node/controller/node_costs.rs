//! What nodes are about to use: learned from each round, answered from the last forecast of all shards.

use super::Controller;
use crate::node::observe::Costs;
use isobar_analyzer::{NodeForecaster, NodeSeen, ShardPart, standard_error};
use isobar_api::backend::BackendError;
use isobar_control::{ControlState, ForecastAnswer};
use isobar_model::{InstantMs, LoadBatch, NodeForecast, NodeId, NodeMetric, ShardId};
use isobar_ports::Observation;
use std::collections::BTreeMap;

/// What is learned, and the forecast it is applied to.
#[derive(Debug, Default)]
pub(super) struct NodeCosts {
    forecaster: NodeForecaster,
    /// The forecast in force, made when the last step closed.
    answer: Option<ForecastAnswer>,
    /// Load of a follower per unit of leader load, by shard.
    shares: BTreeMap<ShardId, f32>,
}

impl Controller {
    /// Learns what the last round's load cost each node.
    pub(super) fn learn_costs(&self, state: &ControlState) {
        let seen = self.with_baseline(|baseline| {
            let mut load: BTreeMap<NodeId, (f32, f32)> = BTreeMap::new();
            for shard in state.map().shards.values() {
                let (leader_load, follower_load) = baseline.load(shard.id);
                for replica in &shard.replicas {
                    let (led, followed) = load.entry(replica.node).or_default();
                    // One that is not known makes the sum unknown, and the tick teaches nothing.
                    if Some(replica.node) == shard.leader { *led += leader_load } else { *followed += follower_load }
                }
            }
            let known = state.nodes().keys().filter_map(|&node| Some((node, baseline.usage(node)?)));
            known
                .map(|(node, used)| {
                    let (led, followed) = load.get(&node).copied().unwrap_or_default();
                    let figures = used.figures.iter().map(|(&metric, &value)| (metric, value)).collect();
                    NodeSeen { node, led, followed, figures }
                })
                .collect::<Vec<_>>()
        });
        let mut costs = self.node_costs.lock();
        costs.forecaster.retain(|node| state.nodes().contains_key(&node));
        costs.forecaster.observe(&seen);
    }

    /// What the brain sees at `now`, `span_ms` after the round before.
    pub(super) fn observation(&self, state: &ControlState, now: InstantMs, span_ms: u64) -> Observation {
        let costs: Costs = {
            let known = self.node_costs.lock();
            NodeMetric::ALL.into_iter().filter_map(|of| Some((of, known.forecaster.unit_costs(of)?))).collect()
        };
        self.with_baseline(|baseline| baseline.observation(state, now, span_ms, &costs))
    }

    /// Compares steps that closed with what was forecast of them, and takes the forecast made since.
    pub(super) async fn learn_errors(&self, closed: &LoadBatch) -> anyhow::Result<()> {
        let (answer, shares) = self
            .brain
            .call(|brain| {
                let shares = brain.last_view().map(|view| {
                    let shards = &view.shards;
                    shards.ids.iter().copied().zip(shards.follower_share.iter().copied()).collect::<Vec<_>>()
                });
                (brain.forecast_of_all(), shares.unwrap_or_default())
            })
            .await?;
        let mut costs = self.node_costs.lock();
        if let Some(before) = costs.answer.replace(answer) {
            let step = (closed.start.0.checked_sub(before.start.0)).map(|ms| ms / u64::from(before.step_ms.max(1)));
            let paths: BTreeMap<ShardId, &[Vec<f32>]> =
                before.shards.iter().map(|shard| (shard.shard, shard.paths.as_slice())).collect();
            let errors = closed.shards.iter().enumerate().filter_map(|(row, shard)| {
                let (step, occurred) = (usize::try_from(step?).ok()?, *closed.row(row).first()?);
                standard_error(&before.quantiles, paths.get(shard)?, step, occurred)
            });
            costs.forecaster.observe_errors(errors);
        }
        costs.shares.extend(shares);
        Ok(())
    }

    /// What a node uses in each step to come, under the present placement.
    pub(crate) fn node_forecast(
        &self,
        state: &ControlState,
        node: NodeId,
        now: InstantMs,
    ) -> Result<NodeForecast, BackendError> {
        if !state.nodes().contains_key(&node) {
            return Err(BackendError::NotFound(format!("there is no node {node}: see /v1/nodes")));
        }
        let costs = self.node_costs.lock();
        let Some(answer) = &costs.answer else {
            return Err(BackendError::Unavailable(format!(
                "no step has closed since this node began to lead the control group (now {now} ms), so nothing is forecast yet: try again after the next one"
            )));
        };
        let paths: BTreeMap<ShardId, &[Vec<f32>]> =
            answer.shards.iter().map(|shard| (shard.shard, shard.paths.as_slice())).collect();
        let parts: Vec<ShardPart<'_>> = state
            .map()
            .shards
            .values()
            .filter(|shard| shard.is_on(node))
            .filter_map(|shard| {
                Some(ShardPart {
                    leads: shard.leader == Some(node),
                    follower_share: costs.shares.get(&shard.id).copied().unwrap_or(0.0),
                    paths: paths.get(&shard.id)?,
                })
            })
            .collect();
        Ok(costs.forecaster.forecast(node, (answer.start, answer.step_ms), &answer.quantiles, &parts))
    }
}
