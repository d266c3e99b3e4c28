//! How an arm stands: the figures by which arms are compared, and their course over time.

use crate::arms::ArmReport;
use crate::latencies::Latencies;
use crate::move_log::thrash;
use crate::overload::excess;
use crate::playback::{Stretch, play};
use crate::queueing::{Backlog, Queue, QueueSpec};
use crate::scenario::Scenario;
use crate::timeline::Timeline;
use isobar_model::{Rule, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// What an arm came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Node-seconds of overload: see [`overload`](crate::overload()).
    pub overload_node_s: f64,
    /// The highest load of a node over its capacity, at any time.
    pub peak_utilisation: f64,
    /// Moves of data begun.
    pub data_moves: u64,
    /// Leader transfers begun.
    pub leader_transfers: u64,
    /// Bytes of replicas copied.
    pub moved_bytes: u64,
    /// Moves back within the cool-down: see [`thrash`].
    pub thrash: u64,
    /// Moves that the host refused, the first 256 of a step.
    pub refused_moves: u64,
    /// Latency that half of the requests stay below, milliseconds; none without requests.
    pub p50_ms: Option<f64>,
    /// Latency that 99 of 100 requests stay below, milliseconds.
    pub p99_ms: Option<f64>,
    /// Requests offered.
    pub requests: f64,
    /// Those of them that clients gave up waiting for.
    pub timed_out_requests: f64,
    /// Those of them whose shard had no majority of its replicas.
    pub unserved_requests: f64,
    /// Hours of nodes that were there.
    pub node_hours: f64,
    /// Leaderships that passed to another replica since a node went away.
    pub failovers: u64,
    /// Hours of replicas that were on nodes that were away.
    pub missing_replica_hours: f64,
    /// Replicas on nodes that are away at the end.
    pub missing_replicas_at_end: u64,
}

/// An arm's course, one value a step of the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Course {
    /// Node-seconds of overload.
    pub overload_node_s: Vec<f64>,
    /// Latency that half of the requests stay below, milliseconds.
    pub p50_ms: Vec<Option<f64>>,
    /// Latency that 99 of 100 requests stay below, milliseconds.
    pub p99_ms: Vec<Option<f64>>,
    /// Moves of data begun.
    pub data_moves: Vec<u32>,
    /// Leader transfers begun.
    pub leader_transfers: Vec<u32>,
    /// Load over capacity, mean over the step: `utilisation[node][step]`.
    pub utilisation: Vec<Vec<f32>>,
}

/// An arm's figures, its course, and how often which rule refused a move.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standing {
    /// The figures.
    pub figures: Figures,
    /// The course.
    pub course: Course,
    /// Refused moves by rule.
    pub refused: BTreeMap<Rule, u64>,
}

impl Standing {
    /// Judges what an arm made of `window`. Latencies are those of [`Queue`]; a request is served by the node that leads its shard.
    #[must_use]
    pub fn of(
        scenario: &Scenario,
        window: Range<usize>,
        arm: &ArmReport,
        queue: &QueueSpec,
        cool_down_ms: u64,
    ) -> Self {
        let mut standing = Self::of_timeline(scenario, window.clone(), &arm.timeline, queue);
        let refused = arm.rounds.iter().flat_map(|round| &round.moves).filter_map(|m| match &m.verdict {
            Verdict::Refused { rule, .. } => Some(*rule),
            Verdict::Accepted | Verdict::Held { .. } => None,
        });
        refused.for_each(|rule| *standing.refused.entry(rule).or_default() += 1);
        for record in &arm.moves {
            let course = &mut standing.course;
            let counts = if record.leader_only { &mut course.leader_transfers } else { &mut course.data_moves };
            if let Some(count) = record.begun_step.checked_sub(window.start).and_then(|step| counts.get_mut(step)) {
                *count += 1;
            }
        }
        standing.figures = Figures {
            data_moves: arm.data_moves,
            leader_transfers: arm.leader_transfers,
            moved_bytes: arm.moved_bytes,
            failovers: arm.failovers,
            thrash: thrash(&arm.moves, cool_down_ms, scenario.step_ms),
            refused_moves: standing.refused.values().sum(),
            ..standing.figures
        };
        standing
    }
}

impl Standing {
    /// What can be told of where replicas lived alone: all but the moves.
    pub(crate) fn of_timeline(
        scenario: &Scenario,
        window: Range<usize>,
        timeline: &Timeline,
        queue: &QueueSpec,
    ) -> Self {
        let mut judge = Judge::new(scenario, window.clone(), queue);
        play(scenario, window, timeline, |stretch| judge.pass(stretch));
        judge.standing()
    }
}

