//! The WebAssembly policy host: takes artifacts, checks them against the contract, and runs them in a sandbox.
//!
//! Architecture invariant: this is the only crate that names wasmtime. Nothing a guest says leaves it unchecked: bytes pass through
//! `artifact`, answers through `check`, and time, memory and allocation are bounded by `limits`.

mod artifact;
mod check;
mod compile;
mod contract;
mod epoch_clock;
mod host;
mod instance;
mod limits;
mod registry;
mod sandbox;
mod vault;

pub use artifact::CONTRACT;
pub use compile::{COMPILE_CPU_S, COMPILE_MEMORY_BYTES, COMPILE_WALL, Compiler, compile_child_main};
pub use host::{Factory, HostError, WasmHost, WasmHostConfig};
pub use limits::{Effective, Limits, Work};
