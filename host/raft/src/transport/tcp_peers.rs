//! The peer network on TCP.

use super::address_book::AddressBook;
use super::connection::{Connection, MAX_QUEUED_FRAMES, READ_BUFFER_BYTES, write_frames};
use super::frame::{Frame, Kind, MAX_FRAME_BYTES, Status};
use super::handlers::Handlers;
use super::handshake::{HANDSHAKE_TIMEOUT, welcome};
use super::peer_network::{Lane, PeerError, PeerHandler, PeerNetwork, Service};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::NodeId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// After a failed dial, calls fail at once for this long: hundreds of groups must not all dial a node that is down.
const DIAL_PAUSE: Duration = Duration::from_millis(200);
/// Inbound connections at once: two from each of some hundred nodes, and room for those just breaking.
const MAX_INBOUND_CONNECTIONS: usize = 512;

/// Who this node is to its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The cluster's id; peers of another cluster are refused.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
}

/// Connections to and from all peers of a node.
#[derive(Debug)]
pub struct TcpPeers {
    identity: PeerIdentity,
    addresses: AddressBook,
    handlers: Arc<Handlers>,
    dialled: Mutex<HashMap<(NodeId, Lane), Arc<Slot>>>,
    local_addr: SocketAddr,
    accepting: AbortHandle,
}

/// The one connection to a peer on a lane, dialled when first needed. The lock is held while dialling: others wait for the outcome.
#[derive(Debug, Default)]
struct Slot {
    state: tokio::sync::Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Arc<Connection>>,
    failed: Option<(Instant, PeerError)>,
}

