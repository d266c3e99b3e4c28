//! Blobs on the control voters: written to a majority before anyone names them, read from whoever has them.

use crate::node::services::{self, BLOB_CHUNK_BYTES, BlobReply, BlobRequest, decode, encode};
use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::{Digest, NodeId};
use isobar_ports::{BlobStore, MAX_BLOB_BYTES};
use isobar_raft::transport::{Lane, PeerHandler, PeerNetwork};
use isobar_storage::BlobDir;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// One chunk, at either end.
const CHUNK_DEADLINE: Duration = Duration::from_secs(10);
/// Blobs that may be arriving at a voter at once; each holds its bytes in memory until it is whole.
const MOST_ARRIVING: usize = 16;

/// The blob store of the cluster, as one node reaches it.
#[derive(Debug)]
pub(crate) struct ClusterBlobs {
    pub(crate) local: Option<Arc<BlobDir>>,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) peers: Arc<dyn PeerNetwork>,
}

impl ClusterBlobs {
    async fn put_at(&self, node: NodeId, digest: Digest, bytes: &Bytes) -> io::Result<()> {
        if node == self.peers.local()
            && let Some(dir) = &self.local
        {
            let (dir, bytes) = (Arc::clone(dir), bytes.clone());
            return off_thread(move || dir.put(&bytes).map(|_| ())).await;
        }
        let mut offset = 0;
        loop {
            let chunk = bytes.slice(offset..(offset + BLOB_CHUNK_BYTES).min(bytes.len()));
            let end = offset + chunk.len();
            let request = BlobRequest::Put { digest, total: bytes.len() as u64, offset: offset as u64, chunk };
            match self.ask(node, &request).await? {
                BlobReply::Taken => {}
                BlobReply::Failed(problem) => return Err(io::Error::other(problem)),
                BlobReply::Chunk { .. } | BlobReply::Absent => return Err(io::Error::other("an odd answer")),
            }
            if end == bytes.len() {
                return Ok(());
            }
            offset = end;
        }
    }

    async fn get_at(&self, node: NodeId, digest: Digest) -> io::Result<Bytes> {
        if node == self.peers.local()
            && let Some(dir) = &self.local
        {
            let dir = Arc::clone(dir);
            return off_thread(move || dir.get(digest)).await;
        }
        let mut whole: Vec<u8> = Vec::new();
        loop {
            match self.ask(node, &BlobRequest::Get { digest, offset: whole.len() as u64 }).await? {
                BlobReply::Chunk { total, chunk } => {
                    if total > MAX_BLOB_BYTES as u64 || (chunk.is_empty() && (whole.len() as u64) < total) {
                        return Err(io::Error::other(format!("node {node} gave a blob of odd size")));
                    }
                    whole.extend_from_slice(&chunk);
                    if whole.len() as u64 >= total {
                        break;
                    }
                }
                BlobReply::Absent => return Err(io::ErrorKind::NotFound.into()),
                BlobReply::Failed(problem) => return Err(io::Error::other(problem)),
                BlobReply::Taken => return Err(io::Error::other("an odd answer")),
            }
        }
        if Digest::of(&whole) == digest {
            Ok(whole.into())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("node {node} gave other bytes than {digest} names")))
        }
    }

    async fn ask(&self, node: NodeId, request: &BlobRequest) -> io::Result<BlobReply> {
        let answer = self.peers.call_on(Lane::Bulk, node, services::BLOB, encode(request), CHUNK_DEADLINE).await;
        decode(&answer.map_err(io::Error::other)?).map_err(io::Error::other)
    }
}

