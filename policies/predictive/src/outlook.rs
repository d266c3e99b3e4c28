//! What each shard and node is expected to carry, at points of the horizon.

use crate::Config;
use crate::excess::Excess;
use crate::moments::Moments;
use isobar_model::ClusterView;
use placing_kit::{Board, Step};
use std::collections::HashMap;

/// Up to the first so many steps ahead, points are so many steps apart; beyond the last, by its length: a forecast blurs with its lead.
const POINTS: [(usize, usize); 3] = [(48, 1), (96, 3), (usize::MAX, 6)];
/// Neighbouring shards are kin where their forecasts' shapes differ by less than this share of the load.
const KIN_DIFFERENCE: f32 = 0.15;

/// What one shard's leader is expected to carry at each point.
#[derive(Clone, Debug)]
struct ShardPath {
    mean: Vec<f32>,
    /// Standard deviation, and the cube root of the third central moment: both add up over loads that rise and fall together.
    spread: Vec<Spread>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spread {
    deviation: f32,
    skewed: f32,
}

/// What one node is expected to carry at each point.
#[derive(Clone, Debug)]
struct NodePath {
    mean: Vec<f32>,
    /// Variance and third moment, the kins' errors being independent.
    variance: Vec<f32>,
    third: Vec<f32>,
    capacity: f32,
    /// Expected excess over capacity, load units times steps, from each point to the end.
    rest: Vec<f32>,
}

/// A change of one replica's share of its shard's leader load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    pub(crate) shard: usize,
    pub(crate) node: usize,
    /// Shares before and after, 1 for a leader, 0 for none.
    pub(crate) before: f32,
    pub(crate) after: f32,
}

/// Expected overload over the horizon, load units times steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Saving {
    /// Within the patience after the effect.
    pub(crate) soon: f32,
    /// Over the whole horizon.
    pub(crate) total: f32,
}

/// The outlook of a round.
#[derive(Debug)]
pub(crate) struct Outlook<'a> {
    excess: &'a Excess,
    /// First step of each point, and its length in steps.
    starts: Vec<usize>,
    lengths: Vec<f32>,
    shards: Vec<ShardPath>,
    /// Which kin each shard is of.
    kin: Vec<usize>,
    nodes: Vec<NodePath>,
    /// Spread of all of a kin's load on one node.
    kin_spread: HashMap<(usize, usize), Vec<Spread>>,
    /// All zero: what a node holds of a kin that it has none of.
    no_spread: Vec<Spread>,
}

impl<'a> Outlook<'a> {
    pub(crate) fn new(config: &Config, excess: &'a Excess, board: &Board<'_>) -> Self {
        let view = board.view;
        let steps = (view.steps as usize).min(config.horizon_steps as usize);
        let (mut starts, mut lengths) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < steps {
            let length = POINTS.iter().find(|(until, _)| at < *until).map_or(1, |(_, length)| *length).min(steps - at);
            starts.push(at);
            lengths.push(length as f32);
            at += length;
        }
        let moments = Moments::new(&view.quantiles);
        let shards: Vec<ShardPath> = (0..board.shards())
            .map(|shard| shard_path(view, &moments, config.caution, shard, &starts, &lengths))
            .collect();
        let kin = kin(view, &shards);
        let no_spread = vec![Spread::default(); starts.len()];
        let mut outlook =
            Self { excess, starts, lengths, shards, kin, nodes: Vec::new(), kin_spread: HashMap::new(), no_spread };
        outlook.nodes = (0..board.nodes()).map(|node| outlook.background(view, node)).collect();
        for shard in 0..board.shards() {
            outlook.place(board, shard);
        }
        for node in 0..board.nodes() {
            outlook.refresh(node);
        }
        outlook
    }

    fn background(&self, view: &ClusterView, node: usize) -> NodePath {
        let steps = view.steps as usize;
        let path = &view.nodes.background[node * steps..(node + 1) * steps];
        let mean = self.starts.iter().zip(&self.lengths).map(|(&start, &length)| {
            path[start..start + length as usize].iter().map(|&load| known(load)).sum::<f32>() / length
        });
        NodePath {
            mean: mean.collect(),
            variance: vec![0.0; self.starts.len()],
            third: vec![0.0; self.starts.len()],
            capacity: known(view.nodes.capacity[node]),
            rest: Vec::new(),
        }
    }

