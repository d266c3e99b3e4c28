//! Dynamic shard mapper: the route of every key, what to do after each answer, and which replica to read.
//!
//! Architecture invariant: pure. Time, chance and answers come in as values, decisions go out as values; the gateway performs them.

mod redirect;
mod replica_choice;
mod route_table;
mod routes;

pub use redirect::{Attempt, Decision, GiveUp, Journey, Outcome};
pub use replica_choice::ReplicaChoice;
pub use route_table::{KeyspaceRoutes, Route, RouteTable};
pub use routes::{Refused, Routes};
