//! All replicas of one node.

use crate::hub::RaftHub;
use crate::shard_group::ShardGroup;
use crate::shard_state_machine::Applied;
use crate::timing::RaftTiming;
use isobar_model::{Incarnation, KvError, KvReply, KvRequest, LoadSample, NodeId, RouteVersion, Shard, ShardId};
use isobar_storage::{Cell, Engine, GroupId, LogEngine, NodeDir, ReplicaError, Replicas, ShardStore};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::{BasicNode, ServerState};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// What a node keeps on disk.
#[derive(Clone, Debug)]
pub struct NodeStorage {
    /// For named values.
    pub engine: Arc<dyn Engine>,
    /// The replicas.
    pub replicas: Arc<Replicas>,
    /// The log that all groups share.
    pub log: Arc<dyn LogEngine>,
}

impl From<&NodeDir> for NodeStorage {
    /// The data directory stays locked only as long as `dir` lives.
    fn from(dir: &NodeDir) -> Self {
        Self {
            engine: Arc::clone(&dir.engine),
            replicas: Arc::clone(&dir.replicas),
            log: Arc::clone(&dir.log) as Arc<dyn LogEngine>,
        }
    }
}

/// How a node runs its replicas.
#[derive(Clone, Copy, Debug)]
pub struct ShardHostConfig {
    /// Raft's beat.
    pub timing: RaftTiming,
    /// The longest an operation may take; past it the caller is told to try again.
    pub operation_timeout: Duration,
}

impl Default for ShardHostConfig {
    /// Five seconds: an election and a retry fit in, and a client's own ten seconds are not used up.
    fn default() -> Self {
        Self { timing: RaftTiming::SHARD, operation_timeout: Duration::from_secs(5) }
    }
}

/// Why a replica was not made ready.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The shard's record gives this node no replica.
    #[error("shard {shard} has no replica on node {node}")]
    NotPlaced {
        /// Which shard.
        shard: ShardId,
        /// This node.
        node: NodeId,
    },
    /// Another life of it is here.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The disk failed, or its content is damaged.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The group could not be started.
    #[error("the group of shard {shard} can't be started: {reason}")]
    Raft {
        /// Which shard.
        shard: ShardId,
        /// In words.
        reason: String,
    },
}

/// What a replica is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaRole {
    /// Leads.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Takes the log without a vote; also one that waits for its first leader.
    Learner,
    /// Stopped: its storage failed, or the node is going down.
    Stopped,
}

/// One replica as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The shard.
    pub shard: ShardId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What it is to its group.
    pub role: ReplicaRole,
    /// Its Raft term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Voters, as far as it knows.
    pub voters: BTreeSet<NodeId>,
    /// Index of the last entry in its log.
    pub last_index: Option<u64>,
    /// Index of the last entry it applied; rows, bytes and digest are as of it.
    pub applied: Option<u64>,
    /// Rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// 128-bit modular sum of the hashes of its rows, as hexadecimal digits.
    pub digest: String,
}

/// The replicas of a node, and who may operate on them.
pub struct ShardHost {
    hub: RaftHub,
    log: Arc<dyn LogEngine>,
    replicas: Arc<Replicas>,
    config: ShardHostConfig,
    groups: RwLock<BTreeMap<ShardId, Arc<ShardGroup>>>,
    /// Held by whoever starts or removes a replica.
    changing: tokio::sync::Mutex<()>,
    route_version: AtomicU64,
    fence: ControlFence,
}

/// The highest control term this node has seen, kept over restarts.
struct ControlFence {
    cell: Cell,
    term: Mutex<u64>,
}

impl fmt::Debug for ShardHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHost").field("replicas", &self.groups.read().len()).finish_non_exhaustive()
    }
}

impl ShardHost {
    /// Starts every replica on disk, and serves operations of the control leader on them.
    ///
    /// # Errors
    /// The disk fails or is damaged; a group can't be started.
    pub async fn open(storage: &NodeStorage, hub: &RaftHub, config: ShardHostConfig) -> Result<Arc<Self>, EnsureError> {
        let cell = Cell::new(Arc::clone(&storage.engine), "control-term");
        let term = match cell.read()? {
            Some(bytes) => crate::types::decode(&bytes)?,
            None => 0,
        };
        let host = Arc::new(Self {
            hub: hub.clone(),
            log: Arc::clone(&storage.log),
            replicas: Arc::clone(&storage.replicas),
            config,
            groups: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            route_version: AtomicU64::new(0),
            fence: ControlFence { cell, term: Mutex::new(term) },
        });
        // A log without its replica is left by a removal that was cut short. Were it kept, a later life of the replica would take the
        // log and the votes of an earlier one for its own.
        for group in storage.log.groups()? {
            if group != GroupId::CONTROL && host.replicas.get(ShardId(group.0)).is_none() {
                tracing::info!(%group, "removing the log of a replica that is gone");
                storage.log.remove_group(group)?;
            }
        }
        for store in host.replicas.all() {
            host.start(store).await?;
        }
        crate::shard_ops::serve(&host);
        Ok(host)
    }

