//! One start, and all arms from it, step by step.

use super::setting::Assessment;
use super::shared_forecaster::SharedForecaster;
use crate::arm::Arm;
use crate::arms::{ArmError, MakeForecaster, MakePlacer, brain_config};
use crate::fleet::SimFleet;
use crate::move_times::MoveTimes;
use crate::oracle::Oracle;
use crate::overload::overload;
use crate::packed::pack;
use crate::queueing::QueueSpec;
use crate::scenario::Scenario;
use crate::sim_host::SimHost;
use crate::standing::Standing;
use crate::timeline::{Placement, Timeline};
use isobar_control::{Brain, BrainConfig, MovePace, RoundRules};
use isobar_model::{KeyspaceId, Mode};
use isobar_planner::KeyspaceRule;
use isobar_ports::{Fleet, PolicyFailure};
use std::sync::Arc;

/// Steps between two moves of one shard: an hour of five-minute steps, and for shorter steps as many.
const COOL_DOWN_STEPS: u64 = 12;
/// Steps forecast: a day of five-minute steps; never more, and of longer steps a day.
const MAX_HORIZON_STEPS: usize = 288;
const MIN_HORIZON_STEPS: usize = 24;
const DAY_MS: usize = 86_400_000;

/// What an arm came to from one start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ArmOutcome {
    pub(super) arm: Arm,
    /// Places among the headrooms and leads asked; no lead where nothing moves.
    pub(super) headroom: usize,
    pub(super) lead: Option<usize>,
    /// Node-seconds of overload in each part of the window.
    pub(super) overload: Vec<f64>,
    /// Latency that 99 of 100 requests stay below, milliseconds; none without requests.
    pub(super) p99_ms: Option<f64>,
    pub(super) moves: u64,
    pub(super) moved_bytes: Option<u64>,
    /// Moves back to a node that the shard had left less than two cool-downs before.
    pub(super) thrash: u64,
}

/// All arms from one start.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedOutcome {
    pub(super) arms: Vec<ArmOutcome>,
}

/// An arm that moves shards while the window passes.
struct Course {
    arm: Arm,
    headroom: usize,
    lead: usize,
    scenario: Arc<Scenario>,
    brain: Brain,
    fleet: SimFleet,
}

/// The run of one seed. Step it until nothing is left, then take its outcome.
pub struct SeedRun {
    courses: Vec<Course>,
    shared: SharedForecaster,
    still: Vec<ArmOutcome>,
    rules: RoundRules,
    steps_left: usize,
    bytes: Option<Vec<u64>>,
    blocks: Vec<std::ops::Range<usize>>,
}

impl std::fmt::Debug for SeedRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeedRun").field("steps_left", &self.steps_left).finish_non_exhaustive()
    }
}

/// How long moves take at a lead: data so many steps, leadership one.
fn times(lead: usize) -> MoveTimes {
    MoveTimes { data: MovePace::Steps(lead as f32), ..MoveTimes::default() }
}

fn settings(scenario: &Scenario, lead: usize) -> BrainConfig {
    let mut config = brain_config(scenario, times(lead));
    let day = DAY_MS / scenario.step_ms.max(1) as usize;
    config.limits.cool_down_ms = COOL_DOWN_STEPS * u64::from(scenario.step_ms);
    config.horizon_steps = day.clamp(MIN_HORIZON_STEPS, MAX_HORIZON_STEPS) as u32;
    config.keep_steps = scenario.spec.history_steps.max(MAX_HORIZON_STEPS);
    config
}

impl SeedRun {
    pub(super) fn new(assessment: &Assessment, seed: u64, shared: SharedForecaster) -> Result<Self, ArmError> {
        let (spec, policies) = (&assessment.spec, &assessment.policies);
        let forecaster = shared.make();
        let mut run = Self {
            courses: Vec::new(),
            shared,
            still: Vec::new(),
            rules: rules(),
            steps_left: assessment.facts.window_steps,
            bytes: assessment.bytes.clone(),
            blocks: assessment.blocks(),
        };
        for (headroom, &factor) in spec.headrooms.iter().enumerate() {
            let scenario = Arc::new(assessment.scenario(seed, factor));
            run.still.push(run.fixed(Arm::Static, headroom, &scenario, scenario.start.clone()));
            let packed = pack(&scenario, scenario.history(scenario.window(0).start));
            run.still.push(run.fixed(Arm::Packed, headroom, &scenario, packed));
            let oracle: MakeForecaster = {
                let scenario = Arc::clone(&scenario);
                Arc::new(move || Ok(Box::new(Oracle::new(Arc::clone(&scenario)))))
            };
            for (lead, &steps) in spec.leads.iter().enumerate() {
                let course = |arm, forecaster: &MakeForecaster, placer: &MakePlacer| {
                    Course::new(arm, (headroom, lead, steps), &scenario, forecaster, placer)
                };
                run.courses.push(course(Arm::Reactive, &forecaster, &policies.reactive)?);
                run.courses.push(course(Arm::Predictive, &forecaster, &policies.predictive)?);
                run.courses.push(course(Arm::Clairvoyant, &oracle, &policies.clairvoyant)?);
            }
        }
        Ok(run)
    }

    /// Steps that are left.
    #[must_use]
    pub fn steps_left(&self) -> usize {
        self.steps_left
    }

