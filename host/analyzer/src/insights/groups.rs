//! Shards that move together: the same surprises in the same step.

use isobar_model::{Group, ShardId};
use std::collections::BTreeMap;

/// Groups from pairs of shards (by number, in the order of their load) and their correlation: the busiest shard that is in none yet, with all it moves together
/// with. Everybody in a group thus moves with its first; a chain of acquaintances makes none.
pub(super) fn groups(shards: &[ShardId], pairs: &[(usize, usize, f32)]) -> Vec<Group> {
    let mut partners: BTreeMap<usize, Vec<(usize, f32)>> = BTreeMap::new();
    for &(a, b, r) in pairs {
        partners.entry(a).or_default().push((b, r));
        partners.entry(b).or_default().push((a, r));
    }
    let mut taken = vec![false; shards.len()];
    let mut groups = Vec::new();
    for (&first, with) in &mut partners {
        if taken[first] {
            continue;
        }
        with.retain(|(other, _)| !taken[*other]);
        with.sort_unstable_by_key(|&(other, _)| other);
        with.dedup_by_key(|&mut (other, _)| other);
        if with.is_empty() {
            continue;
        }
        let strength = with.iter().map(|&(_, r)| r).sum::<f32>() / with.len() as f32;
        let members: Vec<usize> = std::iter::once(first).chain(with.iter().map(|&(other, _)| other)).collect();
        members.iter().for_each(|&member| taken[member] = true);
        groups.push(Group { shards: members.into_iter().map(|member| shards[member]).collect(), strength });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_gathers_those_it_moves_with() {
        let shards: Vec<ShardId> = (10..16).map(ShardId).collect();
        // 0 with 2 and 3; 3 with 4 as well, which 0 has nothing to do with.
        let found = groups(&shards, &[(3, 4, 0.9), (0, 2, 0.5), (0, 3, 0.7)]);
        let members: Vec<Vec<u64>> = found.iter().map(|g| g.shards.iter().map(|s| s.0).collect()).collect();
        assert_eq!(members, [[10, 12, 13]]);
        assert!((found[0].strength - 0.6).abs() < 1e-6);
        assert!(groups(&shards, &[]).is_empty());
    }
}
