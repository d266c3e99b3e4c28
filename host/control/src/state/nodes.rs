//! Nodes and the cluster they form.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use crate::state::settings::Settings;
use isobar_model::ids::MAX_ID;
use isobar_model::resources::check_capacities;
use isobar_model::{Capacities, Migration, Node, NodeId, Stage};
use std::collections::BTreeMap;

/// Nodes of a cluster: what one control group is meant for.
const MAX_NODES: usize = 1_000;
/// Longest address: a DNS name has at most 253 bytes, a port six more.
const MAX_ADDR_BYTES: usize = 260;

impl ControlState {
    pub(super) fn form_cluster(&mut self, cluster: String, settings: Settings) -> Result<ControlReply, Refusal> {
        if let Some(ours) = &self.cluster {
            return if *ours == cluster { Ok(ControlReply::Done) } else { Err(other_cluster(ours, &cluster)) };
        }
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if cluster.is_empty() || cluster.len() > 64 || !cluster.chars().all(is_valid) {
            return Err(Refusal::invalid("a cluster's name is 1 to 64 of A-Z a-z 0-9 - _".to_owned()));
        }
        settings.check()?;
        let fields = [("cluster", cluster.clone())];
        self.event(EventKind::Cluster, format!("cluster {cluster} formed"), &fields);
        self.cluster = Some(cluster);
        self.settings = settings;
        self.tell_default_forecaster();
        Ok(ControlReply::Done)
    }

    pub(super) fn set_settings(&mut self, settings: Settings) -> Result<ControlReply, Refusal> {
        settings.check()?;
        if settings.step_ms != self.settings.step_ms && !self.history.blobs.is_empty() {
            return Err(Refusal::conflict(format!(
                "history is recorded in steps of {} ms: the step can't change any more",
                self.settings.step_ms
            )));
        }
        if settings != self.settings {
            self.settings = settings;
            self.event(EventKind::Cluster, "settings changed".to_owned(), &[]);
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn set_halted(&mut self, halted: bool) -> Result<ControlReply, Refusal> {
        if halted != self.halted {
            self.halted = halted;
            let text = if halted { "all automatic moves halted" } else { "automatic moves go on" };
            self.event(EventKind::Cluster, text.to_owned(), &[("halted", halted.to_string())]);
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn register_node(&mut self, cluster: &str, mut node: Node) -> Result<ControlReply, Refusal> {
        if let Some(ours) = self.cluster.as_deref().filter(|ours| *ours != cluster) {
            return Err(other_cluster(ours, cluster));
        }
        if node.id.0 == 0 || node.id.0 >= MAX_ID {
            return Err(Refusal::invalid(format!("a node's number is 1 to 2^53 - 1, not {}", node.id)));
        }
        if !(node.capacity.is_finite() && node.capacity > 0.0) || node.capacity_bytes == 0 {
            return Err(Refusal::invalid(format!(
                "node {} must declare a capacity above 0 for load and for bytes",
                node.id
            )));
        }
        for addr in [&node.peer_addr, &node.http_addr] {
            if addr.is_empty() || addr.len() > MAX_ADDR_BYTES {
                return Err(Refusal::invalid(format!("node {} must declare its addresses as host:port", node.id)));
            }
        }
        let known = self.nodes.get(&node.id);
        if known.is_none() && self.nodes.len() >= MAX_NODES {
            return Err(Refusal::full(format!("a cluster has at most {MAX_NODES} nodes")));
        }
        node.draining = known.is_some_and(|known| known.draining);
        if known == Some(&node) {
            return Ok(ControlReply::Done);
        }
        let what = if known.is_some() { "changed" } else { "joined" };
        let fields = [("node", node.id.to_string()), ("peer_addr", node.peer_addr.clone())];
        self.event(EventKind::Node, format!("node {} {what}", node.id), &fields);
        self.nodes.insert(node.id, node);
        Ok(ControlReply::Done)
    }

    /// What nodes can give beside load; those that are missing declare nothing.
    #[must_use]
    pub fn capacities(&self) -> &BTreeMap<NodeId, Capacities> {
        &self.capacities
    }

    pub(super) fn set_capacities(&mut self, node: NodeId, capacities: Capacities) -> Result<ControlReply, Refusal> {
        self.node(node)?;
        check_capacities(&capacities).map_err(Refusal::invalid)?;
        if self.capacities.get(&node).map_or(capacities.is_empty(), |known| *known == capacities) {
            return Ok(ControlReply::Done);
        }
        let told: Vec<String> =
            capacities.iter().map(|(metric, amount)| format!("{}={amount}", metric.name())).collect();
        let told = told.join(" ");
        let text = if told.is_empty() {
            format!("node {node} declares no capacity beside load")
        } else {
            format!("node {node} declares {told}")
        };
        if capacities.is_empty() {
            self.capacities.remove(&node);
        } else {
            self.capacities.insert(node, capacities);
        }
        self.event(EventKind::Node, text, &[("node", node.to_string()), ("capacities", told)]);
        Ok(ControlReply::Done)
    }

    pub(super) fn set_draining(&mut self, node: NodeId, draining: bool) -> Result<ControlReply, Refusal> {
        self.node(node)?;
        if let Some(known) = self.nodes.get_mut(&node).filter(|known| known.draining != draining) {
            known.draining = draining;
            let text = if draining { "is being emptied" } else { "takes shards again" };
            let fields = [("node", node.to_string()), ("draining", draining.to_string())];
            self.event(EventKind::Node, format!("node {node} {text}"), &fields);
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn remove_node(&mut self, node: NodeId) -> Result<ControlReply, Refusal> {
        self.node(node)?;
        let replicas = self.map.shards.values().filter(|shard| shard.is_on(node)).count();
        // What waits for nothing but the deletion of its data ends with the node: that may never be back.
        let retires = |m: &&Migration| m.stage == Stage::Retire && m.source == node;
        let moves = self.live.values().filter(|m| (m.source == node || m.target == node) && !retires(m)).count();
        if replicas + moves > 0 {
            return Err(Refusal::busy(format!(
                "node {node} still has {replicas} replicas and {moves} moves in flight: drain it first"
            )));
        }
        let retired: Vec<_> = self.live.values().filter(retires).cloned().collect();
        for migration in retired {
            let done = Migration { stage: Stage::Done, stage_since: self.now, ..migration };
            self.migration_event(&done);
            self.finish(done);
        }
        self.nodes.remove(&node);
        self.forget_labels(node);
        self.capacities.remove(&node);
        self.event(EventKind::Node, format!("node {node} removed"), &[("node", node.to_string())]);
        Ok(ControlReply::Done)
    }

    pub(super) fn node(&self, node: NodeId) -> Result<&Node, Refusal> {
        self.nodes
            .get(&node)
            .ok_or_else(|| Refusal::not_found(format!("no node {node} in this cluster: list the nodes")))
    }
}

fn other_cluster(ours: &str, theirs: &str) -> Refusal {
    Refusal::conflict(format!(
        "this is cluster {ours}, not {theirs}: give the node a data directory and seeds of the same cluster"
    ))
}
