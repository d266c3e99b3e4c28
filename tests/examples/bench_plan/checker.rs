//! Looks at plans without a word of the planner's own: an error in both would have to be made twice.

use crate::problem::Problem;
use anyhow::{Context as _, ensure};
use isobar_model::{Action, Move};
use std::collections::{HashMap, HashSet};

/// What a plan came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) data: usize,
    pub(crate) transfers: usize,
}

/// Follows the moves of a plan on a cluster as it stood before: shards move at most once, to nodes that hold no copy, in zones of their own,
/// with room on the disk.
pub(crate) fn follow(before: &Problem, moves: &[Move]) -> anyhow::Result<Moved> {
    let (nodes, shards) = (&before.view.nodes, &before.view.shards);
    let node_of: HashMap<u64, usize> = nodes.ids.iter().enumerate().map(|(i, id)| (id.0, i)).collect();
    let shard_of: HashMap<u64, usize> = shards.ids.iter().enumerate().map(|(i, id)| (id.0, i)).collect();
    let mut used = nodes.used_bytes.clone();
    let mut moved = HashSet::new();
    let mut count = Moved::default();
    for step in moves {
        let name = step.shard;
        let shard = shard_of.get(&name.0).copied();
        let shard = shard.with_context(|| format!("the plan moves shard {name}, which there is not"))?;
        ensure!(moved.insert(shard), "the plan moves shard {name} twice");
        let replicas: Vec<usize> = shards.replicas_of(shard).iter().map(|&node| node as usize).collect();
        let node = |id: isobar_model::NodeId| node_of.get(&id.0).copied().with_context(|| format!("no node {id}"));
        match step.action {
            Action::TransferLeader(to) => {
                let to = node(to)?;
                ensure!(replicas[1..].contains(&to), "shard {name}: the new leader is no follower");
                count.transfers += 1;
            }
            Action::MoveReplica { source, target } => {
                let (source, target) = (node(source)?, node(target)?);
                ensure!(replicas.contains(&source), "shard {name}: the source holds no copy");
                let mut after = replicas.clone();
                after.iter_mut().filter(|node| **node == source).for_each(|node| *node = target);
                let distinct = after.iter().collect::<HashSet<_>>().len();
                let zones = after.iter().map(|&node| nodes.zones[node]).collect::<HashSet<_>>().len();
                ensure!(distinct == replicas.len(), "shard {name}: two copies on one node");
                ensure!(zones == replicas.len(), "shard {name}: two copies in one zone");
                // What leaves frees its room only when it has left.
                used[target] += shards.bytes[shard];
                ensure!(used[target] <= nodes.capacity_bytes[target], "node {target} has no room for shard {name}");
                count.data += 1;
            }
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
                anyhow::bail!("shard {name}: no such move was asked for")
            }
        }
    }
    Ok(count)
}
