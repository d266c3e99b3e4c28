//! A forecasting policy by ARIMA.

mod arma;
#[cfg(test)]
mod check;
mod days;
mod filter;
mod fit;
mod kpss;
mod live;
mod normal_equations;
mod order_search;
mod refit;
mod season;
mod series;
mod start;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type Arima = forecasting_kit::Forecaster<Series>;
