use serde::{Deserialize, Serialize};

/// Bins of each octave: a quantile is found to within an eighth of itself before interpolation.
const PER_OCTAVE: i32 = 4;
/// The smallest magnitude told from zero is 2^-4: errors are measured in units of their usual size, so finer says nothing.
const LOWEST_OCTAVE: i32 = -4;
/// Magnitudes from 2^7 on fall into the last bin: an error 128 times the usual is an accident, whatever its size.
const OCTAVES: i32 = 11;
/// Bins of one sign.
const SIDE: usize = (PER_OCTAVE * OCTAVES) as usize + 1;
/// Weights are brought down when the newest weighs more than this: far from the limits of f32, seldom enough to cost nothing.
const RESCALE_AT: f32 = 1e12;

/// The distribution of a series' recent errors, in units of their usual size: a histogram whose bins widen with the magnitude, where
/// an older error weighs less than a newer one. Adding costs a few instructions; the size is fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// Descending magnitudes of negative errors, then ascending ones of positive errors.
    bins: Vec<f32>,
    /// What the next error weighs; grows by 1 / keep, which is the same as every older weight shrinking by keep.
    weight: f32,
}

impl Sketch {
    /// A distribution before any error was seen: a bell of standard deviation `width`, that weighs as much as `weight` errors.
    #[must_use]
    pub fn new(width: f32, weight: f32) -> Self {
        let mut sketch = Self { bins: vec![0.0; 2 * SIDE], weight: 1.0 };
        // Deciles and outer points of the normal distribution, each with its share.
        const BELL: [(f32, f32); 7] =
            [(0.0, 0.14), (0.4, 0.13), (0.8, 0.11), (1.2, 0.09), (1.65, 0.06), (2.2, 0.03), (3.0, 0.01)];
        for (z, share) in BELL {
            sketch.put(z * width, share * weight);
            sketch.put(-z * width, share * weight);
        }
        sketch
    }

    /// Adds an error; one that is not a number is not counted. Every older one keeps the share `keep`, within 0 to 1, of its weight.
    pub fn add(&mut self, error: f32, keep: f32) {
        if error.is_nan() {
            return;
        }
        self.weight /= keep;
        if self.weight > RESCALE_AT {
            let scale = 1.0 / self.weight;
            self.bins.iter_mut().for_each(|bin| *bin *= scale);
            self.weight = 1.0;
        }
        self.put(error, self.weight);
    }

    /// Lets everything seen so far weigh `share` of what it weighed.
    pub fn fade(&mut self, share: f32) {
        self.bins.iter_mut().for_each(|bin| *bin *= share);
    }

    /// The quantiles at `levels` (ascending, within 0 to 1), written to `out` one for one.
    pub fn quantiles(&self, levels: &[f32], out: &mut [f32]) {
        let total = self.total();
        // Never beyond what was seen: sums are rounded.
        let seen = |bin: &f32| *bin > 0.0;
        let first = self.bins.iter().position(seen).unwrap_or(0);
        let last = self.bins.iter().rposition(seen).unwrap_or(first);
        let (mut below, mut bin) = (0.0, first);
        for (level, out) in levels.iter().zip(out) {
            let wanted = level * total;
            while bin < last && below + self.bins[bin] < wanted {
                below += self.bins[bin];
                bin += 1;
            }
            let weight = self.bins[bin];
            let within = if weight > 0.0 { ((wanted - below) / weight).clamp(0.0, 1.0) } else { 0.5 };
            let (low, high) = edges(bin);
            *out = low + within * (high - low);
        }
    }

    /// Of four running sums, which don't wait for one another.
    fn total(&self) -> f32 {
        let mut sums = [0.0f32; 4];
        let (fours, rest) = self.bins.as_chunks::<4>();
        for four in fours {
            sums.iter_mut().zip(four).for_each(|(sum, bin)| *sum += bin);
        }
        sums.iter().chain(rest).sum()
    }

