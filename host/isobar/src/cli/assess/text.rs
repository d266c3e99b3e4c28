//! The report on a terminal.

use super::super::output::Table;
use super::Report;
use isobar_sim::{Arm, Cell, Interval, Pays};
use std::io::{self, Write};

pub(super) fn write(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    if let Some(findings) = report.findings {
        writeln!(out, "{}", findings.verdict.sentence)?;
        findings.verdict.advice.iter().try_for_each(|advice| writeln!(out, "{advice}"))?;
        writeln!(
            out,
            "\nOverload in node-seconds, median of {} starts; in brackets 95 of 100 resampled figures:\n",
            findings.starts
        )?;
        let mut table = Table::new(&[
            "headroom",
            "lead",
            "static",
            "packed",
            "reactive",
            "predictive",
            "clairvoyant",
            "gain %",
            "skill %",
            "moves",
            "reactive's",
            "pays",
        ]);
        for cell in &findings.cells {
            let overload = |arm| cell.arm(arm).map_or(f64::NAN, |figures| figures.overload_node_s.mid);
            let moves = |arm| format!("{:.0}", cell.arm(arm).map_or(f64::NAN, |figures| figures.moves.mid));
            table.row([
                cell.headroom.to_string(),
                cell.lead_steps.to_string(),
                format!("{:.0}", overload(Arm::Static)),
                format!("{:.0}", overload(Arm::Packed)),
                format!("{:.0}", overload(Arm::Reactive)),
                format!("{:.0}", overload(Arm::Predictive)),
                format!("{:.0}", overload(Arm::Clairvoyant)),
                within(cell.gain_pct),
                skill(cell),
                moves(Arm::Predictive),
                moves(Arm::Reactive),
                pays(cell.pays).to_owned(),
            ]);
        }
        table.write(out)?;
    }
    writeln!(out)?;
    report.remarks.iter().try_for_each(|remark| writeln!(out, "{remark}"))
}

/// `34 (21 to 41)`
pub(super) fn within(interval: Interval) -> String {
    let whole = |value: f64| if value.is_finite() { format!("{:.0}", value.round() + 0.0) } else { "-".to_owned() };
    format!("{} ({} to {})", whole(interval.mid), whole(interval.low), whole(interval.high))
}

pub(super) fn skill(cell: &Cell) -> String {
    cell.skill_pct.map_or_else(|| "-".to_owned(), within)
}

pub(super) fn pays(pays: Pays) -> &'static str {
    match pays {
        Pays::NoOverload => "no overload",
        Pays::NothingToGain => "nothing to gain",
        Pays::Yes => "yes",
        Pays::Unclear => "unclear",
        Pays::No => "no",
    }
}
