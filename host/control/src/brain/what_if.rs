//! What would be planned if things were otherwise. Nothing is carried out, and the serving policies' state stays as it is: another instance
//! of the placer is asked.

use super::node_loads::NodeLoads;
use super::slot::Bound;
use super::view::Scope;
use super::{Brain, RoundRules};
use isobar_model::{
    Action, CheckedMove, ClusterView, KeyspaceId, Mode, NodeId, NodeState, Plan, ShardId, Verdict, ZoneId,
};
use isobar_planner::{NodeFact, Origin, PlanCheck, ViewInput, drain};
use isobar_ports::{Observation, PolicyFailure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds planned one after the other: with the default of eight moves each, more moves than people read.
const MAX_ROUNDS: usize = 25;
/// Most nodes that may be added.
pub const MAX_ADDED_NODES: u32 = 100;

/// What is to be supposed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Supposition {
    /// Nodes that do not answer any more.
    pub down: BTreeSet<NodeId>,
    /// Nodes that are emptied.
    pub draining: BTreeSet<NodeId>,
    /// More nodes, each as large as the median one and in a zone of its own; at most [`MAX_ADDED_NODES`].
    pub added_nodes: u32,
    /// The load of these keyspaces, now and forecast, times so much; 0 or more.
    pub load: BTreeMap<KeyspaceId, f32>,
    /// Another placer than the one that serves; inner none: the native one.
    pub placer: Option<Option<Bound>>,
}

/// One node, in shares of its capacity: 1 is full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SupposedNode {
    /// Which.
    pub node: NodeId,
    /// Whether it is one that was added.
    pub is_added: bool,
    /// Its state as supposed.
    pub state: NodeState,
    /// Highest median load forecast, as things are; none: it is one that was added.
    pub as_it_is: Option<f32>,
    /// The same as supposed, nothing moved.
    pub unmoved: f32,
    /// The same as supposed, all of the plan done.
    pub planned: f32,
    /// Highest load forecast at the uppermost quantile, that of all shards at once, all of the plan done: a bound from above.
    pub feared: f32,
}

/// What would be planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Supposed {
    /// Who planned.
    pub policy: String,
    /// Why the native placer planned instead of the one asked for.
    pub fallback: Option<String>,
    /// By number.
    pub nodes: Vec<SupposedNode>,
    /// Moves that would be made, in this order.
    pub moves: Vec<CheckedMove>,
    /// Moves that were proposed and refused.
    pub refused: Vec<CheckedMove>,
    /// Replicas that would move.
    pub data_moves: u64,
    /// Leaderships that would move.
    pub leader_transfers: u64,
    /// Bytes that would be copied.
    pub bytes: u64,
    /// Steps until all is done: round after round, each as long as its longest move.
    pub steps: f32,
    /// Whether the last round still proposed moves: the plan goes on.
    pub is_cut: bool,
    /// What policies and the host had to say, once each.
    pub notes: Vec<String>,
}

