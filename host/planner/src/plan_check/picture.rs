//! The cluster as it would be with some moves done: what the rules look at.

use super::gauge::{After, Gauge};
use crate::view::median_of;
use isobar_model::{Action, ClusterView, InstantMs, KeyspaceId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// What changes as moves are taken as done; everything else is read from the view.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// Replicas of the shards that differ from the view, the leader first.
    replicas: BTreeMap<usize, Vec<u32>>,
    /// Shards with a move under way or accepted.
    moving: BTreeSet<ShardId>,
    /// Shards moved in this round.
    moved: BTreeSet<usize>,
    /// Load, and what else nodes have only so much of, in the view's order.
    gauges: Vec<Gauge>,
    /// Moves of data by node.
    in_flight: Vec<u32>,
    /// Bytes by node, those to come included.
    used_bytes: Vec<u64>,
    /// Moves that count towards the round's budget.
    moves: u32,
    moved_bytes: u64,
    /// Replicas by node and keyspace, where any keyspace asks who lives beside it: with those to come, and without those to go.
    most_held: BTreeMap<(u32, KeyspaceId), u32>,
    least_held: BTreeMap<(u32, KeyspaceId), u32>,
}

impl Picture {
    /// The view's own state, with the moves in flight taken as done.
    pub(super) fn new(view: &ClusterView, expected: &[f32]) -> Self {
        let nodes = view.nodes.ids.len();
        let resources = 0..view.resources.len();
        let mut picture = Self {
            replicas: BTreeMap::new(),
            moving: view.moving.iter().map(|m| m.shard).collect(),
            moved: BTreeSet::new(),
            gauges: std::iter::once(None).chain(resources.map(Some)).map(|of| Gauge::new(view, of)).collect(),
            in_flight: vec![0; nodes],
            used_bytes: view.nodes.used_bytes.clone(),
            moves: 0,
            moved_bytes: 0,
            most_held: held(view),
            least_held: held(view),
        };
        for shard in 0..view.shards.ids.len() {
            let path = |step| expected_at(view, expected, shard, step);
            for (i, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                for gauge in &mut picture.gauges {
                    let part = gauge.part(view, shard, i == 0);
                    gauge.expect(view, node as usize, part, path);
                }
            }
        }
        for moving in &view.moving {
            let Some(shard) = picture.index(view, moving.shard) else {
                // Out of scope: its load is background, but its traffic counts.
                if !moving.leader_only {
                    for id in [moving.source, moving.target] {
                        if let Ok(node) = view.nodes.ids.binary_search(&id) {
                            picture.in_flight[node] += 1;
                        }
                    }
                }
                continue;
            };
            let action = if moving.leader_only {
                Action::TransferLeader(moving.target)
            } else {
                Action::MoveReplica { source: moving.source, target: moving.target }
            };
            picture.apply(view, expected, shard, action);
        }
        picture.moved.clear();
        picture.moved_bytes = 0;
        picture
    }

    /// The shard's place in the view.
    pub(super) fn index(&self, view: &ClusterView, shard: ShardId) -> Option<usize> {
        view.shards.ids.binary_search(&shard).ok()
    }

    /// Replicas, the leader first.
    pub(crate) fn replicas<'a>(&'a self, view: &'a ClusterView, shard: usize) -> &'a [u32] {
        self.replicas.get(&shard).map_or_else(|| view.shards.replicas_of(shard), Vec::as_slice)
    }

    pub(crate) fn is_moving(&self, shard: ShardId) -> bool {
        self.moving.contains(&shard)
    }

    pub(crate) fn in_flight(&self, node: usize) -> u32 {
        self.in_flight[node]
    }

    pub(super) fn used_bytes(&self, node: usize) -> u64 {
        self.used_bytes[node]
    }

    /// Replicas of a keyspace on a node while moves are under way, at the most; 0 where no keyspace asks who lives beside it.
    pub(super) fn most_held(&self, node: usize, keyspace: KeyspaceId) -> u32 {
        self.most_held.get(&(node as u32, keyspace)).copied().unwrap_or(0)
    }

    /// The same at the least.
    pub(super) fn least_held(&self, node: usize, keyspace: KeyspaceId) -> u32 {
        self.least_held.get(&(node as u32, keyspace)).copied().unwrap_or(0)
    }

    pub(super) fn moves(&self) -> u32 {
        self.moves
    }

    pub(super) fn count_move(&mut self) {
        self.moves = self.moves.saturating_add(1);
    }

    pub(super) fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    pub(super) fn last_moved(&self, view: &ClusterView, shard: usize) -> InstantMs {
        if self.moved.contains(&shard) { view.now } else { view.shards.last_moved[shard] }
    }

    /// The busier of present and expected peak utilisation of a node, by its scarcest: what drains sort destinations by.
    pub(crate) fn utilisation(&self, view: &ClusterView, node: usize) -> f32 {
        self.gauges.iter().map(|gauge| gauge.utilisation(view, node)).fold(0.0, f32::max)
    }

