//! Where everything begins: seeded, random, balanced by count.

use crate::node_plan::NodePlan;
use crate::timeline::Placement;
use isobar_model::NodeId;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

/// Fleets up to this size are balanced by random exchanges between the fullest node and the emptiest, which costs shards × nodes; larger ones are
/// dealt, which costs shards.
const MOST_EXCHANGED: usize = 64;
/// Cards looked at for one that fits before any node that fits is taken.
const TRIES: usize = 64;

/// A random placement in which no node has two more replicas, or two more leaders, than another, and no two replicas of a shard share a zone where
/// there are zones enough. Where that can't be (tiny or lopsided fleets), as balanced as can be.
pub(crate) fn random_placement(shards: usize, nodes: &NodePlan, factor: usize, seed: u64) -> Placement {
    let mut draw = Draw::new(nodes, factor, seed);
    let leaders = draw.leaders(shards);
    let placement =
        if nodes.nodes.len() <= MOST_EXCHANGED { draw.exchanged(leaders) } else { draw.dealt(leaders, factor) };
    placement.into_iter().map(|replicas| replicas.into_iter().map(|n| NodeId(n as u64 + 1)).collect()).collect()
}

struct Draw {
    rng: StdRng,
    zones: Vec<u32>,
    /// Whether zones are to differ: there are enough of them.
    by_zone: bool,
    followers: usize,
    order: Vec<usize>,
    /// Replicas on each node.
    count: Vec<usize>,
}

impl Draw {
    fn new(nodes: &NodePlan, factor: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let zones: Vec<u32> = nodes.nodes.iter().map(|node| node.zone.0).collect();
        let mut distinct = zones.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let mut order: Vec<usize> = (0..zones.len()).collect();
        order.shuffle(&mut rng);
        let count = vec![0; zones.len()];
        Self { rng, by_zone: distinct.len() >= factor, followers: factor - 1, order, count, zones }
    }

    fn leaders(&mut self, shards: usize) -> Vec<usize> {
        let mut leaders: Vec<usize> = (0..shards).map(|i| self.order[i % self.order.len()]).collect();
        leaders.shuffle(&mut self.rng);
        leaders.iter().for_each(|&leader| self.count[leader] += 1);
        leaders
    }

    /// Whether `node` may join replicas, of which `instead_of` is to leave.
    fn fits(&self, replicas: &[usize], node: usize, instead_of: Option<usize>) -> bool {
        let mut others = replicas.iter().filter(|&&other| Some(other) != instead_of);
        let shares_a_zone = self.by_zone && others.any(|&other| self.zones[other] == self.zones[node]);
        !replicas.contains(&node) && !shares_a_zone
    }

    fn exchanged(&mut self, leaders: Vec<usize>) -> Vec<Vec<usize>> {
        let nodes = self.zones.len();
        let mut placement: Vec<Vec<usize>> = leaders.into_iter().map(|leader| vec![leader]).collect();
        for replicas in &mut placement {
            let mut others: Vec<usize> = (0..nodes).filter(|node| *node != replicas[0]).collect();
            others.shuffle(&mut self.rng);
            for _ in 0..self.followers {
                if let Some(node) = others.iter().copied().find(|&node| self.fits(replicas, node, None)) {
                    replicas.push(node);
                }
            }
            replicas[1..].iter().for_each(|&node| self.count[node] += 1);
        }
        // Chance leaves some nodes with more replicas than others: random followers move from the fullest to the emptiest.
        loop {
            let (count, rng) = (&self.count, &mut self.rng);
            let most = (0..nodes).max_by_key(|&n| (count[n], rng.random::<u32>())).unwrap_or(0);
            let least = (0..nodes).min_by_key(|&n| (count[n], rng.random::<u32>())).unwrap_or(0);
            if count[most] <= count[least] + 1 {
                break;
            }
            // Where none is found (tiny scenarios), as balanced as can be is what there is.
            let movable =
                |replicas: &Vec<usize>| replicas[1..].contains(&most) && self.fits(replicas, least, Some(most));
            let movable: Vec<usize> = (0..placement.len()).filter(|&s| movable(&placement[s])).collect();
            let Some(&shard) = movable.choose(&mut self.rng) else { break };
            placement[shard].iter_mut().skip(1).filter(|node| **node == most).for_each(|node| *node = least);
            self.count[most] -= 1;
            self.count[least] += 1;
        }
        placement
    }

