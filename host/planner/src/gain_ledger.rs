//! The gain ledger: what moves by forecast gained and cost, keyspace by keyspace, against what would have been without any forecast.
//!
//! Of each keyspace it keeps placements that are not there: *static*, where replicas were when the book was opened; *packed*, one placement packed
//! on recorded load; *reactive*, moved by a placer that sees only what is measured. Each closed step's load is laid on all of them and on the
//! real one; everything that belongs to other keyspaces stays where it really is. Beside these there is *predictive*: the real placement while
//! the forecasting policy's moves are carried out, and one that is not there either while they are not, moved by what the policy proposes for it.
//! So a keyspace that abstains, or one in mode `advise`, learns what it misses.
//!
//! State: accounts that are *open*, each with blocks of 6 hours. At the end of each block the gain is put between bounds
//! ([`standing`]). A change of nodes or of the keyspace's shards sets all placements anew at the real one; another policy, or an operator, begins
//! the book from nothing.
//!
//! What it does not see, and whom that favours:
//! - A move takes effect at the first step boundary after it is done, in every placement: the same lag for all.
//! - Placements that are not there obey labels, zones, room, budgets and cool-downs, but not which keyspaces are to live apart or together:
//!   they are freer than the real one, which favours the baselines.
//! - Nor are they held to what nodes can give beside load.
//! - Where replicas were is known of a step only if the one before was seen, too: steps that close with others at once, and those that passed while
//!   no leader kept the book, are missing in all alike.
//! - Drains, and moves by hand, are part of the real placement and cost nothing there.
//! - Copies put no load on nodes; moves are charged a price instead ([`GainSpec::transfer_price_s`]).

mod account;
mod blocks;
mod standing;
mod world;

pub use blocks::{Tally, WorldName};
pub use standing::{Gain, Standing};

use crate::plan_check::{CheckSettings, KeyspaceRule};
use crate::view::NodeFact;
use account::Account;
use isobar_model::{
    ClusterView, InFlight, InstantMs, KeyspaceId, Mode, Move, NodeId, PlacementLimits, PlacementRules, ShardId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The ledger's figures.
#[derive(Clone, Debug, PartialEq)]
pub struct GainSpec {
    /// Length of a block, milliseconds: what is drawn with replacement when the gain is put between bounds. Long enough that what happens in one
    /// says little of the next, short enough that two days make eight.
    pub block_ms: u64,
    /// Blocks kept: what is older speaks of another load.
    pub keep_blocks: usize,
    /// Blocks wanted before anything is said.
    pub least_blocks: usize,
    /// Blocks in which the policy made a difference, wanted before "not proven" counts against it: draws with replacement can't tell fewer than four
    /// from chance with 95 % of confidence, though each of them were a gain.
    pub least_telling: usize,
    /// What a leader transfer is charged, in seconds of one node's whole capacity.
    pub transfer_price_s: f64,
    /// The same of a move of data.
    pub move_price_s: f64,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// Seeds it.
    pub seed: u64,
    /// Values of recorded load (shards × steps) that a placement is packed on at most: 8 MiB.
    pub packed_values: usize,
    /// Steps of node loads that packing may look at, see [`crate::packing::PackInput::max_work`]: some 0.1 s.
    pub packed_work: u64,
}

impl Default for GainSpec {
    fn default() -> Self {
        Self {
            block_ms: 6 * 3_600_000,
            keep_blocks: 56,
            least_blocks: 8,
            least_telling: 4,
            transfer_price_s: 2.0,
            move_price_s: 6.0,
            draws: 2_000,
            seed: 7,
            packed_values: 2 << 20,
            packed_work: 200_000_000,
        }
    }
}

/// A shard in the step that closed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedShard {
    /// Which.
    pub id: ShardId,
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// Where its replicas live now, the leader first.
    pub replicas: Vec<NodeId>,
    /// Bytes of one replica.
    pub bytes: u64,
    /// Mean load units per second of its leader in the step.
    pub load: f32,
    /// Load of each follower per unit of that.
    pub follower_share: f32,
    /// Steps that moving one replica's data takes.
    pub move_steps: f32,
    /// When it last moved; 0: never.
    pub last_moved: InstantMs,
}

