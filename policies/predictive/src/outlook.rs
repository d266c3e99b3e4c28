//! What each shard and node is expected to carry, at points of the horizon.

use crate::Config;
use crate::excess::Excess;
use crate::moments::{Moments, Paths};
use isobar_model::ClusterView;
use placing_kit::{Board, Step};
use std::ops::Range;

/// Up to the first so many steps ahead, points are so many steps apart; beyond the last, by its length: a forecast blurs with its lead.
const POINTS: [(usize, usize); 3] = [(48, 1), (96, 3), (usize::MAX, 6)];
/// Neighbouring shards are kin where their forecasts' shapes differ by less than this share of the load.
const KIN_DIFFERENCE: f32 = 0.15;

/// Standard deviation, and the cube root of the third central moment: both add up over loads that rise and fall together.
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
    /// The kins it holds shards of, ascending, each with its row of spreads.
    kins: Vec<(u32, u32)>,
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
///
/// Columns, not a record a shard: a million shards at one point are a few megabytes, and are read through in milliseconds.
#[derive(Debug)]
pub(crate) struct Outlook<'a> {
    excess: &'a Excess,
    /// First step of each point, and its length in steps.
    starts: Vec<usize>,
    lengths: Vec<f32>,
    /// What each shard's leader is expected to carry: `mean[shard * points + point]`.
    mean: Vec<f32>,
    /// Its spread likewise; empty where none is forecast, for lack of quantiles.
    spread: Vec<Spread>,
    /// Which kin each shard is of, ascending; empty where there is no spread.
    kin: Vec<u32>,
    nodes: Vec<NodePath>,
    /// Spread of all of a kin's load on one node, by row: `kin_spread[row * points + point]`.
    kin_spread: Vec<Spread>,
    /// All zero: what a node holds of a kin that it has none of.
    no_spread: Vec<Spread>,
}

impl<'a> Outlook<'a> {
    pub(crate) fn new(config: &Config, excess: &'a Excess, board: &Board<'_>) -> Self {
        let view = board.view;
        let (starts, lengths) = points(view, config.horizon_steps as usize);
        let no_spread = vec![Spread::default(); starts.len()];
        let mut outlook = Self {
            excess,
            starts,
            lengths,
            mean: Vec::new(),
            spread: Vec::new(),
            kin: Vec::new(),
            nodes: Vec::new(),
            kin_spread: Vec::new(),
            no_spread,
        };
        outlook.read_forecast(view, config.caution);
        outlook.nodes = (0..board.nodes()).map(|node| outlook.background(view, node)).collect();
        outlook.place(board);
        for node in 0..board.nodes() {
            outlook.refresh(node);
        }
        outlook
    }

    /// Means and spreads of the shards' forecasts, and who is kin to whom.
    fn read_forecast(&mut self, view: &ClusterView, caution: f32) {
        let moments = Moments::new(&view.quantiles);
        let (shards, steps, quantiles) = (view.shards.ids.len(), view.steps as usize, view.quantiles.len());
        self.mean.reserve_exact(shards * self.points());
        if moments.know_spread() {
            self.spread.reserve_exact(shards * self.points());
        }
        let mut paths = Paths::default();
        // Of a million shards only the steps looked at are read.
        let looked_at =
            self.starts.last().zip(self.lengths.last()).map_or(0, |(start, length)| start + *length as usize);
        for shard in 0..shards {
            let forecast = &view.shards.predicted[shard * quantiles * steps..(shard + 1) * quantiles * steps];
            moments.of(forecast, steps, looked_at, &mut paths);
            for (&start, &length) in self.starts.iter().zip(&self.lengths) {
                let over = start..start + length as usize;
                let mean = |path: &[f32]| path[over.clone()].iter().map(|value| value / length).sum::<f32>();
                self.mean.push(mean(&paths.first));
                if moments.know_spread() {
                    let (deviation, skewed) = (mean(&paths.second).sqrt(), mean(&paths.third).cbrt());
                    self.spread.push(Spread { deviation: caution * deviation, skewed: caution * skewed });
                }
            }
        }
        if moments.know_spread() {
            self.kin = kin(view, &self.mean, self.starts.len());
        }
    }

    fn background(&self, view: &ClusterView, node: usize) -> NodePath {
        let steps = view.steps as usize;
        let path = &view.nodes.background[node * steps..(node + 1) * steps];
        NodePath {
            mean: means(path, &self.starts, &self.lengths).collect(),
            variance: vec![0.0; self.starts.len()],
            third: vec![0.0; self.starts.len()],
            capacity: known(view.nodes.capacity[node]),
            rest: Vec::new(),
            kins: Vec::new(),
        }
    }

