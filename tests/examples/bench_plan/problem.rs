//! Synthetic clusters, the same for Isobar and for its peer: skewed loads on a skewed start.

use isobar_model::{
    Action, ClusterView, InstantMs, KeyspaceId, Move, NodeColumns, NodeId, NodeState, PlacementLimits, ShardColumns,
    ShardId, ZoneId,
};
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Copies of each shard.
pub(crate) const COPIES: usize = 3;
/// Zones; nodes lie in them by turns.
const ZONES: usize = 10;
/// What a follower costs, per unit of its leader's load.
const FOLLOWER_SHARE: f32 = 0.3;
/// Spread of the leaders' loads: they are lognormal, the logarithm's deviation being this.
const SIGMA: f64 = 1.0;
/// Share of all nodes' capacity that all load takes.
const UTILISATION: f64 = 0.6;
/// Share of all nodes' disks that all data takes.
const DISK_USE: f64 = 0.5;
const MEAN_BYTES: f64 = 64.0 * (1 << 20) as f64;
/// An hour between two moves of a shard: within one plan, however many rounds it comes in, none moves twice.
const COOL_DOWN_MS: u64 = 3_600_000;
/// One step of forecast, which begins now: moves end within it or after it.
const STEP_MS: u32 = 300_000;

/// A cluster as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) view: ClusterView,
}

