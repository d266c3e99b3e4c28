/// Pseudo-random numbers that follow from a seed alone: SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
    /// Normal numbers come in pairs.
    spare: Option<f64>,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, spare: None }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Over 0 to 1, neither of them.
    fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Exponential, of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Laplace, of mean size 1.
    pub(crate) fn laplace(&mut self) -> f64 {
        if self.bits() & 1 == 0 { self.exponential() } else { -self.exponential() }
    }

    /// Normal, of standard deviation 1 (the polar method: G. Marsaglia, T. A. Bray 1964).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            // Never 0: a uniform number is no whole multiple of a half.
            if square < 1.0 {
                let stretch = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * stretch);
                return x * stretch;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_moments_of_their_distribution() {
        let mut chance = Chance::new(7);
        let mut moments = |draw: fn(&mut Chance) -> f64| {
            let draws: Vec<f64> = (0..100_000).map(|_| draw(&mut chance)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            (mean, draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64)
        };
        for (name, draw, wanted) in [
            ("exponential", Chance::exponential as fn(&mut Chance) -> f64, (1.0, 1.0)),
            ("laplace", Chance::laplace, (0.0, 2.0)),
            ("normal", Chance::normal, (0.0, 1.0)),
        ] {
            let (mean, variance) = moments(draw);
            assert!((mean - wanted.0).abs() < 0.02 && (variance - wanted.1).abs() < 0.05, "{name}: {mean} {variance}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| (0..10).scan(Chance::new(seed), |chance, _| Some(chance.normal())).collect::<Vec<_>>();
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
    }
}
