//! Tracks: recorded load series with the origins that forecasters are judged at, the forecasts made there, and how good they were.
//!
//! One JSON object a line in both files; reading them is the shell's. The metrics are those used for comparing probabilistic forecasts of
//! load: scaled pinball loss (Koenker and Bassett 1978, scaled as Hyndman and Koehler 2006 scale absolute errors), coverage, peaks.

mod comparison;
mod field;
mod forecast;
mod score;
mod series;

pub use comparison::{PairedDifference, compare};
pub use field::BadField;
pub use forecast::{LEVELS, LOWER_PEAK_LEVEL, PEAK_LEVEL, TrackForecast};
pub use score::{CLIP, TaskScore, Tasks, TrackScore, score};
pub use series::{MAX_LINE_BYTES, MAX_TRACK_SERIES, MAX_TRACK_VALUES, Series};
