//! A forecasting policy that has learnt from many loads how loads go on: one small recurrent network for all shards.

mod dense;
mod features;
mod math;
mod network;
#[cfg(test)]
mod oracle;
mod peak;
mod quantiles;
mod series;
mod weights;
mod window;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type Lstm = forecasting_kit::Forecaster<Series>;

#[cfg(target_family = "wasm")]
mod component {
    use forecasting_kit::guest::{Shell, bindings};
    type Component = Shell<super::Series>;
    bindings::export_forecaster!(Component with_types_in bindings);
}
