//! Builds the cluster view: rows of facts become columns, nodes become indices, what is out of scope becomes background.

use isobar_model::{
    ClusterView, InFlight, InstantMs, KeyspaceId, KeyspacePlacement, Label, NodeColumns, NodeId, NodeState,
    PlacementLimits, PlacementRules, ShardColumns, ShardId, ZoneId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFact {
    /// Which.
    pub id: NodeId,
    /// Its failure domain.
    pub zone: ZoneId,
    /// Its state.
    pub state: NodeState,
    /// Declared load units per second.
    pub capacity: f32,
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes that fit.
    pub capacity_bytes: u64,
    /// What it says of itself.
    pub labels: BTreeSet<Label>,
}

/// What is known of one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardFact {
    /// Which.
    pub id: ShardId,
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// Where its replicas live, the leader first.
    pub replicas: Vec<NodeId>,
    /// Bytes of one replica.
    pub bytes: u64,
    /// Measured load units per second of the leader; not finite: not known, counts as none.
    pub leader_load: f32,
    /// Load of each follower per unit of leader load.
    pub follower_share: f32,
    /// Forecast leader load: `predicted[q * steps + step]`.
    pub predicted: Vec<f32>,
    /// When it last moved; 0: never.
    pub last_moved: InstantMs,
    /// Steps that moving one replica's data would take now.
    pub move_steps: f32,
    /// Whether the policy may move it; else it is background.
    pub in_scope: bool,
}

/// The facts of one planning round.
#[derive(Clone, Debug)]
pub struct ViewInput {
    /// The control clock.
    pub now: InstantMs,
    /// Length of a forecast step.
    pub step_ms: u32,
    /// Forecast steps.
    pub steps: u32,
    /// Forecast quantiles, ascending.
    pub quantiles: Vec<f32>,
    /// Nodes, in any order.
    pub nodes: Vec<NodeFact>,
    /// Shards, in any order.
    pub shards: Vec<ShardFact>,
    /// Moves being carried out.
    pub moving: Vec<InFlight>,
    /// Host rules worth knowing.
    pub limits: PlacementLimits,
    /// Where replicas may live, by keyspace; those that are missing: anywhere.
    pub placement: BTreeMap<KeyspaceId, PlacementRules>,
    /// The policy's only source of chance.
    pub seed: u32,
}

impl ViewInput {
    /// The view. A replica on a node that is not among the nodes is left out, and so is a shard without any replica left: neither can be
    /// named in columns, and the plan check refuses moves of shards that have fewer replicas than their factor.
    #[must_use]
    pub fn build(mut self) -> ClusterView {
        self.nodes.sort_by_key(|node| node.id);
        self.nodes.dedup_by_key(|node| node.id);
        self.shards.sort_by_key(|shard| shard.id);
        self.shards.dedup_by_key(|shard| shard.id);
        let steps = self.steps as usize;
        let at: HashMap<NodeId, u32> = self.nodes.iter().map(|n| n.id).zip(0..).collect();
        let median = median_of(&self.quantiles);
        let placement = placement(&self.placement, &self.nodes);
        let is_labelled = self.nodes.iter().any(|node| !node.labels.is_empty());
        let labels = |node: &NodeFact| node.labels.iter().cloned().collect();

        let mut nodes = NodeColumns {
            ids: self.nodes.iter().map(|n| n.id).collect(),
            zones: self.nodes.iter().map(|n| n.zone).collect(),
            states: self.nodes.iter().map(|n| n.state).collect(),
            capacity: self.nodes.iter().map(|n| known(n.capacity)).collect(),
            load: vec![0.0; self.nodes.len()],
            background: vec![0.0; self.nodes.len() * steps],
            used_bytes: self.nodes.iter().map(|n| n.used_bytes).collect(),
            capacity_bytes: self.nodes.iter().map(|n| n.capacity_bytes).collect(),
            labels: if is_labelled { self.nodes.iter().map(labels).collect() } else { Vec::new() },
        };
        let mut shards = ShardColumns { replica_offsets: vec![0], ..ShardColumns::default() };
        for mut shard in self.shards {
            let replicas: Vec<u32> = shard.replicas.iter().filter_map(|node| at.get(node).copied()).collect();
            if replicas.is_empty() {
                continue;
            }
            let led = shard.replicas.first().is_some_and(|leader| at.contains_key(leader));
            let (load, share) = (known(shard.leader_load), known(shard.follower_share));
            shard.predicted.resize(self.quantiles.len() * steps, load);
            for (i, &node) in replicas.iter().enumerate() {
                let part = if i == 0 && led { 1.0 } else { share };
                nodes.load[node as usize] += load * part;
                if !shard.in_scope {
                    for step in 0..steps {
                        nodes.background[node as usize * steps + step] +=
                            known(shard.predicted[median * steps + step]) * part;
                    }
                }
            }
            if !shard.in_scope {
                continue;
            }
            shards.ids.push(shard.id);
            shards.keyspaces.push(shard.keyspace);
            shards.bytes.push(shard.bytes);
            shards.leader_load.push(load);
            shards.follower_share.push(share);
            shards.predicted.extend(shard.predicted.iter().map(|&v| known(v)));
            shards.replicas.extend(&replicas);
            shards.replica_offsets.push(shards.replicas.len() as u32);
            shards.last_moved.push(shard.last_moved);
            shards.move_steps.push(known(shard.move_steps));
        }
        ClusterView {
            now: self.now,
            step_ms: self.step_ms,
            steps: self.steps,
            quantiles: self.quantiles,
            nodes,
            shards,
            moving: self.moving,
            limits: self.limits,
            placement,
            seed: self.seed,
        }
    }
}

