//! The book of one keyspace.

use super::blocks::{Blocks, Tally, WorldName};
use super::standing::{Chance, Gain, Standing, judge};
use super::world::{Background, Begun, Outlook, Replicas, World, fail_over, is_serving};
use super::{Advisor, GainReport, GainSpec, PlacedShard, Really, StepFacts, lay};
use crate::packing::{PackInput, pack};
use crate::view::median_of;
use isobar_model::{ClusterView, InstantMs, KeyspaceId, NodeId, NodeState, PlacementRules, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recorded steps that a placement is packed on, at most and at least: of more the search takes long, and of fewer it learns nothing.
const PACKED_STEPS: std::ops::RangeInclusive<usize> = 24..=336;
/// Rounds in a step at most: the reactive placement has as many as the real one has ticks in a step of five minutes, …
const REACTIVE_ROUNDS: u32 = 30;
/// … the predictive one fewer, since each shows the policy all of the forecast; that only counts against it.
const PREDICTIVE_ROUNDS: u32 = 8;

/// One keyspace's placements, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    /// Who places.
    pub(super) policy: String,
    anchored: InstantMs,
    /// What there was at the anchor.
    nodes: Vec<NodeId>,
    shards: Vec<ShardId>,
    /// Where replicas were at the anchor.
    still: Replicas,
    packed: Replicas,
    reactive: World,
    /// While the policy's moves are carried out, where replicas really are.
    predictive: World,
    live: bool,
    blocks: Blocks,
    standing: Standing,
    gain: Option<Gain>,
}

