//! Builds guest crates into policy components.
