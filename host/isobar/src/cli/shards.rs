//! `isobar shard`.

use super::migrations;
use super::output::{Output, Table, bytes, load, or_dash};
use super::shard_profile;
use crate::client::Client;
use anyhow::ensure;
use clap::Subcommand;
use isobar_api::{ShardInfo, ShardPage, ShardQuery};
use isobar_model::{NodeId, ShardId};

/// A command about shards.
#[derive(Subcommand, Clone, Debug)]
pub enum ShardCommand {
    /// List shards
    #[command(after_help = "Examples:\n  isobar shard list\n  isobar shard list --keyspace tenants --node 3")]
    List {
        /// Only those of this keyspace
        #[arg(long)]
        keyspace: Option<String>,
        /// Only those with a replica on this node
        #[arg(long)]
        node: Option<u64>,
    },
    /// Show a shard, with its group
    Show {
        /// Its number
        id: ShardId,
    },
    /// Show what a shard's requests are like: operations, latency, hot keys, where to split it
    #[command(after_help = "Example:\n  isobar shard profile 7")]
    Profile {
        /// Its number
        id: ShardId,
    },
    /// Compare a shard's replicas by digest; ends with an error where they differ
    Verify {
        /// Its number
        id: ShardId,
    },
    /// Move a replica from one node to another
    #[command(after_help = "Example:\n  isobar shard move 7 --from 3 --to 5 --wait")]
    Move {
        /// Its number
        id: ShardId,
        /// The node that holds the replica
        #[arg(long, value_name = "NODE")]
        from: NodeId,
        /// The node that shall hold it
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// Wait until it is done
        #[arg(long)]
        wait: bool,
    },
    /// Give a shard's leadership to another of its replicas
    #[command(after_help = "Example:\n  isobar shard transfer-leader 7 --to 5 --wait")]
    TransferLeader {
        /// Its number
        id: ShardId,
        /// A node that holds a replica
        #[arg(long, value_name = "NODE")]
        to: NodeId,
        /// Wait until it is done
        #[arg(long)]
        wait: bool,
    },
}

impl ShardCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List { keyspace, node } => {
                let shards = all(client, ShardQuery { keyspace, node, ..ShardQuery::default() }).await?;
                output.show(&shards, |out| table(&shards).write(out))
            }
            Self::Show { id } => show(client, output, id).await,
            Self::Profile { id } => shard_profile::show(client, output, id).await,
            Self::Verify { id } => verify(client, output, id).await,
            Self::Move { id, from, to, wait } => {
                let begun = client.move_shard(id, from, to).await?;
                migrations::begun(client, output, begun, wait).await
            }
            Self::TransferLeader { id, to, wait } => {
                let begun = client.transfer_leader(id, to).await?;
                migrations::begun(client, output, begun, wait).await
            }
        }
    }
}

async fn all(client: &Client, mut query: ShardQuery) -> anyhow::Result<Vec<ShardInfo>> {
    let mut shards = Vec::new();
    loop {
        let ShardPage { shards: page, next } = client.shards(&query).await?;
        shards.extend(page);
        match next {
            Some(next) => query.after = Some(next.0),
            None => return Ok(shards),
        }
    }
}

/// Nodes of the replicas, the leader with a star.
fn replicas(shard: &ShardInfo) -> String {
    let star = |node| if Some(node) == shard.leader { format!("{node}*") } else { node.to_string() };
    shard.replicas.iter().map(|r| star(r.node)).collect::<Vec<_>>().join(" ")
}

fn table(shards: &[ShardInfo]) -> Table {
    let mut table = Table::new(&["shard", "keyspace", "from key", "to key", "load", "replicas (*leads)", "stored"]);
    for s in shards {
        table.row([
            s.id.to_string(),
            s.keyspace.clone(),
            s.start.clone(),
            s.end.clone().unwrap_or_else(|| "(end)".into()),
            load(s.leader_load),
            replicas(s),
            or_dash(s.bytes.map(bytes)),
        ]);
    }
    table
}

async fn show(client: &Client, output: &Output, id: ShardId) -> anyhow::Result<()> {
    let detail = client.shard(id).await?;
    output.show(&detail, |out| {
        table(std::slice::from_ref(&detail.shard)).write(out)?;
        match &detail.group {
            None => writeln!(out, "\nnobody in the shard's group answered")?,
            Some(group) => {
                let list = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                writeln!(
                    out,
                    "\nterm {}, applied {}, voters {}, learners {}{}",
                    group.term,
                    group.applied,
                    list(&group.voters),
                    if group.learners.is_empty() { "none".into() } else { list(&group.learners) },
                    if group.joint { ", membership is changing" } else { "" }
                )?;
            }
        }
        Ok(())
    })
}

async fn verify(client: &Client, output: &Output, id: ShardId) -> anyhow::Result<()> {
    let verification = client.verify_shard(id).await?;
    output.show(&verification, |out| {
        let mut table = Table::new(&["node", "verified at", "rows", "digest"]);
        for d in &verification.digests {
            table.row([d.node.to_string(), d.index.to_string(), d.rows.to_string(), d.digest.clone()]);
        }
        table.write(out)
    })?;
    ensure!(verification.equal, "the replicas of shard {id} differ");
    ensure!(
        verification.missing.is_empty(),
        "not all replicas of shard {id} answered: ask again, or see `isobar node list`"
    );
    Ok(())
}
