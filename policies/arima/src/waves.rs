use crate::days::Days;

/// Harmonics of the day that are looked at one by one; what varies faster than so often a day is one part more.
const MAX_HARMONICS: usize = 32;
/// The last harmonic of each part: each is about as long as all before it.
pub(crate) const PARTS: [usize; 7] = [1, 2, 3, 5, 8, 16, MAX_HARMONICS];

/// Each day's mean and its harmonics: amplitudes of cosine and sine, one after the other.
#[derive(Debug)]
pub(crate) struct Waves {
    length: usize,
    /// Cosines and sines of a whole turn in steps of a day.
    circle: Vec<(f32, f32)>,
    harmonics: usize,
    days: Vec<f32>,
    /// Days less their means.
    centred: Vec<f32>,
}

impl Waves {
    pub(crate) fn of(days: &Days) -> Self {
        let length = days.length;
        let turn = std::f64::consts::TAU / length.max(1) as f64;
        let point = |slot: usize| {
            let (sine, cosine) = (turn * slot as f64).sin_cos();
            (cosine as f32, sine as f32)
        };
        // The one of half the steps has no sine of its own; it stays with the rest.
        let harmonics = MAX_HARMONICS.min(length.saturating_sub(1) / 2);
        let mut waves = Self {
            length,
            circle: (0..length).map(point).collect(),
            harmonics,
            days: Vec::with_capacity(days.count() * (1 + 2 * harmonics)),
            centred: Vec::with_capacity(days.count() * length),
        };
        let unit = 2.0 / length as f32;
        let mut folded = vec![(0.0, 0.0); length / 2 + 1];
        for day in 0..days.count() {
            let values = days.day(day);
            let mean = values.iter().sum::<f32>() / length.max(1) as f32;
            waves.days.push(mean);
            waves.centred.extend(values.iter().map(|value| value - mean));
            // A cosine is the same a step after the day's beginning and a step before its end, a sine the opposite.
            let at = |slot: usize| values[slot % length] - mean;
            for (slot, folded) in folded.iter_mut().enumerate() {
                let (one, other) = (at(slot), at(length - slot));
                *folded = if is_its_own(slot, length) { (one, 0.0) } else { (one + other, one - other) };
            }
            for harmonic in 1..=harmonics {
                let (mut cosine, mut sine) = (0.0, 0.0);
                for ((even, odd), (along, across)) in folded.iter().zip(waves.turn(harmonic)) {
                    cosine += even * along;
                    sine += odd * across;
                }
                waves.days.extend([unit * cosine, unit * sine]);
            }
        }
        waves
    }

    pub(crate) fn width(&self) -> usize {
        1 + 2 * self.harmonics
    }

    pub(crate) fn of_day(&self, day: usize) -> &[f32] {
        &self.days[day * self.width()..(day + 1) * self.width()]
    }

    pub(crate) fn centred(&self, day: usize) -> &[f32] {
        &self.centred[day * self.length..(day + 1) * self.length]
    }

    /// Where in the waves of a day each part lies.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, usize)> {
        let harmonics = self.harmonics;
        let mut from = 1;
        PARTS.into_iter().map(move |last| {
            let to = 1 + 2 * last.min(harmonics);
            let part = (from, to.max(from));
            from = part.1;
            part
        })
    }

    /// Adds the waves, the mean apart, to a day.
    pub(crate) fn add(&self, waves: &[f32], day: &mut [f32]) {
        let mut folded = vec![(0.0, 0.0); self.length / 2 + 1];
        for harmonic in 1..=self.harmonics {
            let (cosine, sine) = (waves[2 * harmonic - 1], waves[2 * harmonic]);
            if cosine != 0.0 || sine != 0.0 {
                for ((even, odd), (along, across)) in folded.iter_mut().zip(self.turn(harmonic)) {
                    *even += cosine * along;
                    *odd += sine * across;
                }
            }
        }
        for (slot, (even, odd)) in folded.into_iter().enumerate() {
            day[slot % self.length] += even + odd;
            if !is_its_own(slot, self.length) {
                day[self.length - slot] += even - odd;
            }
        }
    }

    /// The harmonic's cosine and sine at each step of the first half of a day.
    fn turn(&self, harmonic: usize) -> impl Iterator<Item = (f32, f32)> {
        let mut angle = 0;
        std::iter::repeat_with(move || {
            let point = self.circle[angle];
            angle += harmonic;
            if angle >= self.circle.len() {
                angle -= self.circle.len();
            }
            point
        })
    }
}

/// Whether a step is as far from the day's beginning as from its end.
fn is_its_own(slot: usize, length: usize) -> bool {
    slot == 0 || 2 * slot == length
}
