use placing_kit::{Failure, parse_config};
use serde::Deserialize;

/// The configuration of [`Predictive`](crate::Predictive).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Steps looked ahead, at most those that the view forecasts; 1 to 8 064.
    pub horizon_steps: u32,
    /// Overload that a leader transfer must save over the horizon, in seconds of one node's whole capacity; 0 to 1 000 000.
    pub transfer_price_s: f32,
    /// The same for a move of data.
    pub move_price_s: f32,
    /// Share of the shards that may move in half a day before prices have doubled; above 0, at most 1 000. They rise with its square.
    pub allowance: f32,
    /// Steps after a move's effect within which it must have saved its price; 1 to 8 064. What pays later can be proposed later.
    pub patience_steps: u32,
    /// How many times as wide as forecast the spread of loads is taken, 0 to 10: a placement chosen because its forecast is good is, for that
    /// very reason, likely to be worse than forecast, and all shards may be off together.
    pub caution: f32,
    /// Moves proposed in one round, 1 to 1 000; nodes being drained are not counted.
    pub max_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            horizon_steps: 288,
            transfer_price_s: 2.0,
            move_price_s: 6.0,
            allowance: 0.085,
            patience_steps: 12,
            caution: 3.0,
            max_moves: 16,
        }
    }
}

impl Config {
    /// Reads and checks a configuration.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let config: Self = parse_config(text)?;
        let within = |name: &str, value: f32, low: f32, high: f32| {
            let fits = (low..=high).contains(&value);
            let problem = || Failure::Config(format!("`{name}` is {low} to {high}, not {value}"));
            if fits { Ok(()) } else { Err(problem()) }
        };
        within("horizon_steps", config.horizon_steps as f32, 1.0, 8_064.0)?;
        within("transfer_price_s", config.transfer_price_s, 0.0, 1e6)?;
        within("move_price_s", config.move_price_s, 0.0, 1e6)?;
        within("allowance", config.allowance, 0.001, 1e3)?;
        within("patience_steps", config.patience_steps as f32, 1.0, 8_064.0)?;
        within("caution", config.caution, 0.0, 10.0)?;
        within("max_moves", config.max_moves as f32, 1.0, 1_000.0)?;
        Ok(config)
    }
}
