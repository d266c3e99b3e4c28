use isobar_model::{ClusterView, KeyspaceId, KeyspacePlacement};
use std::collections::BTreeMap;

/// Where the placement rules of keyspaces let replicas live. As the host does, it takes moves under way at their worst: replicas are at both ends for
/// who is to be apart, at neither for who is to be together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Homes {
    /// Replicas by node and keyspace, those to come included and those to go excluded; empty where no keyspace asks who lives beside it.
    most: BTreeMap<(usize, KeyspaceId), u32>,
    least: BTreeMap<(usize, KeyspaceId), u32>,
}

impl Homes {
    /// As the view has it.
    pub(crate) fn new(view: &ClusterView) -> Self {
        let mut homes = Self::default();
        if view.placement.iter().all(|placement| placement.apart.is_empty() && placement.together.is_empty()) {
            return homes;
        }
        for (shard, keyspace) in view.shards.keyspaces.iter().enumerate() {
            for &node in view.shards.replicas_of(shard) {
                *homes.most.entry((node as usize, *keyspace)).or_default() += 1;
            }
        }
        homes.least = homes.most.clone();
        homes
    }

    /// A replica of the keyspace is to move, or moves.
    pub(crate) fn moves(&mut self, keyspace: KeyspaceId, source: usize, target: usize) {
        if self.most.is_empty() {
            return;
        }
        *self.most.entry((target, keyspace)).or_default() += 1;
        let left = self.least.entry((source, keyspace)).or_default();
        *left = left.saturating_sub(1);
    }

    /// Whether a replica of the keyspace may move from `source` to `target`.
    pub(crate) fn allow(&self, view: &ClusterView, keyspace: KeyspaceId, source: usize, target: usize) -> bool {
        if view.placement.is_empty() {
            return true;
        }
        let held =
            |of: &BTreeMap<(usize, KeyspaceId), u32>, node, keyspace| of.get(&(node, keyspace)).copied().unwrap_or(0);
        let at = view.placement.binary_search_by_key(&keyspace, |placement| placement.keyspace);
        let fits = |rules: &KeyspacePlacement| {
            rules.nodes.binary_search(&(target as u32)).is_ok()
                && rules.apart.iter().all(|other| held(&self.most, target, *other) == 0)
                && rules.together.iter().all(|other| held(&self.least, target, *other) > 0)
        };
        let is_last = held(&self.least, source, keyspace) == 1;
        let needs = |rules: &KeyspacePlacement| {
            rules.together.contains(&keyspace) && held(&self.most, source, rules.keyspace) > 0
        };
        at.map_or(true, |at| fits(&view.placement[at])) && !(is_last && view.placement.iter().any(needs))
    }
}