impl Account {
    pub(super) fn new(policy: &str) -> Self {
        Self { policy: policy.to_owned(), ..Self::default() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether nodes and shards are those of the anchor.
    pub(super) fn fits(&self, facts: &StepFacts<'_>, shards: &[&PlacedShard]) -> bool {
        self.nodes.iter().eq(facts.nodes.iter().map(|node| &node.id))
            && self.shards.iter().eq(shards.iter().map(|shard| &shard.id))
    }

    /// Sets all placements anew at the real one.
    pub(super) fn open(
        &mut self,
        spec: &GainSpec,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        really: &mut Really,
        advisor: &dyn Advisor,
    ) {
        if self.blocks.begin_step(spec, facts.now) {
            self.judge(spec, keyspace);
        }
        self.anchored = facts.now;
        self.nodes = facts.nodes.iter().map(|node| node.id).collect();
        self.shards = shards.iter().map(|shard| shard.id).collect();
        let real = World::real(facts, shards);
        self.still = real.replicas.clone();
        self.packed = packed(spec, keyspace, facts, shards, really, advisor).unwrap_or_else(|| self.still.clone());
        let begun = difference(&self.still, &self.packed);
        self.charge(WorldName::Packed, begun);
        self.live = self.is_live(keyspace, facts);
        self.reactive = real.clone();
        self.predictive = real;
    }

    /// Lays a closed step on all placements.
    pub(super) fn lay(
        &mut self,
        spec: &GainSpec,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        really: &Really,
        before: &BTreeMap<ShardId, Vec<NodeId>>,
    ) {
        let start = InstantMs(facts.now.0.saturating_sub(u64::from(facts.step_ms)));
        if self.blocks.begin_step(spec, start) {
            self.judge(spec, keyspace);
        }
        let actual: Vec<&[NodeId]> =
            shards.iter().map(|shard| before.get(&shard.id).unwrap_or(&shard.replicas).as_slice()).collect();
        let mut others = really.before.clone();
        for (replicas, shard) in actual.iter().zip(shards) {
            lay(&really.at, &mut others, replicas, shard, -1.0);
        }
        let over = |replicas: &mut dyn Iterator<Item = &[NodeId]>| {
            let mut loads = others.clone();
            replicas.zip(shards).for_each(|(replicas, shard)| lay(&really.at, &mut loads, replicas, shard, 1.0));
            overload(&loads, facts) * f64::from(facts.step_ms) / 1000.0
        };
        let of = |placement: &Replicas| over(&mut placement.iter().map(Vec::as_slice));
        let really_over = over(&mut actual.iter().copied());
        let overloads = [
            of(&self.still),
            of(&self.packed),
            of(&self.reactive.replicas),
            if self.live { really_over } else { of(&self.predictive.replicas) },
            really_over,
        ];
        if let Some(open) = &mut self.blocks.open {
            open.seen_ms += u64::from(facts.step_ms);
            open.tallies.iter_mut().zip(overloads).for_each(|(tally, over)| tally.overload_node_s += over);
        }
    }

    /// Moves on the placements that are not there.
    pub(super) fn go_on(
        &mut self,
        keyspace: KeyspaceId,
        facts: &StepFacts<'_>,
        shards: &[&PlacedShard],
        really: &mut Really,
        advisor: &mut dyn Advisor,
    ) {
        for placement in [&mut self.still, &mut self.packed] {
            fail_over(placement, facts, really);
        }
        let mut background = background(facts, shards, really);
        self.reactive.arrive(facts.now);
        fail_over(&mut self.reactive.replicas, facts, really);
        let measured = |shard: &PlacedShard| vec![shard.load];
        let rounds = facts.rounds.min(REACTIVE_ROUNDS);
        let outlook = Outlook { rounds, quantiles: vec![0.5], steps: 1, paths: &measured };
        let mut react = |view: &ClusterView| advisor.react(view);
        let begun = self.reactive.advance(keyspace, facts, shards, &background, &outlook, &mut react);
        self.charge(WorldName::Reactive, begun);

        let was_live = self.live;
        self.live = self.is_live(keyspace, facts);
        if self.live {
            self.predictive = World::real(facts, shards);
            return;
        }
        if was_live {
            self.predictive = World::real(facts, shards);
        } else {
            self.predictive.arrive(facts.now);
            fail_over(&mut self.predictive.replicas, facts, really);
        }
        let (quantiles, steps) = advisor.forecast_shape();
        background.later = others_later(facts, shards, really, advisor, &quantiles, steps);
        let width = quantiles.len() * steps as usize;
        let forecasts: BTreeMap<ShardId, Vec<f32>> = shards
            .iter()
            .map(|shard| (shard.id, advisor.forecast(shard.id).unwrap_or_else(|| vec![shard.load; width])))
            .collect();
        let paths = |shard: &PlacedShard| forecasts.get(&shard.id).cloned().unwrap_or_default();
        let outlook = Outlook { rounds: facts.rounds.min(PREDICTIVE_ROUNDS), quantiles, steps, paths: &paths };
        let mut predict = |view: &ClusterView| advisor.predict(view);
        let begun = self.predictive.advance(keyspace, facts, shards, &background, &outlook, &mut predict);
        self.charge(WorldName::Predictive, begun);
    }

    /// A move that is really carried out.
    pub(super) fn note_move(&mut self, is_data: bool) {
        let worlds: &[WorldName] =
            if self.live { &[WorldName::Actual, WorldName::Predictive] } else { &[WorldName::Actual] };
        for world in worlds {
            if let Some(tally) = self.blocks.tally(*world) {
                tally.count(is_data, 1);
            }
        }
    }

    pub(super) fn report(&self, spec: &GainSpec, keyspace: KeyspaceId) -> GainReport {
        let open = self.blocks.open.as_ref().map_or([Tally::default(); 5], |open| open.tallies);
        GainReport {
            keyspace,
            standing: self.standing,
            anchored: self.anchored,
            since: self.blocks.whole.front().map(|block| block.start),
            blocks: self.blocks.whole.len(),
            least_blocks: spec.least_blocks,
            block_ms: spec.block_ms,
            seen_s: self.blocks.whole.iter().map(|block| block.seen_ms as f64 / 1000.0).sum(),
            live: self.live,
            tallies: self.blocks.totals(),
            gain: self.gain,
            open: WorldName::ALL.into_iter().zip(open).collect(),
        }
    }

    /// Whether the policy's moves are carried out from now on.
    fn is_live(&self, keyspace: KeyspaceId, facts: &StepFacts<'_>) -> bool {
        let steps_back = facts.heeded.contains(&keyspace) && self.standing.speaks_against();
        facts.live.contains(&keyspace) && !steps_back
    }

    fn judge(&mut self, spec: &GainSpec, keyspace: KeyspaceId) {
        (self.standing, self.gain) = judge(spec, &self.blocks, spec.seed ^ u64::from(keyspace.0));
    }

    fn charge(&mut self, world: WorldName, begun: Begun) {
        if let Some(tally) = self.blocks.tally(world) {
            tally.count(true, begun.data);
            tally.count(false, begun.leaders);
        }
    }
}

/// Overload at these loads, in nodes. A node that does not answer is no node to overload; one without capacity is over with anything.
fn overload(loads: &[f64], facts: &StepFacts<'_>) -> f64 {
    let over = |(node, &load): (&crate::NodeFact, &f64)| {
        let capacity = f64::from(node.capacity);
        if !is_serving(node.state) || capacity.is_nan() || capacity <= 0.0 {
            return 0.0;
        }
        let over = (load - capacity) / capacity;
        // Sums of the same loads in another order differ in their last bits.
        if over > 1e-9 { over } else { 0.0 }
    };
    facts.nodes.iter().zip(loads).map(over).sum()
}

/// What the rest of the cluster puts on nodes now.
fn background(facts: &StepFacts<'_>, shards: &[&PlacedShard], really: &Really) -> Background {
    let mut loads = really.now.clone();
    let mut used_bytes: Vec<u64> = facts.nodes.iter().map(|node| node.used_bytes).collect();
    for shard in shards {
        lay(&really.at, &mut loads, &shard.replicas, shard, -1.0);
        for &node in shard.replicas.iter().filter_map(|node| really.at.get(node)) {
            used_bytes[node] = used_bytes[node].saturating_sub(shard.bytes);
        }
    }
    let now: Vec<f32> = loads.iter().map(|load| load.max(0.0) as f32).collect();
    Background { later: now.clone(), now, used_bytes }
}

/// What the rest of the cluster is forecast to put on nodes, by the median: `[node * steps + step]`.
fn others_later(
    facts: &StepFacts<'_>,
    shards: &[&PlacedShard],
    really: &mut Really,
    advisor: &dyn Advisor,
    quantiles: &[f32],
    steps: u32,
) -> Vec<f32> {
    let steps = steps as usize;
    let median = median_of(quantiles);
    let put = |loads: &mut [f32], shard: &PlacedShard, sign: f32| {
        let paths = advisor.forecast(shard.id);
        let path = paths.as_ref().and_then(|paths| paths.get(median * steps..(median + 1) * steps));
        for (slot, &node) in shard.replicas.iter().filter_map(|node| really.at.get(node)).enumerate() {
            let part = sign * if slot == 0 { 1.0 } else { shard.follower_share };
            let row = &mut loads[node * steps..(node + 1) * steps];
            match path {
                Some(path) => row.iter_mut().zip(path).for_each(|(sum, load)| *sum += load * part),
                None => row.iter_mut().for_each(|sum| *sum += shard.load.max(0.0) * part),
            }
        }
    };
    // Once for all keyspaces; each takes its own out.
    let all = really.later.take().unwrap_or_else(|| {
        let mut loads = vec![0.0; facts.nodes.len() * steps];
        facts.shards.iter().for_each(|shard| put(&mut loads, shard, 1.0));
        loads
    });
    let mut others = all.clone();
    shards.iter().for_each(|shard| put(&mut others, shard, -1.0));
    really.later = Some(all);
    others.iter_mut().for_each(|load| *load = load.max(0.0));
    others
}

/// One placement packed on recorded load; none where too little is recorded, or there are too many shards.
fn packed(
    spec: &GainSpec,
    keyspace: KeyspaceId,
    facts: &StepFacts<'_>,
    shards: &[&PlacedShard],
    really: &mut Really,
    advisor: &dyn Advisor,
) -> Option<Replicas> {
    let steps = (spec.packed_values / facts.shards.len().max(1)).min(*PACKED_STEPS.end());
    if steps < *PACKED_STEPS.start() {
        return None;
    }
    let at = &really.at;
    let (nodes, recorded) = really.recorded.get_or_insert_with(|| {
        let rows: Vec<Vec<f32>> = facts.shards.iter().map(|shard| advisor.recorded(shard.id, steps)).collect();
        let mut nodes = vec![vec![0.0; rows.first().map_or(0, Vec::len)]; facts.nodes.len()];
        for (shard, row) in facts.shards.iter().zip(&rows) {
            put(&mut nodes, at, shard, row, 1.0);
        }
        (nodes, rows)
    });
    let seen = recorded.first().map_or(0, Vec::len);
    if seen < *PACKED_STEPS.start() {
        return None;
    }
    let mut background = nodes.clone();
    let mut work = Vec::with_capacity(shards.len());
    for shard in shards {
        let row =
            facts.shards.binary_search_by_key(&shard.id, |known| known.id).ok().and_then(|at| recorded.get(at))?;
        put(&mut background, at, shard, row, -1.0);
        work.push(row.clone());
    }
    background.iter_mut().flatten().for_each(|load| *load = load.max(0.0));
    let none = PlacementRules::default();
    let rules = facts.placement.get(&keyspace).unwrap_or(&none);
    let indices = |shard: &&PlacedShard| shard.replicas.iter().filter_map(|node| at.get(node).copied()).collect();
    let start: Vec<Vec<usize>> = shards.iter().map(indices).collect();
    let capacity: Vec<f32> = facts.nodes.iter().map(|node| node.capacity.max(0.0)).collect();
    let mean_capacity = f64::from(capacity.iter().sum::<f32>()) / capacity.len().max(1) as f64;
    let input = PackInput {
        work,
        leader: vec![1.0; shards.len()],
        follower: shards.iter().map(|shard| shard.follower_share).collect(),
        capacity,
        background,
        open: facts.nodes.iter().map(|node| node.state == NodeState::Up && rules.fits(&node.labels)).collect(),
        zones: facts.nodes.iter().map(|node| node.zone.0).collect(),
        start: start.clone(),
        least: mean_capacity * seen as f64 * 1e-6,
        max_work: spec.packed_work,
    };
    let mut chance = Chance(spec.seed ^ u64::from(keyspace.0));
    let found = pack(input, |below| chance.below(below));
    let named = |((found, start), shard): ((Vec<usize>, Vec<usize>), &&PlacedShard)| {
        // One with a replica on a node that nobody knows stays as it is.
        if start.len() < shard.replicas.len() {
            shard.replicas.clone()
        } else {
            found.into_iter().map(|node| facts.nodes[node].id).collect()
        }
    };
    Some(found.into_iter().zip(start).zip(shards).map(named).collect())
}

/// Adds `sign` times a shard's recorded loads to the nodes of its replicas.
fn put(
    nodes: &mut [Vec<f32>],
    at: &std::collections::HashMap<NodeId, usize>,
    shard: &PlacedShard,
    row: &[f32],
    sign: f32,
) {
    for (slot, node) in shard.replicas.iter().enumerate() {
        let Some(&node) = at.get(node) else { continue };
        let part = sign * if slot == 0 { 1.0 } else { shard.follower_share };
        nodes[node].iter_mut().zip(row).for_each(|(sum, load)| *sum += part * load);
    }
}

/// Moves from one placement to another.
fn difference(from: &Replicas, to: &Replicas) -> Begun {
    let mut begun = Begun::default();
    for (old, new) in from.iter().zip(to) {
        begun.data += new.iter().filter(|node| !old.contains(node)).count() as u64;
        begun.leaders += u64::from(old.first() != new.first() && new.first().is_some_and(|node| old.contains(node)));
    }
    begun
}