    /// What source and target would be at once the move is done: by load, then by each resource that goes along.
    pub(super) fn utilisation_after<'a>(
        &'a self,
        view: &'a ClusterView,
        expected: &[f32],
        shard: usize,
        action: Action,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = After> + 'a {
        let steps = view.steps as usize;
        let duration = match action {
            Action::MoveReplica { .. } => view.shards.move_steps[shard],
            Action::TransferLeader(_)
            | Action::AddReplica(_)
            | Action::RemoveReplica(_)
            | Action::Split
            | Action::MergeWith(_) => view.limits.leader_steps,
        };
        // From when it is done until the shard may move again; a move that outlasts the horizon is judged by the horizon's last step.
        let arrival = (duration.max(0.0).ceil() as usize).min(steps.saturating_sub(1));
        let stays = view.limits.cool_down_ms.div_ceil(u64::from(view.step_ms.max(1))).max(1);
        let leaves = arrival.saturating_add(usize::try_from(stays).unwrap_or(usize::MAX)).min(steps);
        let leads = self.leads(view, shard, from);
        let path: Vec<f32> = (arrival..leaves).map(|step| expected_at(view, expected, shard, step)).collect();
        self.gauges.iter().filter_map(move |gauge| {
            let moved = gauge.moved(view, shard, action, leads);
            let load = view.shards.leader_load[shard] * moved;
            gauge.goes_along(moved).then(|| gauge.after(view, (from, to), load, moved, arrival, &path))
        })
    }

    /// Takes a move as done. Moves that name no replica change nothing: the rules refused them, or they came from the past.
    pub(super) fn apply(&mut self, view: &ClusterView, expected: &[f32], shard: usize, action: Action) {
        let place = |id| view.nodes.ids.binary_search(&id).ok();
        let mut replicas = self.replicas(view, shard).to_vec();
        let (from, to) = match action {
            Action::MoveReplica { source, target } => (place(source), place(target)),
            Action::TransferLeader(target) => (replicas.first().map(|&leader| leader as usize), place(target)),
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => return,
        };
        self.moving.insert(view.shards.ids[shard]);
        self.moved.insert(shard);
        let (Some(from), Some(to)) = (from, to) else { return };
        let is_data = matches!(action, Action::MoveReplica { .. });
        if is_data {
            self.in_flight[from] += 1;
            self.in_flight[to] += 1;
        }
        let leads = self.leads(view, shard, from);
        // A move in flight may have switched already: the view then shows the source no more.
        let Some(at) = replicas.iter().position(|&node| node as usize == from) else { return };
        if is_data {
            let bytes = view.shards.bytes[shard];
            self.used_bytes[to] = self.used_bytes[to].saturating_add(bytes);
            self.moved_bytes = self.moved_bytes.saturating_add(bytes);
            if replicas.contains(&(to as u32)) {
                return;
            }
            replicas[at] = to as u32;
            if !self.most_held.is_empty() {
                let keyspace = view.shards.keyspaces[shard];
                *self.most_held.entry((to as u32, keyspace)).or_default() += 1;
                let left = self.least_held.entry((from as u32, keyspace)).or_default();
                *left = left.saturating_sub(1);
            }
        } else {
            let Some(then) = replicas.iter().position(|&node| node as usize == to) else { return };
            replicas.swap(at, then);
        }
        for gauge in &mut self.gauges {
            let moved = gauge.moved(view, shard, action, leads);
            gauge.shift(view, (from, to), view.shards.leader_load[shard], moved, |step| {
                expected_at(view, expected, shard, step)
            });
        }
        self.replicas.insert(shard, replicas);
    }

    fn leads(&self, view: &ClusterView, shard: usize, node: usize) -> bool {
        self.replicas(view, shard).first().is_some_and(|&leader| leader as usize == node)
    }
}

fn held(view: &ClusterView) -> BTreeMap<(u32, KeyspaceId), u32> {
    let mut held = BTreeMap::new();
    if view.placement.iter().all(|placement| placement.apart.is_empty() && placement.together.is_empty()) {
        return held;
    }
    for (shard, keyspace) in view.shards.keyspaces.iter().enumerate() {
        for &node in view.shards.replicas_of(shard) {
            *held.entry((node, *keyspace)).or_default() += 1;
        }
    }
    held
}

fn expected_at(view: &ClusterView, expected: &[f32], shard: usize, step: usize) -> f32 {
    let steps = view.steps as usize;
    let from_view = || {
        let row = (shard * view.quantiles.len() + median_of(&view.quantiles)) * steps;
        view.shards.predicted.get(row + step).copied().unwrap_or(0.0)
    };
    expected.get(shard * steps + step).copied().unwrap_or_else(from_view)
}
