//! Others' published rules of placement, written anew for comparison: what a policy of one's own should be better than. `rule` chooses. All of them
//! look at measured load or at counts; none forecasts. What they decide follows their documents; what else their products do (repair, splits, localities,
//! store health) is left to the host.
//!
//! - **`cockroach`**: CockroachDB's store rebalancer. A store whose load is above the mean by a tenth (`kv.allocator.qps_rebalance_threshold`, 0.1), and
//!   by an absolute amount (100 queries per second), sheds leases of its hottest ranges to stores below the mean, and only if that is not enough
//!   replicas; it leaves alone a range that is most of a store's load, and ranges that hardly matter. Source:
//!   [Rebalancing](https://github.com/cockroachdb/cockroach/blob/master/docs/tech-notes/rebalancing.md),
//!   [cluster settings](https://www.cockroachlabs.com/docs/stable/cluster-settings). Here load units stand for queries, and every store knows all loads
//!   at once.
//! - **`pd`**: TiKV's placement driver. `balance-leader` and `balance-region` move from the store with the highest score to the one with the lowest while
//!   they differ by more than a tolerance (`tolerant-size-ratio`, 5 by default before it became automatic); scores are counts here. Then the hot region
//!   scheduler: a store above 1.05 times the mean load (`src-tolerance-ratio`) gives a hot leader, else a hot replica, to one of which 1.05 times the
//!   load is below the mean (`dst-tolerance-ratio`). Sources: [PD scheduling](https://docs.pingcap.com/tidb/stable/pd-scheduling-best-practices),
//!   [pd-ctl](https://docs.pingcap.com/tidb/stable/pd-control). Scores by size, and its ranking over several dimensions, are left out.
//! - **`count-only`**: a store with more replicas, or leases, than the mean by a twentieth (`kv.allocator.range_rebalance_threshold` and
//!   `lease_rebalance_threshold`, 0.05), and by two at least, gives to the one with the fewest.
//!
//! When they fail: they act once load is where it is; where it wanders, they follow it. They take nodes for equal, whatever their capacity. A mean says
//! nothing of whether anyone is overloaded: they move at night, too. `pd`'s parts can undo each other's work, since one counts and one weighs: where few
//! shards carry most of the load, a static load need not come to rest.

mod config;
mod count_rules;
mod ledger;
mod load_rules;

use config::Rule;
use isobar_model::{ClusterView, Plan};
use ledger::Ledger;
use placing_kit::{Failure, PlacementPolicy};

pub use config::{Config, Rule as PublishedRule};

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedRules {
    config: Config,
}

impl PlacementPolicy for PublishedRules {
    const NAME: &'static str = "published-rules";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: &str) -> Result<Self, Failure> {
        Ok(Self { config: Config::read(config)? })
    }

    fn propose(&self, view: &ClusterView) -> Result<Plan, Failure> {
        let mut ledger = Ledger::new(view, self.config.max_moves)?;
        match self.config.rule {
            Rule::Cockroach => load_rules::store_rebalancer(&self.config, &mut ledger),
            Rule::Pd => {
                count_rules::balance_schedulers(&self.config, &mut ledger);
                load_rules::hot_region_scheduler(&self.config, &mut ledger);
            }
            Rule::CountOnly => count_rules::replicate_queue(&self.config, &mut ledger),
        }
        Ok(ledger.into_plan())
    }
}

#[cfg(test)]
mod tests;
