//! Figures of a node, for monitoring.

use super::NodeBackend;
use crate::node::usage_report::{archive_figures, usage_figures};
use isobar_analyzer::Archive;
use isobar_api::backend::{Figure, FigureKind};
use isobar_control::JudgedAs;
use isobar_model::Rule;
use std::collections::BTreeMap;

impl NodeBackend {
    pub(super) fn node_figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            gauge("route_version", "Version of the route table in force", self.directory.map().version.0 as f64),
            gauge("replicas", "Replicas that live on this node", self.shards.samples().len() as f64),
            gauge("leaderships", "Shards led from this node", self.shards.leaderships().len() as f64),
        ];
        figures.extend(usage_figures(&self.samples.usage()));
        if let Some(controller) = self.controller.read().clone() {
            figures.extend(archive_figures(&controller.with_archive(Archive::status)));
            figures.push(judged_moves(&controller.verdicts()));
            figures.extend(controller.gain_figures());
        }
        let leads = self.controller.read().is_some();
        figures.push(gauge("control_leads", "1 where this node leads the control group", f64::from(u8::from(leads))));
        if let Some(group) = &self.control.group {
            let (tick, totals, live) =
                group.read(|state| (state.tick(), state.migration_totals(), state.live_migrations().len()));
            figures.push(counter("control_ticks", "Ticks of the control loop", tick as f64));
            figures.push(gauge("migrations_live", "Migrations in flight", live as f64));
            figures.push(counter("replicas_moved", "Replicas moved", totals.replicas_moved as f64));
            figures.push(counter("leader_transfers", "Leaderships moved", totals.leader_transfers as f64));
            figures.push(counter("migrations_aborted", "Migrations given up", totals.aborted as f64));
            figures.push(counter("bytes_moved", "Bytes of replicas moved", totals.bytes_moved as f64));
        }
        figures
    }
}

/// Moves by verdict, and by the rule that held or refused them.
fn judged_moves(verdicts: &BTreeMap<JudgedAs, u64>) -> Figure {
    let name = |rule: &Rule| serde_json::to_value(rule).ok().and_then(|name| name.as_str().map(str::to_owned));
    let labels = |judged_as: &JudgedAs| {
        let (verdict, rule) = match judged_as {
            JudgedAs::Accepted => ("accepted", None),
            JudgedAs::Held(rule) => ("held", name(rule)),
            JudgedAs::Refused(rule) => ("refused", name(rule)),
        };
        vec![("verdict", verdict.to_owned()), ("rule", rule.unwrap_or_default())]
    };
    Figure {
        name: "judged_moves",
        help: "Moves that policies, operators' releases and drains proposed since this node leads, by verdict and rule",
        kind: FigureKind::Counter,
        samples: verdicts.iter().map(|(judged_as, count)| (labels(judged_as), *count as f64)).collect(),
    }
}

pub(in crate::node) fn gauge(name: &'static str, help: &'static str, value: f64) -> Figure {
    Figure { name, help, kind: FigureKind::Gauge, samples: vec![(Vec::new(), value)] }
}

pub(in crate::node) fn counter(name: &'static str, help: &'static str, value: f64) -> Figure {
    Figure { name, help, kind: FigureKind::Counter, samples: vec![(Vec::new(), value)] }
}
