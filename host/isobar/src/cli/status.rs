//! `isobar status`, `isobar halt` and `isobar resume`.

use super::output::{Output, instant, or_dash};
use crate::client::Client;

pub(super) async fn show(client: &Client, output: &Output) -> anyhow::Result<()> {
    let s = client.status().await?;
    output.show(&s, |out| {
        writeln!(out, "cluster     {} (node {} answers, version {})", s.cluster, s.node, s.version)?;
        writeln!(out, "control     leader {}, term {}", or_dash(s.control_leader), s.control_term)?;
        writeln!(out, "clock       {}, tick {}", instant(s.now), s.tick)?;
        writeln!(out, "moves       {}", if s.halted { "HALTED (let go on with `isobar resume`)" } else { "go on" })?;
        let n = s.nodes;
        writeln!(out, "nodes       {} up, {} draining, {} suspect, {} down", n.up, n.draining, n.suspect, n.down)?;
        writeln!(out, "keyspaces   {}", s.keyspaces)?;
        writeln!(out, "shards      {}, {} without a leader", s.shards, s.leaderless)?;
        writeln!(out, "migrations  {} in flight", s.migrations)?;
        writeln!(out, "routes      version {}", s.route_version)
    })
}

pub(super) async fn set_halted(client: &Client, output: &Output, halted: bool) -> anyhow::Result<()> {
    let halt = client.set_halted(halted).await?;
    output.show(&halt, |out| {
        let text = if halt.halted { "all automatic moves are halted" } else { "automatic moves go on" };
        writeln!(out, "{text}")
    })
}
