//! A placement policy that looks ahead: it weighs the overload to be expected over the horizon, under the forecast's uncertainty, against a price
//! for each move, and proposes what pays. Then it brings down nodes whose peak stands far above the others'.
//!
//! - **Expected overload**: each shard's quantiles give a mean, a variance and a skewness a step (`moments`); so do a node's shards together, the
//!   errors of one tenant's shards being shared, those of different tenants independent. The expected excess over capacity follows (`excess`).
//! - **Caution**: so reckoned, the overload of a placement chosen at random is expected as it then occurs, on a real trace within a sixth. That of a
//!   placement *chosen for* its little overload is not: the search finds what the forecast errs in its favour. Hence spreads count as wider.
//! - **Time**: a move counts from the step it takes effect, leader transfers sooner than moves of data; moves in flight count from when they are done.
//! - **Restraint**: the more shards have moved in the last half-day, the dearer a further move.
//! - **Patience**: a move must save its price soon after its effect; what pays only later is proposed later, when it is known better.
//! - **Search**: steps that relieve nodes with expected overload, the best first, each judged as if those before it were done.
//! - **Evenness**: where a peak stands out nonetheless, it is brought down, leader transfers first (`evenness`).
//! - **Resources**: what the host would refuse for one is not proposed (`placing_kit::Board`), and a node that is forecast to need more of one than
//!   it has is brought down likewise.
//! - **Scale**: only nodes in need are searched, targets are the coolest few (`coolest`), and a budget bounds the work. A round keeps nothing for
//!   the next: one in which nothing is to be done only reads its columns through, which takes a million shards a fraction of a second.

mod budget;
mod config;
mod coolest;
mod evenness;
mod excess;
mod moments;
mod outlook;
mod overload;
mod residents;
mod search;

use isobar_model::{ClusterView, Plan};
use placing_kit::{Failure, PlacementPolicy};

pub use config::Config;

/// The policy.
#[derive(Clone, Debug)]
pub struct Predictive {
    config: Config,
    excess: excess::Excess,
}

