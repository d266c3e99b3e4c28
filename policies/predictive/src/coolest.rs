//! Nodes by how full they are: who could take something is looked for among the coolest few, not among all.

use placing_kit::Board;
use std::collections::BTreeSet;

/// A utilisation and whose; ordered by it, then by the node.
type Entry = (u32, u32);

/// The nodes that may be given anything, coolest first: all together, and zone by zone.
#[derive(Debug)]
pub(crate) struct Coolest {
    all: BTreeSet<Entry>,
    /// By zone, counted from 0.
    zones: Vec<BTreeSet<Entry>>,
    /// Zone of each node.
    zone_of: Vec<u32>,
    /// Key of each node that takes anything.
    keys: Vec<Option<u32>>,
    /// Most looked at, of all and of a zone each.
    most: usize,
}

impl Coolest {
    /// The nodes by `utilisation`, of which `most` are looked at; where there are no more than that, all.
    pub(crate) fn new(board: &Board<'_>, most: usize, utilisation: impl Fn(usize) -> f32) -> Self {
        let ids = &board.view.nodes.zones;
        let mut zones: Vec<_> = ids.clone();
        zones.sort_unstable();
        zones.dedup();
        let zone_of: Vec<u32> = ids.iter().map(|zone| zones.partition_point(|known| known < zone) as u32).collect();
        let mut coolest = Self {
            all: BTreeSet::new(),
            zones: vec![BTreeSet::new(); zones.len()],
            zone_of,
            keys: vec![None; board.nodes()],
            most,
        };
        for node in (0..board.nodes()).filter(|&node| board.takes(node)) {
            coolest.insert(node, key(utilisation(node)));
        }
        coolest
    }

    /// Whether every node is looked at.
    pub(crate) fn all_looked_at(&self) -> bool {
        self.keys.len() <= self.most
    }

    fn insert(&mut self, node: usize, key: u32) {
        let entry = (key, node as u32);
        self.all.insert(entry);
        self.zones[self.zone_of[node] as usize].insert(entry);
        self.keys[node] = Some(key);
    }

    /// Tells a node's new utilisation.
    pub(crate) fn update(&mut self, node: usize, utilisation: f32) {
        let Some(old) = self.keys[node] else { return };
        let entry = (old, node as u32);
        self.all.remove(&entry);
        self.zones[self.zone_of[node] as usize].remove(&entry);
        self.insert(node, key(utilisation));
    }

    /// Where something on `node` may go: the coolest of all, coolest first, and then those of the node's own zone, which can always take it
    /// as far as zones go.
    pub(crate) fn targets(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let last = self.all.iter().nth(self.most.saturating_sub(1)).copied();
        let own = self.zones[self.zone_of[node] as usize].iter().take(self.most);
        // Where there are no more than are looked at, the node's own zone is among them.
        let more = own.filter(move |&&entry| last.is_some_and(|last| entry > last));
        self.all.iter().take(self.most).chain(more).map(|&(_, node)| node as usize)
    }
}

/// Floats that are not negative are ordered as their bits are. What is no number is the fullest.
fn key(utilisation: f32) -> u32 {
    if utilisation.is_nan() { f32::INFINITY.to_bits() } else { utilisation.max(0.0).to_bits() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{NodeState, ZoneId};
    use placing_kit::example::view;

    #[test]
    fn the_coolest_come_first_and_then_those_of_the_same_zone() {
        let mut view = view(8, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
        view.nodes.zones = [0, 1, 0, 1, 0, 1, 0, 1].map(ZoneId).to_vec();
        view.nodes.states[5] = NodeState::Draining;
        let board = Board::new(&view).unwrap();
        let mut coolest = Coolest::new(&board, 2, |node| [0.8, 0.1, 0.7, 0.2, 0.6, 0.0, 0.5, f32::NAN][node]);
        let targets = |coolest: &Coolest, node| coolest.targets(node).collect::<Vec<_>>();
        assert_eq!(targets(&coolest, 0), [1, 3, 6, 4], "two of all, two of zone 0; 5 takes nothing");
        assert_eq!(targets(&coolest, 1), [1, 3], "those of zone 1 are among them");
        coolest.update(1, 0.9);
        assert_eq!(targets(&coolest, 0), [3, 6, 4]);
    }

    #[test]
    fn of_few_nodes_all_are_looked_at() {
        let view = view(4, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
        let coolest = Coolest::new(&Board::new(&view).unwrap(), 4, |node| 4.0 - node as f32);
        assert!(coolest.all_looked_at());
        assert_eq!(coolest.targets(2).collect::<Vec<_>>(), [3, 2, 1, 0]);
    }
}
