//! Which shards a bound forecaster serves: all, where the tick's fuel and the size of its saved state allow for it; else the hottest.
//! The native forecaster serves the others. A forecaster holds state for the shards it serves alone, so that its memory, its saves and what a
//! new leader must read stay within bounds however many shards there are.

use isobar_model::ShardId;
use isobar_ports::MAX_BLOB_BYTES;
use std::collections::{BTreeSet, HashMap};

/// Seats before it is known what one costs: the heaviest policies take some 20 M of fuel a forecast.
const FIRST_SEATS: usize = 200;
/// Bytes that the state of all seats may take: seven eighths of what can be stored, so that one that grows a little can still be saved.
const MAX_STATE_BYTES: u64 = MAX_BLOB_BYTES as u64 / 8 * 7;
/// Values of stored history that newcomers are shown in one tick before it is known what one costs: eight shards' four weeks of five-minute
/// steps, some half a second of the heaviest policies.
const FIRST_VALUES: u64 = 8 * 8_064;
/// Values that one batch must have for its fuel to tell what one costs.
const LEAST_VALUES: usize = 1_000;
/// More seats than allowed, by this part of them, are not given up: what a forecast costs wavers from tick to tick.
const WAVERING: usize = 16;
/// A shard takes another's seat only where it is hotter by this part of all seats: showing its history costs more than a few forecasts.
const APART: usize = 8;

/// What one shard takes of a forecaster, as last measured; 0: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Costs {
    /// Fuel of a forecast.
    forecast_fuel: u64,
    /// Fuel of one value observed, where many are at once.
    value_fuel: u64,
    /// Bytes of the saved state.
    state_bytes: u64,
}

impl Costs {
    /// Shards that may have a seat where a tick's forecasts may burn so much; at least one.
    fn seats(&self, fuel: u64) -> usize {
        let by_fuel = match self.forecast_fuel {
            0 => FIRST_SEATS,
            each => usize::try_from(fuel / each).unwrap_or(usize::MAX),
        };
        let by_bytes = match self.state_bytes {
            0 => usize::MAX,
            each => usize::try_from(MAX_STATE_BYTES / each).unwrap_or(usize::MAX),
        };
        by_fuel.min(by_bytes).max(1)
    }

    /// Values of stored history that newcomers may be shown in one tick: they may burn as much again as the forecasts.
    fn values(&self, fuel: u64) -> u64 {
        if self.value_fuel == 0 { FIRST_VALUES } else { fuel / self.value_fuel }
    }
}

/// Who has come and who has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reseated {
    /// To be shown their stored history, hottest first.
    pub(super) joined: Vec<ShardId>,
    /// To be forgotten.
    pub(super) left: Vec<ShardId>,
    /// Whether others have a seat to take at the next tick.
    pub(super) more_to_come: bool,
}

/// The seats of one forecaster.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats {
    taken: BTreeSet<ShardId>,
    costs: Costs,
}

impl Seats {
    /// Taken by these.
    pub(super) fn of(shards: impl IntoIterator<Item = ShardId>) -> Self {
        Self { taken: shards.into_iter().collect(), costs: Costs::default() }
    }

    /// How many may be taken where a tick's forecasts may burn so much; at least one.
    pub(super) fn allowed(&self, fuel: u64) -> usize {
        self.costs.seats(fuel)
    }

    /// Takes note of what forecasts of so many shards burnt.
    pub(super) fn note_forecast(&mut self, fuel: u64, shards: usize) {
        self.costs.forecast_fuel = fuel / shards.max(1) as u64;
    }

    /// Takes note of what observing so many values burnt; of few, the call itself would be most of it.
    pub(super) fn note_observed(&mut self, fuel: u64, values: usize) {
        if values >= LEAST_VALUES {
            self.costs.value_fuel = fuel / values as u64;
        }
    }

    /// Takes note of how large the saved state of all that have a seat is.
    pub(super) fn note_saved(&mut self, bytes: usize) {
        if !self.taken.is_empty() {
            self.costs.state_bytes = (bytes / self.taken.len()) as u64;
        }
    }