impl Brain {
    /// What would be planned if things were as supposed. All keyspaces but those only observed are taken to be in `auto`, nothing to be halted, and no
    /// policy to abstain.
    ///
    /// # Errors
    /// Where the other placer does not open.
    pub fn what_if(
        &self,
        observation: &Observation,
        rules: &RoundRules,
        supposed: &Supposition,
    ) -> Result<Supposed, PolicyFailure> {
        let serving = self.placer.to_ask().cloned();
        let asked = supposed.placer.clone().unwrap_or(serving);
        let mut placer = match &asked {
            Some(bound) => self.host.placer(&bound.digest, &bound.config, self.saved_for(bound))?,
            None => self.host.builtin_placer(),
        };
        let mut policy = asked.as_ref().map_or_else(|| crate::decision::BUILTIN.to_owned(), |bound| bound.name.clone());
        let mut fallback = None;

        let as_it_is = peaks(&self.view(observation, rules, 0, Scope::Everything));
        let mut rules = rules.clone();
        rules.halted = false;
        rules.released.clear();
        rules.draining.extend(&supposed.draining);
        for rule in rules.keyspaces.values_mut().filter(|rule| rule.mode != Mode::Observe) {
            rule.mode = Mode::Auto;
        }
        let mut fleet = Imagined::new(observation, supposed);
        let unmoved = peaks(&self.imagine(&fleet, &rules, supposed, Scope::Everything));

        let (mut moves, mut refused, mut notes) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut steps, mut is_cut) = (0.0, true);
        for _ in 0..MAX_ROUNDS {
            let view = self.imagine(&fleet, &rules, supposed, Scope::Policies);
            let plan = match placer.propose(&view) {
                Ok(plan) => plan,
                Err(failure) => {
                    (policy, fallback) = (crate::decision::BUILTIN.to_owned(), Some(failure.to_string()));
                    placer = self.host.builtin_placer();
                    placer
                        .propose(&view)
                        .unwrap_or_else(|failure| Plan { moves: vec![], notes: vec![failure.to_string()] })
                }
            };
            notes.extend(plan.notes);
            let whole = self.imagine(&fleet, &rules, supposed, Scope::Everything);
            let expected = self.supposed_medians(&whole, supposed);
            let mut input = self.round_input(&rules, observation.now, &expected);
            input.spent = Default::default();
            let mut check = PlanCheck::new(&whole, input);
            let (mut round, held_back) = drain(&mut check);
            notes.extend(held_back);
            round.extend(check.judge_plan(plan.moves, Origin::Policy).0);
            let (accepted, others): (Vec<_>, Vec<_>) = round.into_iter().partition(|m| m.verdict == Verdict::Accepted);
            if refused.len() < super::MAX_REFUSED_RECORDED {
                refused.extend(others);
            }
            if accepted.is_empty() {
                is_cut = false;
                break;
            }
            steps += accepted.iter().map(|m| self.steps_of(&whole, m)).fold(0.0, f32::max);
            accepted.iter().for_each(|done| fleet.carry_out(done));
            moves.extend(accepted);
        }
        refused.truncate(super::MAX_REFUSED_RECORDED);

        let view = self.imagine(&fleet, &rules, supposed, Scope::Everything);
        let (planned, feared) = (peaks(&view), highest_peaks(&view));
        let nodes = view.nodes.ids.iter().enumerate().map(|(at, &node)| SupposedNode {
            node,
            is_added: !as_it_is.contains_key(&node),
            state: view.nodes.states[at],
            as_it_is: as_it_is.get(&node).copied(),
            unmoved: unmoved.get(&node).copied().unwrap_or(0.0),
            planned: planned.get(&node).copied().unwrap_or(0.0),
            feared: feared.get(&node).copied().unwrap_or(0.0),
        });
        let is_data = |done: &&CheckedMove| matches!(done.proposed.action, Action::MoveReplica { .. });
        let size = |shard: ShardId| view.shards.ids.binary_search(&shard).map_or(0, |at| view.shards.bytes[at]);
        let data_moves = moves.iter().filter(is_data).count() as u64;
        Ok(Supposed {
            policy,
            fallback,
            nodes: nodes.collect(),
            data_moves,
            leader_transfers: moves.len() as u64 - data_moves,
            bytes: moves.iter().filter(is_data).map(|done| size(done.proposed.shard)).sum(),
            moves,
            refused,
            steps,
            is_cut,
            notes: notes.into_iter().take(super::MAX_NOTES).collect(),
        })
    }

    /// The serving placer's state, where it is that policy's.
    fn saved_for(&self, bound: &Bound) -> Option<&[u8]> {
        self.placer.to_ask().filter(|serving| serving.name == bound.name)?;
        self.placer.saved.as_ref().map(|saved| saved.bytes.as_slice())
    }

    fn imagine(&self, fleet: &Imagined, rules: &RoundRules, supposed: &Supposition, scope: Scope) -> ClusterView {
        let mut input = self.view_input(&fleet.observation, rules, 0, scope);
        for shard in &mut input.shards {
            if let Some(factor) = supposed.load.get(&shard.keyspace) {
                shard.leader_load *= factor;
                shard.predicted.iter_mut().for_each(|load| *load *= factor);
            }
            if fleet.moved.contains(&shard.id) {
                shard.last_moved = fleet.observation.now;
            }
        }
        if let Some(scenarios) = &mut input.scenarios {
            let width = (scenarios.count * input.steps) as usize;
            let keyspaces: BTreeMap<ShardId, KeyspaceId> =
                input.shards.iter().map(|shard| (shard.id, shard.keyspace)).collect();
            for (shard, values) in scenarios.shards.iter().zip(scenarios.values.chunks_exact_mut(width.max(1))) {
                if let Some(factor) = keyspaces.get(shard).and_then(|keyspace| supposed.load.get(keyspace)) {
                    values.iter_mut().for_each(|load| *load *= factor);
                }
            }
        }
        add_nodes(&mut input, supposed.added_nodes);
        input.build()
    }

    /// The host's own median forecast, as supposed.
    fn supposed_medians(&self, view: &ClusterView, supposed: &Supposition) -> Vec<f32> {
        let mut expected = self.expected(view);
        let steps = (view.steps as usize).max(1);
        for ((path, keyspace), &load) in
            expected.chunks_exact_mut(steps).zip(&view.shards.keyspaces).zip(&view.shards.leader_load)
        {
            let Some(&factor) = supposed.load.get(keyspace) else { continue };
            // Where nothing was forecast, the load of the view is there, which is as supposed already.
            if path.iter().any(|value| *value != load) {
                path.iter_mut().for_each(|value| *value *= factor);
            }
        }
        expected
    }

    fn steps_of(&self, view: &ClusterView, done: &CheckedMove) -> f32 {
        match done.proposed.action {
            Action::MoveReplica { .. } => {
                view.shards.ids.binary_search(&done.proposed.shard).map_or(0.0, |at| view.shards.move_steps[at])
            }
            Action::TransferLeader(_)
            | Action::AddReplica(_)
            | Action::RemoveReplica(_)
            | Action::Split
            | Action::MergeWith(_) => view.limits.leader_steps,
        }
    }
}

