//! The gain ledger in the loop: whether moves by forecast pay in each keyspace, and who places where they do not.
//!
//! Once a step the ledger (`isobar_planner::GainLedger`) is told what occurred, and asks placers about placements that are not there: the native one
//! about the reactive placement, another instance of the bound one about the predictive placement where that is not the real one. That instance
//! begins without saved state, and is asked when a step closes, not at every tick.
//!
//! Where the book speaks against the policy, in mode `auto` and unless an operator wants otherwise, its moves are shown only (`gain-unproven`),
//! and the native placer plans for that keyspace, by what is measured alone.

use super::round::{BrainEvent, RoundRules};
use super::slot::Bound;
use super::view::Scope;
use super::{Brain, Forecasts};
use isobar_analyzer::History;
use isobar_model::{Action, CheckedMove, ClusterView, Digest, KeyspaceId, LoadBatch, Mode, Move, ShardId, Verdict};
use isobar_planner::{Advisor, GainLedger, GainReport, GainSpec, PlacedShard, StepFacts};
use isobar_ports::{Observation, Placer, PolicyHost};
use std::collections::{BTreeMap, BTreeSet};

/// First byte of what is stored: the number of this format.
const FORMAT: u8 = 1;
/// The books are saved each time so many steps were laid on them: an hour of five-minute steps is what a change of leader can cost.
const SAVE_EVERY_STEPS: u32 = 12;
/// Rounds of the loop in a step, at most, that the ledger hears of.
const MAX_ROUNDS: u64 = 100;

/// The ledger, and who is asked about placements that are not there.
pub(super) struct Gains {
    spec: GainSpec,
    ledger: GainLedger,
    native: Box<dyn Placer>,
    /// Another instance of the bound placer.
    rehearsing: Option<(Bound, Box<dyn Placer>)>,
    unsaved_steps: u32,
    to_save: bool,
}

impl Gains {
    pub(super) fn new(spec: GainSpec, host: &dyn PolicyHost) -> Self {
        let native = host.builtin_placer();
        Self { spec, ledger: GainLedger::default(), native, rehearsing: None, unsaved_steps: 0, to_save: false }
    }
}

impl Brain {
    /// What the gain ledger says, by keyspace; empty where none is kept.
    #[must_use]
    pub fn gains(&self) -> Vec<GainReport> {
        self.gains.as_ref().map(|gains| gains.ledger.report(&gains.spec)).unwrap_or_default()
    }

    /// Begins the book of a keyspace from nothing: its policy may move again until it is known better.
    pub fn reset_gains(&mut self, keyspace: KeyspaceId) {
        if let Some(gains) = &mut self.gains {
            gains.ledger.reset(keyspace);
            gains.to_save = true;
        }
    }

    /// Goes on with the books that a leader saved; see [`Tick::gains`](super::Tick::gains). Where that fails all begin from nothing.
    ///
    /// # Errors
    /// For people, where the bytes are of another format.
    pub fn restore_gains(&mut self, saved: &[u8]) -> Result<(), String> {
        let Some(gains) = &mut self.gains else { return Ok(()) };
        let rest = saved.strip_prefix(&[FORMAT]).ok_or("the gain ledger was saved by another release")?;
        gains.ledger = postcard::from_bytes(rest).map_err(|error| format!("the gain ledger can't be read: {error}"))?;
        Ok(())
    }

    /// Keyspaces in which the policy's moves are shown only, since they have not been shown to pay.
    pub(super) fn abstaining(&self, rules: &RoundRules) -> BTreeSet<KeyspaceId> {
        let Some(gains) = &self.gains else { return BTreeSet::new() };
        let heeded = self.heeded(rules);
        let autos = rules.keyspaces.iter().filter(|(_, rule)| rule.mode == Mode::Auto).map(|(keyspace, _)| *keyspace);
        autos
            .filter(|keyspace| heeded.contains(keyspace) && gains.ledger.standing(*keyspace).speaks_against())
            .collect()
    }

    /// Keyspaces in which the policy steps back where its book speaks against it. Without a policy there is nothing to step back from.
    fn heeded(&self, rules: &RoundRules) -> BTreeSet<KeyspaceId> {
        if self.placer.to_ask().is_none() {
            return BTreeSet::new();
        }
        rules.keyspaces.keys().filter(|keyspace| !rules.unheeded.contains(keyspace)).copied().collect()
    }

