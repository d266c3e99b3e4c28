//! Which nodes are kept longest: the first so many of a fixed order.
//!
//! First one node of each zone, as many zones as a shard has replicas; then those that hold most, since they are the slowest to empty; last those that
//! hold nothing. So the same few nodes swing, they hold what was brought to them last, and a node that is half emptied is the next to be emptied.

use crate::outlook::{Outlook, is_usable};
use isobar_model::ZoneId;
use placing_kit::Board;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The order, and who is in use.
#[derive(Clone, Debug)]
pub(crate) struct Ranks {
    /// Usable nodes, those kept longest first; those in use before the others.
    pub(crate) order: Vec<usize>,
    /// How many of them are in use.
    pub(crate) used: usize,
    /// Fewest that may be in use.
    pub(crate) fewest: usize,
    /// Replicas on each node.
    pub(crate) replicas: Vec<usize>,
    /// Shards that are led.
    pub(crate) leaders: usize,
}

impl Ranks {
    pub(crate) fn new(min_nodes: usize, board: &Board<'_>, outlook: &Outlook) -> Self {
        let nodes = board.nodes();
        let (mut replicas, mut bytes) = (vec![0; nodes], vec![0_u64; nodes]);
        let (mut factor, mut leaders) = (1, 0);
        for shard in 0..board.shards() {
            let held = board.replicas(shard);
            factor = factor.max(held.len());
            leaders += usize::from(!held.is_empty());
            for &node in held {
                replicas[node] += 1;
                bytes[node] = bytes[node].saturating_add(board.view.shards.bytes[shard]);
            }
        }
        let zones = &board.view.nodes.zones;
        let in_use = |node: usize| replicas[node] > 0 || outlook.has_background(node);
        let (mut used, mut off): (Vec<usize>, Vec<usize>) =
            (0..nodes).filter(|&node| is_usable(board, node)).partition(|&node| in_use(node));
        used.sort_by_key(|&node| (!outlook.has_background(node), Reverse((replicas[node], bytes[node])), node));
        // The best of each zone, until there are as many zones as a shard has replicas.
        let mut first = Vec::new();
        for &node in &used {
            if first.len() < factor && first.iter().all(|&other: &usize| zones[other] != zones[node]) {
                first.push(node);
            }
        }
        used.retain(|node| !first.contains(node));
        first.extend(used);
        let used = first.len();
        // Of those that are off, the largest in the zone that has the least.
        let mut zone_capacity: BTreeMap<ZoneId, f32> = BTreeMap::new();
        for &node in &first {
            *zone_capacity.entry(zones[node]).or_default() += outlook.capacity(node);
        }
        while !off.is_empty() {
            let of_zone = |node: usize| zone_capacity.get(&zones[node]).copied().unwrap_or(0.0);
            let best = off.iter().enumerate().min_by(|(_, a), (_, b)| {
                let by_zone = of_zone(**a).total_cmp(&of_zone(**b));
                by_zone.then(outlook.capacity(**b).total_cmp(&outlook.capacity(**a))).then(a.cmp(b))
            });
            let Some(at) = best.map(|(at, _)| at) else { break };
            let node = off.remove(at);
            *zone_capacity.entry(zones[node]).or_default() += outlook.capacity(node);
            first.push(node);
        }
        let fewest = min_nodes.max(factor).min(first.len());
        Self { order: first, used, fewest, replicas, leaders }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use placing_kit::example::view;

    #[test]
    fn zones_first_then_who_holds_most_then_who_is_off() {
        // Node 0 holds one replica, 1 and 2 three, 3 two; 4 and 5 are off.
        let mut view = view(6, 100.0, &[&[1, 2], &[1, 2], &[2, 3], &[1, 3], &[0]], 1, |_, _, _| 1.0);
        view.nodes.zones = [0, 1, 1, 1, 0, 1].map(ZoneId).to_vec();
        let board = Board::new(&view).unwrap();
        let outlook = Outlook::new(&Config::default(), &board);
        let ranks = Ranks::new(1, &board, &outlook);
        assert_eq!(ranks.order, [1, 0, 2, 3, 4, 5], "0 alone is in another zone than 1");
        assert_eq!((ranks.used, ranks.fewest, ranks.leaders), (4, 2, 5));
    }
}
