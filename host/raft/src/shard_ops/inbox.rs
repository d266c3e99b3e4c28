//! A node's part in operations of the control leader.

use super::message::{Answer, Done, Operation, Refusal};
use crate::shard_group::ShardGroup;
use crate::shard_host::{EnsureError, FenceError, ShardHost, member_node};
use crate::transport::{PeerHandler, SHARD_OPS_SERVICE};
use crate::types::{TypeConfig, decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::{KvError, NodeId, Shard};
use isobar_ports::{CopyProgress, ShardOpError, ShardStatus};
use isobar_storage::{GroupId, ShardCommand};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, RaftMetrics, ServerState};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// For readying the log so that a new learner gets a snapshot: two small steps of the group's own tasks.
const CUT_DEADLINE: Duration = Duration::from_secs(3);
/// For a replica to apply a verify entry: it is behind by what the log carries in that time.
const APPLY_DEADLINE: Duration = Duration::from_secs(8);
/// For a leadership to arrive.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(8);
/// After it a transfer is asked for again: the first may have been refused, as the heir's log was not flushed yet.
const TRANSFER_RETRY: Duration = Duration::from_millis(500);

/// Lets `host` answer operations.
pub(crate) fn serve(host: &Arc<ShardHost>) {
    host.hub().network().register(SHARD_OPS_SERVICE, Arc::new(OpsInbox(Arc::downgrade(host))));
}

struct OpsInbox(Weak<ShardHost>);

#[async_trait]
impl PeerHandler for OpsInbox {
    async fn handle(&self, from: NodeId, request: Bytes) -> Bytes {
        let answer: Answer = match (self.0.upgrade(), decode::<Operation>(&request)) {
            (Some(host), Ok(operation)) => carry_out(&host, from, operation).await,
            (None, _) => Err(Refusal::NotHere),
            (_, Err(error)) => Err(refused(format!("the operation can't be read: {error}"))),
        };
        encode(&answer).unwrap_or_default()
    }
}

fn retry(reason: impl fmt::Display) -> Refusal {
    Refusal::Error(ShardOpError::Retry(reason.to_string()))
}

fn refused(reason: impl fmt::Display) -> Refusal {
    Refusal::Error(ShardOpError::Refused(reason.to_string()))
}

async fn carry_out(host: &ShardHost, from: NodeId, operation: Operation) -> Answer {
    if let Some(fence) = operation.fence() {
        host.check_fence(fence.control_term).map_err(|error| match error {
            FenceError::Fenced { seen } => {
                tracing::warn!(%from, seen, given = fence.control_term, operation = %fence.operation, "fenced off an old control leader");
                Refusal::Error(ShardOpError::Fenced { seen, given: fence.control_term })
            }
            FenceError::Io(error) => retry(error),
        })?;
    }
    if let Operation::Prepare { shard, incarnation, .. } = &operation {
        return prepare(host, shard, *incarnation).await;
    }
    if let Operation::Delete { shard, incarnation, .. } = operation {
        host.remove(shard, incarnation).await.map_err(retry)?;
        return Ok(Done::Nothing);
    }
    let group = host.group(operation.shard()).ok_or(Refusal::NotHere)?;
    let id = GroupId::from(group.shard);
    match operation {
        Operation::Prepare { .. } | Operation::Delete { .. } => Ok(Done::Nothing),
        Operation::Status { .. } => Ok(Done::Status(status(&leading(&group)?))),
        Operation::SetCopyRate { node, copy_bytes_per_s, .. } => {
            host.hub().copies().set_rate(id, node, copy_bytes_per_s);
            Ok(Done::Nothing)
        }
        Operation::AddLearner { node, copy_bytes_per_s, .. } => {
            let metrics = leading(&group)?;
            host.hub().copies().set_rate(id, node, copy_bytes_per_s);
            add_learner(&group, &metrics, node).await
        }
        Operation::Progress { node, .. } => progress(host, &group, node),
        Operation::Verify { .. } => verify(&group).await,
        Operation::DigestAt { index, .. } => digest_at(&group, index).await,
        Operation::ChangeVoters { voters, .. } => {
            let done = change_voters(&group, voters.clone()).await?;
            voters.iter().for_each(|&voter| host.hub().copies().end(id, voter));
            Ok(done)
        }
        Operation::TransferLeader { to, .. } => transfer_leader(&group, to).await,
        Operation::RemoveLearner { node, .. } => {
            let done = remove_learner(&group, node).await?;
            host.hub().copies().end(id, node);
            Ok(done)
        }
    }
}

