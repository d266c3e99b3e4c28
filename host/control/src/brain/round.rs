//! What goes into one tick beside the observation, and what comes out.

use isobar_model::{
    CheckedMove, DecisionRecord, Digest, InstantMs, KeyspaceId, Label, LoadBatch, Move, NodeId, PlacementRules, Role,
    Rule, ShardId,
};
use isobar_planner::{KeyspaceRule, Standing};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What operators have decided, at one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundRules {
    /// Mode and factor by keyspace; a keyspace that is missing is in `advise`.
    pub keyspaces: BTreeMap<KeyspaceId, KeyspaceRule>,
    /// All automatic moves are halted.
    pub halted: bool,
    /// Nodes being emptied.
    pub draining: BTreeSet<NodeId>,
    /// What nodes say of themselves.
    pub labels: BTreeMap<NodeId, BTreeSet<Label>>,
    /// Where replicas may live, by keyspace; those that are missing: anywhere.
    pub placement: BTreeMap<KeyspaceId, PlacementRules>,
    /// Keyspaces whose policies move on whatever the gain ledger says of them.
    pub unheeded: BTreeSet<KeyspaceId>,
    /// Moves of earlier plans that an operator released: judged again, but for their keyspace's mode.
    pub released: Vec<Move>,
}

/// Something that operators must hear of: about a policy, a load that none foresaw, or whether moves by forecast pay.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum BrainEvent {
    /// The bound policy failed, the native one answered.
    PolicyFailed {
        /// The role.
        role: Role,
        /// Its name.
        policy: String,
        /// Its revision.
        revision: Digest,
        /// Why.
        failure: String,
        /// Failures running, this one included.
        running: u32,
    },
    /// The bound policy answers again.
    PolicyRecovered {
        /// The role.
        role: Role,
        /// Its name.
        policy: String,
        /// Its revision.
        revision: Digest,
    },
    /// The bound policy failed three times running: the native one answers until another is bound.
    PolicyQuarantined {
        /// The role.
        role: Role,
        /// Its name.
        policy: String,
        /// Its revision.
        revision: Digest,
        /// Why.
        reason: String,
    },
    /// The native forecaster was better for most shards and horizons, and answers there for as long as it is.
    PolicyOutscored {
        /// The role.
        role: Role,
        /// Its name.
        policy: String,
        /// Its revision.
        revision: Digest,
        /// Shards and horizons judged so far.
        judged: usize,
        /// Those among them where the native one answers.
        yielded: usize,
    },
    /// A shard's load is above what any forecast feared. Planners see what is measured, forecasters nothing of it.
    BurstBegan {
        /// Which.
        shard: ShardId,
        /// Start of its first tick.
        since: InstantMs,
        /// Load units per second.
        load: f32,
        /// What was feared at most.
        feared: f32,
    },
    /// It is over, or has lasted so long that it is the shard's new level.
    BurstEnded {
        /// Which.
        shard: ShardId,
        /// From its first tick to its last.
        lasted_ms: u64,
        /// It goes on.
        lasting: bool,
    },
    /// The gain ledger comes to another standing of a keyspace.
    GainStanding {
        /// Which.
        keyspace: KeyspaceId,
        /// Before.
        from: Standing,
        /// Now.
        to: Standing,
    },
}

/// A policy's state, saved: what a new leader opens its instance from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPolicy {
    /// The role.
    pub role: Role,
    /// The revision that saved.
    pub revision: Digest,
    /// Start of the first step it has not observed.
    pub observed_until: InstantMs,
    /// The state, with the shards that it knows; see [`Preparation::with_saved`](super::Preparation::with_saved).
    pub bytes: Vec<u8>,
}

/// How a move was judged, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JudgedAs {
    /// Begun.
    Accepted,
    /// Shown, by this rule.
    Held(Rule),
    /// Refused, by this rule.
    Refused(Rule),
}

/// What one tick came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Everything needed to see it, and with the blobs to replay it.
    pub record: DecisionRecord,
    /// Moves to begin, in this order.
    pub accepted: Vec<CheckedMove>,
    /// How many moves were judged how, those that the record leaves out included.
    pub verdicts: BTreeMap<JudgedAs, u64>,
    /// Steps that closed: to be persisted.
    pub closed: Option<LoadBatch>,
    /// Steps among them that forecasters are not shown, by their start: to be persisted with them.
    pub withheld: Vec<(ShardId, InstantMs)>,
    /// Blobs that the record names.
    pub inputs: Vec<(Digest, Vec<u8>)>,
    /// States that policies saved, to be persisted.
    pub saved: Vec<SavedPolicy>,
    /// The gain ledger, to be persisted; see [`Brain::restore_gains`](super::Brain::restore_gains).
    pub gains: Option<Vec<u8>>,
    /// What operators must hear of.
    pub events: Vec<BrainEvent>,
}
