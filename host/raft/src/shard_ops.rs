//! Operations of the control leader on shards, over node requests.
//!
//! The asking side ([`RaftShardOps`]) finds the leader among the nodes that may have the shard; the answering side, on every node, checks
//! the fence and does the part that is its own.

mod inbox;
mod message;

pub(crate) use inbox::serve;

use crate::transport::{PeerNetwork, SHARD_OPS_SERVICE};
use crate::types::{decode, encode};
use async_trait::async_trait;
use isobar_model::{Incarnation, NodeId, Replica, Shard, ShardId};
use isobar_ports::{CopyProgress, Fence, ReplicaDigest, ShardOpError, ShardOps, ShardStatus};
use message::{Answer, Done, Operation, Refusal};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest an operation takes, with all its tries.
const OPERATION_DEADLINE: Duration = Duration::from_secs(10);
/// Between two rounds over the nodes of a shard that has no leader just now; an election takes a few seconds.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// Where a shard may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// Its record.
    pub shard: Shard,
    /// Nodes that are not among its replicas but may hold it: source and target of a migration.
    pub others: BTreeSet<NodeId>,
}

/// Tells where a shard may be found; the control state knows.
pub trait ShardLocator: Send + Sync {
    /// Where `shard` may be, none where there is no such shard.
    fn locate(&self, shard: ShardId) -> Option<ShardPlace>;
}

impl<F: Fn(ShardId) -> Option<ShardPlace> + Send + Sync> ShardLocator for F {
    fn locate(&self, shard: ShardId) -> Option<ShardPlace> {
        self(shard)
    }
}

/// Carries out the operations of the control leader.
pub struct RaftShardOps {
    network: Arc<dyn PeerNetwork>,
    locator: Arc<dyn ShardLocator>,
    /// Where each shard's leader was last met; a guess that saves a round. Bounded by the number of shards.
    leaders: Mutex<HashMap<ShardId, NodeId>>,
}

impl fmt::Debug for RaftShardOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftShardOps").field("network", &self.network).finish_non_exhaustive()
    }
}

impl RaftShardOps {
    /// Operates on shards through `network`, which `locator` says where to find.
    #[must_use]
    pub fn new(network: Arc<dyn PeerNetwork>, locator: Arc<dyn ShardLocator>) -> Self {
        Self { network, locator, leaders: Mutex::default() }
    }

    fn place(&self, shard: ShardId) -> Result<ShardPlace, ShardOpError> {
        self.locator.locate(shard).ok_or_else(|| ShardOpError::Refused(format!("there is no shard {shard}")))
    }

    /// Asks one node.
    async fn ask(&self, node: NodeId, operation: &Operation, deadline: Duration) -> Result<Done, Refusal> {
        let retry = |reason: String| Refusal::Error(ShardOpError::Retry(reason));
        let request = encode(operation).map_err(|error| retry(error.to_string()))?;
        let answer = self.network.call(node, SHARD_OPS_SERVICE, request, deadline).await;
        let answer = answer.map_err(|error| retry(error.to_string()))?;
        decode::<Answer>(&answer).map_err(|error| retry(format!("node {node} answered what can't be read: {error}")))?
    }

    /// Asks one node, of which no other can do the work.
    async fn ask_node(&self, node: NodeId, operation: &Operation) -> Result<Done, ShardOpError> {
        self.ask(node, operation, OPERATION_DEADLINE).await.map_err(|refusal| match refusal {
            Refusal::NotLeader(_) => ShardOpError::Retry(format!("node {node} does not lead")),
            Refusal::NotHere => ShardOpError::Retry(format!("node {node} has no replica of the shard")),
            Refusal::Error(error) => error,
        })
    }

    /// Asks the shard's leader, wherever it is.
    async fn ask_leader(&self, shard: ShardId, operation: &Operation) -> Result<Done, ShardOpError> {
        let deadline = Instant::now() + OPERATION_DEADLINE;
        let mut reason = "no node could be asked".to_owned();
        loop {
            let place = self.place(shard)?;
            let mut candidates: Vec<NodeId> = place.shard.replicas.iter().map(|replica| replica.node).collect();
            candidates.extend(place.others);
            candidates.splice(0..0, place.shard.leader);
            candidates.splice(0..0, self.leaders.lock().get(&shard).copied());
            candidates.reverse(); // popped from the end: the best guess last
            let mut asked = BTreeSet::new();
            while let Some(node) = candidates.pop() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ShardOpError::Retry(reason));
                }
                if !asked.insert(node) {
                    continue;
                }
                match self.ask(node, operation, left.min(operation.patience())).await {
                    Ok(done) => {
                        self.leaders.lock().insert(shard, node);
                        return Ok(done);
                    }
                    Err(Refusal::NotLeader(hint)) => {
                        reason = format!("shard {shard} has no leader just now");
                        candidates.extend(hint);
                    }
                    Err(Refusal::NotHere) => {}
                    Err(Refusal::Error(ShardOpError::Retry(why))) => reason = why,
                    Err(Refusal::Error(error @ (ShardOpError::Fenced { .. } | ShardOpError::Refused(_)))) => {
                        return Err(error);
                    }
                }
            }
            if Instant::now() + ROUND_PAUSE >= deadline {
                return Err(ShardOpError::Retry(reason));
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }
}

