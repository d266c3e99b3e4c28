//! What can be asked of the control state, and what it answers.

use crate::state::archive::ArchiveEntry;
use crate::state::history::HistoryBlob;
use crate::state::json;
use crate::state::rounds::SavedState;
use crate::state::settings::Settings;
use bytes::Bytes;
use isobar_model::{
    Capacities, CheckedMove, Description, Digest, InstantMs, KeyspaceId, Label, MigrationKind, Mode, Node, NodeId,
    OperationId, Partitioning, PlacementRules, RevisionStatus, Role, ShardId, Stage,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// First byte of every encoded proposal: a replica that reads another number refuses the command instead of guessing.
const PROPOSAL_FORMAT: u8 = 1;

/// How a new keyspace is cut into shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardCount {
    /// So many even ranges of slots. More than one: hashed keyspaces only.
    Even(u32),
    /// At these internal keys, ascending: one shard more than keys.
    SplitAt(Vec<Bytes>),
}

/// One command to the control state. Times are on the control clock and travel in the [`Proposal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ControlCommand {
    /// Founds the cluster; the first command of all. Doing it again under the same name changes nothing.
    FormCluster {
        /// Its name, unique for ever: 1–64 of `A-Z a-z 0-9 - _`.
        cluster: String,
        /// How it begins.
        settings: Settings,
    },
    /// Replaces the settings.
    SetSettings(Settings),
    /// A node joins, or tells what changed about it. Its `draining` is ignored: that is the operator's.
    RegisterNode {
        /// The cluster it belongs to.
        cluster: String,
        /// The node, as it declares itself.
        node: Node,
    },
    /// Empties a node, or lets it take shards again.
    SetDraining {
        /// Which.
        node: NodeId,
        /// Whether it is to be emptied.
        draining: bool,
    },
    /// Takes an empty node out of the cluster.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// Creates a keyspace with all its shards.
    CreateKeyspace {
        /// Its name.
        name: String,
        /// How keys are spread over shards.
        partitioning: Partitioning,
        /// Copies of each shard: 1, 3 or 5.
        replication_factor: u32,
        /// What the loop may do here by itself.
        mode: Mode,
        /// How it is cut.
        shards: ShardCount,
        /// Nodes of each shard, the leader first; none: spread by a fixed rule, balanced by count, over distinct zones where there are enough.
        placement: Option<Vec<Vec<NodeId>>>,
    },
    /// Sets what the loop may do in a keyspace by itself.
    SetMode {
        /// Which.
        keyspace: KeyspaceId,
        /// What it may do.
        mode: Mode,
    },
    /// Stops all automatic moves, or lets them go on.
    SetHalted(bool),
    /// An artifact was stored. The same one again changes nothing.
    AddRevision {
        /// SHA-256 of its bytes.
        digest: Digest,
        /// Its size.
        bytes: u64,
    },
    /// What became of a revision.
    SetRevisionStatus {
        /// Which.
        digest: Digest,
        /// Its standing.
        #[serde(with = "json")]
        status: RevisionStatus,
        /// What it is for; none: as known.
        role: Option<Role>,
        /// Who it says it is; none: as known.
        description: Option<Description>,
        /// What it imports.
        imports: Vec<String>,
    },
    /// Forgets a revision that is not bound.
    RemoveRevision {
        /// Which.
        digest: Digest,
    },
    /// Binds a role, for all keyspaces or one, by compare-and-swap.
    Bind {
        /// The role.
        role: Role,
        /// One keyspace; none: all that have no binding of their own.
        keyspace: Option<KeyspaceId>,
        /// What shall serve; none: the native built-in policy.
        revision: Option<Digest>,
        /// Its configuration, JSON; empty: `{}`.
        config: String,
        /// The binding's number as the caller knows it; 0: there is none yet.
        expected: u64,
    },
    /// Binds what was bound before, by compare-and-swap.
    RollBack {
        /// The role.
        role: Role,
        /// The scope.
        keyspace: Option<KeyspaceId>,
        /// The binding's number as the caller knows it.
        expected: u64,
    },
    /// Accepts a move; nothing is carried out before this is committed.
    StartMigration {
        /// Which shard.
        shard: ShardId,
        /// What moves.
        kind: MigrationKind,
        /// From where. For leadership: the leader as far as known.
        source: NodeId,
        /// To where.
        target: NodeId,
        /// Bytes of the replica, as far as known.
        total_bytes: u64,
        /// Pace of the copy in bytes per second of wall time; 0: unthrottled.
        copy_bytes_per_s: u64,
        /// Earliest switch, on the control clock; 0: as soon as the copy is verified.
        not_before: InstantMs,
        /// Who asks for it and why.
        reason: String,
    },
    /// Moves a migration on, by compare-and-set on its stage; the same stage: progress alone.
    AdvanceMigration {
        /// Which.
        id: OperationId,
        /// The stage it is in as the caller knows it.
        from: Stage,
        /// The stage it reaches.
        to: Stage,
        /// Bytes copied so far.
        copied_bytes: u64,
        /// Bytes to copy, as far as known.
        total_bytes: u64,
        /// Failures of the stage it reaches.
        failures: u32,
        /// The last failure; none: as known.
        error: Option<String>,
    },
    /// Gives a migration up, as long as it has not begun to switch.
    CancelMigration {
        /// Which.
        id: OperationId,
    },
    /// Who leads, as far as the nodes' reports say.
    ReportLeaders(Vec<(ShardId, NodeId)>),
    /// A tick of the loop is through.
    RecordTick {
        /// Its number, above every number before.
        tick: u64,
        /// The history blob of the step that ended with it, if one did.
        history: Option<HistoryBlob>,
        /// The blob of its decision record.
        decision: Digest,
        /// Blobs that the record names and that must be kept with it.
        inputs: Vec<Digest>,
        /// Policy states saved.
        saved: Vec<SavedState>,
    },
    /// Adds history from elsewhere, anywhere it does not overlap what is there.
    ImportHistory {
        /// The blobs, ascending.
        blobs: Vec<HistoryBlob>,
    },
    /// Puts one blob in the place of many.
    CompactHistory {
        /// The one.
        merged: HistoryBlob,
        /// The many: exactly the blobs within its time, in order.
        replaced: Vec<Digest>,
    },
    /// Parts of the archive were stored.
    StoreArchive {
        /// Them, in the order in which they were made.
        entries: Vec<ArchiveEntry>,
    },
    /// Keeps a plan until an operator releases it (mode `approve`).
    HoldMoves {
        /// The tick that made it.
        tick: u64,
        /// Its held moves.
        #[serde(with = "json")]
        moves: Vec<CheckedMove>,
    },
    /// An operator releases a held plan: the loop carries it out at its next tick, checked anew.
    ReleaseMoves {
        /// The tick that made it.
        tick: u64,
    },
    /// A held plan is carried out, or an operator refuses it.
    DropHeldMoves {
        /// The tick that made it.
        tick: u64,
    },
    /// Says, before a cluster is formed, which forecaster its leader is to bind by itself. A cluster that is formed keeps what it has.
    BeginWithForecaster {
        /// Name of a policy that comes with the binary; none: the native one serves.
        policy: Option<String>,
    },
    /// Binds the forecaster that the cluster is to begin with: once, and only where nothing was bound before.
    BindDefaultForecaster {
        /// Its revision.
        revision: Digest,
    },
    /// What a node says of itself, in place of what it said before.
    SetLabels {
        /// Which.
        node: NodeId,
        /// Its labels.
        labels: BTreeSet<Label>,
    },
    /// Says where a keyspace's replicas may live, in place of what was said before.
    SetPlacementRules {
        /// Which.
        keyspace: KeyspaceId,
        /// Where.
        rules: PlacementRules,
    },
    /// What a node can give beside load, in place of what was declared before.
    SetCapacities {
        /// Which.
        node: NodeId,
        /// How much.
        capacities: Capacities,
    },
    /// The gain ledger was saved, in place of what was saved before.
    SaveGains {
        /// As which blob.
        blob: Digest,
    },
    /// Says whether moves by forecast stop in a keyspace where they are not shown to pay.
    SetAbstain {
        /// Which.
        keyspace: KeyspaceId,
        /// Whether they do.
        abstain: bool,
    },
}

