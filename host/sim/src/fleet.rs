//! A fleet in virtual time: moves take their time, loads are measured by counting whole requests as nodes do, nodes go away as the scenario says.
//!
//! - **Moves** copy their bytes first, as fast as the slower of both ends lets them: a node shares its bandwidth evenly among the copies at it. The
//!   sender is the shard's leader, as Raft's leader is who sends snapshots; while there is none, a copy stands still. Then comes what a move takes
//!   beside the copy.
//! - **A node that goes away** takes its leaderships with it: each shard that keeps a majority is led by the first of its other replicas from the
//!   same moment on (elections take seconds, a step takes minutes). Moves to that node are given up. Its replicas stay where they are, and are
//!   followers when it comes back.

use crate::move_log::{MoveEnd, MoveRecord};
use crate::move_times::MoveTimes;
use crate::playback::has_majority;
use crate::requests::Requests;
use crate::scenario::{Scenario, SimShard};
use crate::timeline::{Change, CopyLoad, Placement, Timeline};
use isobar_control::MovePace;
use isobar_model::{Action, CheckedMove, InFlight, KeyspaceId, NodeId, NodeState, OperationId, ShardId};
use isobar_ports::{Fleet, NodeObservation, Observation, ShardObservation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that fit on a node: never the limit here.
const NODE_BYTES: u64 = 1 << 50;
/// What is left of a copy or a wait below this is rounding.
const NOTHING_LEFT: f64 = 1e-9;

/// A move that this fleet can't begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard}: {problem}")]
pub struct SimFleetError {
    /// Whose move.
    pub shard: ShardId,
    /// Why not.
    pub problem: &'static str,
}

#[derive(Clone, Debug)]
struct Pending {
    operation: OperationId,
    shard: usize,
    in_flight: InFlight,
    bytes_left: f64,
    /// What it takes once all is copied.
    rest_steps: f64,
    /// Its place in the log.
    logged: usize,
}

impl Pending {
    fn is_over(&self) -> bool {
        self.bytes_left <= 0.0 && self.rest_steps <= 0.0
    }

    fn pass(&mut self, steps: f64, rate: f64) {
        let (left, passed) =
            if self.bytes_left > 0.0 { (&mut self.bytes_left, rate * steps) } else { (&mut self.rest_steps, steps) };
        *left -= passed;
        // A millionth of a byte, a billionth of a step.
        if *left <= NOTHING_LEFT * passed.max(1.0) {
            *left = 0.0;
        }
    }
}

/// The fleet. Time passes only by [`SimFleet::advance`].
#[derive(Clone, Debug)]
pub struct SimFleet {
    scenario: Arc<Scenario>,
    times: MoveTimes,
    now: usize,
    placement: Placement,
    requests: Requests,
    /// Load of each shard's leader and of each of its followers in the step before, load units per second.
    loads: Vec<(f32, f32)>,
    states: Vec<NodeState>,
    away: Vec<bool>,
    pending: Vec<Pending>,
    moves: Vec<MoveRecord>,
    moved_bytes: u64,
    failovers: u64,
    timeline: Timeline,
}

impl SimFleet {
    /// A fleet at the beginning of `step`, in the scenario's start placement.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, step: usize, times: MoveTimes) -> Self {
        let placement = scenario.start.clone();
        Self::placed(scenario, step, times, placement)
    }

    /// The same in another placement.
    #[must_use]
    pub fn placed(scenario: Arc<Scenario>, step: usize, times: MoveTimes, placement: Placement) -> Self {
        let mut fleet = Self {
            times,
            now: step,
            requests: Requests::new(scenario.shards.len(), f64::from(scenario.spec.read_share)),
            loads: Vec::new(),
            states: vec![NodeState::Up; scenario.spec.nodes],
            away: vec![false; scenario.spec.nodes],
            pending: Vec::new(),
            moves: Vec::new(),
            moved_bytes: 0,
            failovers: 0,
            timeline: Timeline::new(placement.clone()),
            placement,
            scenario,
        };
        fleet.measure();
        fleet.meet_fate();
        fleet
    }

    /// Counts the requests of the step before now.
    fn measure(&mut self) {
        let (scenario, requests, last) = (&self.scenario, &mut self.requests, self.now.saturating_sub(1));
        let (step_s, weights) = (f64::from(scenario.step_ms) / 1000.0, scenario.spec.weights);
        let (away, placement) = (&self.away, &self.placement);
        let any_away = away.contains(&true);
        let load = |(i, shard): (usize, &SimShard)| {
            let sent = requests.step(i, f64::from(shard.ops[last]) * step_s);
            if any_away && !has_majority(scenario, &placement[i], away) {
                return (f32::NAN, f32::NAN);
            }
            let writes = requests.writes(&sent);
            let rate = |count: u64| (count as f64 / step_s) as f32;
            let (reads, writes) = (rate(sent.end - sent.start - writes), rate(writes));
            (weights.leader(reads, writes), weights.follower(writes))
        };
        self.loads = scenario.shards.iter().enumerate().map(load).collect();
    }

    /// Lets one step pass: copies go on, moves that are done take effect, and what the scenario has in store for nodes befalls them at its end.
    pub fn advance(&mut self) {
        let (mut at, end) = (self.now as f64, self.now as f64 + 1.0);
        self.complete(at);
        // Each round ends a copy, a move or the step.
        while at < end {
            let rates = self.rates();
            let ends = self.pending.iter().zip(&rates).map(|(pending, rate)| {
                if pending.bytes_left > 0.0 { pending.bytes_left / rate } else { pending.rest_steps }
            });
            let next = ends.fold(f64::INFINITY, f64::min);
            let (passed, until) = if next < end - at { (next, at + next) } else { (end - at, end) };
            self.note_copies(&rates, at, until);
            self.pending.iter_mut().zip(&rates).for_each(|(pending, &rate)| pending.pass(passed, rate));
            at = until;
            self.complete(at);
        }
        self.now += 1;
        self.measure();
        self.meet_fate();
    }

    /// Bytes that each pending move copies in a step.
    fn rates(&self) -> Vec<f64> {
        let Some(bandwidth) = self.times.bandwidth() else { return vec![0.0; self.pending.len()] };
        let per_step = bandwidth * f64::from(self.scenario.step_ms) / 1_000.0;
        let mut copies = vec![0_u32; self.scenario.spec.nodes];
        for node in self.pending.iter().flat_map(|pending| self.ends(pending)).flatten() {
            copies[node] += 1;
        }
        let rate = |pending: &Pending| match self.ends(pending) {
            Some(ends) => per_step / f64::from(ends.map(|node| copies[node]).into_iter().max().unwrap_or(1)),
            None => 0.0,
        };
        self.pending.iter().map(rate).collect()
    }

    /// Sender and receiver of a copy that is going on.
    fn ends(&self, pending: &Pending) -> Option<[usize; 2]> {
        let replicas = &self.placement[pending.shard];
        if pending.bytes_left <= 0.0 || !has_majority(&self.scenario, replicas, &self.away) {
            return None;
        }
        let sender = self.scenario.node_index(*replicas.first()?).filter(|&node| !self.away[node])?;
        Some([sender, self.scenario.node_index(pending.in_flight.target)?])
    }

    fn note_copies(&mut self, rates: &[f64], from_step: f64, to_step: f64) {
        let Some(bandwidth) = self.times.bandwidth().filter(|_| self.times.copy_share > 0.0) else { return };
        let per_step = bandwidth * f64::from(self.scenario.step_ms) / 1_000.0;
        for (pending, rate) in self.pending.iter().zip(rates).filter(|(_, rate)| **rate > 0.0) {
            for index in self.ends(pending).into_iter().flatten() {
                let share = f64::from(self.times.copy_share) * rate / per_step;
                let (node, load) = (NodeId(index as u64 + 1), share * f64::from(self.scenario.capacity_of(index)));
                self.timeline.push_copy(CopyLoad { from_step, to_step, node, load });
            }
        }
    }

    /// Puts into effect what is over at this moment.
    fn complete(&mut self, at_step: f64) {
        let (placement, timeline, moves) = (&mut self.placement, &mut self.timeline, &mut self.moves);
        let (scenario, moved_bytes) = (&self.scenario, &mut self.moved_bytes);
        self.pending.retain(|pending| {
            if !pending.is_over() {
                return true;
            }
            let replicas = &mut placement[pending.shard];
            let (source, target) = (pending.in_flight.source, pending.in_flight.target);
            if pending.in_flight.leader_only {
                if let Some(at) = replicas.iter().position(|node| *node == target) {
                    replicas.swap(0, at);
                }
            } else if let Some(replica) = replicas.iter_mut().find(|node| **node == source) {
                *replica = target;
                *moved_bytes += scenario.bytes[pending.shard];
            }
            moves[pending.logged].end = MoveEnd::Done(at_step);
            timeline.push(Change { at_step, shard: pending.shard, replicas: replicas.clone() });
            false
        });
    }

    /// What befalls nodes at the beginning of this step.
    fn meet_fate(&mut self) {
        for drain in &self.scenario.nodes.drains {
            if drain.from_step <= self.now && self.states.get(drain.node) == Some(&NodeState::Up) {
                self.states[drain.node] = NodeState::Draining;
            }
        }
        let away = self.scenario.nodes.away(self.now);
        if away == self.away {
            return;
        }
        for (state, (is, was)) in self.states.iter_mut().zip(away.iter().zip(&self.away)) {
            match (is, was) {
                (true, false) => *state = NodeState::Down,
                (false, true) => *state = NodeState::Up,
                (true, true) | (false, false) => {}
            }
        }
        self.away = away;
        let lost: Vec<OperationId> = self
            .pending
            .iter()
            .filter(|p| self.scenario.node_index(p.in_flight.target).is_none_or(|node| self.away[node]))
            .map(|pending| pending.operation)
            .collect();
        lost.into_iter().for_each(|operation| self.give_up(operation));
        self.fail_over();
    }

    fn fail_over(&mut self) {
        let (scenario, away) = (&self.scenario, &self.away);
        let gone = |node: &NodeId| scenario.node_index(*node).is_none_or(|node| away[node]);
        for (shard, replicas) in self.placement.iter_mut().enumerate() {
            if !replicas.first().is_some_and(gone) || !has_majority(scenario, replicas, away) {
                continue;
            }
            let Some(next) = replicas.iter().position(|node| !gone(node)) else { continue };
            replicas.swap(0, next);
            self.failovers += 1;
            let change = Change { at_step: self.now as f64, shard, replicas: replicas.clone() };
            self.timeline.push(change);
        }
    }

    fn give_up(&mut self, operation: OperationId) {
        let (now, moves, scenario) = (self.now as f64, &mut self.moves, &self.scenario);
        let moved_bytes = &mut self.moved_bytes;
        self.pending.retain(|pending| {
            let is_it = pending.operation == operation;
            if is_it {
                moves[pending.logged].end = MoveEnd::GivenUp(now);
                if !pending.in_flight.leader_only && pending.bytes_left > 0.0 {
                    *moved_bytes += (scenario.bytes[pending.shard] as f64 - pending.bytes_left) as u64;
                }
            }
            !is_it
        });
    }

    /// The step that begins now.
    #[must_use]
    pub fn now(&self) -> usize {
        self.now
    }

    /// Where replicas live now.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Sets a node's state, as an operator or a failure would.
    pub fn set_state(&mut self, node: NodeId, state: NodeState) {
        if let Some(index) = self.scenario.node_index(node) {
            self.states[index] = state;
        }
    }

    /// Moves begun, oldest first.
    #[must_use]
    pub fn moves(&self) -> &[MoveRecord] {
        &self.moves
    }

    /// Moves of data begun.
    #[must_use]
    pub fn data_moves(&self) -> u64 {
        self.moves.iter().filter(|m| !m.leader_only).count() as u64
    }

    /// Leader transfers begun.
    #[must_use]
    pub fn leader_transfers(&self) -> u64 {
        self.moves.iter().filter(|m| m.leader_only).count() as u64
    }

    /// Bytes of replicas copied, those of moves given up included.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Leaderships that passed to another replica since a node went away.
    #[must_use]
    pub fn failovers(&self) -> u64 {
        self.failovers
    }

    /// What became of the placement so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// How long a move of a shard takes that is alone at both its ends.
    fn alone_steps(&self, shard: usize, leader_only: bool) -> f64 {
        if leader_only {
            return f64::from(self.times.leader_steps);
        }
        f64::from(self.times.data.steps(self.scenario.bytes[shard], self.scenario.step_ms))
    }
}

