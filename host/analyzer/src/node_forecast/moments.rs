//! Mean and spread of a distribution of which only some quantiles are known.

/// Mean, variance and standard deviation; of several together, their sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) variance: f64,
    pub(super) spread: f64,
}

impl Moments {
    /// The spread is the slope of the values over the normal's (least squares); the mean is the integral of the quantile function, straight
    /// between the known ones and with a normal's tails beyond them. Both are exact for a normal distribution, the tails apart for others.
    /// None where values are missing or fewer than two.
    pub(super) fn of(quantiles: &[f32], values: &[f64]) -> Option<Self> {
        if quantiles.len() != values.len() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let z: Vec<f64> = quantiles.iter().map(|&q| normal_quantile(f64::from(q))).collect();
        let n = values.len() as f64;
        let (z_mean, mean) = (z.iter().sum::<f64>() / n, values.iter().sum::<f64>() / n);
        let (mut cross, mut square) = (0.0, 0.0);
        for (z, value) in z.iter().zip(values) {
            cross += (z - z_mean) * (value - mean);
            square += (z - z_mean).powi(2);
        }
        let spread = if square > 0.0 { (cross / square).max(0.0) } else { 0.0 };
        let (&first_q, &last_q) = (quantiles.first()?, quantiles.last()?);
        let (first_q, last_q) = (f64::from(first_q), f64::from(last_q));
        let inner: f64 = quantiles
            .windows(2)
            .zip(values.windows(2))
            .map(|(q, value)| f64::from(q[1] - q[0]) * (value[0] + value[1]) / 2.0)
            .sum();
        let lower = first_q * values.first()? - spread * (density(z[0]) + first_q * z[0]);
        let last_z = *z.last()?;
        let upper = (1.0 - last_q) * values.last()? + spread * (density(last_z) - (1.0 - last_q) * last_z);
        Some(Self { mean: (lower + inner + upper).max(0.0), variance: spread * spread, spread })
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.mean += other.mean;
        self.variance += other.variance;
        self.spread += other.spread;
    }

    pub(super) fn scaled(&self, by: f64) -> Self {
        Self { mean: self.mean * by, variance: self.variance * by * by, spread: self.spread * by }
    }
}

/// The normal distribution's density.
fn density(z: f64) -> f64 {
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The normal distribution's quantile function: Acklam's rational approximation, relative error below 1.2e-9. Beyond 1e-9 and its counterpart
/// the values there.
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    const TAIL: f64 = 0.024_25;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let r = (-2.0 * p.ln()).sqrt();
        polynomial(&C, r) / (polynomial(&D, r) * r + 1.0)
    };
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    if p < TAIL {
        tail(p)
    } else if p > 1.0 - TAIL {
        -tail(1.0 - p)
    } else {
        let (q, r) = (p - 0.5, (p - 0.5).powi(2));
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles_of_the_normal() {
        for (p, z) in
            [(0.5, 0.0), (0.975, 1.959_963_985), (0.05, -1.644_853_627), (0.001, -3.090_232_306), (0.84, 0.994_457_883)]
        {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn a_normal_gives_its_own_moments_and_a_constant_none() {
        let quantiles = [0.05f32, 0.25, 0.5, 0.75, 0.9, 0.97];
        let values: Vec<f64> = quantiles.iter().map(|&q| 100.0 + 7.0 * normal_quantile(f64::from(q))).collect();
        let moments = Moments::of(&quantiles, &values).unwrap();
        assert!((moments.mean - 100.0).abs() < 0.3 && (moments.spread - 7.0).abs() < 1e-6, "{moments:?}");
        let moments = Moments::of(&quantiles, &[5.0; 6]).unwrap();
        assert!((moments.mean - 5.0).abs() < 1e-6 && moments.spread == 0.0);
        assert_eq!(Moments::of(&quantiles, &[f64::NAN; 6]), None);
        assert_eq!(Moments::of(&quantiles, &[1.0]), None);
    }

    /// An exponential of mean 10: skewed, as loads are.
    #[test]
    fn a_skewed_distribution_keeps_its_mean_within_five_percent() {
        let quantiles = [0.05f32, 0.25, 0.5, 0.75, 0.9, 0.97];
        let values: Vec<f64> = quantiles.iter().map(|&q| -10.0 * (1.0 - f64::from(q)).ln()).collect();
        let moments = Moments::of(&quantiles, &values).unwrap();
        assert!((moments.mean - 10.0).abs() < 0.5, "{moments:?}");
    }
}