/// A standard normal value (Box and Muller 1958).
fn normal(rng: &mut StdRng) -> f64 {
    let (a, b) = (rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

impl Problem {
    /// `shards` shards on `nodes` nodes: zones by chance, and in a zone the lower the node's number the likelier it is chosen (by the square
    /// root), so that the fullest nodes hold several times the mean.
    pub(crate) fn new(shards: usize, nodes: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let in_zone = |zone: usize| (nodes - zone).div_ceil(ZONES);
        let mut columns = ShardColumns { replica_offsets: vec![0], ..ShardColumns::default() };
        let mut used_bytes = vec![0_u64; nodes];
        let mut load = vec![0.0_f64; nodes];
        for shard in 0..shards {
            let leader = (SIGMA * normal(&mut rng)).exp() as f32;
            let bytes = (MEAN_BYTES * rng.random_range(0.5..1.5)) as u64;
            for (slot, zone) in sample(&mut rng, ZONES, COPIES).into_iter().enumerate() {
                let place = (in_zone(zone) as f64 * rng.random::<f64>().powi(2)) as usize;
                let node = place * ZONES + zone;
                used_bytes[node] += bytes;
                load[node] += f64::from(leader) * if slot == 0 { 1.0 } else { f64::from(FOLLOWER_SHARE) };
                columns.replicas.push(node as u32);
            }
            columns.ids.push(ShardId(shard as u64 + 1));
            columns.keyspaces.push(KeyspaceId(1));
            columns.bytes.push(bytes);
            columns.leader_load.push(leader);
            columns.follower_share.push(FOLLOWER_SHARE);
            columns.predicted.push(leader);
            columns.replica_offsets.push(columns.replicas.len() as u32);
            columns.last_moved.push(InstantMs(0));
            columns.move_steps.push(1.0);
            columns.move_cost.push(0.0);
        }
        let capacity = (load.iter().sum::<f64>() / nodes as f64 / UTILISATION) as f32;
        let disk = used_bytes.iter().map(|&bytes| bytes as f64).sum::<f64>() / nodes as f64 / DISK_USE;
        // The start stands where no rule would have let it come to: such a node's disk is full.
        let capacity_bytes = used_bytes.iter().map(|&used| used.max(disk as u64)).collect();
        let view = ClusterView {
            now: InstantMs(1_789_948_800_000),
            step_ms: STEP_MS,
            steps: 1,
            quantiles: vec![0.5],
            nodes: NodeColumns {
                ids: (1..=nodes as u64).map(NodeId).collect(),
                zones: (0..nodes).map(|node| ZoneId((node % ZONES) as u32)).collect(),
                states: vec![NodeState::Up; nodes],
                capacity: vec![capacity; nodes],
                load: load.iter().map(|&load| load as f32).collect(),
                background: vec![0.0; nodes],
                used_bytes,
                capacity_bytes,
                labels: Vec::new(),
            },
            shards: columns,
            moving: Vec::new(),
            limits: PlacementLimits {
                // As many as a plan may hold: it is the plan that is measured, not how fast it is carried out.
                moves_per_node: 10_000,
                moves_per_round: 10_000,
                cool_down_ms: COOL_DOWN_MS,
                max_utilisation: 0.9,
                leader_steps: 0.1,
            },
            placement: Vec::new(),
            resources: Vec::new(),
            scenarios: None,
            seed: 1,
        };
        Self { view }
    }

    /// The fullest node over the mean: reckoned anew from the shards, whatever the view says of its nodes.
    pub(crate) fn max_over_mean(&self) -> f64 {
        let load = self.loads();
        let mean = load.iter().sum::<f64>() / load.len() as f64;
        load.iter().copied().fold(0.0, f64::max) / mean
    }

    fn loads(&self) -> Vec<f64> {
        let shards = &self.view.shards;
        let mut load = vec![0.0; self.view.nodes.ids.len()];
        for shard in 0..shards.ids.len() {
            for (slot, &node) in shards.replicas_of(shard).iter().enumerate() {
                let share = if slot == 0 { 1.0 } else { f64::from(shards.follower_share[shard]) };
                load[node as usize] += share * f64::from(shards.leader_load[shard]);
            }
        }
        load
    }

    /// Carries a plan out, at once, and brings the view up to date.
    pub(crate) fn apply(&mut self, moves: &[Move]) {
        let (shards, nodes) = (&mut self.view.shards, &mut self.view.nodes);
        for proposed in moves {
            let Ok(shard) = shards.ids.binary_search(&proposed.shard) else { continue };
            let range = shards.replica_offsets[shard] as usize..shards.replica_offsets[shard + 1] as usize;
            let replicas = &mut shards.replicas[range];
            let at = |id| nodes.ids.binary_search(&id).ok();
            match proposed.action {
                Action::MoveReplica { source, target } => {
                    let (Some(source), Some(target)) = (at(source), at(target)) else { continue };
                    replicas.iter_mut().filter(|node| **node == source as u32).for_each(|node| *node = target as u32);
                    nodes.used_bytes[source] -= shards.bytes[shard];
                    nodes.used_bytes[target] += shards.bytes[shard];
                }
                Action::TransferLeader(target) => {
                    let slot = at(target).and_then(|target| replicas.iter().position(|&node| node == target as u32));
                    if let Some(slot) = slot {
                        replicas.swap(0, slot);
                    }
                }
                Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {}
            }
            shards.last_moved[shard] = self.view.now;
        }
        let load = self.loads();
        self.view.nodes.load = load.into_iter().map(|load| load as f32).collect();
    }

    /// A few loads change: those of `count` shards, by up to a half either way. Time has passed: every shard may move again.
    pub(crate) fn change(&mut self, count: usize, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        self.view.now = self.view.now.plus_ms(2 * COOL_DOWN_MS);
        for shard in sample(&mut rng, self.view.shards.ids.len(), count) {
            let load = self.view.shards.leader_load[shard] * rng.random_range(0.5_f32..1.5);
            self.view.shards.leader_load[shard] = load;
            self.view.shards.predicted[shard] = load;
        }
        let load = self.loads();
        self.view.nodes.load = load.into_iter().map(|load| load as f32).collect();
    }

    /// For a peer that places replicas one by one, each with a load of its own.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let (nodes, shards) = (&self.view.nodes, &self.view.shards);
        json!({
            "zones": nodes.zones.iter().map(|zone| zone.0).collect::<Vec<_>>(),
            "capacity_bytes": nodes.capacity_bytes,
            "leader_load": shards.leader_load,
            "follower_share": FOLLOWER_SHARE,
            "bytes": shards.bytes,
            "replicas": (0..shards.ids.len()).map(|shard| shards.replicas_of(shard)).collect::<Vec<_>>(),
        })
    }
}
