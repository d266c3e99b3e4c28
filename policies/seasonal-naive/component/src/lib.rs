//! The policy `seasonal-naive` as a component.
#![cfg(target_family = "wasm")]

use forecasting_kit::guest::{Shell, bindings};

type Component = Shell<seasonal_naive::SeasonalNaive>;
bindings::export_forecaster!(Component with_types_in bindings);