/// The fleet as it is supposed to be, with the moves planned so far done.
struct Imagined {
    observation: Observation,
    moved: BTreeSet<ShardId>,
}

impl Imagined {
    fn new(observation: &Observation, supposed: &Supposition) -> Self {
        let mut observation = observation.clone();
        for node in observation.nodes.iter_mut().filter(|node| supposed.down.contains(&node.id)) {
            node.state = NodeState::Down;
        }
        // Of replicas whose leader is gone another one takes over.
        for shard in &mut observation.shards {
            let lost = shard.replicas.first().is_some_and(|leader| supposed.down.contains(leader));
            let heir = shard.replicas.iter().position(|node| !supposed.down.contains(node));
            if let (true, Some(heir)) = (lost, heir) {
                shard.replicas.swap(0, heir);
            }
        }
        Self { observation, moved: BTreeSet::new() }
    }

    fn carry_out(&mut self, done: &CheckedMove) {
        let Some(shard) = self.observation.shards.iter_mut().find(|shard| shard.id == done.proposed.shard) else {
            return;
        };
        match done.proposed.action {
            Action::MoveReplica { source, target } => {
                if let Some(replica) = shard.replicas.iter_mut().find(|node| **node == source) {
                    *replica = target;
                }
            }
            Action::TransferLeader(target) => {
                if let Some(at) = shard.replicas.iter().position(|node| *node == target) {
                    shard.replicas.swap(0, at);
                }
            }
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => return,
        }
        self.moved.insert(shard.id);
    }
}

/// Nodes with numbers and zones that nobody has, as large as the median one.
fn add_nodes(input: &mut ViewInput, count: u32) {
    let mut by_capacity: Vec<&NodeFact> = input.nodes.iter().collect();
    by_capacity.sort_by(|a, b| a.capacity.total_cmp(&b.capacity));
    let Some(&median) = by_capacity.get(by_capacity.len() / 2) else { return };
    let (capacity, capacity_bytes, resources) = (median.capacity, median.capacity_bytes, median.resources.clone());
    let first = input.nodes.iter().map(|node| node.id.0).max().unwrap_or(0) + 1;
    let first_zone = input.nodes.iter().map(|node| node.zone.0).max().unwrap_or(0).saturating_add(1);
    let added = (0..count.min(MAX_ADDED_NODES)).map(|i| NodeFact {
        id: NodeId(first + u64::from(i)),
        zone: ZoneId(first_zone.saturating_add(i)),
        state: NodeState::Up,
        capacity,
        used_bytes: 0,
        capacity_bytes,
        labels: BTreeSet::new(),
        resources: resources.clone(),
    });
    input.nodes.extend(added);
}

/// Each node's highest median load, in shares of its capacity.
fn peaks(view: &ClusterView) -> BTreeMap<NodeId, f32> {
    let loads = NodeLoads::median(view);
    view.nodes.ids.iter().enumerate().map(|(at, &id)| (id, loads.peak(view, at).share)).collect()
}

fn highest_peaks(view: &ClusterView) -> BTreeMap<NodeId, f32> {
    let loads = NodeLoads::uppermost(view);
    view.nodes.ids.iter().enumerate().map(|(at, &id)| (id, loads.peak(view, at).share)).collect()
}
