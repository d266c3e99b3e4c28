//! The seam between everything that talks to other nodes and the network: TCP in life, a simulated one in simulation.

use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::NodeId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a request is for. Numbers below 16 belong to this crate; the node's own services start at 16.
pub type Service = u8;

/// Raft messages of all groups.
pub(crate) const RAFT_SERVICE: Service = 1;
/// Snapshot transfer.
pub(crate) const SNAPSHOT_SERVICE: Service = 2;
/// Operations on shards by the control leader.
pub(crate) const SHARD_OPS_SERVICE: Service = 3;

/// Which of the two connections to a peer a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Small and urgent: Raft, node requests.
    Main,
    /// Large and patient: snapshot chunks, blobs.
    Bulk,
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The address book knows no address for it.
    #[error("no address is known for node {0}")]
    UnknownPeer(NodeId),
    /// No connection, or it broke before the answer came. Whether the request was carried out is not known.
    #[error("node {peer} can't be reached: {reason}")]
    Unreachable {
        /// Which.
        peer: NodeId,
        /// In words.
        reason: String,
    },
    /// A queue here or there is full, the request was not carried out: try again later.
    #[error("node {0} is too busy to take the request")]
    Busy(NodeId),
    /// No answer within the deadline. Whether the request was carried out is not known.
    #[error("node {0} did not answer within the deadline")]
    DeadlineExceeded(NodeId),
    /// The peer does not offer this service (yet).
    #[error("node {peer} does not offer service {service}")]
    NoSuchService {
        /// Which.
        peer: NodeId,
        /// Which number.
        service: Service,
    },
    /// Larger than a frame may be.
    #[error("a message of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The most that fits.
        limit_bytes: usize,
    },
}

/// Answers requests of one service.
///
/// A handler that does not answer within the request's deadline is dropped, so it must be safe to stop it at any await.
#[async_trait]
pub trait PeerHandler: Send + Sync {
    /// Answers one request. `from` is the peer's word, as given in its handshake.
    async fn handle(&self, from: NodeId, request: Bytes) -> Bytes;
}

/// Calls other nodes and serves their calls.
#[async_trait]
pub trait PeerNetwork: Send + Sync + fmt::Debug {
    /// This node.
    fn local(&self) -> NodeId;
    /// Lets `handler` answer the requests of `service` from now on, in place of any before it.
    fn register(&self, service: Service, handler: Arc<dyn PeerHandler>);
    /// Sends a request on `lane` and waits for the answer, at most `deadline`. A call to this node itself needs no connection.
    async fn call_on(
        &self,
        lane: Lane,
        to: NodeId,
        service: Service,
        request: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError>;

    /// Sends a request on the main lane and waits for the answer, at most `deadline`.
    async fn call(&self, to: NodeId, service: Service, request: Bytes, deadline: Duration) -> Result<Bytes, PeerError> {
        self.call_on(Lane::Main, to, service, request, deadline).await
    }
}
