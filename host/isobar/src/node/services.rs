//! What nodes ask of each other besides Raft: numbers and messages. All travel as postcard.

use bytes::Bytes;
use isobar_model::{Digest, LoadSample, Node, NodeId, ProcessUsage, RouteVersion, ShardId, ShardMap};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A [`isobar_model::KvRequest`], answered by `Result<KvReply, KvError>`.
pub(crate) const KV: u8 = 16;
/// A proposal to the control group, answered by [`ProposeAnswer`].
pub(crate) const PROPOSE: u8 = 17;
/// A [`DirectoryRequest`], answered by [`DirectoryReply`].
pub(crate) const DIRECTORY: u8 = 18;
/// No body; answered by [`NodeSamples`].
pub(crate) const SAMPLES: u8 = 19;
/// A [`BlobRequest`], answered by [`BlobReply`].
pub(crate) const BLOB: u8 = 20;
/// A [`isobar_model::ShardId`], answered by `Result<ShardProfileInfo, String>`: of a shard that the node leads.
pub(crate) const PROFILE: u8 = 21;

/// What became of a proposal sent to another node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ProposeAnswer {
    /// Committed and applied; the state's reply.
    Applied(Bytes),
    /// Ask this node instead; none: nobody leads now.
    NotLeader(Option<NodeId>),
    /// Try again.
    Retry(String),
}

/// Asks a control voter for what every node needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DirectoryRequest {
    /// The route version the asker has.
    pub(crate) after: RouteVersion,
    /// The number of the node list the asker has.
    pub(crate) nodes_after: u64,
    /// How long the voter may wait for something newer, milliseconds.
    pub(crate) wait_ms: u64,
}

/// What every node needs to know: where shards live, and how to reach nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DirectoryReply {
    /// The shard map, where it is newer.
    pub(crate) map: Option<ShardMap>,
    /// The nodes, where they changed.
    pub(crate) nodes: Option<(u64, Vec<Node>)>,
    /// Who leads the control group, as far as the voter knows.
    pub(crate) control_leader: Option<NodeId>,
}

/// What a node's replicas did since it started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeSamples {
    /// When the node started, on its wall clock: counters of another start are not to be compared.
    pub(crate) started_ms: u64,
    /// One entry a replica.
    pub(crate) samples: Vec<LoadSample>,
    /// Bytes stored.
    pub(crate) used_bytes: u64,
    /// What the process uses.
    pub(crate) usage: ProcessUsage,
    /// How unevenly keys were used by requests that came here, where enough came to tell; one entry a shard.
    pub(crate) key_skews: Vec<(ShardId, f32)>,
}

/// Bytes of a blob that travel in one message.
pub(crate) const BLOB_CHUNK_BYTES: usize = 4 << 20;

/// Blobs between nodes, in chunks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum BlobRequest {
    /// A chunk of a blob to be stored; the last one completes it.
    Put {
        /// Its name.
        digest: Digest,
        /// Its size.
        total: u64,
        /// Where the chunk begins.
        offset: u64,
        /// The chunk.
        chunk: Bytes,
    },
    /// A chunk of a blob.
    Get {
        /// Its name.
        digest: Digest,
        /// Where the chunk begins.
        offset: u64,
    },
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum BlobReply {
    /// The chunk was taken; after the last one the blob is on disk.
    Taken,
    /// A chunk of a blob of this size.
    Chunk {
        /// Size of the whole.
        total: u64,
        /// The chunk.
        chunk: Bytes,
    },
    /// No such blob here.
    Absent,
    /// It can't be done.
    Failed(String),
}

/// The bytes of a message. All messages are plain data, which always encodes.
pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    postcard::to_allocvec(message).map(Bytes::from).unwrap_or_default()
}

/// A message from another node; the error is for people.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| {
        format!("a message of another node can't be read ({error}): run the same release on all nodes")
    })
}
