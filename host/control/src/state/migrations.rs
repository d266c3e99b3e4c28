//! Migrations: the replicated record that outlives whoever carries them out.

use crate::command::{ControlReply, Refusal};
use crate::state::ControlState;
use crate::state::events::EventKind;
use isobar_model::{
    Incarnation, InstantMs, Migration, MigrationKind, NodeId, OperationId, Replica, RouteVersion, ShardId, Stage,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Migrations in flight in the whole cluster: each has a task of its own on the control leader.
pub const MAX_LIVE_MIGRATIONS: usize = 1_000;
/// Finished ones kept for people to look at.
pub const MAX_FINISHED_MIGRATIONS: usize = 1_000;
/// Longest reason or error kept, in bytes; the rest is cut.
const MAX_TEXT_BYTES: usize = 1_024;

/// A move as it is asked for.
#[derive(Debug)]
pub(super) struct NewMigration {
    pub(super) shard: ShardId,
    pub(super) kind: MigrationKind,
    pub(super) source: NodeId,
    pub(super) target: NodeId,
    pub(super) total_bytes: u64,
    pub(super) copy_bytes_per_s: u64,
    pub(super) not_before: InstantMs,
    pub(super) reason: String,
}

/// What the caller knows of a migration, and what it becomes.
#[derive(Debug)]
pub(super) struct Advance {
    pub(super) from: Stage,
    pub(super) to: Stage,
    pub(super) copied_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) failures: u32,
    pub(super) error: Option<String>,
}

/// Sums since the cluster was formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationTotals {
    /// Moves of data done.
    pub replicas_moved: u64,
    /// Moves of leadership alone done.
    pub leader_transfers: u64,
    /// Migrations given up.
    pub aborted: u64,
    /// Bytes copied by migrations of data that are done or given up.
    pub bytes_moved: u64,
}

impl ControlState {
    pub(super) fn start_migration(&mut self, new: NewMigration) -> Result<ControlReply, Refusal> {
        let NewMigration { shard: id, kind, source, target, .. } = new;
        let shard =
            self.map.shards.get(&id).ok_or_else(|| Refusal::not_found(format!("no shard {id}: list the shards")))?;
        if self.node(target)?.draining {
            return Err(Refusal::conflict(format!("node {target} is being emptied and takes nothing: choose another")));
        }
        if source == target {
            return Err(Refusal::invalid(format!("a move from node {source} to itself changes nothing")));
        }
        match kind {
            MigrationKind::Replica => {
                if !shard.is_on(source) {
                    return Err(Refusal::conflict(format!(
                        "shard {id} has no replica on node {source}: read its replicas again"
                    )));
                }
                if shard.is_on(target) {
                    return Err(Refusal::conflict(format!(
                        "shard {id} has a replica on node {target} already: choose another"
                    )));
                }
            }
            MigrationKind::Leader => {
                if !shard.is_on(target) {
                    return Err(Refusal::conflict(format!(
                        "shard {id} has no replica on node {target} that could lead: move one there first"
                    )));
                }
            }
        }
        if let Some(other) = self.migration_of(id) {
            return Err(Refusal::busy(format!(
                "shard {id} is being moved already (migration {}): wait for it or cancel it",
                other.id
            )));
        }
        if self.live.len() >= MAX_LIVE_MIGRATIONS {
            return Err(Refusal::full(format!("{MAX_LIVE_MIGRATIONS} migrations are in flight: wait for some to end")));
        }
        if kind == MigrationKind::Replica {
            let limit = self.settings.limits.moves_per_node as usize;
            for node in [source, target] {
                if self.data_moves_of(node) >= limit {
                    return Err(Refusal::busy(format!(
                        "node {node} has {limit} moves of data in flight, its limit: wait for one to end"
                    )));
                }
            }
        }
        let leaving = shard.replicas.iter().find(|r| r.node == source).map_or(Incarnation(0), |r| r.incarnation);
        let (incarnation, source_incarnation) = match kind {
            MigrationKind::Replica => (self.new_incarnation(), leaving),
            MigrationKind::Leader => (Incarnation(0), Incarnation(0)),
        };
        let operation = OperationId(self.next_operation);
        self.next_operation += 1;
        let migration = Migration {
            id: operation,
            shard: id,
            kind,
            source,
            target,
            incarnation,
            source_incarnation,
            stage: Stage::Planned,
            started: self.now,
            stage_since: self.now,
            not_before: new.not_before,
            copy_bytes_per_s: new.copy_bytes_per_s,
            copied_bytes: 0,
            total_bytes: if kind == MigrationKind::Replica { new.total_bytes } else { 0 },
            failures: 0,
            error: None,
            reason: cut(new.reason),
        };
        self.migration_event(&migration);
        self.live.insert(operation, migration);
        Ok(ControlReply::Migration(operation))
    }

