//! The replicated control state: all that the control group agrees on.
//!
//! Plain data, changed only by [`ControlState::apply`](isobar_ports::ReplicatedState::apply): the same commands in the same order give the
//! same bytes on every replica. It holds metadata and digests; the bytes that digests name are blobs beside the log. A refused command
//! changes nothing but the clock; a command proposed twice under one nonce is carried out once.

pub(crate) mod archive;
mod default_forecaster;
pub(crate) mod events;
mod gains;
pub(crate) mod history;
pub(crate) mod json;
mod keyspaces;
pub(crate) mod migrations;
mod nodes;
mod placement;
mod policies;
pub(crate) mod rounds;
pub(crate) mod settings;
mod spread;

use crate::command::{ControlCommand, ControlReply, Proposal, Refusal, decode_all};
use archive::{ArchiveEntry, ArchiveList};
use bytes::Bytes;
use default_forecaster::DefaultForecaster;
use events::{ControlEvent, EventKind, EventRing};
use gains::Gains;
use history::{History, HistoryBlob};
use isobar_model::{
    Binding, Capacities, Digest, InstantMs, KeyspaceId, Migration, Node, NodeId, OperationId, Revision, Role, ShardId,
    ShardMap,
};
use isobar_ports::ReplicatedState;
use keyspaces::NewKeyspace;
use migrations::{Advance, MigrationTotals, NewMigration};
use placement::Placement;
use rounds::{DecisionEntry, HeldPlan, SavedState};
use serde::{Deserialize, Serialize};
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

/// First byte of every snapshot.
pub const SNAPSHOT_VERSION: u8 = 5;
/// The version before had no capacities beside load and no gain ledger; all else is the same.
const VERSION_WITHOUT_GAINS: u8 = 4;
/// The one before that had no placement rules either.
const VERSION_WITHOUT_PLACEMENT: u8 = 3;
/// Nor the one before that a default forecaster.
const VERSION_WITHOUT_DEFAULT: u8 = 2;

/// What a snapshot of a release without capacities and gain ledger lacks at its end: an empty map, and no books.
fn absent_at_the_end() -> Vec<u8> {
    [vec![0], Gains::encoded_absence()].concat()
}

/// Answers kept for proposers that try again: they do for seconds, in which far fewer commands are carried out.
const MAX_ANSWERS: usize = 1_000;

/// Everything the control group replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlState {
    cluster: Option<String>,
    settings: Settings,
    halted: bool,
    /// The latest control clock of any command.
    now: InstantMs,
    nodes: BTreeMap<NodeId, Node>,
    /// Shared with readers; copied on the first change while one of them holds it.
    map: Arc<ShardMap>,
    #[serde(with = "json")]
    revisions: BTreeMap<Digest, Revision>,
    bindings: BTreeMap<(Role, Option<KeyspaceId>), Binding>,
    saved: BTreeMap<(Role, Option<KeyspaceId>), SavedState>,
    history: History,
    archive: ArchiveList,
    tick: u64,
    decisions: VecDeque<DecisionEntry>,
    held: VecDeque<HeldPlan>,
    live: BTreeMap<OperationId, Migration>,
    finished: VecDeque<Migration>,
    last_moved: BTreeMap<ShardId, InstantMs>,
    totals: MigrationTotals,
    events: EventRing,
    /// Nonce and answer of the last commands.
    answers: VecDeque<(u128, ControlReply)>,
    next_keyspace: u32,
    /// Group 0 is the control group's own, so shards begin at 1.
    next_shard: u64,
    next_incarnation: u64,
    next_operation: u64,
    /// This and those after it are last, so that a snapshot without them is the beginning of one with them.
    default_forecaster: DefaultForecaster,
    placement: Placement,
    /// What nodes can give beside load; those that are missing declare nothing.
    capacities: BTreeMap<NodeId, Capacities>,
    gains: Gains,
}

impl Default for ControlState {
    fn default() -> Self {
        Self {
            cluster: None,
            settings: Settings::default(),
            halted: false,
            now: InstantMs(0),
            nodes: BTreeMap::new(),
            map: Arc::default(),
            revisions: BTreeMap::new(),
            bindings: BTreeMap::new(),
            saved: BTreeMap::new(),
            history: History::default(),
            archive: ArchiveList::default(),
            tick: 0,
            decisions: VecDeque::new(),
            held: VecDeque::new(),
            live: BTreeMap::new(),
            finished: VecDeque::new(),
            last_moved: BTreeMap::new(),
            totals: MigrationTotals::default(),
            events: EventRing::default(),
            answers: VecDeque::new(),
            next_keyspace: 1,
            next_shard: 1,
            next_incarnation: 1,
            next_operation: 1,
            default_forecaster: DefaultForecaster::default(),
            placement: Placement::default(),
            capacities: BTreeMap::new(),
            gains: Gains::default(),
        }
    }
}

impl ControlState {
    /// The cluster's name; none before it is formed.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether all automatic moves are halted.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// The latest control clock of any command: a new leader's clock must not begin before it.
    #[must_use]
    pub fn now(&self) -> InstantMs {
        self.now
    }

