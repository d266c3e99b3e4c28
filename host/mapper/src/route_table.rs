//! The route table: key → shard → replicas, at one route version.
//!
//! Built whole from a shard map that covers its keyspaces, immutable but for one thing: the leader hint of each shard, which redirects
//! correct between two versions. A hint is never more than that: a node that does not lead says so.

use bytes::Bytes;
use isobar_model::shard_map::BrokenCover;
use isobar_model::{Generation, Keyspace, KeyspaceId, NodeId, RouteVersion, ShardId, ShardMap};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// No leader known: no id is that large.
const NO_LEADER: u64 = u64::MAX;

/// Where the requests for one shard go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The version of the table it was read from.
    pub version: RouteVersion,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// The shard that holds the key.
    pub shard: ShardId,
    /// The generation of its range.
    pub generation: Generation,
    /// Who leads it, as far as heard.
    pub leader: Option<NodeId>,
    /// Where its replicas live.
    pub replicas: Arc<[NodeId]>,
}

/// One shard's entry.
#[derive(Debug)]
struct Entry {
    end: Option<Bytes>,
    shard: ShardId,
    generation: Generation,
    /// The leader by the shard map this table was built from.
    mapped_leader: u64,
    /// The leader by the last redirect, or the mapped one.
    leader: AtomicU64,
    replicas: Arc<[NodeId]>,
}

/// The routes of one keyspace.
#[derive(Debug)]
pub struct KeyspaceRoutes {
    version: RouteVersion,
    keyspace: Keyspace,
    /// First internal key of each shard, ascending; entry i of `entries` goes with it. Apart, so that the search stays within few cache lines.
    starts: Vec<Bytes>,
    entries: Vec<Entry>,
}

impl KeyspaceRoutes {
    /// The keyspace itself.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The route of an internal key; none where no shard holds it, which a checked table excludes.
    #[must_use]
    pub fn route(&self, internal_key: &[u8]) -> Option<Route> {
        let i = self.starts.partition_point(|start| start.as_ref() <= internal_key).checked_sub(1)?;
        let held = self.entries[i].end.as_ref().is_none_or(|end| internal_key < end.as_ref());
        held.then(|| self.at(i))
    }

    /// The routes of all shards that hold internal keys from `start` up to and without `end` (none: to the last), in key order.
    pub fn range<'a>(&'a self, start: &[u8], end: Option<&'a [u8]>) -> impl Iterator<Item = Route> + 'a {
        let first = self.starts.partition_point(|s| s.as_ref() <= start).saturating_sub(1);
        let nothing = end.is_some_and(|end| end <= start);
        (first..self.entries.len())
            .take_while(move |&i| !nothing && end.is_none_or(|end| self.starts[i].as_ref() < end))
            .map(|i| self.at(i))
    }

    /// The routes of all shards, in key order.
    pub fn all(&self) -> impl Iterator<Item = Route> + '_ {
        (0..self.entries.len()).map(|i| self.at(i))
    }

    fn at(&self, i: usize) -> Route {
        let entry = &self.entries[i];
        let leader = entry.leader.load(Ordering::Relaxed);
        Route {
            version: self.version,
            keyspace: self.keyspace.id,
            shard: entry.shard,
            generation: entry.generation,
            leader: (leader != NO_LEADER).then_some(NodeId(leader)),
            replicas: Arc::clone(&entry.replicas),
        }
    }
}

/// All routes at one version.
#[derive(Debug, Default)]
pub struct RouteTable {
    version: RouteVersion,
    keyspaces: Vec<KeyspaceRoutes>,
    by_name: HashMap<String, usize>,
    by_id: HashMap<KeyspaceId, usize>,
    /// Place of each shard: index into `keyspaces`, then into its entries.
    by_shard: HashMap<ShardId, (usize, usize)>,
}

