//! The default forecasting policy: the others, mixed.
//!
//! - **Mixture**: quantiles of the members are averaged level by level (Vincent averaging: Lichtendahl, Grushka-Cockayne, Winkler, "Is it
//!   better to average probabilities or quantiles?", Management Science 2013).
//! - **Weights**: each member is tried on this shard about once a day, at leads from a step to a day; the less its quantiles have lost there
//!   over the last week (pinball loss), the more it weighs, at short, middle and long leads by themselves. A mean of all is hard to beat
//!   (Makridakis et al., "The M4 competition", 2020), so weights stay near it until the evidence is clear.
//! - **Calibration**: how much wider or narrower quantiles are to be, by horizon and time of day, follows from how often loads fell outside
//!   them (conformal quantile tracking). The maximum has a forecast of its own, and is left as the members say.
//! - **Leaders**: where the host has found that this shard does what another did some steps before, the steps within that lag are expected
//!   by what the other has just done, as far as that has foretold the last days better.

mod calibration;
mod config;
mod following;
mod jury;
mod members;
mod series;

pub use config::Config;
pub use forecasting_kit::Failure;
pub use series::Series;

/// The policy: observes and predicts many shards.
pub type Best = forecasting_kit::Forecaster<Series>;