impl Fleet for SimFleet {
    type Error = SimFleetError;

    fn observe(&mut self) -> Result<Observation, SimFleetError> {
        let scenario = &self.scenario;
        let mut used = vec![0_u64; scenario.spec.nodes];
        for (replicas, bytes) in self.placement.iter().zip(&scenario.bytes) {
            for node in replicas.iter().filter_map(|node| scenario.node_index(*node)) {
                used[node] += bytes;
            }
        }
        let nodes = scenario.node_ids().enumerate().map(|(index, id)| NodeObservation {
            id,
            zone: scenario.nodes.nodes[index].zone,
            state: self.states[index],
            capacity: scenario.capacity_of(index),
            used_bytes: used[index],
            capacity_bytes: NODE_BYTES,
            resources: BTreeMap::new(),
        });
        let shards = scenario.shard_ids().enumerate().map(|(index, id)| ShardObservation {
            id,
            keyspace: KeyspaceId(1),
            replication_factor: scenario.spec.replication_factor as u32,
            replicas: self.placement[index].clone(),
            bytes: scenario.bytes[index],
            leader_load: self.loads[index].0,
            follower_load: self.loads[index].1,
            uses: BTreeMap::new(),
        });
        Ok(Observation {
            now: scenario.instant(self.now),
            span_ms: u64::from(scenario.step_ms),
            nodes: nodes.collect(),
            shards: shards.collect(),
            moving: self.pending.iter().map(|pending| pending.in_flight).collect(),
        })
    }

