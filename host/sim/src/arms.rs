//! The arms: what each way of placing shards would have made of a window.

use crate::arm::Arm;
use crate::fleet::{SimFleet, SimFleetError};
use crate::move_log::MoveRecord;
use crate::move_times::MoveTimes;
use crate::oracle::Oracle;
use crate::overload::overload;
use crate::packed::pack;
use crate::round::Round;
use crate::scenario::Scenario;
use crate::sim_host::{PolicyFailures, SimHost};
use crate::timeline::{Placement, Timeline};
use isobar_control::{Brain, BrainConfig, Recording, RoundRules};
use isobar_model::{KeyspaceId, Mode, PlacementLimits};
use isobar_planner::KeyspaceRule;
use isobar_ports::{Fleet, Forecaster, Placer, PolicyFailure, PolicyHost};
use std::sync::Arc;

/// Makes a forecaster that has observed nothing.
pub type MakeForecaster = Arc<dyn Fn() -> Result<Box<dyn Forecaster>, PolicyFailure> + Send + Sync>;
/// Makes a placer.
pub type MakePlacer = Arc<dyn Fn() -> Result<Box<dyn Placer>, PolicyFailure> + Send + Sync>;

/// The configuration of the policy `predictive` as the clairvoyant arm's placer: whoever knows the future needs no caution, so its moves are cheap.
pub const CLAIRVOYANT_CONFIG: &str = r#"{"transfer_price_s":1,"move_price_s":2,"allowance":1000}"#;

/// Why an arm could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// A policy did not open.
    #[error("a policy did not open: {0}")]
    Policy(#[from] PolicyFailure),
    /// The scenario's history can't be imported.
    #[error("the history can't be imported: {0}")]
    History(#[from] isobar_analyzer::BadBatch),
    /// The brain accepted a move that the fleet can't begin.
    #[error("the plan check let a move pass that can't be begun: {0}")]
    Fleet(#[from] SimFleetError),
    /// The window lies beyond the trace.
    #[error("window {0} lies beyond the trace")]
    NoSuchWindow(usize),
}

/// What an arm came to.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmReport {
    /// Node-seconds of overload.
    pub overload_node_s: f64,
    /// Moves of data begun.
    pub data_moves: u64,
    /// Leader transfers begun.
    pub leader_transfers: u64,
    /// Bytes of replicas copied.
    pub moved_bytes: u64,
    /// Leaderships that passed to another replica since a node went away.
    pub failovers: u64,
    /// Where replicas lived.
    pub timeline: Timeline,
    /// Every move begun while the window passed.
    pub moves: Vec<MoveRecord>,
    /// Every step in which something was proposed or noted.
    pub rounds: Vec<Round>,
    /// Where its policies failed; the brain then goes on without them.
    pub failures: PolicyFailures,
}

impl ArmReport {
    /// Moves of data and leader transfers.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.data_moves + self.leader_transfers
    }

    fn of(fleet: &SimFleet, window: std::ops::Range<usize>, scenario: &Scenario, rounds: Vec<Round>) -> Self {
        Self {
            overload_node_s: overload(scenario, window, fleet.timeline()),
            data_moves: fleet.data_moves(),
            leader_transfers: fleet.leader_transfers(),
            moved_bytes: fleet.moved_bytes(),
            failovers: fleet.failovers(),
            timeline: fleet.timeline().clone(),
            moves: fleet.moves().to_vec(),
            rounds,
            failures: PolicyFailures::default(),
        }
    }
}

/// All arms over one window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    /// The start placement, left alone.
    pub still: ArmReport,
    /// One placement packed on the history.
    pub packed: ArmReport,
    /// The reactive placer.
    pub reactive: ArmReport,
    /// The predictive placer.
    pub predictive: ArmReport,
    /// The predictive placer fed the future itself; see [`Arms::with_clairvoyant`].
    pub clairvoyant: ArmReport,
}

impl WindowReport {
    /// See [`skill_pct`].
    #[must_use]
    pub fn skill_pct(&self) -> Option<f64> {
        let without = [&self.still, &self.packed, &self.reactive].map(|arm| arm.overload_node_s);
        skill_pct(without, self.predictive.overload_node_s, self.clairvoyant.overload_node_s)
    }
}

