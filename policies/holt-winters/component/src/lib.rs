//! The policy `holt-winters` as a component.
#![cfg(target_family = "wasm")]

use forecasting_kit::guest::{Shell, bindings};

type Component = Shell<holt_winters::HoltWinters>;
bindings::export_forecaster!(Component with_types_in bindings);