impl RouteTable {
    /// Builds the table of a shard map. Refuses a map with a gap or an overlap (promise 3).
    pub fn new(map: &ShardMap) -> Result<Self, BrokenCover> {
        map.check_cover()?;
        let mut table = Self { version: map.version, ..Self::default() };
        for keyspace in map.keyspaces.values() {
            let at = table.keyspaces.len();
            table.by_name.insert(keyspace.name.clone(), at);
            table.by_id.insert(keyspace.id, at);
            table.keyspaces.push(KeyspaceRoutes {
                version: map.version,
                keyspace: keyspace.clone(),
                starts: Vec::new(),
                entries: Vec::new(),
            });
        }
        let mut shards: Vec<_> = map.shards.values().collect();
        shards.sort_by(|a, b| a.range.start.cmp(&b.range.start));
        for shard in shards {
            // The cover was checked: each shard's keyspace is known.
            let Some(&at) = table.by_id.get(&shard.keyspace) else { continue };
            let routes = &mut table.keyspaces[at];
            let leader = shard.leader.map_or(NO_LEADER, |leader| leader.0);
            table.by_shard.insert(shard.id, (at, routes.entries.len()));
            routes.starts.push(shard.range.start.clone());
            routes.entries.push(Entry {
                end: shard.range.end.clone(),
                shard: shard.id,
                generation: shard.generation,
                mapped_leader: leader,
                leader: AtomicU64::new(leader),
                replicas: shard.replicas.iter().map(|r| r.node).collect(),
            });
        }
        Ok(table)
    }

    /// Its number.
    #[must_use]
    pub fn version(&self) -> RouteVersion {
        self.version
    }

    /// The routes of the keyspace called `name`.
    #[must_use]
    pub fn keyspace(&self, name: &str) -> Option<&KeyspaceRoutes> {
        self.by_name.get(name).map(|&at| &self.keyspaces[at])
    }

    /// The routes of a keyspace by number.
    #[must_use]
    pub fn keyspace_by_id(&self, id: KeyspaceId) -> Option<&KeyspaceRoutes> {
        self.by_id.get(&id).map(|&at| &self.keyspaces[at])
    }

    /// The routes of every keyspace, by number.
    pub fn keyspaces(&self) -> impl Iterator<Item = &KeyspaceRoutes> {
        self.keyspaces.iter()
    }

    /// The route of a client's key, and the internal key that the request carries.
    #[must_use]
    pub fn route(&self, keyspace: &str, client_key: &[u8]) -> Option<(Route, Bytes)> {
        let routes = self.keyspace(keyspace)?;
        let internal = routes.keyspace.partitioning.internal_key(client_key);
        routes.route(&internal).map(|route| (route, internal))
    }

    /// The route of a shard by its number.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> Option<Route> {
        self.by_shard.get(&shard).map(|&(keyspace, i)| self.keyspaces[keyspace].at(i))
    }

    /// Notes who leads a shard, as a redirect told. Unknown shards are ignored.
    pub fn hint_leader(&self, shard: ShardId, leader: Option<NodeId>) {
        if let Some(entry) = self.entry(shard) {
            entry.leader.store(leader.map_or(NO_LEADER, |leader| leader.0), Ordering::Relaxed);
        }
    }

    /// Takes over what redirects taught the table before this one. Where the shard map has since heard of another leader itself, or the
    /// hinted node holds no replica any more, the map is right.
    pub(crate) fn inherit_hints(&self, before: &Self) {
        for (&shard, &(keyspace, i)) in &self.by_shard {
            let entry = &self.keyspaces[keyspace].entries[i];
            let Some(old) = before.entry(shard) else { continue };
            let hint = old.leader.load(Ordering::Relaxed);
            if old.mapped_leader == entry.mapped_leader && entry.replicas.contains(&NodeId(hint)) {
                entry.leader.store(hint, Ordering::Relaxed);
            }
        }
    }

    fn entry(&self, shard: ShardId) -> Option<&Entry> {
        self.by_shard.get(&shard).map(|&(keyspace, i)| &self.keyspaces[keyspace].entries[i])
    }
}
