use serde::Deserialize;

/// The configuration of [`Pooled`](crate::Pooled).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u32,
    /// Days after which what was learnt counts half, 1 to 60: some leads take less, some more.
    pub error_half_life_days: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { weeks: 2, error_half_life_days: 5.0 }
    }
}

impl Config {
    /// Refuses values out of range; the text names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=4).contains(&self.weeks) {
            return Err(format!("`weeks` is 1 to 4, not {}", self.weeks));
        }
        if !(1.0..=60.0).contains(&self.error_half_life_days) {
            return Err(format!("`error_half_life_days` is 1 to 60, not {}", self.error_half_life_days));
        }
        Ok(())
    }
}
