//! Shards ranked by what they are about to do to their nodes.

use isobar_model::{Action, ClusterView, Move, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a ranking is made of.
#[derive(Clone, Copy, Debug)]
pub struct RankInput<'a> {
    /// The view that was planned by.
    pub view: &'a ClusterView,
    /// Quantile of the maximum over the lead, `peaks[shard]`: what each shard's leader is feared to do. Empty: the highest forecast quantile's
    /// maximum over the steps.
    pub peaks: &'a [f32],
    /// Moves that the round accepted or showed.
    pub moves: &'a [Move],
    /// Most shards to return.
    pub limit: usize,
}

/// What to do about a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// From where.
    pub source: NodeId,
    /// To where.
    pub target: NodeId,
    /// Whether leadership alone moves.
    pub leader_only: bool,
    /// 0 can wait, 1 at once.
    pub urgency: f32,
    /// Why, for people.
    pub reason: String,
}

/// One shard in the ranking. Ordered by what it adds to overload, then by its peak, then by its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedShard {
    /// Which.
    pub shard: ShardId,
    /// Who leads it.
    pub leader: NodeId,
    /// Measured load units per second of the leader.
    pub load: f32,
    /// Feared load units per second of the leader over the lead.
    pub peak: f32,
    /// The leader's share of its node's expected peak load, 0 to 1.
    pub node_share: f32,
    /// Load units per second of its node's expected overload that are this shard's share.
    pub overload: f32,
    /// What the last round would do about it.
    pub recommended: Option<Recommendation>,
}

/// The shards in scope, the worst first.
#[must_use]
pub fn rank(input: RankInput<'_>) -> Vec<RankedShard> {
    let RankInput { view, moves, .. } = input;
    let peaks: Vec<f32> = (0..view.shards.ids.len()).map(|i| peak(&input, i)).collect();
    let mut node_peak = vec![0.0f32; view.nodes.ids.len()];
    let steps = view.steps as usize;
    for (node, sum) in node_peak.iter_mut().enumerate() {
        let background = view.nodes.background.get(node * steps..(node + 1) * steps).unwrap_or_default();
        *sum = background.iter().copied().fold(0.0, f32::max);
    }
    for (i, &peak) in peaks.iter().enumerate() {
        for (place, &node) in view.shards.replicas_of(i).iter().enumerate() {
            let part = if place == 0 { 1.0 } else { view.shards.follower_share[i] };
            node_peak[node as usize] += peak * part;
        }
    }
    let moves: BTreeMap<ShardId, &Move> = moves.iter().rev().map(|m| (m.shard, m)).collect();
    let mut ranked: Vec<RankedShard> = (0..peaks.len())
        .filter_map(|i| {
            let leader = *view.shards.replicas_of(i).first()? as usize;
            let all = node_peak[leader];
            let node_share = if all > 0.0 { peaks[i] / all } else { 0.0 };
            let shard = view.shards.ids[i];
            let leader_id = view.nodes.ids[leader];
            Some(RankedShard {
                shard,
                leader: leader_id,
                load: view.shards.leader_load[i],
                peak: peaks[i],
                node_share,
                overload: (all - view.nodes.capacity[leader]).max(0.0) * node_share,
                recommended: moves.get(&shard).and_then(|m| recommendation(m, leader_id)),
            })
        })
        .collect();
    let key = |r: &RankedShard| (Reverse(Ordered(r.overload)), Reverse(Ordered(r.peak)), r.shard);
    ranked.sort_by_key(key);
    ranked.truncate(input.limit);
    ranked
}

/// Floats by their total order.
#[derive(PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

fn peak(input: &RankInput<'_>, i: usize) -> f32 {
    let view = input.view;
    if let Some(&peak) = input.peaks.get(i) {
        return peak;
    }
    let (quantiles, steps) = (view.quantiles.len(), view.steps as usize);
    let highest = quantiles.checked_sub(1).and_then(|q| {
        let at = (i * quantiles + q) * steps;
        view.shards.predicted.get(at..at + steps)
    });
    highest.unwrap_or_default().iter().copied().fold(view.shards.leader_load[i], f32::max)
}

