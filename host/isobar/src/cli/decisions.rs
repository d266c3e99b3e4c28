//! `isobar decisions`.

use super::output::{Output, Table, instant, load, or_dash, word};
use crate::client::Client;
use clap::Args;
use isobar_api::{DecisionInfo, DecisionQuery};
use std::io::{self, Write};

/// Which decisions to show.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  isobar decisions --limit 5\n  isobar decisions --tick 4021")]
pub struct Decisions {
    /// Only this tick, in full
    #[arg(long)]
    tick: Option<u64>,
    /// Most ticks
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

impl Decisions {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        if let Some(tick) = self.tick {
            let decision = client.decision(tick).await?;
            return output.show(&decision, |out| full(&decision, out));
        }
        let decisions = client.decisions(&DecisionQuery { before: None, limit: Some(self.limit) }).await?;
        output.show(&decisions, |out| {
            let mut table = Table::new(&["tick", "at", "policies", "accepted", "held", "refused", "failures"]);
            for d in &decisions {
                let count = |verdict: &str| d.moves.iter().filter(|m| m.verdict == verdict).count().to_string();
                table.row([
                    d.tick.to_string(),
                    instant(d.now),
                    d.evaluations.iter().map(|e| e.policy.as_str()).collect::<Vec<_>>().join(", "),
                    count("accepted"),
                    count("held"),
                    count("refused"),
                    d.evaluations.iter().filter(|e| e.failure.is_some()).count().to_string(),
                ]);
            }
            table.write(out)
        })
    }
}

fn full(d: &DecisionInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "tick {} at {}, seed {}\n", d.tick, instant(d.now), d.seed)?;
    let mut evaluations = Table::new(&["role", "policy", "revision", "fuel", "ms", "failure"]);
    for e in &d.evaluations {
        evaluations.row([
            word(&e.role),
            e.policy.clone(),
            or_dash(e.revision.map(|r| r.short())),
            e.fuel.to_string(),
            format!("{:.1}", e.wall_us as f64 / 1000.0),
            or_dash(e.failure.as_ref()),
        ]);
    }
    evaluations.write(out)?;
    writeln!(out)?;
    let mut moves = Table::new(&["shard", "action", "from", "to", "urgency", "gain", "verdict", "why"]);
    for m in &d.moves {
        let p = &m.proposed;
        let verdict = m.rule.map_or_else(|| m.verdict.clone(), |rule| format!("{} by {}", m.verdict, word(&rule)));
        moves.row([
            p.shard.to_string(),
            p.action.clone(),
            or_dash(p.from),
            or_dash(p.to),
            load(p.urgency),
            load(p.gain),
            verdict,
            m.detail.clone().unwrap_or_else(|| p.reason.clone()),
        ]);
    }
    moves.write(out)?;
    d.notes.iter().try_for_each(|note| writeln!(out, "\nnote: {note}"))
}
