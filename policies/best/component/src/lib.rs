//! The policy `best` as a component.
#![cfg(target_family = "wasm")]

use forecasting_kit::guest::{Shell, bindings};

type Component = Shell<best::Best>;
bindings::export_forecaster!(Component with_types_in bindings);