/// A command with the proposer's control clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The control clock at the proposer. The state's own clock never goes back: of the two the later counts.
    pub now: InstantMs,
    /// Chosen at random for each command, the same for each try of it: a command that is proposed again, since its answer was lost, gets the
    /// answer it had and is not carried out twice. 0: not told apart.
    pub nonce: u128,
    /// The command.
    pub command: ControlCommand,
}

impl Proposal {
    /// The bytes that go into the control log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let start = vec![PROPOSAL_FORMAT];
        postcard::to_extend(self, start).expect("a command is plain data, which always encodes").into()
    }

    /// Reads what [`Self::encode`] wrote. The error is for people.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&PROPOSAL_FORMAT, rest)) => decode_all(rest).map_err(|e| format!("the command can't be read: {e}")),
            Some((other, _)) => Err(format!(
                "the command has format {other}, this node reads format {PROPOSAL_FORMAT}: run the same release on all nodes"
            )),
            None => Err("the command is empty".to_owned()),
        }
    }
}

/// What kind of reason a refusal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// It names something unknown.
    NotFound,
    /// The state is not as the caller thinks: read it again.
    Conflict,
    /// The input breaks a rule whatever the state.
    Invalid,
    /// Something must finish first: try again later.
    Busy,
    /// A bound is reached.
    Full,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// The reason, and what to do.
    pub message: String,
}

impl Refusal {
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotFound, message: message.into() }
    }
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Conflict, message: message.into() }
    }
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Invalid, message: message.into() }
    }
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Busy, message: message.into() }
    }
    pub(crate) fn full(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Full, message: message.into() }
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// It is so.
    Done,
    /// The keyspace was created.
    Keyspace(KeyspaceId),
    /// The binding has this number now.
    Bound {
        /// What the next compare-and-swap must expect.
        number: u64,
    },
    /// The migration was accepted.
    Migration(OperationId),
    /// Nothing was changed.
    Refused(Refusal),
}

impl ControlReply {
    /// The bytes that go back to the proposer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_allocvec(self).expect("a reply is plain data, which always encodes").into()
    }

    /// Reads what [`Self::encode`] wrote; bytes that are no reply give a refusal that says so.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        postcard::from_bytes(bytes).map_err(|e| {
            Refusal::invalid(format!(
                "the control group's reply can't be read ({e}): run the same release on all nodes"
            ))
        })
    }

    /// The reply, with a refusal as the error.
    pub fn into_result(self) -> Result<Self, Refusal> {
        match self {
            Self::Refused(refusal) => Err(refusal),
            Self::Done | Self::Keyspace(_) | Self::Bound { .. } | Self::Migration(_) => Ok(self),
        }
    }
}

/// Reads a postcard value that must fill `bytes` to the last one.
pub(crate) fn decode_all<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes too many", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