    async fn start(&self, store: Arc<ShardStore>) -> Result<Arc<ShardGroup>, EnsureError> {
        let shard = store.record().shard;
        let group = ShardGroup::start(&self.hub, &self.log, store, self.config.timing).await?;
        self.groups.write().insert(shard, Arc::clone(&group));
        Ok(group)
    }

    pub(crate) fn hub(&self) -> &RaftHub {
        &self.hub
    }

    pub(crate) fn group(&self, shard: ShardId) -> Option<Arc<ShardGroup>> {
        self.groups.read().get(&shard).cloned()
    }

    /// Makes this node's replica of `shard` where it is not there yet. With `initialize` also founds the group, with all of the shard's
    /// replicas as voters, where it was not founded yet: exactly one of the nodes is asked to. Doing it again is no error.
    ///
    /// # Errors
    /// See [`EnsureError`].
    pub async fn ensure_replica(&self, shard: &Shard, initialize: bool) -> Result<(), EnsureError> {
        let node = self.hub.network().local();
        let replica = shard.replicas.iter().find(|replica| replica.node == node);
        let incarnation = replica.ok_or(EnsureError::NotPlaced { shard: shard.id, node })?.incarnation;
        let group = self.prepare(shard, incarnation).await?;
        if initialize {
            let members: BTreeMap<u64, BasicNode> =
                shard.replicas.iter().map(|replica| (replica.node.0, member_node())).collect();
            match group.raft.initialize(members).await {
                // Not allowed: it was founded before.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(RaftError::APIError(error @ InitializeError::NotInMembers(_))) => {
                    return Err(EnsureError::Raft { shard: shard.id, reason: error.to_string() });
                }
                Err(RaftError::Fatal(error)) => {
                    return Err(EnsureError::Raft { shard: shard.id, reason: error.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Makes an empty replica of this incarnation that waits for its leader, or finds the one that is there.
    pub(crate) async fn prepare(
        &self,
        shard: &Shard,
        incarnation: Incarnation,
    ) -> Result<Arc<ShardGroup>, EnsureError> {
        let _changing = self.changing.lock().await;
        if let Some(group) = self.group(shard.id) {
            let here = group.store.record().incarnation;
            return if here == incarnation {
                Ok(group)
            } else {
                Err(ReplicaError::AnotherIncarnation { shard: shard.id, incarnation: here }.into())
            };
        }
        // Whatever is left of an earlier life's log must not become this one's.
        let group = GroupId::from(shard.id);
        if self.log.groups()?.contains(&group) {
            self.log.remove_group(group)?;
        }
        let store = self.replicas.create(shard.id, incarnation, shard.range.clone(), shard.generation)?;
        self.start(store).await
    }

    /// Stops this incarnation's replica and removes its data. Another incarnation stays.
    pub(crate) async fn remove(&self, shard: ShardId, incarnation: Incarnation) -> io::Result<()> {
        let _changing = self.changing.lock().await;
        let Some(group) = self.group(shard) else { return Ok(()) };
        if group.store.record().incarnation != incarnation {
            return Ok(());
        }
        // First out of sight, so that clients are told that it is not here rather than that it stops.
        self.groups.write().remove(&shard);
        group.stop(&self.hub).await;
        self.log.remove_group(GroupId::from(shard))?;
        self.replicas.remove(shard, incarnation)?;
        tracing::info!(%shard, %incarnation, "removed a replica");
        Ok(())
    }

    /// Carries out an operation on a replica here.
    ///
    /// # Errors
    /// See [`KvError`]. Every error but `Internal` may be tried again, some elsewhere.
    pub async fn execute(&self, request: KvRequest) -> Result<KvReply, KvError> {
        let shard = request.shard;
        let Some(group) = self.group(shard) else {
            return Err(KvError::NotHere { shard, version: self.route_version() });
        };
        let is_write = request.op.is_write();
        let executed = timeout(self.config.operation_timeout, group.execute(request)).await;
        let outcome = executed.unwrap_or_else(|_| {
            let reason = "no quorum answered in time".to_owned();
            // A write may commit yet. Told to try again, a gateway could bring an old value back over a newer one (promise 2).
            Err(if is_write { KvError::Internal(reason) } else { KvError::Unavailable { shard, reason } })
        });
        match outcome {
            // The replica was removed meanwhile; a write that was under way may have been committed by the others.
            Err(KvError::Internal(_)) if !is_write && self.group(shard).is_none() => {
                Err(KvError::NotHere { shard, version: self.route_version() })
            }
            outcome => outcome,
        }
    }

    /// The route version given with `NotHere`.
    #[must_use]
    pub fn route_version(&self) -> RouteVersion {
        RouteVersion(self.route_version.load(Ordering::Relaxed))
    }

    /// Notes the node's route version; it never goes back.
    pub fn set_route_version(&self, version: RouteVersion) {
        self.route_version.fetch_max(version.0, Ordering::Relaxed);
    }

    /// What each replica here has done since the node started.
    #[must_use]
    pub fn samples(&self) -> Vec<LoadSample> {
        self.all().iter().map(|group| group.sample()).collect()
    }

    /// The shards led from here, with the term of their leadership.
    #[must_use]
    pub fn leaderships(&self) -> Vec<(ShardId, u64)> {
        let leading = |group: &Arc<ShardGroup>| {
            let metrics = group.raft.metrics().borrow_watched().clone();
            (metrics.state == ServerState::Leader).then_some((group.shard, metrics.current_term))
        };
        self.all().iter().filter_map(leading).collect()
    }

    /// Every replica here.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.all().iter().map(|group| status(group)).collect()
    }

    /// The replica of `shard` here, where there is one.
    #[must_use]
    pub fn replica(&self, shard: ShardId) -> Option<ReplicaStatus> {
        self.group(shard).map(|group| status(&group))
    }

    fn all(&self) -> Vec<Arc<ShardGroup>> {
        self.groups.read().values().cloned().collect()
    }

    /// Refuses a control term lower than the highest seen, and remembers a higher one.
    pub(crate) fn check_fence(&self, control_term: u64) -> Result<(), FenceError> {
        let mut seen = self.fence.term.lock();
        if control_term < *seen {
            return Err(FenceError::Fenced { seen: *seen });
        }
        if control_term > *seen {
            // Rare (once for each new control leader), so that waiting for the disk here does no harm.
            let bytes = crate::types::encode(&control_term).map_err(FenceError::Io)?;
            self.fence.cell.write(bytes).map_err(FenceError::Io)?;
            *seen = control_term;
        }
        Ok(())
    }

    /// Hands the leaderships of this node to others where it can, and stops every replica.
    pub async fn shutdown(&self) {
        let _changing = self.changing.lock().await;
        let groups = std::mem::take(&mut *self.groups.write());
        futures::future::join_all(groups.values().map(|group| hand_over(group))).await;
        futures::future::join_all(groups.values().map(|group| group.stop(&self.hub))).await;
    }

    /// Stops every replica at once, as a crash would: nothing is handed over.
    pub async fn abort(&self) {
        let groups = std::mem::take(&mut *self.groups.write());
        futures::future::join_all(groups.values().map(|group| group.stop(&self.hub))).await;
    }
}

/// Why a control leader's operation was not let through.
#[derive(Debug)]
pub(crate) enum FenceError {
    Fenced { seen: u64 },
    Io(io::Error),
}

/// The node data of a group's member. Empty: where nodes are is the address book's to say, as they may move.
pub(crate) fn member_node() -> BasicNode {
    BasicNode { addr: String::new() }
}

/// Gives the leadership to the voter that has most of the log; waits for a second at most, as elections heal what is left.
async fn hand_over(group: &ShardGroup) {
    let metrics = group.raft.metrics().borrow_watched().clone();
    if metrics.state != ServerState::Leader {
        return;
    }
    let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
    let heir = metrics
        .replication
        .iter()
        .flatten()
        .filter(|(node, _)| voters.contains(node) && **node != metrics.id)
        .max_by_key(|(_, matched)| matched.map(|id| id.index))
        .map(|(node, _)| *node);
    if let Some(heir) = heir
        && group.raft.trigger().transfer_leader(heir).await.is_ok()
    {
        let _ = group
            .raft
            .wait(Some(Duration::from_secs(1)))
            .metrics(|metrics| metrics.state != ServerState::Leader, "leadership is handed over")
            .await;
    }
}

fn status(group: &ShardGroup) -> ReplicaStatus {
    let metrics = group.raft.metrics().borrow_watched().clone();
    let state = group.store.state();
    let role = match metrics.state {
        ServerState::Leader => ReplicaRole::Leader,
        ServerState::Follower => ReplicaRole::Follower,
        ServerState::Candidate => ReplicaRole::Candidate,
        ServerState::Learner => ReplicaRole::Learner,
        ServerState::Shutdown => ReplicaRole::Stopped,
    };
    ReplicaStatus {
        shard: group.shard,
        incarnation: group.store.record().incarnation,
        role: if metrics.running_state.is_err() { ReplicaRole::Stopped } else { role },
        term: metrics.current_term,
        leader: metrics.current_leader.map(NodeId),
        voters: metrics.membership_config.membership().voter_ids().map(NodeId).collect(),
        last_index: metrics.last_log_index,
        // The store's own, so that it belongs to the digest beside it.
        applied: Applied::read(&state.applied).ok().and_then(|applied| applied.last).map(|id| id.index),
        rows: state.rows,
        bytes: state.bytes,
        digest: format!("{:032x}", state.digest.0),
    }
}
