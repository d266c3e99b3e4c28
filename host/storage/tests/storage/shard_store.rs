//! Shard stores: applying, reading, digests, ranges.

use crate::support::{
    SHARD, apply, assert_true_to_its_rows, delete, everything, on_each_engine, put, range, replica, rows,
};
use bytes::Bytes;
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use isobar_model::{Generation, Incarnation, ShardId};
use isobar_storage::shard_store::MAX_PAGE_BYTES;
use isobar_storage::{
    Cell, Engine, FjallEngine, MemoryEngine, ReadError, ReplicaError, Replicas, ShardCommand, ShardReply,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Replicas that apply the same commands, cut into different batches, come to the same rows and the same digest.
    #[test]
    fn replicas_agree_with_the_model_and_each_other(
        commands in prop::collection::vec((0..12u8, prop::option::of("[a-z]{0,5}")), 1..60),
        cuts in prop::collection::vec(1..9usize, 60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Engine> = Arc::new(FjallEngine::open(directory.path()).unwrap());
        let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let (batched, single) = (replica(&disk, range("k02", Some("k10"))), replica(&memory, range("k02", Some("k10"))));
        let mut model = BTreeMap::new();
        let mut encoded = Vec::new();
        for (key, value) in &commands {
            let name = format!("k{key:02}");
            encoded.push(value.as_ref().map_or_else(|| delete(&name), |value| put(&name, value)));
            if !(2..10).contains(key) {
                continue;
            }
            match value {
                Some(value) => model.insert(Bytes::from(name), Bytes::copy_from_slice(value.as_bytes())),
                None => model.remove(name.as_bytes()),
            };
        }
        let mut from = 0;
        let mut replies = Vec::new();
        for cut in cuts {
            let to = (from + cut).min(encoded.len());
            replies.extend(apply(&batched, from as u64, &encoded[from..to]));
            from = to;
        }
        for (index, command) in encoded.iter().enumerate() {
            prop_assert_eq!(&apply(&single, index as u64, std::slice::from_ref(command))[0], &replies[index]);
        }
        prop_assert_eq!(rows(&batched), model.into_iter().collect::<Vec<_>>());
        assert_true_to_its_rows(&batched);
        prop_assert_eq!(batched.state().digest, single.state().digest);
        prop_assert_eq!(rows(&batched), rows(&single));
    }
}

#[test]
fn a_replica_is_the_same_after_its_node_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let engine: Arc<dyn Engine> = Arc::new(FjallEngine::open(directory.path()).unwrap());
        let store = replica(&engine, range("a", Some("z")));
        apply(&store, 1, &[put("b", "1"), put("c", "2"), delete("b"), ShardCommand::Verify.encode()]);
        (store.record(), store.state(), rows(&store))
    };
    let engine: Arc<dyn Engine> = Arc::new(FjallEngine::open(directory.path()).unwrap());
    let replicas = Replicas::open(engine).unwrap();
    let store = replicas.get(SHARD).unwrap();
    assert_eq!((store.record(), store.state(), rows(&store)), before);
    assert_eq!(store.state().applied, "4");
    assert_eq!(store.digest_at(4).unwrap().rows, 1);
    assert_true_to_its_rows(&store);
}

/// Promise 4: a router with an older table is served where the key is still here, else told so.
#[test]
fn the_range_is_checked_when_a_command_is_applied() {
    on_each_engine(|engine| {
        let store = replica(&engine, range("d", Some("m")));
        let old = ShardCommand::Put { generation: Generation(1), key: "e".into(), value: "1".into() };
        assert_eq!(apply(&store, 1, &[old.encode()]), [ShardReply::Written]);
        let refused = ShardReply::OutOfRange { generation: Generation(3) };
        for key in ["c", "m", "z"] {
            assert_eq!(apply(&store, 2, &[put(key, "1")]), std::slice::from_ref(&refused), "{key}");
            let read = store.get(key.as_bytes()).unwrap_err();
            assert!(matches!(read, ReadError::OutOfRange { generation: Generation(3) }), "{key}");
            let scan = store.scan(&key.into(), None, 10).unwrap_err();
            assert!(matches!(scan, ReadError::OutOfRange { .. }), "{key}");
        }
        assert_eq!(store.get(b"e").unwrap().unwrap(), "1");
        assert_eq!(store.state().rows, 1);
    });
}

