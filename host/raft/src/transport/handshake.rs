//! Who is at the other end: the first bytes on every connection.
//!
//! The dialler says who it is and whom it wants; the listener answers with who it is, or refuses with the reason. A stranger (another
//! cluster, another protocol, something that is no Isobar node at all) gets no further.

use super::peer_network::Lane;
use isobar_model::NodeId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Raised with every change of frames or messages that older nodes can't read.
pub const PROTOCOL_VERSION: u16 = 1;

/// First bytes of every connection, in either direction.
const MAGIC: [u8; 8] = *b"isobar\0\x01";
/// A greeting is a few ids and a cluster's name.
const MAX_GREETING_BYTES: usize = 1024;
/// A peer that takes longer to say who it is, is none.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    protocol: u16,
    cluster: String,
    from: NodeId,
    to: NodeId,
    bulk: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Welcome {
    Accepted { node: NodeId },
    Refused { reason: String },
}

/// Greets the listener; an error says why it would not have us.
pub(super) async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    cluster: &str,
    from: NodeId,
    to: NodeId,
    lane: Lane,
) -> io::Result<()> {
    let hello =
        Hello { protocol: PROTOCOL_VERSION, cluster: cluster.to_owned(), from, to, bulk: matches!(lane, Lane::Bulk) };
    send(stream, &hello).await?;
    match receive(stream).await? {
        Welcome::Accepted { node } if node == to => Ok(()),
        Welcome::Accepted { node } => Err(io::Error::other(format!("node {node} answers at the address of node {to}"))),
        Welcome::Refused { reason } => Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason)),
    }
}

/// Answers a dialler's greeting with who we are, or refuses a stranger.
pub(super) async fn welcome(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    cluster: &str,
    local: NodeId,
) -> io::Result<(NodeId, Lane)> {
    let hello: Hello = receive(stream).await?;
    let reason = if hello.protocol != PROTOCOL_VERSION {
        Some(format!("this node speaks protocol {PROTOCOL_VERSION}, the caller {}", hello.protocol))
    } else if hello.cluster != cluster {
        Some(format!("this node belongs to cluster {cluster:?}, the caller to {:?}", hello.cluster))
    } else if hello.to != local {
        Some(format!("this is node {local}, the caller wanted node {}", hello.to))
    } else {
        None
    };
    if let Some(reason) = reason {
        send(stream, &Welcome::Refused { reason: reason.clone() }).await?;
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
    }
    send(stream, &Welcome::Accepted { node: local }).await?;
    Ok((hello.from, if hello.bulk { Lane::Bulk } else { Lane::Main }))
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u16::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await
}

async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let bad = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(bad("this is no node of Isobar"));
    }
    let length = stream.read_u16_le().await? as usize;
    if length > MAX_GREETING_BYTES {
        return Err(bad("the greeting is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    postcard::from_bytes(&body).map_err(|_| bad("the greeting can't be read"))
}