    pub(super) fn advance_migration(&mut self, id: OperationId, advance: Advance) -> Result<ControlReply, Refusal> {
        let Some(old) = self.live.get(&id) else {
            // Whoever resumes an end that is recorded already finds it so.
            return match self.finished.iter().find(|m| m.id == id) {
                Some(done) if done.stage == advance.to => Ok(ControlReply::Done),
                Some(done) => Err(Refusal::conflict(format!("migration {id} has ended as {:?}", done.stage))),
                None => Err(Refusal::not_found(format!("no migration {id} in flight"))),
            };
        };
        let Advance { from, to, copied_bytes, total_bytes, failures, error } = advance;
        if old.stage != from {
            return Err(Refusal::conflict(format!(
                "migration {id} is in stage {:?}, not {from:?}: read it again",
                old.stage
            )));
        }
        if !from.may_become(old.kind, to) {
            return Err(Refusal::invalid(format!("a migration of {:?} does not go from {from:?} to {to:?}", old.kind)));
        }
        let mut new = old.clone();
        if from != to {
            new.stage = to;
            new.stage_since = self.now;
        }
        (new.copied_bytes, new.total_bytes, new.failures) = (copied_bytes, total_bytes, failures);
        new.error = error.map(cut).or(new.error);
        if to == Stage::Retire && from != to {
            self.switch_replica(&new)?;
        }
        if to == Stage::Done && new.kind == MigrationKind::Leader {
            self.set_leader(new.shard, new.target);
        }
        if from != to {
            self.migration_event(&new);
        }
        if to.is_final() {
            self.finish(new);
        } else {
            self.live.insert(id, new);
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn cancel_migration(&mut self, id: OperationId) -> Result<ControlReply, Refusal> {
        let Some(old) = self.live.get(&id) else {
            return match self.finished.iter().find(|m| m.id == id) {
                Some(m) if m.stage == Stage::Aborted => Ok(ControlReply::Done),
                Some(_) => Err(Refusal::conflict(format!("migration {id} is done: move the shard back instead"))),
                None => Err(Refusal::not_found(format!("no migration {id}: list the migrations"))),
            };
        };
        let stage = match old.stage {
            // Nothing has begun: the first remote call comes after the stage that follows is recorded.
            Stage::Planned => Stage::Aborted,
            Stage::Learner | Stage::Copy | Stage::CatchUp | Stage::Verify => Stage::Aborting,
            Stage::Aborting => return Ok(ControlReply::Done),
            Stage::Switch | Stage::Retire | Stage::Done | Stage::Aborted => {
                return Err(Refusal::conflict(format!(
                    "migration {id} is in stage {:?}: from the switch on it can't be cancelled; move the shard back when it is done",
                    old.stage
                )));
            }
        };
        let error = Some("cancelled".to_owned());
        let new = Migration { stage, stage_since: self.now, failures: 0, error, ..old.clone() };
        self.migration_event(&new);
        if stage.is_final() {
            self.finish(new);
        } else {
            self.live.insert(id, new);
        }
        Ok(ControlReply::Done)
    }

    /// The shard's replicas as Raft has committed them; the route version rises.
    fn switch_replica(&mut self, migration: &Migration) -> Result<(), Refusal> {
        let known = self.map.shards.get(&migration.shard);
        if !known.is_some_and(|shard| shard.is_on(migration.source) && !shard.is_on(migration.target)) {
            return Err(Refusal::invalid(format!(
                "shard {} does not live on node {} without node {}: migration {} can't have switched it",
                migration.shard, migration.source, migration.target, migration.id
            )));
        }
        let map = Arc::make_mut(&mut self.map);
        if let Some(shard) = map.shards.get_mut(&migration.shard) {
            for replica in shard.replicas.iter_mut().filter(|r| r.node == migration.source) {
                *replica = Replica { node: migration.target, incarnation: migration.incarnation };
            }
            if shard.leader == Some(migration.source) {
                shard.leader = Some(migration.target);
            }
            map.version = RouteVersion(map.version.0 + 1);
        }
        self.last_moved.insert(migration.shard, self.now);
        Ok(())
    }

    fn set_leader(&mut self, id: ShardId, leader: NodeId) {
        let changes = self.map.shards.get(&id).is_some_and(|s| s.is_on(leader) && s.leader != Some(leader));
        if changes {
            let map = Arc::make_mut(&mut self.map);
            if let Some(shard) = map.shards.get_mut(&id) {
                shard.leader = Some(leader);
                map.version = RouteVersion(map.version.0 + 1);
            }
        }
        self.last_moved.insert(id, self.now);
    }

    pub(super) fn finish(&mut self, migration: Migration) {
        self.live.remove(&migration.id);
        let totals = &mut self.totals;
        match (migration.stage == Stage::Done, migration.kind) {
            (true, MigrationKind::Replica) => totals.replicas_moved += 1,
            (true, MigrationKind::Leader) => totals.leader_transfers += 1,
            (false, _) => totals.aborted += 1,
        }
        totals.bytes_moved = totals.bytes_moved.saturating_add(migration.copied_bytes);
        self.finished.push_back(migration);
        if self.finished.len() > MAX_FINISHED_MIGRATIONS {
            self.finished.pop_front();
        }
    }

    fn data_moves_of(&self, node: NodeId) -> usize {
        // From `Retire` on nothing is copied any more, and a source that is down may hold it there for long.
        let touches = |m: &&Migration| {
            m.kind == MigrationKind::Replica && m.stage != Stage::Retire && (m.source == node || m.target == node)
        };
        self.live.values().filter(touches).count()
    }

    pub(super) fn migration_event(&mut self, migration: &Migration) {
        let stage = format!("{:?}", migration.stage).to_lowercase();
        let what = match migration.kind {
            MigrationKind::Replica => "replica",
            MigrationKind::Leader => "leadership",
        };
        let text = format!(
            "{what} of shard {} from node {} to node {}: {stage}",
            migration.shard, migration.source, migration.target
        );
        let mut fields = vec![
            ("migration", migration.id.to_string()),
            ("shard", migration.shard.to_string()),
            ("source", migration.source.to_string()),
            ("target", migration.target.to_string()),
            ("stage", stage),
        ];
        match migration.stage {
            Stage::Planned => fields.push(("reason", migration.reason.clone())),
            Stage::Aborting | Stage::Aborted => fields.extend(migration.error.clone().map(|e| ("error", e))),
            Stage::Learner
            | Stage::Copy
            | Stage::CatchUp
            | Stage::Verify
            | Stage::Switch
            | Stage::Retire
            | Stage::Done => {}
        }
        self.event(EventKind::Migration, text, &fields);
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
