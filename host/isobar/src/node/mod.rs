//! One node: replicas, gateway, API, and on some a replica of the control group. `isobar serve` runs one to a process, `isobar dev` and
//! `isobar demo` several: the same code.

mod backend;
mod blobs;
mod brain_thread;
pub(crate) mod clock;
pub(crate) mod config;
mod control;
mod controller;
pub(crate) mod directory;
mod forecast_scores;
mod handlers;
mod housekeeping;
pub(crate) mod live_profile;
mod observe;
mod records;
pub(crate) mod services;
mod usage_report;
mod utilisation;

use crate::gateway::Gateway;
use anyhow::Context as _;
use backend::NodeBackend;
use blobs::{BlobHandler, ClusterBlobs};
use config::NodeConfig;
use control::Control;
use controller::{Controller, Surroundings};
use directory::Directory;
use handlers::{DirectoryHandler, KvHandler, ProposeHandler, SamplesHandler};
use isobar_api::{Api, ApiConfig, EventLog};
use isobar_control::{ControlCommand, ControlState, Settings};
use isobar_model::{Capacities, Label, Node, NodeId, ShardMap};
use isobar_ports::{BlobStore, Clock, PolicyHost};
use isobar_raft::transport::{AddressBook, PeerIdentity, PeerNetwork, TcpPeers};
use isobar_raft::{ControlGroup, NodeStorage, RaftHub, RaftTiming, ShardHost, ShardHostConfig};
use isobar_storage::{Identity, NodeDir};
use live_profile::{ProfileHandler, WatchedShards};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use utilisation::Probe;

/// Between two tries of what must succeed in the end: joining, making replicas.
const RETRY: Duration = Duration::from_millis(250);
/// Events taken over from the control state at once.
const EVENT_LOOK: Duration = Duration::from_millis(50);

/// A node at work.
pub(crate) struct RunningNode {
    pub(crate) id: NodeId,
    pub(crate) http: SocketAddr,
    pub(crate) peer: SocketAddr,
    directory: Arc<Directory>,
    controller: Arc<RwLock<Option<Arc<Controller>>>>,
    shards: Arc<ShardHost>,
    group: Option<Arc<ControlGroup<ControlState>>>,
    peers: Arc<TcpPeers>,
    tasks: JoinSet<()>,
    api: JoinHandle<std::io::Result<()>>,
    stop_api: Option<oneshot::Sender<()>>,
    /// Unlocks the data directory when dropped, last.
    _dir: NodeDir,
}

/// What is claimed before a node starts: its ports, so that nodes can be told of each other, and its directory.
pub(crate) struct Bound {
    pub(crate) http: TcpListener,
    pub(crate) peers: Arc<TcpPeers>,
    dir: NodeDir,
}

impl Bound {
    /// Binds both ports of a node and opens its directory.
    pub(crate) async fn new(config: &NodeConfig) -> anyhow::Result<Self> {
        config.check()?;
        let http = TcpListener::bind(config.http).await.with_context(|| {
            format!(
                "can't listen for clients at {}: is another program using the port? choose another with --http",
                config.http
            )
        })?;
        let identity = PeerIdentity { cluster: config.cluster.clone(), node: config.id };
        let peers =
            TcpPeers::bind(identity, &config.peer.to_string(), AddressBook::new()).await.with_context(|| {
                format!(
                    "can't listen for other nodes at {}: is another program using the port? choose another with --peer",
                    config.peer
                )
            })?;
        let (data, identity) = (config.data.clone(), Identity { cluster: config.cluster.clone(), node: config.id });
        let dir = tokio::task::spawn_blocking(move || NodeDir::open(&data, identity)).await??;
        Ok(Self { http, peers, dir })
    }
}

