//! The arm that is hard to beat and costs nothing: one placement for all time, packed on history.

use crate::scenario::Scenario;
use crate::timeline::Placement;
use isobar_model::NodeId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::ops::Range;

/// Every second step of the history is looked at: neighbours are alike, and it halves the work.
const STRIDE: usize = 2;
/// Sweeps of single changes at most; a handful reach a local optimum.
const MAX_SWEEPS: usize = 50;
/// Random exchanges tried in each round after that, and rounds at most: they leave local optima that single changes can't.
const EXCHANGES: usize = 4_000;
const MAX_ROUNDS: usize = 6;

/// A local search, from the start placement, of the placement under which the loads of `history` would have caused least overload: each
/// shard's leadership or replicas go where that saves most, until nothing does; then pairs of shards exchange leaders.
#[must_use]
pub fn pack(scenario: &Scenario, history: Range<usize>) -> Placement {
    let mut search = Search::new(scenario, history);
    search.descend();
    let mut rng = StdRng::seed_from_u64(scenario.spec.seed);
    for _ in 0..MAX_ROUNDS {
        let mut better = false;
        for _ in 0..EXCHANGES {
            better |= search.exchange(rng.random_range(0..search.ops.len()), rng.random_range(0..search.ops.len()));
        }
        if !better {
            break;
        }
        search.descend();
    }
    search.placement.iter().map(|replicas| replicas.iter().map(|&n| NodeId(n as u64 + 1)).collect()).collect()
}

struct Search {
    /// Operations per second, by shard, over the steps looked at.
    ops: Vec<Vec<f32>>,
    leader: f32,
    follower: f32,
    /// Of each node.
    capacity: Vec<f32>,
    /// Loads of each node over the same steps, and their overload.
    nodes: Vec<Vec<f32>>,
    over: Vec<f64>,
    /// Indices of nodes, the leader first.
    placement: Vec<Vec<usize>>,
    /// Smallest overload worth a change: one unit-second a thousand steps, against floating-point noise.
    least: f64,
}

impl Search {
    fn new(scenario: &Scenario, history: Range<usize>) -> Self {
        let ops: Vec<Vec<f32>> =
            scenario.shards.iter().map(|s| s.ops[history.clone()].iter().copied().step_by(STRIDE).collect()).collect();
        let steps = ops.first().map_or(0, Vec::len);
        let placement: Vec<Vec<usize>> = scenario
            .start
            .iter()
            .map(|replicas| replicas.iter().filter_map(|&n| scenario.node_index(n)).collect())
            .collect();
        let (leader, follower) = (scenario.leader_cost(), scenario.follower_cost());
        let mut nodes = vec![vec![0.0; steps]; scenario.spec.nodes];
        for (ops, replicas) in ops.iter().zip(&placement) {
            for (i, &node) in replicas.iter().enumerate() {
                add(&mut nodes[node], ops, if i == 0 { leader } else { follower });
            }
        }
        let capacity: Vec<f32> = (0..scenario.spec.nodes).map(|node| scenario.capacity_of(node)).collect();
        let over = nodes.iter().zip(&capacity).map(|(load, &capacity)| over(load, &[], 0.0, capacity)).collect();
        let least = f64::from(scenario.capacity) * steps as f64 * 1e-6;
        Self { ops, leader, follower, capacity, nodes, over, placement, least }
    }

    /// What `node` would suffer with `factor` times the operations of `shard` on top.
    fn with(&self, node: usize, shard: usize, factor: f32) -> f64 {
        over(&self.nodes[node], &self.ops[shard], factor, self.capacity[node])
    }

    fn shift(&mut self, from: usize, to: usize, shard: usize, factor: f32) {
        add(&mut self.nodes[from], &self.ops[shard], -factor);
        add(&mut self.nodes[to], &self.ops[shard], factor);
        for node in [from, to] {
            self.over[node] = over(&self.nodes[node], &[], 0.0, self.capacity[node]);
        }
    }

    /// Single changes until none helps.
    fn descend(&mut self) {
        for _ in 0..MAX_SWEEPS {
            let mut better = false;
            for shard in 0..self.ops.len() {
                while self.improve(shard) {
                    better = true;
                }
            }
            if !better {
                break;
            }
        }
    }

