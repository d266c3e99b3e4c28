//! From the counters of all nodes to what the brain sees: the live half of the `Fleet` port's *observe*.

use crate::node::services::NodeSamples;
use isobar_analyzer::{NodeLoad, ShardLoad, UnitCosts};
use isobar_control::ControlState;
use isobar_model::{
    InFlight, InstantMs, LoadWeights, Metric, MigrationKind, NodeId, NodeMetric, NodeResource, NodeState, ProcessUsage,
    ReplicaUse, Shard, ShardId,
};
use isobar_ports::{NodeObservation, Observation, ShardObservation};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds a node may miss before it counts as down rather than suspect: three ticks, as a restart takes less.
const MISSED_UNTIL_DOWN: u32 = 3;

/// Counters of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    reads: u64,
    writes: u64,
    read_bytes: u64,
    write_bytes: u64,
}

/// What one shard does a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    reads: f64,
    writes: f64,
    read_bytes: f64,
    write_bytes: f64,
    /// The longest time that a replica's part is a mean over, milliseconds.
    span_ms: u64,
}

/// What a node told when it last answered.
#[derive(Clone, Debug)]
struct Told {
    at: InstantMs,
    started_ms: u64,
    counts: BTreeMap<ShardId, Counts>,
    usage: ProcessUsage,
}

/// What is known of a node's process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    /// As it told.
    pub(crate) usage: ProcessUsage,
    /// Figures over the last tick.
    pub(crate) figures: BTreeMap<NodeMetric, f32>,
    span_ms: u64,
}

/// Counters of the round before, for differences.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    at: Option<InstantMs>,
    nodes: BTreeMap<NodeId, Told>,
    missed: BTreeMap<NodeId, u32>,
    weights: LoadWeights,
    rates: BTreeMap<ShardId, Rates>,
    /// Of shards whose leaders told.
    key_skews: BTreeMap<ShardId, f32>,
    bytes: BTreeMap<ShardId, u64>,
    used: BTreeMap<NodeId, u64>,
    usage: BTreeMap<NodeId, Used>,
}

/// What a load unit costs a node, by figure; those that are missing: not found out yet.
pub(crate) type Costs = BTreeMap<NodeMetric, UnitCosts>;

/// What one round of questions to all nodes gave.
pub(crate) type Round = BTreeMap<NodeId, Option<NodeSamples>>;

