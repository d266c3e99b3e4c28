//! The policy `consolidate` as a component.
#![cfg(target_family = "wasm")]

use placing_kit::guest::{Shell, bindings};

type Component = Shell<consolidate::Consolidate>;
bindings::export_placer!(Component with_types_in bindings);