async fn prepare(host: &ShardHost, shard: &Shard, incarnation: isobar_model::Incarnation) -> Answer {
    match host.prepare(shard, incarnation).await {
        Ok(_) => Ok(Done::Nothing),
        Err(EnsureError::Io(error)) => Err(retry(error)),
        Err(error @ (EnsureError::NotPlaced { .. } | EnsureError::Replica(_) | EnsureError::Raft { .. })) => {
            Err(refused(error))
        }
    }
}

/// The group as this replica sees it, if it leads.
fn leading(group: &ShardGroup) -> Result<RaftMetrics<TypeConfig>, Refusal> {
    let metrics = group.raft.metrics().borrow_watched().clone();
    if metrics.state == ServerState::Leader && metrics.running_state.is_ok() {
        Ok(metrics)
    } else {
        Err(Refusal::NotLeader(metrics.current_leader.filter(|&leader| leader != metrics.id).map(NodeId)))
    }
}

fn status(metrics: &RaftMetrics<TypeConfig>) -> ShardStatus {
    let committed = metrics.committed_membership_config.membership();
    ShardStatus {
        leader: metrics.current_leader.map(NodeId),
        term: metrics.current_term,
        voters: committed.voter_ids().map(NodeId).collect(),
        learners: committed.learner_ids().map(NodeId).collect(),
        joint: metrics.membership_config.membership().get_joint_config().len() > 1
            || metrics.membership_config.log_id() != metrics.committed_membership_config.log_id(),
        applied: metrics.last_applied.map_or(0, |id| id.index),
    }
}

/// Adds a learner that will be sent a snapshot.
///
/// A small shard's log may still hold everything: Raft would then replicate it from the log, at full speed, and the copy would be neither
/// paced nor proven by a digest. So the log is cut first, by no more than what every voter has.
async fn add_learner(group: &ShardGroup, metrics: &RaftMetrics<TypeConfig>, node: NodeId) -> Answer {
    if metrics.membership_config.membership().get_node(&node.0).is_some() {
        return Ok(Done::Nothing);
    }
    if metrics.purged.is_none()
        && let Err(error) = cut_log(group, metrics).await
    {
        tracing::warn!(shard = %group.shard, error, "the log could not be cut: the learner may be sent entries, unpaced");
    }
    match group.raft.add_learner(node.0, member_node(), false).await {
        Ok(_) => Ok(Done::Nothing),
        Err(error) => Err(write_refusal(error)),
    }
}

