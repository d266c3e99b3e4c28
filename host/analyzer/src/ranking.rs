//! Shards ranked by what they are about to do to their nodes.

mod precision;

pub use precision::{PrecisionSpec, RankPrecision, RankScorer, top_precision};

use isobar_model::{Action, ClusterView, InstantMs, Move, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Steps whose feared load is within this part of the highest belong to the peak: less is not told apart by any forecast.
const PEAK_TOLERANCE: f32 = 0.03;

/// The peak of one shard over the lead, by quantile of the maximum, in load units per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeakBand {
    /// Hardly less.
    pub low: f32,
    /// What it is ranked by.
    pub feared: f32,
    /// Hardly more.
    pub high: f32,
}

/// What a ranking is made of.
#[derive(Clone, Copy, Debug)]
pub struct RankInput<'a> {
    /// The view that was planned by.
    pub view: &'a ClusterView,
    /// Start of the first step of the view's predictions.
    pub start: InstantMs,
    /// The lead: the first so many steps, in which peaks are looked for. 0, or more than the view has: all.
    pub lead_steps: u32,
    /// Quantiles that stand for low, feared and high; the nearest that were forecast are taken.
    pub band: [f32; 3],
    /// The maximum over the lead of each of the view's shards. Empty: the maxima of the paths of the band's quantiles, which lie a little lower.
    pub peaks: &'a [PeakBand],
    /// Moves that the round accepted or showed.
    pub moves: &'a [Move],
    /// Most shards to return.
    pub limit: usize,
}

/// What to do about a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The move, of a replica or of leadership.
    pub proposed: Move,
    /// Where the replicas would be then, the leader first.
    pub replicas: Vec<NodeId>,
}

/// One shard in the ranking. Ordered by what it adds to overload, then by its peak, then by its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedShard {
    /// Which.
    pub shard: ShardId,
    /// Where its replicas are, the leader first.
    pub replicas: Vec<NodeId>,
    /// Measured load units per second of the leader.
    pub load: f32,
    /// Load units per second of the leader at its peak over the lead.
    pub peak: PeakBand,
    /// Start of the step of the peak: the highest of the forecast median.
    pub peak_at: InstantMs,
    /// Start of the first step that may be the peak: its feared load is as good as the highest.
    pub peak_from: InstantMs,
    /// End of the last such step.
    pub peak_until: InstantMs,
    /// The leader's share of its node's expected peak load, 0 to 1.
    pub node_share: f32,
    /// Load units per second of its node's expected overload that are this shard's share.
    pub overload: f32,
    /// What the last round would do about it.
    pub recommended: Option<Recommendation>,
    /// 0 can wait, 1 at once: the recommended move's; without one, 0 where no overload is expected, else the part of the lead that will have
    /// passed when the latest start is due, taken from 1.
    pub urgency: f32,
    /// When a move must begin to be done before the peak: its time before the peak's start. Of the recommended move, else of the shard's
    /// data. Past: too late to be done in time.
    pub latest_start: InstantMs,
}

