//! `isobar serve` and `isobar dev`: nodes that stay until they are told to stop.

use crate::embedded::{Embedded, EmbeddedSpec, policy_host};
use crate::node::clock::WallClock;
use crate::node::config::NodeConfig;
use crate::node::{Bound, RunningNode};
use anyhow::{Context as _, ensure};
use clap::Args;
use isobar_control::Settings;
use isobar_model::{Capacities, DeclaredCapacity, Label, Mode, NodeId, Role, ZoneId};
use isobar_ports::Clock;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// One node of a cluster.
#[derive(Debug, Args)]
#[command(after_help = "A cluster of three on one machine:\n  \
    for i in 1 2 3; do isobar serve --id $i --data data/$i --http 127.0.0.1:740$i --peer 127.0.0.1:750$i \\\n    \
    --control 1=127.0.0.1:7501 --control 2=127.0.0.1:7502 --control 3=127.0.0.1:7503 & done")]
pub(crate) struct ServeArgs {
    /// This node's number, unique in the cluster
    #[arg(long)]
    id: NodeId,
    /// The cluster's name; nodes of another cluster are refused
    #[arg(long, default_value = "isobar")]
    cluster: String,
    /// Where data is kept; made if it is not there
    #[arg(long)]
    data: PathBuf,
    /// Where clients reach this node
    #[arg(long, default_value = "127.0.0.1:7400")]
    http: SocketAddr,
    /// Where other nodes reach it (loopback only in this release)
    #[arg(long, default_value = "127.0.0.1:7500")]
    peer: SocketAddr,
    /// The control voters, the same on every node: 1, 3 or 5 of them
    #[arg(long, value_name = "ID=HOST:PORT", required = true, value_parser = voter)]
    control: Vec<(NodeId, String)>,
    /// Failure domain; the node's own where left out
    #[arg(long)]
    zone: Option<u32>,
    /// What the node says of itself, for the placement rules of keyspaces: `disk=ssd`, `region=eu`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Label>,
    /// Load units per second it can carry (a read weighs 1, a write 2 on its leader and 1 on each follower)
    #[arg(long, default_value_t = 10_000.0)]
    capacity: f32,
    /// Bytes it can store
    #[arg(long, default_value_t = 100 << 30)]
    capacity_bytes: u64,
    /// What else it can give, for placers and for the host's rule `resource-headroom`: `cpu-millicores=8000`, `network-bytes=1e9` a second,
    /// `storage-iops`, `memory-bytes`, `read-ops`, `write-ops`, `read-bytes` or `write-bytes`; may be given several times. What is not declared has
    /// no limit
    #[arg(long, value_name = "METRIC=AMOUNT")]
    resource: Vec<DeclaredCapacity>,
    #[command(flatten)]
    beginning: Beginning,
}

/// How a cluster begins; counts when it is formed, by the first control voter.
#[derive(Debug, Args)]
struct Beginning {
    /// Beat of the control loop, milliseconds
    #[arg(long, default_value_t = Settings::default().tick_ms)]
    tick_ms: u32,
    /// Length of one forecast value, milliseconds; a multiple of the tick
    #[arg(long, default_value_t = Settings::default().step_ms)]
    step_ms: u32,
    /// The forecaster that a new cluster begins with: a policy that comes with Isobar, or `none` for the built-in one alone. Counts when the
    /// cluster is formed, by the first control voter; from then on `isobar policy bind` does
    #[arg(long, value_name = "POLICY", default_value = "best", value_parser = forecaster)]
    default_forecaster: DefaultForecaster,
}

impl Beginning {
    fn settings(&self) -> Settings {
        Settings { tick_ms: self.tick_ms, step_ms: self.step_ms, ..Settings::default() }
    }
}

fn voter(text: &str) -> Result<(NodeId, String), String> {
    let (id, addr) =
        text.split_once('=').ok_or("write a control voter as ID=HOST:PORT, for example 1=127.0.0.1:7501")?;
    let id = id.parse().map_err(|_| format!("{id:?} is no node number"))?;
    Ok((id, addr.to_owned()))
}

/// The name of a forecaster that comes with the binary; none: the native one.
#[derive(Clone, Debug)]
struct DefaultForecaster(Option<String>);

fn forecaster(text: &str) -> Result<DefaultForecaster, String> {
    let forecasters = isobar_bundle::first_party().iter().filter(|policy| policy.role == Role::Forecast);
    let names: Vec<&str> = forecasters.map(|policy| policy.name).collect();
    match text {
        "none" => Ok(DefaultForecaster(None)),
        name if names.contains(&name) => Ok(DefaultForecaster(Some(name.to_owned()))),
        _ => Err(format!("no forecaster of this name comes with Isobar: choose {} or none", names.join(", "))),
    }
}

