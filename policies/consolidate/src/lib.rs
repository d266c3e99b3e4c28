//! A placement policy that needs as few nodes as the load to come allows: it empties nodes at night and fills them again before the morning. A node
//! that holds no replica counts as switched off; whoever pays for nodes can stop it.
//!
//! The idea is P-Store's (Taft, El-Sayed, Serafini, Lu, Aboulnaga, Stonebraker, Mayerhofer, Andrade: *P-Store: An Elastic Database System with
//! Predictive Provisioning*, SIGMOD 2018): a dynamic programme plans the count of machines over the horizon, moves taking time in which nodes are paid for
//! and carry nothing. What differs: loads are forecast shard by shard with their uncertainty, not as one series; nodes hold replicas, in zones; and
//! what was planned is not kept: each round plans anew from what is there.
//!
//! - **Load** (`outlook`): each shard counts with a quantile of its forecast, shards together with their errors as far as these are made together.
//! - **How many** (`schedule`): the programme, over blocks of the horizon and counts of nodes, with a price for emptying (`min_worth_node_hours`): that is
//!   the hysteresis. How long emptying and filling take follows from the moves' durations, how many may be in flight at a node, and what nodes hold.
//! - **Which** (`ranks`): one of each zone first, then who holds most. So the same few nodes come and go, and hold leaders alone: they are filled with
//!   leaders from whoever is fullest, each of which takes all its load along.
//! - **Emptying** begins only if all that a node holds finds room elsewhere: below `target` at each node's forecast peak, for as long as it takes to empty
//!   the node and fill it again.
//! - **Relief**: a node that will be above its target gives to whoever will be the least full, leadership before data.
//! - **Without forecast** it is a reactive scaler, as those that cloud operators run: the measured load above what the nodes carry at their target brings
//!   nodes, below `shrink` of what fewer would carry it empties them.
//!
//! When it fails: where load comes that no forecast foresees, fewer nodes are less able to carry it, and it takes as long as filling does until there are
//! more. Where moves are slow for the time that valleys last, it does nothing. A shard that is too large for any node's target stays where it is.

mod config;
mod outlook;
mod ranks;
mod round;
mod schedule;

use isobar_model::{ClusterView, Plan};
use placing_kit::{Failure, PlacementPolicy};

pub use config::Config;

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consolidate {
    config: Config,
}

impl PlacementPolicy for Consolidate {
    const NAME: &'static str = "consolidate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: &str) -> Result<Self, Failure> {
        Ok(Self { config: Config::read(config)? })
    }

    fn propose(&self, view: &ClusterView) -> Result<Plan, Failure> {
        round::plan(&self.config, view)
    }
}

#[cfg(test)]
mod tests;
