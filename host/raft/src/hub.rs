//! Where the Raft messages of all groups of a node come in and go out.

use crate::raft_message::{RaftAnswer, RaftMessage};
use crate::snapshot_transfer::{CopyTable, Receiver, SnapshotAnswer, SnapshotData, SnapshotMessage, SnapshotSink};
use crate::transport::{Lane, PeerError, PeerHandler, PeerNetwork, RAFT_SERVICE, SNAPSHOT_SERVICE};
use crate::types::{SnapshotMeta, TypeConfig, Vote, decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::NodeId;
use isobar_storage::GroupId;
use openraft::raft::SnapshotResponse;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A group on this node, as its peers see it.
#[async_trait]
pub(crate) trait Member: Send + Sync {
    /// Answers a Raft message.
    async fn receive(&self, message: RaftMessage) -> RaftAnswer;
    /// Begins to take a snapshot.
    fn snapshot_sink(&self, meta: &SnapshotMeta, header: &[u8]) -> io::Result<Box<dyn SnapshotSink>>;
    /// Installs a snapshot that was taken whole.
    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        data: SnapshotData,
    ) -> Result<SnapshotResponse<TypeConfig>, String>;
}

/// The groups of a node, and the way to those of its peers. Shared by the shards and the control group.
#[derive(Clone)]
pub struct RaftHub {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    network: Arc<dyn PeerNetwork>,
    members: RwLock<HashMap<GroupId, Arc<dyn Member>>>,
    receiver: Receiver,
    copies: CopyTable,
}

impl fmt::Debug for RaftHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftHub")
            .field("network", &self.inner.network)
            .field("groups", &self.inner.members.read().len())
            .finish_non_exhaustive()
    }
}

impl RaftHub {
    /// Takes the Raft messages that come in from `network`.
    #[must_use]
    pub fn new(network: Arc<dyn PeerNetwork>) -> Self {
        let inner = Arc::new(Inner {
            network,
            members: RwLock::default(),
            receiver: Receiver::default(),
            copies: CopyTable::default(),
        });
        // Weak, as the network would otherwise own what owns the network.
        inner.network.register(RAFT_SERVICE, Arc::new(RaftInbox(Arc::downgrade(&inner))));
        inner.network.register(SNAPSHOT_SERVICE, Arc::new(SnapshotInbox(Arc::downgrade(&inner))));
        Self { inner }
    }

    /// The network it speaks through.
    #[must_use]
    pub fn network(&self) -> &Arc<dyn PeerNetwork> {
        &self.inner.network
    }

    /// Rates and progress of the snapshots this node sends.
    pub(crate) fn copies(&self) -> &CopyTable {
        &self.inner.copies
    }

    pub(crate) fn join(&self, group: GroupId, member: Arc<dyn Member>) {
        self.inner.members.write().insert(group, member);
    }

    pub(crate) fn leave(&self, group: GroupId) {
        self.inner.members.write().remove(&group);
        self.inner.receiver.forget(group);
        self.inner.copies.forget(group);
    }

    pub(crate) async fn send(
        &self,
        to: u64,
        group: GroupId,
        message: RaftMessage,
        deadline: Duration,
    ) -> Result<RaftAnswer, PeerError> {
        let lost = |error: io::Error| PeerError::Unreachable { peer: NodeId(to), reason: error.to_string() };
        let request = encode(&(group.0, message)).map_err(lost)?;
        let answer = self.inner.network.call(NodeId(to), RAFT_SERVICE, request, deadline).await?;
        decode(&answer).map_err(lost)
    }

    pub(crate) async fn send_snapshot(
        &self,
        to: u64,
        message: &SnapshotMessage,
        deadline: Duration,
    ) -> Result<SnapshotAnswer, PeerError> {
        let lost = |error: io::Error| PeerError::Unreachable { peer: NodeId(to), reason: error.to_string() };
        let request = encode(message).map_err(lost)?;
        let answer = self.inner.network.call_on(Lane::Bulk, NodeId(to), SNAPSHOT_SERVICE, request, deadline).await?;
        decode(&answer).map_err(lost)
    }
}

impl Inner {
    fn member(&self, group: GroupId) -> Option<Arc<dyn Member>> {
        self.members.read().get(&group).cloned()
    }
}

struct RaftInbox(Weak<Inner>);

#[async_trait]
impl PeerHandler for RaftInbox {
    async fn handle(&self, _from: NodeId, request: Bytes) -> Bytes {
        let answer = match (self.0.upgrade(), decode::<(u64, RaftMessage)>(&request)) {
            (Some(hub), Ok((group, message))) => match hub.member(GroupId(group)) {
                Some(member) => member.receive(message).await,
                None => RaftAnswer::NotHere,
            },
            (None, _) => RaftAnswer::NotHere,
            (_, Err(error)) => RaftAnswer::Failed(format!("the message can't be read: {error}")),
        };
        // An answer without bytes can't be read either, and so counts as a broken connection.
        encode(&answer).unwrap_or_default()
    }
}

struct SnapshotInbox(Weak<Inner>);

#[async_trait]
impl PeerHandler for SnapshotInbox {
    async fn handle(&self, from: NodeId, request: Bytes) -> Bytes {
        let answer = match (self.0.upgrade(), decode::<SnapshotMessage>(&request)) {
            (Some(hub), Ok(message)) => match hub.member(message.group()) {
                Some(member) => hub.receiver.receive(from, member, message).await,
                None => SnapshotAnswer::Failed("no replica of the shard lives here".to_owned()),
            },
            (None, _) => SnapshotAnswer::Failed("the node is stopping".to_owned()),
            (_, Err(error)) => SnapshotAnswer::Failed(format!("the message can't be read: {error}")),
        };
        encode(&answer).unwrap_or_default()
    }
}
