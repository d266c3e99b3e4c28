//! The contract's worlds as typed calls, and our words for theirs. One adapter a role; a later version of the contract gets adapters of
//! its own beside these.

use crate::check;
use crate::sandbox::Tenant;
use isobar_model::{
    Action, ClusterView, Description, ForecastBatch, ForecastRequest, InstantMs, KeyspaceId, KeyspacePlacement, Label,
    Link, LoadBatch, Metric, Move, NodeId, NodeState, Plan, Relations, Resource, Scenarios, ShardId,
};
use isobar_ports::PolicyFailure;

mod base {
    wasmtime::component::bindgen!({ path: "../../wit", world: "policy" });
}

mod forecast {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "forecasting-policy",
        with: {
            "isobar:policy/types": super::base::isobar::policy::types,
            "isobar:policy/logging": super::base::isobar::policy::logging,
        },
    });
}

mod place {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "placement-policy",
        with: {
            "isobar:policy/types": super::base::isobar::policy::types,
            "isobar:policy/logging": super::base::isobar::policy::logging,
        },
    });
}

pub(crate) use forecast::{ForecastingPolicy, ForecastingPolicyPre};
pub(crate) use place::{PlacementPolicy, PlacementPolicyPre};

use base::isobar::policy::{logging, types};
use forecast::exports::isobar::policy::forecasting as wire_forecast;
use place::exports::isobar::policy::placing as wire_place;

impl types::Host for Tenant {}

impl logging::Host for Tenant {
    fn log(&mut self, level: logging::Level, message: String) {
        let level = match level {
            logging::Level::Debug => tracing::Level::DEBUG,
            logging::Level::Info => tracing::Level::INFO,
            logging::Level::Warn => tracing::Level::WARN,
            logging::Level::Error => tracing::Level::ERROR,
        };
        Tenant::log(self, level, &message);
    }
}

/// Links the only things a guest may import.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<wasmtime::component::Linker<Tenant>> {
    let mut linker = wasmtime::component::Linker::new(engine);
    base::Policy::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |tenant| tenant)?;
    Ok(linker)
}

/// What a call comes to: wasmtime's word around the guest's own.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, PolicyFailure>>;

type Guest = wasmtime::Store<Tenant>;

/// What every role answers.
pub(crate) trait Lifecycle: Send + 'static {
    fn describe(&self, guest: &mut Guest) -> Answer<Description>;
    fn open(&self, guest: &mut Guest, config: &str, saved: Option<&[u8]>) -> Answer<()>;
    fn save(&self, guest: &mut Guest) -> Answer<Vec<u8>>;
}

macro_rules! lifecycle {
    ($world:ty) => {
        impl Lifecycle for $world {
            fn describe(&self, guest: &mut Guest) -> Answer<Description> {
                let types::Description { name, version, config_schema } =
                    self.isobar_policy_lifecycle().call_describe(guest)?;
                Ok(Ok(Description { name, version, config_schema }))
            }

            fn open(&self, guest: &mut Guest, config: &str, saved: Option<&[u8]>) -> Answer<()> {
                Ok(self.isobar_policy_lifecycle().call_open(guest, config, saved)?.map_err(failure))
            }

            fn save(&self, guest: &mut Guest) -> Answer<Vec<u8>> {
                Ok(self.isobar_policy_lifecycle().call_save(guest)?.map_err(failure))
            }
        }
    };
}

lifecycle!(ForecastingPolicy);
lifecycle!(PlacementPolicy);

/// A guest's own word on why it can't answer.
fn failure(said: types::Failure) -> PolicyFailure {
    match said {
        types::Failure::Config(text) => PolicyFailure::Config(check::text(&text)),
        types::Failure::NotReady(text) => PolicyFailure::NotReady(check::text(&text)),
        types::Failure::Other(text) => PolicyFailure::Policy(check::text(&text)),
    }
}

/// A batch as it crosses: copied once, since it goes to the instance's own thread.
pub(crate) struct Batch(wire_forecast::LoadBatch);

impl From<&LoadBatch> for Batch {
    fn from(batch: &LoadBatch) -> Self {
        Self(wire_forecast::LoadBatch {
            metric: metric(batch.metric),
            start: batch.start.0,
            step_ms: batch.step_ms,
            steps: batch.steps,
            shards: shard_ids(&batch.shards),
            values: batch.values.clone(),
        })
    }
}