impl PlacementPolicy for Predictive {
    const NAME: &'static str = "predictive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: &str) -> Result<Self, Failure> {
        Ok(Self { config: Config::read(config)?, excess: excess::Excess::new() })
    }

    fn propose(&self, view: &ClusterView) -> Result<Plan, Failure> {
        search::plan(&self.config, &self.excess, view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{Action, InFlight, InstantMs, NodeId, NodeState, ShardId};
    use placing_kit::example::view;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn propose(view: &ClusterView) -> Plan {
        static POLICY: LazyLock<Predictive> = LazyLock::new(|| Predictive::new("").unwrap());
        POLICY.propose(view).unwrap()
    }

    /// Two leaders on node 0 that rise from 20 to 80 at step `when`; nodes 1 and 2 follow, node 3 is empty.
    fn rising(when: usize) -> ClusterView {
        view(4, 100.0, &[&[0, 1, 2], &[0, 2, 1]], 144, |_, _, step| if step < when { 20.0 } else { 80.0 })
    }

    #[test]
    fn a_leader_leaves_before_the_rise() {
        let plan = propose(&rising(6));
        assert_eq!(plan.moves.len(), 1, "{plan:?}");
        assert!(matches!(plan.moves[0].action, Action::TransferLeader(_)));
        assert!(plan.moves[0].reason.len() <= 512);
    }

    #[test]
    fn what_is_far_off_can_wait() {
        assert_eq!(propose(&rising(60)).moves, []);
    }

    #[test]
    fn a_move_in_flight_counts_as_done() {
        let mut view = rising(6);
        view.moving = vec![InFlight {
            shard: ShardId(1),
            source: NodeId(10),
            target: NodeId(20),
            done_by: view.now.plus_ms(300_000),
            leader_only: true,
        }];
        assert_eq!(propose(&view).moves, []);
    }

    #[test]
    fn where_followers_have_no_room_data_moves() {
        // Nodes 1 and 2 carry 70 of their own: 66.7 more would be worse than what it mends.
        let mut view = rising(6);
        for node in [1, 2] {
            view.nodes.background[node * 144..(node + 1) * 144].fill(70.0);
        }
        let plan = propose(&view);
        assert_eq!(plan.moves.len(), 1, "{plan:?}");
        assert_eq!(plan.moves[0].action, Action::MoveReplica { source: NodeId(10), target: NodeId(40) });
    }

    #[test]
    fn uncertainty_is_reason_enough() {
        // The median stays below capacity, one time in twenty it is far above.
        let burst = |q: f32| if q > 0.9 { 150.0 } else { 45.0 };
        let view = view(4, 100.0, &[&[0, 1, 2], &[0, 2, 1]], 144, |i, q, _| if i == 0 { burst(q) } else { 40.0 });
        assert!(!propose(&view).moves.is_empty());
    }

    #[test]
    fn a_draining_node_is_emptied_leaders_first() {
        let mut view = view(5, 100.0, &[&[1, 0, 2], &[0, 1, 2]], 12, |_, _, _| 1.0);
        view.nodes.states[0] = NodeState::Draining;
        let plan = propose(&view);
        assert_eq!(plan.moves.len(), 2);
        assert!(plan.moves[0].shard == ShardId(2) && matches!(plan.moves[0].action, Action::TransferLeader(_)));
        assert!(matches!(plan.moves[1].action, Action::MoveReplica { source: NodeId(10), .. }));
    }

    #[test]
    fn configurations_are_checked() {
        let refused = |config| Predictive::new(config).unwrap_err().to_string();
        assert!(refused("{\"price\": 1}").contains("price"));
        assert!(refused("{\"caution\": 11}").contains("`caution`"));
        assert!(refused("{\"horizon_steps\": 0}").contains("`horizon_steps`"));
        assert!(refused("[").contains("configuration"));
        assert!(refused("{\"even_start\": 1.2, \"even_within\": 1.3}").contains("`even_within`"));
        assert!(refused("{\"targets\": 0}").contains("`targets`"));
        assert!(refused("{\"budget\": 10}").contains("`budget`"));
        assert!(Predictive::new("{\"max_moves\": 3}").is_ok());
    }

    proptest! {
        /// Promise 7: a load that never changes causes no moves, however it is spread, once nothing can be gained.
        #[test]
        fn a_static_load_within_capacity_moves_nothing(loads in prop::collection::vec(1.0_f32..30.0, 1..12), turn in 0_usize..5) {
            let placement: Vec<Vec<usize>> = (0..loads.len()).map(|i| (0..3).map(|r| (i + r + turn) % 5).collect()).collect();
            let placement: Vec<&[usize]> = placement.iter().map(Vec::as_slice).collect();
            let view = view(5, 200.0, &placement, 144, |i, _, _| loads[i]);
            prop_assert_eq!(propose(&view).moves, vec![]);
        }

        /// Whatever it is given: no panic, only finite numbers, no shard twice.
        #[test]
        fn plans_are_sound(
            loads in prop::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-1.0), Just(0.0), 0.0_f32..1e12], 1..8),
            capacity in prop_oneof![Just(0.0_f32), Just(f32::NAN), 1.0_f32..1e6],
            steps in 0_usize..40,
        ) {
            let placement: Vec<&[usize]> = vec![&[0, 1, 2]; loads.len()];
            let mut view = view(4, capacity, &placement, steps, |i, q, step| loads[i] * q * (1 + step % 3) as f32);
            view.now = InstantMs(0);
            let plan = propose(&view);
            let mut shards: Vec<_> = plan.moves.iter().map(|m| m.shard).collect();
            shards.sort();
            shards.dedup();
            prop_assert_eq!(shards.len(), plan.moves.len());
            prop_assert!(plan.moves.iter().all(|m| m.gain.is_finite() && m.urgency.is_finite()));
        }
    }
}