    /// Tells the ledger of the step that just closed.
    pub(super) fn keep_gains(
        &mut self,
        closed: &LoadBatch,
        observation: &Observation,
        rules: &RoundRules,
        seed: u32,
        events: &mut Vec<BrainEvent>,
    ) {
        let Some(mut gains) = self.gains.take() else { return };
        let shards = self.placed_shards(closed, observation);
        // Without shards: the facts of nodes alone.
        let bare = Observation { shards: Vec::new(), moving: Vec::new(), ..observation.clone() };
        let mut nodes = self.view_input(&bare, rules, seed, Scope::Everything).nodes;
        nodes.sort_by_key(|node| node.id);
        let autos = rules.keyspaces.iter().filter(|(_, rule)| rule.mode == Mode::Auto && !rules.halted);
        let live: BTreeSet<KeyspaceId> = autos.map(|(keyspace, _)| *keyspace).collect();
        let heeded = self.heeded(rules);
        let bound = self.placer.to_ask().cloned();
        let policy = bound.as_ref().map_or_else(|| crate::decision::BUILTIN.to_owned(), named);
        let span_ms = observation.span_ms.max(1);
        let facts = StepFacts {
            now: observation.now,
            step_ms: self.config.step_ms,
            rounds: (u64::from(self.config.step_ms) / span_ms).clamp(1, MAX_ROUNDS) as u32,
            nodes: &nodes,
            shards: &shards,
            moving: &observation.moving,
            limits: self.config.limits,
            settings: self.config.check,
            keyspaces: &rules.keyspaces,
            placement: &rules.placement,
            live: &live,
            heeded: &heeded,
            policy: &policy,
            seed,
        };
        let known = shards.iter().map(|shard| self.history.kept(shard.id)).max().unwrap_or(0);
        let mut advisor = Asked {
            host: self.host.as_ref(),
            bound: bound.as_ref(),
            native: gains.native.as_mut(),
            rehearsing: &mut gains.rehearsing,
            forecasts: &self.forecasts,
            quantiles: &self.config.quantiles,
            horizon: self.config.horizon_steps,
            history: &self.history,
            known,
        };
        let changes = gains.ledger.record(&gains.spec, &facts, &mut advisor);
        gains.unsaved_steps += 1;
        gains.to_save |= !changes.is_empty() || gains.unsaved_steps >= SAVE_EVERY_STEPS;
        events.extend(changes.into_iter().map(|change| BrainEvent::GainStanding {
            keyspace: change.keyspace,
            from: change.from,
            to: change.to,
        }));
        self.gains = Some(gains);
    }

    /// All shards, ascending, with what they did in the step; of those whose node was silent, what the native forecaster expects.
    fn placed_shards(&self, closed: &LoadBatch, observation: &Observation) -> Vec<PlacedShard> {
        let last = self.history.step_at(closed.start) + u64::from(closed.steps.saturating_sub(1));
        let mut shards: Vec<PlacedShard> = observation
            .shards
            .iter()
            .map(|shard| {
                let measured = Some(self.history.value(shard.id, last)).filter(|load| load.is_finite());
                let expected = || self.builtin_forecasts.median(shard.id).first().copied();
                PlacedShard {
                    id: shard.id,
                    keyspace: shard.keyspace,
                    replicas: shard.replicas.clone(),
                    bytes: shard.bytes,
                    load: measured.or_else(expected).unwrap_or(0.0),
                    follower_share: self.shares.of(shard.id),
                    move_steps: self.config.move_pace.steps(shard.bytes, self.config.step_ms),
                    last_moved: self.last_moved.get(&shard.id).copied().unwrap_or_default(),
                }
            })
            .collect();
        shards.sort_by_key(|shard| shard.id);
        shards.dedup_by_key(|shard| shard.id);
        shards
    }

    /// What the native placer proposes, by what is measured alone, in the keyspaces whose policy abstains.
    pub(super) fn react(
        &mut self,
        observation: &Observation,
        rules: &RoundRules,
        seed: u32,
        abstaining: &BTreeSet<KeyspaceId>,
    ) -> Vec<Move> {
        if abstaining.is_empty() {
            return Vec::new();
        }
        let mut input = self.view_input(observation, rules, seed, Scope::Policies);
        (input.steps, input.quantiles, input.scenarios) = (1, vec![0.5], None);
        for shard in &mut input.shards {
            shard.predicted = vec![shard.leader_load];
            shard.in_scope &= abstaining.contains(&shard.keyspace);
        }
        let view = input.build();
        match self.builtin_placer.propose(&view) {
            Ok(plan) => in_scope(&view, plan.moves),
            Err(failure) => {
                tracing::warn!(%failure, "the native placer failed where the policy abstains");
                Vec::new()
            }
        }
    }