#[test]
fn a_command_that_makes_no_sense_changes_nothing() {
    on_each_engine(|engine| {
        let store = replica(&engine, everything());
        let too_large = "x".repeat(MAX_VALUE_BYTES + 1);
        let too_long = "k".repeat(MAX_KEY_BYTES + 3);
        let trailing = Bytes::from([&put("a", "1")[..], b"!"].concat());
        let bad = [
            Bytes::new(),
            Bytes::from_static(b"\xff\xff"),
            trailing,
            put("", "v"),
            put("a", &too_large),
            put(&too_long, "v"),
        ];
        for reply in apply(&store, 1, &bad) {
            assert!(matches!(reply, ShardReply::Malformed(_)), "{reply:?}");
        }
        assert_eq!(store.state().rows, 0);
        assert_eq!(store.state().applied, "6", "the log moved on all the same");
        assert_eq!(store.get(b"").unwrap(), None);
    });
}

#[test]
fn a_scan_goes_on_where_it_stopped() {
    on_each_engine(|engine| {
        let store = replica(&engine, range("b", Some("x")));
        let keys: Vec<String> = ('b'..'x').map(String::from).collect();
        apply(&store, 1, &keys.iter().map(|key| put(key, key)).collect::<Vec<_>>());
        let page = store.scan(&"c".into(), Some(&"h".into()), 3).unwrap();
        assert_eq!(page.rows.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"c", b"d", b"e"]);
        assert_eq!(page.next.as_deref(), Some(&b"f"[..]));
        let page = store.scan(&"f".into(), Some(&"h".into()), 3).unwrap();
        assert_eq!((page.rows.len(), page.next), (2, None));
        let page = store.scan(&"u".into(), Some(&"zz".into()), 100).unwrap();
        assert_eq!((page.rows.len(), page.next), (3, None));
        let page = store.scan(&"h".into(), Some(&"c".into()), 100).unwrap();
        assert_eq!((page.rows.len(), page.next), (0, None));
        let page = store.scan(&"c".into(), None, 0).unwrap();
        assert_eq!((page.rows.len(), page.next.as_deref()), (0, Some(&b"c"[..])));
    });
}

/// Promise 8.
#[test]
fn a_page_is_bounded_by_bytes() {
    on_each_engine(|engine| {
        let store = replica(&engine, everything());
        let half = "x".repeat(MAX_PAGE_BYTES / 2);
        let whole = "x".repeat(MAX_PAGE_BYTES);
        apply(&store, 1, &[put("a", &half), put("b", &half), put("c", &whole)]);
        let page = store.scan(&"".into(), None, 100).unwrap();
        assert_eq!((page.rows.len(), page.next.as_deref()), (1, Some(&b"b"[..])));
        let page = store.scan(&"c".into(), None, 100).unwrap();
        assert_eq!((page.rows.len(), page.next), (1, None), "a row larger than a page comes alone");
    });
}

#[test]
fn the_last_eight_digests_are_remembered() {
    on_each_engine(|engine| {
        let store = replica(&engine, everything());
        for index in 1..=10 {
            let command = if index == 5 { put("a", "1") } else { ShardCommand::Verify.encode() };
            let reply = apply(&store, index, &[command]).remove(0);
            assert_eq!(matches!(reply, ShardReply::Verified(_)), index != 5);
        }
        assert_eq!(store.digest_at(1), None);
        assert_eq!(store.digest_at(5), None);
        assert_ne!(store.digest_at(4).unwrap().digest, store.digest_at(6).unwrap().digest);
        assert_eq!(store.digest_at(10).unwrap().digest, store.state().digest.0);
    });
}

