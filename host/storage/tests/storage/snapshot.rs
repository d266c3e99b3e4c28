//! Snapshots: sent while writes go on, resumed, proven, refused.

use crate::support::{
    SHARD, apply, assert_true_to_its_rows, delete, everything, on_each_engine, put, range, replica, rows,
};
use bytes::Bytes;
use isobar_model::{Generation, Incarnation, ShardId};
use isobar_storage::snapshot::CHUNK_BYTES;
use isobar_storage::{Engine, ReceiveError, Replicas, ShardStore, SnapshotChunk};
use std::io;
use std::sync::Arc;

/// Some 2 MiB in 1500 rows.
fn fill(store: &ShardStore) {
    let commands: Vec<Bytes> =
        (0..1500).map(|row| put(&format!("key-{row:05}"), &format!("{row}-").repeat(100 + row % 400))).collect();
    for (batch, commands) in commands.chunks(100).enumerate() {
        apply(store, 1 + 100 * batch as u64, commands);
    }
}

/// An empty replica on a node of its own.
fn empty(test: impl Fn(&Arc<dyn Engine>, &ShardStore)) {
    on_each_engine(|engine| test(&engine, &replica(&engine, range("x", Some("y")))));
}

fn chunks(source: &ShardStore) -> Vec<SnapshotChunk> {
    source.snapshot().unwrap().chunks(0).unwrap().collect::<io::Result<_>>().unwrap()
}

#[test]
fn a_snapshot_is_of_one_instant_however_much_is_written_meanwhile() {
    on_each_engine(|engine| {
        let source = replica(&engine, everything());
        fill(&source);
        let (before, state) = (rows(&source), source.state());
        let snapshot = source.snapshot().unwrap();
        assert_eq!(snapshot.header().applied, state.applied);
        empty(|engine, target| {
            apply(target, 1, &[]);
            let old_extent = target.record().extent;
            let mut receiver = target.receive(snapshot.header().clone()).unwrap();
            for (number, chunk) in snapshot.chunks(0).unwrap().enumerate() {
                let chunk = chunk.unwrap();
                assert!(chunk.rows.len() <= CHUNK_BYTES);
                receiver.take(&chunk).unwrap();
                // The source goes on, also in what was not sent yet.
                let at = 2000 + number as u64;
                apply(&source, at, &[put("key-01400", &at.to_string()), delete("key-01300"), put("new", "1")]);
            }
            assert!(receiver.next_chunk() > 4, "several chunks");
            assert_eq!(receiver.received_bytes(), state.bytes);
            assert_eq!(target.state().rows, 0, "the target serves what it had");
            target.install(receiver.finish().unwrap()).unwrap();

            assert_eq!(rows(target), before);
            assert_eq!(target.state(), state);
            assert_eq!(target.record().range, everything());
            assert_eq!(target.record().generation, Generation(3));
            assert_eq!(engine.spaces(), [target.record().extent], "the old extent {old_extent} is gone");
            assert_true_to_its_rows(target);
        });
        assert_true_to_its_rows(&source);
    });
}

#[test]
fn sending_goes_on_from_any_chunk() {
    on_each_engine(|engine| {
        let source = replica(&engine, everything());
        fill(&source);
        let all = chunks(&source);
        let snapshot = source.snapshot().unwrap();
        // Backwards first: nothing was cut yet, so that the beginning must be read again.
        for from in (0..all.len() as u32).rev().chain(0..all.len() as u32) {
            let rest: Vec<_> = snapshot.chunks(from).unwrap().collect::<io::Result<_>>().unwrap();
            assert_eq!(rest, all[from as usize..]);
        }
        assert_eq!(snapshot.chunks(all.len() as u32).unwrap().count(), 0);
    });
}