/// The shards in scope, the worst first.
#[must_use]
pub fn rank(input: RankInput<'_>) -> Vec<RankedShard> {
    let RankInput { view, moves, .. } = input;
    let paths = Paths::new(&input);
    let peaks: Vec<PeakBand> =
        (0..view.shards.ids.len()).map(|i| input.peaks.get(i).copied().unwrap_or_else(|| paths.band(i))).collect();
    let mut node_peak = vec![0.0f32; view.nodes.ids.len()];
    let steps = view.steps as usize;
    for (node, sum) in node_peak.iter_mut().enumerate() {
        let background = view.nodes.background.get(node * steps..(node + 1) * steps).unwrap_or_default();
        *sum = background.iter().take(paths.lead).copied().fold(0.0, f32::max);
    }
    for (i, peak) in peaks.iter().enumerate() {
        for (place, &node) in view.shards.replicas_of(i).iter().enumerate() {
            let part = if place == 0 { 1.0 } else { view.shards.follower_share[i] };
            node_peak[node as usize] += peak.feared * part;
        }
    }
    let moves: BTreeMap<ShardId, &Move> = moves.iter().rev().map(|m| (m.shard, m)).collect();
    let mut ranked: Vec<RankedShard> = (0..peaks.len())
        .filter_map(|i| {
            let leader = *view.shards.replicas_of(i).first()? as usize;
            let all = node_peak[leader];
            let node_share = if all > 0.0 { peaks[i].feared / all } else { 0.0 };
            let overload = (all - view.nodes.capacity[leader]).max(0.0) * node_share;
            let shard = view.shards.ids[i];
            let replicas: Vec<NodeId> =
                view.shards.replicas_of(i).iter().map(|&node| view.nodes.ids[node as usize]).collect();
            let recommended = moves.get(&shard).and_then(|proposed| recommendation(proposed, &replicas));
            let (at, window) = paths.peak_steps(i);
            let peak_at = paths.start_of(at);
            let move_ms = move_ms(view, i, recommended.as_ref());
            let latest_start = InstantMs(peak_at.0.saturating_sub(move_ms));
            let urgency = match &recommended {
                Some(recommended) => recommended.proposed.urgency,
                None if overload > 0.0 => paths.urgency(latest_start),
                None => 0.0,
            };
            Some(RankedShard {
                shard,
                replicas,
                load: view.shards.leader_load[i],
                peak: peaks[i],
                peak_at,
                peak_from: paths.start_of(window.0),
                peak_until: paths.start_of(window.1 + 1),
                node_share,
                overload,
                recommended,
                urgency,
                latest_start,
            })
        })
        .collect();
    let key = |r: &RankedShard| (Reverse(Ordered(r.overload)), Reverse(Ordered(r.peak.feared)), r.shard);
    ranked.sort_by_key(key);
    ranked.truncate(input.limit);
    ranked
}

/// The view's predictions over the lead.
struct Paths<'a> {
    view: &'a ClusterView,
    start: InstantMs,
    lead: usize,
    /// Places of the band's quantiles and of the median.
    band: [usize; 3],
    median: usize,
}

impl<'a> Paths<'a> {
    fn new(input: &RankInput<'a>) -> Self {
        let view = input.view;
        let all = view.steps as usize;
        let lead = if input.lead_steps == 0 { all } else { all.min(input.lead_steps as usize) };
        let place = |wanted| nearest(&view.quantiles, wanted);
        Self { view, start: input.start, lead, band: input.band.map(place), median: place(0.5) }
    }

    /// A quantile's path over the lead; empty where none was forecast.
    fn path(&self, shard: usize, quantile: usize) -> &'a [f32] {
        let steps = self.view.steps as usize;
        let at = (shard * self.view.quantiles.len() + quantile) * steps;
        self.view.shards.predicted.get(at..at + self.lead).unwrap_or_default()
    }

    fn band(&self, shard: usize) -> PeakBand {
        let [low, feared, high] = self.band.map(|quantile| {
            let path = self.path(shard, quantile).iter().copied();
            path.reduce(f32::max).unwrap_or(self.view.shards.leader_load[shard])
        });
        PeakBand { low, feared, high }
    }

    /// The step of the peak, and the first and last that may be it.
    fn peak_steps(&self, shard: usize) -> (usize, (usize, usize)) {
        let (median, feared) = (self.path(shard, self.median), self.path(shard, self.band[1]));
        // The first of equals: of a steady load, now.
        let at = (0..median.len()).rev().max_by(|&a, &b| median[a].total_cmp(&median[b])).unwrap_or(0);
        let least = feared.iter().copied().fold(0.0, f32::max) * (1.0 - PEAK_TOLERANCE);
        let first = feared.iter().position(|&load| load >= least).unwrap_or(at);
        let last = feared.iter().rposition(|&load| load >= least).unwrap_or(at);
        (at, (first.min(at), last.max(at)))
    }

    fn start_of(&self, step: usize) -> InstantMs {
        self.start.plus_ms((step as u64).saturating_mul(u64::from(self.view.step_ms)))
    }

    /// How near the latest start is, by the length of the lead.
    fn urgency(&self, latest_start: InstantMs) -> f32 {
        let lead_ms = self.lead as f64 * f64::from(self.view.step_ms.max(1));
        let left_ms = latest_start.since_ms(self.view.now) as f64;
        (1.0 - left_ms / lead_ms.max(1.0)).clamp(0.0, 1.0) as f32
    }
}

