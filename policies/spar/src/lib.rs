//! A forecasting policy by sparse periodic auto-regression (R. Taft, N. El-Sayed, M. Serafini, Y. Lu, A. Aboulnaga, M. Stonebraker,
//! R. Mayerhofer, F. Andrade, "P-Store: an elastic database system with predictive provisioning", SIGMOD 2018): the load some steps
//! ahead, regressed on the loads at the same time of earlier days and weeks, and on how far the last steps were off from such loads.
//!
//! It differs from the paper where real shards asked for it:
//!
//! - **Direct**: a regression for each of a few leads (1, 2, 4, 8 … steps, a day), interpolated between them; no forecast feeds another.
//! - **Shrunk towards a belief**, not towards nothing: the season, a mix of guesses from earlier days, and a present offset from it that
//!   fades over a day. With little history that is what it says, with much what was learnt.
//! - **Offsets at several scales** in place of the raw last steps: the last one, two, an hour, four hours; and those at the same minute of
//!   the last hours, for what runs every hour.
//! - **Variance-stabilised by weights**: errors count in units of their usual size, which goes with the time of day, and with the present
//!   unrest of the series and the level expected, by powers learnt for each lead.
//! - **Warm**: sums that forget take in a new step, the sooner the shorter the lead; a few leads are fitted anew at each step learnt from.
//! - **How sure**: quantiles of the shard's own errors at that lead; quantiles of the maximum from the errors of past maxima.
//!
//! **When it fails.** A burst with no forerunner is not foreseen, and the wider quantiles after it come one step late; after a long calm they
//! are narrow, so the first jump lies outside them. Timetables are known by the day, the weekday and the hour only: what runs every seven
//! hours, or some minutes earlier or later each day, is taken for noise. A day ahead, and with hourly steps, it is no better than
//! `seasonal-naive`. One shard with 5-minute steps takes some 40 KiB.
//!
//! The constants, but for the season's, were chosen on the public 5-minute, 1-hour and 30-minute tracks, on origins before each series' first
//! one to be judged.

mod lead;
mod series;
mod target;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type Spar = forecasting_kit::Forecaster<Series>;
