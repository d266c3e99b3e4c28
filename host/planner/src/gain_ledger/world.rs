//! A placement that is not there, and how it moves on.

use super::{PlacedShard, Really, StepFacts};
use crate::budget::Ledger;
use crate::plan_check::{Origin, PlanCheck, RoundInput};
use crate::view::{NodeFact, ShardFact, ViewInput};
use isobar_model::{
    Action, ClusterView, InFlight, InstantMs, KeyspaceId, Mode, Move, NodeId, NodeState, PlacementRules, ShardId,
    Verdict,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Replicas by shard, in the order of the account's shards, the leader first.
pub(super) type Replicas = Vec<Vec<NodeId>>;

/// A move under way there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    /// The shard's place in the account.
    shard: usize,
    source: NodeId,
    target: NodeId,
    leader_only: bool,
    done_by: InstantMs,
}

/// A placement that a placer moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct World {
    pub(super) replicas: Replicas,
    last_moved: Vec<InstantMs>,
    pending: Vec<Pending>,
    spent: Ledger,
}

/// What the rest of the cluster puts on nodes, in the order of the facts' nodes.
pub(super) struct Background {
    /// Measured.
    pub(super) now: Vec<f32>,
    /// Forecast, `[node * steps + step]`.
    pub(super) later: Vec<f32>,
    pub(super) used_bytes: Vec<u64>,
}

/// What a placer sees of the future, and how often it is asked in a step at most.
pub(super) struct Outlook<'a> {
    pub(super) rounds: u32,
    pub(super) quantiles: Vec<f32>,
    pub(super) steps: u32,
    pub(super) paths: &'a dyn Fn(&PlacedShard) -> Vec<f32>,
}

/// Moves begun: of data, and of leaders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) data: u64,
    pub(super) leaders: u64,
}

impl World {
    /// As it really is, moves under way included.
    pub(super) fn real(facts: &StepFacts<'_>, shards: &[&PlacedShard]) -> Self {
        let place = |id: ShardId| shards.binary_search_by_key(&id, |shard| shard.id).ok();
        let pending = |moving: &InFlight| {
            let InFlight { shard, source, target, done_by, leader_only, .. } = *moving;
            Some(Pending { shard: place(shard)?, source, target, leader_only, done_by })
        };
        Self {
            replicas: shards.iter().map(|shard| shard.replicas.clone()).collect(),
            last_moved: shards.iter().map(|shard| shard.last_moved).collect(),
            pending: facts.moving.iter().filter_map(pending).collect(),
            spent: Ledger::default(),
        }
    }

    /// Puts into effect what is done by now.
    pub(super) fn arrive(&mut self, now: InstantMs) {
        let replicas = &mut self.replicas;
        self.pending.retain(|pending| {
            if pending.done_by > now {
                return true;
            }
            let Some(nodes) = replicas.get_mut(pending.shard) else { return false };
            let place = |node: NodeId| nodes.iter().position(|held| *held == node);
            match (pending.leader_only, place(pending.source), place(pending.target)) {
                (true, _, Some(target)) => nodes.swap(0, target),
                (false, Some(source), None) => nodes[source] = pending.target,
                (true, _, None) | (false, None, _) | (false, Some(_), Some(_)) => {}
            }
            false
        });
    }

    /// Has a placer move it, round after round as long as it begins anything, since the real one is asked at every tick; gives what was begun.
    pub(super) fn advance(
        &mut self,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        background: &Background,
        outlook: &Outlook<'_>,
        ask: &mut dyn FnMut(&ClusterView) -> Vec<Move>,
    ) -> Begun {
        let mut all = Begun::default();
        for _ in 0..outlook.rounds.max(1) {
            let view = self.view(keyspace, facts, shards, background, outlook);
            let moves = ask(&view);
            let begun = self.begin(keyspace, facts, shards, &view, moves);
            if begun == Begun::default() {
                break;
            }
            all.data += begun.data;
            all.leaders += begun.leaders;
        }
        all
    }

