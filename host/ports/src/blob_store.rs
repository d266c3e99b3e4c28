//! Content-addressed bytes beside the control log: artifacts, saved policy state, history, decision inputs.

use async_trait::async_trait;
use bytes::Bytes;
use isobar_model::Digest;
use std::io;

/// Most bytes of one blob: the largest saved state a policy may have.
pub const MAX_BLOB_BYTES: usize = 64 << 20;

/// Where blobs live. A put returns once a majority of the control voters has the blob on disk, so that the entry which then names it
/// can always be served.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Stores `bytes` under their digest. Storing what is there already is no error.
    async fn put(&self, bytes: Bytes) -> io::Result<Digest>;
    /// The bytes of `digest`, checked against it; `NotFound` where no voter that answers has them.
    async fn get(&self, digest: Digest) -> io::Result<Bytes>;
}
