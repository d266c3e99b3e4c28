use crate::homes::Homes;
use crate::policy::Failure;
use crate::rooms::Rooms;
use isobar_model::{Action, ClusterView, InstantMs, Move, NodeState, ShardColumns, ShardId};

/// Something that may be done to a shard, in indices of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The replica in `slot` takes the lead.
    Lead {
        /// Which shard.
        shard: usize,
        /// Its place among the shard's replicas, 1 or more.
        slot: usize,
    },
    /// The replica in `slot` moves to `target`; leadership moves along where it leads (slot 0).
    Relocate {
        /// Which shard.
        shard: usize,
        /// Its place among the shard's replicas.
        slot: usize,
        /// To which node.
        target: usize,
    },
}

impl Step {
    /// Which shard.
    #[must_use]
    pub fn shard(&self) -> usize {
        match self {
            Self::Lead { shard, .. } | Self::Relocate { shard, .. } => *shard,
        }
    }
}

/// Where everything will be once what is in flight, and what was proposed so far, is done; and what may still be proposed.
#[derive(Clone, Debug)]
pub struct Board<'a> {
    /// What the round began with.
    pub view: &'a ClusterView,
    /// Replicas of all shards, one after the other as in the view: a move changes where one is, never how many there are.
    replicas: Vec<usize>,
    /// Shards that may not move in this round: in flight, cooling down, or proposed already.
    resting: Vec<bool>,
    /// Moves of data in flight or proposed, from or to each node.
    data_moves: Vec<u32>,
    /// Bytes that those moves bring to each node.
    incoming_bytes: Vec<u64>,
    /// Zones the nodes that are up make up.
    zones: usize,
    homes: Homes,
    rooms: Rooms,
    proposed: Vec<Move>,
}

impl<'a> Board<'a> {
    /// The board at the beginning of a round.
    ///
    /// # Errors
    /// [`Failure::Other`] where columns differ in length or an index points nowhere.
    pub fn new(view: &'a ClusterView) -> Result<Self, Failure> {
        check(view)?;
        let shards = &view.shards;
        let mut board = Self {
            view,
            replicas: shards.replicas.iter().map(|&node| node as usize).collect(),
            resting: shards
                .last_moved
                .iter()
                .map(|&moved| moved != InstantMs(0) && view.now.since_ms(moved) < view.limits.cool_down_ms)
                .collect(),
            data_moves: vec![0; view.nodes.ids.len()],
            incoming_bytes: vec![0; view.nodes.ids.len()],
            zones: 0,
            homes: Homes::new(view),
            rooms: Rooms::new(view),
            proposed: Vec::new(),
        };
        let mut zones: Vec<_> = view
            .nodes
            .zones
            .iter()
            .zip(&view.nodes.states)
            .filter(|(_, s)| **s == NodeState::Up)
            .map(|(z, _)| z)
            .collect();
        zones.sort_unstable();
        zones.dedup();
        board.zones = zones.len();
        for moving in &view.moving {
            let (source, target) =
                (view.nodes.ids.binary_search(&moving.source), view.nodes.ids.binary_search(&moving.target));
            if !moving.leader_only {
                [source, target].into_iter().flatten().for_each(|node| board.data_moves[node] += 1);
            }
            let (Ok(shard), Ok(target)) = (view.shards.ids.binary_search(&moving.shard), target) else { continue };
            board.resting[shard] = true;
            if !moving.leader_only {
                board.bring(target, shards.bytes[shard]);
            }
            let replicas = &mut board.replicas[range(shards, shard)];
            let at = |node: usize| replicas.iter().position(|&n| n == node);
            match (moving.leader_only, at(target), source.ok().and_then(at)) {
                (true, Some(slot), _) => {
                    board.rooms.moves(view, Step::Lead { shard, slot }, replicas[0], target);
                    replicas.swap(0, slot);
                }
                (false, None, Some(slot)) => {
                    let source = std::mem::replace(&mut replicas[slot], target);
                    board.homes.moves(view.shards.keyspaces[shard], source, target);
                    board.rooms.moves(view, Step::Relocate { shard, slot, target }, source, target);
                }
                // Done already, or not begun: as it is now.
                (true, None, _) | (false, Some(_), _) | (false, None, None) => {}
            }
        }
        Ok(board)
    }

