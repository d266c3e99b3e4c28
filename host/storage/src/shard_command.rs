//! What a shard's log says, and what a replica answers.

use bytes::Bytes;
use isobar_model::Generation;
use isobar_ports::ReplicaDigest;
use serde::{Deserialize, Serialize};

/// One command in a shard's log; opaque bytes to Raft. New kinds are added at the end: the encoding names a kind by its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardCommand {
    /// Writes a row.
    Put {
        /// The generation it was routed by.
        generation: Generation,
        /// Its internal key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Removes a row; one that is not there is no error.
    Delete {
        /// The generation it was routed by.
        generation: Generation,
        /// Its internal key.
        key: Bytes,
    },
    /// Has every replica record its digest.
    Verify,
}

/// A replica's answer to a [`ShardCommand`]; the same from every replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardReply {
    /// The write took effect.
    Written,
    /// The key is not in the shard's range at this generation, when the command was applied: nothing changed (promise 4).
    OutOfRange {
        /// The generation of the range.
        generation: Generation,
    },
    /// What was recorded.
    Verified(ReplicaDigest),
    /// The command can't be carried out as it stands: nothing changed.
    Malformed(String),
}

macro_rules! coded {
    ($name:ident) => {
        impl $name {
            /// Its encoding.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                // Only a writer that runs full, or a map of unknown length, makes postcard fail: there is neither.
                postcard::to_stdvec(self).expect("plain data has an encoding").into()
            }

            /// Reads an encoding.
            ///
            /// # Errors
            /// The bytes are none, or are followed by others.
            pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
                match postcard::take_from_bytes(bytes)? {
                    (value, []) => Ok(value),
                    (_, _) => Err(postcard::Error::DeserializeBadEncoding),
                }
            }
        }
    };
}

coded!(ShardCommand);
coded!(ShardReply);