async fn cut_log(group: &ShardGroup, metrics: &RaftMetrics<TypeConfig>) -> Result<(), String> {
    let raft = &group.raft;
    if metrics.snapshot.is_none() {
        raft.trigger().snapshot().await.map_err(|error| error.to_string())?;
        raft.wait(Some(CUT_DEADLINE))
            .metrics(|metrics| metrics.snapshot.is_some(), "a snapshot stands")
            .await
            .map_err(|error| error.to_string())?;
    }
    // One entry less in the log is enough to make a learner with nothing need a snapshot; more would hurt a voter that is behind.
    let slowest = metrics.replication.iter().flatten().map(|(_, matched)| matched.map_or(0, |id| id.index)).min();
    let upto = slowest.unwrap_or(0).min(metrics.last_applied.map_or(0, |id| id.index));
    raft.trigger().purge_log(upto).await.map_err(|error| error.to_string())?;
    raft.wait(Some(CUT_DEADLINE))
        .metrics(|metrics| metrics.purged.is_some(), "the log is cut")
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

fn progress(host: &ShardHost, group: &ShardGroup, node: NodeId) -> Answer {
    let metrics = leading(group)?;
    if metrics.id == node.0 {
        return Ok(Done::Progress(CopyProgress { installed: true, ..CopyProgress::default() }));
    }
    let Some(matched) = metrics.replication.as_ref().and_then(|replication| replication.get(&node.0)) else {
        return Err(refused(format!("node {node} is no member of shard {}", group.shard)));
    };
    let copy = host.hub().copies().progress(GroupId::from(group.shard), node);
    let last = metrics.last_log_index.map_or(0, |index| index + 1);
    Ok(Done::Progress(CopyProgress {
        copied_bytes: copy.copied_bytes,
        total_bytes: copy.total_bytes,
        installed: matched.is_some(),
        lag_entries: last.saturating_sub(matched.map_or(0, |id| id.index + 1)),
    }))
}

async fn verify(group: &ShardGroup) -> Answer {
    leading(group)?;
    let (index, _) = group.propose(ShardCommand::Verify).await.map_err(|error| match error {
        KvError::NotLeader { leader, .. } => Refusal::NotLeader(leader),
        KvError::NotHere { .. } => Refusal::NotHere,
        error @ (KvError::OutOfRange { .. } | KvError::Unavailable { .. } | KvError::Internal(_)) => retry(error),
    })?;
    let metrics = group.raft.metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    Ok(Done::Verified {
        index,
        voters: membership.voter_ids().map(NodeId).collect(),
        learners: membership.learner_ids().map(NodeId).collect(),
    })
}

async fn digest_at(group: &ShardGroup, index: u64) -> Answer {
    let applied = group.raft.wait(Some(APPLY_DEADLINE)).applied_index_at_least(Some(index), "verify entry").await;
    applied.map_err(|error| retry(format!("the entry is not applied yet: {error}")))?;
    let digest = group.store.digest_at(index);
    digest.map(Done::Digest).ok_or_else(|| retry("nothing is recorded at the entry (any more): verify again"))
}

async fn change_voters(group: &ShardGroup, voters: BTreeSet<NodeId>) -> Answer {
    let status = status(&leading(group)?);
    if voters.is_empty() {
        return Err(refused("a shard needs at least one voter"));
    }
    if !status.joint && status.voters == voters {
        return Ok(Done::Nothing);
    }
    let voters: BTreeSet<u64> = voters.iter().map(|voter| voter.0).collect();
    match group.raft.change_membership(voters, false).await {
        Ok(_) => Ok(Done::Nothing),
        Err(error) => Err(write_refusal(error)),
    }
}

async fn remove_learner(group: &ShardGroup, node: NodeId) -> Answer {
    let metrics = leading(group)?;
    let membership = metrics.membership_config.membership();
    if membership.get_node(&node.0).is_none() {
        return Ok(Done::Nothing);
    }
    if membership.voter_ids().any(|voter| voter == node.0) {
        return Err(refused(format!("node {node} is a voter of shard {}, not a learner", group.shard)));
    }
    match group.raft.change_membership(ChangeMembers::RemoveNodes(BTreeSet::from([node.0])), false).await {
        Ok(_) => Ok(Done::Nothing),
        Err(error) => Err(write_refusal(error)),
    }
}

async fn transfer_leader(group: &ShardGroup, to: NodeId) -> Answer {
    let metrics = group.raft.metrics().borrow_watched().clone();
    if metrics.current_leader == Some(to.0) && metrics.id != to.0 {
        // Already so; the new leader itself is asked next, and confirms.
        return Err(Refusal::NotLeader(Some(to)));
    }
    let metrics = leading(group)?;
    if metrics.id == to.0 {
        return Ok(Done::Nothing);
    }
    if !metrics.membership_config.membership().voter_ids().any(|voter| voter == to.0) {
        return Err(refused(format!("node {to} is no voter of shard {}", group.shard)));
    }
    let deadline = Instant::now() + TRANSFER_DEADLINE;
    while Instant::now() < deadline {
        group.raft.trigger().transfer_leader(to.0).await.map_err(retry)?;
        let has_moved = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.state != ServerState::Leader && metrics.current_leader.is_some()
        };
        let moved = group.raft.wait(Some(TRANSFER_RETRY)).metrics(has_moved, "the leadership has moved").await;
        if let Ok(metrics) = moved {
            return match metrics.current_leader {
                Some(leader) if leader == to.0 => Ok(Done::Nothing),
                leader => Err(Refusal::NotLeader(leader.map(NodeId))),
            };
        }
    }
    Err(retry(format!("node {to} did not take the leadership of shard {}", group.shard)))
}

fn write_refusal(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Refusal {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            Refusal::NotLeader(forward.leader_id.map(NodeId))
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => retry(error),
            ChangeMembershipError::EmptyMembership(_)
            | ChangeMembershipError::LearnerNotFound(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_)
            | ChangeMembershipError::NodeMetadataChanged(_) => refused(error),
        },
        RaftError::APIError(
            error @ (ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::PreconditionFailed(_)),
        ) => retry(error),
        RaftError::Fatal(error) => retry(error),
    }
}