    /// Whether it is one that adding could have made: what a restored one must prove.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.bins.len() == 2 * SIDE
            && self.bins.iter().all(|bin| bin.is_finite() && *bin >= 0.0)
            && self.weight.is_finite()
            && self.weight > 0.0
    }

    fn put(&mut self, error: f32, weight: f32) {
        let side = bin_of(error.abs());
        let bin = if error < 0.0 { SIDE - 1 - side } else { SIDE + side };
        self.bins[bin] += weight;
    }
}

/// The bin of a magnitude, 0 being the one next to zero.
fn bin_of(magnitude: f32) -> usize {
    // The exponent and the first bits of the fraction of an f32 are its octave and its quarter of the octave.
    let quarters = (magnitude.to_bits() >> 21) as i32 - ((127 + LOWEST_OCTAVE) << 2);
    (quarters + 1).clamp(0, SIDE as i32 - 1) as usize
}

/// The lower and upper edge of bin `bin` of the whole.
fn edges(bin: usize) -> (f32, f32) {
    if bin >= SIDE { (edge(bin - SIDE), edge(bin - SIDE + 1)) } else { (-edge(SIDE - bin), -edge(SIDE - 1 - bin)) }
}

/// The lower edge of bin `side` of one sign.
fn edge(side: usize) -> f32 {
    if side == 0 {
        return 0.0;
    }
    f32::from_bits((side as u32 - 1 + ((127 + LOWEST_OCTAVE) << 2) as u32) << 21)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(sketch: &Sketch, levels: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; levels.len()];
        sketch.quantiles(levels, &mut out);
        out
    }

    #[test]
    fn every_magnitude_lies_within_the_edges_of_its_bin() {
        for magnitude in [0.0, 1e-9, 0.0624, 0.0625, 0.07, 0.99, 1.0, 1.3, 2.0, 17.0, 100.0] {
            let bin = bin_of(magnitude);
            assert!(edge(bin) <= magnitude && magnitude < edge(bin + 1), "{magnitude} in bin {bin}");
        }
        assert_eq!(bin_of(1e30), SIDE - 1);
        assert_eq!(bin_of(f32::INFINITY), SIDE - 1);
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut sketch = Sketch::new(1.0, 1e-6);
        // A uniform distribution over -10 to 30.
        for i in 0..4000 {
            sketch.add(-10.0 + i as f32 * 0.01, 1.0);
        }
        for (level, found) in [0.05, 0.25, 0.5, 0.9, 0.99].iter().zip(quantiles(&sketch, &[0.05, 0.25, 0.5, 0.9, 0.99]))
        {
            let truth = -10.0 + 40.0 * level;
            // Within a quarter of an octave.
            assert!((found - truth).abs() < 0.3 + 0.125 * truth.abs(), "quantile {level}: {found}, not {truth}");
        }
    }

    #[test]
    fn the_outermost_quantiles_are_the_outermost_errors() {
        for count in 1..400 {
            let mut sketch = Sketch::new(1.0, 0.0);
            for i in 0..count {
                sketch.add(((i * 7919) % 1000) as f32 / 500.0 - 1.0, 0.99);
            }
            let found = quantiles(&sketch, &[0.0, 1.0]);
            // To the edges of their bins.
            assert!(found[0] >= -1.25 && found[1] <= 1.25, "{count}: {found:?}");
        }
    }

    #[test]
    fn old_errors_are_forgotten() {
        let mut sketch = Sketch::new(1.0, 1.0);
        for _ in 0..5000 {
            sketch.add(50.0, 0.99);
        }
        for _ in 0..5000 {
            sketch.add(-2.0, 0.99);
        }
        assert!(sketch.is_sound());
        assert!(quantiles(&sketch, &[0.99])[0] < 0.0);
    }

    #[test]
    fn before_any_error_the_bell_is_as_wide_as_asked() {
        let found = quantiles(&Sketch::new(2.0, 8.0), &[0.05, 0.5, 0.95]);
        assert!(found[0] < -2.5 && found[1].abs() < 0.3 && found[2] > 2.5, "{found:?}");
    }
}
