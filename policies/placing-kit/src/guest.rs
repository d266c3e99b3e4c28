//! The shell of a placement component: the contract's types on one side, [`PlacementPolicy`] on the other.

use crate::{Failure, PlacementPolicy};
use bindings::exports::isobar::policy::{lifecycle, placing};
use bindings::isobar::policy::types;
use isobar_model::{
    Action, ClusterView, InFlight, InstantMs, KeyspaceId, KeyspacePlacement, Metric, NodeColumns, NodeId, NodeState,
    PlacementLimits, Resource, Scenarios, ShardColumns, ShardId, ZoneId,
};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;

/// What `wit/` says.
#[expect(missing_docs, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "placement-policy",
        pub_export_macro: true,
        export_macro_name: "export_placer",
        default_bindings_module: "placing_kit::guest::bindings",
    });
}

thread_local! {
    /// The instance's policy. A component has one thread, and one policy.
    static POLICY: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The component of policy `P`; export it with `export_placer!`.
#[derive(Debug)]
pub struct Shell<P>(PhantomData<P>);

impl<P: PlacementPolicy + 'static> lifecycle::Guest for Shell<P> {
    fn describe() -> types::Description {
        types::Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            config_schema: P::CONFIG_SCHEMA.to_owned(),
        }
    }

    /// There is no state: whatever was saved is nothing to go on from, so nothing is lost by passing over it.
    fn open(config: String, _saved: Option<Vec<u8>>) -> Result<(), types::Failure> {
        let policy = P::new(&config)?;
        POLICY.set(Some(Box::new(policy)));
        Ok(())
    }

    fn save() -> Result<Vec<u8>, types::Failure> {
        Ok(Vec::new())
    }
}

impl<P: PlacementPolicy + 'static> placing::Guest for Shell<P> {
    fn propose(view: placing::ClusterView) -> Result<placing::Plan, types::Failure> {
        let view = ClusterView::from(view);
        let plan = POLICY.with_borrow(|policy| {
            let policy = policy.as_ref().and_then(|policy| policy.downcast_ref::<P>());
            let policy = policy.ok_or_else(|| types::Failure::Other("`open` was not called, or failed".to_owned()))?;
            Ok::<_, types::Failure>(policy.propose(&view)?)
        })?;
        let moves = plan.moves.into_iter().map(|proposed| placing::Move {
            shard: proposed.shard.0,
            action: proposed.action.into(),
            urgency: proposed.urgency,
            start_by: proposed.start_by.0,
            gain: proposed.gain,
            reason: proposed.reason,
        });
        Ok(placing::Plan { moves: moves.collect(), notes: plan.notes })
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Config(text) => Self::Config(text),
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl From<Action> for placing::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::MoveReplica { source, target } => {
                Self::MoveReplica(placing::Relocation { source: source.0, target: target.0 })
            }
            Action::TransferLeader(node) => Self::TransferLeader(node.0),
            Action::AddReplica(node) => Self::AddReplica(node.0),
            Action::RemoveReplica(node) => Self::RemoveReplica(node.0),
            Action::Split => Self::Split,
            Action::MergeWith(shard) => Self::MergeWith(shard.0),
        }
    }
}

impl From<placing::NodeState> for NodeState {
    fn from(state: placing::NodeState) -> Self {
        match state {
            placing::NodeState::Up => Self::Up,
            placing::NodeState::Draining => Self::Draining,
            placing::NodeState::Suspect => Self::Suspect,
            placing::NodeState::Down => Self::Down,
        }
    }
}

/// Columns of numbers are taken over as they are; only ids get their types.
impl From<placing::ClusterView> for ClusterView {
    fn from(view: placing::ClusterView) -> Self {
        let placing::ClusterView { now, step_ms, steps, quantiles, nodes, shards, moving, limits, .. } = view;
        let (placement, resources, scenarios, seed) = (view.placement, view.resources, view.scenarios, view.seed);
        Self {
            now: InstantMs(now),
            step_ms,
            steps,
            quantiles,
            nodes: NodeColumns {
                ids: nodes.ids.into_iter().map(NodeId).collect(),
                zones: nodes.zones.into_iter().map(ZoneId).collect(),
                states: nodes.states.into_iter().map(NodeState::from).collect(),
                capacity: nodes.capacity,
                load: nodes.load,
                background: nodes.background,
                used_bytes: nodes.used_bytes,
                capacity_bytes: nodes.capacity_bytes,
                // The host's are all labels; what is none could only come from elsewhere.
                labels: nodes
                    .labels
                    .into_iter()
                    .map(|labels| labels.into_iter().filter_map(|label| label.parse().ok()).collect())
                    .collect(),
            },
            shards: ShardColumns {
                ids: shards.ids.into_iter().map(ShardId).collect(),
                keyspaces: shards.keyspaces.into_iter().map(KeyspaceId).collect(),
                bytes: shards.bytes,
                leader_load: shards.leader_load,
                follower_share: shards.follower_share,
                predicted: shards.predicted,
                replica_offsets: shards.replica_offsets,
                replicas: shards.replicas,
                last_moved: shards.last_moved.into_iter().map(InstantMs).collect(),
                move_steps: shards.move_steps,
                move_cost: shards.move_cost,
            },
            moving: moving
                .into_iter()
                .map(|moving| InFlight {
                    shard: ShardId(moving.shard),
                    source: NodeId(moving.source),
                    target: NodeId(moving.target),
                    done_by: InstantMs(moving.done_by),
                    leader_only: moving.leader_only,
                })
                .collect(),
            limits: PlacementLimits {
                moves_per_node: limits.moves_per_node,
                moves_per_round: limits.moves_per_round,
                cool_down_ms: limits.cool_down_ms,
                max_utilisation: limits.max_utilisation,
                leader_steps: limits.leader_steps,
            },
            placement: placement
                .into_iter()
                .map(|placement| KeyspacePlacement {
                    keyspace: KeyspaceId(placement.keyspace),
                    nodes: placement.nodes,
                    apart: placement.apart.into_iter().map(KeyspaceId).collect(),
                    together: placement.together.into_iter().map(KeyspaceId).collect(),
                })
                .collect(),
            resources: resources.into_iter().map(Resource::from).collect(),
            scenarios: scenarios.map(|placing::Scenarios { shards, count, values }| Scenarios {
                shards,
                count,
                values,
            }),
            seed,
        }
    }
}

impl From<placing::NodeResource> for Resource {
    fn from(resource: placing::NodeResource) -> Self {
        let placing::NodeResource { metric, capacity, used, background, leader_use, follower_use } = resource;
        Self { metric: metric.into(), capacity, used, background, leader_use, follower_use }
    }
}

impl From<types::Metric> for Metric {
    fn from(metric: types::Metric) -> Self {
        match metric {
            types::Metric::Load => Self::Load,
            types::Metric::ReadOps => Self::ReadOps,
            types::Metric::WriteOps => Self::WriteOps,
            types::Metric::ReadBytes => Self::ReadBytes,
            types::Metric::WriteBytes => Self::WriteBytes,
            types::Metric::StorageIops => Self::StorageIops,
            types::Metric::CpuMillicores => Self::CpuMillicores,
            types::Metric::MemoryBytes => Self::MemoryBytes,
            types::Metric::NetworkBytes => Self::NetworkBytes,
        }
    }
}
