//! The policy `published-rules` as a component.
#![cfg(target_family = "wasm")]

use placing_kit::guest::{Shell, bindings};

type Component = Shell<published_rules::PublishedRules>;
bindings::export_placer!(Component with_types_in bindings);