    /// Notes automatic moves that are carried out.
    pub(super) fn note_gain_moves(&mut self, observation: &Observation, judged: &[CheckedMove]) {
        let Some(gains) = &mut self.gains else { return };
        let accepted: Vec<&CheckedMove> = judged.iter().filter(|done| done.verdict == Verdict::Accepted).collect();
        if accepted.is_empty() {
            return;
        }
        let of: BTreeMap<ShardId, KeyspaceId> = observation.shards.iter().map(|s| (s.id, s.keyspace)).collect();
        for done in accepted {
            if let Some(keyspace) = of.get(&done.proposed.shard) {
                let is_data = matches!(done.proposed.action, Action::MoveReplica { .. });
                gains.ledger.note_move(*keyspace, is_data);
            }
        }
    }

    /// The books, where they are to be saved now.
    pub(super) fn gains_to_save(&mut self) -> Option<Vec<u8>> {
        let gains = self.gains.as_mut().filter(|gains| gains.to_save)?;
        (gains.to_save, gains.unsaved_steps) = (false, 0);
        let bytes = postcard::to_extend(&gains.ledger, vec![FORMAT]).ok();
        // What can't be stored is not: a new leader then begins from nothing.
        bytes.filter(|bytes| bytes.len() <= isobar_ports::MAX_BLOB_BYTES)
    }
}

/// What evidence is of: another revision or configuration begins from nothing.
fn named(bound: &Bound) -> String {
    format!("{} {} {}", bound.name, bound.digest, Digest::of(bound.config.as_bytes()))
}

/// Moves of shards that the view lists.
fn in_scope(view: &ClusterView, mut moves: Vec<Move>) -> Vec<Move> {
    moves.retain(|proposed| view.shards.ids.binary_search(&proposed.shard).is_ok());
    moves
}

/// Who answers the ledger.
struct Asked<'a> {
    host: &'a dyn PolicyHost,
    bound: Option<&'a Bound>,
    native: &'a mut dyn Placer,
    rehearsing: &'a mut Option<(Bound, Box<dyn Placer>)>,
    forecasts: &'a Forecasts,
    quantiles: &'a [f32],
    horizon: u32,
    history: &'a History,
    /// Steps that the longest known shard is known for.
    known: u64,
}

impl Asked<'_> {
    /// The instance that rehearses; one of another policy is thrown away.
    fn rehearsing(&mut self, bound: &Bound) -> Option<&mut Box<dyn Placer>> {
        if self.rehearsing.as_ref().is_none_or(|(of, _)| of != bound) {
            let opened = self.host.placer(&bound.digest, &bound.config, None);
            *self.rehearsing = opened.ok().map(|placer| (bound.clone(), placer));
        }
        self.rehearsing.as_mut().map(|(_, placer)| placer)
    }
}

impl Advisor for Asked<'_> {
    fn react(&mut self, view: &ClusterView) -> Vec<Move> {
        self.native.propose(view).map(|plan| in_scope(view, plan.moves)).unwrap_or_default()
    }

    fn predict(&mut self, view: &ClusterView) -> Vec<Move> {
        let Some(bound) = self.bound else {
            return self.react(view);
        };
        let answer = self.rehearsing(bound).map(|placer| placer.propose(view));
        match answer {
            Some(Ok(plan)) => in_scope(view, plan.moves),
            Some(Err(failure)) => {
                tracing::debug!(%failure, "a policy failed at a placement that is not there");
                *self.rehearsing = None;
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn forecast_shape(&self) -> (Vec<f32>, u32) {
        (self.quantiles.to_vec(), self.horizon)
    }

    fn forecast(&self, shard: ShardId) -> Option<Vec<f32>> {
        let width = self.quantiles.len() * self.horizon as usize;
        self.forecasts.paths(shard).filter(|paths| paths.len() == width).map(<[f32]>::to_vec)
    }

    fn recorded(&self, shard: ShardId, steps: usize) -> Vec<f32> {
        let stride = self.known.div_ceil(steps.max(1) as u64).max(1);
        let (end, count) = (self.history.end(), self.known / stride);
        let at = |back: u64| self.history.value(shard, end.saturating_sub(1 + back * stride));
        (0..count).rev().map(at).map(|load| if load.is_finite() { load } else { 0.0 }).collect()
    }
}
