//! Why a shard is where it is, and what else there would be: each thing that could be done with it now, with the plan check's verdict and what it
//! would make of the nodes.

use super::node_loads::{NodeLoads, Peak, part};
use super::view::Scope;
use super::{Brain, RoundRules};
use isobar_model::{
    Action, ClusterView, ForecastAnswerer, InFlight, InstantMs, KeyspaceId, Mode, Move, NodeId, NodeState, ShardId,
    Verdict,
};
use isobar_planner::{Origin, PlanCheck};
use isobar_ports::Observation;
use serde::Serialize;

/// Most things considered of one shard: those whose destination would have most room.
const MAX_CONSIDERED: usize = 32;
/// Shards named of one node: the heaviest.
const MAX_HEAVIEST: usize = 16;

/// What a node is forecast to carry within the horizon, in shares of its capacity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeOutlook {
    /// Which.
    pub node: NodeId,
    /// Its state.
    pub state: NodeState,
    /// Now.
    pub now: f32,
    /// Its highest median load.
    pub peak: f32,
    /// Start of the step of that.
    pub peak_at: InstantMs,
    /// Its highest load where all its shards are at their uppermost quantile at once: a bound from above.
    pub feared: f32,
}

/// Something that could be done with a shard now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Considered {
    /// What.
    pub action: Action,
    /// What the plan check makes of it, were a policy to propose it.
    pub verdict: Verdict,
    /// The highest median load of where it would come to, in shares of its capacity.
    pub target_peak: f32,
    /// The same of where it would leave.
    pub source_peak: f32,
}

/// Why a shard is where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardExplanation {
    /// Which.
    pub shard: ShardId,
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// What the loop may do there by itself.
    pub mode: Mode,
    /// Nodes of its replicas, the leader first.
    pub replicas: Vec<NodeId>,
    /// Load units per second of its leader now.
    pub load: f32,
    /// The highest median of that within the horizon.
    pub peak: f32,
    /// Start of the step of that.
    pub peak_at: InstantMs,
    /// Who forecast it.
    pub answerer: ForecastAnswerer,
    /// The nodes of its replicas, the leader's first.
    pub nodes: Vec<NodeOutlook>,
    /// Its move under way.
    pub moving: Option<InFlight>,
    /// Until when it rests after its last move; none: it need not.
    pub rests_until: Option<InstantMs>,
    /// Leader transfers, and moves of the leader's replica; those with most room first.
    pub considered: Vec<Considered>,
    /// More than these could be done.
    pub left_out: usize,
}

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeExplanation {
    /// The node.
    pub outlook: NodeOutlook,
    /// Shards it leads.
    pub leaders: usize,
    /// Shards it follows.
    pub followers: usize,
    /// The shards that put most on it at its peak, in shares of its capacity, the heaviest first.
    pub heaviest: Vec<(ShardId, f32)>,
    /// Moves under way to it or from it.
    pub moving: Vec<InFlight>,
}

