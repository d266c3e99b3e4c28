//! Small clusters in virtual time, driven by the same brain as live ones, with the placer as a component and as it is configured by default.

use anyhow::{Context as _, anyhow, ensure};
use isobar_control::{Brain, BrainConfig, BrainEvent, MovePace, Recording, RoundRules};
use isobar_model::{Digest, InstantMs, KeyspaceId, LoadBatch, Metric, Mode, NodeId, PlacementLimits, Role};
use isobar_planner::KeyspaceRule;
use isobar_policy::WasmHost;
use isobar_ports::{Fleet as _, PolicyHost};
use isobar_sim::{MoveTimes, Scenario, ScenarioSpec, SimFleet, SimShard};
use std::collections::HashMap;
use std::sync::Arc;

/// The loop's beat, as in a new cluster; and over a whole day, one of a minute.
const TICK_MS: u32 = 10_000;
const DAY_TICK_MS: u32 = 60_000;
/// Length of a forecast step.
const STEP_MS: u32 = 300_000;

/// A cluster whose load never changes.
struct Static {
    brain: Brain,
    rules: RoundRules,
    fleet: SimFleet,
    scenario: Arc<Scenario>,
}

impl Static {
    /// `ops[i]`: what is asked of shard i, per second.
    fn new(
        host: &Arc<WasmHost>,
        placer: Digest,
        ops: &[f32],
        nodes: usize,
        start: Vec<Vec<NodeId>>,
        (tick_ms, ticks): (u32, usize),
    ) -> anyhow::Result<Self> {
        let spec = ScenarioSpec { nodes, history_steps: 1, window_steps: ticks, ..ScenarioSpec::default() };
        let shard = |(i, ops): (usize, &f32)| SimShard {
            tenant: format!("tenant {i}"),
            part: 0,
            parts: 1,
            ops: vec![*ops; ticks + 1],
        };
        let shards: Vec<SimShard> = ops.iter().enumerate().map(shard).collect();
        let mut scenario = Scenario::from_parts(spec, shards, 1.0, start);
        scenario.step_ms = tick_ms;
        let units = f64::from(scenario.leader_cost()) + 2.0 * f64::from(scenario.follower_cost());
        let total = ops.iter().map(|&ops| f64::from(ops)).sum::<f64>() * units;
        // Six tenths of what the nodes can carry.
        scenario.capacity = (total / nodes as f64 / 0.6) as f32;
        let config = BrainConfig {
            step_ms: STEP_MS,
            // As a new cluster is set, but that a round may hold as many moves as there are shards: what is measured is the policy.
            limits: PlacementLimits {
                moves_per_node: 2,
                moves_per_round: ops.len() as u32,
                cool_down_ms: 30 * 60_000,
                max_utilisation: 0.9,
                leader_steps: 0.1,
            },
            move_pace: MovePace::Steps(0.2),
            follower_share: scenario.follower_cost() / scenario.leader_cost(),
            recording: Recording::Nothing,
            ..BrainConfig::default()
        };
        let rule = KeyspaceRule { mode: Mode::Auto, replication_factor: 3 };
        let rules = RoundRules { keyspaces: [(KeyspaceId(1), rule)].into(), ..RoundRules::default() };
        let policies: Arc<dyn PolicyHost> = Arc::<WasmHost>::clone(host);
        let mut brain = Brain::new(config, policies);
        let prepared = brain
            .prepare(
                Role::Place,
                Some((placer, "predictive".to_owned())),
                &format!(r#"{{"max_moves": {}}}"#, ops.len()),
            )
            .and_then(|prepared| brain.activate(prepared));
        prepared.map_err(|failure| anyhow!("the placer can't be bound: {failure}"))?;
        let scenario = Arc::new(scenario);
        // A transfer of leadership takes effect by the next tick, a move of data by the sixth.
        let fleet = SimFleet::new(Arc::clone(&scenario), 1, MoveTimes::default());
        Ok(Self { brain, rules, fleet, scenario })
    }

    /// Tells the brain of days gone by that were like this one.
    fn remember(&mut self, days: u32) -> anyhow::Result<()> {
        let steps = days * (86_400_000 / STEP_MS);
        let values = self
            .scenario
            .shards
            .iter()
            .flat_map(|shard| std::iter::repeat_n(shard.ops[0] * self.scenario.leader_cost(), steps as usize));
        let batch = LoadBatch {
            metric: Metric::Load,
            start: InstantMs(self.scenario.instant(0).0 - u64::from(steps) * u64::from(STEP_MS)),
            step_ms: STEP_MS,
            steps,
            shards: self.scenario.shard_ids().collect(),
            values: values.collect(),
        };
        self.brain.import_history(&batch).context("the history can't be imported")
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        let observation = self.fleet.observe()?;
        let tick = self.brain.tick(&observation, &self.rules);
        for event in &tick.events {
            let failed = matches!(event, BrainEvent::PolicyFailed { .. } | BrainEvent::PolicyQuarantined { .. });
            ensure!(!failed, "the placer did not serve: {event:?}");
        }
        for accepted in &tick.accepted {
            self.fleet.begin(accepted)?;
        }
        self.fleet.advance();
        Ok(())
    }

    /// Offered load of the fullest node over the mean.
    fn max_over_mean(&self) -> f64 {
        let (leader, follower) = (self.scenario.leader_cost(), self.scenario.follower_cost());
        let mut load: HashMap<NodeId, f64> = self.scenario.node_ids().map(|node| (node, 0.0)).collect();
        for (shard, replicas) in self.scenario.shards.iter().zip(self.fleet.placement()) {
            for (slot, node) in replicas.iter().enumerate() {
                *load.entry(*node).or_default() += f64::from(shard.ops[0] * if slot == 0 { leader } else { follower });
            }
        }
        let mean = load.values().sum::<f64>() / load.len() as f64;
        load.values().copied().fold(0.0, f64::max) / mean
    }

    fn moves(&self) -> u64 {
        self.fleet.data_moves() + self.fleet.leader_transfers()
    }
}

/// Days of the same load that the static cluster's brain knows of: without, the forecaster has seen too few errors to be sure of anything, and now
/// and then a move pays for what may come.
const KNOWN_DAYS: u32 = 7;

/// What came of the leaders' case.
pub(crate) struct Leaders {
    pub(crate) seconds: f64,
    /// Share of the moves that moved a shard again.
    pub(crate) thrash_pct: f64,
    pub(crate) moves: u64,
    pub(crate) max_mean: f64,
}

/// Most of a cluster's time that the leaders' case may take.
const LEADERS_TICKS: usize = 360;

/// 200 shards of equal load on three nodes, all led by the first: CockroachDB's own simulator case. Until the fullest node is within 1.15 of
/// the mean; and what moved twice within the hour.
pub(crate) fn leaders_on_one_node(host: &Arc<WasmHost>, placer: Digest) -> anyhow::Result<Leaders> {
    let start = vec![[1, 2, 3].map(NodeId).to_vec(); 200];
    let mut cluster = Static::new(host, placer, &[100.0; 200], 3, start, (TICK_MS, LEADERS_TICKS))?;
    let mut seconds = None;
    for tick in 0..LEADERS_TICKS {
        if seconds.is_none() && cluster.max_over_mean() <= 1.15 {
            seconds = Some(tick as f64 * f64::from(TICK_MS) / 1e3);
        }
        cluster.tick()?;
    }
    let mut times: HashMap<usize, u64> = HashMap::new();
    for change in cluster.fleet.timeline().changes() {
        *times.entry(change.shard).or_default() += 1;
    }
    let again: u64 = times.values().map(|times| times - 1).sum();
    let moves = cluster.moves();
    Ok(Leaders {
        seconds: seconds.context("the leaders' case did not come within 1.15 of the mean")?,
        thrash_pct: 100.0 * again as f64 / moves.max(1) as f64,
        moves,
        max_mean: cluster.max_over_mean(),
    })
}

/// Moves in 24 hours of a static load: 100 shards, of loads that differ by ten, round the nodes of a cluster of six.
pub(crate) fn static_day(host: &Arc<WasmHost>, placer: Digest) -> anyhow::Result<u64> {
    let ticks = 24 * 3_600_000 / DAY_TICK_MS as usize;
    let ops: Vec<f32> = (0..100).map(|shard| 20.0 + (shard * 37 % 100) as f32 * 2.0).collect();
    let place = |shard: u64| (0..3).map(|far| NodeId(1 + (shard + far * (1 + shard / 6 % 2)) % 6)).collect();
    let start = (0..100).map(place).collect();
    let mut cluster = Static::new(host, placer, &ops, 6, start, (DAY_TICK_MS, ticks))?;
    cluster.remember(KNOWN_DAYS)?;
    for _ in 0..ticks {
        cluster.tick()?;
    }
    Ok(cluster.moves())
}
