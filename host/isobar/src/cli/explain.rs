//! `isobar explain`.

use super::output::{Output, Table, instant, load, or_dash, word};
use crate::client::Client;
use clap::Subcommand;
use isobar_api::{JudgedMove, NodeExplainInfo, OutlookInfo, ProposedInfo, ShardExplainInfo};
use isobar_model::{NodeId, ShardId};
use std::io::{self, Write};

/// What is to be explained.
#[derive(Subcommand, Clone, Debug)]
pub enum Explain {
    /// Why a shard is where it is, what the last plans proposed, and what could be done with it now
    #[command(after_help = "Example:\n  isobar explain shard 7")]
    Shard {
        /// Its number
        id: ShardId,
    },
    /// What a node is about to carry, who puts that on it, and what the last plans did about it
    #[command(after_help = "Example:\n  isobar explain node 3")]
    Node {
        /// Its number
        id: NodeId,
    },
}

impl Explain {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Shard { id } => {
                let told = client.explain_shard(id).await?;
                output.show(&told, |out| shard(&told, out))
            }
            Self::Node { id } => {
                let told = client.explain_node(id).await?;
                output.show(&told, |out| node(&told, out))
            }
        }
    }
}

fn percent(share: f32) -> String {
    format!("{:.0}", 100.0 * share)
}

fn shard(told: &ShardExplainInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", told.summary)?;
    writeln!(
        out,
        "load {} now, {} at its peak at {}\n",
        load(Some(told.load)),
        load(Some(told.peak)),
        instant(told.peak_at)
    )?;
    outlooks(&told.nodes).write(out)?;
    if !told.proposed.is_empty() {
        writeln!(out, "\nin the last {} ticks:", told.ticks)?;
        proposed(&told.proposed).write(out)?;
    }
    if !told.considered.is_empty() {
        writeln!(out, "\nwhat could be done now:")?;
        let mut table = Table::new(&["action", "to", "verdict", "there %", "here %", "why not"]);
        for c in &told.considered {
            table.row([
                c.judged.proposed.action.clone(),
                or_dash(c.judged.proposed.to),
                verdict(&c.judged),
                percent(c.target_peak),
                percent(c.source_peak),
                c.judged.detail.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table.write(out)?;
    }
    if told.left_out > 0 {
        writeln!(out, "and {} more", told.left_out)?;
    }
    Ok(())
}

fn node(told: &NodeExplainInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", told.summary)?;
    outlooks(std::slice::from_ref(&told.outlook)).write(out)?;
    if !told.heaviest.is_empty() {
        writeln!(out, "\nwho puts most on it at its peak:")?;
        let mut table = Table::new(&["shard", "% of its capacity"]);
        told.heaviest.iter().for_each(|part| table.row([part.shard.to_string(), percent(part.share)]));
        table.write(out)?;
    }
    if !told.proposed.is_empty() {
        writeln!(out, "\nin the last {} ticks:", told.ticks)?;
        proposed(&told.proposed).write(out)?;
    }
    Ok(())
}

fn outlooks(of: &[OutlookInfo]) -> Table {
    let mut table = Table::new(&["node", "state", "% now", "% at peak", "peak at", "% feared"]);
    for o in of {
        table.row([
            o.node.to_string(),
            word(&o.state),
            percent(o.now),
            percent(o.peak),
            instant(o.peak_at),
            percent(o.feared),
        ]);
    }
    table
}

fn proposed(of: &[ProposedInfo]) -> Table {
    let mut table = Table::new(&["tick", "shard", "action", "from", "to", "verdict", "why"]);
    for p in of {
        let m = &p.judged.proposed;
        table.row([
            p.tick.to_string(),
            m.shard.to_string(),
            m.action.clone(),
            or_dash(m.from),
            or_dash(m.to),
            verdict(&p.judged),
            p.judged.detail.clone().unwrap_or_else(|| m.reason.clone()),
        ]);
    }
    table
}

fn verdict(judged: &JudgedMove) -> String {
    judged.rule.map_or_else(|| judged.verdict.clone(), |rule| format!("{} by {}", judged.verdict, word(&rule)))
}
