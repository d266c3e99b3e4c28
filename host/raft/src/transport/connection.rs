//! One dialled connection: requests out, answers in.

use super::frame::{Frame, Kind, MAX_FRAME_BYTES, Status};
use super::handshake::{HANDSHAKE_TIMEOUT, greet};
use super::peer_network::{Lane, PeerError, Service};
use super::tcp_peers::PeerIdentity;
use bytes::{Bytes, BytesMut};
use isobar_model::NodeId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Frames that may wait to be written to one peer; more are refused, as a peer that far behind will not answer in time.
pub(super) const MAX_QUEUED_FRAMES: usize = 4096;
/// Frames coalesced into one write.
const MAX_FRAMES_PER_WRITE: usize = 256;
/// A write of this size costs no less per byte when larger.
const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// What a reader asks the kernel for at once.
pub(super) const READ_BUFFER_BYTES: usize = 64 << 10;

/// Answers awaited; none once the connection is lost.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Frame>>>>>;

/// A live connection to a peer.
#[derive(Debug)]
pub(super) struct Connection {
    peer: NodeId,
    /// Where it was dialled, to notice that the peer has moved.
    pub(super) address: Arc<str>,
    outgoing: mpsc::Sender<Frame>,
    pending: Pending,
    next_id: AtomicU64,
    tasks: [AbortHandle; 2],
}

impl Connection {
    /// Connects and shakes hands.
    pub(super) async fn dial(
        identity: &PeerIdentity,
        peer: NodeId,
        lane: Lane,
        address: Arc<str>,
    ) -> Result<Self, PeerError> {
        let opened = timeout(HANDSHAKE_TIMEOUT, async {
            let mut stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            greet(&mut stream, &identity.cluster, identity.node, peer, lane).await?;
            io::Result::Ok(stream)
        });
        let stream = match opened.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(PeerError::Unreachable { peer, reason: format!("{address}: {error}") }),
            Err(_) => return Err(PeerError::Unreachable { peer, reason: format!("{address}: no answer") }),
        };
        let (input, output) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(MAX_QUEUED_FRAMES);
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let lost = Arc::clone(&pending);
        let writer = tokio::spawn(async move {
            write_frames(output, queue).await;
            // Dropping the senders wakes every waiting caller with an error.
            lost.lock().take();
        });
        let answers = Arc::clone(&pending);
        let reader = tokio::spawn(async move {
            let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
            while let Ok(Some(frame)) = Frame::read(&mut input).await {
                let waiting = answers.lock().as_mut().and_then(|waiting| waiting.remove(&frame.id));
                if let Some(waiting) = waiting {
                    // A caller that gave up has dropped its end; its answer is of no use to anyone.
                    let _ = waiting.send(frame);
                }
            }
            answers.lock().take();
        });
        let tasks = [writer.abort_handle(), reader.abort_handle()];
        Ok(Self { peer, address, outgoing, pending, next_id: AtomicU64::new(1), tasks })
    }

    /// Whether requests can still be sent.
    pub(super) fn is_open(&self) -> bool {
        self.pending.lock().is_some()
    }

    /// Sends a request and waits for its answer, at most `deadline`.
    pub(super) async fn request(
        &self,
        service: Service,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError> {
        if payload.len() > MAX_FRAME_BYTES {
            return Err(PeerError::TooLarge { size_bytes: payload.len(), limit_bytes: MAX_FRAME_BYTES });
        }
        let lost = || PeerError::Unreachable { peer: self.peer, reason: "the connection broke".to_owned() };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.pending.lock().as_mut().ok_or_else(lost)?.insert(id, sender);
        let forget = ForgetOnDrop { pending: &self.pending, id };
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let frame = Frame { kind: Kind::Request, id, code: service, deadline_ms, payload };
        self.outgoing.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PeerError::Busy(self.peer),
            mpsc::error::TrySendError::Closed(_) => lost(),
        })?;
        let answer = timeout(deadline, answer).await.map_err(|_| PeerError::DeadlineExceeded(self.peer))?;
        drop(forget);
        let frame = answer.map_err(|_| lost())?;
        match Status::from_code(frame.code) {
            Some(Status::Answered) => Ok(frame.payload),
            Some(Status::Busy) => Err(PeerError::Busy(self.peer)),
            Some(Status::NoSuchService) => Err(PeerError::NoSuchService { peer: self.peer, service }),
            Some(Status::DeadlineExceeded) => Err(PeerError::DeadlineExceeded(self.peer)),
            Some(Status::AnswerTooLarge) => {
                Err(PeerError::TooLarge { size_bytes: MAX_FRAME_BYTES + 1, limit_bytes: MAX_FRAME_BYTES })
            }
            None => Err(PeerError::Unreachable {
                peer: self.peer,
                reason: format!("it answered with status {}, which this node does not know", frame.code),
            }),
        }
    }

    /// Breaks the connection: every waiting caller gets an error.
    pub(super) fn close(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.pending.lock().take();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keeps the table of awaited answers free of callers that gave up.
struct ForgetOnDrop<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.lock().as_mut() {
            pending.remove(&self.id);
        }
    }
}

/// Writes queued frames, many at once, until the queue or the connection ends.
pub(super) async fn write_frames(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Frame>) {
    let mut frames = Vec::with_capacity(MAX_FRAMES_PER_WRITE);
    let mut buffer = BytesMut::with_capacity(WRITE_BUFFER_BYTES);
    while queue.recv_many(&mut frames, MAX_FRAMES_PER_WRITE).await > 0 {
        for frame in frames.drain(..) {
            frame.encode(&mut buffer);
            if buffer.len() >= WRITE_BUFFER_BYTES {
                if output.write_all(&buffer).await.is_err() {
                    return;
                }
                buffer.clear();
            }
        }
        if output.write_all(&buffer).await.is_err() {
            return;
        }
        buffer.clear();
        if buffer.capacity() > 4 * WRITE_BUFFER_BYTES {
            // One large frame must not pin its size in memory for the life of the connection.
            buffer = BytesMut::with_capacity(WRITE_BUFFER_BYTES);
        }
    }
}
