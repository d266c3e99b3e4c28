//! `isobar plan`.

use super::output::{Output, Table, instant, load, or_dash};
use crate::client::Client;
use clap::Subcommand;

/// A command about plans.
#[derive(Subcommand, Clone, Debug)]
pub enum PlanCommand {
    /// List plans that wait for an operator
    List,
    /// Release a plan: its moves are checked once more, and begun
    #[command(after_help = "Example:\n  isobar plan release 4021")]
    Release {
        /// The tick that made it
        tick: u64,
    },
}

impl PlanCommand {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let plans = client.pending_plans().await?;
                output.show(&plans, |out| {
                    let mut table = Table::new(&["tick", "made", "shard", "action", "from", "to", "gain", "reason"]);
                    for plan in &plans {
                        for m in &plan.moves {
                            table.row([
                                plan.tick.to_string(),
                                instant(plan.made),
                                m.shard.to_string(),
                                m.action.clone(),
                                or_dash(m.from),
                                or_dash(m.to),
                                load(m.gain),
                                m.reason.clone(),
                            ]);
                        }
                    }
                    table.write(out)
                })
            }
            Self::Release { tick } => {
                let released = client.release_plan(tick).await?;
                output.show(&released, |out| {
                    let moves = released.moves.len();
                    writeln!(out, "the plan of tick {tick} is released: its {moves} moves begin at the next tick (see `isobar migration list`)")
                })
            }
        }
    }
}