/// A step that closed, with the cluster as it stands at its end.
#[derive(Clone, Debug)]
pub struct StepFacts<'a> {
    /// Its end: now.
    pub now: InstantMs,
    /// Its length.
    pub step_ms: u32,
    /// Rounds of the loop in a step: so often the real placers are asked.
    pub rounds: u32,
    /// All nodes, ascending.
    pub nodes: &'a [NodeFact],
    /// All shards, ascending.
    pub shards: &'a [PlacedShard],
    /// Moves being carried out.
    pub moving: &'a [InFlight],
    /// Rules by which all placements are held.
    pub limits: PlacementLimits,
    /// The rules' other figures.
    pub settings: CheckSettings,
    /// What keyspaces ask of moves; of those that are missing, and those only observed, no book is kept.
    pub keyspaces: &'a BTreeMap<KeyspaceId, KeyspaceRule>,
    /// Where replicas may live.
    pub placement: &'a BTreeMap<KeyspaceId, PlacementRules>,
    /// Keyspaces in which the policy's moves are carried out from now on, unless it steps back.
    pub live: &'a BTreeSet<KeyspaceId>,
    /// Keyspaces in which it steps back where their book speaks against it.
    pub heeded: &'a BTreeSet<KeyspaceId>,
    /// Who places: evidence is of this policy alone.
    pub policy: &'a str,
    /// The placers' only source of chance.
    pub seed: u32,
}

/// Who is asked about placements that are not there.
pub trait Advisor {
    /// What a placer without forecast does. The view holds one step: what was measured.
    fn react(&mut self, view: &ClusterView) -> Vec<Move>;
    /// What the policy does.
    fn predict(&mut self, view: &ClusterView) -> Vec<Move>;
    /// Quantiles and steps of [`Self::forecast`].
    fn forecast_shape(&self) -> (Vec<f32>, u32);
    /// The forecast in force of a shard's leader load, `[q * steps + step]`; none: it goes on as it is.
    fn forecast(&self, shard: ShardId) -> Option<Vec<f32>>;
    /// The last recorded loads of a shard's leader, at most `steps` values as evenly spread as can be, all shards at the same instants; what is
    /// not known as 0.
    fn recorded(&self, shard: ShardId, steps: usize) -> Vec<f32>;
}

/// A keyspace's standing changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingChange {
    /// Which.
    pub keyspace: KeyspaceId,
    /// Before.
    pub from: Standing,
    /// Now.
    pub to: Standing,
}

/// What the book of one keyspace says.
#[derive(Clone, Debug, PartialEq)]
pub struct GainReport {
    /// Which.
    pub keyspace: KeyspaceId,
    /// What it comes to.
    pub standing: Standing,
    /// When static and packed were set.
    pub anchored: InstantMs,
    /// Start of the oldest block kept; none: none is whole yet.
    pub since: Option<InstantMs>,
    /// Whole blocks kept.
    pub blocks: usize,
    /// Blocks wanted before anything is said.
    pub least_blocks: usize,
    /// Their length.
    pub block_ms: u64,
    /// Seconds of load laid on the placements within them.
    pub seen_s: f64,
    /// Whether the policy's moves are carried out; else `predictive` is a placement that is not there.
    pub live: bool,
    /// Overload and moves in the whole blocks, by placement.
    pub tallies: BTreeMap<WorldName, Tally>,
    /// The gain between bounds, as of the last block's end; none: too few blocks.
    pub gain: Option<Gain>,
    /// What the block under way has so far.
    pub open: BTreeMap<WorldName, Tally>,
}

/// The books of all keyspaces. Bounded: three placements of each shard of the keyspaces that policies see, one of every shard, and 57 blocks a
/// keyspace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GainLedger {
    accounts: BTreeMap<KeyspaceId, Account>,
    /// Where replicas really were at the last step's end.
    before: BTreeMap<ShardId, Vec<NodeId>>,
    /// When that was.
    at: InstantMs,
}

/// A path of loads each.
type Paths = Vec<Vec<f32>>;

