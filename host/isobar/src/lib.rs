//! What the `isobar` binary is made of, as far as tests and programs use it too: a typed client of the API, the commands built on it, and
//! those that need no running node.

pub mod cli;
pub mod client;
pub mod simulate;
mod tool_policies;
pub mod track_file;
pub mod track_run;