impl Brain {
    /// Why a shard is where it is; none: there is no such shard.
    #[must_use]
    pub fn explain_shard(
        &self,
        observation: &Observation,
        rules: &RoundRules,
        shard: ShardId,
    ) -> Option<ShardExplanation> {
        let view = self.view(observation, rules, 0, Scope::Everything);
        let at = view.shards.ids.binary_search(&shard).ok()?;
        let (medians, highest) = (NodeLoads::median(&view), NodeLoads::uppermost(&view));
        let path = medians.path(&view, at);
        let peak = path.iter().copied().enumerate().max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)));
        let (step, peak) = peak.unwrap_or((0, view.shards.leader_load[at]));
        let rests_until = view.shards.last_moved[at].plus_ms(view.limits.cool_down_ms);
        let rests = view.shards.last_moved[at].0 != 0 && rests_until > view.now;
        let (considered, left_out) = self.consider(&view, rules, &medians, at);
        let replicas = view.shards.replicas_of(at);
        Some(ShardExplanation {
            shard,
            keyspace: view.shards.keyspaces[at],
            mode: rules.keyspaces.get(&view.shards.keyspaces[at]).map_or(Mode::Advise, |rule| rule.mode),
            replicas: replicas.iter().map(|&node| view.nodes.ids[node as usize]).collect(),
            load: view.shards.leader_load[at],
            peak,
            peak_at: start_of(&view, step),
            answerer: self.forecasts.answerer(shard),
            nodes: replicas.iter().map(|&node| outlook(&view, &medians, &highest, node as usize)).collect(),
            moving: view.moving.iter().find(|moving| moving.shard == shard).copied(),
            rests_until: rests.then_some(rests_until),
            considered,
            left_out,
        })
    }

    /// What becomes of a node; none: there is no such node.
    #[must_use]
    pub fn explain_node(&self, observation: &Observation, rules: &RoundRules, node: NodeId) -> Option<NodeExplanation> {
        let view = self.view(observation, rules, 0, Scope::Everything);
        let at = view.nodes.ids.binary_search(&node).ok()?;
        let (medians, highest) = (NodeLoads::median(&view), NodeLoads::uppermost(&view));
        let Peak { step, .. } = medians.peak(&view, at);
        let capacity = view.nodes.capacity[at].max(f32::MIN_POSITIVE);
        let (mut leaders, mut followers, mut heaviest) = (0, 0, Vec::new());
        for shard in 0..view.shards.ids.len() {
            let Some(slot) = view.shards.replicas_of(shard).iter().position(|&on| on as usize == at) else { continue };
            if slot == 0 {
                leaders += 1
            } else {
                followers += 1
            }
            let load = medians.path(&view, shard).get(step).copied().unwrap_or(0.0);
            heaviest.push((view.shards.ids[shard], load * part(&view, shard, slot == 0) / capacity));
        }
        heaviest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        heaviest.truncate(MAX_HEAVIEST);
        let moving = view.moving.iter().filter(|moving| moving.source == node || moving.target == node);
        Some(NodeExplanation {
            outlook: outlook(&view, &medians, &highest, at),
            leaders,
            followers,
            heaviest,
            moving: moving.copied().collect(),
        })
    }

    /// All that could be done with a shard's leader, and how much was left out.
    fn consider(
        &self,
        view: &ClusterView,
        rules: &RoundRules,
        medians: &NodeLoads,
        shard: usize,
    ) -> (Vec<Considered>, usize) {
        let expected = self.expected(view);
        let check =
            PlanCheck::new(view, self.round_input(rules, view.now, &expected)).abstaining_in(self.abstaining(rules));
        let (replicas, ids) = (view.shards.replicas_of(shard), &view.nodes.ids);
        let Some((&leader, followers)) = replicas.split_first() else { return (Vec::new(), 0) };
        let leader = leader as usize;
        let handed = 1.0 - part(view, shard, false);
        let transfers = followers.iter().map(|&to| (Action::TransferLeader(ids[to as usize]), to as usize, handed));
        let others = (0..ids.len()).filter(|&to| !replicas.contains(&(to as u32)));
        let moves = others.map(|to| (Action::MoveReplica { source: ids[leader], target: ids[to] }, to, 1.0));
        let consider = |(action, to, part): (Action, usize, f32)| {
            let proposed = Move {
                shard: view.shards.ids[shard],
                action,
                urgency: 0.0,
                start_by: view.now,
                gain: f32::MAX,
                reason: String::new(),
            };
            Considered {
                action,
                verdict: check.verdict(&proposed, Origin::Policy),
                target_peak: medians.peak_with(view, to, shard, part).share,
                source_peak: medians.peak_with(view, leader, shard, -part).share,
            }
        };
        let mut all: Vec<Considered> = transfers.chain(moves).map(consider).collect();
        let refused = |considered: &Considered| matches!(considered.verdict, Verdict::Refused { .. });
        all.sort_by(|a, b| refused(a).cmp(&refused(b)).then(a.target_peak.total_cmp(&b.target_peak)));
        let left_out = all.len().saturating_sub(MAX_CONSIDERED);
        all.truncate(MAX_CONSIDERED);
        (all, left_out)
    }
}

fn outlook(view: &ClusterView, medians: &NodeLoads, highest: &NodeLoads, node: usize) -> NodeOutlook {
    let (peak, capacity) = (medians.peak(view, node), view.nodes.capacity[node]);
    NodeOutlook {
        node: view.nodes.ids[node],
        state: view.nodes.states[node],
        now: if capacity > 0.0 { view.nodes.load[node] / capacity } else { 0.0 },
        peak: peak.share,
        peak_at: start_of(view, peak.step),
        feared: highest.peak(view, node).share,
    }
}

fn start_of(view: &ClusterView, step: usize) -> InstantMs {
    view.now.plus_ms(step as u64 * u64::from(view.step_ms))
}
