//! Isobar.
fn main() {}
