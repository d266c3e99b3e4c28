//! A forecasting policy by ARIMA: what each time of day usually brings, and an ARIMA model of what that leaves, on the scale of the load's
//! square root, where bursts and quiet hours vary alike.
//!
//! - **Season**: a weighted mean of up to 14 days, split by its Fourier harmonics; how days are weighed (newer ones, the same weekday) and how far
//!   each group of harmonics is believed is what would have foreseen the past days best, each from those before it. What happened on one
//!   day only shapes no season. (Harmonic regression with ARIMA errors: P. C. Young, D. J. Pedregal, W. Tych 1999; robust decomposition: R. B. and W. S.
//!   Cleveland, J. E. McRae, I. Terpenning, "STL", 1990.)
//! - **Order**: differenced once where the KPSS test says that the rest strays from its level; lags of values and innovations, and a mean or none,
//!   by Akaike's corrected criterion, step by step from four simple models (R. J. Hyndman and Y. Khandakar 2008). At most 16 are tried.
//! - **Coefficients**: started by regression on the innovations of a long autoregression (E. J. Hannan and J. Rissanen 1982), then of least
//!   conditional sum of squares (G. E. P. Box and G. M. Jenkins 1970), by Gauss's and Newton's steps on partial autocorrelations, so that no step leaves
//!   what is stationary and invertible (J. F. Monahan 1984). `check/` holds them against statsforecast, statsmodels and the
//!   crate anofox-forecast.
//! - **How sure**: quantiles of the model's own errors over the last days at each lead, in units of their usual size at that time of day; quantiles of
//!   the maximum from the errors of past maxima.
//!
//! A fit looks at nothing but the history. There is one a week by default; daily in between a *renewal* learns the season anew, and the coefficients of
//! the order found, or of one that regressions now prefer to it, while what is known of its errors stays: those were made in earnest. In its first week a
//! series, or one of fewer than 96 steps a day, is fitted every six hours instead. Steps at which this is done differ from shard to shard; at any other, a step costs one step of the recursion.
//! Before the first fit, within the first day or two, the last value goes on.
//!
//! It fails where the load's past says nothing of its future: bursts at random are met by wide quantiles only. A timetable that is new is
//! learnt from its second day on. One that runs every few days but weeks is not seen. Right after a leap it comes up to the new level over a
//! few steps, since most leaps are bursts. With less than three days of history, and almost all bursts, `seasonal-naive` is better.

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
mod recipe;
mod refit;
mod schedule;
mod season;
mod series;
mod start;
mod waves;

pub use forecasting_kit::Failure;
pub use series::{Config, Series};

/// The policy: observes and predicts many shards.
pub type Arima = forecasting_kit::Forecaster<Series>;
