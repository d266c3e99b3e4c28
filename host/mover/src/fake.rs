//! A shard's group, and the records of migrations, that tests can break at will. They panic where a rule is broken.

use crate::records::RecordError;
use crate::step::{Change, Effect, Outcome};
use isobar_model::{Incarnation, InstantMs, Migration, MigrationKind, NodeId, OperationId, ShardId, Stage};
use isobar_ports::{CopyProgress, ReplicaDigest, ShardOpError, ShardStatus};
use std::collections::{BTreeMap, BTreeSet};

/// SplitMix64: chance by seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

pub(crate) const SOURCE: NodeId = NodeId(1);
pub(crate) const TARGET: NodeId = NodeId(4);
const TOTAL_BYTES: u64 = 100;

pub(crate) fn migration(id: u64, kind: MigrationKind) -> Migration {
    let is_replica = kind == MigrationKind::Replica;
    Migration {
        id: OperationId(id),
        shard: ShardId(id),
        kind,
        source: SOURCE,
        target: if is_replica { TARGET } else { NodeId(2) },
        incarnation: Incarnation(if is_replica { 9 } else { 0 }),
        source_incarnation: Incarnation(if is_replica { 1 } else { 0 }),
        stage: Stage::Planned,
        started: InstantMs(0),
        stage_since: InstantMs(0),
        not_before: InstantMs(0),
        copy_bytes_per_s: 0,
        copied_bytes: 0,
        total_bytes: TOTAL_BYTES,
        failures: 0,
        error: None,
        reason: String::new(),
    }
}

/// A group of factor 3 on nodes 1, 2, 3, led by node 1, beside its migration's record.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) record: Migration,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) learners: BTreeSet<NodeId>,
    pub(crate) joint: bool,
    pub(crate) leader: Option<NodeId>,
    /// Lives of the replica with data, whole or not.
    pub(crate) data: BTreeMap<(NodeId, Incarnation), bool>,
    /// What the target stores differs from what it was sent.
    pub(crate) corrupt: bool,
    /// The copy stands still at half.
    pub(crate) stuck: bool,
    /// Digests were found equal.
    pub(crate) verified: bool,
    /// After each change of the group it shows once more what it was before.
    pub(crate) shows_late: bool,
    shown: Option<ShardStatus>,
    copied: u64,
    index: u64,
}

impl World {
    pub(crate) fn new(record: Migration) -> Self {
        let voters: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
        Self {
            data: voters.iter().map(|&node| ((node, Incarnation(1)), true)).collect(),
            record,
            voters,
            learners: BTreeSet::new(),
            joint: false,
            leader: Some(SOURCE),
            corrupt: false,
            stuck: false,
            verified: false,
            shows_late: false,
            shown: None,
            copied: 0,
            index: 0,
        }
    }

    fn status(&self) -> ShardStatus {
        ShardStatus {
            leader: self.leader,
            term: 1,
            voters: self.voters.clone(),
            learners: self.learners.clone(),
            joint: self.joint,
            applied: self.index,
        }
    }

    fn target_life(&self) -> (NodeId, Incarnation) {
        (self.record.target, self.record.incarnation)
    }

