use crate::days::{Days, WEEK};
use serde::{Deserialize, Serialize};

/// Harmonics of the day that are looked at one by one; what varies faster than so often a day is one part more.
const MAX_HARMONICS: usize = 32;
/// The last harmonic of each part: each is about as long as all before it.
const PARTS: [usize; 7] = [1, 2, 3, 5, 8, 16, MAX_HARMONICS];
/// The parts, and what is left.
const SHARES: usize = PARTS.len() + 1;
/// What each older day counts beside the one after it.
const FADINGS: [f32; 3] = [1.0, 0.85, 0.6];
/// How many times as much a day counts that is whole weeks back.
const WEEKDAYS: [f32; 3] = [1.0, 4.0, 16.0];
/// The first quarter of the days, at most so many, is only looked back on: from fewer nothing is foreseen well.
const LOOKED_BACK_ON: usize = 3;
/// What foreseeing by weekdays must save before it is preferred: it rests on fewer days.
const CLEARLY_LESS: f32 = 0.98;

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
    /// The first day, of those it was learnt from, that was foreseen.
    pub(crate) foreseen_from: usize,
    /// Of the days from there on, step by step.
    pub(crate) foreseen: Vec<f32>,
}

/// How days are averaged, and how far each part of the average is believed.
#[derive(Clone, Copy, Debug)]
struct Recipe {
    fading: f32,
    weekday: f32,
    shares: [f32; SHARES],
}

