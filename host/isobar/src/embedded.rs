//! Several nodes in one process, each with its own directory and ports: what `isobar dev` and `isobar demo` run.

use crate::node::config::NodeConfig;
use crate::node::{Bound, RunningNode};
use anyhow::Context as _;
use isobar_control::Settings;
use isobar_model::{Capacities, Mode, NodeId, ZoneId};
use isobar_policy::{Compiler, Limits, WasmHost, WasmHostConfig};
use isobar_ports::{Clock, PolicyHost};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an embedded cluster is made of.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedSpec {
    /// Its name.
    pub(crate) cluster: String,
    /// Nodes.
    pub(crate) nodes: usize,
    /// Each node's directory is made below it.
    pub(crate) data: PathBuf,
    /// Port of the first node's API, the others' following; none: any free ones.
    pub(crate) first_port: Option<u16>,
    /// Load units per second that each node carries.
    pub(crate) capacity: f32,
    /// What else each can give.
    pub(crate) capacities: Capacities,
    /// How the cluster begins.
    pub(crate) settings: Settings,
    /// The forecaster that the cluster begins with; none: the native one.
    pub(crate) default_forecaster: Option<String>,
    /// Seeds every policy's chance.
    pub(crate) seed: u64,
}

/// Nodes at work in this process.
pub(crate) struct Embedded {
    pub(crate) nodes: Vec<RunningNode>,
}

/// Bytes that each embedded node declares to have room for.
const CAPACITY_BYTES: u64 = 8 << 30;

impl Embedded {
    /// Starts all nodes; returns once they are up, not necessarily joined.
    pub(crate) async fn start(
        spec: &EmbeddedSpec,
        clock: &Arc<dyn Clock>,
        policies: &Arc<dyn PolicyHost>,
    ) -> anyhow::Result<Self> {
        let voters = if spec.nodes >= 3 { 3 } else { 1 };
        let mut configs: Vec<NodeConfig> = (1..=spec.nodes as u64)
            .map(|id| {
                let port = match spec.first_port {
                    Some(first) => first
                        .checked_add(id as u16 - 1)
                        .context("the ports would go beyond 65535: choose a lower --port")?,
                    None => 0,
                };
                Ok(NodeConfig {
                    cluster: spec.cluster.clone(),
                    id: NodeId(id),
                    zone: ZoneId(u32::try_from(id)?),
                    labels: BTreeSet::new(),
                    data: spec.data.join(format!("node-{id}")),
                    http: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                    peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                    capacity: spec.capacity,
                    capacity_bytes: CAPACITY_BYTES,
                    capacities: spec.capacities.clone(),
                    control: (1..=voters).map(|voter| (NodeId(voter), String::new())).collect(),
                    token: None,
                    settings: spec.settings,
                    default_forecaster: spec.default_forecaster.clone(),
                    default_mode: Mode::Auto,
                    seed: spec.seed,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let mut ports = Vec::new();
        for config in &configs {
            ports.push(Bound::new(config).await?);
        }
        let control: BTreeMap<NodeId, String> = configs
            .iter()
            .zip(&ports)
            .filter(|(config, _)| config.control.contains_key(&config.id))
            .map(|(config, bound)| (config.id, bound.peers.local_addr().to_string()))
            .collect();
        let mut nodes = Vec::new();
        for (config, bound) in configs.iter_mut().zip(ports) {
            config.control.clone_from(&control);
            nodes.push(RunningNode::start(config.clone(), bound, Arc::clone(clock), Arc::clone(policies)).await?);
        }
        Ok(Self { nodes })
    }

    /// Where clients reach the nodes.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("http://{}", node.http)).collect()
    }

    /// Stops all nodes.
    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

/// The policy host of this process: artifacts are compiled by a child process of our own, with limits of its own.
pub(crate) fn policy_host(cache_dir: &Path) -> anyhow::Result<Arc<dyn PolicyHost>> {
    let program = std::env::current_exe().context("can't find this program's own file, which compiles policies")?;
    let host = WasmHost::new(WasmHostConfig {
        cache_dir: cache_dir.to_owned(),
        compiler: Compiler::Child { program, args: vec!["compile-policy".into()] },
        limits: Limits::default(),
        builtin_forecaster: Box::new(isobar_bundle::builtin_forecaster),
        builtin_placer: Box::new(isobar_bundle::builtin_placer),
    })?;
    Ok(Arc::new(host))
}
