//! What a node is told at its start.

use isobar_api::check_bind;
use isobar_control::Settings;
use isobar_model::placement_rules::MAX_LABELS;
use isobar_model::resources::check_capacities;
use isobar_model::{Capacities, Label, Mode, NodeId, ZoneId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The configuration of one node.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// The cluster's name; nodes of other clusters are refused.
    pub(crate) cluster: String,
    /// This node.
    pub(crate) id: NodeId,
    /// Its failure domain.
    pub(crate) zone: ZoneId,
    /// What it says of itself, for placement rules.
    pub(crate) labels: BTreeSet<Label>,
    /// Where its data is kept.
    pub(crate) data: PathBuf,
    /// Where clients reach it; port 0: any free one.
    pub(crate) http: SocketAddr,
    /// Where nodes reach it; port 0: any free one.
    pub(crate) peer: SocketAddr,
    /// Load units per second it can carry.
    pub(crate) capacity: f32,
    /// Bytes it can store.
    pub(crate) capacity_bytes: u64,
    /// What else it can give.
    pub(crate) capacities: Capacities,
    /// The control voters and where nodes reach them, the same on every node.
    pub(crate) control: BTreeMap<NodeId, String>,
    /// Token that clients must send.
    pub(crate) token: Option<String>,
    /// How the cluster begins; used once, when it is formed.
    pub(crate) settings: Settings,
    /// The forecaster that the cluster begins with, one that comes with the binary; none: the native one. Used once, when it is formed.
    pub(crate) default_forecaster: Option<String>,
    /// Mode of keyspaces that are created without one.
    pub(crate) default_mode: Mode,
    /// Seeds every policy's chance.
    pub(crate) seed: u64,
}

impl NodeConfig {
    /// Refuses what can't work, with what to do.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.id.0 > 0 && self.id.0 < isobar_model::ids::MAX_ID,
            "a node's id must be from 1 to 2^53 - 1, not {}",
            self.id
        );
        anyhow::ensure!(
            matches!(self.control.len(), 1 | 3 | 5),
            "name 1, 3 or 5 control voters with --control ID=HOST:PORT, not {}: an even number survives no more failures than one fewer",
            self.control.len()
        );
        anyhow::ensure!(
            self.capacity.is_finite() && self.capacity > 0.0,
            "--capacity must be a number of load units per second above 0, not {}",
            self.capacity
        );
        check_capacities(&self.capacities).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            self.labels.len() <= MAX_LABELS,
            "a node has at most {MAX_LABELS} labels, not {}: leave some out",
            self.labels.len()
        );
        check_bind(self.http, self.token.as_deref()).map_err(anyhow::Error::msg)?;
        if !self.peer.ip().is_loopback() {
            anyhow::bail!(
                "the peer port {} can be reached from other machines, and traffic between nodes is neither encrypted nor \
                 authenticated in this release: bind it to 127.0.0.1",
                self.peer
            );
        }
        Ok(())
    }
}
