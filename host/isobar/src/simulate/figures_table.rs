//! The report on a terminal.

use super::report::{Report, Run, Summary};
use crate::cli::{Table, bytes, or_dash};
use std::io::{self, Write};

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let facts = &report.facts;
    writeln!(
        out,
        "{}: {} days, {} nodes of {:.0} load units/s, {} tenants in {} shards of {} replicas; {} seeds; forecaster {}{}",
        report.scenario,
        facts.days,
        facts.nodes,
        facts.node_capacity,
        facts.tenants,
        facts.shards,
        facts.replication_factor,
        report.seeds.len(),
        report.forecaster,
        if report.sandboxed { ", in the sandbox" } else { "" }
    )?;
    if !facts.about.is_empty() {
        writeln!(out, "{}", facts.about)?;
    }
    writeln!(out)?;
    arms(report).write(out)?;
    if facts.outages > 0 {
        writeln!(out, "\nWhat the host did where nodes were away:")?;
        outages(report).write(out)?;
    }
    for run in report.runs.iter().filter(|run| run.policy_failures > 0) {
        let (failures, first) = (run.policy_failures, run.first_failure.as_deref().unwrap_or_default());
        writeln!(
            out,
            "\n{}, seed {}: its policies failed {failures} times, the first time: {first}",
            run.arm, run.seed
        )?;
    }
    Ok(())
}

/// A table's texts: for a terminal, and for a page.
pub(super) struct Cells {
    pub(super) header: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Cells {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(self.header);
        self.rows.iter().for_each(|row| table.push(row.clone()));
        table.write(out)
    }
}

/// The figures by which arms are compared.
pub(super) fn arms(report: &Report) -> Cells {
    let row = |arm: &Summary| {
        vec![
            arm.arm.clone(),
            format!("{:.0}", arm.overload_node_s),
            or_dash(arm.skill_pct.map(|skill| format!("{skill:.0}"))),
            count(arm.leader_transfers),
            count(arm.data_moves),
            bytes(arm.moved_bytes as u64),
            count(arm.thrash),
            latency(arm.p50_ms),
            latency(arm.p99_ms),
            format!("{:.3}", 100.0 * arm.timed_out_share),
            format!("{:.0}", arm.node_hours),
        ]
    };
    let header = &[
        "arm",
        "overload node-s",
        "skill %",
        "leader moves",
        "data moves",
        "moved",
        "thrash",
        "p50 ms",
        "p99 ms",
        "timed out %",
        "node-h",
    ];
    Cells { header, rows: report.arms.iter().map(row).collect() }
}

/// What came of nodes that were away.
pub(super) fn outages(report: &Report) -> Cells {
    let row = |arm: &Summary| {
        vec![
            arm.arm.clone(),
            count(arm.failovers),
            format!("{:.3}", 100.0 * arm.unserved_share),
            count(arm.missing_replica_hours),
            count(arm.missing_replicas_at_end),
            count(arm.refused_moves),
            rules(report, arm),
        ]
    };
    let header = &[
        "arm",
        "leaders failed over",
        "requests unserved %",
        "replica-hours missing",
        "missing at the end",
        "moves refused",
        "by rule",
    ];
    Cells { header, rows: report.arms.iter().map(row).collect() }
}

/// The rules that refused most, over all seeds.
fn rules(report: &Report, arm: &Summary) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for Run { refused, .. } in report.runs.iter().filter(|run| run.arm == arm.arm) {
        for (rule, more) in refused {
            *counts.entry(*rule).or_insert(0_u64) += more;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = |(rule, count): &(isobar_model::Rule, u64)| format!("{} {count}", crate::cli::word(rule));
    let all: Vec<String> = counts.iter().take(3).map(named).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// A whole number where it is one: means over seeds need not be.
fn count(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn latency(ms: Option<f64>) -> String {
    or_dash(ms.map(|ms| if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }))
}
