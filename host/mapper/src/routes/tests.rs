use super::*;
use bytes::Bytes;
use isobar_model::{
    Generation, Incarnation, KeyRange, Keyspace, KeyspaceId, Mode, NodeId, Partitioning, Replica, Shard, ShardId,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One keyspace `t`, cut at `cuts`; shard i+1 lives on nodes 1, 2, 3 and is led by 1.
fn map(version: u64, partitioning: Partitioning, cuts: &[Bytes]) -> ShardMap {
    let keyspace =
        Keyspace { id: KeyspaceId(1), name: "t".into(), partitioning, replication_factor: 3, mode: Mode::Auto };
    let starts = std::iter::once(Bytes::new()).chain(cuts.iter().cloned());
    let ends = cuts.iter().cloned().map(Some).chain([None]);
    let shards = starts.zip(ends).zip(1..).map(|((start, end), id)| Shard {
        id: ShardId(id),
        keyspace: KeyspaceId(1),
        range: KeyRange { start, end },
        generation: Generation(1),
        replicas: [1, 2, 3].map(|n| Replica { node: NodeId(n), incarnation: Incarnation(1) }).into(),
        leader: Some(NodeId(1)),
    });
    ShardMap {
        version: RouteVersion(version),
        keyspaces: [(KeyspaceId(1), keyspace)].into(),
        shards: shards.map(|s| (s.id, s)).collect(),
    }
}

fn cuts(keys: &[&'static str]) -> Vec<Bytes> {
    keys.iter().map(|k| Bytes::from_static(k.as_bytes())).collect()
}

fn shards_of(table: &RouteTable, start: &str, end: Option<&str>) -> Vec<u64> {
    let routes = table.keyspace("t").unwrap();
    routes.range(start.as_bytes(), end.map(str::as_bytes)).map(|r| r.shard.0).collect()
}

#[test]
fn keys_find_their_shard() {
    let table = RouteTable::new(&map(1, Partitioning::Range, &cuts(&["g", "p"]))).unwrap();
    let shard = |key: &str| table.route("t", key.as_bytes()).map(|(route, _)| route.shard.0);
    assert_eq!(["", "a", "g", "o~", "p", "zz"].map(shard), [1, 1, 2, 2, 3, 3].map(Some));
    assert_eq!(table.route("other", b"a"), None);
    assert_eq!(table.shard(ShardId(2)).map(|r| r.shard), Some(ShardId(2)));
}

#[test]
fn a_scan_visits_the_shards_of_its_range_in_order() {
    let table = RouteTable::new(&map(1, Partitioning::Range, &cuts(&["g", "p"]))).unwrap();
    assert_eq!(shards_of(&table, "", None), [1, 2, 3]);
    assert_eq!(shards_of(&table, "h", Some("p")), [2]);
    assert_eq!(shards_of(&table, "h", Some("p0")), [2, 3]);
    assert_eq!(shards_of(&table, "g", Some("g")), [0u64; 0]);
}

/// Promise 3.
#[test]
fn the_version_never_goes_back() {
    let routes = Routes::default();
    assert_eq!(routes.install(&map(5, Partitioning::Range, &[])), Ok(true));
    assert_eq!(routes.install(&map(5, Partitioning::Range, &[])), Ok(false));
    let refused = routes.install(&map(4, Partitioning::Range, &[]));
    assert_eq!(refused, Err(Refused::Older { in_force: RouteVersion(5), given: RouteVersion(4) }));
    assert_eq!(routes.load().version(), RouteVersion(5));
}

/// Promise 3.
#[test]
fn a_map_with_a_gap_is_not_installed() {
    let routes = Routes::default();
    let mut broken = map(1, Partitioning::Range, &cuts(&["g", "p"]));
    broken.shards.remove(&ShardId(2));
    assert!(matches!(routes.install(&broken), Err(Refused::Broken { .. })));
    assert_eq!(routes.load().version(), RouteVersion(0));
}

#[test]
fn leader_hints_outlive_a_new_table_until_the_map_knows_better() {
    let routes = Routes::default();
    let leader = || routes.load().shard(ShardId(1)).and_then(|r| r.leader);
    routes.install(&map(1, Partitioning::Range, &[])).unwrap();
    routes.load().hint_leader(ShardId(1), Some(NodeId(2)));
    routes.load().hint_leader(ShardId(99), Some(NodeId(2)));
    assert_eq!(leader(), Some(NodeId(2)));

    routes.install(&map(2, Partitioning::Range, &[])).unwrap();
    assert_eq!(leader(), Some(NodeId(2)));

    let mut heard = map(3, Partitioning::Range, &[]);
    heard.shards.get_mut(&ShardId(1)).unwrap().leader = Some(NodeId(3));
    routes.install(&heard).unwrap();
    assert_eq!(leader(), Some(NodeId(3)));
}

#[test]
fn a_hint_to_a_node_that_holds_nothing_is_dropped() {
    let routes = Routes::default();
    routes.install(&map(1, Partitioning::Range, &[])).unwrap();
    routes.load().hint_leader(ShardId(1), Some(NodeId(9)));
    routes.install(&map(2, Partitioning::Range, &[])).unwrap();
    assert_eq!(routes.load().shard(ShardId(1)).and_then(|r| r.leader), Some(NodeId(1)));
}

fn keys() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
    proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 1..4), 0..20)
}

