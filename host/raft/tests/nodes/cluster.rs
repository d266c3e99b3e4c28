//! A few nodes in one process, over real sockets.

use bytes::Bytes;
use isobar_model::{
    Consistency, Generation, Incarnation, KeyRange, KeyspaceId, KvError, KvOp, KvReply, KvRequest, NodeId, OperationId,
    Replica, Shard, ShardId,
};
use isobar_ports::{Fence, ShardOps};
use isobar_raft::transport::{AddressBook, PeerIdentity, PeerNetwork, TcpPeers};
use isobar_raft::{
    NodeStorage, RaftHub, RaftShardOps, RaftTiming, ReplicaRole, ReplicaStatus, ShardHost, ShardHostConfig, ShardPlace,
};
use isobar_storage::{Identity, NodeDir};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bound of every wait: far more than an election and a retry take, so that only a broken promise reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestNode {
    pub(crate) storage: NodeStorage,
    dir: NodeDir,
    pub(crate) peers: Arc<TcpPeers>,
    pub(crate) hub: RaftHub,
    pub(crate) host: Arc<ShardHost>,
}

/// The nodes that are up, as clients see them.
type Hosts = Arc<Mutex<BTreeMap<NodeId, Arc<ShardHost>>>>;

pub(crate) struct Cluster {
    pub(crate) book: AddressBook,
    directory: tempfile::TempDir,
    hosts: Hosts,
    pub(crate) nodes: BTreeMap<NodeId, TestNode>,
}

/// Waits until `condition` gives something.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Quicker than life, and still slow beside a busy test machine: a leader that is not killed should stay.
pub(crate) const TIMING: RaftTiming = RaftTiming { heartbeat_ms: 150, election_min_ms: 1000, election_max_ms: 2000 };

impl Cluster {
    pub(crate) async fn start(nodes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = Self { book: AddressBook::new(), directory, hosts: Hosts::default(), nodes: BTreeMap::new() };
        for node in (1..=nodes).map(NodeId) {
            cluster.start_node(node).await;
        }
        cluster
    }

    /// Starts a node on its directory, at a new address.
    pub(crate) async fn start_node(&mut self, node: NodeId) {
        let path = self.directory.path().join(node.to_string());
        // The tasks of a node that was just killed may hold its files for a moment longer.
        let dir = eventually("the directory is free", async || {
            NodeDir::open(&path, Identity { cluster: "test".to_owned(), node }).ok()
        })
        .await;
        let storage = NodeStorage::from(&dir);
        let identity = PeerIdentity { cluster: "test".to_owned(), node };
        let peers = TcpPeers::bind(identity, "127.0.0.1:0", self.book.clone()).await.unwrap();
        self.book.set(node, &peers.local_addr().to_string());
        let hub = RaftHub::new(Arc::clone(&peers) as Arc<dyn PeerNetwork>);
        let config = ShardHostConfig { timing: TIMING, operation_timeout: Duration::from_secs(5) };
        let host = ShardHost::open(&storage, &hub, config).await.unwrap();
        self.hosts.lock().unwrap().insert(node, Arc::clone(&host));
        self.nodes.insert(node, TestNode { storage, dir, peers, hub, host });
    }

    /// Stops a node as a crash would, so far as this process can.
    pub(crate) async fn kill(&mut self, node: NodeId) {
        let stopped = self.nodes.remove(&node).unwrap();
        self.hosts.lock().unwrap().remove(&node);
        stopped.peers.shutdown();
        stopped.host.abort().await;
        drop(stopped.dir);
    }

    /// Creates a shard on the given nodes.
    pub(crate) async fn create(&self, id: u64, nodes: &[u64]) -> Shard {
        let shard = Shard {
            id: ShardId(id),
            keyspace: KeyspaceId(1),
            range: KeyRange { start: Bytes::from_static(b"a"), end: Some(Bytes::from_static(b"z")) },
            generation: Generation(1),
            replicas: nodes.iter().map(|&node| Replica { node: NodeId(node), incarnation: Incarnation(1) }).collect(),
            leader: None,
        };
        for (i, replica) in shard.replicas.iter().enumerate() {
            self.nodes[&replica.node].host.ensure_replica(&shard, i == 0).await.unwrap();
        }
        shard
    }

    /// The node that leads, once one does.
    pub(crate) async fn leader(&self, shard: ShardId) -> NodeId {
        eventually("a leader", async || {
            let leads = |node: &TestNode| node.host.replica(shard).is_some_and(|r| r.role == ReplicaRole::Leader);
            self.nodes.iter().find(|(_, node)| leads(node)).map(|(&id, _)| id)
        })
        .await
    }

    pub(crate) fn status(&self, shard: ShardId, node: u64) -> Option<ReplicaStatus> {
        self.nodes[&NodeId(node)].host.replica(shard)
    }

    pub(crate) fn client(&self, shard: &Shard) -> Client {
        Client { hosts: Arc::clone(&self.hosts), shard: shard.clone() }
    }

    /// Operations as a control leader on node `at` would do them.
    pub(crate) fn ops(&self, at: u64, shard: &Shard) -> Arc<dyn ShardOps> {
        let place = ShardPlace { shard: shard.clone(), others: self.book.nodes().into_iter().collect::<BTreeSet<_>>() };
        let network = Arc::clone(self.nodes[&NodeId(at)].hub.network());
        Arc::new(RaftShardOps::new(network, Arc::new(move |id| (id == place.shard.id).then(|| place.clone()))))
    }
}

/// Acts on a shard wherever it is, and tries again as a router would.
#[derive(Clone)]
pub(crate) struct Client {
    hosts: Hosts,
    shard: Shard,
}

impl Client {
    pub(crate) async fn ask(&self, op: KvOp) -> KvReply {
        let request = KvRequest { shard: self.shard.id, generation: self.shard.generation, op };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let hosts: Vec<_> = self.hosts.lock().unwrap().values().cloned().collect();
            for host in hosts {
                match host.execute(request.clone()).await {
                    Ok(reply) => return reply,
                    Err(KvError::NotLeader { .. } | KvError::NotHere { .. } | KvError::Unavailable { .. }) => {}
                    // A node that is being killed, or a write whose outcome is not known: each key has one writer here, which may send
                    // its value again.
                    Err(KvError::Internal(reason))
                        if ["stop", "in time", "leader changed"].iter().any(|known| reason.contains(known)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(Instant::now() < deadline, "no answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> u64 {
        let op =
            KvOp::Put { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value.as_bytes()) };
        let KvReply::Written { index } = self.ask(op).await else { panic!("a put is answered with an index") };
        index
    }

    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        let op = KvOp::Get { key: Bytes::copy_from_slice(key.as_bytes()), consistency: Consistency::Linearizable };
        let KvReply::Value(value) = self.ask(op).await else { panic!("a get is answered with a value") };
        value.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }
}

pub(crate) fn fence(control_term: u64) -> Fence {
    Fence { operation: OperationId(1), control_term }
}
