//! `isobar gains`.

use super::output::{Output, Table, instant};
use crate::client::Client;
use clap::{Args, ValueEnum};
use isobar_api::{GainsInfo, WorldInfo};
use isobar_model::InstantMs;
use std::io::{self, Write};

/// Whose book, and what is to become of it.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Each step's load is laid on placements that are not there: static (left alone), packed (on recorded load), reactive (moved by what\nis measured). Where moves by forecast are not shown to save more than they cost against the best of them, they stop by themselves (mode auto).\nFigures are node-seconds: load above capacity over capacity, times seconds, summed over nodes; a transfer costs 2, a move of data 6.\n\nExamples:\n  isobar gains\n  isobar gains tenants\n  isobar gains tenants --abstain off\n  isobar gains tenants --reset"
)]
pub struct Gains {
    /// One keyspace [default: all, a line each]
    keyspace: Option<String>,
    /// Whether moves by forecast stop there where they are not shown to pay
    #[arg(long, requires = "keyspace", value_name = "on|off")]
    abstain: Option<Switch>,
    /// Begin its book from nothing; moves by forecast go on until it is known better
    #[arg(long, requires = "keyspace", conflicts_with = "abstain")]
    reset: bool,
}

/// On or off.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// They stop
    On,
    /// They go on
    Off,
}

impl Gains {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let Some(keyspace) = self.keyspace else {
            let books = client.gains().await?;
            return output.show(&books, |out| overview(&books, out));
        };
        if self.reset {
            client.reset_gains(&keyspace).await?;
            return output.show(&serde_json::json!({"keyspace": keyspace, "reset": true}), |out| {
                writeln!(out, "the book of keyspace {keyspace} begins from nothing with the next step")
            });
        }
        if let Some(abstain) = self.abstain {
            let set = client.set_abstain(&keyspace, abstain == Switch::On).await?;
            return output.show(&set, |out| {
                let what =
                    if set.abstain { "stop where they are not shown to pay" } else { "go on whether they pay or not" };
                writeln!(out, "moves by forecast in keyspace {keyspace} {what}")
            });
        }
        let book = client.gains_of(&keyspace).await?;
        output.show(&book, |out| show(&book, out))
    }
}

fn overview(books: &[GainsInfo], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["keyspace", "standing", "abstains", "gain", "at least", "days", "in words"]);
    for book in books {
        let gain = book.gain.as_ref();
        table.row([
            book.keyspace.clone(),
            super::word(&book.standing),
            if book.abstaining { "yes" } else { "no" }.to_owned(),
            super::or_dash(gain.map(|gain| node_s(gain.node_s))),
            super::or_dash(gain.map(|gain| node_s(gain.lower_node_s))),
            format!("{:.1}", book.seen_s / 86_400.0),
            book.summary.clone(),
        ]);
    }
    table.write(out)
}

fn show(book: &GainsInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", book.summary)?;
    if let Some(since) = book.since {
        let until = InstantMs(since.0 + book.block_ms * book.blocks);
        writeln!(out, "{} blocks from {}, {} at the latest:", book.blocks, instant(since), instant(until))?;
        worlds(&book.placements).write(out)?;
        writeln!(out)?;
    }
    if let Some(gain) = &book.gain {
        writeln!(
            out,
            "gain against {}: {} node-seconds, between {} and {} (each with 95 % of confidence)\n",
            gain.against,
            node_s(gain.node_s),
            node_s(gain.lower_node_s),
            node_s(gain.upper_node_s)
        )?;
    }
    writeln!(out, "the block under way; static and packed stand since {}:", instant(book.anchored))?;
    worlds(&book.under_way).write(out)
}

fn worlds(of: &[WorldInfo]) -> Table {
    let mut table = Table::new(&["placement", "overload", "transfers", "data moves", "with moves"]);
    for world in of {
        table.row([
            world.placement.clone(),
            node_s(world.overload_node_s),
            world.leader_transfers.to_string(),
            world.data_moves.to_string(),
            node_s(world.cost_node_s),
        ]);
    }
    table
}

fn node_s(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use isobar_api::{GainInfo, GainStanding};
    use isobar_model::KeyspaceId;

    #[test]
    fn a_book_is_shown_with_what_it_comes_to() {
        let world = |placement: &str, overload_node_s: f64| WorldInfo {
            placement: placement.into(),
            overload_node_s,
            leader_transfers: 3,
            data_moves: 1,
            cost_node_s: overload_node_s + 12.0,
        };
        let mut book = GainsInfo {
            id: KeyspaceId(1),
            keyspace: "tenants".into(),
            summary: String::new(),
            standing: GainStanding::Pays,
            abstain: true,
            abstaining: false,
            live: true,
            anchored: InstantMs(0),
            since: Some(InstantMs(0)),
            blocks: 36,
            least_blocks: 8,
            block_ms: 21_600_000,
            seen_s: 777_600.0,
            placements: vec![world("reactive", 5_000.4), world("predictive", 3_000.0)],
            under_way: vec![world("actual", 1.0)],
            gain: Some(GainInfo {
                against: "reactive".into(),
                node_s: 2_000.4,
                lower_node_s: 700.0,
                upper_node_s: 3_100.0,
                share: Some(0.399),
                lower_share: Some(0.14),
            }),
        };
        book.summarise();
        let mut out = Vec::new();
        show(&book, &mut out).unwrap();
        overview(std::slice::from_ref(&book), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("Prediction removed 40 % (at least 14 %)"), "{text}");
        assert!(text.contains("36 blocks from 1970-01-01 00:00:00, 1970-01-10 00:00:00 at the latest:"), "{text}");
        assert!(text.contains("gain against reactive: 2000 node-seconds, between 700 and 3100"), "{text}");
        let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(lines.contains(&"reactive 5000 3 1 5012".to_owned()), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("tenants pays no 2000 700 9.0 Prediction removed")), "{text}");
    }
}
