//! One replica: its member of the shard's Raft group, and its rows.

use crate::hub::{Member, RaftHub};
use crate::log_store::LogStore;
use crate::network::GroupNetwork;
use crate::raft_message::{RaftAnswer, RaftMessage};
use crate::read_gate::{ReadGate, ReadRefusal};
use crate::shard_state_machine::{ShardSink, ShardStateMachine};
use crate::snapshot_transfer::{SnapshotData, SnapshotSink};
use crate::timing::{RaftTiming, raft_config};
use crate::types::{Command, SnapshotMeta, TypeConfig, Vote};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::{Consistency, KvError, KvOp, KvReply, KvRequest, LoadSample, NodeId, ShardId};
use isobar_storage::{GroupId, LogEngine, ReadError, ShardCommand, ShardReply, ShardStore};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::raft::SnapshotResponse;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

/// Operations of one shard under way at once. More would wait longer than a client does.
const MAX_OPERATIONS: usize = 2048;

pub(crate) type ShardRaft = openraft::Raft<TypeConfig, ShardStateMachine>;

/// A replica at work.
pub(crate) struct ShardGroup {
    pub(crate) shard: ShardId,
    pub(crate) raft: ShardRaft,
    pub(crate) store: Arc<ShardStore>,
    local: NodeId,
    reads_gate: Arc<ReadGate>,
    operations: Semaphore,
    counters: Counters,
}

/// What the replica has done since the node started.
#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    read_bytes: AtomicU64,
    write_bytes: AtomicU64,
}

impl fmt::Debug for ShardGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardGroup").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl ShardGroup {
    /// Starts the replica in `store` where its log says it stopped, and lets its peers reach it.
    pub(crate) async fn start(
        hub: &RaftHub,
        log: &Arc<dyn LogEngine>,
        store: Arc<ShardStore>,
        timing: RaftTiming,
    ) -> io::Result<Arc<Self>> {
        let shard = store.record().shard;
        let group = GroupId::from(shard);
        let local = hub.network().local();
        let synced = Arc::clone(&store);
        let log_store = LogStore::open(group, Arc::clone(log), Arc::new(move || synced.sync()))?;
        let machine = ShardStateMachine::open(group, hub.clone(), Arc::clone(&store))?;
        let config = raft_config(format!("shard {shard}"), timing)?;
        let network = GroupNetwork { hub: hub.clone(), group };
        let raft = ShardRaft::new(local.0, config, network, log_store, machine).await.map_err(io::Error::other)?;
        let replica = Arc::new(Self {
            shard,
            raft,
            store,
            local,
            reads_gate: Arc::default(),
            operations: Semaphore::new(MAX_OPERATIONS),
            counters: Counters::default(),
        });
        hub.join(group, Arc::clone(&replica) as Arc<dyn Member>);
        Ok(replica)
    }

    /// Carries out one operation. Whoever calls bounds the time.
    pub(crate) async fn execute(&self, request: KvRequest) -> Result<KvReply, KvError> {
        let Ok(_permit) = self.operations.try_acquire() else {
            return Err(self.unavailable("too many operations are under way"));
        };
        let generation = request.generation;
        match request.op {
            KvOp::Get { key, consistency } => {
                self.admit_read(consistency).await?;
                let value = self.store.get(&key).map_err(|error| self.read_error(error))?;
                self.count_read(key.len() + value.as_ref().map_or(0, Bytes::len));
                Ok(KvReply::Value(value))
            }
            KvOp::Scan { start, end, limit } => {
                self.admit_read(Consistency::Linearizable).await?;
                let page = self
                    .store
                    .scan(&start, end.as_ref(), usize::try_from(limit).unwrap_or(usize::MAX))
                    .map_err(|error| self.read_error(error))?;
                self.count_read(page.rows.iter().map(|(key, value)| key.len() + value.len()).sum());
                Ok(KvReply::Rows { rows: page.rows, next: page.next })
            }
            KvOp::Put { key, value } => {
                let bytes = key.len() + value.len();
                self.write(&key.clone(), ShardCommand::Put { generation, key, value }, bytes).await
            }
            KvOp::Delete { key } => {
                let bytes = key.len();
                self.write(&key.clone(), ShardCommand::Delete { generation, key }, bytes).await
            }
        }
    }

    async fn admit_read(&self, consistency: Consistency) -> Result<(), KvError> {
        match consistency {
            // A replica that still waits for its snapshot has nothing, which is not the same as knowing that there is nothing.
            Consistency::Stale if self.store.state().applied.is_empty() => {
                let leader = self.raft.metrics().borrow_watched().current_leader.map(NodeId);
                Err(KvError::NotLeader { shard: self.shard, leader })
            }
            Consistency::Stale => Ok(()),
            Consistency::Linearizable => self.reads_gate.pass(&self.raft).await.map_err(|refusal| match refusal {
                ReadRefusal::NotLeader(leader) => KvError::NotLeader { shard: self.shard, leader },
                ReadRefusal::Unavailable(reason) => self.unavailable(&reason),
                ReadRefusal::Stopped(reason) => KvError::Internal(reason),
            }),
        }
    }

    async fn write(&self, key: &[u8], command: ShardCommand, bytes: usize) -> Result<KvReply, KvError> {
        let record = self.store.record();
        if !record.range.contains(key) {
            // Not worth a log entry; the range is checked again when the command is applied.
            return Err(KvError::OutOfRange { shard: self.shard, generation: record.generation });
        }
        let (index, reply) = self.propose(command).await.map_err(|error| match error {
            // It may be committed by the next leader yet. Told to try again, a gateway could bring an old value back over a newer one
            // (promise 2): whether to write again is the client's to say.
            KvError::Unavailable { reason, .. } => KvError::Internal(reason),
            error @ (KvError::NotLeader { .. }
            | KvError::NotHere { .. }
            | KvError::OutOfRange { .. }
            | KvError::Internal(_)) => error,
        })?;
        match reply {
            ShardReply::Written => {
                self.counters.writes.fetch_add(1, Ordering::Relaxed);
                self.counters.write_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(KvReply::Written { index })
            }
            ShardReply::OutOfRange { generation } => Err(KvError::OutOfRange { shard: self.shard, generation }),
            ShardReply::Malformed(reason) => Err(KvError::Internal(reason)),
            ShardReply::Verified(_) => Err(KvError::Internal("a write was answered with a digest".to_owned())),
        }
    }

    /// Has a command applied, and gives its log index and the reply.
    pub(crate) async fn propose(&self, command: ShardCommand) -> Result<(u64, ShardReply), KvError> {
        match self.raft.client_write(Command(command.encode())).await {
            Ok(written) => {
                let reply =
                    ShardReply::decode(&written.data.0).map_err(|error| KvError::Internal(error.to_string()))?;
                Ok((written.log_id.index, reply))
            }
            Err(RaftError::APIError(error)) => Err(match error {
                ClientWriteError::ForwardToLeader(forward) => self.not_leader(&forward),
                // It may yet be committed by the next leader.
                ClientWriteError::LogEntryDiscarded(_) => self.unavailable("the leader changed during the write"),
                ClientWriteError::ChangeMembershipError(error) => KvError::Internal(error.to_string()),
                ClientWriteError::PreconditionFailed(error) => KvError::Internal(error.to_string()),
            }),
            Err(RaftError::Fatal(error)) => Err(KvError::Internal(error.to_string())),
        }
    }

    fn not_leader(&self, forward: &ForwardToLeader<TypeConfig>) -> KvError {
        let leader = forward.leader_id.map(NodeId).filter(|&leader| leader != self.local);
        KvError::NotLeader { shard: self.shard, leader }
    }

    fn unavailable(&self, reason: &str) -> KvError {
        KvError::Unavailable { shard: self.shard, reason: reason.to_owned() }
    }

    fn read_error(&self, error: ReadError) -> KvError {
        match error {
            ReadError::OutOfRange { generation } => KvError::OutOfRange { shard: self.shard, generation },
            ReadError::Io(error) => KvError::Internal(error.to_string()),
        }
    }

    fn count_read(&self, bytes: usize) {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.counters.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether this replica leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.raft.server_metrics().borrow_watched().state == ServerState::Leader
    }

    /// What it has done so far.
    pub(crate) fn sample(&self) -> LoadSample {
        LoadSample {
            shard: self.shard,
            node: self.local,
            leads: self.leads(),
            reads: self.counters.reads.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
            read_bytes: self.counters.read_bytes.load(Ordering::Relaxed),
            write_bytes: self.counters.write_bytes.load(Ordering::Relaxed),
            stored_bytes: self.store.state().bytes,
        }
    }

    /// Stops the member and waits until it has.
    pub(crate) async fn stop(&self, hub: &RaftHub) {
        hub.leave(GroupId::from(self.shard));
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(shard = %self.shard, %error, "a replica did not stop cleanly");
        }
    }
}

