//! What a pyramid forgets when it is over its budget, and in which order.

use super::{Pyramid, Row, Series};

/// A series without any step: its place in the map, its rows, their first open steps.
pub(super) const SERIES_BYTES: usize = size_of::<Series>() + 4 * size_of::<Row>() + 64;
/// Forgetting goes on to this share of the budget, in percent, so that it is not done again at the next tick.
const RELIEF_PERCENT: usize = 95;
/// A level is given back where it fits in full below this share of the budget, in percent.
const ROOM_PERCENT: usize = 85;

/// A series that lost a level, or got one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinned<K> {
    /// Which.
    pub key: K,
    /// The finest step it keeps now, milliseconds; none: it keeps nothing.
    pub finest_step_ms: Option<u32>,
}

impl<K: Copy + Ord> Pyramid<K> {
    /// Forgets levels until all fits; gives those back that fit again. At most one is given back at a time, the hottest.
    pub(super) fn hold_budget(&mut self) -> Vec<Thinned<K>> {
        if self.bytes > self.spec.budget_bytes {
            return self.thin();
        }
        let room = (self.spec.budget_bytes / 100 * ROOM_PERCENT).saturating_sub(self.bytes);
        let thinned = self.series.iter_mut().filter(|(_, series)| series.finest > 0);
        // The coarsest come back first, the hottest of them before others.
        let next = thinned.max_by(|(_, a), (_, b)| a.finest.cmp(&b.finest).then(a.heat.total_cmp(&b.heat)));
        let Some((&key, series)) = next else { return Vec::new() };
        let finest = series.finest - 1;
        let level = self.spec.levels[finest];
        if super::row::bytes_of(u64::from(level.keep_steps)) > room {
            return Vec::new();
        }
        series.finest = finest;
        vec![Thinned { key, finest_step_ms: Some(level.step_ms) }]
    }

    fn thin(&mut self) -> Vec<Thinned<K>> {
        let target = self.spec.budget_bytes / 100 * RELIEF_PERCENT;
        let mut coldest: Vec<(usize, f32, K)> = self.series.iter().map(|(&k, s)| (s.finest, s.heat, k)).collect();
        coldest.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
        let mut thinned = Vec::new();
        for level in 0..self.spec.levels.len() {
            for &(_, _, key) in coldest.iter().filter(|(finest, _, _)| *finest <= level) {
                if self.bytes <= target {
                    return thinned;
                }
                let Some(series) = self.series.get_mut(&key) else { continue };
                let row = std::mem::take(&mut series.rows[level]);
                series.finest = level + 1;
                self.bytes = self.bytes.saturating_sub(row.bytes());
                let finest_step_ms = self.spec.levels.get(level + 1).map(|level| level.step_ms);
                thinned.push(Thinned { key, finest_step_ms });
            }
        }
        thinned
    }
}
