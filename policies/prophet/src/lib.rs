//! A forecasting policy after Prophet.

mod chance;
mod cholesky;
mod config;
mod correction;
mod decomposition;
mod fit;
mod future;
mod history;
mod normal_equations;
mod seasonality;
mod series;
mod timetable;
mod trust;

pub use config::Config;
pub use decomposition::{Change, Decomposition};
pub use fit::{Shape, fit};
pub use forecasting_kit::Failure;
pub use normal_equations::Point;
pub use seasonality::Seasonality;
pub use series::Series;

/// The policy: observes and predicts many shards.
pub type Prophet = forecasting_kit::Forecaster<Series>;

#[cfg(target_family = "wasm")]
mod component {
    use forecasting_kit::guest::{Shell, bindings};
    type Component = Shell<super::Series>;
    bindings::export_forecaster!(Component with_types_in bindings);
}
