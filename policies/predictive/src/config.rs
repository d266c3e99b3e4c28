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
    /// Moves proposed in one round, 1 to 10 000 (the contract's bound); nodes being drained are not counted.
    pub max_moves: usize,
    /// A node whose forecast peak stands above this many times the mean is brought down; 1 to 1 000 000, the highest standing for never.
    pub even_start: f32,
    /// To so many times the mean it is brought down; 1 to `even_start`.
    pub even_within: f32,
    /// But only a node whose peak is above this share of its capacity; 0 to 10.
    pub even_above: f32,
    /// Peaks are looked for in the next so many steps, at most those that the view forecasts; 1 to 8 064. What stands out only later can wait.
    pub even_steps: u32,
    /// The forecast's quantile that peaks are taken of (the one next to it), 0 to 1.
    pub even_quantile: f32,
    /// By how much of the mean the fuller of two nodes must fall by a move between them, 0.000 001 to 1.
    pub even_min_gain: f32,
    /// Where there are more nodes than this: how many of the coolest are looked at as targets, of all and of the source's zone; 1 to 10 000.
    pub targets: usize,
    /// Shifts of load that are judged in one round, at most; 1 000 to 1 000 000 000 000. More finds more; what it has found when it is used up, it
    /// proposes.
    pub budget: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            horizon_steps: 288,
            transfer_price_s: 2.0,
            move_price_s: 20.0,
            allowance: 0.085,
            patience_steps: 12,
            caution: 3.0,
            max_moves: 16,
            even_start: 1.5,
            even_within: 1.1,
            even_above: 0.8,
            even_steps: 12,
            even_quantile: 0.5,
            even_min_gain: 0.001,
            targets: 32,
            budget: 4_000_000,
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
        within("max_moves", config.max_moves as f32, 1.0, 10_000.0)?;
        within("even_start", config.even_start, 1.0, 1e6)?;
        within("even_within", config.even_within, 1.0, config.even_start)?;
        within("even_above", config.even_above, 0.0, 10.0)?;
        within("even_steps", config.even_steps as f32, 1.0, 8_064.0)?;
        within("even_quantile", config.even_quantile, 0.0, 1.0)?;
        within("even_min_gain", config.even_min_gain, 1e-6, 1.0)?;
        within("targets", config.targets as f32, 1.0, 10_000.0)?;
        within("budget", config.budget as f32, 1e3, 1e12)?;
        Ok(config)
    }
}