#[async_trait]
impl BlobStore for ClusterBlobs {
    async fn put(&self, bytes: Bytes) -> io::Result<Digest> {
        if bytes.len() > MAX_BLOB_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a blob of {} bytes is over the limit of {MAX_BLOB_BYTES}", bytes.len()),
            ));
        }
        let digest = Digest::of(&bytes);
        let tries = self.voters.iter().map(|&voter| self.put_at(voter, digest, &bytes));
        let results = futures::future::join_all(tries).await;
        let stored = results.iter().filter(|result| result.is_ok()).count();
        if stored * 2 > self.voters.len() {
            return Ok(digest);
        }
        let problems: Vec<String> = results.iter().filter_map(|r| r.as_ref().err()).map(ToString::to_string).collect();
        Err(io::Error::other(format!(
            "{stored} of {} control voters stored the blob, a majority is needed: {}",
            self.voters.len(),
            problems.join("; ")
        )))
    }

    async fn get(&self, digest: Digest) -> io::Result<Bytes> {
        let local = self.peers.local();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        // This node first, where it is a voter.
        let order = self.voters.iter().filter(|v| **v == local).chain(self.voters.iter().filter(|v| **v != local));
        for &voter in order {
            match self.get_at(voter, digest).await {
                Ok(bytes) => {
                    if let (true, Some(dir)) = (voter != local, &self.local) {
                        let (dir, copy) = (Arc::clone(dir), bytes.clone());
                        off_thread(move || dir.put(&copy).map(|_| ())).await?;
                    }
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Serves the blobs of this voter to other nodes.
#[derive(Debug)]
pub(crate) struct BlobHandler {
    dir: Arc<BlobDir>,
    arriving: Mutex<BTreeMap<(NodeId, Digest), Vec<u8>>>,
}

impl BlobHandler {
    pub(crate) fn new(dir: Arc<BlobDir>) -> Self {
        Self { dir, arriving: Mutex::default() }
    }

    /// Takes a chunk; gives the blob once it is whole.
    fn take(
        &self,
        from: NodeId,
        digest: Digest,
        total: u64,
        offset: u64,
        chunk: &[u8],
    ) -> Result<Option<Vec<u8>>, String> {
        if total > MAX_BLOB_BYTES as u64 {
            return Err(format!("a blob of {total} bytes is over the limit of {MAX_BLOB_BYTES}"));
        }
        let mut arriving = self.arriving.lock();
        if offset == 0 {
            if arriving.len() >= MOST_ARRIVING && !arriving.contains_key(&(from, digest)) {
                // The sender of the oldest may be gone for good; if not, it begins again.
                arriving.pop_first();
            }
            arriving.insert((from, digest), Vec::new());
        }
        let Some(bytes) = arriving.get_mut(&(from, digest)) else {
            return Err("the blob's first chunks are not here: send it from the start".into());
        };
        if bytes.len() as u64 != offset || offset + chunk.len() as u64 > total {
            arriving.remove(&(from, digest));
            return Err("the blob's chunks do not follow each other: send it from the start".into());
        }
        bytes.extend_from_slice(chunk);
        if (bytes.len() as u64) < total {
            return Ok(None);
        }
        let bytes = arriving.remove(&(from, digest)).unwrap_or_default();
        if Digest::of(&bytes) == digest {
            Ok(Some(bytes))
        } else {
            Err("the bytes are not those the digest names".into())
        }
    }
}

#[async_trait]
impl PeerHandler for BlobHandler {
    async fn handle(&self, from: NodeId, request: Bytes) -> Bytes {
        let reply = match decode::<BlobRequest>(&request) {
            Err(problem) => BlobReply::Failed(problem),
            Ok(BlobRequest::Put { digest, total, offset, chunk }) => {
                match self.take(from, digest, total, offset, &chunk) {
                    Err(problem) => BlobReply::Failed(problem),
                    Ok(None) => BlobReply::Taken,
                    Ok(Some(bytes)) => {
                        let dir = Arc::clone(&self.dir);
                        match off_thread(move || dir.put(&bytes)).await {
                            Ok(_) => BlobReply::Taken,
                            Err(error) => BlobReply::Failed(error.to_string()),
                        }
                    }
                }
            }
            Ok(BlobRequest::Get { digest, offset }) => {
                let dir = Arc::clone(&self.dir);
                match off_thread(move || dir.get(digest)).await {
                    Ok(bytes) => {
                        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                        let chunk = bytes.slice(at..at.saturating_add(BLOB_CHUNK_BYTES).min(bytes.len()));
                        BlobReply::Chunk { total: bytes.len() as u64, chunk }
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => BlobReply::Absent,
                    Err(error) => BlobReply::Failed(error.to_string()),
                }
            }
        };
        encode(&reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_arrives_in_chunks_in_order_or_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let handler = BlobHandler::new(Arc::new(BlobDir::open(scratch.path()).unwrap()));
        let (digest, from) = (Digest::of(b"abcdef"), NodeId(2));
        assert!(handler.take(from, digest, 6, 3, b"def").is_err(), "no start");
        assert_eq!(handler.take(from, digest, 6, 0, b"abc"), Ok(None));
        assert!(handler.take(from, digest, 6, 4, b"ef").is_err(), "a gap");
        assert_eq!(handler.take(from, digest, 6, 0, b"abc"), Ok(None));
        assert_eq!(handler.take(from, digest, 6, 3, b"def"), Ok(Some(b"abcdef".to_vec())));
        assert!(handler.take(from, digest, 6, 0, b"abcdeX").is_err(), "other bytes");
    }
}