/// Skill in per cent: (best without forecast − ours) / (best without forecast − clairvoyant). None where a clairvoyant placer gains nothing.
#[must_use]
pub fn skill_pct(without_forecast: [f64; 3], ours: f64, clairvoyant: f64) -> Option<f64> {
    let best = without_forecast.into_iter().fold(f64::INFINITY, f64::min);
    (best - clairvoyant > 1e-9).then(|| 100.0 * (best - ours) / (best - clairvoyant))
}

/// Runs arms by the planner alone, in virtual time, through the same brain that drives a live cluster.
#[derive(Clone)]
pub struct Arms {
    scenario: Arc<Scenario>,
    config: BrainConfig,
    times: MoveTimes,
    forecaster: MakeForecaster,
    reactive: MakePlacer,
    predictive: MakePlacer,
    clairvoyant: MakePlacer,
}

impl std::fmt::Debug for Arms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arms").field("times", &self.times).finish_non_exhaustive()
    }
}

impl Arms {
    /// Arms over a scenario. Everything that the policies are asked and the rules they are held to is in [`brain_config`].
    #[must_use]
    pub fn new(
        scenario: Arc<Scenario>,
        forecaster: MakeForecaster,
        reactive: MakePlacer,
        predictive: MakePlacer,
    ) -> Self {
        let times = MoveTimes::default();
        let config = brain_config(&scenario, times);
        let clairvoyant = Arc::clone(&predictive);
        Self { scenario, config, times, forecaster, reactive, predictive, clairvoyant }
    }

    /// Other times of moves, and other settings of the brain; see [`brain_config`] for what they begin with.
    #[must_use]
    pub fn with_settings(self, times: MoveTimes, config: BrainConfig) -> Self {
        Self { times, config, ..self }
    }

    /// Gives the clairvoyant arm a placer of its own: the predictive one, so configured that moves cost next to nothing. Whoever knows the
    /// future need not weigh a move against chance, and what this arm still suffers should be what can't be avoided.
    #[must_use]
    pub fn with_clairvoyant(self, clairvoyant: MakePlacer) -> Self {
        Self { clairvoyant, ..self }
    }

    /// All arms over window `k`.
    pub fn window(&self, k: usize) -> Result<WindowReport, ArmError> {
        Ok(WindowReport {
            still: self.still(k)?,
            packed: self.packed(k)?,
            reactive: self.reactive(k)?,
            predictive: self.predictive(k)?,
            clairvoyant: self.clairvoyant(k)?,
        })
    }

    /// One arm over window `k`.
    pub fn run(&self, arm: Arm, k: usize) -> Result<ArmReport, ArmError> {
        match arm {
            Arm::Static => self.still(k),
            Arm::Packed => self.packed(k),
            Arm::Reactive => self.reactive(k),
            Arm::Predictive => self.predictive(k),
            Arm::Clairvoyant => self.clairvoyant(k),
        }
    }

    /// The start placement, left alone.
    pub fn still(&self, k: usize) -> Result<ArmReport, ArmError> {
        self.fixed(k, self.scenario.start.clone())
    }

    /// One placement packed on the history, in force from the window's start; what it takes to get there counts as moves.
    pub fn packed(&self, k: usize) -> Result<ArmReport, ArmError> {
        let history = self.scenario.history(self.scenario.window(k).start);
        self.fixed(k, pack(&self.scenario, history))
    }

    /// The reactive placer.
    pub fn reactive(&self, k: usize) -> Result<ArmReport, ArmError> {
        self.placed_by(k, &self.reactive)
    }

    /// The predictive placer.
    pub fn predictive(&self, k: usize) -> Result<ArmReport, ArmError> {
        self.placed_by(k, &self.predictive)
    }

    /// Any placer, with the arms' forecaster.
    pub fn placed_by(&self, k: usize, placer: &MakePlacer) -> Result<ArmReport, ArmError> {
        self.driven(k, &self.forecaster, placer)
    }

