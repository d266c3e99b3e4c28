//! Keyspaces and how they are cut and placed at the start.

use crate::command::{ControlReply, Refusal, ShardCount};
use crate::state::ControlState;
use crate::state::events::EventKind;
use crate::state::spread::{Candidate, spread};
use bytes::Bytes;
use isobar_model::keyspace::{MAX_KEY_BYTES, MAX_SHARDS_PER_KEYSPACE};
use isobar_model::{
    Generation, Incarnation, KeyRange, Keyspace, KeyspaceId, Mode, Node, NodeId, Partitioning, PlacementRules, Replica,
    RouteVersion, Shard, ShardId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keyspaces of a cluster: each costs shards of its own, so many thousand would be a mistake.
const MAX_KEYSPACES: usize = 1_000;
/// Shards of a cluster: what a route table is meant for.
const MAX_SHARDS: usize = 100_000;

/// A keyspace as it is asked for.
#[derive(Debug)]
pub(super) struct NewKeyspace {
    pub(super) name: String,
    pub(super) partitioning: Partitioning,
    pub(super) replication_factor: u32,
    pub(super) mode: Mode,
    pub(super) shards: ShardCount,
    pub(super) placement: Option<Vec<Vec<NodeId>>>,
}

impl ControlState {
    pub(super) fn create_keyspace(&mut self, new: NewKeyspace) -> Result<ControlReply, Refusal> {
        if !Keyspace::is_valid_name(&new.name) {
            return Err(Refusal::invalid("a keyspace's name is 1 to 64 of a-z 0-9 - _, a letter first".to_owned()));
        }
        if self.map.keyspace_named(&new.name).is_some() {
            return Err(Refusal::conflict(format!("keyspace {} exists already: choose another name", new.name)));
        }
        if self.map.keyspaces.len() >= MAX_KEYSPACES {
            return Err(Refusal::full(format!("a cluster has at most {MAX_KEYSPACES} keyspaces")));
        }
        let factor = new.replication_factor as usize;
        if ![1, 3, 5].contains(&factor) {
            return Err(Refusal::invalid(format!("a replication factor is 1, 3 or 5, not {factor}")));
        }
        let cuts = cuts(new.partitioning, new.shards)?;
        let count = cuts.len() + 1;
        if self.map.shards.len() + count > MAX_SHARDS {
            return Err(Refusal::full(format!("a cluster has at most {MAX_SHARDS} shards")));
        }
        let placement = self.placement(new.placement, count, factor)?;

        let id = KeyspaceId(self.next_keyspace);
        self.next_keyspace += 1;
        let starts = std::iter::once(Bytes::new()).chain(cuts.iter().cloned());
        let ends = cuts.iter().cloned().map(Some).chain([None]);
        let mut shards = BTreeMap::new();
        for ((start, end), nodes) in starts.zip(ends).zip(placement) {
            let shard = ShardId(self.next_shard);
            self.next_shard += 1;
            let replicas = nodes.iter().map(|&node| Replica { node, incarnation: self.new_incarnation() }).collect();
            let (range, generation) = (KeyRange { start, end }, Generation(1));
            shards.insert(shard, Shard { id: shard, keyspace: id, range, generation, replicas, leader: None });
        }
        let map = Arc::make_mut(&mut self.map);
        map.version = RouteVersion(map.version.0 + 1);
        map.shards.extend(shards);
        let (partitioning, mode) = (new.partitioning, new.mode);
        let fields = [("keyspace", id.to_string()), ("name", new.name.clone()), ("shards", count.to_string())];
        let text = format!("keyspace {} created with {count} shards", new.name);
        let replication_factor = new.replication_factor;
        map.keyspaces.insert(id, Keyspace { id, name: new.name, partitioning, replication_factor, mode });
        self.event(EventKind::Keyspace, text, &fields);
        Ok(ControlReply::Keyspace(id))
    }

    pub(super) fn set_mode(&mut self, keyspace: KeyspaceId, mode: Mode) -> Result<ControlReply, Refusal> {
        let known = self.keyspace(keyspace)?;
        if known.mode == mode {
            return Ok(ControlReply::Done);
        }
        let name = known.name.clone();
        let map = Arc::make_mut(&mut self.map);
        map.version = RouteVersion(map.version.0 + 1);
        if let Some(keyspace) = map.keyspaces.get_mut(&keyspace) {
            keyspace.mode = mode;
        }
        let mode = format!("{mode:?}").to_lowercase();
        let fields = [("keyspace", keyspace.to_string()), ("mode", mode.clone())];
        self.event(EventKind::Keyspace, format!("keyspace {name} is in mode {mode}"), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn report_leaders(&mut self, leaders: &[(ShardId, NodeId)]) -> Result<ControlReply, Refusal> {
        // Reports come from nodes and may be older than the map: what does not fit any more is passed over, not refused.
        let changes: Vec<_> = leaders
            .iter()
            .filter(|(id, node)| {
                self.map.shards.get(id).is_some_and(|shard| shard.is_on(*node) && shard.leader != Some(*node))
            })
            .copied()
            .collect();
        if changes.is_empty() {
            return Ok(ControlReply::Done);
        }
        let map = Arc::make_mut(&mut self.map);
        map.version = RouteVersion(map.version.0 + 1);
        for (id, node) in &changes {
            if let Some(shard) = map.shards.get_mut(id) {
                shard.leader = Some(*node);
            }
        }
        let fields = [("shards", changes.len().to_string())];
        self.event(EventKind::Leaders, format!("{} shards have new leaders", changes.len()), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn keyspace(&self, keyspace: KeyspaceId) -> Result<&Keyspace, Refusal> {
        self.map
            .keyspaces
            .get(&keyspace)
            .ok_or_else(|| Refusal::not_found(format!("no keyspace {keyspace}: list the keyspaces")))
    }

    pub(super) fn new_incarnation(&mut self) -> Incarnation {
        let incarnation = Incarnation(self.next_incarnation);
        self.next_incarnation += 1;
        incarnation
    }

    /// Where the shards of a new keyspace would go under these rules: spread over the nodes whose labels fit, which hold what is to be together
    /// with it and nothing that is to be apart.
    ///
    /// # Errors
    /// Where fewer nodes fit than there are to be replicas.
    pub fn placement_within(
        &self,
        rules: &PlacementRules,
        shards: usize,
        factor: usize,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let candidates = self.candidates(rules);
        if candidates.len() < factor {
            return Err(Refusal::conflict(format!(
                "{factor} replicas need {factor} nodes that take shards and fit the placement rules, {} do: label nodes, or ask for less",
                candidates.len()
            )));
        }
        Ok(spread(candidates, self.next_shard, shards, factor))
    }

    /// Nodes that take shards and fit, with what they have.
    fn candidates(&self, rules: &PlacementRules) -> Vec<Candidate> {
        let none = BTreeSet::new();
        let fits = |node: &&Node| !node.draining && rules.fits(self.labels().get(&node.id).unwrap_or(&none));
        let candidate = |node: &Node| (node.id, Candidate { node: node.id, zone: node.zone, leaders: 0, replicas: 0 });
        let mut candidates: BTreeMap<NodeId, Candidate> = self.nodes.values().filter(fits).map(candidate).collect();
        let mut beside: BTreeMap<NodeId, BTreeSet<KeyspaceId>> = BTreeMap::new();
        for shard in self.map.shards.values() {
            let leader = shard.leader.or(shard.replicas.first().map(|first| first.node));
            for replica in &shard.replicas {
                beside.entry(replica.node).or_default().insert(shard.keyspace);
                if let Some(candidate) = candidates.get_mut(&replica.node) {
                    candidate.replicas += 1;
                    candidate.leaders += u64::from(leader == Some(replica.node));
                }
            }
        }
        let none = BTreeSet::new();
        candidates.retain(|node, _| {
            let held = beside.get(node).unwrap_or(&none);
            rules.apart.is_disjoint(held) && rules.together.is_subset(held)
        });
        candidates.into_values().collect()
    }

    /// The nodes of each shard: as asked for, or spread.
    fn placement(
        &self,
        asked: Option<Vec<Vec<NodeId>>>,
        shards: usize,
        factor: usize,
    ) -> Result<Vec<Vec<NodeId>>, Refusal> {
        let ready: Vec<_> = self.nodes.values().filter(|node| !node.draining).collect();
        if ready.len() < factor {
            return Err(Refusal::conflict(format!(
                "{factor} replicas need {factor} nodes that take shards, {} do: add nodes or choose a smaller factor",
                ready.len()
            )));
        }
        let Some(asked) = asked else {
            return Ok(spread(self.candidates(&PlacementRules::default()), self.next_shard, shards, factor));
        };
        // An operator's own placement may put replicas into one zone: that is the operator's word, not a policy's.
        if asked.len() != shards {
            return Err(Refusal::invalid(format!("the placement has {} shards, the keyspace {shards}", asked.len())));
        }
        for nodes in &asked {
            if nodes.len() != factor || nodes.iter().collect::<BTreeSet<_>>().len() != factor {
                return Err(Refusal::invalid(format!("each shard needs {factor} distinct nodes, one has {nodes:?}")));
            }
            for node in nodes {
                if self.node(*node)?.draining {
                    return Err(Refusal::conflict(format!("node {node} is being emptied: choose another")));
                }
            }
        }
        Ok(asked)
    }
}

/// The boundaries between shards, ascending.
fn cuts(partitioning: Partitioning, shards: ShardCount) -> Result<Vec<Bytes>, Refusal> {
    let too_many = |count: usize| {
        Err(Refusal::invalid(format!("a keyspace has 1 to {MAX_SHARDS_PER_KEYSPACE} shards at its start, not {count}")))
    };
    match shards {
        ShardCount::Even(count) if count == 0 || count as usize > MAX_SHARDS_PER_KEYSPACE => too_many(count as usize),
        ShardCount::Even(1) => Ok(Vec::new()),
        ShardCount::Even(count) => match partitioning {
            Partitioning::Hash => Ok(Partitioning::even_slots(count)),
            Partitioning::Range => Err(Refusal::invalid(
                "nobody knows where an ordered keyspace should be cut: give its split keys, or one shard".to_owned(),
            )),
        },
        ShardCount::SplitAt(keys) if keys.len() >= MAX_SHARDS_PER_KEYSPACE => too_many(keys.len() + 1),
        ShardCount::SplitAt(keys) => {
            if keys.first().is_some_and(Bytes::is_empty) || keys.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(Refusal::invalid("split keys must be ascending, distinct and not empty".to_owned()));
            }
            // An internal key is a client's key and at most two bytes of slot.
            if let Some(key) = keys.iter().find(|key| key.len() > MAX_KEY_BYTES + 2) {
                return Err(Refusal::invalid(format!(
                    "a key has at most {MAX_KEY_BYTES} bytes, a split key {}",
                    key.len()
                )));
            }
            Ok(keys)
        }
    }
}