    /// What a placer is shown of it.
    fn view(
        &self,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        background: &Background,
        outlook: &Outlook<'_>,
    ) -> ClusterView {
        let shard = |(at, shard): (usize, &&PlacedShard)| ShardFact {
            id: shard.id,
            keyspace,
            replicas: self.replicas[at].clone(),
            bytes: shard.bytes,
            leader_load: shard.load,
            follower_share: shard.follower_share,
            predicted: (outlook.paths)(shard),
            last_moved: self.last_moved[at],
            move_steps: shard.move_steps,
            move_cost: 0.0,
            uses: BTreeMap::new(),
            in_scope: true,
        };
        let moving = |pending: &Pending| InFlight {
            shard: shards[pending.shard].id,
            source: pending.source,
            target: pending.target,
            done_by: pending.done_by,
            leader_only: pending.leader_only,
        };
        // Who is to live apart or together is not known of placements that are not there.
        let alone = |rules: &PlacementRules| PlacementRules {
            apart: Default::default(),
            together: Default::default(),
            ..rules.clone()
        };
        let mut used_bytes = background.used_bytes.clone();
        for (replicas, shard) in self.replicas.iter().zip(shards) {
            for node in replicas {
                if let Ok(node) = facts.nodes.binary_search_by_key(node, |node| node.id) {
                    used_bytes[node] = used_bytes[node].saturating_add(shard.bytes);
                }
            }
        }
        let node = |(at, node): (usize, &NodeFact)| NodeFact {
            used_bytes: used_bytes[at],
            resources: Default::default(),
            ..node.clone()
        };
        let mut view = ViewInput {
            now: facts.now,
            step_ms: facts.step_ms,
            steps: outlook.steps,
            quantiles: outlook.quantiles.clone(),
            nodes: facts.nodes.iter().enumerate().map(node).collect(),
            shards: shards.iter().enumerate().map(shard).collect(),
            moving: self.pending.iter().map(moving).collect(),
            limits: facts.limits,
            placement: facts.placement.get(&keyspace).map(|rules| (keyspace, alone(rules))).into_iter().collect(),
            scenarios: None,
            seed: facts.seed,
        }
        .build();
        add(&mut view.nodes.load, &background.now);
        add(&mut view.nodes.background, &background.later);
        view
    }

    /// Begins what the rules let pass of a plan for this view.
    fn begin(
        &mut self,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        view: &ClusterView,
        moves: Vec<Move>,
    ) -> Begun {
        let keyspaces: BTreeMap<_, _> = facts
            .keyspaces
            .get(&keyspace)
            .map(|rule| (keyspace, crate::KeyspaceRule { mode: Mode::Auto, ..*rule }))
            .into_iter()
            .collect();
        let input = RoundInput {
            settings: facts.settings,
            keyspaces: &keyspaces,
            halted: false,
            spent: self.spent.spent(facts.now),
            expected: &[],
        };
        let mut check = PlanCheck::new(view, input);
        let (judged, _) = check.judge_plan(moves, Origin::Policy);
        self.spent.note(facts.now, check.spent());
        let mut begun = Begun::default();
        for done in judged.into_iter().filter(|done| done.verdict == Verdict::Accepted) {
            let Ok(shard) = shards.binary_search_by_key(&done.proposed.shard, |shard| shard.id) else { continue };
            let (source, target, leader_only, steps) = match done.proposed.action {
                Action::MoveReplica { source, target } => (source, target, false, shards[shard].move_steps),
                Action::TransferLeader(target) => {
                    let Some(&source) = self.replicas[shard].first() else { continue };
                    (source, target, true, facts.limits.leader_steps)
                }
                Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => continue,
            };
            let lasts_ms = f64::from(steps.max(0.0)) * f64::from(facts.step_ms);
            // In effect at the next boundary at the earliest, as it is seen of moves that are really made.
            let done_by = facts.now.plus_ms((lasts_ms as u64).max(1));
            self.pending.push(Pending { shard, source, target, leader_only, done_by });
            self.last_moved[shard] = facts.now;
            if leader_only {
                begun.leaders += 1;
            } else {
                begun.data += 1;
            }
        }
        begun
    }
}

/// Replicas whose leader's node does not answer are led by the next one whose node does.
pub(super) fn fail_over(replicas: &mut Replicas, facts: &StepFacts<'_>, really: &Really) {
    let serves = |node: &NodeId| really.at.get(node).is_some_and(|&at| is_serving(facts.nodes[at].state));
    if facts.nodes.iter().all(|node| is_serving(node.state)) {
        return;
    }
    for nodes in replicas {
        if let Some(heir) = nodes.iter().position(serves) {
            nodes.swap(0, heir);
        }
    }
}

pub(super) fn is_serving(state: NodeState) -> bool {
    match state {
        NodeState::Up | NodeState::Draining => true,
        NodeState::Suspect | NodeState::Down => false,
    }
}

fn add(loads: &mut [f32], more: &[f32]) {
    loads.iter_mut().zip(more).for_each(|(load, more)| *load += more);
}
