//! Which shard holds a key, and which nodes hold the shard.

use crate::ids::{Generation, Incarnation, KeyspaceId, NodeId, RouteVersion, ShardId};
use crate::keyspace::Keyspace;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Internal keys from `start` up to and without `end`; no `end`: up to the last key there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    /// First internal key.
    pub start: Bytes,
    /// First internal key past the range.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Whether `internal_key` lies in the range.
    #[must_use]
    pub fn contains(&self, internal_key: &[u8]) -> bool {
        self.start <= internal_key && self.end.as_ref().is_none_or(|end| internal_key < *end)
    }
}

/// One copy of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// Where it lives.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// A contiguous range of a keyspace with one Raft group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number; also the number of its Raft group.
    pub id: ShardId,
    /// The keyspace it is a part of.
    pub keyspace: KeyspaceId,
    /// The internal keys it holds.
    pub range: KeyRange,
    /// Raised with every change of the range.
    pub generation: Generation,
    /// Its voters. While a migration is in flight its learner is not among them.
    pub replicas: Vec<Replica>,
    /// The leader last heard of: a hint, Raft decides.
    pub leader: Option<NodeId>,
}

impl Shard {
    /// Whether `node` holds a voter.
    #[must_use]
    pub fn is_on(&self, node: NodeId) -> bool {
        self.replicas.iter().any(|r| r.node == node)
    }
}

/// Keyspaces and shards at one route version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMap {
    /// Raised with every change; never goes back.
    pub version: RouteVersion,
    /// Keyspaces by number.
    pub keyspaces: BTreeMap<KeyspaceId, Keyspace>,
    /// Shards by number.
    pub shards: BTreeMap<ShardId, Shard>,
}

/// A shard map that breaks promise 3: shards cover each keyspace without gap or overlap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keyspace {keyspace}: {problem} (shard {shard})")]
pub struct BrokenCover {
    /// Where.
    pub keyspace: KeyspaceId,
    /// The shard at which the cover breaks, 0 where there is none at all.
    pub shard: ShardId,
    /// What is wrong, in words.
    pub problem: &'static str,
}

impl ShardMap {
    /// The keyspace called `name`.
    #[must_use]
    pub fn keyspace_named(&self, name: &str) -> Option<&Keyspace> {
        self.keyspaces.values().find(|k| k.name == name)
    }

    /// Checks that the shards of each keyspace cover it without gap or overlap (promise 3).
    pub fn check_cover(&self) -> Result<(), BrokenCover> {
        let mut by_keyspace: BTreeMap<KeyspaceId, Vec<&Shard>> =
            self.keyspaces.keys().map(|&id| (id, Vec::new())).collect();
        for shard in self.shards.values() {
            let broken = |problem| BrokenCover { keyspace: shard.keyspace, shard: shard.id, problem };
            by_keyspace.get_mut(&shard.keyspace).ok_or_else(|| broken("a shard of no known keyspace"))?.push(shard);
        }
        for (keyspace, mut shards) in by_keyspace {
            shards.sort_by(|a, b| a.range.start.cmp(&b.range.start));
            let mut next = Some(Bytes::new());
            for shard in shards {
                let broken = |problem| BrokenCover { keyspace, shard: shard.id, problem };
                match next {
                    None => return Err(broken("overlaps the last shard")),
                    Some(key) if key < shard.range.start => return Err(broken("a gap before this shard")),
                    Some(key) if key > shard.range.start => return Err(broken("overlaps the shard before")),
                    Some(_) => {}
                }
                if shard.range.end.as_ref().is_some_and(|end| *end <= shard.range.start) {
                    return Err(broken("an empty range"));
                }
                next = shard.range.end.clone();
            }
            if next.is_some() {
                return Err(BrokenCover { keyspace, shard: ShardId(0), problem: "no shard holds the last keys" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Mode, Partitioning};

    fn map(ranges: &[(&'static str, Option<&'static str>)]) -> ShardMap {
        let keyspace = Keyspace {
            id: KeyspaceId(1),
            name: "a".into(),
            partitioning: Partitioning::Range,
            replication_factor: 3,
            mode: Mode::Auto,
        };
        let shard = |(i, (start, end)): (usize, &(&'static str, Option<&'static str>))| {
            let id = ShardId(i as u64 + 1);
            let range = KeyRange {
                start: Bytes::from_static(start.as_bytes()),
                end: end.map(|e| Bytes::from_static(e.as_bytes())),
            };
            (
                id,
                Shard { id, keyspace: KeyspaceId(1), range, generation: Generation(1), replicas: vec![], leader: None },
            )
        };
        ShardMap {
            version: RouteVersion(1),
            keyspaces: [(KeyspaceId(1), keyspace)].into(),
            shards: ranges.iter().enumerate().map(shard).collect(),
        }
    }

    /// Promise 3.
    #[test]
    fn gaps_and_overlaps_are_found() {
        assert_eq!(map(&[("", Some("m")), ("m", None)]).check_cover(), Ok(()));
        let problem =
            |ranges: &[(&'static str, Option<&'static str>)]| map(ranges).check_cover().map_err(|e| e.problem);
        assert_eq!(problem(&[]), Err("no shard holds the last keys"));
        assert_eq!(problem(&[("", Some("m"))]), Err("no shard holds the last keys"));
        assert_eq!(problem(&[("", Some("m")), ("n", None)]), Err("a gap before this shard"));
        assert_eq!(problem(&[("", Some("n")), ("m", None)]), Err("overlaps the shard before"));
        assert_eq!(problem(&[("", None), ("m", None)]), Err("overlaps the last shard"));
    }
}
