use forecasting_kit::{Season, Seasons};
use serde::Deserialize;

/// The configuration of [`Pooled`](crate::Pooled).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Weeks of history looked back on, 1 to 4.
    pub weeks: u8,
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
        Season::check_weeks(self.weeks)?;
        Seasons::check_half_life(self.error_half_life_days)
    }
}
