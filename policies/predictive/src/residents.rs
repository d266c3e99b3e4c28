//! Which shards each node holds replicas of.

use placing_kit::Board;

/// The shards of each node, ascending, as they stood when this was made. Whoever has moved since rests for the round, so that it does no
/// harm to find it where it was.
#[derive(Debug)]
pub(crate) struct Residents {
    /// Shards of node i are `shards[offsets[i] .. offsets[i + 1]]`.
    offsets: Vec<usize>,
    shards: Vec<u32>,
}

impl Residents {
    pub(crate) fn new(board: &Board<'_>) -> Self {
        let mut offsets = vec![0; board.nodes() + 1];
        for shard in 0..board.shards() {
            for &node in board.replicas(shard) {
                offsets[node + 1] += 1;
            }
        }
        for node in 0..board.nodes() {
            offsets[node + 1] += offsets[node];
        }
        let (mut next, mut shards) = (offsets.clone(), vec![0; offsets[board.nodes()]]);
        for shard in 0..board.shards() {
            for &node in board.replicas(shard) {
                shards[next[node]] = shard as u32;
                next[node] += 1;
            }
        }
        Self { offsets, shards }
    }

    /// The shards with a replica on a node.
    pub(crate) fn of(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.shards[self.offsets[node]..self.offsets[node + 1]].iter().map(|&shard| shard as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placing_kit::example::view;

    #[test]
    fn each_node_knows_its_shards() {
        let view = view(4, 100.0, &[&[0, 1], &[1, 2], &[1, 0]], 1, |_, _, _| 1.0);
        let residents = Residents::new(&Board::new(&view).unwrap());
        let of = |node| residents.of(node).collect::<Vec<_>>();
        assert_eq!([of(0), of(1), of(2), of(3)], [vec![0, 2], vec![0, 1, 2], vec![1], vec![]]);
    }
}
