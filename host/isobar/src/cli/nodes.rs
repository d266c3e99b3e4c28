//! `isobar node`.

use super::output::{Output, Table, bytes, load, or_dash, word};
use crate::client::Client;
use clap::Subcommand;
use isobar_api::{NodeForecastInfo, NodeInfo, UsageInfo};
use isobar_model::NodeId;
use std::time::Duration;

/// How often a drain is looked at.
const POLL: Duration = Duration::from_millis(500);

/// A command about nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum NodeCommand {
    /// List nodes
    List,
    /// Show what a node's process uses of its machine
    Show {
        /// Its number
        id: NodeId,
    },
    /// Forecast what a node uses, from its shards' forecasts and what load has cost so far
    Forecast {
        /// Its number
        id: NodeId,
    },
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
            Self::Show { id } => {
                let node = client.node(id).await?;
                return output.show(&node, |out| {
                    table(std::slice::from_ref(&node)).write(out)?;
                    writeln!(out)?;
                    usage(node.usage.unwrap_or_default()).write(out)
                });
            }
            Self::Forecast { id } => {
                let forecast = client.node_forecast(id).await?;
                return output.show(&forecast, |out| figures(&forecast).write(out));
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
    let mut table = Table::new(&[
        "node",
        "zone",
        "state",
        "load",
        "capacity",
        "used %",
        "leaders",
        "replicas",
        "stored",
        "cpu m",
        "memory",
        "http",
        "resources",
        "labels",
    ]);
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
            or_dash(n.usage.and_then(|usage| usage.cpu_millicores).map(f32::round)),
            or_dash(n.usage.and_then(|usage| usage.memory_bytes).map(bytes)),
            n.http_addr.clone(),
            resources(n),
            if n.labels.is_empty() { "-".to_owned() } else { n.labels.join(" ") },
        ]);
    }
    table
}

/// What a node declares beside load and bytes.
fn resources(node: &NodeInfo) -> String {
    let told: Vec<String> =
        node.resources.iter().map(|(metric, amount)| format!("{}={amount}", metric.name())).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(" ") }
}

/// What a process uses, beside what it may use at most.
fn usage(usage: UsageInfo) -> Table {
    let mut table = Table::new(&["figure", "now", "at most"]);
    let per_s = |value: Option<f32>| or_dash(value.map(|value| format!("{}/s", bytes(value as u64))));
    let disk_bytes = usage.disk_used_bytes.zip(usage.disk_free_bytes).map(|(used, free)| used + free);
    let dash = || "-".to_owned();
    table.row([
        "CPU, millicores".into(),
        or_dash(usage.cpu_millicores.map(f32::round)),
        or_dash(usage.cpu_limit_millicores),
    ]);
    table.row(["memory".into(), or_dash(usage.memory_bytes.map(bytes)), or_dash(usage.memory_limit_bytes.map(bytes))]);
    table.row(["read and write calls a second".into(), or_dash(usage.storage_iops.map(f32::round)), dash()]);
    table.row(["storage".into(), per_s(usage.storage_bytes_per_s), dash()]);
    table.row(["disk".into(), or_dash(usage.disk_used_bytes.map(bytes)), or_dash(disk_bytes.map(bytes))]);
    table.row(["network".into(), per_s(usage.network_bytes_per_s), dash()]);
    table
}

/// Each figure's costs, its middle path's next step, and the peaks of the middle and the highest path.
fn figures(forecast: &NodeForecastInfo) -> Table {
    let mut table = Table::new(&["figure", "idle", "a unit led", "a unit followed", "next", "peak", "peak, high"]);
    let number = |value: Option<f32>| or_dash(value.map(|value| format!("{value:.2}")));
    let middle = forecast.quantiles.iter().position(|q| *q >= 0.5).unwrap_or(0);
    for figure in &forecast.figures {
        let path = |at: usize| figure.paths.get(at).map_or(&[][..], Vec::as_slice);
        let peak = |at: usize| path(at).iter().copied().flatten().reduce(f32::max);
        table.row([
            word(&figure.metric),
            number(figure.idle),
            number(figure.per_led),
            number(figure.per_followed),
            number(path(middle).first().copied().flatten()),
            number(peak(middle)),
            number(peak(figure.paths.len().saturating_sub(1))),
        ]);
    }
    table
}
