//! Commands to the control group, from whichever node they come.

use crate::node::directory::Directory;
use crate::node::services::{self, ProposeAnswer, decode, encode};
use bytes::Bytes;
use isobar_api::backend::BackendError;
use isobar_control::{ControlCommand, ControlReply, ControlState, Proposal, Refusal, RefusalKind};
use isobar_model::{Digest, NodeId, OperationId};
use isobar_ports::{BlobStore, Clock, Fence};
use isobar_raft::transport::PeerNetwork;
use isobar_raft::{ControlGroup, ProposeError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A command is committed or given up within this time: several elections of the control group.
const DEADLINE: Duration = Duration::from_secs(10);
/// One try waits this long.
const TRY_DEADLINE: Duration = Duration::from_secs(5);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A way to the control group's leader.
pub(crate) struct Control {
    /// The replica here, on control voters.
    pub(crate) group: Option<Arc<ControlGroup<ControlState>>>,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) peers: Arc<dyn PeerNetwork>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Control {
    /// Has a command carried out. A refusal by the state is an error with the state's own words.
    pub(crate) async fn command(&self, command: ControlCommand) -> Result<ControlReply, BackendError> {
        let proposal = Proposal { now: self.clock.now(), nonce: rand::random(), command }.encode();
        let (end, mut turn, mut last) = (Instant::now() + DEADLINE, 0, String::from("nobody leads"));
        let mut to = self.directory.control_leader();
        while Instant::now() < end {
            let node = to.take().unwrap_or_else(|| self.voters[turn % self.voters.len()]);
            turn += 1;
            match self.propose_at(node, proposal.clone()).await {
                ProposeAnswer::Applied(reply) => {
                    return match ControlReply::decode(&reply).and_then(ControlReply::into_result) {
                        Ok(reply) => Ok(reply),
                        Err(refusal) => Err(backend_error(refusal)),
                    };
                }
                ProposeAnswer::NotLeader(leader) => {
                    to = leader.filter(|&leader| leader != node);
                    last = format!("node {node} does not lead");
                }
                ProposeAnswer::Retry(reason) => last = reason,
            }
            if to.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(BackendError::Unavailable(format!(
            "the control group did not take the command within {} s (last: {last}): see that a majority of nodes {:?} is up, then try again",
            DEADLINE.as_secs(),
            self.voters.iter().map(|n| n.0).collect::<Vec<_>>()
        )))
    }

    /// Stores an artifact and makes it known as a revision, to be judged.
    pub(crate) async fn upload(&self, blobs: &dyn BlobStore, artifact: Bytes) -> Result<Digest, BackendError> {
        let bytes = artifact.len() as u64;
        let unstored =
            |error: std::io::Error| BackendError::Unavailable(format!("the artifact was not stored: {error}"));
        let digest = blobs.put(artifact).await.map_err(unstored)?;
        self.command(ControlCommand::AddRevision { digest, bytes }).await?;
        Ok(digest)
    }

    /// The fence of operations that belong to no migration.
    pub(crate) fn fence(&self) -> Result<Fence, BackendError> {
        let group = self.group.as_ref().filter(|group| group.is_leader());
        let none = || BackendError::Unavailable("this node does not lead the control group: try again".into());
        group.map(|group| Fence { operation: OperationId(0), control_term: group.term() }).ok_or_else(none)
    }

    async fn propose_at(&self, node: NodeId, proposal: Bytes) -> ProposeAnswer {
        if node == self.peers.local()
            && let Some(group) = &self.group
        {
            return propose_here(group, proposal).await;
        }
        match self.peers.call(node, services::PROPOSE, proposal, TRY_DEADLINE).await {
            Ok(bytes) => decode(&bytes).unwrap_or_else(ProposeAnswer::Retry),
            Err(error) => ProposeAnswer::Retry(error.to_string()),
        }
    }
}

/// Proposes to this node's own replica.
pub(crate) async fn propose_here(group: &ControlGroup<ControlState>, proposal: Bytes) -> ProposeAnswer {
    match tokio::time::timeout(TRY_DEADLINE, group.propose(proposal)).await {
        Ok(Ok(reply)) => ProposeAnswer::Applied(reply),
        Ok(Err(ProposeError::NotLeader(leader))) => ProposeAnswer::NotLeader(leader),
        Ok(Err(ProposeError::Retry(reason))) => ProposeAnswer::Retry(reason),
        Err(_) => ProposeAnswer::Retry("the control group did not answer in time".into()),
    }
}

/// A refusal in the API's words.
pub(crate) fn backend_error(refusal: Refusal) -> BackendError {
    let Refusal { kind, message } = refusal;
    match kind {
        RefusalKind::NotFound => BackendError::NotFound(message),
        RefusalKind::Conflict => BackendError::conflict(message),
        RefusalKind::Invalid => BackendError::Invalid(message),
        RefusalKind::Busy | RefusalKind::Full => BackendError::Unavailable(message),
    }
}

/// The answer for another node.
pub(crate) fn encode_answer(answer: &ProposeAnswer) -> Bytes {
    encode(answer)
}
