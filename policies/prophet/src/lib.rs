//! A forecasting policy after Prophet: a trend that bends at changepoints, waves of the day and of the week, and noise, of which the most
//! probable are fitted (S. J. Taylor, B. Letham, "Forecasting at scale", The American Statistician 72, 2018).
//!
//! - **Fit**: once a day, over four weeks of half-hour means, in some 24 solutions of normal equations that are summed up once
//!   ([`fit()`]). It is checked against Python's Prophet (`tests/against_prophet.rs`): its parameters are at least as probable as Prophet's own.
//!   Shards are fitted at different steps. A fit depends on the history kept and nothing else, and is never left out, so that it does not
//!   matter how steps are batched: errors are learnt from what the model of that day said.
//! - **What the model leaves** is learnt beside it: how much of the trend's growth and of the weekly waves comes true, what is left at each
//!   time of day (machines that work by timetable are sharper than waves), and how the present deviation fades.
//! - **How sure**: quantiles of the shard's own errors at that lead, in units of their usual size at that time of day; quantiles of the
//!   maximum from the errors of past maxima.
//! - **Uncorrected** (`"corrected": false`) it is Prophet and nothing else: its trend and waves, with quantiles of simulated futures whose trends
//!   bend on as often and as much as they have bent, and of the noise. The same state gives the same futures.
//!
//! When it fails: a load that no calendar drives (bursts, batch jobs started by hand) is the deviation's and the quantiles' to deal with; the
//! waves then only add noise. After a change of level the trend takes days to follow, the deviation hours. Prophet's noise is independent
//! from step to step, that of loads is not: uncorrected, it trusts its trend and its weekly waves too much, and its quantiles take no notice of
//! the present. Below two days of history, or before its first fit within the day after them, it goes on from the last values, with wide quantiles.
//!
//! A fit takes well below a millisecond natively. One shard with 5-minute steps takes some 28 KiB.

mod chance;
mod cholesky;
mod config;
mod correction;
mod decomposition;
mod fit;
mod future;
mod history;
mod maximum;
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
