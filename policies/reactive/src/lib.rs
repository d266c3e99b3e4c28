//! A placement policy that looks at the present only: while a node is overloaded, it hands on the leadership, else a replica, that relieves it most.
//!
//! The measure is load above `threshold` × capacity, summed over nodes, at the measured load; moves in flight count as done, so that no
//! overload is answered twice. Nothing is proposed while no node is overloaded, but emptying nodes that are being drained.

mod relief;

use isobar_model::{ClusterView, Plan};
use placing_kit::{Failure, PlacementPolicy, parse_config};
use serde::Deserialize;

/// The configuration of [`Reactive`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A node is overloaded above this share of its capacity, 0.1 to 2.
    pub threshold: f32,
    /// Moves proposed in one round, 1 to 1 000; nodes being drained are not counted.
    pub max_moves: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 1.0, max_moves: 4 }
    }
}

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reactive {
    config: Config,
}

impl PlacementPolicy for Reactive {
    const NAME: &'static str = "reactive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");

    fn new(config: &str) -> Result<Self, Failure> {
        let config: Config = parse_config(config)?;
        if !(0.1..=2.0).contains(&config.threshold) {
            return Err(Failure::Config(format!("`threshold` is 0.1 to 2, not {}", config.threshold)));
        }
        if !(1..=1_000).contains(&config.max_moves) {
            return Err(Failure::Config(format!("`max_moves` is 1 to 1000, not {}", config.max_moves)));
        }
        Ok(Self { config })
    }

    fn propose(&self, view: &ClusterView) -> Result<Plan, Failure> {
        relief::plan(&self.config, view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_model::{Action, NodeId, NodeState, ShardId};
    use placing_kit::example::view;

    fn propose(view: &ClusterView) -> Plan {
        Reactive::new("").unwrap().propose(view).unwrap()
    }

    #[test]
    fn an_overloaded_node_hands_leaders_on() {
        let view = view(4, 100.0, &[&[0, 1, 2], &[0, 1, 2], &[0, 2, 1]], 1, |_, _, _| 45.0);
        let plan = propose(&view);
        assert_eq!(plan.moves.len(), 1, "{plan:?}");
        assert!(matches!(plan.moves[0].action, Action::TransferLeader(_)));
        // 37.5 load units per second too many fall to none: 35 at the source, over five minutes.
        assert!((plan.moves[0].gain - 35.0 * 300.0).abs() < 1.0, "{plan:?}");
    }

    #[test]
    fn where_no_follower_has_room_a_replica_moves() {
        let view =
            view(
                4,
                100.0,
                &[&[0, 1, 2], &[0, 1, 2], &[1, 2, 0], &[2, 1, 0]],
                1,
                |i, _, _| if i < 2 { 60.0 } else { 90.0 },
            );
        let plan = propose(&view);
        let to_3 = |action| matches!(action, Action::MoveReplica { target: NodeId(40), .. });
        assert!(!plan.moves.is_empty() && plan.moves.iter().all(|m| to_3(m.action)), "{plan:?}");
    }

    /// Promise 7.
    #[test]
    fn nothing_moves_without_overload_whatever_is_forecast() {
        let view = view(4, 100.0, &[&[0, 1, 2], &[0, 1, 2]], 12, |_, _, step| if step == 0 { 40.0 } else { 400.0 });
        assert_eq!(propose(&view), Plan::default());
    }

    #[test]
    fn a_draining_node_is_emptied_leaders_first() {
        let mut view = view(5, 100.0, &[&[1, 0, 2], &[0, 1, 2]], 1, |_, _, _| 1.0);
        view.nodes.states[0] = NodeState::Draining;
        let plan = propose(&view);
        assert_eq!(plan.moves.len(), 2);
        assert!(plan.moves[0].shard == ShardId(2) && matches!(plan.moves[0].action, Action::TransferLeader(_)));
        assert!(matches!(plan.moves[1].action, Action::MoveReplica { source: NodeId(10), .. }));
    }

    #[test]
    fn configurations_are_checked() {
        let refused = |config| Reactive::new(config).unwrap_err().to_string();
        assert!(refused("{\"treshold\": 1}").contains("treshold"));
        assert!(refused("{\"threshold\": 7}").contains("`threshold`"));
        assert!(refused("{\"max_moves\": 0}").contains("`max_moves`"));
        assert!(Reactive::new("{\"threshold\": 0.9}").is_ok());
    }
}