impl Baseline {
    /// Takes in a round at `now`, `wall_s_per_s` being seconds of wall time in one of the control clock; gives who leads what by the samples,
    /// and whether rates since the round before are known. A node that missed rounds has done what it tells since it last answered, not since
    /// the last round; of a shard whose leader is silent nothing is known, whatever its followers tell.
    pub(crate) fn take(
        &mut self,
        state: &ControlState,
        round: &Round,
        now: InstantMs,
        wall_s_per_s: f64,
    ) -> (Vec<(ShardId, NodeId)>, bool) {
        self.weights = state.settings().weights;
        let last = self.at.replace(now).filter(|last| *last < now);
        let mut rates: BTreeMap<ShardId, Rates> = BTreeMap::new();
        let (mut leaders, mut bytes) = (BTreeMap::new(), BTreeMap::new());
        let mut key_skews = BTreeMap::new();
        for (&node, samples) in round {
            let Some(samples) = samples else {
                *self.missed.entry(node).or_default() += 1;
                self.usage.remove(&node);
                continue;
            };
            self.missed.remove(&node);
            self.used.insert(node, samples.used_bytes);
            let before = self.nodes.remove(&node);
            let since = before.as_ref().map(|told| told.at).or(last).unwrap_or(now);
            let span_ms = now.since_ms(since).max(1);
            // Counters of another start began at zero, so all that they tell is of this span.
            let before = before.filter(|told| told.started_ms == samples.started_ms);
            let mut counts = BTreeMap::new();
            let skews: BTreeMap<ShardId, f32> = samples.key_skews.iter().copied().collect();
            for sample in &samples.samples {
                let now = Counts {
                    reads: sample.reads,
                    writes: sample.writes,
                    read_bytes: sample.read_bytes,
                    write_bytes: sample.write_bytes,
                };
                counts.insert(sample.shard, now);
                if sample.leads {
                    leaders.insert(sample.shard, node);
                    key_skews.extend(skews.get(&sample.shard).map(|skew| (sample.shard, *skew)));
                }
                let size = bytes.entry(sample.shard).or_insert(0);
                *size = sample.stored_bytes.max(*size);
                // A replica that is new since then began at zero, too.
                let was = before.as_ref().and_then(|told| told.counts.get(&sample.shard)).copied().unwrap_or_default();
                let sum = rates.entry(sample.shard).or_default();
                let rate = |now: u64, was: u64| now.saturating_sub(was) as f64 * 1000.0 / span_ms as f64;
                sum.reads += rate(now.reads, was.reads);
                sum.writes += rate(now.writes, was.writes);
                sum.read_bytes += rate(now.read_bytes, was.read_bytes);
                sum.write_bytes += rate(now.write_bytes, was.write_bytes);
                sum.span_ms = sum.span_ms.max(span_ms);
            }
            let wall_s = span_ms as f64 / 1000.0 * wall_s_per_s;
            let figures = figures(&samples.usage, before.as_ref().map(|told| &told.usage), wall_s);
            self.usage.insert(node, Used { usage: samples.usage, figures, span_ms });
            let told = Told { at: now, started_ms: samples.started_ms, counts, usage: samples.usage };
            self.nodes.insert(node, told);
        }
        // Nodes that were removed are asked no more.
        self.usage.retain(|node, _| round.contains_key(node));
        let silent = |shard: &ShardId| {
            let leader = state.map().shards.get(shard).and_then(|shard| shard.leader);
            leader.is_some_and(|leader| round.get(&leader).is_some_and(Option::is_none))
        };
        rates.retain(|shard, _| leaders.contains_key(shard) || !silent(shard));
        if last.is_some() {
            self.rates = rates;
        }
        self.bytes = bytes;
        self.key_skews = key_skews;
        (leaders.into_iter().collect(), last.is_some())
    }

    /// Load of a shard's leader and of each follower, load units per second; NaN: not known.
    pub(crate) fn load(&self, shard: ShardId) -> (f32, f32) {
        let load = |rates: &Rates| {
            let (reads, writes) = (rates.reads as f32, rates.writes as f32);
            (self.weights.leader(reads, writes), self.weights.follower(writes))
        };
        self.rates.get(&shard).map_or((f32::NAN, f32::NAN), load)
    }

    /// What all shards did, for the archive.
    pub(crate) fn shard_loads(&self) -> Vec<ShardLoad> {
        let load = |(&shard, rates): (&ShardId, &Rates)| ShardLoad {
            shard,
            span_ms: rates.span_ms,
            load: self.load(shard).0,
            reads: rates.reads as f32,
            writes: rates.writes as f32,
            read_bytes: rates.read_bytes as f32,
            write_bytes: rates.write_bytes as f32,
            key_skew: self.key_skews.get(&shard).copied().unwrap_or(f32::NAN),
        };
        self.rates.iter().map(load).collect()
    }

    /// What all nodes used, for the archive.
    pub(crate) fn node_loads(&self) -> Vec<NodeLoad> {
        let load = |(&node, used): (&NodeId, &Used)| NodeLoad {
            node,
            span_ms: used.span_ms,
            values: used.figures.iter().map(|(&metric, &value)| (metric, value)).collect(),
        };
        self.usage.iter().map(load).collect()
    }

    /// What a node's process uses; none: it is silent.
    pub(crate) fn usage(&self, node: NodeId) -> Option<&Used> {
        self.usage.get(&node)
    }

    /// Bytes of one replica.
    pub(crate) fn bytes(&self, shard: ShardId) -> u64 {
        self.bytes.get(&shard).copied().unwrap_or(0)
    }

    /// Bytes stored on a node.
    pub(crate) fn used(&self, node: NodeId) -> u64 {
        self.used.get(&node).copied().unwrap_or(0)
    }

    /// The state of a node, by its samples and its operator's wish.
    pub(crate) fn node_state(&self, node: &isobar_model::Node) -> NodeState {
        match self.missed.get(&node.id) {
            Some(&missed) if missed >= MISSED_UNTIL_DOWN => NodeState::Down,
            Some(_) => NodeState::Suspect,
            None if node.draining => NodeState::Draining,
            None => NodeState::Up,
        }
    }

