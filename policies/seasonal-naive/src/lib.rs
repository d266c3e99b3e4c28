//! A forecasting policy that any other must beat: load will be what it was at this time of day, on the days and weeks before.
//!
//! - **Season**: a few simple guesses (yesterday, the last days, the last week's median, the same weekday, no season at all) are mixed,
//!   each weighing the more the less it has erred on this shard lately.
//! - **Level**: what the last steps and the last hours were above or below the season is carried forward, by as much as it has carried on
//!   this shard before; it fades with the lead.
//! - **How sure**: quantiles of the shard's own errors at that lead, in units of their usual size at that time of day; quantiles of the
//!   maximum from the errors of past maxima. Nothing is assumed about their distribution.
//!
//! Below a day of history it goes on from the last values, with wide quantiles. One shard with two weeks of 5-minute steps takes some 40 KiB.

mod series;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type SeasonalNaive = forecasting_kit::Forecaster<Series>;
