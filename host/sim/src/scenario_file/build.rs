use super::tables::within;
use super::{Event, NodeLoss, ScenarioFile, ScenarioFileError};
use crate::arms::brain_config;
use crate::move_times::MoveTimes;
use crate::node_plan::{Drain, NodePlan, Outage, SimNode};
use crate::playback::node_loads;
use crate::queueing::QueueSpec;
use crate::scenario::{Scenario, ScenarioError, ScenarioSpec};
use crate::shape::Calendar;
use crate::trace::{DAY_STEPS, STEP_MS, Tenant, Trace, TraceError};
use isobar_analyzer::GuardSpec;
use isobar_control::{BrainConfig, MovePace};
use isobar_model::{PlacementLimits, ZoneId};
use std::sync::Arc;

/// Steps of an hour.
const HOUR_STEPS: f64 = DAY_STEPS as f64 / 24.0;
/// Most loads of a scenario, tenants times steps: 2 GiB of them.
const MOST_VALUES: usize = 1 << 29;
/// Days at most: a year, as of a trace.
const MOST_DAYS: f64 = 366.0;
/// Steps ahead at most: the contract's four weeks.
const MOST_HORIZON: f64 = 8_064.0;

/// Everything that arms are run over, and judged by.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Shards, nodes, where all begins. Its first window is what is judged.
    pub scenario: Arc<Scenario>,
    /// How long moves take.
    pub times: MoveTimes,
    /// What the brain is set to.
    pub config: BrainConfig,
    /// How requests wait.
    pub queue: QueueSpec,
}

fn steps(days: f64) -> usize {
    ((days * DAY_STEPS as f64).round() as usize).max(1)
}

impl ScenarioFile {
    pub(super) fn check(&self) -> Result<(), ScenarioFileError> {
        within("history_days", self.history_days, 1.0 / DAY_STEPS as f64, MOST_DAYS)?;
        within("days", self.days, 1.0 / DAY_STEPS as f64, MOST_DAYS)?;
        within("horizon_steps", f64::from(self.horizon_steps), 1.0, MOST_HORIZON)?;
        self.nodes.check()?;
        self.shards.check()?;
        self.moves.check()?;
        self.queue.check()?;
        if self.load.is_empty() {
            let problem = "a scenario wants at least one [[load]]: a group of tenants, `tenants = 60`, or a `trace`";
            return Err(ScenarioFileError::BadFigure(problem.to_owned()));
        }
        self.load.iter().try_for_each(super::LoadTable::check)?;
        if self.shards.replication_factor > self.nodes.count {
            let (factor, count) = (self.shards.replication_factor, self.nodes.count);
            let problem = format!("`shards.replication_factor` is {factor}, but there are {count} nodes");
            return Err(ScenarioFileError::BadFigure(problem));
        }
        self.event.iter().try_for_each(|event| event.check(self.nodes.count, self.days))
    }

    /// The names of the traces it needs.
    pub fn traces(&self) -> impl Iterator<Item = &str> {
        self.load.iter().filter_map(|load| load.trace.as_deref())
    }

    /// Builds it with this seed; `trace` reads a trace by the name that the file gives it.
    pub fn build(
        &self,
        seed: u64,
        trace: impl Fn(&str) -> Result<Trace, TraceError>,
    ) -> Result<Simulation, ScenarioFileError> {
        let (history_steps, window_steps) = (steps(self.history_days), steps(self.days));
        let traces = self.load.iter().map(|load| {
            let read =
                |name: &str| trace(name).map_err(|problem| ScenarioFileError::Trace { name: name.to_owned(), problem });
            load.trace.as_deref().map(read).transpose()
        });
        let traces: Vec<Option<Trace>> = traces.collect::<Result<_, _>>()?;
        // Beyond the window as far as a forecast reaches, so that the clairvoyant arm knows it; a trace may not.
        let needed = history_steps + window_steps;
        let given = self.load.iter().zip(&traces).filter_map(|(load, trace)| Some(load.steps_of(trace.as_ref()?)));
        let all = given.chain([needed + self.horizon_steps as usize]).min().unwrap_or(needed);
        if all < needed {
            return Err(ScenarioError::TooShort { steps: all, needed }.into());
        }
        let calendar = Calendar { steps: all, window_start: history_steps };
        let mut tenants: Vec<Tenant> = Vec::new();
        let mut mib = Vec::new();
        for (number, (load, trace)) in self.load.iter().zip(&traces).enumerate() {
            let more = load.tenants.unwrap_or(0) + tenants.len();
            within("tenants times steps", (more * all) as f64, 0.0, MOST_VALUES as f64)?;
            tenants.extend(load.tenants(number + 1, trace.as_ref(), &calendar, seed));
            mib.resize(tenants.len(), load.mib.unwrap_or(self.shards.mib));
        }
        let spec = ScenarioSpec {
            replication_factor: self.shards.replication_factor,
            history_steps,
            window_steps,
            headroom: self.nodes.headroom,
            capacity: self.nodes.capacity,
            shard_share: self.shards.largest_share,
            mean_ops_per_s: self.shards.ops_per_s,
            read_share: self.shards.read_share,
            seed,
            ..ScenarioSpec::default()
        };
        let mut scenario = Scenario::of_tenants(tenants, self.node_plan(), spec)?;
        // Shards are in the order of their tenants, the first part of each being number 0.
        let mut tenant = 0;
        for (index, shard) in scenario.shards.iter().enumerate() {
            tenant += usize::from(shard.part == 0 && index > 0);
            scenario.bytes[index] = (mib[tenant] * f64::from(1 << 20)) as u64;
        }
        self.befall(&mut scenario);
        let times = self.times();
        let config = self.config(&scenario, times);
        let queue = QueueSpec { service_s: self.queue.service_ms / 1_000.0, timeout_s: self.queue.timeout_s };
        Ok(Simulation { scenario: Arc::new(scenario), times, config, queue })
    }

