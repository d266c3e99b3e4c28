use placing_kit::{Failure, parse_config};
use serde::Deserialize;

/// Whose rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// CockroachDB's store rebalancer.
    #[default]
    Cockroach,
    /// TiKV's placement driver: leaders and regions by count, then hot regions.
    Pd,
    /// Counts of replicas and of leaders, nothing else.
    CountOnly,
}

/// The configuration of [`PublishedRules`](crate::PublishedRules).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whose rule.
    pub rule: Rule,
    /// `cockroach`: a node is overfull above the mean load by this part of it, underfull below it by as much; 0.01 to 10.
    pub load_threshold: f32,
    /// `cockroach`: and by at least so many load units per second, 0 to 1 000 000 000.
    pub min_difference: f32,
    /// `pd`: leaders, or replicas, that two nodes may differ by, 0 to 10 000.
    pub leader_tolerance: f32,
    /// `pd`: a node gives above so many times the mean load, and takes while so many times its own load are below the mean; 1 to 10.
    pub hot_tolerance: f32,
    /// `count-only`: a node holds too many above the mean count by this part of it, and by two at least; 0 to 10.
    pub count_threshold: f32,
    /// Moves proposed in one round, 1 to 10 000 (the contract's bound); nodes being drained are not counted.
    pub max_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            load_threshold: 0.1,
            min_difference: 100.0,
            leader_tolerance: 5.0,
            hot_tolerance: 1.05,
            count_threshold: 0.05,
            max_moves: 4,
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
        within("load_threshold", config.load_threshold, 0.01, 10.0)?;
        within("min_difference", config.min_difference, 0.0, 1e9)?;
        within("leader_tolerance", config.leader_tolerance, 0.0, 1e4)?;
        within("hot_tolerance", config.hot_tolerance, 1.0, 10.0)?;
        within("count_threshold", config.count_threshold, 0.0, 10.0)?;
        within("max_moves", config.max_moves as f32, 1.0, 1e4)?;
        Ok(config)
    }
}