    /// The nodes that will hold shard `shard`, the leader first.
    #[must_use]
    pub fn replicas(&self, shard: usize) -> &[usize] {
        &self.replicas[range(&self.view.shards, shard)]
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.resting.len()
    }

    /// Number of nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.data_moves.len()
    }

    /// Whether a node may be given anything.
    #[must_use]
    pub fn takes(&self, node: usize) -> bool {
        self.view.nodes.states[node] == NodeState::Up
    }

    /// Whether this round takes more moves, of this shard too.
    #[must_use]
    pub fn may_move(&self, shard: usize) -> bool {
        !self.resting[shard] && self.has_room()
    }

    /// Whether this round takes more moves.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.proposed.len() < self.view.limits.moves_per_round as usize
    }

    /// Whether the host would let `step` begin now, as far as a policy can know.
    #[must_use]
    pub fn allows(&self, step: Step) -> bool {
        if !self.may_move(step.shard()) {
            return false;
        }
        match step {
            Step::Lead { .. } => self.fits(step),
            Step::Relocate { shard, slot, target } => {
                let per_node = self.view.limits.moves_per_node;
                self.replicas(shard).get(slot).is_some_and(|&source| self.data_moves[source] < per_node)
                    && self.data_moves[target] < per_node
                    && self.fits(step)
            }
        }
    }

    /// Whether the host would let `step` begin some time: what [`Board::allows`] asks, but for cool-downs and for how much may move at a time.
    #[must_use]
    pub fn fits(&self, step: Step) -> bool {
        let shard = step.shard();
        let replicas = self.replicas(shard);
        match step {
            Step::Lead { slot, .. } => {
                slot > 0
                    && slot < replicas.len()
                    && self.takes(replicas[slot])
                    && self.rooms.allow(self.view, step, replicas[0], replicas[slot])
            }
            Step::Relocate { slot, target, .. } => {
                let nodes = &self.view.nodes;
                slot < replicas.len()
                    && self.takes(target)
                    && !replicas.contains(&target)
                    && self.homes.allow(self.view, self.view.shards.keyspaces[shard], replicas[slot], target)
                    && nodes.used_bytes[target]
                        .saturating_add(self.incoming_bytes[target])
                        .saturating_add(self.view.shards.bytes[shard])
                        <= nodes.capacity_bytes[target]
                    && (replicas.len() > self.zones
                        || replicas
                            .iter()
                            .enumerate()
                            .all(|(other, &node)| other == slot || nodes.zones[node] != nodes.zones[target]))
                    && self.rooms.allow(self.view, step, replicas[slot], target)
            }
        }
    }

    /// Proposes an allowed step. `gain`: expected fall of overload, load units times seconds. `start_by`: steps from now.
    pub fn propose(&mut self, step: Step, urgency: f32, gain: f32, start_by: u32, reason: String) {
        let shard = step.shard();
        let ids = &self.view.nodes.ids;
        let replicas = &mut self.replicas[range(&self.view.shards, shard)];
        let action = match step {
            Step::Lead { slot, .. } => {
                self.rooms.moves(self.view, step, replicas[0], replicas[slot]);
                replicas.swap(0, slot);
                Action::TransferLeader(ids[replicas[0]])
            }
            Step::Relocate { slot, target, .. } => {
                let source = std::mem::replace(&mut replicas[slot], target);
                self.homes.moves(self.view.shards.keyspaces[shard], source, target);
                self.rooms.moves(self.view, step, source, target);
                self.data_moves[source] += 1;
                self.data_moves[target] += 1;
                self.bring(target, self.view.shards.bytes[shard]);
                Action::MoveReplica { source: ids[source], target: ids[target] }
            }
        };
        self.resting[shard] = true;
        self.proposed.push(Move {
            shard: self.view.shards.ids[shard],
            action,
            urgency: urgency.clamp(0.0, 1.0),
            start_by: self.view.now.plus_ms(u64::from(start_by) * u64::from(self.view.step_ms)),
            gain,
            reason,
        });
    }

    fn bring(&mut self, target: usize, bytes: u64) {
        self.incoming_bytes[target] = self.incoming_bytes[target].saturating_add(bytes);
    }

    /// Moves proposed so far.
    #[must_use]
    pub fn proposed(&self) -> usize {
        self.proposed.len()
    }

    /// The moves proposed.
    #[must_use]
    pub fn into_moves(self) -> Vec<Move> {
        self.proposed
    }

    /// Load units that a replica of `shard` costs its node, per unit of leader load. One that is not known counts as none.
    #[must_use]
    pub fn share(&self, shard: usize, leads: bool) -> f32 {
        let follows = self.view.shards.follower_share[shard];
        if leads {
            1.0
        } else if follows.is_finite() {
            follows.max(0.0)
        } else {
            0.0
        }
    }

    /// The nodes' names in messages.
    #[must_use]
    pub fn node_name(&self, node: usize) -> String {
        format!("node {}", self.view.nodes.ids[node])
    }

    /// A shard's number.
    #[must_use]
    pub fn shard_id(&self, shard: usize) -> ShardId {
        self.view.shards.ids[shard]
    }
}