    fn node_plan(&self) -> NodePlan {
        let zones = self.nodes.zones.unwrap_or(self.nodes.count);
        let node = |index: usize| SimNode {
            size: self.nodes.sizes.get(index).copied().unwrap_or(1.0),
            zone: ZoneId((index % zones) as u32 + 1),
        };
        NodePlan { nodes: (0..self.nodes.count).map(node).collect(), ..NodePlan::default() }
    }

    fn befall(&self, scenario: &mut Scenario) {
        let window = scenario.window(0);
        let at = |hours: f64| (window.start + (hours * HOUR_STEPS).round() as usize).min(window.end - 1);
        for event in &self.event {
            match *event {
                Event::NodeLoss(NodeLoss { node, at_hours, for_hours }) => {
                    let from = at_hours.map_or_else(|| peak(scenario), at);
                    let node = node.map_or_else(|| busiest(scenario, from), |number| number - 1);
                    let to =
                        for_hours.map_or(usize::MAX, |hours| from + ((hours * HOUR_STEPS).round() as usize).max(1));
                    scenario.nodes.outages.push(Outage { node, steps: from..to });
                }
                Event::Drain(drain) => {
                    let from_step = at(drain.at_hours);
                    let node = drain.node.map_or_else(|| busiest(scenario, from_step), |number| number - 1);
                    scenario.nodes.drains.push(Drain { node, from_step });
                }
            }
        }
    }

    fn times(&self) -> MoveTimes {
        let steps_of = |seconds: f64| (seconds * 1_000.0 / f64::from(STEP_MS)) as f32;
        let bytes_per_s = (self.moves.bandwidth_mib_per_s * f64::from(1 << 20)).max(1.0) as u64;
        MoveTimes {
            data: MovePace::Bytes { bytes_per_s, overhead_steps: steps_of(self.moves.overhead_s) },
            leader_steps: steps_of(self.moves.leader_s),
            copy_share: self.moves.copy_share,
        }
    }

    fn config(&self, scenario: &Scenario, times: MoveTimes) -> BrainConfig {
        let config = brain_config(scenario, times);
        let window = scenario.window(0);
        BrainConfig {
            keep_steps: config.keep_steps.min(window.end),
            horizon_steps: self.horizon_steps,
            guard: Some(GuardSpec::daily(config.quantiles.clone(), DAY_STEPS as u32, self.horizon_steps)),
            limits: PlacementLimits {
                moves_per_node: self.moves.per_node,
                moves_per_round: self.moves.per_round,
                cool_down_ms: (self.moves.cool_down_min * 60_000.0) as u64,
                max_utilisation: self.moves.max_utilisation,
                ..config.limits
            },
            ..config
        }
    }
}

/// The step of the first window with most load in all.
fn peak(scenario: &Scenario) -> usize {
    let total = |step: usize| scenario.shards.iter().map(|shard| f64::from(shard.ops[step])).sum::<f64>();
    let window = scenario.window(0);
    let mut best = (window.start, f64::NEG_INFINITY);
    for step in window {
        let load = total(step);
        if load > best.1 {
            best = (step, load);
        }
    }
    best.0
}

/// The node that carries most of its capacity in a step, in the start placement.
fn busiest(scenario: &Scenario, step: usize) -> usize {
    let loads = node_loads(scenario, &scenario.start, step);
    let busy = |node: usize| loads[node] / f64::from(scenario.capacity_of(node));
    (0..loads.len()).max_by(|&a, &b| busy(a).total_cmp(&busy(b)).then(b.cmp(&a))).unwrap_or(0)
}