struct Judge<'a> {
    scenario: &'a Scenario,
    queue: QueueSpec,
    queues: Vec<Queue>,
    backlogs: Vec<Backlog>,
    start: usize,
    figures: Figures,
    course: Course,
    all: Latencies,
    /// Of the step that passes.
    latencies: Latencies,
    away_replicas: f64,
}

impl<'a> Judge<'a> {
    fn new(scenario: &'a Scenario, window: Range<usize>, queue: &QueueSpec) -> Self {
        let ops_per_s = |node| f64::from(scenario.capacity_of(node)) / f64::from(scenario.leader_cost()).max(1e-9);
        let nodes = scenario.spec.nodes;
        let steps = window.len();
        Self {
            scenario,
            queue: *queue,
            queues: (0..nodes).map(|node| Queue::of_capacity(ops_per_s(node), queue.service_s)).collect(),
            backlogs: vec![Backlog::default(); nodes],
            start: window.start,
            figures: Figures::default(),
            course: Course {
                overload_node_s: vec![0.0; steps],
                p50_ms: vec![None; steps],
                p99_ms: vec![None; steps],
                data_moves: vec![0; steps],
                leader_transfers: vec![0; steps],
                utilisation: vec![vec![0.0; steps]; nodes],
            },
            all: Latencies::default(),
            latencies: Latencies::default(),
            away_replicas: 0.0,
        }
    }

    fn pass(&mut self, stretch: &Stretch<'_>) {
        let scenario = self.scenario;
        let (step, seconds) = (stretch.step - self.start, stretch.seconds(scenario));
        let over = excess(scenario, stretch) * seconds;
        self.figures.overload_node_s += over;
        self.course.overload_node_s[step] += over;
        let away = scenario.nodes.away(stretch.step);
        self.figures.node_hours += away.iter().filter(|away| !**away).count() as f64 * seconds / 3_600.0;
        self.figures.missing_replica_hours += stretch.away_replicas * seconds / 3_600.0;
        self.away_replicas = stretch.away_replicas;
        let unserved = stretch.unserved_ops.max(0.0) * seconds;
        self.figures.unserved_requests += unserved;
        self.figures.requests += unserved;
        for node in (0..scenario.spec.nodes).filter(|node| !away[*node]) {
            let utilisation = stretch.loads[node] / f64::from(scenario.capacity_of(node));
            self.figures.peak_utilisation = self.figures.peak_utilisation.max(utilisation);
            self.course.utilisation[node][step] += (utilisation * (stretch.to - stretch.from)) as f32;
            let requests = stretch.led_ops[node].max(0.0) * seconds;
            self.figures.requests += requests;
            let given_up = self.serve(node, utilisation, requests, seconds);
            self.figures.timed_out_requests += requests * given_up;
        }
        if stretch.to >= stretch.step as f64 + 1.0 {
            self.course.p50_ms[step] = self.latencies.quantile_ms(0.5);
            self.course.p99_ms[step] = self.latencies.quantile_ms(0.99);
            self.all.merge(&std::mem::take(&mut self.latencies));
        }
    }

    /// Notes the latencies of a node's requests; gives the part of them that are given up.
    fn serve(&mut self, node: usize, utilisation: f64, requests: f64, seconds: f64) -> f64 {
        let (queue, timeout_s) = (self.queues[node], self.queue.timeout_s);
        let waiting = self.backlogs[node].pass(utilisation, seconds, timeout_s);
        if waiting.part > 0.0 {
            let served = requests * waiting.part * (1.0 - waiting.given_up);
            let waits: Vec<f64> = waiting.waits_s().collect();
            for wait in &waits {
                let longer = |t: f64| if t < *wait { 1.0 } else { queue.longer(0.0, 0.0, t - wait) };
                self.latencies.add(served / waits.len() as f64, timeout_s, longer);
            }
            self.latencies.add(requests * waiting.part * waiting.given_up, timeout_s, |_| 1.0);
        }
        if waiting.part < 1.0 {
            let waits = queue.waits(utilisation);
            let longer = |t: f64| queue.longer(utilisation, waits, t);
            self.latencies.add(requests * (1.0 - waiting.part), timeout_s, longer);
        }
        waiting.part * waiting.given_up
    }

    fn standing(self) -> Standing {
        let figures = Figures {
            p50_ms: self.all.quantile_ms(0.5),
            p99_ms: self.all.quantile_ms(0.99),
            missing_replicas_at_end: self.away_replicas.round().max(0.0) as u64,
            ..self.figures
        };
        Standing { figures, course: self.course, refused: BTreeMap::new() }
    }
}