/// A request as it crosses.
pub(crate) struct Request(wire_forecast::Request);

impl From<&ForecastRequest> for Request {
    fn from(request: &ForecastRequest) -> Self {
        Self(wire_forecast::Request {
            metric: metric(request.metric),
            shards: shard_ids(&request.shards),
            horizon: request.horizon,
            quantiles: request.quantiles.clone(),
            peak_steps: request.peak_steps,
        })
    }
}

/// What was found of shards together, as it crosses.
pub(crate) struct Related {
    metric: wire_forecast::Metric,
    links: Vec<wire_forecast::Link>,
    clusters: Vec<Vec<u64>>,
}

impl Related {
    pub(crate) fn new(of: Metric, relations: &Relations) -> Self {
        let link = |link: &Link| wire_forecast::Link {
            follower: link.follower.0,
            leader: link.leader.0,
            lag: link.lag_steps,
            strength: link.strength,
            gain: link.gain,
        };
        Self {
            metric: metric(of),
            links: relations.links.iter().map(link).collect(),
            clusters: relations.clusters.iter().map(|shards| shard_ids(shards)).collect(),
        }
    }
}

fn shard_ids(ids: &[ShardId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

fn metric(metric: Metric) -> wire_forecast::Metric {
    match metric {
        Metric::Load => wire_forecast::Metric::Load,
        Metric::ReadOps => wire_forecast::Metric::ReadOps,
        Metric::WriteOps => wire_forecast::Metric::WriteOps,
        Metric::ReadBytes => wire_forecast::Metric::ReadBytes,
        Metric::WriteBytes => wire_forecast::Metric::WriteBytes,
        Metric::StorageIops => wire_forecast::Metric::StorageIops,
        Metric::CpuMillicores => wire_forecast::Metric::CpuMillicores,
        Metric::MemoryBytes => wire_forecast::Metric::MemoryBytes,
        Metric::NetworkBytes => wire_forecast::Metric::NetworkBytes,
    }
}

pub(crate) fn observe(world: &ForecastingPolicy, guest: &mut Guest, batch: &Batch) -> Answer<()> {
    Ok(world.isobar_policy_forecasting().call_observe(guest, &batch.0)?.map_err(failure))
}

pub(crate) fn predict(world: &ForecastingPolicy, guest: &mut Guest, request: &Request) -> Answer<ForecastBatch> {
    let answer = world.isobar_policy_forecasting().call_predict(guest, &request.0)?;
    Ok(answer.map(|wire_forecast::ForecastBatch { values, peaks }| ForecastBatch { values, peaks }).map_err(failure))
}

pub(crate) fn relate(world: &ForecastingPolicy, guest: &mut Guest, related: &Related) -> Answer<()> {
    let Related { metric, links, clusters } = related;
    Ok(world.isobar_policy_forecasting().call_relate(guest, *metric, links, clusters)?.map_err(failure))
}

pub(crate) fn forget(world: &ForecastingPolicy, guest: &mut Guest, shards: &[u64]) -> Answer<()> {
    world.isobar_policy_forecasting().call_forget(guest, shards).map(Ok)
}

/// A view as it crosses.
pub(crate) struct View(wire_place::ClusterView);

impl From<&ClusterView> for View {
    fn from(view: &ClusterView) -> Self {
        let (nodes, shards, limits) = (&view.nodes, &view.shards, &view.limits);
        Self(wire_place::ClusterView {
            now: view.now.0,
            step_ms: view.step_ms,
            steps: view.steps,
            quantiles: view.quantiles.clone(),
            nodes: wire_place::Nodes {
                ids: nodes.ids.iter().map(|id| id.0).collect(),
                zones: nodes.zones.iter().map(|zone| zone.0).collect(),
                states: nodes.states.iter().map(|&state| node_state(state)).collect(),
                capacity: nodes.capacity.clone(),
                load: nodes.load.clone(),
                background: nodes.background.clone(),
                used_bytes: nodes.used_bytes.clone(),
                capacity_bytes: nodes.capacity_bytes.clone(),
                labels: nodes.labels.iter().map(|labels| labels.iter().map(Label::to_string).collect()).collect(),
            },
            shards: wire_place::Shards {
                ids: shard_ids(&shards.ids),
                keyspaces: shards.keyspaces.iter().map(|keyspace| keyspace.0).collect(),
                bytes: shards.bytes.clone(),
                leader_load: shards.leader_load.clone(),
                follower_share: shards.follower_share.clone(),
                predicted: shards.predicted.clone(),
                replica_offsets: shards.replica_offsets.clone(),
                replicas: shards.replicas.clone(),
                last_moved: shards.last_moved.iter().map(|instant| instant.0).collect(),
                move_steps: shards.move_steps.clone(),
                move_cost: shards.move_cost.clone(),
            },
            moving: view
                .moving
                .iter()
                .map(|moving| wire_place::InFlight {
                    shard: moving.shard.0,
                    source: moving.source.0,
                    target: moving.target.0,
                    done_by: moving.done_by.0,
                    leader_only: moving.leader_only,
                })
                .collect(),
            limits: wire_place::Limits {
                moves_per_node: limits.moves_per_node,
                moves_per_round: limits.moves_per_round,
                cool_down_ms: limits.cool_down_ms,
                max_utilisation: limits.max_utilisation,
                leader_steps: limits.leader_steps,
            },
            placement: view.placement.iter().map(keyspace_placement).collect(),
            resources: view.resources.iter().map(resource).collect(),
            scenarios: view.scenarios.as_ref().map(scenarios),
            seed: view.seed,
        })
    }
}

fn keyspace_placement(placement: &KeyspacePlacement) -> wire_place::KeyspacePlacement {
    let ids = |keyspaces: &[KeyspaceId]| keyspaces.iter().map(|keyspace| keyspace.0).collect();
    wire_place::KeyspacePlacement {
        keyspace: placement.keyspace.0,
        nodes: placement.nodes.clone(),
        apart: ids(&placement.apart),
        together: ids(&placement.together),
    }
}

fn resource(resource: &Resource) -> wire_place::NodeResource {
    wire_place::NodeResource {
        metric: metric(resource.metric),
        capacity: resource.capacity.clone(),
        used: resource.used.clone(),
        background: resource.background.clone(),
        leader_use: resource.leader_use.clone(),
        follower_use: resource.follower_use.clone(),
    }
}

fn scenarios(scenarios: &Scenarios) -> wire_place::Scenarios {
    wire_place::Scenarios { shards: scenarios.shards.clone(), count: scenarios.count, values: scenarios.values.clone() }
}

fn node_state(state: NodeState) -> wire_place::NodeState {
    match state {
        NodeState::Up => wire_place::NodeState::Up,
        NodeState::Draining => wire_place::NodeState::Draining,
        NodeState::Suspect => wire_place::NodeState::Suspect,
        NodeState::Down => wire_place::NodeState::Down,
    }
}

pub(crate) fn propose(world: &PlacementPolicy, guest: &mut Guest, view: &View) -> Answer<Plan> {
    let answer = world.isobar_policy_placing().call_propose(guest, &view.0)?;
    Ok(answer
        .map(|plan| Plan { moves: plan.moves.into_iter().map(step).collect(), notes: plan.notes })
        .map_err(failure))
}

fn step(step: wire_place::Move) -> Move {
    let action = match step.action {
        wire_place::Action::MoveReplica(wire_place::Relocation { source, target }) => {
            Action::MoveReplica { source: NodeId(source), target: NodeId(target) }
        }
        wire_place::Action::TransferLeader(to) => Action::TransferLeader(NodeId(to)),
        wire_place::Action::AddReplica(on) => Action::AddReplica(NodeId(on)),
        wire_place::Action::RemoveReplica(on) => Action::RemoveReplica(NodeId(on)),
        wire_place::Action::Split => Action::Split,
        wire_place::Action::MergeWith(other) => Action::MergeWith(ShardId(other)),
    };
    Move {
        shard: ShardId(step.shard),
        action,
        urgency: step.urgency,
        start_by: InstantMs(step.start_by),
        gain: step.gain,
        reason: step.reason,
    }
}