/// The node answered another operation than it was asked to do: its version is not ours.
fn wrong_answer() -> ShardOpError {
    ShardOpError::Refused("the node gave an answer to something else".to_owned())
}

#[async_trait]
impl ShardOps for RaftShardOps {
    async fn status(&self, shard: ShardId) -> Result<ShardStatus, ShardOpError> {
        match self.ask_leader(shard, &Operation::Status { shard }).await? {
            Done::Status(status) => Ok(status),
            Done::Nothing | Done::Progress(_) | Done::Verified { .. } | Done::Digest(_) => Err(wrong_answer()),
        }
    }

    async fn prepare_replica(&self, fence: Fence, shard: ShardId, replica: Replica) -> Result<(), ShardOpError> {
        let record = self.place(shard)?.shard;
        let operation = Operation::Prepare { fence, shard: record, incarnation: replica.incarnation };
        self.ask_node(replica.node, &operation).await.map(drop)
    }

    async fn add_learner(
        &self,
        fence: Fence,
        shard: ShardId,
        replica: Replica,
        copy_bytes_per_s: u64,
    ) -> Result<(), ShardOpError> {
        let operation = Operation::AddLearner { fence, shard, node: replica.node, copy_bytes_per_s };
        self.ask_leader(shard, &operation).await?;
        // Any voter may come to lead while the copy runs, and must know its rate then. Best effort: without it a copy is unthrottled.
        let voters = self.place(shard)?.shard.replicas;
        let rate = Operation::SetCopyRate { fence, shard, node: replica.node, copy_bytes_per_s };
        let tell = voters.iter().map(|voter| self.ask(voter.node, &rate, rate.patience()));
        futures::future::join_all(tell).await;
        Ok(())
    }

    async fn copy_progress(&self, shard: ShardId, node: NodeId) -> Result<CopyProgress, ShardOpError> {
        match self.ask_leader(shard, &Operation::Progress { shard, node }).await? {
            Done::Progress(progress) => Ok(progress),
            Done::Nothing | Done::Status(_) | Done::Verified { .. } | Done::Digest(_) => Err(wrong_answer()),
        }
    }

    /// Every learner must answer, and a majority of the voters: a voter that is down does not keep its shards from moving.
    async fn verify(&self, fence: Fence, shard: ShardId) -> Result<BTreeMap<NodeId, ReplicaDigest>, ShardOpError> {
        let started = Instant::now();
        let (index, voters, learners) = match self.ask_leader(shard, &Operation::Verify { fence, shard }).await? {
            Done::Verified { index, voters, learners } => (index, voters, learners),
            Done::Nothing | Done::Status(_) | Done::Progress(_) | Done::Digest(_) => return Err(wrong_answer()),
        };
        let left = OPERATION_DEADLINE.saturating_sub(started.elapsed());
        let members: BTreeSet<NodeId> = voters.union(&learners).copied().collect();
        let asked = members
            .into_iter()
            .map(|node| async move { (node, self.ask(node, &Operation::DigestAt { shard, index }, left).await) });
        let mut digests = BTreeMap::new();
        let mut missing = Vec::new();
        for (node, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok(Done::Digest(digest)) => {
                    digests.insert(node, digest);
                }
                Ok(Done::Nothing | Done::Status(_) | Done::Progress(_) | Done::Verified { .. }) => {
                    return Err(wrong_answer());
                }
                Err(refusal) => missing.push((node, refusal)),
            }
        }
        let voters_heard = voters.iter().filter(|voter| digests.contains_key(voter)).count();
        match missing.iter().find(|(node, _)| learners.contains(node) || 2 * voters_heard <= voters.len()) {
            Some((node, refusal)) => {
                Err(ShardOpError::Retry(format!("node {node} gave no digest at entry {index}: {refusal}")))
            }
            None => Ok(digests),
        }
    }

    async fn change_voters(&self, fence: Fence, shard: ShardId, voters: BTreeSet<NodeId>) -> Result<(), ShardOpError> {
        self.ask_leader(shard, &Operation::ChangeVoters { fence, shard, voters }).await.map(drop)
    }

    async fn transfer_leader(&self, fence: Fence, shard: ShardId, to: NodeId) -> Result<(), ShardOpError> {
        self.ask_leader(shard, &Operation::TransferLeader { fence, shard, to }).await?;
        self.leaders.lock().insert(shard, to);
        Ok(())
    }

    async fn remove_learner(&self, fence: Fence, shard: ShardId, node: NodeId) -> Result<(), ShardOpError> {
        self.ask_leader(shard, &Operation::RemoveLearner { fence, shard, node }).await.map(drop)
    }

    /// Refused while the group still counts the node among its members: its vote would be lost with its data.
    async fn delete_replica(
        &self,
        fence: Fence,
        shard: ShardId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<(), ShardOpError> {
        let status = self.status(shard).await?;
        if status.joint {
            return Err(ShardOpError::Retry(format!("the membership of shard {shard} is still changing")));
        }
        if status.voters.contains(&node) || status.learners.contains(&node) {
            return Err(ShardOpError::Refused(format!(
                "node {node} is a member of shard {shard}: take it out of the group before its data is deleted"
            )));
        }
        self.ask_node(node, &Operation::Delete { fence, shard, incarnation }).await.map(drop)
    }
}
