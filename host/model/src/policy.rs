//! Policies: revisions, their standing, and what they are bound to.

use crate::ids::{Digest, KeyspaceId};
use serde::{Deserialize, Serialize};

/// Most bytes of an uploaded component: a Python policy has 18 MB.
pub const MAX_ARTIFACT_BYTES: usize = 32 << 20;
/// Most bytes of a policy's configuration.
pub const MAX_CONFIG_BYTES: usize = 64 << 10;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Forecasts load.
    Forecast,
    /// Proposes moves.
    Place,
}

/// Who a policy says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name: revisions of one policy share it.
    pub name: String,
    /// Its author's version.
    pub version: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
}

/// The standing of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status")]
pub enum RevisionStatus {
    /// Stored, being compiled and checked.
    Uploaded,
    /// Compiled and within the contract; may be bound.
    Ready,
    /// Not a policy of this contract.
    Rejected {
        /// The cause, and what to do.
        reason: String,
    },
    /// Was bound and misbehaved; may not be bound again.
    Quarantined {
        /// The cause.
        reason: String,
    },
}

/// One uploaded version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// SHA-256 of its bytes: its name.
    pub digest: Digest,
    /// Size of the artifact.
    pub bytes: u64,
    /// Its standing.
    #[serde(flatten)]
    pub status: RevisionStatus,
    /// What it is for, once known.
    pub role: Option<Role>,
    /// Who it says it is, once known.
    pub description: Option<Description>,
    /// What it imports, once known.
    pub imports: Vec<String>,
}

/// Which revision serves a role, for all keyspaces or one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The role.
    pub role: Role,
    /// One keyspace; none: all that have no binding of their own.
    pub keyspace: Option<KeyspaceId>,
    /// What serves; none: the native built-in policy.
    pub revision: Option<Digest>,
    /// Its configuration, JSON.
    pub config: String,
    /// Raised with every change: what compare-and-swap compares.
    pub number: u64,
    /// What served before, for rolling back.
    pub previous: Option<Digest>,
    /// The configuration before.
    pub previous_config: String,
}