fn nearest(quantiles: &[f32], wanted: f32) -> usize {
    let off = |q: &f32| (q - wanted).abs();
    let best = quantiles.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)));
    best.map_or(0, |(i, _)| i)
}

/// Milliseconds of the control clock that the move takes.
fn move_ms(view: &ClusterView, shard: usize, recommended: Option<&Recommendation>) -> u64 {
    let of_data = view.shards.move_steps.get(shard).copied().unwrap_or(0.0);
    let steps = match recommended.map(|recommended| recommended.proposed.action) {
        Some(Action::TransferLeader(_)) => view.limits.leader_steps,
        Some(
            Action::MoveReplica { .. }
            | Action::AddReplica(_)
            | Action::RemoveReplica(_)
            | Action::Split
            | Action::MergeWith(_),
        )
        | None => of_data,
    };
    // Rounded up: a move that ends just after the peak has begun is late.
    (f64::from(steps.max(0.0)) * f64::from(view.step_ms)).ceil() as u64
}

/// Floats by their total order.
#[derive(PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The move with the placement it leads to; none for what is no move of a replica or of leadership, or does not fit the placement.
fn recommendation(proposed: &Move, replicas: &[NodeId]) -> Option<Recommendation> {
    let mut after = replicas.to_vec();
    match proposed.action {
        Action::MoveReplica { source, target } => {
            let place = after.iter().position(|node| *node == source)?;
            after[place] = target;
        }
        Action::TransferLeader(target) => {
            let place = after.iter().position(|node| *node == target)?;
            after.swap(0, place);
        }
        Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => return None,
    }
    Some(Recommendation { proposed: proposed.clone(), replicas: after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{KeyspaceId, NodeColumns, NodeState, PlacementLimits, ShardColumns, ZoneId};

    /// Two nodes of 10; shards 1 and 2 led by node 1, shard 3 by node 2, each followed on the other at half the load.
    fn view() -> ClusterView {
        ClusterView {
            now: InstantMs(1),
            step_ms: 1000,
            steps: 2,
            quantiles: vec![0.5, 0.9],
            nodes: NodeColumns {
                ids: vec![NodeId(1), NodeId(2)],
                zones: vec![ZoneId(1), ZoneId(2)],
                states: vec![NodeState::Up; 2],
                capacity: vec![10.0; 2],
                load: vec![0.0; 2],
                background: vec![0.0; 4],
                used_bytes: vec![0; 2],
                capacity_bytes: vec![1; 2],
                labels: Vec::new(),
            },
            shards: ShardColumns {
                ids: vec![ShardId(1), ShardId(2), ShardId(3)],
                keyspaces: vec![KeyspaceId(1); 3],
                bytes: vec![1; 3],
                leader_load: vec![1.0; 3],
                follower_share: vec![0.5; 3],
                predicted: vec![1.0, 1.0, 4.0, 3.0, 1.0, 1.0, 8.0, 1.0, 1.0, 1.0, 1.0, 6.0],
                replica_offsets: vec![0, 2, 4, 6],
                replicas: vec![0, 1, 0, 1, 1, 0],
                last_moved: vec![InstantMs(0); 3],
                move_steps: vec![1.0; 3],
                move_cost: vec![0.0; 3],
            },
            moving: vec![],
            limits: PlacementLimits {
                moves_per_node: 1,
                moves_per_round: 1,
                cool_down_ms: 0,
                max_utilisation: 1.0,
                leader_steps: 0.0,
            },
            placement: Vec::new(),
            resources: Vec::new(),
            scenarios: None,
            seed: 0,
        }
    }

    fn input(view: &ClusterView) -> RankInput<'_> {
        let (start, band) = (InstantMs(10_000), [0.1, 0.9, 0.97]);
        RankInput { view, start, lead_steps: 0, band, peaks: &[], moves: &[], limit: 10 }
    }

    fn a_move(shard: u64, action: Action) -> Move {
        let (shard, start_by) = (ShardId(shard), InstantMs(1));
        Move { shard, action, urgency: 0.7, start_by, gain: 1.0, reason: "hot".into() }
    }

    #[test]
    fn the_worst_comes_first_with_its_part_in_the_overload() {
        let view = view();
        let moves = [a_move(2, Action::TransferLeader(NodeId(2)))];
        let ranked = rank(RankInput { moves: &moves, ..input(&view) });
        assert_eq!(ranked.iter().map(|r| r.shard.0).collect::<Vec<_>>(), [2, 1, 3]);
        // Node 1 fears 4 + 8 + 3 = 15, 5 over its capacity.
        assert!((ranked[0].overload - 5.0 * 8.0 / 15.0).abs() < 1e-5);
        assert!((ranked[0].node_share - 8.0 / 15.0).abs() < 1e-5);
        assert!(ranked[1].recommended.is_none());
    }

    #[test]
    fn present_and_recommended_placement_stand_leader_first() {
        let view = view();
        let data = Action::MoveReplica { source: NodeId(2), target: NodeId(3) };
        let moves = [
            a_move(2, Action::TransferLeader(NodeId(2))),
            a_move(1, data),
            a_move(3, Action::TransferLeader(NodeId(9))),
        ];
        let ranked = rank(RankInput { moves: &moves, ..input(&view) });
        let after = |place: usize| ranked[place].recommended.as_ref().map(|r| r.replicas.clone());
        assert_eq!(
            (&ranked[0].replicas[..], after(0)),
            (&[NodeId(1), NodeId(2)][..], Some(vec![NodeId(2), NodeId(1)]))
        );
        assert_eq!(after(1), Some(vec![NodeId(1), NodeId(3)]));
        assert_eq!((ranked[0].urgency, ranked[2].shard, after(2)), (0.7, ShardId(3), None));
    }

    #[test]
    fn given_peaks_are_used_and_the_list_is_bounded() {
        let view = view();
        let peak = |feared| PeakBand { low: feared - 1.0, feared, high: feared + 1.0 };
        let ranked = rank(RankInput { peaks: &[peak(9.0), peak(1.0), peak(1.0)], limit: 1, ..input(&view) });
        assert_eq!(ranked.len(), 1);
        assert_eq!((ranked[0].shard, ranked[0].peak), (ShardId(1), peak(9.0)));
    }

    #[test]
    fn the_peak_has_a_time_and_the_move_a_latest_start() {
        let mut view = view();
        (view.steps, view.quantiles, view.now) = (4, vec![0.5, 0.9], InstantMs(10_000));
        view.nodes.background = vec![0.0; 8];
        view.limits.leader_steps = 0.5;
        view.nodes.capacity = vec![10.0, 20.0];
        let low = [1.0, 4.0, 2.0, 1.0];
        let high = [1.0, 9.9, 10.0, 5.0];
        view.shards.predicted = [low, high, low, high, [1.0; 4], [1.0; 4]].concat();
        let moves = [a_move(2, Action::TransferLeader(NodeId(2)))];
        let ranked = rank(RankInput { moves: &moves, ..input(&view) });
        let of = |shard| ranked.iter().find(|r| r.shard == ShardId(shard)).unwrap();
        let times = |r: &RankedShard| [r.peak_at, r.peak_from, r.peak_until, r.latest_start].map(|at| at.0);
        // Its data takes a step to move, leadership alone a half.
        assert_eq!(times(of(1)), [11_000, 11_000, 13_000, 10_000]);
        assert_eq!(times(of(2)), [11_000, 11_000, 13_000, 10_500]);
        // Steady: the whole lead is its peak, and it began already.
        assert_eq!(times(of(3)), [10_000, 10_000, 14_000, 9_000]);
        assert_eq!(of(1).peak, PeakBand { low: 4.0, feared: 10.0, high: 10.0 });
        // Node 1 is over its capacity and shard 1 must go now; node 2 is not.
        assert_eq!((of(1).urgency, of(3).urgency), (1.0, 0.0));
    }

    #[test]
    fn what_comes_after_the_lead_is_no_peak() {
        let view = view();
        let ranked = rank(RankInput { lead_steps: 1, ..input(&view) });
        let third = ranked.iter().find(|r| r.shard == ShardId(3)).unwrap();
        assert_eq!((third.peak.feared, third.peak_until), (1.0, InstantMs(11_000)));
    }
}
