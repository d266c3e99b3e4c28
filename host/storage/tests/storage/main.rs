//! Storage as the crates above it use it, on both engines and both logs.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod crash;
mod log;
mod shard_store;
mod snapshot;
mod support;
