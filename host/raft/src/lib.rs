//! Shard groups and the control group on openraft, and the transport between nodes.
//!
//! Architecture invariant: no other crate names openraft; what crosses this crate's border are the words of `isobar-model` and
//! `isobar-ports`, and bytes.

pub mod transport;
