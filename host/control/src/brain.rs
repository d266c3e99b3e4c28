//! The control loop: observe → record → forecast → plan → check → score, one [`Brain::tick`] at a time.
//!
//! Synchronous, and a function of what it is given: observations, operators' rules, and the policies' answers. The live node and the
//! simulator drive the same brain. It begins no moves and stores nothing: what is to be done and kept comes back in [`Tick`].

mod bursts;
mod config;
mod evaluate;
mod explain;
mod forecasts;
mod gains;
mod insights;
mod node_loads;
mod pace;
mod preparation;
mod queries;
mod round;
mod saved;
mod scores;
mod seats;
mod shares;
mod slot;
mod uses;
mod view;
mod what_if;

pub use config::{BrainConfig, MovePace, Recording};
pub use explain::{Considered, NodeExplanation, NodeOutlook, ShardExplanation};
pub use forecasts::{ForecastAnswer, ShardForecast};
pub use preparation::{Preparation, Prepared, SwapReport};
pub use round::{BrainEvent, JudgedAs, RoundRules, SavedPolicy, Tick};
pub use scores::{BandScore, ForecastScores};
pub use slot::{Bound, SlotStatus};
pub use what_if::{MAX_ADDED_NODES, Supposed, SupposedNode, Supposition};

use crate::decision::Blobs;
use evaluate::OBSERVED_ROWS;
use forecasts::Forecasts;
use gains::Gains;
use insights::Seeker;
use isobar_analyzer::{BadBatch, Bursts, Guards, History, HistorySpec, RankScorer, Scorer, ScorerSpec, TickLoad};
use isobar_model::{
    CheckedMove, ClusterView, DecisionRecord, Digest, InstantMs, LoadBatch, Metric, Move, PlacementLimits, Role,
    ShardId, Verdict,
};
use isobar_planner::{Ledger, Origin, PlanCheck, drain};
use isobar_ports::{Forecaster, Observation, Placer, PolicyFailure, PolicyHost};
use preparation::Ready;
use saved::Saved;
use seats::Seats;
use shares::FollowerShares;
use slot::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uses::ReplicaUses;
use view::Scope;

/// Most refused moves that a decision record keeps; the rest is counted in a note. A hostile plan of 10 000 must not fill the log.
const MAX_REFUSED_RECORDED: usize = 256;
/// Most notes that a decision record keeps: the contract's 100, and what the host adds.
const MAX_NOTES: usize = 128;
/// Values of history that a preparation is given: 128 MiB, four weeks of five-minute steps of 4 161 shards. Others join later, a few a tick.
const PREPARED_VALUES: u64 = 32 << 20;
/// Half-life of the forecasters' scores: a day of five-minute steps.
const SCORE_HALF_LIFE_STEPS: f32 = 288.0;

/// The control loop's state.
pub struct Brain {
    config: BrainConfig,
    host: Arc<dyn PolicyHost>,
    history: History,
    shares: FollowerShares,
    uses: ReplicaUses,
    forecaster: Slot<dyn Forecaster>,
    placer: Slot<dyn Placer>,
    /// The native forecaster always runs along: it answers for a failing policy, sets the mark that the bound one is scored against,
    /// and is what the host judges headroom by.
    builtin_forecaster: Slot<dyn Forecaster>,
    builtin_placer: Box<dyn Placer>,
    score: Scorer,
    builtin_score: Scorer,
    /// How good the ranking by the forecast in force is.
    ranks: RankScorer,
    /// Who answers for which shard and horizon, the bound forecaster or the native one; none: always the bound one.
    guards: Option<Guards>,
    /// Shards whose load no forecast foresaw; none: nobody looks for them.
    bursts: Option<Bursts>,
    outscored: bool,
    /// Which shards the bound forecaster serves.
    seats: Seats,
    forecasts: Forecasts,
    builtin_forecasts: Forecasts,
    /// The forecast in force does not speak of now any more, or is not by the policy in force.
    stale: bool,
    ledger: Ledger,
    last_moved: BTreeMap<ShardId, InstantMs>,
    /// Shards that moved at the last observation, or whose move this brain has accepted since.
    known_moving: BTreeSet<ShardId>,
    tick: u64,
    /// The last round, for the ranking.
    last_view: Option<ClusterView>,
    last_moves: Vec<Move>,
    seeker: Seeker,
    /// Whether moves by forecast pay; none: nobody keeps the books.
    gains: Option<Gains>,
}