/// An embedded cluster.
#[derive(Debug, Args)]
#[command(
    after_help = "Then, in another terminal:\n  isobar keyspace create notes --shards 8\n  isobar kv put notes hello world\n  isobar kv get notes hello\n  isobar node list"
)]
pub(crate) struct DevArgs {
    /// Nodes
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Where data is kept
    #[arg(long, default_value = "target/dev")]
    data: PathBuf,
    /// Port of the first node's API, the others' following
    #[arg(long, default_value_t = 7400)]
    port: u16,
    /// Load units per second each node can carry
    #[arg(long, default_value_t = 10_000.0)]
    capacity: f32,
    /// What else each node can give, as for `isobar serve`. The nodes share one process, so that only what requests ask for is told apart:
    /// `read-ops`, `write-ops`, `read-bytes`, `write-bytes`
    #[arg(long, value_name = "METRIC=AMOUNT")]
    resource: Vec<DeclaredCapacity>,
    #[command(flatten)]
    beginning: Beginning,
}

fn capacities(declared: &[DeclaredCapacity]) -> anyhow::Result<Capacities> {
    let capacities: Capacities = declared.iter().map(|of| (of.metric, of.amount)).collect();
    ensure!(capacities.len() == declared.len(), "a metric is declared twice with --resource: declare each once");
    Ok(capacities)
}

/// Most nodes of an embedded cluster: what one machine's memory and cores can be asked for.
const MAX_EMBEDDED: usize = 32;

/// Runs one node until it is told to stop. Clients must send `token` where there is one; needed to serve other machines.
pub(crate) async fn serve(args: ServeArgs, token: Option<String>) -> anyhow::Result<()> {
    let control: BTreeMap<NodeId, String> = args.control.iter().cloned().collect();
    ensure!(control.len() == args.control.len(), "a control voter is named twice with --control: name each once");
    let config = NodeConfig {
        cluster: args.cluster,
        id: args.id,
        zone: ZoneId(args.zone.unwrap_or(u32::try_from(args.id.0).unwrap_or(u32::MAX))),
        labels: args.label.into_iter().collect(),
        data: args.data,
        http: args.http,
        peer: args.peer,
        capacity: args.capacity,
        capacity_bytes: args.capacity_bytes,
        capacities: capacities(&args.resource)?,
        control,
        token,
        settings: args.beginning.settings(),
        default_forecaster: args.beginning.default_forecaster.0,
        default_mode: Mode::Advise,
        seed: 0,
    };
    let bound = Bound::new(&config).await?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let policies = policy_host(&config.data.join("compiled"))?;
    let node = RunningNode::start(config, bound, clock, policies).await?;
    println!("node {} serves http://{} (peers: {})", node.id, node.http, node.peer);
    told_to_stop().await?;
    println!("stopping: leaderships are handed over first");
    node.stop().await;
    Ok(())
}

/// Runs an embedded cluster until it is told to stop.
pub(crate) async fn dev(args: DevArgs) -> anyhow::Result<()> {
    ensure!((1..=MAX_EMBEDDED).contains(&args.nodes), "--nodes must be from 1 to {MAX_EMBEDDED}, not {}", args.nodes);
    let spec = EmbeddedSpec {
        cluster: "dev".into(),
        nodes: args.nodes,
        data: args.data.clone(),
        first_port: Some(args.port),
        capacity: args.capacity,
        capacities: capacities(&args.resource)?,
        settings: args.beginning.settings(),
        default_forecaster: args.beginning.default_forecaster.0,
        seed: 0,
    };
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let policies = policy_host(&args.data.join("compiled"))?;
    let cluster = Embedded::start(&spec, &clock, &policies).await?;
    println!("{} nodes, data in {}:", args.nodes, args.data.display());
    for node in &cluster.nodes {
        println!("  node {} serves http://{}", node.id, node.http);
    }
    println!(
        "try: isobar keyspace create notes --partitioning hash --shards 8 --replication-factor {}",
        if args.nodes >= 3 { 3 } else { 1 }
    );
    println!("stop with Ctrl-C");
    told_to_stop().await?;
    println!("stopping");
    cluster.stop().await;
    Ok(())
}

/// Waits for Ctrl-C or a polite kill.
pub(crate) async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("can't listen for signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("can't listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