    /// What a shard's replicas used of a metric; none: not measured. What requests ask for is counted shard by shard: reads where they are served,
    /// writes on each replica. Of what only whole processes tell, a replica takes what its load costs.
    fn uses(&self, shard: ShardId, metric: Metric, costs: &Costs) -> Option<ReplicaUse> {
        let counted = |part: fn(&Rates) -> f64, follows: f32| {
            let leader = part(self.rates.get(&shard)?) as f32;
            Some(ReplicaUse { leader, follower: leader * follows })
        };
        match metric {
            Metric::Load => None,
            Metric::ReadOps => counted(|rates| rates.reads, 0.0),
            Metric::ReadBytes => counted(|rates| rates.read_bytes, 0.0),
            Metric::WriteOps => counted(|rates| rates.writes, 1.0),
            Metric::WriteBytes => counted(|rates| rates.write_bytes, 1.0),
            Metric::StorageIops | Metric::CpuMillicores | Metric::MemoryBytes | Metric::NetworkBytes => {
                let UnitCosts { led, followed } = *costs.get(&of_process(metric)?)?;
                let (leader_load, follower_load) = self.load(shard);
                let used = ReplicaUse { leader: led * leader_load, follower: followed * follower_load };
                (used.leader.is_finite() && used.follower.is_finite()).then_some(used)
            }
        }
    }

    /// What a node uses of a metric beside what its shards account for; NaN: not known, or all of it is counted shard by shard.
    fn idle(&self, node: NodeId, metric: Metric, shards: &[&Shard], costs: &Costs) -> f32 {
        let told = self.usage.get(&node).and_then(|used| used.figures.get(&of_process(metric)?).copied());
        let Some(told) = told else { return f32::NAN };
        let of_shards = shards.iter().filter(|shard| shard.is_on(node)).filter_map(|shard| {
            let used = self.uses(shard.id, metric, costs)?;
            Some(if shard.leader == Some(node) { used.leader } else { used.follower })
        });
        (told - of_shards.sum::<f32>()).max(0.0)
    }

    /// What the brain sees at `now`, `span_ms` after the round before; `costs` are what load was found to cost.
    pub(crate) fn observation(&self, state: &ControlState, now: InstantMs, span_ms: u64, costs: &Costs) -> Observation {
        let settings = state.settings();
        let declared: BTreeSet<Metric> = state.capacities().values().flat_map(BTreeMap::keys).copied().collect();
        let all_shards: Vec<&Shard> = if declared.is_empty() { vec![] } else { state.map().shards.values().collect() };
        let resources = |node: NodeId| {
            let of = |&metric: &Metric| {
                let capacity = state.capacities().get(&node).and_then(|of_node| of_node.get(&metric));
                let idle = self.idle(node, metric, &all_shards, costs);
                (metric, NodeResource { capacity: capacity.copied().unwrap_or(0.0), idle })
            };
            declared.iter().map(of).collect()
        };
        let uses = |shard: ShardId| {
            declared.iter().filter_map(|&metric| Some((metric, self.uses(shard, metric, costs)?))).collect()
        };
        let nodes = state.nodes().values().map(|node| NodeObservation {
            id: node.id,
            zone: node.zone,
            state: self.node_state(node),
            capacity: node.capacity,
            used_bytes: self.used(node.id),
            capacity_bytes: node.capacity_bytes,
            resources: resources(node.id),
        });
        let map = state.map();
        let shards = map.shards.values().map(|shard| {
            let leader = shard.leader.filter(|leader| shard.is_on(*leader));
            let mut replicas: Vec<NodeId> = shard.replicas.iter().map(|replica| replica.node).collect();
            if let Some(at) = leader.and_then(|leader| replicas.iter().position(|node| *node == leader)) {
                replicas.swap(0, at);
            }
            let (leader_load, follower_load) = self.load(shard.id);
            ShardObservation {
                id: shard.id,
                keyspace: shard.keyspace,
                replication_factor: map.keyspaces.get(&shard.keyspace).map_or(1, |k| k.replication_factor),
                replicas,
                bytes: self.bytes(shard.id),
                leader_load,
                follower_load,
                uses: uses(shard.id),
            }
        });
        let declared_ms = u64::from(settings.move_steps) * u64::from(settings.step_ms);
        let moving = state.live_migrations().values().filter(|m| !m.stage.is_switched()).map(|migration| InFlight {
            shard: migration.shard,
            source: migration.source,
            target: migration.target,
            done_by: migration.not_before.max(migration.started.plus_ms(match migration.kind {
                MigrationKind::Replica => declared_ms,
                MigrationKind::Leader => 0,
            })),
            leader_only: migration.kind == MigrationKind::Leader,
        });
        Observation { now, span_ms, nodes: nodes.collect(), shards: shards.collect(), moving: moving.collect() }
    }
}

