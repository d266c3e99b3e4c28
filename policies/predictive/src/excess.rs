//! Expected excess of a load over a capacity, E max(X − c, 0), from the load's mean, variance and skewness.
//!
//! X is taken as a shifted gamma distribution (Pearson type III), which is the normal one where there is no skew: load comes in bursts, and a
//! normal distribution of the same variance would hold rare bursts to be impossible.

/// z = (c − mean) / deviation is tabulated over this range; below it the load is over for certain, above it never.
const Z_MIN: f32 = -6.0;
const Z_MAX: f32 = 14.0;
const Z_PER_UNIT: usize = 32;
const Z_ENTRIES: usize = (Z_MAX - Z_MIN) as usize * Z_PER_UNIT + 2;
/// Skewness is tabulated from 0 to here; more skew counts as this much.
const SKEW_MAX: f32 = 4.0;
const SKEW_PER_UNIT: usize = 4;
const SKEW_ENTRIES: usize = SKEW_MAX as usize * SKEW_PER_UNIT + 1;

/// The function of z and skewness, tabulated: the search evaluates it millions of times.
#[derive(Clone, Debug)]
pub(crate) struct Excess {
    rows: Vec<Vec<f32>>,
}

impl Excess {
    pub(crate) fn new() -> Self {
        Self { rows: (0..SKEW_ENTRIES).map(|i| row(i as f64 / SKEW_PER_UNIT as f64)).collect() }
    }

    /// Expected excess of a load of this mean, variance and third central moment.
    #[inline]
    pub(crate) fn over(&self, mean: f32, variance: f32, third: f32, capacity: f32) -> f32 {
        let short = capacity - mean;
        // Far from capacity on either side: certain. (Squares, so that the usual case takes no root.)
        let far = if short > 0.0 { Z_MAX * Z_MAX } else { Z_MIN * Z_MIN };
        if short * short >= far * variance {
            return (-short).max(0.0);
        }
        let deviation = variance.sqrt();
        let skew = (third / (variance * deviation)).clamp(0.0, SKEW_MAX - 1e-3) * SKEW_PER_UNIT as f32;
        let at = (short / deviation - Z_MIN) * Z_PER_UNIT as f32;
        let (line, entry) = (skew as usize, (at as usize).min(Z_ENTRIES - 2));
        let (low, high) = (&self.rows[line], &self.rows[line + 1]);
        let between = |row: &[f32]| row[entry] + (row[entry + 1] - row[entry]) * (at - entry as f32);
        let (low, high) = (between(low), between(high));
        deviation * (low + (high - low) * (skew - line as f32))
    }
}

/// E max(X − z, 0) at the tabulated z, X standardised with this skewness: twice the integral of the density, from the far end down.
fn row(skew: f64) -> Vec<f32> {
    const FINE: usize = 4;
    const BEYOND: f64 = 16.0;
    let step = 1.0 / (Z_PER_UNIT * FINE) as f64;
    let count = ((f64::from(Z_MAX - Z_MIN) + BEYOND) / step) as usize;
    let z = |i: usize| f64::from(Z_MIN) + i as f64 * step;
    // Logarithms relative to the mode, so that nothing overflows; the area gives the constant.
    let density: Vec<f64> = (0..=count)
        .map(|i| {
            let z = z(i) + 0.5 * step;
            if skew < 0.05 {
                return (-0.5 * z * z).exp();
            }
            let shape = 4.0 / (skew * skew);
            let x = shape + z * shape.sqrt();
            if x <= 0.0 { 0.0 } else { ((shape - 1.0) * (x / shape).ln() - (x - shape)).exp() }
        })
        .collect();
    let area: f64 = density.iter().sum::<f64>() * step;
    let mut table = vec![0.0; Z_ENTRIES];
    let (mut above, mut excess) = (0.0, 0.0);
    for i in (0..=count).rev() {
        let more = density[i] / area * step;
        excess += step * (above + 0.5 * more);
        above += more;
        if i % FINE == 0 && i / FINE < Z_ENTRIES {
            table[i / FINE] = excess as f32;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_excess_agrees_with_known_values() {
        let excess = Excess::new();
        let near = |a: f32, b: f32| assert!((a - b).abs() < 2e-3, "{a} {b}");
        near(excess.over(10.0, 0.0, 0.0, 8.0), 2.0);
        near(excess.over(8.0, 0.0, 0.0, 10.0), 0.0);
        near(excess.over(0.0, 1.0, 0.0, 0.0), 0.398_94); // φ(0)
        near(excess.over(0.0, 1.0, 0.0, 1.0), 0.083_32);
        near(excess.over(1.0, 1.0, 0.0, 0.0), 1.083_32);
        near(excess.over(3.0, 4.0, 0.0, 5.0), 2.0 * 0.083_32);
        near(excess.over(100.0, 1.0, 0.0, 0.0), 100.0);
        // An exponential load of mean 1 (skewness 2) exceeds c by e⁻ᶜ.
        for c in [0.5_f32, 1.0, 2.0, 4.0] {
            near(excess.over(1.0, 1.0, 2.0, c), (-c).exp());
        }
    }
}
