//! A forecasting policy that has learnt from many loads how loads go on: one small recurrent network for all shards.
//!
//! - **Scale**: a load is seen as its difference from the shard's median in units of its usual change from one day to the next, and beyond a
//!   few of these as their logarithm (inverse hyperbolic sine): one network serves idle shards and busy ones.
//! - **Past**: a long short-term memory (Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997) reads the last two days, in bins of two
//!   hours and then step by step, each beside the day before; and is told how well simple guesses have done on this shard lately.
//! - **Ahead**: for each step to come a perceptron sees the same time on earlier days and weeks, exactly and with its neighbours, and how far
//!   ahead it is. It divides its trust among thirteen simple guesses and corrects their mean: the median. Positive gaps give the other
//!   quantiles, so that they never cross. Trained on the pinball loss of all leads and levels at once (Wen and others, "A Multi-Horizon
//!   Quantile Recurrent Forecaster", 2017), over many series (Salinas and others, "DeepAR", 2017).
//! - **Maximum**: a head of its own sees the quantiles' highest points and the maxima of the same hours on earlier days, and was trained on
//!   true maxima.
//! - **Several networks** of one shape, trained from different beginnings, are averaged quantile by quantile.
//!
//! Nothing is learnt while it runs: a new step is only kept, four weeks of them, 32 KiB a shard with 5-minute steps, and each forecast starts from
//! history: some 1.3 ms in Wasm for 288 steps. Weights and their making are in `train/`; `weights.bin` is read once.
//!
//! When it fails: loads unlike any it was trained on (its quantiles are right on average over many shards, and for a single odd one may be
//! too narrow for ever, since it doesn't watch its own errors); events that return by the date, or more seldom than weekly; links between
//! shards, which it doesn't look at; steps below 5 minutes, of which the history reaches back less than four weeks (16 384 steps). With less
//! than a day of history it answers with quantiles up to twice as wide as it would.

mod dense;
mod ensemble;
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
