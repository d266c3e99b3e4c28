//! A fleet in virtual time: moves take their time, loads are measured by counting whole requests as nodes do, nothing fails.

use crate::requests::Requests;
use crate::scenario::{Scenario, SimShard};
use crate::timeline::{Change, Placement, Timeline};
use isobar_model::{Action, CheckedMove, InFlight, KeyspaceId, NodeId, NodeState, OperationId, ShardId, ZoneId};
use isobar_ports::{Fleet, NodeObservation, Observation, ShardObservation};
use std::sync::Arc;

/// Bytes of one replica: what a demo's shard holds, within an order of magnitude.
const SHARD_BYTES: u64 = 1 << 20;
/// Bytes that fit on a node: never the limit here.
const NODE_BYTES: u64 = 1 << 40;

/// Steps from the decision to the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveTimes {
    /// Of a move of data.
    pub data_steps: usize,
    /// Of a leader transfer.
    pub leader_steps: usize,
}

impl Default for MoveTimes {
    /// Six steps for data, one for leadership.
    fn default() -> Self {
        Self { data_steps: 6, leader_steps: 1 }
    }
}

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
    effective: usize,
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
    pending: Vec<Pending>,
    begun: u64,
    data_moves: u64,
    leader_transfers: u64,
    timeline: Timeline,
}

impl SimFleet {
    /// A fleet at the beginning of `step`, in the scenario's start placement.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, step: usize, times: MoveTimes) -> Self {
        let mut fleet = Self {
            times,
            now: step,
            placement: scenario.start.clone(),
            requests: Requests::new(scenario.shards.len(), f64::from(scenario.spec.read_share)),
            loads: Vec::new(),
            states: vec![NodeState::Up; scenario.spec.nodes],
            pending: Vec::new(),
            begun: 0,
            data_moves: 0,
            leader_transfers: 0,
            timeline: Timeline::new(scenario.start.clone()),
            scenario,
        };
        fleet.measure();
        fleet
    }

    /// Counts the requests of the step before now.
    fn measure(&mut self) {
        let (scenario, requests, last) = (&self.scenario, &mut self.requests, self.now.saturating_sub(1));
        let (step_s, weights) = (f64::from(scenario.step_ms) / 1000.0, scenario.spec.weights);
        let load = |(i, shard): (usize, &SimShard)| {
            let sent = requests.step(i, f64::from(shard.ops[last]) * step_s);
            let writes = requests.writes(&sent);
            let rate = |count: u64| (count as f64 / step_s) as f32;
            let (reads, writes) = (rate(sent.end - sent.start - writes), rate(writes));
            (weights.leader(reads, writes), weights.follower(writes))
        };
        self.loads = scenario.shards.iter().enumerate().map(load).collect();
    }

    /// Lets one step pass: moves that are done by its end take effect.
    pub fn advance(&mut self) {
        self.now += 1;
        self.measure();
        let (now, placement, timeline) = (self.now, &mut self.placement, &mut self.timeline);
        self.pending.retain(|pending| {
            if pending.effective > now {
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
            }
            timeline.push(Change { at_step: now as f64, shard: pending.shard, replicas: replicas.clone() });
            false
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

    /// Moves of data begun.
    #[must_use]
    pub fn data_moves(&self) -> u64 {
        self.data_moves
    }

    /// Leader transfers begun.
    #[must_use]
    pub fn leader_transfers(&self) -> u64 {
        self.leader_transfers
    }

    /// What became of the placement so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }
}

impl Fleet for SimFleet {
    type Error = SimFleetError;

    fn observe(&mut self) -> Result<Observation, SimFleetError> {
        let scenario = &self.scenario;
        let nodes = scenario.node_ids().zip(&self.states).map(|(id, &state)| NodeObservation {
            id,
            zone: ZoneId(id.0 as u32),
            state,
            capacity: scenario.capacity,
            used_bytes: SHARD_BYTES * self.placement.iter().filter(|replicas| replicas.contains(&id)).count() as u64,
            capacity_bytes: NODE_BYTES,
        });
        let shards = scenario.shard_ids().zip(&self.loads).zip(&self.placement).map(
            |((id, &(leader_load, follower_load)), replicas)| ShardObservation {
                id,
                keyspace: KeyspaceId(1),
                replication_factor: scenario.spec.replication_factor as u32,
                replicas: replicas.clone(),
                bytes: SHARD_BYTES,
                leader_load,
                follower_load,
            },
        );
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
        if self.scenario.node_index(target).is_none() {
            return Err(refused("no such target"));
        }
        let steps = if leader_only { self.times.leader_steps } else { self.times.data_steps };
        *(if leader_only { &mut self.leader_transfers } else { &mut self.data_moves }) += 1;
        self.begun += 1;
        let effective = self.now + steps;
        let done_by = self.scenario.instant(effective);
        self.pending.push(Pending {
            operation: OperationId(self.begun),
            shard,
            in_flight: InFlight { shard: id, source, target, done_by, leader_only },
            effective,
        });
        Ok(OperationId(self.begun))
    }

    fn poll(&mut self) -> Result<Vec<(OperationId, InFlight)>, SimFleetError> {
        Ok(self.pending.iter().map(|pending| (pending.operation, pending.in_flight)).collect())
    }

    fn cancel(&mut self, operation: OperationId) -> Result<(), SimFleetError> {
        self.pending.retain(|pending| pending.operation != operation);
        Ok(())
    }
}