    /// Lets one step pass for all arms; false once there is none left.
    pub fn step(&mut self) -> Result<bool, ArmError> {
        if self.steps_left == 0 {
            return Ok(false);
        }
        for course in &mut self.courses {
            let observation = course.fleet.observe()?;
            let tick = course.brain.tick(&observation, &self.rules);
            // A placer that fails moves nothing: figures of it would look like those of one that abstains.
            if let Some(failure) = tick.record.evaluations.into_iter().find_map(|evaluation| evaluation.failure) {
                return Err(ArmError::Policy(PolicyFailure::Policy(failure)));
            }
            for accepted in tick.accepted {
                course.fleet.begin(&accepted)?;
            }
            course.fleet.advance();
        }
        if let Some(failure) = self.shared.failure() {
            return Err(ArmError::Policy(failure));
        }
        self.steps_left -= 1;
        Ok(self.steps_left > 0)
    }

    /// What the arms came to. Of a run that is not over: what they came to so far.
    #[must_use]
    pub fn outcome(self) -> SeedOutcome {
        let mut arms = self.still.clone();
        for course in &self.courses {
            let timeline = course.fleet.timeline();
            let moves = course.fleet.data_moves() + course.fleet.leader_transfers();
            let moved_bytes = self.bytes.as_ref().map(|bytes| {
                // A move whose effect lies beyond the window is begun and not told of in the timeline.
                timeline.changes().iter().map(|change| bytes[change.shard]).sum()
            });
            arms.push(ArmOutcome {
                arm: course.arm,
                headroom: course.headroom,
                lead: Some(course.lead),
                overload: self.overloads(&course.scenario, timeline),
                p99_ms: p99_ms(&course.scenario, timeline),
                moves,
                moved_bytes,
                thrash: thrash(timeline),
            });
        }
        SeedOutcome { arms }
    }

    fn overloads(&self, scenario: &Scenario, timeline: &Timeline) -> Vec<f64> {
        self.blocks.iter().map(|block| overload(scenario, block.clone(), timeline)).collect()
    }

    /// An arm that moves nothing once it stands; what it takes to get there counts as moves.
    fn fixed(&self, arm: Arm, headroom: usize, scenario: &Scenario, placement: Placement) -> ArmOutcome {
        let moved: Vec<usize> =
            (0..placement.len()).filter(|&shard| placement[shard] != scenario.start[shard]).collect();
        let timeline = Timeline::new(placement);
        let (overload, p99_ms) = (self.overloads(scenario, &timeline), p99_ms(scenario, &timeline));
        let moved_bytes = self.bytes.as_ref().map(|bytes| moved.iter().map(|shard| bytes[*shard]).sum());
        ArmOutcome { arm, headroom, lead: None, overload, p99_ms, moves: moved.len() as u64, moved_bytes, thrash: 0 }
    }
}

impl Course {
    fn new(
        arm: Arm,
        (headroom, lead, steps): (usize, usize, usize),
        scenario: &Arc<Scenario>,
        forecaster: &MakeForecaster,
        placer: &MakePlacer,
    ) -> Result<Self, ArmError> {
        let window = scenario.window(0);
        let host = SimHost::new(Arc::clone(forecaster), Arc::clone(placer))?;
        let mut brain = Brain::new(settings(scenario, steps), Arc::new(host));
        // The first tick's observation closes the step before the window.
        let history = scenario.history(window.start);
        for batch in scenario.load_batches(history.start..history.end - 1) {
            brain.import_history(&batch)?;
        }
        let fleet = SimFleet::new(Arc::clone(scenario), window.start, times(steps));
        Ok(Self { arm, headroom, lead, scenario: Arc::clone(scenario), brain, fleet })
    }
}

/// One keyspace, in which the brain may do all by itself.
fn rules() -> RoundRules {
    let rule = KeyspaceRule { mode: Mode::Auto, replication_factor: 1 };
    RoundRules { keyspaces: [(KeyspaceId(1), rule)].into(), ..RoundRules::default() }
}

/// Of nodes that are queues: see [`QueueSpec`].
fn p99_ms(scenario: &Scenario, timeline: &Timeline) -> Option<f64> {
    let standing = Standing::of_timeline(scenario, scenario.window(0), timeline, &QueueSpec::default());
    standing.figures.p99_ms
}

/// Moves back to where the shard was less than two cool-downs before.
fn thrash(timeline: &Timeline) -> u64 {
    let soon = 2.0 * COOL_DOWN_STEPS as f64;
    let mut left: Vec<Vec<(f64, Vec<isobar_model::NodeId>)>> = vec![Vec::new(); timeline.start().len()];
    let mut place = timeline.start().clone();
    let mut back = 0;
    for change in timeline.changes() {
        let before = std::mem::replace(&mut place[change.shard], change.replicas.clone());
        let of_shard = &mut left[change.shard];
        of_shard.retain(|(at, _)| change.at_step - at <= soon);
        back += u64::from(of_shard.iter().any(|(_, replicas)| *replicas == change.replicas));
        of_shard.push((change.at_step, before));
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Change;
    use isobar_model::NodeId;

    #[test]
    fn a_shard_that_goes_back_at_once_thrashes() {
        let mut timeline = Timeline::new(vec![vec![NodeId(1)], vec![NodeId(1)]]);
        for (at_step, shard, node) in [(5.0, 0, 2), (10.0, 0, 1), (11.0, 1, 2), (60.0, 0, 2), (90.0, 1, 1)] {
            timeline.push(Change { at_step, shard, replicas: vec![NodeId(node)] });
        }
        assert_eq!(thrash(&timeline), 1);
    }
}
