//! One placement for all time, packed on recorded load: hard to beat, and no forecast is needed for it.
//!
//! A local search over plain matrices: each shard's leadership or replicas go where that saves most of the load above capacity, until nothing
//! does; then pairs of shards exchange leaders, which leaves local optima that single changes can't.

/// Sweeps of single changes at most; a handful reach a local optimum.
const MAX_SWEEPS: usize = 50;
/// Random exchanges tried in each round after that, and rounds at most.
const EXCHANGES: usize = 4_000;
const MAX_ROUNDS: usize = 6;

/// What is to be packed. Rows are of equal length: the steps looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackInput {
    /// By shard: what it did in each step.
    pub work: Vec<Vec<f32>>,
    /// By shard: load of its leader per unit of work.
    pub leader: Vec<f32>,
    /// By shard: load of each follower per unit of work.
    pub follower: Vec<f32>,
    /// By node: load that fits.
    pub capacity: Vec<f32>,
    /// By node: load in each step that stays where it is.
    pub background: Vec<Vec<f32>>,
    /// By node: whether replicas may come to it. Missing: they may.
    pub open: Vec<bool>,
    /// By node: its failure domain; no change puts a shard into fewer of them. Missing: all are one.
    pub zones: Vec<u32>,
    /// By shard: indices of nodes, the leader first.
    pub start: Vec<Vec<usize>>,
    /// Smallest fall of load above capacity, summed over the steps, that is worth a change.
    pub least: f64,
    /// Steps of node loads looked at in all, after which the search stops where it is.
    pub max_work: u64,
}

/// The placement found, in the form of [`PackInput::start`]. `draw(n)` gives a number below `n`; the same numbers give the same placement.
#[must_use]
pub fn pack(input: PackInput, mut draw: impl FnMut(usize) -> usize) -> Vec<Vec<usize>> {
    let shards = input.work.len();
    let mut search = Search::new(input);
    search.descend();
    if shards == 0 {
        return search.placement;
    }
    for _ in 0..MAX_ROUNDS {
        let mut better = false;
        for _ in 0..EXCHANGES {
            let (a, b) = (draw(shards), draw(shards));
            better |= search.exchange(a, b);
        }
        if !better {
            break;
        }
        search.descend();
    }
    search.placement
}

struct Search {
    input: PackInput,
    /// Loads of each node over the steps, and their overload.
    nodes: Vec<Vec<f32>>,
    over: Vec<f64>,
    placement: Vec<Vec<usize>>,
    steps: u64,
    work_done: u64,
}

impl Search {
    fn new(mut input: PackInput) -> Self {
        let steps = input.work.first().map_or(0, Vec::len);
        let placement = std::mem::take(&mut input.start);
        let mut nodes = std::mem::take(&mut input.background);
        nodes.resize(input.capacity.len(), Vec::new());
        nodes.iter_mut().for_each(|loads| loads.resize(steps, 0.0));
        for (shard, replicas) in placement.iter().enumerate() {
            for (i, &node) in replicas.iter().enumerate() {
                add(&mut nodes[node], &input.work[shard], factor(&input, shard, i));
            }
        }
        let over = nodes.iter().zip(&input.capacity).map(|(load, &capacity)| over(load, &[], 0.0, capacity)).collect();
        Self { input, nodes, over, placement, steps: steps as u64, work_done: 0 }
    }

    fn is_spent(&self) -> bool {
        self.work_done >= self.input.max_work
    }

    /// What `node` would suffer with `factor` times the work of `shard` on top.
    fn with(&mut self, node: usize, shard: usize, factor: f32) -> f64 {
        self.work_done = self.work_done.saturating_add(self.steps);
        over(&self.nodes[node], &self.input.work[shard], factor, self.input.capacity[node])
    }

    fn shift(&mut self, from: usize, to: usize, shard: usize, factor: f32) {
        self.work_done = self.work_done.saturating_add(4 * self.steps);
        add(&mut self.nodes[from], &self.input.work[shard], -factor);
        add(&mut self.nodes[to], &self.input.work[shard], factor);
        for node in [from, to] {
            self.over[node] = over(&self.nodes[node], &[], 0.0, self.input.capacity[node]);
        }
    }

    /// Single changes until none helps.
    fn descend(&mut self) {
        for _ in 0..MAX_SWEEPS {
            let mut better = false;
            for shard in 0..self.input.work.len() {
                while self.improve(shard) {
                    better = true;
                }
            }
            if !better {
                break;
            }
        }
    }

    /// Whether the replica in `slot` of a shard may go to a node that holds none.
    fn may_come(&self, shard: usize, slot: usize, to: usize) -> bool {
        if !self.input.open.get(to).copied().unwrap_or(true) {
            return false;
        }
        if self.input.zones.is_empty() {
            return true;
        }
        let zone = |node: usize| self.input.zones.get(node).copied().unwrap_or(0);
        let replicas = &self.placement[shard];
        let distinct = |replaced: Option<usize>| {
            let zones = replicas
                .iter()
                .enumerate()
                .map(|(i, &node)| zone(if i == slot { replaced.unwrap_or(node) } else { node }));
            let mut zones: Vec<u32> = zones.collect();
            zones.sort_unstable();
            zones.dedup();
            zones.len()
        };
        distinct(Some(to)) >= distinct(None)
    }

