//! What the demo came to: a table for people, flat JSON for programs, and what it promised.

use super::replay::Played;
use anyhow::ensure;
use isobar_sim::{ArmReport, Scenario, Timeline, WindowReport, overload, skill_pct};
use serde_json::{Map, Value, json};
use std::ops::Range;
use std::time::Duration;

/// One arm's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ArmFigures {
    pub(crate) overload_node_s: f64,
    pub(crate) data_moves: u64,
    pub(crate) leader_transfers: u64,
}

impl From<&ArmReport> for ArmFigures {
    fn from(arm: &ArmReport) -> Self {
        Self {
            overload_node_s: arm.overload_node_s,
            data_moves: arm.data_moves,
            leader_transfers: arm.leader_transfers,
        }
    }
}

impl ArmFigures {
    fn moves(&self) -> u64 {
        self.data_moves + self.leader_transfers
    }
}

/// Overload in node-seconds and changes of placement, step by step, of all arms in the order of the report: CSV, to be plotted.
pub(crate) fn course(scenario: &Scenario, steps: Range<usize>, timelines: [&Timeline; 5]) -> String {
    let mut csv = String::from("step");
    for arm in ["static", "packed", "reactive", "predictive", "clairvoyant"] {
        csv.push_str(&format!(",{arm}_overload_node_s,{arm}_changes"));
    }
    for step in steps.clone() {
        csv.push_str(&format!("\n{}", step - steps.start));
        for timeline in timelines {
            let overload = overload(scenario, step..step + 1, timeline);
            let changes = timeline.changes().iter().filter(|change| change.at_step.floor() == step as f64).count();
            csv.push_str(&format!(",{overload:.3},{changes}"));
        }
    }
    csv.push('\n');
    csv
}

/// Everything reported.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    arms: Vec<(&'static str, ArmFigures, bool)>,
    planned: Vec<(&'static str, ArmFigures)>,
    flat: Map<String, Value>,
}

impl Report {
    #[expect(clippy::too_many_arguments, reason = "a report gathers what every part of the demo came to")]
    pub(crate) fn new(
        scenario: &Scenario,
        planned: &WindowReport,
        (reactive, reactive_played): (ArmFigures, &Played),
        (predictive, predictive_played, all): (ArmFigures, &Played, &Played),
        migrations: &[Value],
        swaps: &[f64],
        mismatches: u64,
        (drain_replicas, drain_left): (u64, u64),
        forecast_wape: Option<f64>,
        elapsed: Duration,
    ) -> Self {
        let arms = vec![
            ("static", ArmFigures::from(&planned.still), false),
            ("packed", ArmFigures::from(&planned.packed), false),
            ("reactive", reactive, true),
            ("predictive", predictive, true),
            ("clairvoyant", ArmFigures::from(&planned.clairvoyant), false),
        ];
        let alone = vec![
            ("reactive", ArmFigures::from(&planned.reactive)),
            ("predictive", ArmFigures::from(&planned.predictive)),
        ];
        let mut latency = reactive_played.traffic.latency_us.clone();
        // Same bounds and precision, so adding can't fail.
        let _ = latency.add(&all.traffic.latency_us);
        let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
        let traffic = [&reactive_played.traffic, &all.traffic];
        let sum = |of: fn(&super::traffic::TrafficReport) -> u64| traffic.iter().map(|t| of(t)).sum::<u64>();
        let done = |kind: &str| migrations.iter().filter(|m| m["kind"] == kind && m["stage"] == "done").count() as u64;
        let bytes: u64 = migrations
            .iter()
            .filter(|m| m["kind"] == "replica" && m["stage"] == "done")
            .filter_map(|m| m["copied_bytes"].as_u64())
            .sum();
        let overload = |name: &str| arms.iter().find(|a| a.0 == name).map_or(0.0, |a| a.1.overload_node_s);
        let skill = skill_pct(
            [overload("static"), overload("packed"), overload("reactive")],
            overload("predictive"),
            overload("clairvoyant"),
        );
        let mut flat = Map::new();
        let mut put = |name: &str, value: Value| drop(flat.insert(name.to_owned(), value));
        put("failed_ops", json!(sum(|t| t.failed_ops)));
        put("verify_mismatches", json!(mismatches + traffic.iter().map(|t| t.mismatches).sum::<u64>()));
        put("requests", json!(sum(|t| t.requests)));
        put("retries", json!(sum(|t| t.retries)));
        put("p50_ms", json!(ms(0.5)));
        put("p99_ms", json!(ms(0.99)));
        for (name, played) in [("reactive", reactive_played), ("predictive", predictive_played)] {
            let at = |quantile: f64| played.traffic.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
            put(&format!("{name}_p50_ms"), json!(at(0.5)));
            put(&format!("{name}_p99_ms"), json!(at(0.99)));
        }
        put("migrations_completed", json!(done("replica") + reactive.data_moves));
        put("leader_transfers", json!(done("leader") + reactive.leader_transfers));
        put("bytes_moved", json!(bytes));
        put("swaps", json!(swaps.len()));
        put("swap_ms_max", json!(swaps.iter().copied().fold(0.0, f64::max)));
        put("drain_replicas", json!(drain_replicas));
        put("drain_left", json!(drain_left));
        for (name, figures, _) in &arms {
            put(&format!("{name}_overload_node_s"), json!(figures.overload_node_s));
            put(&format!("{name}_moves"), json!(figures.moves()));
        }
        for (name, figures) in &alone {
            put(&format!("planned_{name}_overload_node_s"), json!(figures.overload_node_s));
            put(&format!("planned_{name}_moves"), json!(figures.moves()));
        }
        put("skill_pct", json!(skill));
        put("forecast_wape", json!(forecast_wape));
        put("shards", json!(scenario.shards.len()));
        put("headroom", json!(scenario.spec.headroom));
        put("seed", json!(scenario.spec.seed));
        put("elapsed_s", json!(elapsed.as_secs_f64()));
        Self { arms, planned: alone, flat }
    }

    /// The JSON report.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.flat).unwrap_or_default() + "\n"
    }

    /// The table.
    pub(crate) fn print(&self) {
        println!("\n  {:<12} {:>22} {:>12} {:>18}   ", "arm", "overload (node-s)", "data moves", "leader transfers");
        for (name, figures, live) in &self.arms {
            println!(
                "  {name:<12} {:>22.0} {:>12} {:>18}   {}",
                figures.overload_node_s,
                figures.data_moves,
                figures.leader_transfers,
                if *live { "live, as it happened" } else { "by the planner alone" }
            );
        }
        for (name, figures) in &self.planned {
            println!(
                "  {name:<12} {:>22.0} {:>12} {:>18}   by the planner alone, for comparison",
                figures.overload_node_s, figures.data_moves, figures.leader_transfers
            );
        }
        println!();
        for name in [
            "requests",
            "failed_ops",
            "verify_mismatches",
            "retries",
            "p50_ms",
            "p99_ms",
            "migrations_completed",
            "leader_transfers",
            "bytes_moved",
            "swaps",
            "swap_ms_max",
            "skill_pct",
            "forecast_wape",
            "elapsed_s",
        ] {
            println!("  {name:<22} {}", self.flat.get(name).unwrap_or(&Value::Null));
        }
        println!();
    }

    /// Fails where a promise of the data plane was broken: no figure of prediction is judged here.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for name in ["failed_ops", "verify_mismatches"] {
            let value = self.flat.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
            ensure!(value == 0, "{name} is {value}, and must be 0: the nodes' errors are above");
        }
        Ok(())
    }
}