    /// Nodes by number.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// Keyspaces and shards; cheap, shared until the next change.
    #[must_use]
    pub fn routes(&self) -> Arc<ShardMap> {
        Arc::clone(&self.map)
    }

    /// Keyspaces and shards.
    #[must_use]
    pub fn map(&self) -> &ShardMap {
        &self.map
    }

    /// Revisions by digest.
    #[must_use]
    pub fn revisions(&self) -> &BTreeMap<Digest, Revision> {
        &self.revisions
    }

    /// All bindings.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.values()
    }

    /// The binding of exactly this scope.
    #[must_use]
    pub fn binding(&self, role: Role, keyspace: Option<KeyspaceId>) -> Option<&Binding> {
        self.bindings.get(&(role, keyspace))
    }

    /// All saved policy states, one a binding at most.
    pub fn saved_states(&self) -> impl Iterator<Item = &SavedState> {
        self.saved.values()
    }

    /// The saved policy state of exactly this scope.
    #[must_use]
    pub fn saved_state(&self, role: Role, keyspace: Option<KeyspaceId>) -> Option<&SavedState> {
        self.saved.get(&(role, keyspace))
    }

    /// History, oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<HistoryBlob> {
        &self.history.blobs
    }

    /// Stored parts of the archive, in the order in which they are to be restored.
    #[must_use]
    pub fn archive(&self) -> &VecDeque<ArchiveEntry> {
        &self.archive.entries
    }

    /// The number of the last tick; 0: none yet.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The last decisions, oldest first.
    #[must_use]
    pub fn decisions(&self) -> &VecDeque<DecisionEntry> {
        &self.decisions
    }

    /// Plans that wait for an operator or, once released, for the loop; oldest first.
    #[must_use]
    pub fn held_plans(&self) -> &VecDeque<HeldPlan> {
        &self.held
    }

    /// Migrations in flight, oldest first.
    #[must_use]
    pub fn live_migrations(&self) -> &BTreeMap<OperationId, Migration> {
        &self.live
    }

    /// The last finished migrations, oldest first.
    #[must_use]
    pub fn finished_migrations(&self) -> &VecDeque<Migration> {
        &self.finished
    }

    /// One migration, in flight or among the last finished.
    #[must_use]
    pub fn migration(&self, id: OperationId) -> Option<&Migration> {
        self.live.get(&id).or_else(|| self.finished.iter().rev().find(|m| m.id == id))
    }

    /// The migration in flight of a shard.
    #[must_use]
    pub fn migration_of(&self, shard: ShardId) -> Option<&Migration> {
        self.live.values().find(|m| m.shard == shard)
    }

    /// Sums over all migrations since the cluster was formed.
    #[must_use]
    pub fn migration_totals(&self) -> MigrationTotals {
        self.totals
    }

    /// When a shard's replica or leadership last moved by a migration; 0: never.
    #[must_use]
    pub fn last_moved(&self, shard: ShardId) -> InstantMs {
        self.last_moved.get(&shard).copied().unwrap_or_default()
    }

    /// The number of the last event; 0: none yet.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.events.last()
    }

    /// Events after number `sequence`, oldest first, as far as they are kept.
    pub fn events_after(&self, sequence: u64) -> impl Iterator<Item = &ControlEvent> {
        self.events.after(sequence)
    }

    /// Blobs that the state names. A blob is stored before the entry that names it is committed, so a collector must also spare young ones.
    #[must_use]
    pub fn blobs_in_use(&self) -> BTreeSet<Digest> {
        let decisions = self.decisions.iter().flat_map(|d| d.inputs.iter().chain([&d.decision]));
        self.revisions
            .keys()
            .chain(self.saved.values().map(|saved| &saved.blob))
            .chain(self.history.blobs.iter().map(|blob| &blob.digest))
            .chain(self.archive.entries.iter().flat_map(|entry| &entry.parts))
            .chain(self.gains.blob())
            .chain(decisions)
            .copied()
            .collect()
    }

    /// Carries out one command as of `now`; [`ReplicatedState::apply`] without the encoding.
    pub fn command(&mut self, now: InstantMs, command: ControlCommand) -> ControlReply {
        self.now = self.now.max(now);
        self.carry_out(command).unwrap_or_else(ControlReply::Refused)
    }

    /// Carries out a proposal, once however often it comes.
    fn answer(&mut self, proposal: Proposal) -> ControlReply {
        let Proposal { now, nonce, command } = proposal;
        if let Some((_, reply)) = self.answers.iter().rev().find(|(known, _)| nonce != 0 && *known == nonce) {
            return reply.clone();
        }
        let reply = self.command(now, command);
        if nonce != 0 {
            self.answers.push_back((nonce, reply.clone()));
            if self.answers.len() > MAX_ANSWERS {
                self.answers.pop_front();
            }
        }
        reply
    }

    fn carry_out(&mut self, command: ControlCommand) -> Result<ControlReply, Refusal> {
        use ControlCommand as C;
        if self.cluster.is_none() && !matches!(command, C::FormCluster { .. } | C::BeginWithForecaster { .. }) {
            return Err(Refusal::conflict("the cluster is not formed yet: form it first".to_owned()));
        }
        match command {
            C::FormCluster { cluster, settings } => self.form_cluster(cluster, settings),
            C::SetSettings(settings) => self.set_settings(settings),
            C::RegisterNode { cluster, node } => self.register_node(&cluster, node),
            C::SetDraining { node, draining } => self.set_draining(node, draining),
            C::RemoveNode { node } => self.remove_node(node),
            C::CreateKeyspace { name, partitioning, replication_factor, mode, shards, placement } => {
                self.create_keyspace(NewKeyspace { name, partitioning, replication_factor, mode, shards, placement })
            }
            C::SetMode { keyspace, mode } => self.set_mode(keyspace, mode),
            C::SetHalted(halted) => self.set_halted(halted),
            C::AddRevision { digest, bytes } => self.add_revision(digest, bytes),
            C::SetRevisionStatus { digest, status, role, description, imports } => {
                self.set_revision_status(digest, status, role, description, imports)
            }
            C::RemoveRevision { digest } => self.remove_revision(digest),
            C::Bind { role, keyspace, revision, config, expected } => {
                self.bind(role, keyspace, revision, config, expected)
            }
            C::RollBack { role, keyspace, expected } => self.roll_back(role, keyspace, expected),
            C::StartMigration { shard, kind, source, target, total_bytes, copy_bytes_per_s, not_before, reason } => {
                self.start_migration(NewMigration {
                    shard,
                    kind,
                    source,
                    target,
                    total_bytes,
                    copy_bytes_per_s,
                    not_before,
                    reason,
                })
            }
            C::AdvanceMigration { id, from, to, copied_bytes, total_bytes, failures, error } => {
                self.advance_migration(id, Advance { from, to, copied_bytes, total_bytes, failures, error })
            }
            C::CancelMigration { id } => self.cancel_migration(id),
            C::ReportLeaders(leaders) => self.report_leaders(&leaders),
            C::RecordTick { tick, history, decision, inputs, saved } => {
                self.record_tick(tick, history, decision, inputs, saved)
            }
            C::ImportHistory { blobs } => self.import_history(&blobs),
            C::CompactHistory { merged, replaced } => self.compact_history(merged, &replaced),
            C::StoreArchive { entries } => self.archive.store(entries).map(|()| ControlReply::Done),
            C::HoldMoves { tick, moves } => self.hold_moves(tick, moves),
            C::ReleaseMoves { tick } => self.release_moves(tick),
            C::DropHeldMoves { tick } => self.drop_held_moves(tick),
            C::BeginWithForecaster { policy } => self.begin_with_forecaster(policy),
            C::BindDefaultForecaster { revision } => self.bind_default_forecaster(revision),
            C::SetLabels { node, labels } => self.set_labels(node, labels),
            C::SetPlacementRules { keyspace, rules } => self.set_placement_rules(keyspace, rules),
            C::SetCapacities { node, capacities } => self.set_capacities(node, capacities),
            C::SaveGains { blob } => self.save_gains(blob),
            C::SetAbstain { keyspace, abstain } => self.set_abstain(keyspace, abstain),
        }
    }

    fn event(&mut self, kind: EventKind, text: String, fields: &[(&str, String)]) {
        self.events.push(self.now, kind, text, fields);
    }
}

