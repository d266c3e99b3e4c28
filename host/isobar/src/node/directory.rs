//! What every node knows of the cluster: where shards live, how to reach nodes, who leads the control group.

use crate::node::services::{self, DirectoryReply, DirectoryRequest, decode, encode};
use isobar_mapper::{RouteTable, Routes};
use isobar_model::{Node, NodeId, RouteVersion, ShardMap};
use isobar_raft::transport::{AddressBook, PeerNetwork};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a voter may hold a request for news: well below the deadline of a node request.
const NEWS_WAIT_MS: u64 = 2_000;
/// After a voter failed, the next is asked this much later.
const RETRY: Duration = Duration::from_millis(200);

/// The newest knowledge of this node.
#[derive(Debug)]
pub(crate) struct Directory {
    routes: Routes,
    map: watch::Sender<Arc<ShardMap>>,
    nodes: Mutex<(u64, Arc<BTreeMap<NodeId, Node>>)>,
    control_leader: watch::Sender<Option<NodeId>>,
    addresses: AddressBook,
}

impl Directory {
    pub(crate) fn new(addresses: AddressBook) -> Arc<Self> {
        Arc::new(Self {
            routes: Routes::default(),
            map: watch::Sender::new(Arc::default()),
            nodes: Mutex::default(),
            control_leader: watch::Sender::new(None),
            addresses,
        })
    }

    /// The route table in force.
    pub(crate) fn routes(&self) -> Arc<RouteTable> {
        self.routes.load()
    }

    /// The shard map in force.
    pub(crate) fn map(&self) -> Arc<ShardMap> {
        self.map.borrow().clone()
    }

    /// Tells of each new shard map.
    pub(crate) fn watch_map(&self) -> watch::Receiver<Arc<ShardMap>> {
        self.map.subscribe()
    }

    /// Nodes by number.
    pub(crate) fn nodes(&self) -> Arc<BTreeMap<NodeId, Node>> {
        Arc::clone(&self.nodes.lock().1)
    }

    /// The number of the node list.
    pub(crate) fn nodes_number(&self) -> u64 {
        self.nodes.lock().0
    }

    /// The node list with its number.
    pub(crate) fn numbered_nodes(&self) -> (u64, Arc<BTreeMap<NodeId, Node>>) {
        self.nodes.lock().clone()
    }

    /// Who leads the control group, as far as heard.
    pub(crate) fn control_leader(&self) -> Option<NodeId> {
        *self.control_leader.borrow()
    }

    /// Waits until the route version is at least `version`, at most `limit`.
    pub(crate) async fn wait_for(&self, version: RouteVersion, limit: Duration) {
        let mut news = self.map.subscribe();
        // Out of time: the caller looks again and decides.
        let _ = tokio::time::timeout(limit, news.wait_for(|map| map.version >= version)).await;
    }

    /// Takes in a newer map; an older one is left aside.
    pub(crate) fn install_map(&self, map: Arc<ShardMap>) {
        match self.routes.install(&map) {
            Ok(true) => drop(self.map.send_replace(map)),
            Ok(false) | Err(isobar_mapper::Refused::Older { .. }) => {}
            Err(refused @ isobar_mapper::Refused::Broken { .. }) => {
                tracing::error!(%refused, "a shard map was refused");
            }
        }
    }

    /// Takes in the node list of number `number`.
    pub(crate) fn install_nodes(&self, number: u64, nodes: BTreeMap<NodeId, Node>) {
        for node in nodes.values() {
            self.addresses.set(node.id, &node.peer_addr);
        }
        let mut known = self.nodes.lock();
        if number > known.0 {
            *known = (number, Arc::new(nodes));
        }
    }

    /// Takes in who leads the control group.
    pub(crate) fn install_control_leader(&self, leader: Option<NodeId>) {
        self.control_leader.send_if_modified(|known| std::mem::replace(known, leader) != leader);
    }

    /// Keeps a node that holds no control replica informed, by asking the voters in turn. Ends when the task is dropped.
    pub(crate) async fn follow(self: Arc<Self>, peers: Arc<dyn PeerNetwork>, voters: Vec<NodeId>) {
        let mut turn = 0;
        loop {
            let known = self.nodes.lock().0;
            let after = self.map.borrow().version;
            let request = DirectoryRequest { after, nodes_after: known, wait_ms: NEWS_WAIT_MS };
            // The leader hears of changes first.
            let voter = self.control_leader().unwrap_or(voters[turn % voters.len()]);
            let deadline = Duration::from_millis(NEWS_WAIT_MS * 2);
            let answer = peers.call(voter, services::DIRECTORY, encode(&request), deadline).await;
            match answer.map_err(|error| error.to_string()).and_then(|bytes| decode::<DirectoryReply>(&bytes)) {
                Ok(reply) => {
                    if let Some((number, nodes)) = reply.nodes {
                        self.install_nodes(number, nodes.into_iter().map(|node| (node.id, node)).collect());
                    }
                    if let Some(map) = reply.map {
                        self.install_map(Arc::new(map));
                    }
                    self.install_control_leader(reply.control_leader);
                }
                Err(problem) => {
                    tracing::debug!(%voter, problem, "a control voter gave no news");
                    self.install_control_leader(None);
                    turn += 1;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