    /// Adds a shard's load where its replicas are now, and from when moves in flight are done where they will be.
    fn place(&mut self, board: &Board<'_>, shard: usize) {
        let view = board.view;
        let (now, then) = (view.shards.replicas_of(shard), board.replicas(shard));
        let moving = view.moving.iter().find(|moving| moving.shard == view.shards.ids[shard]);
        let done = moving.map_or(0, |moving| self.point_after(view, moving.done_by.since_ms(view.now)));
        for (slot, &node) in then.iter().enumerate() {
            self.add(shard, node, 0.0, board.share(shard, slot == 0), done..self.starts.len());
        }
        for (slot, &node) in now.iter().enumerate() {
            self.add(shard, node as usize, 0.0, board.share(shard, slot == 0), 0..done);
        }
    }

    /// The first point that begins at or after so many milliseconds from now.
    fn point_after(&self, view: &ClusterView, ms: u64) -> usize {
        let steps = ms as f32 / view.step_ms.max(1) as f32;
        self.point_from(steps)
    }

    /// The first point that begins at or after so many steps from now.
    pub(crate) fn point_from(&self, steps: f32) -> usize {
        self.starts.partition_point(|&start| (start as f32) < steps)
    }

    fn add(&mut self, shard: usize, node: usize, before: f32, after: f32, points: std::ops::Range<usize>) {
        let share = after - before;
        let path = &self.shards[shard];
        let kin = self.kin_spread.entry((node, self.kin[shard])).or_insert_with(|| self.no_spread.clone());
        let node = &mut self.nodes[node];
        for p in points {
            let (old, new) = (kin[p], kin[p].plus(path.spread[p], share));
            node.mean[p] += share * path.mean[p];
            node.variance[p] += new.variance() - old.variance();
            node.third[p] += new.third() - old.third();
            kin[p] = new;
        }
    }

    fn refresh(&mut self, node: usize) {
        let points = self.starts.len();
        let mut rest = vec![0.0; points + 1];
        for p in (0..points).rev() {
            rest[p] = rest[p + 1] + self.at(node, p, 0.0, 0.0, 0.0);
        }
        self.nodes[node].rest = rest;
    }

    #[inline]
    fn at(&self, node: usize, p: usize, mean: f32, variance: f32, third: f32) -> f32 {
        let path = &self.nodes[node];
        let variance = (path.variance[p] + variance).max(0.0);
        self.lengths[p] * self.excess.over(path.mean[p] + mean, variance, path.third[p] + third, path.capacity)
    }

    /// Expected overload of a node from a point on.
    pub(crate) fn expected(&self, node: usize, from: usize) -> f32 {
        self.nodes[node].rest[from]
    }

    /// What a shift from point `from` on saves at its node (below 0: costs); `soon` up to point `until`.
    pub(crate) fn saving(&self, shift: Shift, from: usize, until: usize) -> Saving {
        let path = &self.shards[shift.shard];
        let share = shift.after - shift.before;
        let kin = self.kin_spread.get(&(shift.node, self.kin[shift.shard])).unwrap_or(&self.no_spread);
        let cost = |points: std::ops::Range<usize>| -> f32 {
            points
                .map(|p| {
                    let (old, new) = (kin[p], kin[p].plus(path.spread[p], share));
                    let (variance, third) = (new.variance() - old.variance(), new.third() - old.third());
                    self.at(shift.node, p, share * path.mean[p], variance, third)
                })
                .sum()
        };
        let rest = &self.nodes[shift.node].rest;
        let until = until.max(from);
        let soon = rest[from] - rest[until] - cost(from..until);
        Saving { soon, total: soon + rest[until] - cost(until..self.starts.len()) }
    }

    /// Carries a shift out, from a point on.
    pub(crate) fn apply(&mut self, shift: Shift, from: usize) {
        self.add(shift.shard, shift.node, shift.before, shift.after, from..self.starts.len());
        self.refresh(shift.node);
    }

