use super::chance::normal;
use super::{BadShape, within};
use rand::rngs::StdRng;
use serde::Deserialize;

/// Each step is off by a factor of its own, log-normal with mean 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// Standard deviation as a share of the load, 0 to 3.
    pub deviation: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { deviation: 0.1 }
    }
}

impl Noise {
    pub(super) fn check(&self) -> Result<(), BadShape> {
        within("deviation", self.deviation, 0.0, 3.0)
    }

    pub(super) fn apply(&self, rows: &mut [Vec<f32>], rng: &mut StdRng) {
        let variance = (self.deviation * self.deviation).ln_1p();
        for value in rows.iter_mut().flatten() {
            *value *= (variance.sqrt() * normal(rng) - variance / 2.0).exp() as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, testing::shaped};
    use super::*;

    #[test]
    fn noise_has_mean_one_and_its_deviation() {
        let rows = shaped(20, Shape::Noise(Noise { deviation: 0.3 }));
        let values: Vec<f64> = rows.iter().flatten().map(|v| f64::from(*v)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.01 && (deviation - 0.3).abs() < 0.01, "{mean} {deviation}");
    }
}