#[test]
fn a_receiver_takes_each_chunk_once_in_order_and_whole() {
    on_each_engine(|engine| {
        let source = replica(&engine, everything());
        fill(&source);
        let header = source.snapshot().unwrap().header().clone();
        let all = chunks(&source);
        empty(|engine, target| {
            let mut receiver = target.receive(header.clone()).unwrap();
            assert!(matches!(receiver.take(&all[1]), Err(ReceiveError::Gap { expected: 0, given: 1 })));
            let mut torn = all[0].clone();
            torn.rows = [b"!", &torn.rows[1..]].concat().into();
            assert!(matches!(receiver.take(&torn), Err(ReceiveError::Damaged { number: 0 })));
            for chunk in &all {
                let next = receiver.take(chunk).unwrap();
                assert_eq!(receiver.take(chunk).unwrap(), next, "a chunk that comes twice changes nothing");
            }
            assert!(receiver.is_complete());
            target.install(receiver.finish().unwrap()).unwrap();
            assert_eq!(rows(target), rows(&source));
            assert_eq!(engine.spaces().len(), 1);
        });
    });
}

#[test]
fn a_snapshot_that_is_not_what_its_header_says_is_refused_and_leaves_nothing() {
    on_each_engine(|engine| {
        let source = replica(&engine, everything());
        fill(&source);
        let header = source.snapshot().unwrap().header().clone();
        let all = chunks(&source);
        apply(&source, 9000, &[put("key-00000", "another value")]);
        let other = chunks(&source);
        empty(|engine, target| {
            // One chunk of another instant: intact, in order, wrong.
            let mut receiver = target.receive(header.clone()).unwrap();
            receiver.take(&other[0]).unwrap();
            for chunk in &all[1..] {
                match receiver.take(chunk) {
                    Ok(_) | Err(ReceiveError::Unsound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            let refused = receiver.finish().unwrap_err();
            assert!(matches!(refused, ReceiveError::Unsound(_)), "{refused}");

            let mut receiver = target.receive(header.clone()).unwrap();
            receiver.take(&all[0]).unwrap();
            assert!(matches!(receiver.finish(), Err(ReceiveError::Unsound(_))), "it was cut short");

            let mut narrow = header.clone();
            narrow.range = range("key-00002", None);
            let mut receiver = target.receive(narrow).unwrap();
            assert!(matches!(receiver.take(&all[0]), Err(ReceiveError::Unsound(_))), "a key out of range");
            drop(receiver);

            let mut foreign = header.clone();
            foreign.shard = ShardId(8);
            assert_eq!(target.receive(foreign).unwrap_err().kind(), io::ErrorKind::InvalidInput);

            assert_eq!(engine.spaces(), [target.record().extent]);
            assert_eq!(target.record().range, range("x", Some("y")));
        });
    });
}

#[test]
fn an_empty_replica_has_a_snapshot_of_one_chunk() {
    on_each_engine(|engine| {
        let source = replica(&engine, everything());
        apply(&source, 1, &[put("a", "1"), delete("a")]);
        let all = chunks(&source);
        assert_eq!(all.len(), 1);
        empty(|_, target| {
            let mut receiver = target.receive(source.snapshot().unwrap().header().clone()).unwrap();
            receiver.take(&all[0]).unwrap();
            target.install(receiver.finish().unwrap()).unwrap();
            assert_eq!(target.state(), source.state());
        });
    });
}

#[test]
fn an_installed_snapshot_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let source_directory = tempfile::tempdir().unwrap();
    let source_engine: Arc<dyn Engine> = Arc::new(isobar_storage::FjallEngine::open(source_directory.path()).unwrap());
    let source = replica(&source_engine, everything());
    fill(&source);
    {
        let engine: Arc<dyn Engine> = Arc::new(isobar_storage::FjallEngine::open(directory.path()).unwrap());
        let replicas = Replicas::open(engine).unwrap();
        let target = replicas.create(SHARD, Incarnation(9), range("", None), Generation(1)).unwrap();
        let snapshot = source.snapshot().unwrap();
        let mut receiver = target.receive(snapshot.header().clone()).unwrap();
        for chunk in snapshot.chunks(0).unwrap() {
            receiver.take(&chunk.unwrap()).unwrap();
        }
        target.install(receiver.finish().unwrap()).unwrap();
    }
    let engine: Arc<dyn Engine> = Arc::new(isobar_storage::FjallEngine::open(directory.path()).unwrap());
    let target = Replicas::open(Arc::clone(&engine)).unwrap().get(SHARD).unwrap();
    assert_eq!(rows(&target), rows(&source));
    assert_eq!(target.state(), source.state());
    assert_eq!(target.record().incarnation, Incarnation(9));
    assert_eq!(engine.spaces().len(), 1);
}
