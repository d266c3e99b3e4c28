//! Builds guest crates into policy components: for the build scripts of crates that embed or test policies.
//!
//! A guest is a crate of a Cargo workspace of its own, built for `wasm32-unknown-unknown`: its component then imports nothing but
//! the policy contract. A build script never installs anything: where no toolchain is found it stops with the one command that
//! mends it (`make guest-toolchain`, which runs `toolchain.sh` beside this crate).
//!
//! ```no_run
//! // build.rs
//! let guests = isobar_guest_build::GuestWorkspace::new("../../policies").watch("../../wit").build_for_cargo();
//! # let _ = guests;
//! ```

mod component;
mod guest_workspace;
mod toolchain;

pub use component::{componentize, interfaces_of};
pub use guest_workspace::{Guest, GuestWorkspace};
pub use toolchain::{MEND, Route, Surroundings, TARGET, Toolchain};