/// Where a shard's replicas stand among those of all.
fn range(shards: &ShardColumns, shard: usize) -> std::ops::Range<usize> {
    shards.replica_offsets[shard] as usize..shards.replica_offsets[shard + 1] as usize
}

/// The host keeps to the contract; a policy that is tried elsewhere may be given anything, and must not panic.
fn check(view: &ClusterView) -> Result<(), Failure> {
    let (nodes, shards) = (&view.nodes, &view.shards);
    let (n, s, steps) = (nodes.ids.len(), shards.ids.len(), view.steps as usize);
    let fits = nodes.zones.len() == n
        && shards.keyspaces.len() == s
        && view.placement.is_sorted_by(|a, b| a.keyspace < b.keyspace)
        && nodes.states.len() == n
        && nodes.capacity.len() == n
        && nodes.load.len() == n
        && nodes.background.len() == n * steps
        && nodes.used_bytes.len() == n
        && nodes.capacity_bytes.len() == n
        && shards.keyspaces.len() == s
        && shards.bytes.len() == s
        && shards.leader_load.len() == s
        && shards.follower_share.len() == s
        && shards.predicted.len() == s * view.quantiles.len() * steps
        && shards.replica_offsets.len() == s + 1
        && shards.replica_offsets.is_sorted()
        && shards.replica_offsets.first() == Some(&0)
        && shards.replica_offsets.last().is_some_and(|&end| end as usize == shards.replicas.len())
        && shards.replicas.iter().all(|&node| (node as usize) < n)
        && shards.last_moved.len() == s
        && shards.move_steps.len() == s
        && shards.move_cost.len() == s
        && view.resources.iter().all(|of| {
            [of.capacity.len(), of.used.len(), of.leader_use.len(), of.follower_use.len()] == [n, n, s, s]
                && of.background.len() == n * steps
        })
        && view.scenarios.as_ref().is_none_or(|joint| {
            joint.shards.iter().all(|&shard| (shard as usize) < s)
                && joint.values.len() == joint.shards.len() * joint.count as usize * steps
        });
    if fits { Ok(()) } else { Err(Failure::Other("the view's columns do not fit together".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{add_resource, view};
    use isobar_model::{InFlight, Metric, NodeId, Scenarios};

    const LEAD: Step = Step::Lead { shard: 0, slot: 1 };

    fn relocate(slot: usize, target: usize) -> Step {
        Step::Relocate { shard: 0, slot, target }
    }

    #[test]
    fn replicas_stay_on_distinct_nodes_and_zones() {
        let mut view = view(4, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
        assert!(Board::new(&view).unwrap().allows(relocate(0, 3)));
        assert!(!Board::new(&view).unwrap().allows(relocate(0, 1)), "two replicas on one node");
        view.nodes.zones[3] = view.nodes.zones[1];
        assert!(!Board::new(&view).unwrap().allows(relocate(0, 3)), "two replicas in one zone");
        assert!(Board::new(&view).unwrap().allows(relocate(1, 3)), "the one of that zone itself may move");
    }

    #[test]
    fn placement_rules_are_kept() {
        use isobar_model::{KeyspaceId, KeyspacePlacement};
        let mut view = view(5, 100.0, &[&[0, 1, 2], &[3]], 1, |_, _, _| 1.0);
        view.shards.keyspaces[1] = KeyspaceId(2);
        let anywhere = |keyspace, apart: &[u32], together: &[u32]| KeyspacePlacement {
            keyspace: KeyspaceId(keyspace),
            nodes: (0..5).collect(),
            apart: apart.iter().copied().map(KeyspaceId).collect(),
            together: together.iter().copied().map(KeyspaceId).collect(),
        };
        let allowed = |view: &ClusterView| [3, 4].map(|target| Board::new(view).unwrap().allows(relocate(0, target)));
        view.placement = vec![KeyspacePlacement { nodes: vec![0, 1, 2, 3], ..anywhere(1, &[], &[]) }];
        assert_eq!(allowed(&view), [true, false], "labels");
        view.placement = vec![anywhere(1, &[2], &[]), anywhere(2, &[1], &[])];
        assert_eq!(allowed(&view), [false, true], "apart");
        view.placement = vec![anywhere(1, &[], &[2])];
        assert_eq!(allowed(&view), [true, false], "together");
        // Whoever is followed does not leave its followers alone.
        view.placement = vec![anywhere(2, &[], &[1])];
        view.shards.replicas[3] = 0;
        assert_eq!(allowed(&view), [false, false]);
        let mut board = Board::new(&view).unwrap();
        board.propose(Step::Relocate { shard: 1, slot: 0, target: 1 }, 1.0, 0.0, 0, String::new());
        assert!(!board.allows(relocate(0, 4)), "it is there until it has moved");
    }

    #[test]
    fn a_node_short_of_a_resource_is_given_nothing_that_takes_of_it() {
        // Each leader takes 40 of 100, each follower none; node 0 leads two, so that it is at 80.
        let mut view = view(5, 100.0, &[&[0, 1, 2], &[0, 1, 2], &[3, 1, 2]], 3, |_, _, _| 1.0);
        add_resource(&mut view, Metric::ReadOps, 100.0, 40.0, 0.0);
        let to = |shard, slot| Step::Lead { shard, slot };
        let mut board = Board::new(&view).unwrap();
        board.propose(to(0, 1), 1.0, 0.0, 0, String::new());
        assert!(board.allows(to(1, 1)), "two are at 80 % together");
        board.propose(to(1, 1), 1.0, 0.0, 0, String::new());
        assert!(!board.allows(to(2, 1)), "the third would be one too many");
        assert!(board.allows(to(2, 2)) && board.allows(Step::Relocate { shard: 2, slot: 0, target: 4 }));
        assert!(board.allows(Step::Relocate { shard: 2, slot: 1, target: 4 }), "a follower takes nothing");

        // Moves in flight count as done.
        let in_flight = |shard| InFlight {
            shard: ShardId(shard),
            source: NodeId(10),
            target: NodeId(20),
            done_by: view.now.plus_ms(1),
            leader_only: true,
        };
        let mut moving = view.clone();
        moving.moving = vec![in_flight(1), in_flight(2)];
        assert!(!Board::new(&moving).unwrap().allows(to(2, 1)));
        // What rises only later is forecast, in proportion to the load.
        let mut rising = view.clone();
        rising.shards.leader_load[2] = 0.0;
        rising.shards.predicted.fill(3.0);
        assert!(Board::new(&rising).unwrap().allows(to(2, 1)), "nothing now: the host lets it go");
        rising.shards.leader_load[2] = 3.0;
        assert!(!Board::new(&rising).unwrap().allows(to(2, 1)));
        // Undeclared: no limit.
        view.resources[0].capacity[1] = 0.0;
        view.moving = vec![in_flight(1), in_flight(2)];
        assert!(Board::new(&view).unwrap().allows(to(2, 1)));
    }

    #[test]
    fn nodes_that_are_not_up_are_given_nothing() {
        for state in [NodeState::Draining, NodeState::Suspect, NodeState::Down] {
            let mut view = view(4, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
            view.nodes.states[1] = state;
            view.nodes.states[3] = state;
            let board = Board::new(&view).unwrap();
            assert!(!board.allows(LEAD) && !board.allows(relocate(0, 3)), "{state:?}");
        }
    }

    #[test]
    fn a_shard_rests_while_it_moves_and_cools_down() {
        let mut cooling = view(4, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
        cooling.shards.last_moved[0] = InstantMs(cooling.now.0 - 3_599_000);
        assert!(!Board::new(&cooling).unwrap().allows(LEAD));
        cooling.shards.last_moved[0] = InstantMs(cooling.now.0 - 3_600_000);
        assert!(Board::new(&cooling).unwrap().allows(LEAD));

        let mut moving = view(4, 100.0, &[&[0, 1, 2]], 1, |_, _, _| 1.0);
        moving.moving = vec![InFlight {
            shard: ShardId(1),
            source: NodeId(10),
            target: NodeId(40),
            done_by: moving.now.plus_ms(1),
            leader_only: false,
        }];
        let board = Board::new(&moving).unwrap();
        assert!(!board.allows(LEAD));
        assert_eq!(board.replicas(0), [3, 1, 2], "as it will be");
    }

    #[test]
    fn budgets_of_a_round_and_of_a_node_hold() {
        let placement: Vec<&[usize]> = vec![&[0, 1, 2]; 12];
        let view = view(4, 100.0, &placement, 1, |_, _, _| 1.0);
        let mut board = Board::new(&view).unwrap();
        for shard in 0..2 {
            board.propose(Step::Relocate { shard, slot: 0, target: 3 }, 1.0, 0.0, 0, String::new());
        }
        assert!(!board.allows(Step::Relocate { shard: 2, slot: 0, target: 3 }), "two in flight at the target");
        for shard in 2..8 {
            assert!(board.allows(Step::Lead { shard, slot: 1 }));
            board.propose(Step::Lead { shard, slot: 1 }, 1.0, 0.0, 0, String::new());
        }
        assert!(!board.has_room() && !board.allows(Step::Lead { shard: 8, slot: 1 }));
        assert_eq!(board.into_moves().len(), 8);
    }

    #[test]
    fn bytes_on_their_way_take_room() {
        let placement: Vec<&[usize]> = vec![&[0, 1, 2]; 3];
        let mut view = view(4, 100.0, &placement, 1, |_, _, _| 1.0);
        view.limits.moves_per_node = 10;
        view.nodes.capacity_bytes[3] = 2 << 20;
        let mut board = Board::new(&view).unwrap();
        for shard in 0..2 {
            let step = Step::Relocate { shard, slot: 0, target: 3 };
            assert!(board.allows(step));
            board.propose(step, 1.0, 0.0, 0, String::new());
        }
        assert!(!board.allows(Step::Relocate { shard: 2, slot: 0, target: 3 }), "two of a MiB fill two MiB");

        view.moving = vec![InFlight {
            shard: ShardId(1),
            source: NodeId(10),
            target: NodeId(40),
            done_by: view.now.plus_ms(1),
            leader_only: false,
        }];
        let mut board = Board::new(&view).unwrap();
        board.propose(Step::Relocate { shard: 1, slot: 0, target: 3 }, 1.0, 0.0, 0, String::new());
        assert!(!board.allows(Step::Relocate { shard: 2, slot: 0, target: 3 }), "one in flight, one proposed");
    }

    #[test]
    fn views_that_contradict_themselves_are_refused() {
        let mut good = view(4, 100.0, &[&[0, 1, 2]], 3, |_, _, _| 1.0);
        add_resource(&mut good, Metric::ReadOps, 100.0, 1.0, 0.0);
        good.scenarios = Some(Scenarios { shards: vec![0], count: 1, values: vec![0.0; 3] });
        let spoil: [fn(&mut ClusterView); 8] = [
            |view| view.shards.replicas[0] = 9,
            |view| view.shards.replica_offsets = vec![0],
            |view| view.shards.predicted.truncate(1),
            |view| view.nodes.background.clear(),
            |view| view.steps = 7,
            |view| view.shards.move_cost.clear(),
            |view| view.resources[0].leader_use.clear(),
            |view| view.scenarios = Some(Scenarios { shards: vec![1], count: 1, values: vec![0.0; 3] }),
        ];
        for spoil in spoil {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(Board::new(&bad).is_err());
        }
        assert!(Board::new(&good).is_ok());
    }
}
