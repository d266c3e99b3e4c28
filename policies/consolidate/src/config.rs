use placing_kit::{Failure, parse_config};
use serde::Deserialize;

/// The configuration of [`Consolidate`](crate::Consolidate).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether it looks ahead. If not, it acts on the measured load alone: a reactive scaler with two thresholds.
    pub forecast: bool,
    /// Share of its capacity that a node may come to carry, 0.05 to 2.
    pub target: f32,
    /// The forecast's quantile that loads are judged by (the one next to it), 0.5 to 1.
    pub quantile: f32,
    /// How far shards' loads are off together, 0 to 1: 0, each by itself, so that errors of many level out; 1, all at once.
    pub together: f32,
    /// Steps looked ahead, at most those that the view forecasts; 1 to 8 064. A node that is emptied is taken not to be needed beyond.
    pub horizon_steps: u32,
    /// Node-hours that emptying a node must save before the node is needed again; 0 to 1 000.
    pub min_worth_node_hours: f32,
    /// How many times as long as reckoned emptying and filling are taken to last, 1 to 10.
    pub slack: f32,
    /// Without forecast: nodes are emptied once the load is below this share of what the others carry at their target; 0.1 to 1.
    pub shrink: f32,
    /// Nodes kept whatever the load, 1 to 10 000; never fewer than the largest replication factor.
    pub min_nodes: usize,
    /// Moves proposed in one round, 1 to 10 000 (the contract's bound); nodes being drained are not counted.
    pub max_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            forecast: true,
            target: 0.7,
            quantile: 0.75,
            together: 0.3,
            horizon_steps: 288,
            min_worth_node_hours: 1.0,
            slack: 1.0,
            shrink: 0.85,
            min_nodes: 3,
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
        within("target", config.target, 0.05, 2.0)?;
        within("quantile", config.quantile, 0.5, 1.0)?;
        within("together", config.together, 0.0, 1.0)?;
        within("horizon_steps", config.horizon_steps as f32, 1.0, 8_064.0)?;
        within("min_worth_node_hours", config.min_worth_node_hours, 0.0, 1e3)?;
        within("slack", config.slack, 1.0, 10.0)?;
        within("shrink", config.shrink, 0.1, 1.0)?;
        within("min_nodes", config.min_nodes as f32, 1.0, 1e4)?;
        within("max_moves", config.max_moves as f32, 1.0, 1e4)?;
        Ok(config)
    }
}
