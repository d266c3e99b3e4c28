//! What a run came to, flat, as it is written.

use super::contender::Contender;
use isobar_model::Rule;
use isobar_sim::{Arm, ArmReport, Course, Figures, ScenarioFile, Simulation, Standing, skill_pct};
use serde::Serialize;
use std::collections::BTreeMap;

/// What was simulated.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    pub(super) about: String,
    pub(super) days: f64,
    pub(super) nodes: usize,
    pub(super) node_capacity: f32,
    pub(super) tenants: usize,
    pub(super) shards: usize,
    pub(super) replication_factor: usize,
    /// Nodes that go away.
    pub(super) outages: usize,
}

impl Facts {
    pub(super) fn of(file: &ScenarioFile, simulation: &Simulation) -> Self {
        let scenario = &simulation.scenario;
        Self {
            about: file.about.clone(),
            days: file.days,
            nodes: scenario.spec.nodes,
            node_capacity: scenario.capacity,
            tenants: scenario.shards.iter().filter(|shard| shard.part == 0).count(),
            shards: scenario.shards.len(),
            replication_factor: scenario.spec.replication_factor,
            outages: scenario.nodes.outages.len(),
        }
    }
}

/// One arm from one start.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub(super) arm: String,
    pub(super) seed: u64,
    /// The part of the overload that a forecast can save at all, and this arm saved.
    pub(super) skill_pct: Option<f64>,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Refused moves by rule.
    pub(super) refused: BTreeMap<Rule, u64>,
    /// How often the arm's policies failed; the brain then went on without them.
    pub(super) policy_failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_failure: Option<String>,
    #[serde(skip)]
    pub(super) contender: Contender,
    /// How it came about; of the first seed only.
    #[serde(skip)]
    pub(super) course: Option<Course>,
}

impl Run {
    pub(super) fn new(contender: Contender, seed: u64, standing: Standing, arm: &ArmReport) -> Self {
        Self {
            arm: contender.to_string(),
            seed,
            skill_pct: None,
            figures: standing.figures,
            refused: standing.refused,
            policy_failures: arm.failures.count,
            first_failure: arm.failures.first.as_ref().map(ToString::to_string),
            contender,
            course: Some(standing.course),
        }
    }
}

/// An arm over all seeds: means of its runs; what an event of one run in a hundred would be lost in.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) arm: String,
    /// Over all seeds together; see [`skill_pct`].
    pub(super) skill_pct: Option<f64>,
    pub(super) overload_node_s: f64,
    /// The highest of any run.
    pub(super) peak_utilisation: f64,
    pub(super) data_moves: f64,
    pub(super) leader_transfers: f64,
    pub(super) moved_bytes: f64,
    pub(super) thrash: f64,
    pub(super) refused_moves: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) timed_out_share: f64,
    pub(super) unserved_share: f64,
    pub(super) node_hours: f64,
    pub(super) failovers: f64,
    pub(super) missing_replica_hours: f64,
    pub(super) missing_replicas_at_end: f64,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) scenario: String,
    pub(super) forecaster: String,
    /// Whether policies ran as components in the sandbox.
    pub(super) sandboxed: bool,
    #[serde(flatten)]
    pub(super) facts: Facts,
    pub(super) seeds: Vec<u64>,
    /// Means over the seeds.
    pub(super) arms: Vec<Summary>,
    pub(super) runs: Vec<Run>,
}

impl Report {
    pub(super) fn new(scenario: String, forecaster: String, sandboxed: bool, facts: Facts, mut runs: Vec<Run>) -> Self {
        let mut seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
        seeds.dedup();
        let bounds: BTreeMap<u64, Bounds> =
            seeds.iter().filter_map(|&seed| Some((seed, Bounds::of(&runs, seed)?))).collect();
        for run in &mut runs {
            run.skill_pct = bounds.get(&run.seed).and_then(|b| b.skill(run.figures.overload_node_s));
        }
        let mut names: Vec<String> = Vec::new();
        for run in &runs {
            if !names.contains(&run.arm) {
                names.push(run.arm.clone());
            }
        }
        let all = Bounds::sum(&bounds, &seeds);
        let arms = names.iter().map(|name| summary(name, &runs, all.as_ref())).collect();
        Self { scenario, forecaster, sandboxed, facts, seeds, arms, runs }
    }
}