impl std::fmt::Debug for Brain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Brain");
        shown.field("tick", &self.tick).field("forecaster", &self.forecaster).field("placer", &self.placer);
        shown.finish_non_exhaustive()
    }
}

impl Brain {
    /// A brain without history, served by the native policies.
    #[must_use]
    pub fn new(config: BrainConfig, host: Arc<dyn PolicyHost>) -> Self {
        let history =
            History::new(HistorySpec { metric: Metric::Load, step_ms: config.step_ms, keep_steps: config.keep_steps });
        let scorer = new_scorer(&config);
        Self {
            history,
            shares: FollowerShares::new(config.follower_share),
            uses: ReplicaUses::default(),
            forecaster: Slot::new(Role::Forecast),
            placer: Slot::new(Role::Place),
            builtin_forecaster: Slot::new(Role::Forecast),
            builtin_placer: host.builtin_placer(),
            score: scorer.clone(),
            builtin_score: scorer,
            ranks: scores::rank_scorer(config.horizon_steps),
            guards: config.guard.clone().map(Guards::new),
            bursts: config.bursts.map(Bursts::new),
            outscored: false,
            seats: Seats::default(),
            forecasts: Forecasts::none(),
            builtin_forecasts: Forecasts::none(),
            stale: true,
            ledger: Ledger::default(),
            last_moved: BTreeMap::new(),
            known_moving: BTreeSet::new(),
            tick: 0,
            last_view: None,
            last_moves: Vec::new(),
            seeker: Seeker::default(),
            gains: config.gains.clone().map(|spec| Gains::new(spec, host.as_ref())),
            config,
            host,
        }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &BrainConfig {
        &self.config
    }

    /// Its history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Takes in steps that are closed already: a trace, or what was persisted before a restart. Forecasters that have seen later ones
    /// start over at the next tick.
    pub fn import_history(&mut self, batch: &LoadBatch) -> Result<(), BadBatch> {
        self.history.import(batch)?;
        let first = self.history.step_at(batch.start);
        for slot in [&mut self.forecaster, &mut self.builtin_forecaster] {
            if slot.fed > first || slot.saved.as_ref().is_some_and(|saved| saved.through > first) {
                slot.start_over();
            }
        }
        self.stale = true;
        Ok(())
    }

    /// Keeps closed steps from forecasters, as the leader before did when a burst was on. To be told before the next tick.
    pub fn withhold(&mut self, steps: &[(ShardId, InstantMs)]) {
        for &(shard, start) in steps {
            self.history.withhold(shard, self.history.step_at(start));
        }
    }

    /// Tells when shards last moved, as a new leader reads it from the control state. Cool-downs count from these.
    pub fn note_moved(&mut self, moved: impl IntoIterator<Item = (ShardId, InstantMs)>) {
        for (shard, at) in moved {
            let last = self.last_moved.entry(shard).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// Goes on with the tick after `tick`, as a new leader does: the numbers of ticks ascend over all leaders.
    pub fn continue_after(&mut self, tick: u64) {
        self.tick = self.tick.max(tick);
    }

    /// Changes the rules that policies see, from the next tick on.
    pub fn set_limits(&mut self, limits: PlacementLimits) {
        self.config.limits = limits;
    }

    /// Changes how long moves of data are taken to last, from the next tick on.
    pub fn set_move_pace(&mut self, pace: MovePace) {
        self.config.move_pace = pace;
    }

    /// Drops shards that are gone for ever.
    pub fn forget(&mut self, shards: &[ShardId]) {
        self.history.forget(shards);
        self.shares.forget(shards);
        self.uses.forget(shards);
        if let Some(bursts) = &mut self.bursts {
            bursts.forget(shards);
        }
        if let Some(guards) = &mut self.guards {
            guards.retain(|shard| !shards.contains(&shard));
        }
        for scorer in [&mut self.score, &mut self.builtin_score] {
            scorer.retain(|shard| !shards.contains(&shard));
        }
        self.last_moved.retain(|shard, _| !shards.contains(shard));
        self.seats.forget(shards);
        for slot in [&mut self.forecaster, &mut self.builtin_forecaster] {
            let forgotten = slot.instance.as_mut().map(|instance| instance.forget(shards));
            if let Some(Err(_)) = forgotten {
                slot.start_over();
            }
        }
        self.stale = true;
    }

    /// Gives a child of a split its share of its parent's history.
    pub fn inherit(&mut self, parent: ShardId, child: ShardId, share: f32) {
        self.history.inherit(parent, child, share);
        self.forecaster.start_over();
        self.builtin_forecaster.start_over();
        self.stale = true;
    }

    /// Takes what the next instance of a role needs; see [`Preparation`]. `revision` none: the native policy. Bindings are global today;
    /// one for a keyspace alone will be a scope given here.
    pub fn preparation(&mut self, role: Role, revision: Option<(Digest, String)>, config: &str) -> Preparation {
        let bound = revision.map(|(digest, name)| Bound { digest, name, config: config.to_owned() });
        let same =
            |serving: Option<&Bound>| matches!((&bound, serving), (Some(to), Some(from)) if to.name == from.name);
        let through = self.history.end();
        let (request, fuel) = (self.request(Vec::new()), self.config.forecast_fuel);
        match role {
            Role::Forecast => {
                let saved = if same(self.forecaster.to_ask()) { self.save_forecaster() } else { None };
                let history = if bound.is_some() { self.history_to_prepare() } else { Vec::new() };
                Preparation { role, bound, saved, history, through, request, fuel }
            }
            Role::Place => {
                let saved = if same(self.placer.to_ask()) {
                    let bytes = self.placer.instance.as_mut().and_then(|placer| placer.save().ok());
                    bytes.map(|bytes| Saved { bytes, through, shards: Vec::new() })
                } else {
                    None
                };
                Preparation { role, bound, saved, history: Vec::new(), through, request, fuel }
            }
        }
    }

    /// The history of the hottest shards, as many as a preparation is given.
    fn history_to_prepare(&self) -> Vec<LoadBatch> {
        let mut values = 0;
        let mut shards = self.hottest_shards();
        let fit = shards.iter().take_while(|shard| {
            values += self.history.kept(**shard);
            values <= PREPARED_VALUES
        });
        let fit = fit.count().max(OBSERVED_ROWS);
        shards.truncate(fit);
        self.history.batches(shards, 0, OBSERVED_ROWS)
    }

    /// Has forecasts say why they are native ones, until a forecaster is activated.
    pub fn await_forecaster(&mut self, why: String) {
        self.forecaster.fallback = Some(why);
        self.stale = true;
    }

    /// Both slow and quick part of a preparation at once: for callers that need not keep the brain free meanwhile.
    pub fn prepare(
        &mut self,
        role: Role,
        revision: Option<(Digest, String)>,
        config: &str,
    ) -> Result<Prepared, PolicyFailure> {
        let host = Arc::clone(&self.host);
        self.preparation(role, revision, config).run(host.as_ref())
    }

    /// Puts a prepared instance in place of the one that serves. Shows it the steps closed since first; should it fail at them, the one that
    /// serves stays.
    pub fn activate(&mut self, prepared: Prepared) -> Result<SwapReport, PolicyFailure> {
        let Prepared { role, bound, ready, through, seats, restored, mut observed_steps } = prepared;
        let to = bound.clone();
        let end = self.history.end();
        let from = match (role, ready) {
            (Role::Forecast, Ready::Forecaster(mut next)) => {
                let fed = evaluate::feed(next.as_mut(), &self.history, seats.taken(), through)?;
                observed_steps += fed.iter().map(|batch| batch.steps).max().unwrap_or(0);
                let from = self.forecaster.bound.take();
                self.forecaster.rebind(bound, Some(next), end);
                from
            }
            (Role::Place, Ready::Placer(next)) => {
                let from = self.placer.bound.take();
                self.placer.rebind(bound, Some(next), end);
                from
            }
            (Role::Forecast, Ready::Builtin | Ready::Placer(_)) => {
                let from = self.forecaster.bound.take();
                self.forecaster.rebind(None, None, 0);
                from
            }
            (Role::Place, Ready::Builtin | Ready::Forecaster(_)) => {
                let from = self.placer.bound.take();
                self.placer.rebind(None, None, 0);
                from
            }
        };
        if role == Role::Forecast {
            self.score = new_scorer(&self.config);
            self.ranks = scores::rank_scorer(self.config.horizon_steps);
            self.guards = self.config.guard.clone().map(Guards::new);
            self.outscored = false;
            self.seats = seats;
            self.seeker.forget_told();
            self.stale = true;
        }
        tracing::info!(
            ?role,
            policy = to.as_ref().map_or("builtin", |b| &b.name),
            restored,
            observed_steps,
            "policy swapped"
        );
        Ok(SwapReport { role, from, to, restored, observed_steps })
    }

    /// One round of the loop.
    pub fn tick(&mut self, observation: &Observation, rules: &RoundRules) -> Tick {
        self.tick += 1;
        let _span = tracing::info_span!("tick", tick = self.tick).entered();
        let now = observation.now;
        let mut events = Vec::new();
        let mut blobs = Blobs::new(self.config.recording);
        let mut evaluations = Vec::new();

        let mut notes = self.note_bursts(observation, &mut events);
        let closed = self.record(observation);
        let withheld = closed.as_ref().map_or_else(Vec::new, |closed| self.withheld_from(closed.start));
        if closed.is_some() || self.stale {
            evaluations.push(self.forecast_all(&mut blobs, &mut events));
        }

        let seed = seed_of(self.config.seed, self.tick);
        if let Some(closed) = &closed {
            self.keep_gains(closed, observation, rules, seed, &mut events);
        }
        let view = self.view(observation, rules, seed, Scope::Policies);
        let (plan, evaluation) = self.propose(&view, &mut blobs, &mut events);
        evaluations.push(evaluation);
        notes.extend(plan.notes);
        let abstaining = self.abstaining(rules);
        let reactive = self.react(observation, rules, seed, &abstaining);

        // Drains may move what policies do not see.
        let all_seen = view.shards.ids.len() >= observation.shards.len();
        let whole = if all_seen { None } else { Some(self.view(observation, rules, seed, Scope::Everything)) };
        let judged_by = whole.as_ref().unwrap_or(&view);
        let expected = self.expected(judged_by);
        let mut check = PlanCheck::new(judged_by, self.round_input(rules, now, &expected)).abstaining_in(abstaining);
        let (mut moves, held_back) = drain(&mut check);
        let (mut automatic, _) = check.judge_plan(rules.released.clone(), Origin::Released);
        automatic.extend(check.judge_plan(reactive, Origin::Reactive).0);
        let (judged, dropped) = check.judge_plan(plan.moves, Origin::Policy);
        automatic.extend(judged);
        notes.extend(held_back);
        if dropped > 0 {
            notes.push(format!("{dropped} moves over the bound of a plan were not judged"));
        }
        let spent = check.spent();

        self.note_gain_moves(observation, &automatic);
        moves.extend(automatic);
        self.ledger.note(now, spent);
        let accepted: Vec<CheckedMove> = moves.iter().filter(|m| m.verdict == Verdict::Accepted).cloned().collect();
        for done in &accepted {
            self.last_moved.insert(done.proposed.shard, now);
            self.known_moving.insert(done.proposed.shard);
        }
        self.last_moves = moves
            .iter()
            .filter(|m| !matches!(m.verdict, Verdict::Refused { .. }))
            .map(|m| m.proposed.clone())
            .collect();
        self.last_view = Some(view);
        let verdicts = counted(&moves);
        let moves = bounded(moves, &mut notes);
        notes.truncate(MAX_NOTES);
        let record = DecisionRecord { tick: self.tick, now, seed, evaluations, moves, notes };
        let saved = self.newly_saved();
        let gains = self.gains_to_save();
        Tick { record, accepted, verdicts, closed, withheld, inputs: blobs.kept, saved, gains, events }
    }

    /// Judges a move that an operator asks for by hand, as things stand. An accepted one counts for cool-downs from now on.
    pub fn check_by_hand(&mut self, observation: &Observation, rules: &RoundRules, proposed: Move) -> CheckedMove {
        let view = self.view(observation, rules, 0, Scope::Everything);
        let expected = self.expected(&view);
        let mut check = PlanCheck::new(&view, self.round_input(rules, observation.now, &expected));
        let checked = check.judge(proposed, Origin::Operator);
        if checked.verdict == Verdict::Accepted {
            self.last_moved.insert(checked.proposed.shard, observation.now);
            self.known_moving.insert(checked.proposed.shard);
        }
        checked
    }

    /// The states that the policies saved in this round.
    fn newly_saved(&mut self) -> Vec<SavedPolicy> {
        let found = [self.forecaster.take_new_save(), self.placer.take_new_save()];
        let of = |(role, revision, saved): (Role, Digest, Saved)| {
            let observed_until = self.history.start_of(saved.through);
            Some(SavedPolicy { role, revision, observed_until, bytes: saved.to_stored()? })
        };
        found.into_iter().flatten().filter_map(of).collect()
    }

    /// Takes in what the shards did; gives the steps that closed.
    fn record(&mut self, observation: &Observation) -> Option<LoadBatch> {
        let loads: Vec<TickLoad> =
            observation.shards.iter().map(|s| TickLoad { shard: s.id, load: s.leader_load }).collect();
        for shard in &observation.shards {
            self.shares.record(shard.id, shard.leader_load, shard.follower_load);
            self.uses.record(shard.id, shard.leader_load, &shard.uses);
        }
        // A move that another leader began, or an operator: it counts from when it is first seen.
        let moving: BTreeSet<ShardId> = observation.moving.iter().map(|moving| moving.shard).collect();
        for &shard in moving.difference(&self.known_moving) {
            self.last_moved.insert(shard, observation.now);
        }
        self.known_moving = moving;
        let kept_ms = u64::from(self.config.step_ms).saturating_mul(self.config.keep_steps as u64);
        let kept_ms = kept_ms.max(self.config.limits.cool_down_ms);
        self.last_moved.retain(|_, at| observation.now.since_ms(*at) <= kept_ms);

        let closed = self.history.record(observation.now, observation.span_ms, &loads)?;
        self.withhold_bursts(&closed);
        let first = self.history.step_at(closed.start);
        for step in first..first + u64::from(closed.steps) {
            // What nobody could foresee does not decide who forecasts better.
            let shown = |shard| self.history.shown(shard, step);
            self.score.occurred(step, shown);
            self.builtin_score.occurred(step, shown);
            if let Some(guards) = &mut self.guards {
                guards.occurred(step, shown);
            }
            self.ranks.occurred(step, |shard| self.history.value(shard, step));
        }
        Some(closed)
    }
}

fn new_scorer(config: &BrainConfig) -> Scorer {
    Scorer::new(ScorerSpec {
        horizons: config.score_horizons.iter().copied().filter(|&h| h <= config.horizon_steps).collect(),
        quantiles: config.quantiles.clone(),
        half_life_steps: SCORE_HALF_LIFE_STEPS,
    })
}

/// A seed for each tick: SplitMix64 of the brain's seed and the tick's number (Steele, Lea and Flood 2014).
fn seed_of(seed: u64, tick: u64) -> u32 {
    let mut z = seed.wrapping_add(tick.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}

fn counted(moves: &[CheckedMove]) -> BTreeMap<JudgedAs, u64> {
    let mut counts = BTreeMap::new();
    for checked in moves {
        let judged_as = match &checked.verdict {
            Verdict::Accepted => JudgedAs::Accepted,
            Verdict::Held { rule } => JudgedAs::Held(*rule),
            Verdict::Refused { rule, .. } => JudgedAs::Refused(*rule),
        };
        *counts.entry(judged_as).or_default() += 1;
    }
    counts
}

/// All accepted and held moves, and the first of those refused.
fn bounded(moves: Vec<CheckedMove>, notes: &mut Vec<String>) -> Vec<CheckedMove> {
    let mut refused = 0usize;
    let mut kept = moves;
    kept.retain(|m| {
        let is_refused = matches!(m.verdict, Verdict::Refused { .. });
        refused += usize::from(is_refused);
        !is_refused || refused <= MAX_REFUSED_RECORDED
    });
    if let Some(more @ 1..) = refused.checked_sub(MAX_REFUSED_RECORDED) {
        // The host's own word goes first: the policy's notes may already fill the bound.
        notes.insert(0, format!("{more} more refused moves are not listed"));
    }
    kept
}

#[cfg(test)]
mod tests;