    /// The two shifts of a step, and the steps from now until it takes effect.
    pub(crate) fn shifts(board: &Board<'_>, step: Step) -> ([Shift; 2], f32) {
        let shard = step.shard();
        let replicas = board.replicas(shard);
        let (lead, follow) = (board.share(shard, true), board.share(shard, false));
        match step {
            Step::Lead { slot, .. } => (
                [
                    Shift { shard, node: replicas[0], before: lead, after: follow },
                    Shift { shard, node: replicas[slot], before: follow, after: lead },
                ],
                board.view.limits.leader_steps,
            ),
            Step::Relocate { slot, target, .. } => {
                let share = board.share(shard, slot == 0);
                (
                    [
                        Shift { shard, node: replicas[slot], before: share, after: 0.0 },
                        Shift { shard, node: target, before: 0.0, after: share },
                    ],
                    board.view.shards.move_steps[shard],
                )
            }
        }
    }

    /// How much of a node's capacity is free at its fullest point within the horizon, negative where it is over.
    pub(crate) fn room(&self, node: usize) -> f32 {
        let path = &self.nodes[node];
        path.capacity - path.mean.iter().copied().fold(0.0, f32::max)
    }

    /// Number of points.
    pub(crate) fn points(&self) -> usize {
        self.starts.len()
    }

    /// First step of a point.
    pub(crate) fn start(&self, point: usize) -> usize {
        self.starts[point]
    }

    /// The first point from `from` on where a node's expected overload reaches `share` of its capacity.
    pub(crate) fn first_over(&self, node: usize, from: usize, share: f32) -> Option<usize> {
        let path = &self.nodes[node];
        (from..self.points()).find(|&p| path.rest[p] - path.rest[p + 1] > share * path.capacity * self.lengths[p])
    }

    /// A node's mean load at its fullest point from `from` on.
    pub(crate) fn peak(&self, node: usize, from: usize) -> (usize, f32) {
        let path = &self.nodes[node];
        (from..self.points())
            .map(|p| (p, path.mean[p]))
            .fold((from, 0.0), |best, at| if at.1 > best.1 { at } else { best })
    }
}

impl Spread {
    #[inline]
    fn plus(self, other: Self, share: f32) -> Self {
        Self {
            deviation: (self.deviation + share * other.deviation).max(0.0),
            skewed: self.skewed + share * other.skewed,
        }
    }

    #[inline]
    fn variance(self) -> f32 {
        self.deviation * self.deviation
    }

    #[inline]
    fn third(self) -> f32 {
        self.skewed * self.skewed * self.skewed
    }
}

fn shard_path(
    view: &ClusterView,
    moments: &Moments,
    caution: f32,
    shard: usize,
    starts: &[usize],
    lengths: &[f32],
) -> ShardPath {
    let (steps, quantiles) = (view.steps as usize, view.quantiles.len());
    let first = shard * quantiles * steps;
    let (mut mean, mut spread) = (Vec::with_capacity(starts.len()), Vec::with_capacity(starts.len()));
    for (&start, &length) in starts.iter().zip(lengths) {
        let (mut m, mut v, mut t) = (0.0, 0.0, 0.0);
        for step in start..start + length as usize {
            let (mean, variance, third) = moments.of(|q| known(view.shards.predicted[first + q * steps + step]));
            m += mean / length;
            v += variance / length;
            t += third / length;
        }
        mean.push(m);
        spread.push(Spread { deviation: caution * v.sqrt(), skewed: caution * t.cbrt() });
    }
    ShardPath { mean, spread }
}

/// Neighbours whose forecasts have the same shape are kin: parts of one tenant, whose loads rise and fall together, and whose errors do, too.
fn kin(view: &ClusterView, shards: &[ShardPath]) -> Vec<usize> {
    let total = |path: &ShardPath| path.mean.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let mut kin = vec![0; shards.len()];
    for i in 1..shards.len() {
        let (a, b) = (&shards[i - 1], &shards[i]);
        let (scale_a, scale_b) = (1.0 / total(a), 1.0 / total(b));
        let apart: f32 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a * scale_a - b * scale_b).abs()).sum();
        let same = apart < KIN_DIFFERENCE && view.shards.keyspaces[i - 1] == view.shards.keyspaces[i];
        kin[i] = kin[i - 1] + usize::from(!same);
    }
    kin
}

/// Load as forecast; an unknown one counts as none.
fn known(load: f32) -> f32 {
    if load.is_finite() { load.max(0.0) } else { 0.0 }
}