impl TcpPeers {
    /// Listens at `addr` (port 0: any free one) for peers, and dials those in the address book when called for.
    pub async fn bind(identity: PeerIdentity, addr: &str, addresses: AddressBook) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("can't listen for peers at {addr}: {error}")))?;
        let local_addr = listener.local_addr()?;
        let handlers = Arc::new(Handlers::new());
        let accepting = tokio::spawn(accept(listener, identity.clone(), Arc::clone(&handlers))).abort_handle();
        Ok(Arc::new(Self { identity, addresses, handlers, dialled: Mutex::default(), local_addr, accepting }))
    }

    /// Where peers reach this node.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address book in use.
    #[must_use]
    pub fn addresses(&self) -> &AddressBook {
        &self.addresses
    }

    /// Breaks the connections dialled to `peer`; the next call dials anew.
    pub fn disconnect(&self, peer: NodeId) {
        self.dialled.lock().retain(|(node, _), slot| {
            if *node != peer {
                return true;
            }
            if let Ok(state) = slot.state.try_lock()
                && let Some(connection) = &state.connection
            {
                connection.close();
            }
            false
        });
    }

    /// Stops listening, breaks every connection and lets go of the handlers.
    pub fn shutdown(&self) {
        self.accepting.abort();
        let dialled = std::mem::take(&mut *self.dialled.lock());
        for slot in dialled.values() {
            if let Ok(state) = slot.state.try_lock()
                && let Some(connection) = &state.connection
            {
                connection.close();
            }
        }
        self.handlers.clear();
    }

    async fn connection(&self, peer: NodeId, lane: Lane) -> Result<Arc<Connection>, PeerError> {
        let address = self.addresses.get(peer).ok_or(PeerError::UnknownPeer(peer))?;
        let slot = Arc::clone(self.dialled.lock().entry((peer, lane)).or_default());
        let mut state = slot.state.lock().await;
        if let Some(connection) = &state.connection
            && connection.is_open()
            && connection.address == address
        {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        if let Some((at, error)) = &state.failed
            && at.elapsed() < DIAL_PAUSE
        {
            return Err(error.clone());
        }
        match Connection::dial(&self.identity, peer, lane, address).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                state.connection = Some(Arc::clone(&connection));
                state.failed = None;
                Ok(connection)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl Drop for TcpPeers {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[async_trait]
impl PeerNetwork for TcpPeers {
    fn local(&self) -> NodeId {
        self.identity.node
    }

    fn register(&self, service: Service, handler: Arc<dyn PeerHandler>) {
        self.handlers.register(service, handler);
    }

    async fn call_on(
        &self,
        lane: Lane,
        to: NodeId,
        service: Service,
        request: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError> {
        if to == self.identity.node {
            let _permit = self.handlers.admit(service).map_err(|_| PeerError::Busy(to))?;
            let answer = self.handlers.answer(service, to, request, deadline).await;
            return answer.map_err(|status| match status {
                Status::Busy | Status::Answered => PeerError::Busy(to),
                Status::NoSuchService => PeerError::NoSuchService { peer: to, service },
                Status::DeadlineExceeded => PeerError::DeadlineExceeded(to),
                Status::AnswerTooLarge => {
                    PeerError::TooLarge { size_bytes: MAX_FRAME_BYTES + 1, limit_bytes: MAX_FRAME_BYTES }
                }
            });
        }
        let started = Instant::now();
        let connection = timeout(deadline, self.connection(to, lane)).await.map_err(|_| PeerError::Unreachable {
            peer: to,
            reason: "no connection within the deadline".to_owned(),
        })??;
        connection.request(service, request, deadline.saturating_sub(started.elapsed())).await
    }
}

/// Takes connections until aborted; dropping the set then ends them all.
async fn accept(listener: TcpListener, identity: PeerIdentity, handlers: Arc<Handlers>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((_, address)) if connections.len() >= MAX_INBOUND_CONNECTIONS => {
                tracing::warn!(%address, "refused a peer: too many connections");
            }
            Ok((stream, address)) => {
                connections.spawn(serve(stream, address, identity.clone(), Arc::clone(&handlers)));
            }
            Err(error) => {
                // Out of descriptors, most likely: taking none for a moment lets others go.
                tracing::warn!(%error, "can't take a connection");
                tokio::time::sleep(DIAL_PAUSE).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, address: SocketAddr, identity: PeerIdentity, handlers: Arc<Handlers>) {
    let _ = stream.set_nodelay(true);
    let from = match timeout(HANDSHAKE_TIMEOUT, welcome(&mut stream, &identity.cluster, identity.node)).await {
        Ok(Ok((from, _lane))) => from,
        Ok(Err(error)) => return tracing::warn!(%address, %error, "refused a stranger"),
        Err(_) => return tracing::warn!(%address, "refused a stranger: it did not say who it is"),
    };
    let (input, output) = stream.into_split();
    let (answers, queue) = mpsc::channel(MAX_QUEUED_FRAMES);
    let mut tasks = JoinSet::new();
    tasks.spawn(write_frames(output, queue));
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
    loop {
        let frame = Frame::read(&mut input).await;
        while tasks.try_join_next().is_some() {}
        match frame {
            Ok(Some(frame)) if frame.kind == Kind::Request => {
                match handlers.admit(frame.code) {
                    Ok(permit) => {
                        let (handlers, answers) = (Arc::clone(&handlers), answers.clone());
                        tasks.spawn(async move {
                            let deadline = Duration::from_millis(u64::from(frame.deadline_ms));
                            let answer = handlers.answer(frame.code, from, frame.payload, deadline).await;
                            // The permit is held until the answer is queued: a peer that reads slowly gets no more work done.
                            let _ = answers.send(response(frame.id, answer)).await;
                            drop(permit);
                        });
                    }
                    Err(status) => {
                        if answers.try_send(response(frame.id, Err(status))).is_err() {
                            return tracing::warn!(peer = %from, "dropped a peer that reads no answers");
                        }
                    }
                }
            }
            Ok(Some(_)) => return tracing::warn!(peer = %from, "dropped a peer that answers without being asked"),
            Ok(None) => return,
            Err(error) => return tracing::debug!(peer = %from, %error, "a peer's connection broke"),
        }
    }
}

fn response(id: u64, answer: Result<Bytes, Status>) -> Frame {
    let (code, payload) = match answer {
        Ok(payload) => (Status::Answered.code(), payload),
        Err(status) => (status.code(), Bytes::new()),
    };
    Frame { kind: Kind::Response, id, code, deadline_ms: 0, payload }
}
