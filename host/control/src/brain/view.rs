//! What placers see, and what their plans are checked against: the cluster as it is measured and forecast.

use super::{Brain, RoundRules};
use isobar_analyzer::{Marginal, joint_scenarios};
use isobar_model::cluster_view::MAX_SCENARIO_SHARDS;
use isobar_model::{ClusterView, InstantMs, Mode, NodeState};
use isobar_planner::{NodeFact, RoundInput, ScenarioFacts, ShardFact, ViewInput};
use isobar_ports::{Observation, ShardObservation};

const MIB: f64 = 1_048_576.0;

/// Which shards a view lists; the rest is background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those that policies may plan for: of keyspaces that are not only observed.
    Policies,
    /// All.
    Everything,
}

impl Brain {
    pub(super) fn view(&self, observation: &Observation, rules: &RoundRules, seed: u32, scope: Scope) -> ClusterView {
        self.view_input(observation, rules, seed, scope).build()
    }

    pub(super) fn view_input(
        &self,
        observation: &Observation,
        rules: &RoundRules,
        seed: u32,
        scope: Scope,
    ) -> ViewInput {
        let quantiles = &self.config.quantiles;
        let nodes = observation.nodes.iter().map(|node| NodeFact {
            id: node.id,
            zone: node.zone,
            state: match node.state {
                NodeState::Up if rules.draining.contains(&node.id) => NodeState::Draining,
                NodeState::Up | NodeState::Draining | NodeState::Suspect | NodeState::Down => node.state,
            },
            capacity: node.capacity,
            used_bytes: node.used_bytes,
            capacity_bytes: node.capacity_bytes,
            labels: rules.labels.get(&node.id).cloned().unwrap_or_default(),
            resources: node.resources.clone(),
        });
        let width = quantiles.len() * self.config.horizon_steps as usize;
        let shards = observation.shards.iter().map(|shard| {
            let load = self.measured(shard, observation.now);
            // A shard without a forecast goes on as it is.
            let mut predicted = self.forecasts.paths(shard.id).map_or_else(|| vec![load; width], <[f32]>::to_vec);
            self.raise(&self.forecasts, shard.id, quantiles, &mut predicted);
            let mode = rules.keyspaces.get(&shard.keyspace).map_or(Mode::Advise, |rule| rule.mode);
            ShardFact {
                id: shard.id,
                keyspace: shard.keyspace,
                replicas: shard.replicas.clone(),
                bytes: shard.bytes,
                leader_load: load,
                follower_share: self.shares.of(shard.id),
                predicted,
                last_moved: self.last_moved.get(&shard.id).copied().unwrap_or_default(),
                move_steps: self.config.move_pace.steps(shard.bytes, self.config.step_ms),
                move_cost: self.config.copy_cost_per_mib * (shard.bytes as f64 / MIB) as f32,
                uses: self.uses.of(shard.id),
                in_scope: scope == Scope::Everything || mode != Mode::Observe,
            }
        });
        let shards: Vec<ShardFact> = shards.collect();
        let scenarios = match scope {
            Scope::Policies if self.config.scenarios => self.scenarios(&shards),
            // Nobody reads them: the plan check judges by the median.
            Scope::Policies | Scope::Everything => None,
        };
        ViewInput {
            now: observation.now,
            step_ms: self.config.step_ms,
            steps: self.config.horizon_steps,
            quantiles: quantiles.clone(),
            nodes: nodes.collect(),
            shards,
            moving: observation.moving.clone(),
            limits: self.config.limits,
            placement: rules.placement.clone(),
            scenarios,
            seed,
        }
    }

    /// What the hottest shards in scope may do together, hottest by the highest value that is forecast of them.
    fn scenarios(&self, shards: &[ShardFact]) -> Option<ScenarioFacts> {
        let feared = |shard: &ShardFact| shard.predicted.iter().copied().fold(0.0, f32::max);
        let mut hottest: Vec<(f32, &ShardFact)> =
            shards.iter().filter(|shard| shard.in_scope).map(|shard| (feared(shard), shard)).collect();
        let by = |a: &(f32, &ShardFact), b: &(f32, &ShardFact)| b.0.total_cmp(&a.0).then(a.1.id.cmp(&b.1.id));
        if hottest.len() > MAX_SCENARIO_SHARDS {
            hottest.select_nth_unstable_by(MAX_SCENARIO_SHARDS, by);
            hottest.truncate(MAX_SCENARIO_SHARDS);
        }
        hottest.sort_by(by);
        let marginals: Vec<Marginal<'_>> =
            hottest.iter().map(|(_, shard)| Marginal { shard: shard.id, paths: &shard.predicted }).collect();
        let steps = self.config.horizon_steps as usize;
        let found = joint_scenarios(&self.history, steps, &self.config.quantiles, &marginals)?;
        Some(ScenarioFacts { shards: found.shards, count: found.count as u32, values: found.values })
    }

    /// Leader load over the last closed step, where that is recent; else over the last tick. In a burst, over its last ticks. Of a shard whose
    /// node is silent, what the native forecaster expects: taken for idle, it would draw others to its node.
    fn measured(&self, shard: &ShardObservation, now: InstantMs) -> f32 {
        if let Some(burst) = self.burst_of(shard.id) {
            return burst.level;
        }
        let end = self.history.end();
        let recent = now.since_ms(self.history.start_of(end)) < u64::from(self.config.step_ms);
        let last = end.checked_sub(1).filter(|_| recent).map_or(f32::NAN, |step| self.history.value(shard.id, step));
        let expected = self.builtin_forecasts.median(shard.id).first().copied();
        [last, shard.leader_load].into_iter().find(|load| load.is_finite()).or(expected).unwrap_or(0.0)
    }

    /// The native median forecast of the view's shards, in its order; where there is none, what is measured now.
    pub(super) fn expected(&self, view: &ClusterView) -> Vec<f32> {
        let steps = view.steps as usize;
        let mut expected = Vec::with_capacity(view.shards.ids.len() * steps);
        for (&shard, &load) in view.shards.ids.iter().zip(&view.shards.leader_load) {
            let median = self.builtin_forecasts.median(shard);
            let first = expected.len();
            expected.extend((0..steps).map(|step| median.get(step).copied().unwrap_or(load)));
            self.raise(&self.builtin_forecasts, shard, &[0.5], &mut expected[first..]);
        }
        expected
    }

    pub(super) fn round_input<'a>(&self, rules: &'a RoundRules, now: InstantMs, expected: &'a [f32]) -> RoundInput<'a> {
        RoundInput {
            settings: self.config.check,
            keyspaces: &rules.keyspaces,
            halted: rules.halted,
            spent: self.ledger.spent(now),
            expected,
        }
    }
}
