//! How long moves take, by those that were carried out.

use super::MovePace;
use isobar_model::{Migration, MigrationKind, Stage};

/// Moves looked at, the newest: enough for a steady median, few enough to follow a change of disk or network.
const MEASURED_MOVES: usize = 32;
/// Moves wanted before any are believed.
const LEAST_MOVES: usize = 3;
/// Two moves tell a slope where one has so many times the other's bytes: the difference then outweighs what else their times differ by.
const APART: u64 = 2;

impl MovePace {
    /// The pace of the last moves of replicas that ended well, oldest first; none where fewer than three did that copied anything. Moves that were
    /// told to take a time (`not_before`) say nothing of what they would have taken. A move's time is all from its record to its end, waiting
    /// and the removal at its source included: who starts that much before is done in time.
    ///
    /// Time is taken for a line over bytes: the slope is the median over pairs of moves whose sizes differ, the offset the median of what is left
    /// (Theil 1950, Sen 1968). Without such pairs, or where larger ones were no slower, the median of bytes over time.
    #[must_use]
    pub fn measured<'a>(finished: impl DoubleEndedIterator<Item = &'a Migration>, step_ms: u32) -> Option<Self> {
        let measured = |m: &&Migration| {
            m.kind == MigrationKind::Replica && m.stage == Stage::Done && m.copied_bytes > 0 && m.not_before.0 == 0
        };
        // At least a millisecond: the clock can't tell less.
        let figures = |m: &Migration| (m.copied_bytes, m.stage_since.since_ms(m.started).max(1) as f64 / 1000.0);
        let moves: Vec<(u64, f64)> = finished.rev().filter(measured).take(MEASURED_MOVES).map(figures).collect();
        if moves.len() < LEAST_MOVES {
            return None;
        }
        let pairs = moves.iter().enumerate().flat_map(|(i, a)| moves[i + 1..].iter().map(move |b| (a, b)));
        let apart = pairs.filter(|(a, b)| a.0.max(b.0) / APART >= a.0.min(b.0));
        let slope = median(apart.map(|(a, b)| (b.1 - a.1) / (b.0 as f64 - a.0 as f64)).collect()).filter(|s| *s > 0.0);
        let slope = slope.or_else(|| median(moves.iter().map(|(bytes, s)| s / *bytes as f64).collect()))?;
        let overhead_s = median(moves.iter().map(|(bytes, s)| s - slope * *bytes as f64).collect())?.max(0.0);
        Some(Self::Bytes {
            bytes_per_s: (1.0 / slope).clamp(1.0, u64::MAX as f64) as u64,
            overhead_steps: (overhead_s * 1000.0 / f64::from(step_ms.max(1))) as f32,
        })
    }
}

/// The upper one where there are two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{Incarnation, InstantMs, NodeId, OperationId, ShardId};

    const MIB: u64 = 1 << 20;
    const STEP_MS: u32 = 300_000;

    fn done(bytes: u64, took_ms: u64) -> Migration {
        Migration {
            id: OperationId(1),
            shard: ShardId(1),
            kind: MigrationKind::Replica,
            source: NodeId(1),
            target: NodeId(2),
            incarnation: Incarnation(2),
            source_incarnation: Incarnation(1),
            stage: Stage::Done,
            started: InstantMs(5_000),
            stage_since: InstantMs(5_000 + took_ms),
            not_before: InstantMs(0),
            copy_bytes_per_s: 0,
            copied_bytes: bytes,
            total_bytes: bytes,
            failures: 0,
            error: None,
            reason: String::new(),
        }
    }

    fn measured(moves: &[Migration]) -> Option<(u64, f32)> {
        MovePace::measured(moves.iter(), STEP_MS).map(|pace| match pace {
            MovePace::Bytes { bytes_per_s, overhead_steps } => (bytes_per_s, overhead_steps),
            MovePace::Steps(steps) => panic!("{steps} steps"),
        })
    }

    #[test]
    fn speed_and_overhead_are_told_apart_whatever_one_move_did() {
        // 3 s and 10 MiB/s; one hung.
        let moves = [done(10 * MIB, 4_000), done(100 * MIB, 13_000), done(20 * MIB, 900_000), done(400 * MIB, 43_000)];
        let (bytes_per_s, overhead_steps) = measured(&moves).unwrap();
        assert!((bytes_per_s as f64 / (10 * MIB) as f64 - 1.0).abs() < 1e-3, "{bytes_per_s}");
        assert!((overhead_steps - 3_000.0 / STEP_MS as f32).abs() < 1e-4, "{overhead_steps}");
    }

    #[test]
    fn moves_of_one_size_give_bytes_over_time() {
        let moves = [done(10 * MIB, 4_000), done(11 * MIB, 4_400), done(10 * MIB, 5_000)];
        let (bytes_per_s, overhead_steps) = measured(&moves).unwrap();
        assert!((bytes_per_s as f64 - 2.5 * MIB as f64).abs() < 10.0, "{bytes_per_s}");
        assert!(overhead_steps < 1e-4);
    }

    #[test]
    fn only_copies_that_ended_well_at_their_own_pace_count() {
        let good = done(MIB, 1_000);
        let others = [
            Migration { stage: Stage::Aborted, ..good.clone() },
            Migration { kind: MigrationKind::Leader, ..good.clone() },
            Migration { not_before: InstantMs(9_000), ..good.clone() },
            Migration { copied_bytes: 0, ..good.clone() },
        ];
        assert_eq!(measured(&[&others[..], &[good.clone(), good.clone()]].concat()), None);
        assert_eq!(measured(&[&others[..], &[good.clone(), good.clone(), good]].concat()), Some((MIB, 0.0)));
    }

    #[test]
    fn old_moves_are_forgotten() {
        let mut moves = vec![done(MIB, 1_000); 100];
        moves.extend(vec![done(MIB, 4_000); MEASURED_MOVES]);
        assert_eq!(measured(&moves), Some((MIB / 4, 0.0)));
    }
}