    /// The best single change of one shard, if one helps.
    fn improve(&mut self, shard: usize) -> bool {
        if self.is_spent() {
            return false;
        }
        let (mut best, mut change) = (self.input.least, None);
        let replicas = self.placement[shard].clone();
        let lead = self.input.leader[shard] - self.input.follower[shard];
        for (slot, &from) in replicas.iter().enumerate() {
            if self.over[from] <= self.input.least {
                continue;
            }
            // As a target: a replica that takes the lead, or a node that takes the replica.
            for (factor, to_replica) in [(lead, true), (factor(&self.input, shard, slot), false)] {
                if to_replica && slot > 0 {
                    continue;
                }
                let saved = self.over[from] - self.with(from, shard, -factor);
                for to in 0..self.nodes.len() {
                    if to == from || replicas.contains(&to) != to_replica || saved <= best {
                        continue;
                    }
                    if !to_replica && !self.may_come(shard, slot, to) {
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
        let (Some(&at), Some(&bt)) = (self.placement[a].first(), self.placement[b].first()) else { return false };
        if at == bt || self.over[at] + self.over[bt] <= self.input.least || self.is_spent() {
            return false;
        }
        for (shard, to) in [(a, bt), (b, at)] {
            if !self.placement[shard].contains(&to) && !self.may_come(shard, 0, to) {
                return false;
            }
        }
        let factor = |search: &Self, shard: usize, to: usize| {
            let (leader, follower) = (search.input.leader[shard], search.input.follower[shard]);
            if search.placement[shard].contains(&to) { leader - follower } else { leader }
        };
        let (fa, fb) = (factor(self, a, bt), factor(self, b, at));
        let before = self.over[at] + self.over[bt];
        self.shift(at, bt, a, fa);
        self.shift(bt, at, b, fb);
        if self.over[at] + self.over[bt] + self.input.least >= before {
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

fn factor(input: &PackInput, shard: usize, slot: usize) -> f32 {
    if slot == 0 { input.leader[shard] } else { input.follower[shard] }
}

fn add(load: &mut [f32], work: &[f32], factor: f32) {
    load.iter_mut().zip(work).for_each(|(load, work)| *load += factor * work);
}

/// Load above capacity, summed over the steps, with `factor · work` on top (none where `work` is empty).
fn over(load: &[f32], work: &[f32], factor: f32, capacity: f32) -> f64 {
    // Partial sums in f32 lanes: this loop is all the time that packing takes.
    let mut sum = 0.0_f64;
    if work.is_empty() {
        for chunk in load.chunks(64) {
            sum += f64::from(chunk.iter().map(|load| (load - capacity).max(0.0)).sum::<f32>());
        }
    } else {
        for (load, work) in load.chunks(64).zip(work.chunks(64)) {
            let part: f32 = load.iter().zip(work).map(|(load, work)| (load + factor * work - capacity).max(0.0)).sum();
            sum += f64::from(part);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two shards that are busy in turns, and two that always are, on three nodes.
    fn turns() -> PackInput {
        let (day, night) = ([10.0, 0.0], [0.0, 10.0]);
        PackInput {
            work: [day, day, night, night].iter().map(|row| row.to_vec()).collect(),
            leader: vec![1.0; 4],
            follower: vec![0.0; 4],
            capacity: vec![10.0, 10.0],
            background: vec![vec![0.0; 2]; 2],
            open: Vec::new(),
            zones: Vec::new(),
            // Both of the day on one node, both of the night on the other.
            start: vec![vec![0], vec![0], vec![1], vec![1]],
            least: 1e-3,
            max_work: u64::MAX,
        }
    }

    fn seeded() -> impl FnMut(usize) -> usize {
        let mut at = 0_usize;
        move |n| {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (at >> 33) % n
        }
    }

    fn overload(input: &PackInput, placement: &[Vec<usize>]) -> f64 {
        Search::new(PackInput { start: placement.to_vec(), ..input.clone() }).over.iter().sum()
    }

    #[test]
    fn what_is_busy_in_turns_shares_a_node() {
        let packed = pack(turns(), seeded());
        assert_eq!(overload(&turns(), &turns().start), 20.0);
        assert_eq!(overload(&turns(), &packed), 0.0, "{packed:?}");
    }

    #[test]
    fn nothing_comes_to_a_closed_node_and_zones_stay_apart() {
        let input = PackInput { open: vec![true, false], ..turns() };
        let packed = pack(input.clone(), seeded());
        assert!(packed.iter().zip(&input.start).all(|(new, old)| new == old || *new == [0]), "{packed:?}");
        let work = vec![vec![20.0]; 2];
        let follow = PackInput {
            work,
            leader: vec![1.0; 2],
            follower: vec![0.9; 2],
            capacity: vec![30.0, 30.0, 100.0],
            background: Vec::new(),
            zones: vec![1, 2, 2],
            start: vec![vec![0, 1], vec![0, 1]],
            ..turns()
        };
        let packed = pack(follow, seeded());
        assert!(packed.iter().all(|replicas| replicas.contains(&0)), "node 0 is alone in its zone: {packed:?}");
    }

    #[test]
    fn a_bound_on_work_ends_the_search() {
        let packed = pack(PackInput { max_work: 0, ..turns() }, seeded());
        assert_eq!(packed, turns().start);
    }
}
