//! Where the replicas of a new keyspace go when nobody says.

use isobar_model::{NodeId, ZoneId};
use std::collections::BTreeMap;

/// A node that may take replicas, with what it has already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) node: NodeId,
    pub(crate) zone: ZoneId,
    pub(crate) leaders: u64,
    pub(crate) replicas: u64,
}

/// Nodes of each of `shards` new shards, the leader first: balanced by count, replicas of a shard on distinct nodes, and in distinct zones
/// where there are zones enough. Needs at least `factor` candidates. The same input gives the same answer on every replica.
pub(crate) fn spread(
    mut candidates: Vec<Candidate>,
    first_shard: u64,
    shards: usize,
    factor: usize,
) -> Vec<Vec<NodeId>> {
    (first_shard..)
        .take(shards)
        .map(|shard| {
            let mut chosen: Vec<NodeId> = Vec::with_capacity(factor);
            let mut in_zone: BTreeMap<ZoneId, u64> = BTreeMap::new();
            for place in 0..factor {
                // Fewest first; ties by a number that differs from shard to shard, so that not always the same nodes share shards: when
                // one dies, its load then falls to many.
                let best = candidates.iter_mut().filter(|c| !chosen.contains(&c.node)).min_by_key(|c| {
                    let zone = in_zone.get(&c.zone).copied().unwrap_or(0);
                    let leaders = if place == 0 { c.leaders } else { 0 };
                    (zone, leaders, c.replicas, mix(shard, c.node.0), c.node)
                });
                let Some(best) = best else { break };
                best.leaders += u64::from(place == 0);
                best.replicas += 1;
                *in_zone.entry(best.zone).or_default() += 1;
                chosen.push(best.node);
            }
            chosen
        })
        .collect()
}

/// SplitMix64's finaliser over both numbers.
fn mix(shard: u64, node: u64) -> u64 {
    let mut x = shard.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ node.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn candidates(zones: &[u32]) -> Vec<Candidate> {
        (1..)
            .zip(zones)
            .map(|(n, &z)| Candidate { node: NodeId(n), zone: ZoneId(z), leaders: 0, replicas: 0 })
            .collect()
    }

    fn count(placement: &[Vec<NodeId>], leaders_only: bool) -> BTreeMap<NodeId, usize> {
        let mut counts = BTreeMap::new();
        for nodes in placement {
            for node in nodes.iter().take(if leaders_only { 1 } else { usize::MAX }) {
                *counts.entry(*node).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn shards_are_balanced_by_count() {
        let placement = spread(candidates(&[1, 1, 2, 2, 3, 3]), 1, 100, 3);
        for leaders_only in [false, true] {
            let counts = count(&placement, leaders_only);
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            assert!(counts.len() == 6 && most - least <= 1, "{counts:?}");
        }
        assert!(placement.iter().collect::<BTreeSet<_>>().len() > 30, "many different groups");
    }

    #[test]
    fn zones_are_distinct_where_there_are_enough() {
        let zones = [1, 1, 1, 1, 2, 3];
        for nodes in spread(candidates(&zones), 1, 50, 3) {
            let of: BTreeSet<_> = nodes.iter().map(|n| zones[n.0 as usize - 1]).collect();
            assert_eq!(of.len(), 3, "{nodes:?}");
        }
        for nodes in spread(candidates(&[1, 1, 1, 2, 2]), 1, 50, 3) {
            assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), 3, "still on distinct nodes");
        }
    }
}
