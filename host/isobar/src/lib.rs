//! What the `isobar` binary is made of, as far as tests and programs use it too: a typed client of the API, and the commands built on it.

pub mod cli;
pub mod client;
pub mod track_file;
pub mod track_run;
