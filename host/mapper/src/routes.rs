//! The route table in force, shared by all requests of a node.

use crate::RouteTable;
use isobar_model::shard_map::BrokenCover;
use isobar_model::{RouteVersion, ShardMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Why a route table was not installed. The one in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Promise 3: the version never goes back.
    #[error("route version {given} is older than {in_force}, which is in force")]
    Older {
        /// The version in force.
        in_force: RouteVersion,
        /// The version given.
        given: RouteVersion,
    },
    /// Promise 3: no gap, no overlap.
    #[error("route version {version} is broken: {cause}")]
    Broken {
        /// The version given.
        version: RouteVersion,
        /// Where and how.
        cause: BrokenCover,
    },
}

/// The route table in force. Readers take an `Arc` of it and are never held up by an installation for longer than a pointer's swap.
#[derive(Debug, Default)]
pub struct Routes {
    current: RwLock<Arc<RouteTable>>,
}

impl Routes {
    /// The table in force: version 0, without keyspaces, before the first installation.
    #[must_use]
    pub fn load(&self) -> Arc<RouteTable> {
        // A panic while the lock was held can't leave half a pointer: the table is good.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the table of `map` in force; `false` where it is in force already. Refuses older and broken ones (promise 3).
    pub fn install(&self, map: &ShardMap) -> Result<bool, Refused> {
        let in_force = self.load().version();
        if map.version == in_force {
            return Ok(false);
        }
        let table = match RouteTable::new(map) {
            _ if map.version < in_force => return Err(Refused::Older { in_force, given: map.version }),
            Ok(table) => Arc::new(table),
            Err(cause) => return Err(Refused::Broken { version: map.version, cause }),
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Two installations may have raced up to here: judge by what is in force now.
        if current.version() >= table.version() {
            return Err(Refused::Older { in_force: current.version(), given: table.version() });
        }
        table.inherit_hints(&current);
        *current = table;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
