//! How openraft reaches the other members of a group: through the hub.

use crate::hub::RaftHub;
use crate::raft_message::{RaftAnswer, RaftMessage};
use crate::snapshot_transfer::{SnapshotData, send_snapshot};
use crate::transport::PeerError;
use crate::types::{TypeConfig, Vote};
use isobar_storage::GroupId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend};
use openraft_multi::{GroupNetworkAdapter, GroupRouter};
use std::time::Duration;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Makes the connections of one group.
pub(crate) struct GroupNetwork {
    pub(crate) hub: RaftHub,
    pub(crate) group: GroupId,
}

impl RaftNetworkFactory<TypeConfig> for GroupNetwork {
    type Network = GroupNetworkAdapter<TypeConfig, GroupId, Router>;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Self::Network {
        GroupNetworkAdapter::new(Router(self.hub.clone()), target, self.group)
    }
}

/// The hub, as openraft sees it.
#[derive(Clone)]
pub(crate) struct Router(RaftHub);

impl Router {
    async fn ask(
        &self,
        target: u64,
        group: GroupId,
        message: RaftMessage,
        deadline: Duration,
    ) -> Result<RaftAnswer, RPCError<TypeConfig>> {
        match self.0.send(target, group, message, deadline).await {
            Ok(RaftAnswer::NotHere) => Err(unreachable("the group has no member there")),
            Ok(RaftAnswer::Failed(reason)) => Err(unreachable(&reason)),
            Ok(answer) => Ok(answer),
            // Both passed the deadline or came back at once, and may go through the next time.
            Err(error @ (PeerError::Busy(_) | PeerError::DeadlineExceeded(_))) => {
                Err(RPCError::Network(NetworkError::new(&error)))
            }
            Err(
                error @ (PeerError::UnknownPeer(_)
                | PeerError::Unreachable { .. }
                | PeerError::NoSuchService { .. }
                | PeerError::TooLarge { .. }),
            ) => Err(RPCError::Unreachable(Unreachable::new(&error))),
        }
    }
}

fn unreachable(reason: &str) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

fn wrong_answer() -> RPCError<TypeConfig> {
    unreachable("it answered something that was not asked")
}

impl GroupRouter<TypeConfig, GroupId> for Router {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &self,
        target: u64,
        group: GroupId,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(target, group, RaftMessage::Append(rpc), option.soft_ttl()).await? {
            RaftAnswer::Append(response) => Ok(response),
            RaftAnswer::Vote(_) | RaftAnswer::TransferLeader(_) | RaftAnswer::NotHere | RaftAnswer::Failed(_) => {
                Err(wrong_answer())
            }
        }
    }

    async fn vote(
        &self,
        target: u64,
        group: GroupId,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(target, group, RaftMessage::Vote(rpc), option.soft_ttl()).await? {
            RaftAnswer::Vote(response) => Ok(response),
            RaftAnswer::Append(_) | RaftAnswer::TransferLeader(_) | RaftAnswer::NotHere | RaftAnswer::Failed(_) => {
                Err(wrong_answer())
            }
        }
    }

    async fn pre_vote(
        &self,
        target: u64,
        group: GroupId,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(target, group, RaftMessage::PreVote(rpc), option.soft_ttl()).await? {
            RaftAnswer::Vote(response) => Ok(response),
            RaftAnswer::Append(_) | RaftAnswer::TransferLeader(_) | RaftAnswer::NotHere | RaftAnswer::Failed(_) => {
                Err(wrong_answer())
            }
        }
    }

    async fn full_snapshot(
        &self,
        target: u64,
        group: GroupId,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        match snapshot.snapshot {
            SnapshotData::Source(source) => {
                send_snapshot(&self.0, target, group, vote, snapshot.meta, source, cancel).await
            }
            SnapshotData::Marker | SnapshotData::Shard(_) | SnapshotData::State(_) => {
                Err(StreamingError::Unreachable(Unreachable::from_string("this snapshot is not one to be sent")))
            }
        }
    }

    async fn transfer_leader(
        &self,
        target: u64,
        group: GroupId,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.ask(target, group, RaftMessage::TransferLeader(req), option.soft_ttl()).await? {
            RaftAnswer::TransferLeader(response) => Ok(response),
            RaftAnswer::Append(_) | RaftAnswer::Vote(_) | RaftAnswer::NotHere | RaftAnswer::Failed(_) => {
                Err(wrong_answer())
            }
        }
    }
}
