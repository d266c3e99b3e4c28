//! `isobar node`.

use super::output::{Output, Table, bytes, load, or_dash, word};
use crate::client::Client;
use clap::Subcommand;
use isobar_api::NodeInfo;
use isobar_model::NodeId;
use std::time::Duration;

/// How often a drain is looked at.
const POLL: Duration = Duration::from_millis(500);

/// A command about nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum NodeCommand {
    /// List nodes
    List,
    /// Empty a node: it takes no new replicas, and the loop moves away what it has
    #[command(after_help = "Examples:\n  isobar node drain 3\n  isobar node drain 3 --wait")]
    Drain {
        /// Its number
        id: NodeId,
        /// Wait until it holds no replica
        #[arg(long)]
        wait: bool,
    },
    /// Let a node take replicas again
    Undrain {
        /// Its number
        id: NodeId,
    },
}

impl NodeCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let node = match self {
            Self::List => {
                let nodes = client.nodes().await?;
                return output.show(&nodes, |out| table(&nodes).write(out));
            }
            Self::Undrain { id } => client.set_draining(id, false).await?,
            Self::Drain { id, wait } => {
                let mut node = client.set_draining(id, true).await?;
                let all = node.replicas;
                // Without an end of its own, as a drain takes as long as its data; whoever waits can stop at any time.
                while wait && node.replicas > 0 {
                    output.progress(&format!("node {id}: {} of {all} replicas left ...", node.replicas));
                    tokio::time::sleep(POLL).await;
                    node = client.node(id).await?;
                }
                output.progress_done();
                node
            }
        };
        output.show(&node, |out| table(std::slice::from_ref(&node)).write(out))
    }
}

fn table(nodes: &[NodeInfo]) -> Table {
    let mut table =
        Table::new(&["node", "zone", "state", "load", "capacity", "used %", "leaders", "replicas", "stored", "http"]);
    for n in nodes {
        table.row([
            n.id.to_string(),
            n.zone.to_string(),
            word(&n.state),
            load(n.load),
            load(Some(n.capacity)),
            or_dash(n.load.filter(|_| n.capacity > 0.0).map(|load| format!("{:.0}", 100.0 * load / n.capacity))),
            n.leaders.to_string(),
            n.replicas.to_string(),
            bytes(n.used_bytes),
            n.http_addr.clone(),
        ]);
    }
    table
}