impl ReplicatedState for ControlState {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Bytes {
        match Proposal::decode(command) {
            Ok(proposal) => self.answer(proposal),
            Err(message) => ControlReply::Refused(Refusal::invalid(message)),
        }
        .encode()
    }

    fn snapshot(&self) -> Bytes {
        postcard::to_extend(self, vec![SNAPSHOT_VERSION]).expect("the state is plain data, which always encodes").into()
    }

    fn restore(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let bad = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
        let read =
            |bytes: &[u8]| decode_all(bytes).map_err(|e| bad(format!("the control snapshot can't be read: {e}")));
        *self = match snapshot.split_first() {
            Some((&SNAPSHOT_VERSION, rest)) => read(rest)?,
            Some((&VERSION_WITHOUT_GAINS, rest)) => read(&[rest, &absent_at_the_end()].concat())?,
            Some((&VERSION_WITHOUT_PLACEMENT, rest)) => {
                read(&[rest, &Placement::encoded_absence(), &absent_at_the_end()].concat())?
            }
            Some((&VERSION_WITHOUT_DEFAULT, rest)) => {
                let absent = [DefaultForecaster::encoded_absence(), Placement::encoded_absence()].concat();
                read(&[rest, &absent, &absent_at_the_end()].concat())?
            }
            Some((other, _)) => {
                return Err(bad(format!(
                    "the control snapshot has version {other}, this release reads version {SNAPSHOT_VERSION}"
                )));
            }
            None => return Err(bad("the control snapshot is empty".to_owned())),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