    /// Adds the shards' load where their replicas are now, and from when moves in flight are done where they will be.
    fn place(&mut self, board: &Board<'_>) {
        let view = board.view;
        let mut moving: Vec<(usize, usize)> = view
            .moving
            .iter()
            .filter_map(|moving| {
                let shard = view.shards.ids.binary_search(&moving.shard).ok()?;
                Some((shard, self.point_after(view, moving.done_by.since_ms(view.now))))
            })
            .collect();
        // Of a shard that is named twice, the first counts.
        moving.sort_by_key(|&(shard, _)| shard);
        moving.dedup_by_key(|&mut (shard, _)| shard);
        let mut moving = moving.into_iter().peekable();
        for shard in 0..board.shards() {
            let done = moving.next_if(|&(moving, _)| moving == shard).map_or(0, |(_, done)| done);
            for (slot, &node) in board.replicas(shard).iter().enumerate() {
                self.add(shard, node, 0.0, board.share(shard, slot == 0), done..self.starts.len());
            }
            if done > 0 {
                for (slot, &node) in view.shards.replicas_of(shard).iter().enumerate() {
                    self.add(shard, node as usize, 0.0, board.share(shard, slot == 0), 0..done);
                }
            }
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

    fn add(&mut self, shard: usize, node: usize, before: f32, after: f32, points: Range<usize>) {
        let share = after - before;
        let all = self.starts.len();
        let mean = &self.mean[shard * all..(shard + 1) * all];
        for p in points.clone() {
            self.nodes[node].mean[p] += share * mean[p];
        }
        if self.spread.is_empty() {
            return;
        }
        let row = self.kin_row(node, self.kin[shard]);
        let spread = &self.spread[shard * all..(shard + 1) * all];
        let (kin, node) = (&mut self.kin_spread[row * all..(row + 1) * all], &mut self.nodes[node]);
        for p in points {
            let (old, new) = (kin[p], kin[p].plus(spread[p], share));
            node.variance[p] += new.variance() - old.variance();
            node.third[p] += new.third() - old.third();
            kin[p] = new;
        }
    }

    /// The row of a kin's spreads on a node, a new one where there is none.
    fn kin_row(&mut self, node: usize, kin: u32) -> usize {
        let kins = &mut self.nodes[node].kins;
        match kins.binary_search_by_key(&kin, |&(kin, _)| kin) {
            Ok(at) => kins[at].1 as usize,
            Err(at) => {
                let row = self.kin_spread.len() / self.no_spread.len().max(1);
                kins.insert(at, (kin, row as u32));
                self.kin_spread.extend_from_slice(&self.no_spread);
                row
            }
        }
    }

    /// Spreads of a kin on a node.
    fn kin_spread(&self, node: usize, kin: u32) -> &[Spread] {
        let (kins, all) = (&self.nodes[node].kins, self.starts.len());
        let row = kins.binary_search_by_key(&kin, |&(kin, _)| kin).ok().map(|at| kins[at].1 as usize);
        row.map_or(&self.no_spread, |row| &self.kin_spread[row * all..(row + 1) * all])
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
        let all = self.starts.len();
        let mean = &self.mean[shift.shard * all..(shift.shard + 1) * all];
        let share = shift.after - shift.before;
        let spread = self.spread.get(shift.shard * all..(shift.shard + 1) * all).unwrap_or(&self.no_spread);
        let kin = match self.kin.get(shift.shard) {
            Some(&kin) => self.kin_spread(shift.node, kin),
            None => &self.no_spread,
        };
        let cost = |points: Range<usize>| -> f32 {
            points
                .map(|p| {
                    let (old, new) = (kin[p], kin[p].plus(spread[p], share));
                    let (variance, third) = (new.variance() - old.variance(), new.third() - old.third());
                    self.at(shift.node, p, share * mean[p], variance, third)
                })
                .sum()
        };
        let rest = &self.nodes[shift.node].rest;
        let until = until.max(from);
        let soon = rest[from] - rest[until] - cost(from..until);
        Saving { soon, total: soon + rest[until] - cost(until..all) }
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

    /// A node's mean load at its fullest point within the horizon, as a share of its capacity.
    pub(crate) fn utilisation(&self, node: usize) -> f32 {
        let path = &self.nodes[node];
        path.mean.iter().copied().fold(0.0, f32::max) / path.capacity
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

/// Points of the horizon: first step and length of each.
pub(crate) fn points(view: &ClusterView, horizon: usize) -> (Vec<usize>, Vec<f32>) {
    let steps = (view.steps as usize).min(horizon);
    let (mut starts, mut lengths) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < steps {
        let length = POINTS.iter().find(|(until, _)| at < *until).map_or(1, |(_, length)| *length).min(steps - at);
        starts.push(at);
        lengths.push(length as f32);
        at += length;
    }
    (starts, lengths)
}

/// A path's mean over the steps of each point.
pub(crate) fn means(path: &[f32], starts: &[usize], lengths: &[f32]) -> impl Iterator<Item = f32> {
    starts.iter().zip(lengths).map(|(&start, &length)| {
        path[start..start + length as usize].iter().map(|&load| known(load)).sum::<f32>() / length
    })
}

/// Neighbours whose forecasts have the same shape are kin: parts of one tenant, whose loads rise and fall together, and whose errors do, too.
fn kin(view: &ClusterView, mean: &[f32], points: usize) -> Vec<u32> {
    let total = |path: &[f32]| path.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let mut kin = vec![0; view.shards.ids.len()];
    for i in 1..kin.len() {
        let (a, b) = (&mean[(i - 1) * points..i * points], &mean[i * points..(i + 1) * points]);
        let (scale_a, scale_b) = (1.0 / total(a), 1.0 / total(b));
        let apart: f32 = a.iter().zip(b).map(|(a, b)| (a * scale_a - b * scale_b).abs()).sum();
        let same = apart < KIN_DIFFERENCE && view.shards.keyspaces[i - 1] == view.shards.keyspaces[i];
        kin[i] = kin[i - 1] + u32::from(!same);
    }
    kin
}

/// Load as forecast; an unknown one counts as none.
pub(crate) fn known(load: f32) -> f32 {
    if load.is_finite() { load.max(0.0) } else { 0.0 }
}
