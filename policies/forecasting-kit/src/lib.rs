//! What forecasting policies share, so that each need only model one shard's load.
//!
//! A policy implements [`SeriesModel`] for one series; [`Forecaster`] keeps one model a metric and shard, lines batches up in time,
//! checks what comes in and what goes out, knows which shards follow which, and saves and restores the whole. What learns across shards is a
//! [`ForecastingPolicy`] of its own, made of the same parts. A model that only says what
//! it expects is an [`ExpectingModel`]: [`LeadSketches`] turns its own past errors into quantiles by lead and quantiles of the maximum, in
//! units of their usual size ([`Spread`]); [`Drift`] carries the present deviation forward. `guest` is the component's shell.
//!
//! Architecture invariant: everything but `guest` compiles natively too; no clock, no randomness, no I/O; no call panics, whatever the input.

mod answer;
mod contract;
mod drift;
mod envelope;
mod error_quantiles;
mod failure;
mod forecaster;
#[cfg(target_family = "wasm")]
pub mod guest;
mod lead_sketches;
mod links;
mod policy;
mod power;
mod ridge;
mod ring;
mod season;
mod series_model;
mod sketch;
mod spread;
pub mod width;

pub use answer::answer;
pub use contract::{MAX_GAP_DAYS, MAX_HORIZON_STEPS, MAX_LOAD, MAX_SAVE_BYTES, first_step, observed, read_config};
pub use drift::Drift;
pub use envelope::{seal, unseal};
pub use error_quantiles::{Asked, ExpectingModel, Scratch, forecast_around, forecast_from_errors};
pub use failure::Failure;
pub use forecaster::Forecaster;
pub use lead_sketches::{Bands, LeadSketches, Spot, common_divisor, peak_error};
pub use links::Links;
pub use policy::ForecastingPolicy;
pub use power::{exp2, log2};
pub use ridge::{MAX_FEATURES, Ridge, Sums};
pub use ring::Ring;
pub use season::{GUESSES, GuessLanes, Guesses, LANES, MAX_HISTORY, Season, known_mean};
pub use series_model::{Ask, Leader, Seasons, SeriesModel};
pub use sketch::Sketch;
pub use spread::Spread;
pub use width::{Reach, Width};
