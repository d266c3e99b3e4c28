//! The group that replicates the control state.

use crate::control_state_machine::{ControlStateMachine, Shared, StateSink};
use crate::hub::{Member, RaftHub};
use crate::log_store::LogStore;
use crate::network::GroupNetwork;
use crate::raft_message::{RaftAnswer, RaftMessage};
use crate::read_gate::{ReadGate, ReadRefusal};
use crate::shard_group::{install, receive};
use crate::shard_host::{NodeStorage, member_node};
use crate::snapshot_transfer::{SnapshotData, SnapshotSink};
use crate::timing::{RaftTiming, raft_config};
use crate::types::{Command, SnapshotMeta, TypeConfig, Vote};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::NodeId;
use isobar_ports::ReplicatedState;
use isobar_storage::{Cell, GroupId};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::raft::SnapshotResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The longest a proposal or a barrier takes: an election fits in twice.
const DEADLINE: Duration = Duration::from_secs(10);

type ControlRaft<S> = openraft::Raft<TypeConfig, ControlStateMachine<S>>;

/// Who leads a group, as far as a member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader.
    pub leader: Option<NodeId>,
    /// The member's Raft term.
    pub term: u64,
    /// Whether the member itself leads.
    pub is_local: bool,
}

/// Why a proposal or a barrier did not go through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Ask the leader; none: an election is under way.
    #[error("the control group is led by another node")]
    NotLeader(Option<NodeId>),
    /// No quorum in time, or the leader changed: whether a proposal takes effect is not known. Look at the state, then try again.
    #[error("try again: {0}")]
    Retry(String),
}

/// This node's member of the control group.
pub struct ControlGroup<S: ReplicatedState> {
    hub: RaftHub,
    raft: ControlRaft<S>,
    shared: Arc<Shared<S>>,
    reads: Arc<ReadGate>,
    leadership: watch::Receiver<Leadership>,
    following: AbortHandle,
}

impl<S: ReplicatedState> fmt::Debug for ControlGroup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlGroup").field("leadership", &*self.leadership.borrow()).finish_non_exhaustive()
    }
}

/// The part of the group that peers talk to.
struct ControlMember<S: ReplicatedState>(ControlRaft<S>);

impl<S: ReplicatedState> ControlGroup<S> {
    /// Starts the member where its log says it stopped; `state` is the state before the first entry. A member that belongs to no group yet
    /// waits to be founded ([`Self::initialize`]) or added.
    ///
    /// # Errors
    /// The disk fails or is damaged.
    pub async fn start(storage: &NodeStorage, hub: &RaftHub, timing: RaftTiming, state: S) -> io::Result<Arc<Self>> {
        let local = hub.network().local();
        let cell = Cell::new(Arc::clone(&storage.engine), "control-snapshot");
        let shared = Arc::new(Shared::new(state, cell));
        // A snapshot is synced when it is written, before the log is cut: nothing is left to sync at the cut.
        let log_store = LogStore::open(GroupId::CONTROL, Arc::clone(&storage.log), Arc::new(|| Ok(())))?;
        let network = GroupNetwork { hub: hub.clone(), group: GroupId::CONTROL };
        let config = raft_config("control".to_owned(), timing)?;
        let machine = ControlStateMachine::new(Arc::clone(&shared));
        let raft = ControlRaft::new(local.0, config, network, log_store, machine).await.map_err(io::Error::other)?;
        hub.join(GroupId::CONTROL, Arc::new(ControlMember(raft.clone())));
        let (sender, leadership) = watch::channel(Leadership::default());
        let following = tokio::spawn(follow(raft.clone(), sender)).abort_handle();
        Ok(Arc::new(Self { hub: hub.clone(), raft, shared, reads: Arc::default(), leadership, following }))
    }

    /// Founds the group with these voters, this node among them. Exactly one of them is asked to; doing it again is no error.
    ///
    /// # Errors
    /// This node is not among the voters, or has stopped.
    pub async fn initialize(&self, voters: &BTreeSet<NodeId>) -> io::Result<()> {
        let members: BTreeMap<_, _> = voters.iter().map(|voter| (voter.0, member_node())).collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Whether the member belongs to a group.
    pub async fn is_initialized(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(false)
    }

    /// Has a command applied on a majority, and gives the state's reply.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        let written = timeout(DEADLINE, self.raft.client_write(Command(command))).await;
        match written {
            Ok(Ok(written)) => Ok(written.data.0),
            Ok(Err(error)) => Err(self.write_error(error)),
            Err(_) => Err(ProposeError::Retry("no quorum answered in time".to_owned())),
        }
    }

