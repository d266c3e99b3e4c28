//! Small views for policies' own tests.

use isobar_model::{
    ClusterView, InstantMs, KeyspaceId, Metric, NodeColumns, NodeId, NodeState, PlacementLimits, Resource,
    ShardColumns, ShardId, ZoneId,
};

/// A view in which shard `i + 1` lives on the nodes `placement[i]` (indices, the leader first), its forecast being `path(i, quantile, step)`.
/// Nodes count from 10 in tens, each in a zone of its own, with this capacity; steps are of five minutes; a follower costs a sixth of a leader;
/// data takes 6 steps to move, leadership 1. The present load is the median of the first step.
#[must_use]
pub fn view(
    nodes: usize,
    capacity: f32,
    placement: &[&[usize]],
    steps: usize,
    path: impl Fn(usize, f32, usize) -> f32,
) -> ClusterView {
    let quantiles = vec![0.05, 0.25, 0.5, 0.75, 0.95];
    let share = 1.0 / 6.0;
    let mut load = vec![0.0; nodes];
    let mut shards = ShardColumns { replica_offsets: vec![0], ..ShardColumns::default() };
    for (i, replicas) in placement.iter().enumerate() {
        let now = path(i, 0.5, 0);
        shards.ids.push(ShardId(i as u64 + 1));
        shards.keyspaces.push(KeyspaceId(1));
        shards.bytes.push(1 << 20);
        shards.leader_load.push(now);
        shards.follower_share.push(share);
        for &q in &quantiles {
            shards.predicted.extend((0..steps).map(|step| path(i, q, step)));
        }
        for (slot, &node) in replicas.iter().enumerate() {
            load[node] += if slot == 0 { now } else { share * now };
            shards.replicas.push(node as u32);
        }
        shards.replica_offsets.push(shards.replicas.len() as u32);
        shards.last_moved.push(InstantMs(0));
        shards.move_steps.push(6.0);
        shards.move_cost.push(0.0);
    }
    ClusterView {
        now: InstantMs(1_700_000_000_000),
        step_ms: 300_000,
        steps: steps as u32,
        quantiles,
        nodes: NodeColumns {
            ids: (1..=nodes as u64).map(|n| NodeId(10 * n)).collect(),
            zones: (0..nodes as u32).map(ZoneId).collect(),
            states: vec![NodeState::Up; nodes],
            capacity: vec![capacity; nodes],
            load,
            background: vec![0.0; nodes * steps],
            used_bytes: vec![0; nodes],
            capacity_bytes: vec![1 << 40; nodes],
            labels: Vec::new(),
        },
        shards,
        moving: Vec::new(),
        limits: PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 8,
            cool_down_ms: 3_600_000,
            max_utilisation: 0.9,
            leader_steps: 1.0,
        },
        placement: Vec::new(),
        resources: Vec::new(),
        scenarios: None,
        seed: 1,
    }
}

/// Gives the view a resource: so much on each node, of which shards take so much per unit of leader load, as leader and as follower. Nodes use
/// none of it without load.
pub fn add_resource(view: &mut ClusterView, metric: Metric, capacity: f32, leader: f32, follower: f32) {
    let (nodes, shards) = (view.nodes.ids.len(), view.shards.ids.len());
    let mut used = vec![0.0; nodes];
    for shard in 0..shards {
        for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
            used[node as usize] += view.shards.leader_load[shard] * if slot == 0 { leader } else { follower };
        }
    }
    view.resources.push(Resource {
        metric,
        capacity: vec![capacity; nodes],
        used,
        background: vec![0.0; nodes * view.steps as usize],
        leader_use: vec![leader; shards],
        follower_use: vec![follower; shards],
    });
    view.resources.sort_by_key(|resource| resource.metric);
}
