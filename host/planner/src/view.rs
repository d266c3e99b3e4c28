//! Builds the cluster view: rows of facts become columns, nodes become indices, what is out of scope becomes background.

use isobar_model::{
    ClusterView, InFlight, InstantMs, KeyspaceId, KeyspacePlacement, Label, Metric, NodeColumns, NodeId, NodeResource,
    NodeState, PlacementLimits, PlacementRules, ReplicaUse, Resource, Scenarios, ShardColumns, ShardId, ZoneId,
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
    /// What it has beside load.
    pub resources: BTreeMap<Metric, NodeResource>,
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
    /// Load units times seconds that copying one replica costs either end.
    pub move_cost: f32,
    /// What its replicas use per unit of leader load; those that are missing: not known.
    pub uses: BTreeMap<Metric, ReplicaUse>,
    /// Whether the policy may move it; else it is background.
    pub in_scope: bool,
}

/// What the hottest shards may do together: `values[(row * count + scenario) * steps + step]`, leader load.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioFacts {
    /// Rows.
    pub shards: Vec<ShardId>,
    /// Scenarios of each.
    pub count: u32,
    /// `shards.len() * count * steps` values.
    pub values: Vec<f32>,
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
    /// What the hottest shards may do together; none: not known.
    pub scenarios: Option<ScenarioFacts>,
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
        let mut resources = resources(&self.nodes, &self.shards, steps);
        let mut shards = ShardColumns { replica_offsets: vec![0], ..ShardColumns::default() };
        for mut shard in self.shards {
            let replicas: Vec<u32> = shard.replicas.iter().filter_map(|node| at.get(node).copied()).collect();
            if replicas.is_empty() {
                continue;
            }
            let led = shard.replicas.first().is_some_and(|leader| at.contains_key(leader));
            let (load, share) = (known(shard.leader_load), known(shard.follower_share));
            shard.predicted.resize(self.quantiles.len() * steps, load);
            let path = shard.predicted.get(median * steps..(median + 1) * steps).unwrap_or_default();
            for (i, &node) in replicas.iter().enumerate() {
                let (node, leads) = (node as usize, i == 0 && led);
                let part = if leads { 1.0 } else { share };
                nodes.load[node] += load * part;
                let background = &mut nodes.background[node * steps..(node + 1) * steps];
                let outside = (!shard.in_scope).then_some(path);
                add(background, outside, part);
                for resource in &mut resources {
                    let part = use_of(&shard, resource.metric, leads);
                    resource.used[node] += load * part;
                    add(&mut resource.background[node * steps..(node + 1) * steps], outside, part);
                }
            }
            if !shard.in_scope {
                continue;
            }
            for resource in &mut resources {
                resource.leader_use.push(use_of(&shard, resource.metric, true));
                resource.follower_use.push(use_of(&shard, resource.metric, false));
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
            shards.move_cost.push(known(shard.move_cost));
        }
        let scenarios = self.scenarios.and_then(|facts| scenarios(facts, &shards.ids, steps));
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
            resources,
            scenarios,
            seed: self.seed,
        }
    }
}

/// The metrics that some node declares a capacity of and somebody measures, as nodes use them without load; no shard yet.
fn resources(nodes: &[NodeFact], shards: &[ShardFact], steps: usize) -> Vec<Resource> {
    let declared = nodes.iter().flat_map(|node| &node.resources).filter(|(_, of_node)| known(of_node.capacity) > 0.0);
    let metrics: BTreeSet<Metric> = declared.map(|(metric, _)| *metric).filter(|m| *m != Metric::Load).collect();
    let is_measured = |metric: &Metric| {
        let idle = |node: &NodeFact| node.resources.get(metric).is_some_and(|of_node| of_node.idle.is_finite());
        shards.iter().any(|shard| shard.uses.contains_key(metric)) || nodes.iter().any(idle)
    };
    let of = |metric: Metric| {
        let figure = |figure: fn(&NodeResource) -> f32| -> Vec<f32> {
            nodes.iter().map(|node| node.resources.get(&metric).map_or(0.0, |of_node| known(figure(of_node)))).collect()
        };
        let used = figure(|of_node| of_node.idle);
        Resource {
            metric,
            capacity: figure(|of_node| of_node.capacity),
            background: used.iter().flat_map(|&idle| std::iter::repeat_n(idle, steps)).collect(),
            used,
            leader_use: Vec::new(),
            follower_use: Vec::new(),
        }
    };
    metrics.into_iter().filter(is_measured).map(of).collect()
}

fn use_of(shard: &ShardFact, metric: Metric, leads: bool) -> f32 {
    let of_replicas = shard.uses.get(&metric);
    of_replicas.map_or(0.0, |of| known(if leads { of.leader } else { of.follower }))
}