    /// Waits until this member, which must lead, has applied everything committed before the call: what is read then is current.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn barrier(&self) -> Result<(), ProposeError> {
        let passed = timeout(DEADLINE, self.reads.pass(&self.raft)).await;
        match passed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ReadRefusal::NotLeader(leader))) => Err(ProposeError::NotLeader(leader)),
            Ok(Err(ReadRefusal::Unavailable(reason) | ReadRefusal::Stopped(reason))) => {
                Err(ProposeError::Retry(reason))
            }
            Err(_) => Err(ProposeError::Retry("no quorum answered in time".to_owned())),
        }
    }

    /// Reads the state as this member has it: current after a [`Self::barrier`], perhaps a little old otherwise. Nothing is applied
    /// while `read` runs, so it should be short.
    pub fn read<T>(&self, read: impl FnOnce(&S) -> T) -> T {
        read(&self.shared.applied.read().state)
    }

    /// Whether this member leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raft.server_metrics().borrow_watched().state == ServerState::Leader
    }

    /// This member's Raft term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.raft.metrics().borrow_watched().current_term
    }

    /// Who leads, now and with every change.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Index of the last applied entry, now and with every change.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.shared.index.subscribe()
    }

    /// The group's voters, as far as this member knows.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        metrics.membership_config.membership().voter_ids().map(NodeId).collect()
    }

    /// Makes exactly these nodes the voters; new ones are sent the state first. Each must run a member.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn change_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), ProposeError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let change = async {
            for voter in voters {
                if metrics.membership_config.membership().get_node(&voter.0).is_none() {
                    self.raft.add_learner(voter.0, member_node(), true).await?;
                }
            }
            let ids: BTreeSet<u64> = voters.iter().map(|voter| voter.0).collect();
            self.raft.change_membership(ids, false).await
        };
        match timeout(DEADLINE, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.write_error(error)),
            Err(_) => Err(ProposeError::Retry("the new voters are not ready yet".to_owned())),
        }
    }

    fn write_error(&self, error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ProposeError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                let local = self.hub.network().local();
                ProposeError::NotLeader(forward.leader_id.map(NodeId).filter(|&leader| leader != local))
            }
            RaftError::APIError(
                error @ (ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            ) => ProposeError::Retry(error.to_string()),
            RaftError::Fatal(error) => ProposeError::Retry(error.to_string()),
        }
    }

    /// Writes a snapshot and cuts the log now rather than at the next threshold.
    ///
    /// # Errors
    /// The member has stopped.
    pub async fn compact(&self) -> io::Result<()> {
        self.raft.trigger().snapshot().await.map_err(io::Error::other)
    }

    /// Stops the member.
    pub async fn shutdown(&self) {
        self.hub.leave(GroupId::CONTROL);
        self.following.abort();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the control group's member did not stop cleanly");
        }
    }
}

impl<S: ReplicatedState> Drop for ControlGroup<S> {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Tells of changes of leadership until the group stops.
async fn follow<S: ReplicatedState>(raft: ControlRaft<S>, sender: watch::Sender<Leadership>) {
    let mut metrics = raft.metrics();
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            Leadership {
                leader: metrics.current_leader.map(NodeId),
                term: metrics.current_term,
                is_local: metrics.state == ServerState::Leader,
            }
        };
        sender.send_if_modified(|told| std::mem::replace(told, now) != now);
        if metrics.changed().await.is_err() {
            sender.send_if_modified(|told| {
                let gone = Leadership { leader: None, is_local: false, ..now };
                std::mem::replace(told, gone) != gone
            });
            return;
        }
    }
}

#[async_trait]
impl<S: ReplicatedState> Member for ControlMember<S> {
    async fn receive(&self, message: RaftMessage) -> RaftAnswer {
        receive(&self.0, message).await
    }

    fn snapshot_sink(&self, _meta: &SnapshotMeta, header: &[u8]) -> io::Result<Box<dyn SnapshotSink>> {
        Ok(Box::new(StateSink::open(header)?))
    }

    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        data: SnapshotData,
    ) -> Result<SnapshotResponse<TypeConfig>, String> {
        install(&self.0, vote, meta, data).await
    }
}