impl RunningNode {
    /// Joins the cluster and begins to serve. `clock` is the control clock, the same on all nodes.
    pub(crate) async fn start(
        config: NodeConfig,
        bound: Bound,
        clock: Arc<dyn Clock>,
        policies: Arc<dyn PolicyHost>,
    ) -> anyhow::Result<Self> {
        let Bound { http, peers, dir } = bound;
        let storage = NodeStorage::from(&dir);
        for (&voter, addr) in &config.control {
            peers.addresses().set(voter, addr);
        }
        let network: Arc<dyn PeerNetwork> = peers.clone();
        let hub = RaftHub::new(Arc::clone(&network));
        let shards = ShardHost::open(&storage, &hub, ShardHostConfig::default()).await?;
        let voters: Vec<NodeId> = config.control.keys().copied().collect();
        let is_voter = config.control.contains_key(&config.id);
        let group = if is_voter {
            Some(ControlGroup::start(&storage, &hub, RaftTiming::CONTROL, ControlState::default()).await?)
        } else {
            None
        };
        let directory = Directory::new(peers.addresses().clone());
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_ms = u64::try_from(started.as_millis()).unwrap_or(0);
        let watched = WatchedShards::new(
            config.id,
            Arc::clone(&shards),
            Arc::clone(&directory),
            Arc::clone(&clock),
            &config.settings.weights,
        );
        let samples = Arc::new(SamplesHandler {
            shards: Arc::clone(&shards),
            watched: Arc::clone(&watched),
            started_ms,
            probe: Probe::new(config.data.clone()),
        });
        network.register(services::KV, Arc::new(KvHandler(Arc::clone(&watched))));
        network.register(services::PROFILE, Arc::new(ProfileHandler(Arc::clone(&watched))));
        network.register(services::SAMPLES, Arc::clone(&samples) as _);
        network.register(services::DIRECTORY, Arc::new(DirectoryHandler(Arc::clone(&directory))));
        network.register(services::BLOB, Arc::new(BlobHandler::new(Arc::clone(&dir.blobs))));
        if let Some(group) = &group {
            network.register(services::PROPOSE, Arc::new(ProposeHandler(Arc::clone(group))));
        }
        let control = Arc::new(Control {
            group: group.clone(),
            voters: voters.clone(),
            peers: Arc::clone(&network),
            directory: Arc::clone(&directory),
            clock: Arc::clone(&clock),
        });
        let local_blobs = is_voter.then(|| Arc::clone(&dir.blobs));
        let blobs: Arc<dyn BlobStore> =
            Arc::new(ClusterBlobs { local: local_blobs, voters: voters.clone(), peers: Arc::clone(&network) });
        let events = Arc::new(EventLog::default());
        let controller: Arc<RwLock<Option<Arc<Controller>>>> = Arc::default();

        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&watched).keep_pace());
        match &group {
            Some(group) => {
                tasks.spawn(publish_directory(Arc::clone(group), Arc::clone(&directory)));
                tasks.spawn(publish_events(Arc::clone(group), Arc::clone(&events)));
                tasks.spawn(housekeeping::collect_blobs(Arc::clone(group), Arc::clone(&dir.blobs)));
                let here = Arc::new(Surroundings {
                    id: config.id,
                    control: Arc::clone(&control),
                    blobs: Arc::clone(&blobs),
                    samples: Arc::clone(&samples),
                    policies,
                    events: Arc::clone(&events),
                    seed: config.seed,
                });
                tasks.spawn(lead_whenever_elected(here, Arc::clone(group), Arc::clone(&controller)));
            }
            None => {
                tasks.spawn(Arc::clone(&directory).follow(Arc::clone(&network), voters.clone()));
            }
        }
        tasks.spawn(keep_replicas(config.id, Arc::clone(&directory), Arc::clone(&shards)));
        if let Some(group) = &group
            && voters.first() == Some(&config.id)
        {
            group.initialize(&voters.iter().copied().collect::<BTreeSet<_>>()).await?;
        }
        let http_addr = http.local_addr()?;
        let node = Node {
            id: config.id,
            zone: config.zone,
            peer_addr: peers.local_addr().to_string(),
            http_addr: http_addr.to_string(),
            capacity: config.capacity,
            capacity_bytes: config.capacity_bytes,
            draining: false,
        };
        let founding = [
            ControlCommand::BeginWithForecaster { policy: config.default_forecaster },
            ControlCommand::FormCluster { cluster: config.cluster.clone(), settings: config.settings },
        ];
        let said = Said { node, labels: config.labels, capacities: config.capacities };
        tasks.spawn(join(Arc::clone(&control), config.cluster.clone(), founding, said));

        let backend = NodeBackend {
            id: config.id,
            cluster: config.cluster.clone(),
            default_mode: config.default_mode,
            gateway: Gateway {
                local: config.id,
                directory: Arc::clone(&directory),
                shards: watched,
                peers: Arc::clone(&network),
            },
            directory: Arc::clone(&directory),
            shards: Arc::clone(&shards),
            samples,
            control,
            blobs,
            events,
            clock,
            controller: Arc::clone(&controller),
        };
        let api = Api::new(Arc::new(backend), ApiConfig { token: config.token.clone(), ..ApiConfig::default() });
        let (stop_api, stopped) = oneshot::channel::<()>();
        let api = tokio::spawn(api.serve(http, async move {
            // Dropped without a word: the node is gone, so stop as well.
            let _ = stopped.await;
        }));
        tracing::info!(node = %config.id, http = %http_addr, peer = %peers.local_addr(), "node started");
        Ok(Self {
            id: config.id,
            http: http_addr,
            peer: peers.local_addr(),
            directory,
            controller,
            shards,
            group,
            peers,
            tasks,
            api,
            stop_api: Some(stop_api),
            _dir: dir,
        })
    }

    /// The shard map as this node has it.
    pub(crate) fn map(&self) -> Arc<ShardMap> {
        self.directory.map()
    }

    /// Tells of each new shard map.
    pub(crate) fn watch_map(&self) -> watch::Receiver<Arc<ShardMap>> {
        self.directory.watch_map()
    }

    /// How good the bound forecaster was an hour ahead (WAPE), where this node leads the control group; inner none: nothing scored yet.
    pub(crate) async fn forecast_score(&self) -> Option<Option<f64>> {
        let controller = self.controller.read().clone()?;
        let (bound, _) = controller.brain.call(|brain| brain.score()).await.ok()?;
        Some(bound.horizons.iter().find(|h| h.horizon == 12).and_then(|h| h.wape))
    }

    /// Hands leaderships over, finishes requests being served, and stops.
    pub(crate) async fn stop(mut self) {
        self.shards.shutdown().await;
        if let Some(stop) = self.stop_api.take() {
            let _ = stop.send(());
        }
        if let Ok(Err(error)) = self.api.await {
            tracing::warn!(%error, "the API stopped with an error");
        }
        self.tasks.shutdown().await;
        if let Some(group) = &self.group {
            group.shutdown().await;
        }
        self.peers.shutdown();
        tracing::info!(node = %self.id, "node stopped");
    }
}

