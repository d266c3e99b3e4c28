//! What is known of nodes.

use super::NodeBackend;
use crate::node::usage_report::usage_info;
use isobar_api::backend::{BackendError, NodeReport};
use isobar_control::ControlState;
use isobar_model::{Capacities, NodeId, NodeState};
use std::collections::{BTreeMap, BTreeSet};

impl NodeBackend {
    pub(super) fn node_report(&self, id: NodeId) -> Result<NodeReport, BackendError> {
        let missing = || BackendError::NotFound(format!("there is no node {id}: see /v1/nodes"));
        self.node_reports()?.into_iter().find(|report| report.node.id == id).ok_or_else(missing)
    }

    /// On the control leader with what its last round measured; elsewhere as the directory has it, for callers who need addresses.
    pub(super) fn node_reports(&self) -> Result<Vec<NodeReport>, BackendError> {
        let Ok(controller) = self.controller() else {
            let report = |node: &isobar_model::Node| NodeReport {
                node: node.clone(),
                labels: BTreeSet::new(),
                capacities: Capacities::new(),
                state: if node.draining { NodeState::Draining } else { NodeState::Up },
                load: f32::NAN,
                used_bytes: 0,
                usage: None,
            };
            return Ok(self.directory.nodes().values().map(report).collect());
        };
        let state = self.read(ControlState::clone)?;
        Ok(controller.with_baseline(|baseline| {
            let mut load: BTreeMap<NodeId, f32> = BTreeMap::new();
            for shard in state.map().shards.values() {
                let (leader_load, follower_load) = baseline.load(shard.id);
                for replica in &shard.replicas {
                    let part = if Some(replica.node) == shard.leader { leader_load } else { follower_load };
                    *load.entry(replica.node).or_default() += part;
                }
            }
            let report = |node: &isobar_model::Node| NodeReport {
                node: node.clone(),
                labels: state.labels().get(&node.id).cloned().unwrap_or_default(),
                capacities: state.capacities().get(&node.id).cloned().unwrap_or_default(),
                state: baseline.node_state(node),
                load: load.get(&node.id).copied().unwrap_or(0.0),
                used_bytes: baseline.used(node.id),
                usage: baseline.usage(node.id).map(usage_info),
            };
            state.nodes().values().map(report).collect()
        }))
    }
}