#[test]
fn a_replica_is_made_once_and_removed_by_incarnation() {
    on_each_engine(|engine| {
        let replicas = Replicas::open(Arc::clone(&engine)).unwrap();
        let create = |incarnation| replicas.create(SHARD, Incarnation(incarnation), everything(), Generation(1));
        apply(&create(4).unwrap(), 1, &[put("a", "1")]);
        assert_eq!(create(4).unwrap().state().rows, 1, "the same one again");
        assert!(matches!(create(5), Err(ReplicaError::AnotherIncarnation { incarnation: Incarnation(4), .. })));
        assert!(!replicas.remove(SHARD, Incarnation(3)).unwrap());
        assert!(replicas.remove(SHARD, Incarnation(4)).unwrap());
        assert!(!replicas.remove(SHARD, Incarnation(4)).unwrap());
        assert!(replicas.get(SHARD).is_none());
        assert_eq!(engine.spaces(), []);
        assert_eq!(create(5).unwrap().state().rows, 0, "a new life starts empty");
        assert_eq!(replicas.all().len(), 1);
    });
}

#[test]
fn a_removed_replica_stays_removed() {
    on_each_engine(|engine| {
        let replicas = Replicas::open(Arc::clone(&engine)).unwrap();
        let store = replicas.create(SHARD, Incarnation(1), everything(), Generation(1)).unwrap();
        let snapshot = store.snapshot().unwrap();
        let mut receiver = store.receive(snapshot.header().clone()).unwrap();
        for chunk in snapshot.chunks(0).unwrap() {
            receiver.take(&chunk.unwrap()).unwrap();
        }
        let late = receiver.finish().unwrap();
        replicas.remove(SHARD, Incarnation(1)).unwrap();

        assert_eq!(store.install(late).unwrap_err().kind(), std::io::ErrorKind::NotFound);
        let apply = store.apply(&[(1, put("a", "1"))], "1".into());
        assert_eq!(apply.unwrap_err().kind(), std::io::ErrorKind::NotFound);
        assert!(matches!(store.get(b"a"), Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound));
        assert_eq!(engine.spaces(), []);
        assert!(Replicas::open(Arc::clone(&engine)).unwrap().all().is_empty());
    });
}

#[test]
fn an_extent_that_no_replica_uses_is_deleted_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    {
        let engine: Arc<dyn Engine> = Arc::new(FjallEngine::open(directory.path()).unwrap());
        let replicas = Replicas::open(Arc::clone(&engine)).unwrap();
        replicas.create(ShardId(1), Incarnation(1), everything(), Generation(1)).unwrap();
        engine.create(isobar_storage::engine::SpaceId(40)).unwrap();
        assert_eq!(engine.spaces().len(), 2);
    }
    for _ in 0..2 {
        let engine: Arc<dyn Engine> = Arc::new(FjallEngine::open(directory.path()).unwrap());
        let replicas = Replicas::open(Arc::clone(&engine)).unwrap();
        assert_eq!(engine.spaces(), [replicas.get(ShardId(1)).unwrap().record().extent]);
    }
    let engine = FjallEngine::open(directory.path()).unwrap();
    assert_eq!(engine.spaces().len(), 1, "deleted for good");
}

#[test]
fn a_cell_keeps_its_last_value() {
    on_each_engine(|engine| {
        let (cell, other) = (Cell::new(Arc::clone(&engine), "control"), Cell::new(Arc::clone(&engine), "other"));
        assert_eq!(cell.read().unwrap(), None);
        cell.write("one".into()).unwrap();
        cell.write("two".into()).unwrap();
        assert_eq!(cell.read().unwrap().unwrap(), "two");
        assert_eq!(other.read().unwrap(), None);
        assert!(Replicas::open(engine).unwrap().all().is_empty());
    });
}
