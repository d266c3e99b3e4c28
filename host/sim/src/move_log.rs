//! The moves a fleet began, and how they ended.

use isobar_model::{InstantMs, NodeId, ShardId};

/// How far a move came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MoveEnd {
    /// In effect since this moment, in steps.
    Done(f64),
    /// Given up at this moment, in steps.
    GivenUp(f64),
    /// Not over.
    InFlight,
}

/// One move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoveRecord {
    /// Whose replica or leadership moved.
    pub shard: ShardId,
    /// From where.
    pub source: NodeId,
    /// To where.
    pub target: NodeId,
    /// Whether leadership alone moved.
    pub leader_only: bool,
    /// The step at whose beginning it was begun.
    pub begun_step: usize,
    /// How it ended.
    pub end: MoveEnd,
}

/// Moves that undo an earlier one too soon: what moves was at their target before, and had left it less than `cool_down_ms` before they began,
/// counted from the earlier move's effect.
#[must_use]
pub fn thrash(moves: &[MoveRecord], cool_down_ms: u64, step_ms: u32) -> u64 {
    let at = |steps: f64| InstantMs((steps * f64::from(step_ms)) as u64);
    let undone = |earlier: &MoveRecord, later: &MoveRecord| match earlier.end {
        MoveEnd::Done(done) => {
            earlier.shard == later.shard
                && earlier.leader_only == later.leader_only
                && earlier.source == later.target
                && later.begun_step as f64 >= done
                && at(later.begun_step as f64).since_ms(at(done)) < cool_down_ms
        }
        MoveEnd::GivenUp(_) | MoveEnd::InFlight => false,
    };
    let mut by_shard = moves.to_vec();
    by_shard.sort_by_key(|m| (m.shard, m.begun_step));
    let of_shards = by_shard.chunk_by(|a, b| a.shard == b.shard);
    let of_shard = |moves: &[MoveRecord]| {
        let back = (0..moves.len()).filter(|&i| moves[..i].iter().any(|earlier| undone(earlier, &moves[i])));
        back.count() as u64
    };
    of_shards.map(of_shard).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(source: u64, target: u64, begun_step: usize, end: MoveEnd) -> MoveRecord {
        let (source, target) = (NodeId(source), NodeId(target));
        MoveRecord { shard: ShardId(1), source, target, leader_only: false, begun_step, end }
    }

    #[test]
    fn a_move_back_within_the_cool_down_is_thrash() {
        let (hour, step) = (3_600_000, 300_000);
        let there = moved(1, 2, 0, MoveEnd::Done(6.0));
        let back = |begun| moved(2, 1, begun, MoveEnd::InFlight);
        assert_eq!(thrash(&[there, back(17)], hour, step), 1);
        assert_eq!(thrash(&[there, back(18)], hour, step), 0, "an hour after the effect");
        assert_eq!(thrash(&[there, moved(2, 3, 8, MoveEnd::Done(9.0))], hour, step), 0, "on, not back");
        assert_eq!(thrash(&[moved(1, 2, 0, MoveEnd::GivenUp(3.0)), back(7)], hour, step), 0);
        assert_eq!(thrash(&[there, MoveRecord { shard: ShardId(2), ..back(8) }], hour, step), 0);
        assert_eq!(thrash(&[there, MoveRecord { leader_only: true, ..back(8) }], hour, step), 0);
    }
}
