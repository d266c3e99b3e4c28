//! A placement policy that looks at counts alone: replicas over zones, and replicas and leaders even over nodes, in proportion to their capacity.
//!
//! In each round, one after the other:
//!
//! 1. **Nodes being drained** are emptied.
//! 2. **Zones**: of a shard of which two replicas share a zone while another zone has fewer, one moves there.
//! 3. **Leaders**: while a node leads more than its share, beyond the tolerance, it hands leadership to a follower on a node that leads fewer.
//!    No data moves for that.
//! 4. **Replicas**: while a node holds more than its share beyond the tolerance, or another less (a new one holds nothing), a replica moves from the
//!    fullest that has one to give to the emptiest that may take it; of those that could, a leader where that evens the leaders out, too, else a
//!    follower; then the smallest.
//!
//! Few moves: each takes one from too many and gives it to too few, so that as many are made as are too many, plus what zones force. The sum over nodes
//! of count² / capacity falls with every step, hence steps come to an end and undo none before. Where zones or placement rules leave no better place
//! (three zones of unequal size and three replicas each), it rests.
//!
//! What it is for: clusters whose shards are alike, tests, and as the part of others that fills new nodes. Counts are what schedulers of most stores
//! start from (see the crate `published-rules`).
//!
//! When it fails: a count says nothing of load. Where few shards carry most of it, nodes with equal counts are unequally busy; `predictive` looks at
//! load.

mod config;
mod counts;
mod round;

use isobar_model::{ClusterView, Plan};
use placing_kit::{Failure, PlacementPolicy};

pub use config::Config;

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    config: Config,
}

impl PlacementPolicy for Spread {
    const NAME: &'static str = "spread";
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