/// What a node says of itself when it joins.
struct Said {
    node: Node,
    labels: BTreeSet<Label>,
    capacities: Capacities,
}

/// Forms the cluster by these commands where there is none, and makes this node known; tried until it is.
async fn join(control: Arc<Control>, cluster: String, founding: [ControlCommand; 2], said: Said) {
    let Said { node, labels, capacities } = said;
    loop {
        let outcome = async {
            if control.voters.first() == Some(&node.id) {
                for command in &founding {
                    control.command(command.clone()).await?;
                }
            }
            control.command(ControlCommand::RegisterNode { cluster: cluster.clone(), node: node.clone() }).await?;
            control.command(ControlCommand::SetLabels { node: node.id, labels: labels.clone() }).await?;
            control.command(ControlCommand::SetCapacities { node: node.id, capacities: capacities.clone() }).await
        };
        match outcome.await {
            Ok(_) => return,
            Err(error) => {
                tracing::info!(%error, "not joined yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Keeps the directory of a control voter as its replica of the state has it.
async fn publish_directory(group: Arc<ControlGroup<ControlState>>, directory: Arc<Directory>) {
    let (mut applied, mut leadership) = (group.applied(), group.leadership());
    let mut known = (0, std::collections::BTreeMap::new());
    loop {
        let (map, nodes) = group.read(|state| {
            let nodes = (*state.nodes() != known.1).then(|| state.nodes().clone());
            (state.routes(), nodes)
        });
        directory.install_map(map);
        if let Some(nodes) = nodes {
            // Numbers of different voters must not be mixed up with each other's: the state's own clock of changes is the applied index.
            known = (*applied.borrow(), nodes.clone());
            directory.install_nodes(known.0.max(1), nodes);
        }
        let leader = leadership.borrow().leader;
        directory.install_control_leader(leader);
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// Shows the control state's events to whoever follows this node's stream.
async fn publish_events(group: Arc<ControlGroup<ControlState>>, events: Arc<EventLog>) {
    let (mut last, mut applied) = (0, group.applied());
    loop {
        let fresh: Vec<_> = group.read(|state| state.events_after(last).cloned().collect());
        for event in fresh {
            last = event.sequence;
            let data = serde_json::to_value(&event.fields).unwrap_or_default();
            events.publish(event.at, event.kind.name(), event.text, data);
        }
        if applied.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(EVENT_LOOK).await;
    }
}

/// Waits until the cluster is formed and has settings other than `known`; gives them. Never comes back where the node is stopped.
async fn other_settings(group: &ControlGroup<ControlState>, known: Option<Settings>) -> Settings {
    let mut applied = group.applied();
    loop {
        let settings = group.read(|state| state.cluster().map(|_| *state.settings()));
        if let Some(settings) = settings.filter(|settings| Some(*settings) != known) {
            return settings;
        }
        if applied.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs a controller for as long as this node leads the control group, each time it does; anew where the settings change, since a controller
/// keeps those it began with. Before the cluster is formed there are none, and nothing to control.
async fn lead_whenever_elected(
    here: Arc<Surroundings>,
    group: Arc<ControlGroup<ControlState>>,
    slot: Arc<RwLock<Option<Arc<Controller>>>>,
) {
    let mut leadership = group.leadership();
    loop {
        let Ok(term) = leadership.wait_for(|l| l.is_local).await.map(|l| l.term) else { return };
        if let Err(error) = group.barrier().await {
            tracing::info!(%error, "elected, but not confirmed");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let settings = tokio::select! {
            settings = other_settings(&group, None) => settings,
            lost = leadership.wait_for(|l| !l.is_local || l.term != term) => if lost.is_err() { return } else { continue },
        };
        let (stop, stopped) = watch::channel(false);
        match Controller::start(Arc::clone(&here), term, stopped).await {
            Ok((controller, mut tasks)) => {
                *slot.write() = Some(controller);
                let stopped = tokio::select! {
                    lost = leadership.wait_for(|l| !l.is_local || l.term != term) => {
                        tracing::info!(term, "this node leads the control group no longer");
                        lost.is_err()
                    }
                    _ = other_settings(&group, Some(settings)) => {
                        tracing::info!(term, "the settings have changed, the control loop begins anew");
                        false
                    }
                };
                *slot.write() = None;
                let _ = stop.send(true);
                tasks.shutdown().await;
                if stopped {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the control loop could not be started, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Makes the replicas that the shard map places here. Replicas are removed by the mover alone, never for want of an entry in a map.
async fn keep_replicas(id: NodeId, directory: Arc<Directory>, shards: Arc<ShardHost>) {
    let mut maps = directory.watch_map();
    loop {
        let map: Arc<ShardMap> = maps.borrow_and_update().clone();
        shards.set_route_version(map.version);
        let mut all_there = true;
        for shard in map.shards.values().filter(|shard| shard.is_on(id)) {
            // A shard that had a leader was founded: should its data be lost here, it must come from its peers, not begin empty.
            let founder = shard.leader.is_none() && shard.replicas.first().is_some_and(|replica| replica.node == id);
            let here = shards.replica(shard.id).is_some();
            if here && !founder {
                continue;
            }
            if let Err(error) = shards.ensure_replica(shard, founder).await {
                tracing::warn!(shard = %shard.id, %error, "a replica could not be made yet");
                all_there = false;
            }
        }
        let changed = maps.changed();
        if all_there {
            if changed.await.is_err() {
                return;
            }
        } else if let Ok(Err(_)) = tokio::time::timeout(RETRY, changed).await {
            return;
        }
    }
}