    /// Who has one, ascending.
    pub(super) fn taken(&self) -> impl ExactSizeIterator<Item = ShardId> + '_ {
        self.taken.iter().copied()
    }

    pub(super) fn holds(&self, shard: ShardId) -> bool {
        self.taken.contains(&shard)
    }

    /// Gives these one, whatever it costs.
    pub(super) fn take(&mut self, shards: &[ShardId]) {
        self.taken.extend(shards);
    }

    /// Frees the seats of shards that are gone for ever.
    pub(super) fn forget(&mut self, shards: &[ShardId]) {
        shards.iter().for_each(|shard| _ = self.taken.remove(shard));
    }

    /// Another instance serves, which knows these.
    pub(super) fn start_over(&mut self, shards: impl IntoIterator<Item = ShardId>) {
        self.taken = shards.into_iter().collect();
    }

    /// Gives seats to the hottest. `hottest_first`: every shard there is; `kept`: steps of history kept of one; `fuel`: what a tick's
    /// forecasts may burn.
    pub(super) fn reseat(&mut self, hottest_first: &[ShardId], kept: impl Fn(ShardId) -> u64, fuel: u64) -> Reseated {
        let allowed = self.costs.seats(fuel);
        let ranks: HashMap<ShardId, usize> = hottest_first.iter().copied().zip(0..).collect();
        let mut left: Vec<ShardId> = self.taken.iter().copied().filter(|shard| !ranks.contains_key(shard)).collect();
        let mut seated: Vec<(usize, ShardId)> =
            self.taken.iter().filter_map(|shard| ranks.get(shard).map(|rank| (*rank, *shard))).collect();
        seated.sort_unstable();
        if seated.len() > allowed + allowed / WAVERING {
            left.extend(seated.split_off(allowed).into_iter().map(|(_, shard)| shard));
        }
        let (mut joined, mut more_to_come, mut values) = (Vec::new(), false, self.costs.values(fuel));
        let standing = hottest_first.iter().take(allowed).enumerate().filter(|(_, shard)| !self.taken.contains(shard));
        for (rank, shard) in standing {
            let is_full = seated.len() + joined.len() >= allowed;
            let near = rank + (allowed / APART).max(1);
            if is_full && seated.last().is_none_or(|(coldest, _)| *coldest < allowed || *coldest <= near) {
                break;
            }
            let wanted = kept(*shard);
            // One at least, however long its history.
            if wanted > values && !joined.is_empty() {
                more_to_come = true;
                break;
            }
            values = values.saturating_sub(wanted);
            if is_full {
                left.extend(seated.pop().map(|(_, shard)| shard));
            }
            joined.push(*shard);
        }
        self.forget(&left);
        self.take(&joined);
        Reseated { joined, left, more_to_come }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(range: impl IntoIterator<Item = u64>) -> Vec<ShardId> {
        range.into_iter().map(ShardId).collect()
    }

    fn seats(taken: impl IntoIterator<Item = u64>, allowed: u64) -> Seats {
        let costs = Costs { forecast_fuel: 100 / allowed, ..Costs::default() };
        Seats { taken: ids(taken).into_iter().collect(), costs }
    }

    #[test]
    fn where_all_fit_all_have_one_and_those_that_are_gone_give_theirs_back() {
        let mut seats = Seats::of(ids([7, 9]));
        let came = seats.reseat(&ids([3, 7, 5]), |_| 10, 4_000_000_000);
        assert_eq!(came, Reseated { joined: ids([3, 5]), left: ids([9]), more_to_come: false });
        assert_eq!(seats.taken().collect::<Vec<_>>(), ids([3, 5, 7]));
    }

    #[test]
    fn where_not_all_fit_the_hottest_have_one() {
        let mut seats = seats(0..8, 4);
        assert_eq!(seats.reseat(&ids((0..8).rev()), |_| 10, 100).left, ids([3, 2, 1, 0]));
        // A little hotter is no reason to change; much hotter is.
        assert_eq!(seats.reseat(&ids([7, 6, 5, 3, 4, 2, 1, 0]), |_| 10, 100), Reseated::default());
        let came = seats.reseat(&ids([7, 3, 6, 5, 2, 1, 0, 4]), |_| 10, 100);
        assert_eq!(came, Reseated { joined: ids([3]), left: ids([4]), more_to_come: false });
    }

    #[test]
    fn newcomers_come_as_fast_as_their_history_can_be_shown() {
        let mut seats = Seats::default();
        let all = ids(0..100);
        let came = seats.reseat(&all, |_| FIRST_VALUES / 3, 100);
        assert_eq!((came.joined.len(), came.more_to_come), (3, true));
        seats.costs.value_fuel = 1;
        let came = seats.reseat(&all, |_| 10, 100);
        assert_eq!((came.joined, came.more_to_come), (ids(3..13), true));
        assert_eq!(seats.reseat(&all, |_| 1_000, 100).joined, ids([13]), "one at least");
    }

    #[test]
    fn what_can_be_saved_bounds_seats_too() {
        let costs = Costs { forecast_fuel: 1, value_fuel: 0, state_bytes: 62 << 10 };
        assert_eq!(costs.seats(u64::MAX), 924, "of 62 KiB each within 56 MiB");
        assert_eq!(Costs { forecast_fuel: u64::MAX, ..costs }.seats(4_000_000_000), 1);
    }

    #[test]
    fn a_cost_that_wavers_moves_nobody() {
        let mut seats = seats(0..100, 100);
        let all = ids(0..200);
        assert_eq!(seats.reseat(&all, |_| 1, 95), Reseated::default());
        assert_eq!(seats.reseat(&all, |_| 1, 90).left.len(), 10);
    }

    proptest! {
        /// Never more seats than allowed and a little; nobody both comes and goes; whoever has one is among the shards there are.
        #[test]
        fn seats_are_bounded(
            heat in prop::collection::vec(prop::collection::vec(0_u32..1_000, 60), 1..12),
            allowed in 1_u64..50,
        ) {
            let mut seats = seats([], allowed);
            let fuel = (100 / allowed) * allowed;
            for heat in heat {
                let mut all = ids(0..60);
                all.sort_by_key(|shard| std::cmp::Reverse(heat[shard.0 as usize]));
                let before: BTreeSet<ShardId> = seats.taken().collect();
                let Reseated { joined, left, more_to_come } = seats.reseat(&all, |_| 1, fuel);
                prop_assert!(joined.iter().all(|shard| !before.contains(shard) && seats.holds(*shard)));
                prop_assert!(left.iter().all(|shard| before.contains(shard) && !seats.holds(*shard)));
                prop_assert!(!more_to_come);
                prop_assert_eq!(seats.taken().len() as u64, allowed.min(60));
            }
        }
    }
}
