//! The socket side: bounded connections, no Nagle delay, idle ones closed, a graceful and bounded stop.

use crate::Api;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at a time; further ones wait in the kernel's queue. Each costs some 20 KiB: 80 MiB at worst.
const MAX_CONNECTIONS: usize = 4096;
/// A connection on which nothing was sent or received for so long is closed: slow senders must not use up all of them.
/// Longer than any silence of ours: long polls and streams speak every 30 s at least.
const IDLE: Duration = Duration::from_secs(75);
/// How long a stopping server waits for requests being served: their own deadline.
const LINGER: Duration = Duration::from_secs(10);

/// Refuses to serve the open network without a token.
pub fn check_bind(addr: SocketAddr, token: Option<&str>) -> Result<(), String> {
    match token {
        Some(token) if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("the token must be printable ASCII without spaces, one character at least: choose another.".into())
        }
        None if !addr.ip().is_loopback() => Err(format!(
            "{addr} can be reached from other machines, and no token is set: set one (--token or ISOBAR_TOKEN), or bind 127.0.0.1."
        )),
        Some(_) | None => Ok(()),
    }
}

impl Api {
    /// Serves until `shutdown` is done, then ends streams, lets requests being served finish (10 s at most), and returns.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let listener = BoundedListener { listener, permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
        let Self { router, stop, document: _ } = self;
        let mut stopped = stop.subscribe();
        let server = axum::serve(listener, router).with_graceful_shutdown(async move {
            shutdown.await;
            // Fails only where nobody follows a stream.
            let _ = stop.send(true);
        });
        let overdue = async move {
            // An error: the sender is gone, so the server has returned already.
            let _ = stopped.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            served = async move { server.await } => served,
            () = overdue => {
                tracing::warn!("some connections were still open {} s after the stop and are cut off", LINGER.as_secs());
                Ok(())
            }
        }
    }
}

struct BoundedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl axum::serve::Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The semaphore is never closed; were it, connections would go on unbounded rather than not at all.
            let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, addr)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection keeps its Nagle delay");
                    }
                    return (Connection::new(stream, permit), addr);
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be closed, as a tight loop would only burn the core.
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that closes when idle.
struct Connection {
    stream: TcpStream,
    active: Instant,
    alarm: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, permit: Option<OwnedSemaphorePermit>) -> Self {
        let active = Instant::now();
        Self { stream, active, alarm: Box::pin(tokio::time::sleep_until(active + IDLE)), _permit: permit }
    }

    /// Notes what was done; while nothing is, fails once the idle time is over.
    fn watch<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.active = Instant::now();
            return done;
        }
        // The alarm is moved when it rings, not at each byte: that is cheaper.
        while self.alarm.as_mut().poll(context).is_ready() {
            let due = self.active + IDLE;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(cx, done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_network_needs_a_token() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7400));
        let open = SocketAddr::from(([0, 0, 0, 0], 7400));
        assert_eq!(check_bind(local, None), Ok(()));
        assert_eq!(check_bind(open, Some("s3cret")), Ok(()));
        assert!(check_bind(open, None).unwrap_err().contains("--token"));
        assert!(check_bind(local, Some("")).is_err());
    }
}
