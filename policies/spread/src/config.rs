use placing_kit::{Failure, parse_config};
use serde::Deserialize;

/// The configuration of [`Spread`](crate::Spread).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How far a node's count may be off its share of all, as a part of that share, 0 to 10; one replica, or leader, off is always even.
    pub tolerance: f32,
    /// Whether leaders are spread too.
    pub leaders: bool,
    /// Moves proposed in one round, 1 to 10 000 (the contract's bound); nodes being drained are not counted.
    pub max_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { tolerance: 0.1, leaders: true, max_moves: 16 }
    }
}

impl Config {
    /// Reads and checks a configuration.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let config: Self = parse_config(text)?;
        if !(0.0..=10.0).contains(&config.tolerance) {
            return Err(Failure::Config(format!("`tolerance` is 0 to 10, not {}", config.tolerance)));
        }
        if !(1..=10_000).contains(&config.max_moves) {
            return Err(Failure::Config(format!("`max_moves` is 1 to 10000, not {}", config.max_moves)));
        }
        Ok(config)
    }
}
