use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::index::sample;

/// A standard normal value (Box and Muller 1958).
pub(super) fn normal(rng: &mut StdRng) -> f64 {
    let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// An exponential value of this mean.
pub(super) fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// So many tenants at random, at least one, at most all.
pub(super) fn chosen(rng: &mut StdRng, tenants: usize, wanted: usize) -> Vec<usize> {
    if tenants == 0 { Vec::new() } else { sample(rng, tenants, wanted.clamp(1, tenants)).into_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn values_have_their_moments() {
        let mut rng = StdRng::seed_from_u64(1);
        let normals: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = normals.iter().sum::<f64>() / 20_000.0;
        let variance = normals.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let waits = (0..20_000).map(|_| exponential(&mut rng, 3.0)).sum::<f64>() / 20_000.0;
        assert!((waits - 3.0).abs() < 0.1, "{waits}");
    }
}
