//! What nodes say of themselves, and what keyspaces ask of them.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use isobar_model::placement_rules::MAX_LABELS;
use isobar_model::{KeyspaceId, Label, NodeId, PlacementRules};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Labels by node, and rules by keyspace; those that are missing: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placement {
    labels: BTreeMap<NodeId, BTreeSet<Label>>,
    rules: BTreeMap<KeyspaceId, PlacementRules>,
}

impl Placement {
    /// What a snapshot of a release without placement rules lacks at its end.
    pub(super) fn encoded_absence() -> Vec<u8> {
        postcard::to_allocvec(&Self::default()).expect("empty maps are plain data, which always encodes")
    }
}

impl ControlState {
    /// What nodes say of themselves; those that are missing say nothing.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<NodeId, BTreeSet<Label>> {
        &self.placement.labels
    }

    /// Where replicas may live, by keyspace; those that are missing: anywhere.
    #[must_use]
    pub fn placement_rules(&self) -> &BTreeMap<KeyspaceId, PlacementRules> {
        &self.placement.rules
    }

    pub(super) fn set_labels(&mut self, node: NodeId, labels: BTreeSet<Label>) -> Result<ControlReply, Refusal> {
        self.node(node)?;
        if labels.len() > MAX_LABELS {
            return Err(Refusal::invalid(format!("a node has at most {MAX_LABELS} labels, not {}", labels.len())));
        }
        if self.placement.labels.get(&node).map_or(labels.is_empty(), |known| *known == labels) {
            return Ok(ControlReply::Done);
        }
        let told = labels.iter().map(Label::to_string).collect::<Vec<_>>().join(" ");
        let text =
            if told.is_empty() { format!("node {node} has no labels") } else { format!("node {node} is {told}") };
        if labels.is_empty() {
            self.placement.labels.remove(&node);
        } else {
            self.placement.labels.insert(node, labels);
        }
        self.event(EventKind::Node, text, &[("node", node.to_string()), ("labels", told)]);
        Ok(ControlReply::Done)
    }

    pub(super) fn set_placement_rules(
        &mut self,
        keyspace: KeyspaceId,
        rules: PlacementRules,
    ) -> Result<ControlReply, Refusal> {
        let name = self.keyspace(keyspace)?.name.clone();
        rules.check(keyspace).map_err(Refusal::invalid)?;
        for other in rules.apart.iter().chain(&rules.together) {
            self.keyspace(*other)?;
        }
        if self.placement.rules.get(&keyspace).map_or(rules.is_empty(), |known| *known == rules) {
            return Ok(ControlReply::Done);
        }
        let text = if rules.is_empty() {
            format!("keyspace {name} may live anywhere")
        } else {
            format!("keyspace {name} has new placement rules")
        };
        if rules.is_empty() {
            self.placement.rules.remove(&keyspace);
        } else {
            self.placement.rules.insert(keyspace, rules);
        }
        self.event(EventKind::Keyspace, text, &[("keyspace", keyspace.to_string())]);
        Ok(ControlReply::Done)
    }

    pub(super) fn forget_labels(&mut self, node: NodeId) {
        self.placement.labels.remove(&node);
    }
}