#[async_trait]
impl Member for ShardGroup {
    async fn receive(&self, message: RaftMessage) -> RaftAnswer {
        receive(&self.raft, message).await
    }

    fn snapshot_sink(&self, meta: &SnapshotMeta, header: &[u8]) -> io::Result<Box<dyn SnapshotSink>> {
        Ok(Box::new(ShardSink::open(&self.store, meta, header)?))
    }

    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        data: SnapshotData,
    ) -> Result<SnapshotResponse<TypeConfig>, String> {
        install(&self.raft, vote, meta, data).await
    }
}

/// Hands a message to a group's member.
pub(crate) async fn receive<SM>(raft: &openraft::Raft<TypeConfig, SM>, message: RaftMessage) -> RaftAnswer
where
    SM: openraft::storage::RaftStateMachine<TypeConfig>,
{
    let failed = |error: &dyn fmt::Display| RaftAnswer::Failed(error.to_string());
    match message {
        RaftMessage::Append(request) => {
            raft.append_entries(request).await.map_or_else(|error| failed(&error), RaftAnswer::Append)
        }
        RaftMessage::Vote(request) => raft.vote(request).await.map_or_else(|error| failed(&error), RaftAnswer::Vote),
        RaftMessage::PreVote(request) => {
            raft.pre_vote(request).await.map_or_else(|error| failed(&error), RaftAnswer::Vote)
        }
        RaftMessage::TransferLeader(request) => {
            raft.handle_transfer_leader(request).await.map_or_else(|error| failed(&error), RaftAnswer::TransferLeader)
        }
    }
}

/// Hands a received snapshot to a group's member.
pub(crate) async fn install<SM>(
    raft: &openraft::Raft<TypeConfig, SM>,
    vote: Vote,
    meta: SnapshotMeta,
    snapshot: SnapshotData,
) -> Result<SnapshotResponse<TypeConfig>, String>
where
    SM: openraft::storage::RaftStateMachine<TypeConfig, SnapshotData = SnapshotData>,
{
    let snapshot = openraft::alias::SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot };
    raft.install_full_snapshot(vote, snapshot).await.map_err(|error| error.to_string())
}
