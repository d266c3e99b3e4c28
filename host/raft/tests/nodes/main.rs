//! What this crate promises, over several nodes in one process and real sockets and disks.

#![expect(clippy::unwrap_used, reason = "a test that can not go on says so by panicking")]

mod cluster;
mod control_group;
mod shards;
mod transport;
