//! What placement policies share, so that each need only judge what is worth doing.
//!
//! A policy implements [`PlacementPolicy`]. A [`Board`] holds where everything will be once the moves in flight, and those proposed so far, are
//! done; it knows the host's rules and offers no move that breaks them. `guest` is the component's shell.
//!
//! Architecture invariant: everything but `guest` compiles natively too; no clock, no randomness, no I/O; no call panics, whatever the input.

mod board;
mod drain;
pub mod example;
#[cfg(target_family = "wasm")]
pub mod guest;
mod homes;
mod policy;
mod rooms;

pub use board::{Board, Step};
pub use drain::empty_draining_nodes;
pub use policy::{Failure, PlacementPolicy, parse_config};