impl Decomposition {
    /// Of at least two days: how days are averaged and how far each part is believed is what would have foreseen the past days best.
    pub(crate) fn of(days: &Days) -> Self {
        let waves = Waves::of(days);
        let foreseen_from = (days.count() / 4).clamp(1, LOOKED_BACK_ON);
        let recipe = Recipe::best(days, &waves, foreseen_from);
        let mut foreseen = Vec::with_capacity((days.count() - foreseen_from) * days.length);
        for day in foreseen_from..days.count() {
            recipe.foresee(days, &waves, day, &mut foreseen);
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

impl Recipe {
    fn best(days: &Days, waves: &Waves, foreseen_from: usize) -> Self {
        let mut best = Self { fading: 1.0, weekday: 1.0, shares: [0.0; SHARES] };
        let mut least = f32::INFINITY;
        for weekday in WEEKDAYS {
            if weekday > 1.0 && days.count() <= WEEK {
                continue;
            }
            for fading in FADINGS {
                let mut recipe = Self { fading, weekday, shares: [0.0; SHARES] };
                let mut cost = recipe.believe(days, waves, foreseen_from);
                if weekday > 1.0 {
                    cost /= CLEARLY_LESS;
                }
                if cost < least {
                    (best, least) = (recipe, cost);
                }
            }
        }
        best
    }

    /// Sets the shares to those that would have foreseen the past days best, and gives the squares that were left over.
    fn believe(&mut self, days: &Days, waves: &Waves, foreseen_from: usize) -> f32 {
        let (mut products, mut squares, mut total) = ([0.0f32; SHARES], [0.0f32; SHARES], 0.0);
        let mut mean = Vec::new();
        for day in foreseen_from..days.count() {
            let weight = days.weights[day];
            if weight <= 0.0 {
                continue;
            }
            let average = self.average(days, day);
            waves.mean(&average, &mut mean);
            let own = waves.of_day(day);
            total +=
                weight * days.length as f32 * mean_of(days.day(day), |value| (value - mean[0]) * (value - mean[0]));
            let (mut product_below, mut square_below) = (0.0, 0.0);
            for (part, (from, to)) in waves.parts().enumerate() {
                let pairs = || own[from..to].iter().zip(&mean[from..to]);
                let product: f32 = pairs().map(|(own, mean)| own * mean).sum();
                let square: f32 = pairs().map(|(_, mean)| mean * mean).sum();
                // A harmonic of amplitude a is worth half its square at each step.
                let unit = 0.5 * days.length as f32;
                products[part] += weight * unit * product;
                squares[part] += weight * unit * square;
                product_below += unit * product;
                square_below += unit * square;
            }
            let (mut product, mut square) = (0.0, 0.0);
            average_of(days, &average, |slot, value| {
                product += (value - mean[0]) * (days.day(day)[slot] - own[0]);
                square += (value - mean[0]) * (value - mean[0]);
            });
            products[SHARES - 1] += weight * (product - product_below);
            squares[SHARES - 1] += weight * (square - square_below);
        }
        for ((share, product), square) in self.shares.iter_mut().zip(products).zip(squares) {
            *share = if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 };
            total -= 2.0 * *share * product - *share * *share * square;
        }
        total
    }

    /// What each day before `day` counts in foreseeing it; they sum to 1, or to 0 where there is none.
    fn average(&self, days: &Days, day: usize) -> Vec<f32> {
        let mut average: Vec<f32> = (0..day.min(days.count()))
            .map(|past| {
                let back = day - past;
                // However far ahead, the newest day counts as much.
                let age = days.count().min(day) - 1 - past;
                let weekday = if back.is_multiple_of(WEEK) { self.weekday } else { 1.0 };
                days.weights[past] * weekday * self.fading.powi(age as i32)
            })
            .collect();
        let sum: f32 = average.iter().sum();
        if sum > 0.0 {
            average.iter_mut().for_each(|weight| *weight /= sum);
        }
        average
    }

    /// Adds to `out` what it foresees of day `day`.
    fn foresee(&self, days: &Days, waves: &Waves, day: usize, out: &mut Vec<f32>) {
        let average = self.average(days, day);
        let mut mean = Vec::new();
        waves.mean(&average, &mut mean);
        let rest = self.shares[SHARES - 1];
        let from = out.len();
        out.resize(from + days.length, mean[0] * (1.0 - rest));
        average_of(days, &average, |slot, value| out[from + slot] += rest * value);
        // What the parts are believed beyond the rest.
        for (part, (low, high)) in waves.parts().enumerate() {
            mean[low..high].iter_mut().for_each(|wave| *wave *= self.shares[part] - rest);
        }
        waves.add(&mean, &mut out[from..]);
    }
}

/// Calls `with` for each time of day with the average of the days, which weigh `average`.
fn average_of(days: &Days, average: &[f32], mut with: impl FnMut(usize, f32)) {
    let mut sums = vec![0.0f32; days.length];
    for (day, weight) in average.iter().enumerate() {
        if *weight > 0.0 {
            for (sum, value) in sums.iter_mut().zip(days.day(day)) {
                *sum += weight * value;
            }
        }
    }
    for (slot, sum) in sums.into_iter().enumerate() {
        with(slot, sum);
    }
}

fn mean_of(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    values.iter().map(|value| of(*value)).sum::<f32>() / values.len().max(1) as f32
}

/// Each day's mean and its harmonics: amplitudes of cosine and sine, one after the other.
#[derive(Debug)]
struct Waves {
    /// Cosines and sines of a whole turn in steps of a day.
    circle: Vec<(f32, f32)>,
    harmonics: usize,
    days: Vec<f32>,
}

impl Waves {
    fn of(days: &Days) -> Self {
        let length = days.length;
        let turn = std::f64::consts::TAU / length.max(1) as f64;
        let point = |slot: usize| {
            let (sine, cosine) = (turn * slot as f64).sin_cos();
            (cosine as f32, sine as f32)
        };
        // The one of half the steps has no sine of its own; it stays with the rest.
        let harmonics = MAX_HARMONICS.min(length.saturating_sub(1) / 2);
        let room = Vec::with_capacity(days.count() * (1 + 2 * harmonics));
        let mut waves = Self { circle: (0..length).map(point).collect(), harmonics, days: room };
        for day in 0..days.count() {
            let values = days.day(day);
            waves.days.push(mean_of(values, |value| value));
            for harmonic in 1..=harmonics {
                let (mut cosine, mut sine) = (0.0, 0.0);
                waves.turn(harmonic, |slot, along, across| {
                    cosine += values[slot] * along;
                    sine += values[slot] * across;
                });
                let unit = 2.0 / length as f32;
                waves.days.extend([unit * cosine, unit * sine]);
            }
        }
        waves
    }

    fn width(&self) -> usize {
        1 + 2 * self.harmonics
    }

    fn of_day(&self, day: usize) -> &[f32] {
        &self.days[day * self.width()..(day + 1) * self.width()]
    }

    /// Where in the waves of a day each part lies.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> {
        let harmonics = self.harmonics;
        let mut from = 1;
        PARTS.into_iter().map(move |last| {
            let to = 1 + 2 * last.min(harmonics);
            let part = (from, to.max(from));
            from = part.1;
            part
        })
    }

    /// The waves of the average of days, which weigh `average`.
    fn mean(&self, average: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.width(), 0.0);
        for (day, weight) in average.iter().enumerate() {
            for (sum, wave) in out.iter_mut().zip(self.of_day(day)) {
                *sum += weight * wave;
            }
        }
    }

