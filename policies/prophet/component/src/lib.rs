//! The policy `prophet` as a component.
#![cfg(target_family = "wasm")]

use forecasting_kit::guest::{Shell, bindings};

type Component = Shell<prophet::Prophet>;
bindings::export_forecaster!(Component with_types_in bindings);
