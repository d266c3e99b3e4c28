//! `isobar what-if`.

use super::output::{Output, Table, bytes, load, or_dash, word};
use crate::client::Client;
use anyhow::Context as _;
use clap::Args;
use isobar_api::{WhatIf, WhatIfInfo};
use isobar_model::{Digest, NodeId};
use std::time::Duration;

/// What is to be supposed.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Nothing is carried out. Load is by the forecasts in force; keyspaces that are not only observed are taken to be in the mode auto.\n\nExamples:\n  isobar what-if --down 7\n  isobar what-if --load tenants=+40%\n  isobar what-if --add-nodes 2 --load tenants=2x\n  isobar what-if --drain 3 --placer 5f3c...\n  isobar what-if --placer builtin"
)]
pub struct Suppose {
    /// Nodes that do not answer any more
    #[arg(long, value_delimiter = ',', value_name = "NODE")]
    down: Vec<NodeId>,
    /// Nodes that are emptied
    #[arg(long, value_delimiter = ',', value_name = "NODE")]
    drain: Vec<NodeId>,
    /// More nodes, each as large as the median one, in zones of their own
    #[arg(long, default_value_t = 0, value_name = "N")]
    add_nodes: u32,
    /// A keyspace's load: `tenants=+40%`, `tenants=-10%`, `tenants=2x`
    #[arg(long, value_delimiter = ',', value_name = "NAME=CHANGE", value_parser = change)]
    load: Vec<(String, f32)>,
    /// Another placer than the one that serves: a revision's digest, or `builtin`
    #[arg(long, value_name = "DIGEST")]
    placer: Option<String>,
    /// The other placer's configuration, JSON
    #[arg(long, value_name = "JSON", requires = "placer")]
    config: Option<String>,
}

/// A keyspace and what its load is to be times.
fn change(text: &str) -> Result<(String, f32), String> {
    let wrong = || format!("{text:?}: write NAME=+40%, NAME=-10% or NAME=2x");
    let (name, change) = text.split_once('=').ok_or_else(wrong)?;
    let factor = match (change.strip_suffix('%'), change.strip_suffix('x')) {
        (Some(percent), _) if percent.starts_with(['+', '-']) => {
            percent.parse::<f32>().ok().map(|percent| 1.0 + percent / 100.0)
        }
        (None, Some(times)) => times.parse::<f32>().ok(),
        (Some(_) | None, _) => None,
    };
    match factor.filter(|factor| factor.is_finite() && *factor >= 0.0) {
        Some(factor) if !name.is_empty() => Ok((name.to_owned(), factor)),
        Some(_) | None => Err(wrong()),
    }
}

impl Suppose {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let placer = match self.placer.as_deref() {
            None => None,
            Some("builtin") => Some(None),
            Some(text) => {
                let digest: Digest = text.parse().ok().context(
                    "a placer is named by its revision's digest (see `isobar policy list`), or is `builtin`",
                )?;
                Some(Some(digest))
            }
        };
        let config = self.config.as_deref().map_or_else(|| Ok(Default::default()), serde_json::from_str);
        let asked = WhatIf {
            nodes_down: self.down,
            nodes_draining: self.drain,
            nodes_added: self.add_nodes,
            load: self.load.into_iter().collect(),
            placer,
            config: config.context("--config is to be a JSON object")?,
        };
        let found = client.what_if(&asked).await?;
        output.show(&found, |out| {
            writeln!(out, "{}", summary(&found))?;
            writeln!(out)?;
            nodes(&found).write(out)?;
            if !found.moves.is_empty() {
                writeln!(out)?;
                moves(&found).write(out)?;
            }
            if let Some(first) = found.refused.first() {
                let why = first.detail.clone().unwrap_or_default();
                writeln!(out, "\n{} moves were refused, the first: {why}", found.refused.len())?;
            }
            for note in &found.notes {
                writeln!(out, "note: {note}")?;
            }
            Ok(())
        })
    }
}

/// One sentence for people.
fn summary(found: &WhatIfInfo) -> String {
    let highest = |load: fn(&isobar_api::WhatIfNode) -> f32| {
        let node = found.nodes.iter().max_by(|a, b| load(a).total_cmp(&load(b)));
        node.map_or_else(|| "no node".to_owned(), |node| format!("node {} at {:.0} %", node.node, 100.0 * load(node)))
    };
    let before = highest(|node| node.unmoved);
    if found.moves.is_empty() {
        return format!("{} would move nothing; the highest peak is that of {before}", found.policy);
    }
    let more = if found.cut { ", and more after that" } else { "" };
    format!(
        "{} would hand over {} leaderships and move {} replicas ({}) in about {}{more}; the highest peak: {before} if nothing moved, {} then",
        found.policy,
        found.leader_transfers,
        found.data_moves,
        bytes(found.bytes),
        humantime_of(found.takes_ms),
        highest(|node| node.planned)
    )
}

fn humantime_of(ms: u64) -> String {
    let seconds = Duration::from_millis(ms).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}

fn nodes(found: &WhatIfInfo) -> Table {
    let mut table = Table::new(&["node", "state", "peak % now", "supposed", "planned", "feared"]);
    let percent = |share: f32| format!("{:.0}", 100.0 * share);
    for n in &found.nodes {
        table.row([
            if n.added { format!("{} (new)", n.node) } else { n.node.to_string() },
            word(&n.state),
            or_dash(n.as_it_is.map(percent)),
            percent(n.unmoved),
            percent(n.planned),
            percent(n.feared),
        ]);
    }
    table
}

fn moves(found: &WhatIfInfo) -> Table {
    let mut table = Table::new(&["shard", "action", "from", "to", "gain", "reason"]);
    for m in found.moves.iter().map(|judged| &judged.proposed) {
        table.row([
            m.shard.to_string(),
            m.action.clone(),
            or_dash(m.from),
            or_dash(m.to),
            load(m.gain),
            m.reason.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_load_are_read() {
        assert_eq!(change("tenants=+40%"), Ok(("tenants".into(), 1.4)));
        assert_eq!(change("tenants=-10%"), Ok(("tenants".into(), 0.9)));
        assert_eq!(change("t=2.5x"), Ok(("t".into(), 2.5)));
        for bad in ["tenants", "tenants=40", "tenants=40%", "=2x", "t=-2x", "t=x", "t=+%", "t=-200%", "t=infx"] {
            assert!(change(bad).unwrap_err().contains("NAME=+40%"), "{bad}");
        }
    }
}