    /// Adds the waves, the mean apart, to a day.
    fn add(&self, waves: &[f32], day: &mut [f32]) {
        for harmonic in 1..=self.harmonics {
            let (cosine, sine) = (waves[2 * harmonic - 1], waves[2 * harmonic]);
            if cosine != 0.0 || sine != 0.0 {
                self.turn(harmonic, |slot, along, across| day[slot] += cosine * along + sine * across);
            }
        }
    }

    /// Calls `with` for each step of a day with the harmonic's cosine and sine.
    fn turn(&self, harmonic: usize, mut with: impl FnMut(usize, f32, f32)) {
        let mut angle = 0;
        for slot in 0..self.circle.len() {
            let (cosine, sine) = self.circle[angle];
            with(slot, cosine, sine);
            angle = (angle + harmonic) % self.circle.len();
        }
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
        let found = Decomposition::of(&days(48, 5, shape));
        for slot in 0..48 {
            assert!((found.season.at(5 * 48 + slot as u64) - shape(0, slot)).abs() < 1e-3, "slot {slot}");
        }
        assert_eq!(found.foreseen.len(), 4 * 48, "all days but the first");
    }

    #[test]
    fn noise_is_no_season_and_a_slow_wave_in_it_is() {
        let wave = |slot: usize| 3.0 * (std::f32::consts::TAU * slot as f32 / 96.0).sin();
        let found = Decomposition::of(&days(96, 8, |day, slot| wave(slot) + noise(day, slot)));
        let off: f32 =
            (0..96).map(|slot| (found.season.at(8 * 96 + slot as u64) - wave(slot)).abs()).sum::<f32>() / 96.0;
        let plain =
            (0..96).map(|slot| ((0..8).map(|day| noise(day, slot)).sum::<f32>() / 8.0).abs()).sum::<f32>() / 96.0;
        assert!(off < 0.5 * plain, "{off}, a plain mean {plain}");
    }

    #[test]
    fn weekends_are_told_from_the_other_days() {
        let shape = |day: usize, slot: usize| if day % 7 >= 5 { 1.0 } else { 10.0 + (slot % 6) as f32 };
        let found = Decomposition::of(&days(24, 14, shape));
        let at = |day: usize, slot: usize| found.season.at((day * 24 + slot) as u64);
        assert!(at(19, 5) < 5.0 && at(15, 5) > 9.0, "{} {}", at(19, 5), at(15, 5));
    }

    #[test]
    fn no_weight_no_season() {
        let found = Decomposition::of(&days(24, 3, |_, _| f32::NAN));
        assert_eq!(found.season.at(100), 0.0);
        assert!(found.season.is_sound(24) && !found.season.is_sound(25));
        assert_eq!(Season::flat(5).at(1000), 0.0);
    }
}