/// Loads of nodes by where replicas really are; nodes in the order of the facts'. What all keyspaces need is made once.
struct Really {
    at: HashMap<NodeId, usize>,
    /// In the step that closed, by where replicas were at its beginning.
    before: Vec<f64>,
    /// The same by where they are now.
    now: Vec<f64>,
    /// Forecast medians, `[node * steps + step]`.
    later: Option<Vec<f32>>,
    /// Recorded loads by node, and by shard.
    recorded: Option<(Paths, Paths)>,
}

impl GainLedger {
    /// Lays a closed step on all placements, and moves them on. Gives the standings that changed.
    pub fn record(&mut self, spec: &GainSpec, facts: &StepFacts<'_>, advisor: &mut dyn Advisor) -> Vec<StandingChange> {
        let at: HashMap<NodeId, usize> = facts.nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
        let none = vec![0.0; facts.nodes.len()];
        let mut really = Really { at, before: none.clone(), now: none, later: None, recorded: None };
        let mut by_keyspace: BTreeMap<KeyspaceId, Vec<&PlacedShard>> = BTreeMap::new();
        for shard in facts.shards {
            let before = self.before.get(&shard.id).unwrap_or(&shard.replicas);
            lay(&really.at, &mut really.before, before, shard, 1.0);
            lay(&really.at, &mut really.now, &shard.replicas, shard, 1.0);
            by_keyspace.entry(shard.keyspace).or_default().push(shard);
        }
        let kept = |keyspace: &KeyspaceId| facts.keyspaces.get(keyspace).is_some_and(|rule| rule.mode != Mode::Observe);
        self.accounts.retain(|keyspace, _| kept(keyspace) && by_keyspace.contains_key(keyspace));

        let follows = facts.now > self.at && facts.now.since_ms(self.at) < 2 * u64::from(facts.step_ms);
        let mut changes = Vec::new();
        for (keyspace, shards) in by_keyspace.iter().filter(|(keyspace, _)| kept(keyspace)) {
            let from = self.standing(*keyspace);
            let known = self.accounts.remove(keyspace).filter(|account| account.policy == facts.policy);
            let mut account = known.unwrap_or_else(|| Account::new(facts.policy));
            if account.fits(facts, shards) {
                if follows {
                    account.lay(spec, *keyspace, facts, shards, &really, &self.before);
                }
                account.go_on(*keyspace, facts, shards, &mut really, advisor);
            } else {
                account.open(spec, *keyspace, facts, shards, &mut really, advisor);
            }
            let to = account.standing();
            if from != to {
                changes.push(StandingChange { keyspace: *keyspace, from, to });
            }
            self.accounts.insert(*keyspace, account);
        }
        self.at = facts.now;
        self.before = facts.shards.iter().map(|shard| (shard.id, shard.replicas.clone())).collect();
        changes
    }

    /// Notes an automatic move that is really carried out.
    pub fn note_move(&mut self, keyspace: KeyspaceId, is_data: bool) {
        if let Some(account) = self.accounts.get_mut(&keyspace) {
            account.note_move(is_data);
        }
    }

    /// What the book of a keyspace comes to; one that has none is learning.
    #[must_use]
    pub fn standing(&self, keyspace: KeyspaceId) -> Standing {
        self.accounts.get(&keyspace).map_or(Standing::Learning, Account::standing)
    }

    /// What the books say, by keyspace.
    #[must_use]
    pub fn report(&self, spec: &GainSpec) -> Vec<GainReport> {
        self.accounts.iter().map(|(keyspace, account)| account.report(spec, *keyspace)).collect()
    }

    /// Begins the book of a keyspace from nothing with the next step.
    pub fn reset(&mut self, keyspace: KeyspaceId) {
        self.accounts.remove(&keyspace);
    }
}

/// Adds `sign` times a shard's load to the nodes of its replicas.
fn lay(at: &HashMap<NodeId, usize>, loads: &mut [f64], replicas: &[NodeId], shard: &PlacedShard, sign: f64) {
    let load = f64::from(if shard.load.is_finite() { shard.load.max(0.0) } else { 0.0 });
    let share = f64::from(if shard.follower_share.is_finite() { shard.follower_share.max(0.0) } else { 0.0 });
    for (slot, node) in replicas.iter().enumerate() {
        if let Some(&node) = at.get(node) {
            loads[node] += sign * if slot == 0 { load } else { load * share };
        }
    }
}

#[cfg(test)]
mod tests;
