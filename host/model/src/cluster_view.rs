//! The immutable input of one planning round, in columns. Mirrors `placing` of the policy contract (`wit/policy.wit`).

use crate::ids::{InstantMs, KeyspaceId, NodeId, ShardId, ZoneId};
use crate::load::Metric;
use crate::node::NodeState;
use crate::placement_rules::Label;
use serde::{Deserialize, Serialize};

/// Resources of a view: every metric but load.
pub const MAX_RESOURCES: usize = 8;
/// Shards that have joint scenarios: where overload is decided, and with [`MAX_SCENARIOS`] a day of five-minute steps is 1.2 MB, as much as the
/// forecasts of 170 shards.
pub const MAX_SCENARIO_SHARDS: usize = 64;
/// Scenarios of a view: ranks among more days than half a month's say little more, and reach back to other times.
pub const MAX_SCENARIOS: usize = 16;

/// Nodes as columns: entry i of each list is node i. Loads and capacities in load units per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeColumns {
    /// Numbers, ascending.
    pub ids: Vec<NodeId>,
    /// Failure domains.
    pub zones: Vec<ZoneId>,
    /// States.
    pub states: Vec<NodeState>,
    /// Declared capacities.
    pub capacity: Vec<f32>,
    /// Measured load, of everything on the node.
    pub load: Vec<f32>,
    /// Forecast load (median) of what lies outside the policy's scope: `background[node * steps + step]`.
    pub background: Vec<f32>,
    /// Bytes stored.
    pub used_bytes: Vec<u64>,
    /// Bytes that fit.
    pub capacity_bytes: Vec<u64>,
    /// What they say of themselves, ascending; empty: no node says anything.
    pub labels: Vec<Vec<Label>>,
}

/// Shards in the policy's scope, as columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardColumns {
    /// Numbers, ascending.
    pub ids: Vec<ShardId>,
    /// Keyspaces.
    pub keyspaces: Vec<KeyspaceId>,
    /// Bytes of one replica.
    pub bytes: Vec<u64>,
    /// Measured load of the leader.
    pub leader_load: Vec<f32>,
    /// Load of each follower per unit of leader load, now and in the forecast.
    pub follower_share: Vec<f32>,
    /// Forecast leader load: `predicted[(shard * quantiles + q) * steps + step]`.
    pub predicted: Vec<f32>,
    /// Replicas of shard i are `replicas[replica_offsets[i] .. replica_offsets[i + 1]]`. One entry more than shards.
    pub replica_offsets: Vec<u32>,
    /// Indices into the nodes, the leader first.
    pub replicas: Vec<u32>,
    /// When the shard last moved; 0: never.
    pub last_moved: Vec<InstantMs>,
    /// Steps that moving one replica's data would take now.
    pub move_steps: Vec<f32>,
    /// Load units times seconds that copying one replica costs its source, and its target as much.
    pub move_cost: Vec<f32>,
}

impl ShardColumns {
    /// Indices into the nodes of the replicas of shard `i`, the leader first.
    #[must_use]
    pub fn replicas_of(&self, i: usize) -> &[u32] {
        &self.replicas[self.replica_offsets[i] as usize..self.replica_offsets[i + 1] as usize]
    }
}

/// One thing beside load that nodes have only so much of, in the metric's unit. A node's use of it is its background, and for each replica on it
/// the shard's leader load, measured or forecast, times what its leader or follower takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// What is counted; never load.
    pub metric: Metric,
    /// By node, declared; 0: not declared, so without a limit.
    pub capacity: Vec<f32>,
    /// By node: what everything on it uses now.
    pub used: Vec<f32>,
    /// Forecast use (median) by what lies outside the policy's scope: shards that it does not see, and the node without any load.
    /// `background[node * steps + step]`.
    pub background: Vec<f32>,
    /// By shard: what its leader uses per unit of its load.
    pub leader_use: Vec<f32>,
    /// By shard: what each follower uses per unit of the leader's load.
    pub follower_use: Vec<f32>,
}

impl Resource {
    /// What a replica of `shard` uses per unit of the shard's leader load.
    #[must_use]
    pub fn use_of(&self, shard: usize, leads: bool) -> f32 {
        if leads { self.leader_use[shard] } else { self.follower_use[shard] }
    }
}

/// What the hottest shards may do together: all scenarios are as likely. Quantiles of shards don't add up, the shards of one scenario do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenarios {
    /// Indices into the shards, ascending; at most [`MAX_SCENARIO_SHARDS`].
    pub shards: Vec<u32>,
    /// At most [`MAX_SCENARIOS`].
    pub count: u32,
    /// Leader load: `values[(row * count + scenario) * steps + step]`, row i being `shards[i]`.
    pub values: Vec<f32>,
}

/// Where replicas of one keyspace may live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspacePlacement {
    /// Which keyspace.
    pub keyspace: KeyspaceId,
    /// Indices of the nodes whose labels fit, ascending.
    pub nodes: Vec<u32>,
    /// No node holds replicas of it and of one of these, ascending; told of both.
    pub apart: Vec<KeyspaceId>,
    /// Nodes that hold replicas of it hold some of each of these, ascending.
    pub together: Vec<KeyspaceId>,
}

/// A move that is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Whose replica or leadership moves.
    pub shard: ShardId,
    /// From where.
    pub source: NodeId,
    /// To where.
    pub target: NodeId,
    /// When it should be done.
    pub done_by: InstantMs,
    /// Whether leadership alone moves.
    pub leader_only: bool,
}

/// The host rules that a policy can plan by. The host enforces them whatever the policy does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementLimits {
    /// Moves of data in flight from or to one node at a time.
    pub moves_per_node: u32,
    /// Moves accepted in one round.
    pub moves_per_round: u32,
    /// No shard moves twice within this time.
    pub cool_down_ms: u64,
    /// A move is refused where the destination's load, or its use of a resource, would after it be above this share of its capacity.
    pub max_utilisation: f32,
    /// Steps that a leader transfer takes.
    pub leader_steps: f32,
}

/// All that a placement policy sees in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The control clock.
    pub now: InstantMs,
    /// Length of a forecast step.
    pub step_ms: u32,
    /// Forecast steps.
    pub steps: u32,
    /// Forecast quantiles, ascending.
    pub quantiles: Vec<f32>,
    /// Nodes.
    pub nodes: NodeColumns,
    /// Shards in scope.
    pub shards: ShardColumns,
    /// Moves being carried out.
    pub moving: Vec<InFlight>,
    /// Host rules worth knowing.
    pub limits: PlacementLimits,
    /// Where replicas may live, by keyspace, ascending; those that are missing: anywhere.
    pub placement: Vec<KeyspacePlacement>,
    /// What nodes have only so much of beside load, ascending by metric.
    pub resources: Vec<Resource>,
    /// What the hottest shards may do together; none: too little history to tell.
    pub scenarios: Option<Scenarios>,
    /// A policy's only source of chance.
    pub seed: u32,
}