    fn begin(&mut self, accepted: &CheckedMove) -> Result<OperationId, SimFleetError> {
        let id = accepted.proposed.shard;
        let refused = |problem| SimFleetError { shard: id, problem };
        let shard = self.scenario.shard_index(id).ok_or_else(|| refused("no such shard"))?;
        if self.pending.iter().any(|pending| pending.shard == shard) {
            return Err(refused("it is moving already"));
        }
        let replicas = &self.placement[shard];
        let (source, target, leader_only) = match accepted.proposed.action {
            Action::MoveReplica { source, target } => {
                if !replicas.contains(&source) || replicas.contains(&target) {
                    return Err(refused("the source holds no replica, or the target holds one already"));
                }
                (source, target, false)
            }
            Action::TransferLeader(target) => {
                if !replicas.contains(&target) || replicas[0] == target {
                    return Err(refused("the new leader holds no replica, or leads already"));
                }
                (replicas[0], target, true)
            }
            Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
                return Err(refused("the simulator carries out moves of replicas and leaders only"));
            }
        };
        if self.scenario.node_index(target).is_none_or(|node| self.away[node]) {
            return Err(refused("no such target, or it does not answer"));
        }
        let (bytes_left, rest_steps) = match self.times.data {
            MovePace::Bytes { overhead_steps, .. } if !leader_only => {
                (self.scenario.bytes[shard] as f64, f64::from(overhead_steps))
            }
            MovePace::Bytes { .. } | MovePace::Steps(_) => (0.0, self.alone_steps(shard, leader_only)),
        };
        let alone_ms = self.alone_steps(shard, leader_only) * f64::from(self.scenario.step_ms);
        let done_by = self.scenario.instant(self.now).plus_ms(alone_ms as u64);
        let in_flight = InFlight { shard: id, source, target, done_by, leader_only };
        let (logged, end) = (self.moves.len(), MoveEnd::InFlight);
        self.moves.push(MoveRecord { shard: id, source, target, leader_only, begun_step: self.now, end });
        let operation = OperationId(self.moves.len() as u64);
        self.pending.push(Pending { operation, shard, in_flight, bytes_left, rest_steps, logged });
        Ok(operation)
    }

    fn poll(&mut self) -> Result<Vec<(OperationId, InFlight)>, SimFleetError> {
        Ok(self.pending.iter().map(|pending| (pending.operation, pending.in_flight)).collect())
    }

    fn cancel(&mut self, operation: OperationId) -> Result<(), SimFleetError> {
        self.give_up(operation);
        Ok(())
    }
}