/// Labels become indices of nodes, and being apart is told of both.
fn placement(rules: &BTreeMap<KeyspaceId, PlacementRules>, nodes: &[NodeFact]) -> Vec<KeyspacePlacement> {
    let mut apart: BTreeMap<KeyspaceId, BTreeSet<KeyspaceId>> = BTreeMap::new();
    for (&keyspace, rules) in rules {
        for &other in &rules.apart {
            apart.entry(keyspace).or_default().insert(other);
            apart.entry(other).or_default().insert(keyspace);
        }
    }
    let asked = |keyspace: &KeyspaceId| rules.get(keyspace).is_some_and(|rules| !rules.is_empty());
    let named: BTreeSet<KeyspaceId> = rules.keys().copied().filter(asked).chain(apart.keys().copied()).collect();
    let none = PlacementRules::default();
    let of = |keyspace: KeyspaceId| {
        let rules = rules.get(&keyspace).unwrap_or(&none);
        let fits = (0..).zip(nodes).filter(|(_, node)| rules.fits(&node.labels)).map(|(index, _)| index);
        KeyspacePlacement {
            keyspace,
            nodes: fits.collect(),
            apart: apart.get(&keyspace).into_iter().flatten().copied().collect(),
            together: rules.together.iter().copied().collect(),
        }
    };
    named.into_iter().map(of).collect()
}

/// Index of the quantile next to one half; 0 where there is none.
pub(crate) fn median_of(quantiles: &[f32]) -> usize {
    let off = |q: &f32| (q - 0.5).abs();
    let nearest = quantiles.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)));
    nearest.map_or(0, |(i, _)| i)
}

/// A figure that sums can stand: what is unknown or nonsense counts as none.
fn known(value: f32) -> f32 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> NodeFact {
        NodeFact {
            id: NodeId(id),
            zone: ZoneId(id as u32),
            state: NodeState::Up,
            capacity: 100.0,
            used_bytes: 0,
            capacity_bytes: 1 << 30,
            labels: BTreeSet::new(),
        }
    }

    fn shard(id: u64, replicas: &[u64], load: f32, in_scope: bool) -> ShardFact {
        ShardFact {
            id: ShardId(id),
            keyspace: KeyspaceId(1),
            replicas: replicas.iter().copied().map(NodeId).collect(),
            bytes: 10,
            leader_load: load,
            follower_share: 0.5,
            predicted: vec![load, load * 2.0, load * 3.0, load * 4.0],
            last_moved: InstantMs(0),
            move_steps: 6.0,
            in_scope,
        }
    }

    fn build(nodes: Vec<NodeFact>, shards: Vec<ShardFact>) -> ClusterView {
        let limits = PlacementLimits {
            moves_per_node: 1,
            moves_per_round: 8,
            cool_down_ms: 0,
            max_utilisation: 0.9,
            leader_steps: 0.0,
        };
        let quantiles = vec![0.1, 0.5];
        let placement = BTreeMap::from([
            (KeyspaceId(1), PlacementRules { require: ["disk=ssd".parse().unwrap()].into(), ..Default::default() }),
            (KeyspaceId(2), PlacementRules { apart: [KeyspaceId(3)].into(), ..Default::default() }),
            (KeyspaceId(4), PlacementRules::default()),
        ]);
        ViewInput {
            now: InstantMs(1),
            step_ms: 1,
            steps: 2,
            quantiles,
            nodes,
            shards,
            moving: vec![],
            limits,
            placement,
            seed: 0,
        }
        .build()
    }

    #[test]
    fn rows_become_columns_in_order_of_their_ids() {
        let view = build(vec![node(30), node(10)], vec![shard(7, &[30, 10], 4.0, true), shard(2, &[10], 1.0, true)]);
        assert_eq!(view.nodes.ids, [NodeId(10), NodeId(30)]);
        assert_eq!(view.shards.ids, [ShardId(2), ShardId(7)]);
        assert_eq!(view.shards.replicas_of(1), [1, 0]);
        assert_eq!(view.nodes.load, [1.0 + 2.0, 4.0]);
        assert_eq!(view.nodes.background, [0.0; 4]);
    }

    #[test]
    fn labels_become_nodes_and_being_apart_is_told_of_both() {
        let labelled = NodeFact { labels: ["disk=ssd".parse().unwrap()].into(), ..node(20) };
        let view = build(vec![node(30), labelled, node(10)], vec![]);
        assert_eq!(view.nodes.labels.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0]);
        let told: Vec<_> =
            view.placement.iter().map(|p| (p.keyspace.0, p.nodes.as_slice(), p.apart.as_slice())).collect();
        let (two, three) = ([KeyspaceId(2)], [KeyspaceId(3)]);
        assert_eq!(told, [(1, &[1][..], &[][..]), (2, &[0, 1, 2][..], &three[..]), (3, &[0, 1, 2][..], &two[..])]);
    }

    #[test]
    fn what_is_out_of_scope_is_background_by_its_median() {
        let view = build(vec![node(1), node(2)], vec![shard(7, &[2, 1], 4.0, false)]);
        assert_eq!(view.shards.ids, [] as [ShardId; 0]);
        assert_eq!(view.nodes.load, [2.0, 4.0]);
        assert_eq!(view.nodes.background, [6.0, 8.0, 12.0, 16.0]);
    }

    #[test]
    fn unknown_figures_count_as_none_and_unknown_nodes_are_left_out() {
        let mut odd = shard(1, &[9, 1], f32::NAN, true);
        odd.predicted = vec![f32::NAN];
        let view = build(vec![node(1)], vec![odd, shard(2, &[9], 1.0, true)]);
        assert_eq!(view.shards.ids, [ShardId(1)]);
        assert_eq!(view.shards.replicas_of(0), [0]);
        assert!(view.shards.predicted.iter().all(|v| v.is_finite()));
    }
}
