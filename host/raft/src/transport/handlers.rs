//! Who answers which service, and how many requests at once.

use super::frame::{MAX_FRAME_BYTES, Status};
use super::peer_network::{PeerHandler, RAFT_SERVICE, SNAPSHOT_SERVICE, Service};
use bytes::Bytes;
use isobar_model::NodeId;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Raft messages in flight at once: a few for each of the groups a node has (hundreds), most of them waiting for a disk.
const MAX_RAFT_REQUESTS: usize = 8192;
/// Snapshot chunks and installations at once: each may hold a chunk in memory.
const MAX_SNAPSHOT_REQUESTS: usize = 64;
/// Requests of all other services at once: more would only queue for the same disks.
const MAX_NODE_REQUESTS: usize = 4096;

/// The handlers of a node. Classes have permits of their own, so that requests that wait for Raft never keep Raft's own messages out.
pub(super) struct Handlers {
    by_service: RwLock<HashMap<Service, Arc<dyn PeerHandler>>>,
    raft: Arc<Semaphore>,
    snapshot: Arc<Semaphore>,
    node: Arc<Semaphore>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("services", &self.by_service.read().len()).finish_non_exhaustive()
    }
}

impl Handlers {
    pub(super) fn new() -> Self {
        Self {
            by_service: RwLock::default(),
            raft: Arc::new(Semaphore::new(MAX_RAFT_REQUESTS)),
            snapshot: Arc::new(Semaphore::new(MAX_SNAPSHOT_REQUESTS)),
            node: Arc::new(Semaphore::new(MAX_NODE_REQUESTS)),
        }
    }

    pub(super) fn register(&self, service: Service, handler: Arc<dyn PeerHandler>) {
        self.by_service.write().insert(service, handler);
    }

    /// Forgets every handler, and with them whatever they hold.
    pub(super) fn clear(&self) {
        self.by_service.write().clear();
    }

    /// Takes a place for a request of `service`, or says that there is none left.
    pub(super) fn admit(&self, service: Service) -> Result<OwnedSemaphorePermit, Status> {
        let class = match service {
            RAFT_SERVICE => &self.raft,
            SNAPSHOT_SERVICE => &self.snapshot,
            _ => &self.node,
        };
        Arc::clone(class).try_acquire_owned().map_err(|_| Status::Busy)
    }

    /// Has the handler of `service` answer, within the deadline.
    pub(super) async fn answer(
        &self,
        service: Service,
        from: NodeId,
        request: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, Status> {
        let handler = self.by_service.read().get(&service).cloned().ok_or(Status::NoSuchService)?;
        let answer = tokio::time::timeout(deadline, handler.handle(from, request))
            .await
            .map_err(|_| Status::DeadlineExceeded)?;
        if answer.len() > MAX_FRAME_BYTES { Err(Status::AnswerTooLarge) } else { Ok(answer) }
    }
}
