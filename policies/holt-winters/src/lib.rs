//! A forecasting policy by exponential smoothing: level, damped trend and daily season, added up on the scale of the load's square root,
//! where bursts and quiet hours vary alike (C. C. Holt 1957, P. R. Winters 1960; damped after Gardner and McKenzie 1985).
//!
//! - **Smoothing** is chosen per shard: a few settings run side by side and the one that erred least, some steps ahead, speaks.
//! - **What the smoothing leaves** is carried forward by as much as it has carried on before; it fades with the lead.
//! - **How sure**: quantiles of the shard's own errors at that lead, in units of their usual size at that time of day; quantiles of the
//!   maximum from the errors of past maxima.
//!
//! A new step costs a few operations for each setting, whatever the length of history. One shard with 5-minute steps takes some 30 KiB.

mod series;
mod smoother;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type HoltWinters = forecasting_kit::Forecaster<Series>;
