//! What one round is judged by, beside the view.

use crate::budget::Spent;
use isobar_model::{KeyspaceId, Mode};
use std::collections::BTreeMap;

/// The rules' figures that are not in the view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckSettings {
    /// A leader transfer must promise more than this, in load units times seconds.
    pub min_gain_leader: f32,
    /// A move of data must promise more than this, in load units times seconds.
    pub min_gain_replica: f32,
    /// Moves of all policies in any hour.
    pub moves_per_hour: u64,
    /// Bytes of replicas moved by all policies in any hour.
    pub bytes_per_hour: u64,
}

impl Default for CheckSettings {
    /// A gain must be one at all. 600 moves an hour is ten a minute, more than a fleet in balance ever needs; 1 TiB an hour is some
    /// 300 MB/s, a quarter of a 10 Gbit/s network.
    fn default() -> Self {
        Self { min_gain_leader: 0.0, min_gain_replica: 0.0, moves_per_hour: 600, bytes_per_hour: 1 << 40 }
    }
}

/// What a keyspace asks of moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyspaceRule {
    /// What the loop may do here by itself.
    pub mode: Mode,
    /// Copies each shard must have.
    pub replication_factor: u32,
}

/// Who wants a move; decides which rules it is exempt from. None is exempt from those that keep data safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A policy: every rule.
    Policy,
    /// The host's placer without forecast, in a keyspace whose policy's moves are held back: every rule but that.
    Reactive,
    /// A policy's move that an operator released: every rule but mode.
    Released,
    /// The host, to empty a node as its operator wished: neither mode, gain, cool-down, headroom nor the policies' budgets. Headroom,
    /// since the operator has decided that the load must go elsewhere; the least loaded node is as good as elsewhere gets.
    Drain,
    /// An operator, by hand: as `Drain`, and not held by a halt either, which stops automatic moves.
    Operator,
}

/// One round's facts beside the view.
#[derive(Clone, Debug)]
pub struct RoundInput<'a> {
    /// The figures.
    pub settings: CheckSettings,
    /// By keyspace; one that is missing is in `advise`, and its factor is the number of its replicas.
    pub keyspaces: &'a BTreeMap<KeyspaceId, KeyspaceRule>,
    /// All automatic moves are halted.
    pub halted: bool,
    /// What the last hour spent.
    pub spent: Spent,
    /// The host's own median forecast of each shard's leader load, `expected[shard * steps + step]`: what it judges headroom by, so
    /// that no policy's forecast can talk it out of a rule. Empty: the view's median.
    pub expected: &'a [f32],
}
