//! openraft's own suite for storage, over ours.

use crate::control_state_machine::{ControlStateMachine, Shared};
use crate::hub::RaftHub;
use crate::log_store::LogStore;
use crate::shard_state_machine::ShardStateMachine;
use crate::transport::{AddressBook, PeerIdentity, TcpPeers};
use crate::types::TypeConfig;
use bytes::Bytes;
use isobar_model::{Generation, Incarnation, KeyRange, NodeId, ShardId};
use isobar_ports::ReplicatedState;
use isobar_storage::{Cell, GroupId, Identity, LogEngine, MemoryEngine, MemoryLog, NodeDir};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::io;
use std::sync::Arc;

/// A shard's replica on disk.
struct ShardStores;

impl StoreBuilder<TypeConfig, LogStore, ShardStateMachine, (NodeDir, tempfile::TempDir)> for ShardStores {
    async fn build(
        &self,
    ) -> Result<((NodeDir, tempfile::TempDir), LogStore, ShardStateMachine), StorageError<TypeConfig>> {
        let (cluster, node, shard) = ("conformance".to_owned(), NodeId(1), ShardId(1));
        let directory = tempfile::tempdir().unwrap();
        let dir = NodeDir::open(directory.path(), Identity { cluster: cluster.clone(), node }).unwrap();
        let peers = TcpPeers::bind(PeerIdentity { cluster, node }, "127.0.0.1:0", AddressBook::new()).await.unwrap();
        let range = KeyRange { start: Bytes::new(), end: None };
        let store = dir.replicas.create(shard, Incarnation(1), range, Generation(1)).unwrap();
        let synced = Arc::clone(&store);
        let log = Arc::clone(&dir.log) as Arc<dyn LogEngine>;
        let log = LogStore::open(GroupId::from(shard), log, Arc::new(move || synced.sync())).unwrap();
        let machine = ShardStateMachine::open(GroupId::from(shard), RaftHub::new(peers), store).unwrap();
        Ok(((dir, directory), log, machine))
    }
}

#[derive(Default)]
struct Nothing;

impl ReplicatedState for Nothing {
    fn apply(&mut self, _index: u64, _command: &[u8]) -> Bytes {
        Bytes::new()
    }
    fn snapshot(&self) -> Bytes {
        Bytes::from_static(b"nothing")
    }
    fn restore(&mut self, snapshot: &[u8]) -> io::Result<()> {
        assert_eq!(snapshot, b"nothing");
        Ok(())
    }
}

/// The control group's member, in memory.
struct ControlStores;

impl StoreBuilder<TypeConfig, LogStore, ControlStateMachine<Nothing>> for ControlStores {
    async fn build(&self) -> Result<((), LogStore, ControlStateMachine<Nothing>), StorageError<TypeConfig>> {
        let cell = Cell::new(Arc::new(MemoryEngine::default()), "control-snapshot");
        let log = LogStore::open(GroupId::CONTROL, Arc::new(MemoryLog::new()), Arc::new(|| Ok(()))).unwrap();
        Ok(((), log, ControlStateMachine::new(Arc::new(Shared::new(Nothing, cell)))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shards_storage_does_what_raft_relies_on() {
    Suite::test_all(ShardStores).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_groups_storage_does_what_raft_relies_on() {
    Suite::test_all(ControlStores).await.unwrap();
}