    /// Performs an effect, as a shard's group would.
    pub(crate) fn perform(&mut self, effect: &Effect) -> Outcome {
        let retry = |text: &str| Outcome::Failed(ShardOpError::Retry(text.into()));
        let refused = |text: &str| Outcome::Failed(ShardOpError::Refused(text.into()));
        let life = self.target_life();
        if self.shows_late && matches!(effect, Effect::ChangeVoters(_) | Effect::TransferLeader(_)) {
            self.shown = Some(self.status());
        }
        let (target, is_learner) = (self.record.target, self.learners.contains(&self.record.target));
        let outcome = match effect {
            Effect::Status => Outcome::Status(self.shown.take().unwrap_or_else(|| self.status())),
            Effect::Prepare => {
                self.data.entry(life).or_insert(false);
                Outcome::Done
            }
            Effect::AddLearner if self.leader.is_none() => retry("no leader"),
            Effect::AddLearner => {
                assert!(self.data.contains_key(&life), "a learner without a replica");
                if !self.voters.contains(&target) {
                    self.learners.insert(target);
                }
                Outcome::Done
            }
            Effect::CopyProgress if !is_learner => retry("no such learner"),
            Effect::CopyProgress => {
                let most = if self.stuck { TOTAL_BYTES / 2 } else { TOTAL_BYTES };
                self.copied = (self.copied + 7).min(most);
                let installed = self.copied == TOTAL_BYTES;
                if installed {
                    self.data.insert(life, true);
                }
                let lag_entries = if installed { 3 } else { 1_000 };
                Outcome::Progress(CopyProgress {
                    copied_bytes: self.copied,
                    total_bytes: TOTAL_BYTES,
                    installed,
                    lag_entries,
                })
            }
            Effect::Verify if self.leader.is_none() => retry("no leader"),
            Effect::Verify => {
                self.index += 1;
                let good = ReplicaDigest { index: self.index, digest: 7, rows: 5 };
                let mut digests: BTreeMap<_, _> = self.voters.iter().map(|&voter| (voter, good)).collect();
                if is_learner && self.data[&life] {
                    let digest = if self.corrupt { 8 } else { 7 };
                    digests.insert(target, ReplicaDigest { digest, ..good });
                    self.verified |= !self.corrupt;
                }
                Outcome::Digests(digests)
            }
            Effect::ChangeVoters(_) | Effect::TransferLeader(_) if self.leader.is_none() => retry("no leader"),
            Effect::ChangeVoters(voters) => {
                if !voters.iter().all(|v| self.voters.contains(v) || self.learners.contains(v)) {
                    return refused("a voter that is no member");
                }
                self.joint = false;
                self.voters.clone_from(voters);
                self.learners.retain(|learner| !voters.contains(learner));
                if !self.leader.is_some_and(|leader| voters.contains(&leader)) {
                    self.leader = voters.first().copied();
                }
                Outcome::Done
            }
            Effect::TransferLeader(to) if !self.voters.contains(to) => refused("no voter"),
            Effect::TransferLeader(to) => {
                self.leader = Some(*to);
                Outcome::Done
            }
            Effect::RemoveLearner if self.leader.is_none() => retry("no leader"),
            Effect::RemoveLearner if self.voters.contains(&target) => refused("a voter"),
            Effect::RemoveLearner => {
                self.learners.remove(&target);
                Outcome::Done
            }
            Effect::DeleteReplica(node, incarnation) => {
                assert!(!self.voters.contains(node) && !self.learners.contains(node), "a member loses its data");
                if *node == SOURCE {
                    assert_eq!(
                        self.record.stage,
                        Stage::Retire,
                        "the route is published before the source's data goes"
                    );
                }
                self.data.remove(&(*node, *incarnation));
                Outcome::Done
            }
        };
        self.check();
        outcome
    }

    /// A leader died half-way through a change of voters.
    pub(crate) fn change_half(&mut self, voters: &BTreeSet<NodeId>) {
        if voters.iter().all(|v| self.voters.contains(v) || self.learners.contains(v)) {
            self.joint = true;
            self.voters.extend(voters);
            self.learners.retain(|learner| !voters.contains(learner));
            self.check();
        }
    }

    /// What must hold whatever happens (promises 1 and 2, in part).
    pub(crate) fn check(&self) {
        assert!(self.voters.len() >= 3, "replication below its factor: {:?}", self.voters);
        for &voter in &self.voters {
            let whole = self.data.iter().any(|(&(node, _), &whole)| node == voter && whole);
            assert!(whole, "node {voter} votes without data");
        }
        if self.voters.contains(&TARGET) {
            assert!(self.verified && !self.corrupt, "a switch without equal digests");
        }
        if self.record.stage == Stage::Retire && self.record.kind == MigrationKind::Replica {
            assert!(!self.voters.contains(&SOURCE), "published before it was committed");
        }
    }

    /// The record's compare-and-set, as the control state does it.
    pub(crate) fn advance(&mut self, change: &Change) -> Result<(), RecordError> {
        if self.record.stage.is_final() && self.record.stage == change.to {
            return Ok(());
        }
        if self.record.stage != change.from {
            return Err(RecordError::Conflict(format!("it is in stage {:?}", self.record.stage)));
        }
        assert!(change.from.may_become(self.record.kind, change.to), "{change:?}");
        self.record.stage = change.to;
        self.record.copied_bytes = change.copied_bytes;
        self.record.total_bytes = change.total_bytes;
        self.record.failures = change.failures;
        self.record.error = change.error.clone().or(self.record.error.take());
        self.check();
        Ok(())
    }

    /// What must hold once the migration has ended.
    pub(crate) fn check_end(&self) {
        assert!(!self.joint && self.learners.is_empty(), "{self:?}");
        let old: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
        match (self.record.kind, self.record.stage) {
            (MigrationKind::Leader, Stage::Done | Stage::Aborted) => assert_eq!(self.voters, old),
            (MigrationKind::Replica, Stage::Done) => {
                assert_eq!(self.voters, [2, 3, 4].map(NodeId).into());
                assert!(!self.data.contains_key(&(SOURCE, Incarnation(1))), "the source's data is gone");
            }
            (MigrationKind::Replica, Stage::Aborted) => assert_eq!(self.voters, old),
            (_, stage) => panic!("not an end: {stage:?}"),
        }
    }
}
