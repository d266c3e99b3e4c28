use crate::days::{Days, WEEK};
use crate::recipe::Trials;
use crate::waves::Waves;
use serde::{Deserialize, Serialize};

/// The first quarter of the days, at most so many, is only looked back on: from fewer nothing is foreseen well.
const LOOKED_BACK_ON: usize = 3;

/// What each time of day is expected to bring, until the next fit: a weighted mean of past days, split into parts by how fast they vary within
/// the day (its Fourier harmonics), each part taken for as much as it has come true before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Season {
    /// The first step that it is for.
    first: u64,
    /// One day, or the seven to come, of as many steps each; by steps from `first` on.
    profile: Vec<f32>,
}

impl Season {
    /// No season at all, at height 0.
    pub(crate) fn flat(first: u64) -> Self {
        Self { first, profile: vec![0.0] }
    }

    pub(crate) fn at(&self, step: u64) -> f32 {
        let slot = step.wrapping_sub(self.first) % self.profile.len().max(1) as u64;
        self.profile.get(slot as usize).copied().unwrap_or(0.0)
    }

    pub(crate) fn is_sound(&self, day: u64) -> bool {
        let length = self.profile.len() as u64;
        (length == 1 || length == day || length == WEEK as u64 * day)
            && self.profile.iter().all(|value| value.is_finite())
    }
}

/// A season, and what it would have said of the days it was learnt from, each foreseen from those before it.
#[derive(Debug)]
pub(crate) struct Decomposition {
    pub(crate) season: Season,
    /// The first of the days that was foreseen.
    pub(crate) foreseen_from: usize,
    /// Of the days from there on, step by step.
    pub(crate) foreseen: Vec<f32>,
}

impl Decomposition {
    /// Of at least two days. How days are averaged and how far each part is believed is what would have foreseen the past days best. Of the
    /// last `foreseen_days`, or as many as can be, it says what it would have foreseen. Within the first week a day has no say in that itself:
    /// few days fit themselves better than what is to come (M. Stone, "Cross-validatory choice and assessment of statistical predictions", 1974).
    pub(crate) fn of(days: &Days, foreseen_days: usize) -> Self {
        let waves = Waves::of(days);
        let trial_from = (days.count() / 4).clamp(1, LOOKED_BACK_ON);
        let trials = Trials::of(days, &waves, trial_from);
        let foreseen_from = trial_from.max(days.count().saturating_sub(foreseen_days));
        let mut foreseen = Vec::with_capacity((days.count() - foreseen_from) * days.length);
        let recipe = trials.best_but_for(None);
        for day in foreseen_from..days.count() {
            let then = if days.count() <= WEEK { trials.best_but_for(Some(day)) } else { recipe };
            then.foresee(days, &waves, day, &mut foreseen);
        }
        let ahead = if recipe.weekday > 1.0 { WEEK } else { 1 };
        let mut profile = Vec::with_capacity(ahead * days.length);
        for day in 0..ahead {
            recipe.foresee(days, &waves, days.count() + day, &mut profile);
        }
        let first = days.first + (days.count() * days.length) as u64;
        Self { season: Season { first, profile }, foreseen_from, foreseen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forecasting_kit::Ring;

    fn days(length: usize, count: usize, value: impl Fn(usize, usize) -> f32) -> Days {
        let mut ring = Ring::new(length * count, 0);
        for day in 0..count {
            (0..length).for_each(|slot| ring.push(value(day, slot)));
        }
        Days::newest(&ring, length, count)
    }

    /// A number within -1 to 1 without a pattern.
    fn noise(day: usize, slot: usize) -> f32 {
        // SplitMix64.
        let mut mixed = ((day * 1000 + slot) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    #[test]
    fn a_regular_day_is_foreseen_exactly_edges_and_all() {
        let shape = |_: usize, slot: usize| if slot == 7 { 50.0 } else { (slot % 5) as f32 };
        let found = Decomposition::of(&days(48, 5, shape), usize::MAX);
        for slot in 0..48 {
            assert!((found.season.at(5 * 48 + slot as u64) - shape(0, slot)).abs() < 1e-3, "slot {slot}");
        }
        assert_eq!(found.foreseen.len(), 4 * 48, "all days but the first");
    }

    #[test]
    fn noise_is_no_season_and_a_slow_wave_in_it_is() {
        let wave = |slot: usize| 3.0 * (std::f32::consts::TAU * slot as f32 / 96.0).sin();
        let found = Decomposition::of(&days(96, 8, |day, slot| wave(slot) + noise(day, slot)), usize::MAX);
        let off: f32 =
            (0..96).map(|slot| (found.season.at(8 * 96 + slot as u64) - wave(slot)).abs()).sum::<f32>() / 96.0;
        let plain =
            (0..96).map(|slot| ((0..8).map(|day| noise(day, slot)).sum::<f32>() / 8.0).abs()).sum::<f32>() / 96.0;
        assert!(off < 0.5 * plain, "{off}, a plain mean {plain}");
    }

    #[test]
    fn weekends_are_told_from_the_other_days() {
        let shape = |day: usize, slot: usize| if day % 7 >= 5 { 1.0 } else { 10.0 + (slot % 6) as f32 };
        let found = Decomposition::of(&days(24, 14, shape), usize::MAX);
        let at = |day: usize, slot: usize| found.season.at((day * 24 + slot) as u64);
        assert!(at(19, 5) < 5.0 && at(15, 5) > 9.0, "{} {}", at(19, 5), at(15, 5));
    }

    #[test]
    fn no_weight_no_season() {
        let found = Decomposition::of(&days(24, 3, |_, _| f32::NAN), usize::MAX);
        assert_eq!(found.season.at(100), 0.0);
        assert!(found.season.is_sound(24) && !found.season.is_sound(25));
        assert_eq!(Season::flat(5).at(1000), 0.0);
    }
}