/// Adds what is outside a policy's scope, if anything.
fn add(background: &mut [f32], outside: Option<&[f32]>, part: f32) {
    if let Some(path) = outside.filter(|_| part > 0.0) {
        background.iter_mut().zip(path).for_each(|(load, &value)| *load += known(value) * part);
    }
}

/// The rows of shards that are in the view, in its order.
fn scenarios(facts: ScenarioFacts, shards: &[ShardId], steps: usize) -> Option<Scenarios> {
    let width = facts.count as usize * steps;
    if width == 0 || facts.values.len() != facts.shards.len() * width {
        return None;
    }
    let mut rows: Vec<(u32, &[f32])> = facts
        .shards
        .iter()
        .zip(facts.values.chunks_exact(width))
        .filter_map(|(shard, values)| Some((shards.binary_search(shard).ok()? as u32, values)))
        .collect();
    rows.sort_by_key(|(shard, _)| *shard);
    rows.dedup_by_key(|(shard, _)| *shard);
    (!rows.is_empty()).then(|| Scenarios {
        shards: rows.iter().map(|(shard, _)| *shard).collect(),
        count: facts.count,
        values: rows.iter().flat_map(|(_, values)| values.iter().map(|&value| known(value))).collect(),
    })
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
            resources: BTreeMap::new(),
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
            move_cost: 3.0,
            uses: BTreeMap::new(),
            in_scope,
        }
    }

    fn build(nodes: Vec<NodeFact>, shards: Vec<ShardFact>) -> ClusterView {
        input(nodes, shards).build()
    }

    fn input(nodes: Vec<NodeFact>, shards: Vec<ShardFact>) -> ViewInput {
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
            scenarios: None,
            seed: 0,
        }
    }

    fn has(metric: Metric, capacity: f32, idle: f32, mut node: NodeFact) -> NodeFact {
        node.resources.insert(metric, NodeResource { capacity, idle });
        node
    }

    fn takes(metric: Metric, leader: f32, follower: f32, mut shard: ShardFact) -> ShardFact {
        shard.uses.insert(metric, ReplicaUse { leader, follower });
        shard
    }

    #[test]
    fn a_resource_follows_the_load_and_what_is_outside_is_background() {
        let cpu = Metric::CpuMillicores;
        let nodes = vec![has(cpu, 8_000.0, 100.0, node(1)), has(cpu, 0.0, f32::NAN, node(2))];
        let seen = takes(cpu, 10.0, 5.0, shard(7, &[2, 1], 4.0, true));
        let unseen = takes(cpu, 1.0, 0.5, shard(8, &[1, 2], 4.0, false));
        let view = build(nodes, vec![unseen, seen, shard(9, &[1], 4.0, true)]);
        let [of_cpu] = view.resources.as_slice() else { panic!("{:?}", view.resources) };
        assert_eq!(of_cpu.capacity, [8_000.0, 0.0]);
        assert_eq!(of_cpu.used, [100.0 + 20.0 + 4.0, 40.0 + 2.0]);
        // The median path is 12, 16.
        assert_eq!(of_cpu.background, [100.0 + 12.0, 100.0 + 16.0, 6.0, 8.0]);
        assert_eq!((of_cpu.leader_use.as_slice(), of_cpu.follower_use.as_slice()), (&[10.0, 0.0][..], &[5.0, 0.0][..]));
    }

    #[test]
    fn what_nobody_declares_or_nobody_measures_is_no_resource() {
        let nodes = vec![
            has(Metric::ReadOps, 10.0, f32::NAN, node(1)),
            has(Metric::WriteOps, 0.0, 1.0, node(2)),
            has(Metric::MemoryBytes, 10.0, 3.0, node(3)),
            has(Metric::Load, 10.0, 3.0, node(4)),
        ];
        let view = build(nodes, vec![takes(Metric::WriteOps, 1.0, 1.0, shard(7, &[1], 4.0, true))]);
        assert_eq!(view.resources.iter().map(|r| r.metric).collect::<Vec<_>>(), [Metric::MemoryBytes]);
    }

    #[test]
    fn scenarios_are_those_of_the_shards_in_the_view() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let facts = ScenarioFacts { shards: [9, 8, 7].map(ShardId).to_vec(), count: 2, values };
        let shards = vec![shard(7, &[1], 1.0, true), shard(8, &[1], 1.0, false), shard(9, &[1], 1.0, true)];
        let build = |facts| ViewInput { scenarios: Some(facts), ..input(vec![node(1)], shards.clone()) }.build();
        let scenarios = build(facts.clone()).scenarios.unwrap();
        assert_eq!((scenarios.shards.as_slice(), scenarios.count), (&[0, 1][..], 2));
        assert_eq!(scenarios.values, [8.0, 9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 3.0]);
        let cut = ScenarioFacts { count: 3, ..facts };
        assert_eq!(build(cut).scenarios, None);
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