/// What can be had without a forecast, and with the best: overload, node-seconds.
struct Bounds {
    without: f64,
    clairvoyant: f64,
}

impl Bounds {
    /// None where the arms that it takes were not run.
    fn of(runs: &[Run], seed: u64) -> Option<Self> {
        let of_seed = || runs.iter().filter(|run| run.seed == seed);
        let overload = |wanted: &dyn Fn(Arm) -> bool| {
            let of_arms = of_seed().filter(|run| match &run.contender {
                Contender::Arm(arm) => wanted(*arm),
                Contender::Policy(_) => false,
            });
            of_arms.map(|run| run.figures.overload_node_s).reduce(f64::min)
        };
        let without = overload(&|arm| arm.is_without_forecast())?;
        Some(Self { without, clairvoyant: overload(&|arm| arm == Arm::Clairvoyant)? })
    }

    fn sum(bounds: &BTreeMap<u64, Self>, seeds: &[u64]) -> Option<Self> {
        let of = |seed: &u64| bounds.get(seed).map(|b| (b.without, b.clairvoyant));
        let all: Vec<(f64, f64)> = seeds.iter().map(of).collect::<Option<_>>()?;
        let (without, clairvoyant) = all.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        Some(Self { without, clairvoyant })
    }

    fn skill(&self, ours: f64) -> Option<f64> {
        skill_pct([self.without; 3], ours, self.clairvoyant)
    }
}

fn summary(name: &str, runs: &[Run], bounds: Option<&Bounds>) -> Summary {
    let of_arm: Vec<&Figures> = runs.iter().filter(|run| run.arm == name).map(|run| &run.figures).collect();
    let count = of_arm.len().max(1) as f64;
    let sum = |value: &dyn Fn(&Figures) -> f64| of_arm.iter().map(|figures| value(figures)).sum::<f64>();
    let mean = |value: &dyn Fn(&Figures) -> f64| sum(value) / count;
    let mean_of_some = |value: &dyn Fn(&Figures) -> Option<f64>| {
        let all: Option<Vec<f64>> = of_arm.iter().map(|figures| value(figures)).collect();
        all.map(|all| all.iter().sum::<f64>() / count)
    };
    let requests = sum(&|f| f.requests).max(f64::MIN_POSITIVE);
    Summary {
        arm: name.to_owned(),
        skill_pct: bounds.and_then(|b| b.skill(sum(&|f| f.overload_node_s))),
        overload_node_s: mean(&|f| f.overload_node_s),
        peak_utilisation: of_arm.iter().map(|f| f.peak_utilisation).fold(0.0, f64::max),
        data_moves: mean(&|f| f.data_moves as f64),
        leader_transfers: mean(&|f| f.leader_transfers as f64),
        moved_bytes: mean(&|f| f.moved_bytes as f64),
        thrash: mean(&|f| f.thrash as f64),
        refused_moves: mean(&|f| f.refused_moves as f64),
        p50_ms: mean_of_some(&|f| f.p50_ms),
        p99_ms: mean_of_some(&|f| f.p99_ms),
        timed_out_share: sum(&|f| f.timed_out_requests) / requests,
        unserved_share: sum(&|f| f.unserved_requests) / requests,
        node_hours: mean(&|f| f.node_hours),
        failovers: mean(&|f| f.failovers as f64),
        missing_replica_hours: mean(&|f| f.missing_replica_hours),
        missing_replicas_at_end: mean(&|f| f.missing_replicas_at_end as f64),
    }
}