    /// The predictive placer, fed the future itself.
    pub fn clairvoyant(&self, k: usize) -> Result<ArmReport, ArmError> {
        let scenario = Arc::clone(&self.scenario);
        let oracle: MakeForecaster = Arc::new(move || Ok(Box::new(Oracle::new(Arc::clone(&scenario)))));
        self.driven(k, &oracle, &self.clairvoyant)
    }

    fn fixed(&self, k: usize, placement: Placement) -> Result<ArmReport, ArmError> {
        let (window, scenario) = (self.checked(k)?, &self.scenario);
        let (mut data_moves, mut leader_transfers, mut moved_bytes) = (0, 0, 0);
        for (shard, (old, new)) in scenario.start.iter().zip(&placement).enumerate() {
            let moved = new.iter().filter(|node| !old.contains(node)).count() as u64;
            data_moves += moved;
            moved_bytes += moved * scenario.bytes[shard];
            leader_transfers += u64::from(old.first() != new.first() && new.first().is_some_and(|n| old.contains(n)));
        }
        let mut fleet = SimFleet::placed(Arc::clone(scenario), window.start, self.times, placement);
        for _ in window.clone() {
            fleet.advance();
        }
        let report = ArmReport::of(&fleet, window, scenario, Vec::new());
        Ok(ArmReport { data_moves, leader_transfers, moved_bytes, ..report })
    }

    fn driven(&self, k: usize, forecaster: &MakeForecaster, placer: &MakePlacer) -> Result<ArmReport, ArmError> {
        let (window, scenario) = (self.checked(k)?, &self.scenario);
        let host = Arc::new(SimHost::new(Arc::clone(forecaster), Arc::clone(placer))?);
        let serving: Arc<dyn PolicyHost> = Arc::<SimHost>::clone(&host);
        let mut brain = Brain::new(self.config.clone(), serving);
        // The first tick's observation closes the step before the window.
        let history = scenario.history(window.start);
        for batch in scenario.load_batches(history.start..history.end - 1) {
            brain.import_history(&batch)?;
        }
        let rules = round_rules(scenario);
        let mut fleet = SimFleet::new(Arc::clone(scenario), window.start, self.times);
        let mut rounds = Vec::new();
        for step in window.clone() {
            let observation = fleet.observe()?;
            let tick = brain.tick(&observation, &rules);
            for accepted in &tick.accepted {
                fleet.begin(accepted)?;
            }
            let (moves, notes) = (tick.record.moves, tick.record.notes);
            if !moves.is_empty() || !notes.is_empty() {
                rounds.push(Round { step, moves, notes });
            }
            fleet.advance();
        }
        Ok(ArmReport { failures: host.failures(), ..ArmReport::of(&fleet, window, scenario, rounds) })
    }

    fn checked(&self, k: usize) -> Result<std::ops::Range<usize>, ArmError> {
        if k < self.scenario.windows() { Ok(self.scenario.window(k)) } else { Err(ArmError::NoSuchWindow(k)) }
    }
}

/// What a brain is set to for this scenario, live or simulated.
#[must_use]
pub fn brain_config(scenario: &Scenario, times: MoveTimes) -> BrainConfig {
    BrainConfig {
        step_ms: scenario.step_ms,
        limits: PlacementLimits {
            moves_per_node: 2,
            moves_per_round: 16,
            cool_down_ms: 3_600_000,
            max_utilisation: 0.9,
            leader_steps: times.leader_steps,
        },
        seed: scenario.spec.seed,
        move_pace: times.data,
        copy_cost_per_mib: times.copy_cost_per_mib(scenario.capacity),
        follower_share: scenario.follower_cost() / scenario.leader_cost(),
        recording: Recording::Nothing,
        ..BrainConfig::default()
    }
}

/// One keyspace, in which the brain may do all by itself.
fn round_rules(scenario: &Scenario) -> RoundRules {
    let replication_factor = scenario.spec.replication_factor as u32;
    let rule = KeyspaceRule { mode: Mode::Auto, replication_factor };
    RoundRules { keyspaces: [(KeyspaceId(1), rule)].into(), ..RoundRules::default() }
}