    /// Followers as a shuffled pack of cards, each node in it as often as it lacks replicas; a card that does not fit is exchanged for a later one.
    fn dealt(&mut self, leaders: Vec<usize>, factor: usize) -> Vec<Vec<usize>> {
        let (nodes, replicas) = (self.zones.len(), leaders.len() * factor);
        let mut cards = Vec::with_capacity(replicas - leaders.len());
        for (rank, &node) in self.order.iter().rev().enumerate() {
            let share = replicas / nodes + usize::from(rank < replicas % nodes);
            cards.extend(std::iter::repeat_n(node, share.saturating_sub(self.count[node])));
        }
        cards.shuffle(&mut self.rng);
        let mut placement = Vec::with_capacity(leaders.len());
        for leader in leaders {
            let mut replicas = vec![leader];
            while replicas.len() < factor {
                let mut card = cards.len().checked_sub(1);
                for _ in 0..TRIES {
                    if card.is_none_or(|card| self.fits(&replicas, cards[card], None)) {
                        break;
                    }
                    card = Some(self.rng.random_range(0..cards.len()));
                }
                let fitting = card.filter(|&card| self.fits(&replicas, cards[card], None));
                let node = match fitting {
                    Some(card) => Some(cards.swap_remove(card)),
                    // The last shards may find no card that fits.
                    None => {
                        let first = self.rng.random_range(0..nodes);
                        (0..nodes).map(|i| (first + i) % nodes).find(|&node| self.fits(&replicas, node, None))
                    }
                };
                let Some(node) = node else { break };
                replicas.push(node);
            }
            placement.push(replicas);
        }
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::ZoneId;
    use proptest::prelude::*;

    fn spread(counts: &[usize]) -> usize {
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    }

    fn counts(placement: &Placement, nodes: usize, factor: usize) -> (Vec<usize>, Vec<usize>) {
        let (mut replicas, mut leaders) = (vec![0; nodes], vec![0; nodes]);
        for shard in placement {
            let mut distinct: Vec<_> = shard.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), factor);
            shard.iter().for_each(|n| replicas[n.0 as usize - 1] += 1);
            leaders[shard[0].0 as usize - 1] += 1;
        }
        (replicas, leaders)
    }

    proptest! {
        #[test]
        fn start_placements_are_balanced_by_count(seed: u64, shards in 1_usize..200, nodes in 1_usize..10, factor in 1_usize..6) {
            prop_assume!(factor <= nodes);
            let plan = NodePlan::alike(nodes);
            let placement = random_placement(shards, &plan, factor, seed);
            let (replicas, leaders) = counts(&placement, nodes, factor);
            prop_assert!(spread(&replicas) <= 1 && spread(&leaders) <= 1, "{:?} {:?}", replicas, leaders);
            prop_assert_eq!(placement, random_placement(shards, &plan, factor, seed));
        }

        #[test]
        fn large_fleets_are_balanced_too(seed: u64, shards in 500_usize..3_000, nodes in 65_usize..200) {
            let placement = random_placement(shards, &NodePlan::alike(nodes), 3, seed);
            let (replicas, leaders) = counts(&placement, nodes, 3);
            // The last cards may not fit: a replica or two.
            prop_assert!(spread(&replicas) <= 3 && spread(&leaders) <= 1, "{:?} {:?}", replicas, leaders);
        }

        #[test]
        fn replicas_begin_in_zones_of_their_own(seed: u64, nodes in 3_usize..90) {
            let mut plan = NodePlan::alike(nodes);
            plan.nodes.iter_mut().enumerate().for_each(|(i, node)| node.zone = ZoneId(i as u32 % 3));
            for replicas in random_placement(100, &plan, 3, seed) {
                let mut zones: Vec<_> = replicas.iter().map(|node| (node.0 - 1) % 3).collect();
                zones.sort_unstable();
                prop_assert_eq!(zones, [0, 1, 2]);
            }
        }
    }
}