    /// The best single change of one shard, if one helps.
    fn improve(&mut self, shard: usize) -> bool {
        let (mut best, mut change) = (self.least, None);
        let replicas = self.placement[shard].clone();
        let lead = self.leader - self.follower;
        for (slot, &from) in replicas.iter().enumerate() {
            if self.over[from] <= self.least {
                continue;
            }
            // As a target: a replica that takes the lead, or a node that takes the replica.
            for (factor, to_replica) in [(lead, true), (if slot == 0 { self.leader } else { self.follower }, false)] {
                if to_replica && slot > 0 {
                    continue;
                }
                let saved = self.over[from] - self.with(from, shard, -factor);
                for to in 0..self.nodes.len() {
                    if to == from || replicas.contains(&to) != to_replica || saved <= best {
                        continue;
                    }
                    let gain = saved - (self.with(to, shard, factor) - self.over[to]);
                    if gain > best {
                        (best, change) = (gain, Some((slot, to, factor)));
                    }
                }
            }
        }
        let Some((slot, to, factor)) = change else { return false };
        self.shift(replicas[slot], to, shard, factor);
        match replicas.iter().position(|&node| node == to) {
            Some(other) => self.placement[shard].swap(slot, other),
            None => self.placement[shard][slot] = to,
        }
        true
    }

    /// The leaders of two shards trade places, where that helps and each can: the other's leader follows, or takes the whole replica.
    fn exchange(&mut self, a: usize, b: usize) -> bool {
        let (at, bt) = (self.placement[a][0], self.placement[b][0]);
        if at == bt || self.over[at] + self.over[bt] <= self.least {
            return false;
        }
        let factor = |search: &Self, shard: usize, to: usize| {
            if search.placement[shard].contains(&to) { search.leader - search.follower } else { search.leader }
        };
        let (fa, fb) = (factor(self, a, bt), factor(self, b, at));
        let before = self.over[at] + self.over[bt];
        self.shift(at, bt, a, fa);
        self.shift(bt, at, b, fb);
        if self.over[at] + self.over[bt] + self.least >= before {
            self.shift(at, bt, b, fb);
            self.shift(bt, at, a, fa);
            return false;
        }
        for (shard, to) in [(a, bt), (b, at)] {
            match self.placement[shard].iter().position(|&node| node == to) {
                Some(other) => self.placement[shard].swap(0, other),
                None => self.placement[shard][0] = to,
            }
        }
        true
    }
}

fn add(load: &mut [f32], ops: &[f32], factor: f32) {
    load.iter_mut().zip(ops).for_each(|(load, ops)| *load += factor * ops);
}

/// Load above capacity, summed over the steps, with `factor · ops` on top (none where `ops` is empty).
fn over(load: &[f32], ops: &[f32], factor: f32, capacity: f32) -> f64 {
    // Partial sums in f32 lanes: this loop is all the time that packing takes.
    let mut sum = 0.0_f64;
    if ops.is_empty() {
        for chunk in load.chunks(64) {
            sum += f64::from(chunk.iter().map(|load| (load - capacity).max(0.0)).sum::<f32>());
        }
    } else {
        for (load, ops) in load.chunks(64).zip(ops.chunks(64)) {
            let part: f32 = load.iter().zip(ops).map(|(load, ops)| (load + factor * ops - capacity).max(0.0)).sum();
            sum += f64::from(part);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::overload;
    use crate::scenario::ScenarioSpec;
    use crate::timeline::Timeline;
    use crate::trace::Trace;

    #[test]
    fn packing_removes_most_of_the_overload_of_its_history() {
        let scenario = Scenario::new(&Trace::worldwide().unwrap(), ScenarioSpec::default()).unwrap();
        let history = scenario.history(scenario.window(0).start);
        let packed = pack(&scenario, history.clone());
        let over = |placement: &Placement| overload(&scenario, history.clone(), &Timeline::new(placement.clone()));
        assert!(over(&packed) < 0.5 * over(&scenario.start), "{} {}", over(&packed), over(&scenario.start));
        for replicas in &packed {
            let mut distinct = replicas.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), 3);
        }
    }
}