/// The figure of a process that a metric is; none: it is counted shard by shard.
fn of_process(metric: Metric) -> Option<NodeMetric> {
    match metric {
        Metric::StorageIops => Some(NodeMetric::StorageIops),
        Metric::CpuMillicores => Some(NodeMetric::CpuMillicores),
        Metric::MemoryBytes => Some(NodeMetric::MemoryBytes),
        Metric::NetworkBytes => Some(NodeMetric::NetworkBytes),
        Metric::Load | Metric::ReadOps | Metric::WriteOps | Metric::ReadBytes | Metric::WriteBytes => None,
    }
}

/// Figures over a time of `wall_s`; a counter that went back, or was not told before, gives none.
fn figures(now: &ProcessUsage, before: Option<&ProcessUsage>, wall_s: f64) -> BTreeMap<NodeMetric, f32> {
    let rate = |of: fn(&ProcessUsage) -> Option<u64>| {
        let done = of(now)?.checked_sub(of(before?)?)?;
        (wall_s > 0.0).then(|| (done as f64 / wall_s) as f32)
    };
    let all = [
        // Milliseconds a second are thousandths of a core.
        (NodeMetric::CpuMillicores, rate(|usage| usage.cpu_ms)),
        (NodeMetric::MemoryBytes, now.memory_bytes.map(|bytes| bytes as f32)),
        (NodeMetric::StorageIops, rate(|usage| usage.storage_ops)),
        (NodeMetric::StorageBytes, rate(|usage| usage.storage_bytes)),
        (NodeMetric::DiskUsedBytes, now.disk_used_bytes.map(|bytes| bytes as f32)),
        (NodeMetric::NetworkBytes, rate(|usage| usage.network_bytes)),
    ];
    all.into_iter().filter_map(|(metric, value)| Some((metric, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_control::{ControlCommand, Settings, ShardCount};
    use isobar_model::{LoadSample, Mode, Node, Partitioning, ZoneId};

    const SHARD: ShardId = ShardId(1);

    /// Two nodes, one shard on both, led by node 1.
    fn state() -> ControlState {
        let mut state = ControlState::default();
        let mut command = |command| state.command(InstantMs(0), command).into_result().unwrap();
        command(ControlCommand::FormCluster { cluster: "c".into(), settings: Settings::default() });
        for id in [1, 2, 3] {
            let addr = format!("127.0.0.1:{id}");
            let node = Node {
                id: NodeId(id),
                zone: ZoneId(id as u32),
                peer_addr: addr.clone(),
                http_addr: addr,
                capacity: 100.0,
                capacity_bytes: 1 << 30,
                draining: false,
            };
            command(ControlCommand::RegisterNode { cluster: "c".into(), node });
        }
        command(ControlCommand::CreateKeyspace {
            name: "k".into(),
            partitioning: Partitioning::Hash,
            replication_factor: 3,
            mode: Mode::Auto,
            shards: ShardCount::Even(1),
            placement: Some(vec![vec![NodeId(1), NodeId(2), NodeId(3)]]),
        });
        command(ControlCommand::ReportLeaders(vec![(SHARD, NodeId(1))]));
        state
    }

    fn told(node: u64, reads: u64, cpu_ms: u64) -> Option<NodeSamples> {
        let sample = LoadSample {
            shard: SHARD,
            node: NodeId(node),
            leads: node == 1,
            reads,
            writes: 0,
            read_bytes: reads * 100,
            write_bytes: 0,
            stored_bytes: 0,
        };
        let usage = ProcessUsage { cpu_ms: Some(cpu_ms), memory_bytes: Some(5_000), ..ProcessUsage::default() };
        Some(NodeSamples { started_ms: 7, samples: vec![sample], used_bytes: 0, usage, key_skews: Vec::new() })
    }

    fn round(first: Option<NodeSamples>) -> Round {
        BTreeMap::from([(NodeId(1), first), (NodeId(2), told(2, 0, 0)), (NodeId(3), told(3, 0, 0))])
    }

    #[test]
    fn a_shard_whose_leader_is_silent_is_unknown_and_told_of_in_full_once_it_answers() {
        let (state, mut baseline) = (state(), Baseline::default());
        let mut take = |at_s: u64, first| {
            let (_, known) = baseline.take(&state, &round(first), InstantMs(at_s * 1000), 1.0);
            (known, baseline.load(SHARD).0, baseline.shard_loads().first().map(|load| load.span_ms))
        };
        assert!(!take(10, told(1, 1_000, 0)).0);
        assert_eq!(take(20, told(1, 1_100, 0)), (true, 10.0, Some(10_000)));
        let (known, load, span) = take(30, None);
        assert!(known && load.is_nan() && span.is_none(), "its followers saw no reads, but it may have");
        // Ten a second in both ticks, not twenty in the last.
        assert_eq!(take(40, told(1, 1_300, 0)), (true, 10.0, Some(20_000)));
    }

    #[test]
    fn what_is_declared_is_seen_as_it_is_counted_or_as_load_costs() {
        let (mut state, mut baseline) = (state(), Baseline::default());
        let none = baseline.observation(&state, InstantMs(0), 0, &Costs::new());
        assert!(none.nodes.iter().all(|node| node.resources.is_empty()), "nobody declares anything");
        let declared = [Metric::CpuMillicores, Metric::ReadBytes, Metric::NetworkBytes].map(|metric| (metric, 1_000.0));
        let command = ControlCommand::SetCapacities { node: NodeId(2), capacities: declared.into() };
        state.command(InstantMs(0), command).into_result().unwrap();
        for (at_s, reads, cpu_ms) in [(10, 0, 0), (20, 100, 500)] {
            baseline.take(&state, &round(told(1, reads, cpu_ms)), InstantMs(at_s * 1000), 1.0);
        }
        // Ten reads a second are ten load units, of which each costs the leader three millicores, and of followers there is no load.
        let costs = Costs::from([(NodeMetric::CpuMillicores, UnitCosts { led: 3.0, followed: 2.0 })]);
        let seen = baseline.observation(&state, InstantMs(20_000), 10_000, &costs);
        let of = |leader: f32| ReplicaUse { leader, follower: 0.0 };
        assert_eq!(seen.shards[0].uses, [(Metric::CpuMillicores, of(30.0)), (Metric::ReadBytes, of(1_000.0))].into());
        let cpu = |node: usize| seen.nodes[node].resources[&Metric::CpuMillicores];
        assert_eq!(cpu(0), NodeResource { capacity: 0.0, idle: 20.0 }, "of 50 it used, 30 are its shard's");
        assert_eq!(cpu(1), NodeResource { capacity: 1_000.0, idle: 0.0 });
        assert!(seen.nodes[0].resources[&Metric::ReadBytes].idle.is_nan());
        assert!(seen.nodes[0].resources[&Metric::NetworkBytes].idle.is_nan(), "its system does not tell");
    }

    #[test]
    fn rates_of_a_process_are_those_of_wall_time() {
        let (state, mut baseline) = (state(), Baseline::default());
        // The control clock goes ten times as fast.
        for (at_s, cpu_ms) in [(100, 400), (200, 900)] {
            baseline.take(&state, &round(told(1, 0, cpu_ms)), InstantMs(at_s * 1000), 0.1);
        }
        let used = baseline.usage(NodeId(1)).unwrap();
        assert_eq!(used.figures.get(&NodeMetric::CpuMillicores), Some(&50.0), "half a second in ten");
        assert_eq!(used.figures.get(&NodeMetric::MemoryBytes), Some(&5_000.0));
        assert_eq!(used.figures.get(&NodeMetric::NetworkBytes), None);
        assert_eq!(baseline.node_loads().len(), 3);
    }
}
