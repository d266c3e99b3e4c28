//! Read index, shared: one round trip to a quorum serves every read that waits for one.

use crate::types::TypeConfig;
use isobar_model::NodeId;
use openraft::Raft;
use openraft::errors::{Fatal, LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy;
use openraft::storage::RaftStateMachine;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Reads of one group that may wait at once: more than a group can serve within a deadline.
const MAX_WAITING_READS: usize = 4096;

/// The longest a round may take: past it, whoever waits has given up.
const MAX_ROUND: Duration = Duration::from_secs(10);

/// Why a read can't be served here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadRefusal {
    NotLeader(Option<NodeId>),
    /// No quorum answers, or the queue is full.
    Unavailable(String),
    Stopped(String),
}

/// Lets reads through once a quorum has confirmed, after they came, that this node leads, and all that was committed by then is applied.
///
/// Linearizable (promise 2): a round starts after the reads it serves have arrived, so that whatever was acknowledged before them is
/// applied when they are let through. Reads that arrive during a round wait for the next.
#[derive(Default)]
pub(crate) struct ReadGate {
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    waiting: Vec<oneshot::Sender<Result<(), ReadRefusal>>>,
    /// Whether a task is at it.
    running: bool,
}

impl fmt::Debug for ReadGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGate").field("waiting", &self.state.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl ReadGate {
    /// Waits until a read may be served.
    pub(crate) async fn pass<SM>(self: &Arc<Self>, raft: &Raft<TypeConfig, SM>) -> Result<(), ReadRefusal>
    where
        SM: RaftStateMachine<TypeConfig>,
    {
        let answer = {
            let mut state = self.state.lock();
            if state.waiting.len() >= MAX_WAITING_READS {
                return Err(ReadRefusal::Unavailable("too many reads wait for a quorum".to_owned()));
            }
            let (sender, answer) = oneshot::channel();
            state.waiting.push(sender);
            if !state.running {
                state.running = true;
                tokio::spawn(run(Arc::clone(self), raft.clone()));
            }
            answer
        };
        answer.await.unwrap_or_else(|_| Err(ReadRefusal::Stopped("the replica is stopping".to_owned())))
    }
}

async fn run<SM>(gate: Arc<ReadGate>, raft: Raft<TypeConfig, SM>)
where
    SM: RaftStateMachine<TypeConfig>,
{
    loop {
        let served = {
            let mut state = gate.state.lock();
            state.waiting.retain(|waiting| !waiting.is_closed());
            if state.waiting.is_empty() {
                state.running = false;
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        let local = *raft.node_id();
        let outcome = match timeout(MAX_ROUND, raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Ok(confirmed) => confirmed.map(|_| ()).map_err(|error| refusal(local, error)),
            Err(_) => Err(ReadRefusal::Unavailable("no quorum confirmed the leader in time".to_owned())),
        };
        for waiting in served {
            let _ = waiting.send(outcome.clone());
        }
    }
}

fn refusal(local: u64, error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> ReadRefusal {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            ReadRefusal::NotLeader(forward.leader_id.filter(|&leader| leader != local).map(NodeId))
        }
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(error)) => {
            ReadRefusal::Unavailable(error.to_string())
        }
        RaftError::Fatal(error @ (Fatal::StorageError(_) | Fatal::Panicked | Fatal::Stopped)) => {
            ReadRefusal::Stopped(error.to_string())
        }
    }
}
