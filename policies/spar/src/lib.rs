//! A forecasting policy by sparse periodic auto-regression (R. Taft, N. El-Sayed, M. Serafini, Y. Lu, A. Aboulnaga, M. Stonebraker,
//! R. Mayerhofer, F. Andrade, "P-Store: an elastic database system with predictive provisioning", SIGMOD 2018): the load some steps
//! ahead, regressed on the loads at the same time of earlier days and weeks, and on how far the last steps were off from such loads.
//!
//! It differs from the paper where real shards asked for it:
//!
//! - **Direct**: a regression for each of a few leads (1, 2, 4, 8 … steps, a day), interpolated between them; no forecast is fed by another.
//! - **Shrunk towards a belief**, not towards nothing: the periodic expectation, a mix of guesses from earlier days, and a present offset
//!   from it that fades over a day. With little history that is what it says; with much, what was learnt.
//! - **Offsets at several scales** (the last step, the last two, an hour, four hours) in place of the raw last steps.
//! - **Variance-stabilised by weights**: errors count in units of their usual size, which goes with the time of day, with the present
//!   unrest of the series and with the level expected, by powers learnt for each lead.
//! - **Warm**: sums that forget take in a new step; there is no refit.
//! - **How sure**: quantiles of the shard's own errors at that lead; quantiles of the maximum from the errors of past maxima.

mod power;
mod ridge;
mod series;
mod width;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type Spar = forecasting_kit::Forecaster<Series>;

#[cfg(target_family = "wasm")]
mod component {
    use forecasting_kit::guest::{Shell, bindings};
    type Component = Shell<super::Series>;
    bindings::export_forecaster!(Component with_types_in bindings);
}
