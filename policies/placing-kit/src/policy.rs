use isobar_model::{ClusterView, Plan};
use serde::de::DeserializeOwned;

/// Why a placement policy could not answer; the contract's `failure`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The configuration does not fit; the text names the field.
    #[error("configuration: {0}")]
    Config(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A placement policy that keeps no state between rounds but its configuration: all it needs is in the view.
pub trait PlacementPolicy: Sized {
    /// Its name.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// JSON Schema (draft 2020-12) of its configuration.
    const CONFIG_SCHEMA: &'static str;

    /// A policy of this configuration (JSON; empty text stands for `{}`).
    ///
    /// # Errors
    /// [`Failure::Config`], naming the field.
    fn new(config: &str) -> Result<Self, Failure>;

    /// What should move.
    ///
    /// # Errors
    /// [`Failure::Other`] where the view contradicts itself.
    fn propose(&self, view: &ClusterView) -> Result<Plan, Failure>;
}

/// Reads a configuration.
///
/// # Errors
/// [`Failure::Config`], naming the field.
pub fn parse_config<T: DeserializeOwned>(config: &str) -> Result<T, Failure> {
    let config = if config.trim().is_empty() { "{}" } else { config };
    serde_json::from_str(config).map_err(|error| Failure::Config(error.to_string()))
}