fn recommendation(proposed: &Move, leader: NodeId) -> Option<Recommendation> {
    let (source, target, leader_only) = match proposed.action {
        Action::MoveReplica { source, target } => (source, target, false),
        Action::TransferLeader(target) => (leader, target, true),
        Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => return None,
    };
    Some(Recommendation { source, target, leader_only, urgency: proposed.urgency, reason: proposed.reason.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{InstantMs, KeyspaceId, NodeColumns, NodeState, PlacementLimits, ShardColumns, ZoneId};

    /// Two nodes of 10; shards 1 and 2 led by node 1, shard 3 by node 2, each followed on the other at half the load.
    fn view() -> ClusterView {
        ClusterView {
            now: InstantMs(1),
            step_ms: 1000,
            steps: 2,
            quantiles: vec![0.5, 0.9],
            nodes: NodeColumns {
                ids: vec![NodeId(1), NodeId(2)],
                zones: vec![ZoneId(1), ZoneId(2)],
                states: vec![NodeState::Up; 2],
                capacity: vec![10.0; 2],
                load: vec![0.0; 2],
                background: vec![0.0; 4],
                used_bytes: vec![0; 2],
                capacity_bytes: vec![1; 2],
            },
            shards: ShardColumns {
                ids: vec![ShardId(1), ShardId(2), ShardId(3)],
                keyspaces: vec![KeyspaceId(1); 3],
                bytes: vec![1; 3],
                leader_load: vec![1.0; 3],
                follower_share: vec![0.5; 3],
                predicted: vec![1.0, 1.0, 4.0, 3.0, 1.0, 1.0, 8.0, 1.0, 1.0, 1.0, 1.0, 6.0],
                replica_offsets: vec![0, 2, 4, 6],
                replicas: vec![0, 1, 0, 1, 1, 0],
                last_moved: vec![InstantMs(0); 3],
                move_steps: vec![1.0; 3],
            },
            moving: vec![],
            limits: PlacementLimits {
                moves_per_node: 1,
                moves_per_round: 1,
                cool_down_ms: 0,
                max_utilisation: 1.0,
                leader_steps: 0.0,
            },
            seed: 0,
        }
    }

    #[test]
    fn the_worst_comes_first_with_its_part_in_the_overload() {
        let view = view();
        let moves = [Move {
            shard: ShardId(2),
            action: Action::TransferLeader(NodeId(2)),
            urgency: 0.7,
            start_by: InstantMs(1),
            gain: 1.0,
            reason: "hot".into(),
        }];
        let ranked = rank(RankInput { view: &view, peaks: &[], moves: &moves, limit: 10 });
        assert_eq!(ranked.iter().map(|r| r.shard.0).collect::<Vec<_>>(), [2, 1, 3]);
        // Node 1 fears 4 + 8 + 3 = 15, 5 over its capacity.
        assert!((ranked[0].overload - 5.0 * 8.0 / 15.0).abs() < 1e-5);
        assert!((ranked[0].node_share - 8.0 / 15.0).abs() < 1e-5);
        let recommended = ranked[0].recommended.as_ref().unwrap();
        assert_eq!((recommended.source, recommended.target, recommended.leader_only), (NodeId(1), NodeId(2), true));
        assert!(ranked[1].recommended.is_none());
    }

    #[test]
    fn given_peaks_are_used_and_the_list_is_bounded() {
        let view = view();
        let ranked = rank(RankInput { view: &view, peaks: &[9.0, 1.0, 1.0], moves: &[], limit: 1 });
        assert_eq!(ranked.len(), 1);
        assert_eq!((ranked[0].shard, ranked[0].peak), (ShardId(1), 9.0));
    }
}
