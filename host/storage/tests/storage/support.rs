//! What the tests of shard stores share.

use bytes::Bytes;
use isobar_model::{Generation, Incarnation, KeyRange, ShardId};
use isobar_storage::{Engine, FjallEngine, MemoryEngine, Replicas, RowsDigest, ShardCommand, ShardReply, ShardStore};
use std::sync::Arc;

pub(crate) const SHARD: ShardId = ShardId(7);

/// Runs a test on an engine of each kind.
pub(crate) fn on_each_engine(test: impl Fn(Arc<dyn Engine>)) {
    test(Arc::new(MemoryEngine::new()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(FjallEngine::open(directory.path()).unwrap()));
}

pub(crate) fn range(start: &'static str, end: Option<&'static str>) -> KeyRange {
    KeyRange { start: start.into(), end: end.map(Bytes::from) }
}

pub(crate) fn everything() -> KeyRange {
    range("", None)
}

pub(crate) fn replica(engine: &Arc<dyn Engine>, range: KeyRange) -> Arc<ShardStore> {
    let replicas = Replicas::open(Arc::clone(engine)).unwrap();
    replicas.create(SHARD, Incarnation(1), range, Generation(3)).unwrap()
}

pub(crate) fn put(key: &str, value: &str) -> Bytes {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    ShardCommand::Put { generation: Generation(3), key, value }.encode()
}

pub(crate) fn delete(key: &str) -> Bytes {
    ShardCommand::Delete { generation: Generation(3), key: Bytes::copy_from_slice(key.as_bytes()) }.encode()
}

/// Applies commands at the indices from `index` on; the marker is the last index.
pub(crate) fn apply(store: &ShardStore, index: u64, commands: &[Bytes]) -> Vec<ShardReply> {
    let commands: Vec<(u64, Bytes)> = (index..).zip(commands.iter().cloned()).collect();
    let marker = commands.last().map_or(index, |(index, _)| *index).to_string();
    let replies = store.apply(&commands, marker.into()).unwrap();
    replies.iter().map(|reply| ShardReply::decode(reply).unwrap()).collect()
}

pub(crate) fn rows(store: &ShardStore) -> Vec<(Bytes, Bytes)> {
    let mut rows = Vec::new();
    let mut from = Some(store.record().range.start);
    while let Some(start) = from {
        let page = store.scan(&start, None, 100).unwrap();
        rows.extend(page.rows);
        from = page.next;
    }
    rows
}

/// The state is that of the rows.
pub(crate) fn assert_true_to_its_rows(store: &ShardStore) {
    let (rows, state) = (rows(store), store.state());
    let mut digest = RowsDigest::default();
    rows.iter().for_each(|(key, value)| digest.add(key, value));
    assert_eq!(state.digest, digest);
    assert_eq!(state.rows, rows.len() as u64);
    assert_eq!(state.bytes, rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>());
}