proptest! {
    /// Promise 3: each key has one shard, the one whose range holds it, whatever the cuts.
    #[test]
    fn routes_leave_no_gap_and_no_overlap(cuts in keys(), key in proptest::collection::vec(any::<u8>(), 0..5), hashed: bool) {
        let partitioning = if hashed { Partitioning::Hash } else { Partitioning::Range };
        let cuts: Vec<Bytes> = cuts.into_iter().map(Bytes::from).collect();
        let map = map(1, partitioning, &cuts);
        let table = RouteTable::new(&map).unwrap();
        let (route, internal) = table.route("t", &key).unwrap();
        let holders: Vec<_> = map.shards.values().filter(|s| s.range.contains(&internal)).map(|s| s.id).collect();
        prop_assert_eq!(holders, vec![route.shard]);
        let all: Vec<_> = table.keyspace("t").unwrap().range(b"", None).map(|r| r.shard).collect();
        prop_assert_eq!(all.len(), map.shards.len());
    }

    /// Promise 3: a scan visits each shard that meets its range, and no other.
    #[test]
    fn scans_meet_exactly_the_shards_of_their_range(
        cuts in keys(),
        start in proptest::collection::vec(any::<u8>(), 0..4),
        end in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4)),
    ) {
        let cuts: Vec<Bytes> = cuts.into_iter().map(Bytes::from).collect();
        let map = map(1, Partitioning::Range, &cuts);
        let table = RouteTable::new(&map).unwrap();
        let visited: BTreeSet<_> = table.keyspace("t").unwrap().range(&start, end.as_deref()).map(|r| r.shard).collect();
        let empty = end.as_ref().is_some_and(|end| *end <= start);
        let meets = |s: &&Shard| !empty
            && s.range.end.as_ref().is_none_or(|e| e.as_ref() > start.as_slice())
            && end.as_ref().is_none_or(|end| s.range.start.as_ref() < end.as_slice());
        let expected: BTreeSet<_> = map.shards.values().filter(meets).map(|s| s.id).collect();
        prop_assert_eq!(visited, expected);
    }

    /// Promise 4: a stale table sends a key to a shard whose generation the node can tell from its own; a node that checks range and
    /// generation as shards do never answers for a key it does not hold, and a refresh reaches the right shard.
    #[test]
    fn a_stale_route_never_gives_a_wrong_answer(cut in proptest::collection::vec(any::<u8>(), 1..3), key in proptest::collection::vec(any::<u8>(), 0..3)) {
        let stale = RouteTable::new(&map(1, Partitioning::Range, &[])).unwrap();
        let mut now = map(2, Partitioning::Range, &[Bytes::from(cut)]);
        now.shards.values_mut().for_each(|s| s.generation = Generation(2));
        let (route, internal) = stale.route("t", &key).unwrap();
        let owner = &now.shards[&route.shard];
        let answered = owner.range.contains(&internal);
        let (fresh, _) = RouteTable::new(&now).unwrap().route("t", &key).unwrap();
        prop_assert!(route.generation < owner.generation);
        prop_assert_eq!(answered, fresh.shard == route.shard);
    }
}
