//! What the control loop leaves behind: decisions, saved policy states, plans that wait for an operator.

use crate::command::{ControlReply, Refusal, RefusalKind};
use crate::state::events::EventKind;
use crate::state::history::HistoryBlob;
use crate::state::{ControlState, json};
use isobar_model::{CheckedMove, Digest, InstantMs, KeyspaceId, Role};
use serde::{Deserialize, Serialize};

/// Decisions kept: about three hours at a tick of 10 s.
pub const MAX_DECISIONS: usize = 1_000;
/// Plans that may wait for an operator; beyond it the oldest is dropped, since the newer ones see the same need with fresher data.
pub const MAX_HELD_PLANS: usize = 16;
/// Most moves of one held plan: a round accepts far fewer.
const MAX_HELD_MOVES: usize = 1_000;
/// Most blobs one decision may name beside its own: a few evaluations with input, output and checkpoint each.
const MAX_DECISION_INPUTS: usize = 64;
/// Most saved policy states of one tick.
const MAX_SAVED_A_TICK: usize = 64;

/// One tick that is through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionEntry {
    /// Its number.
    pub tick: u64,
    /// When it was recorded, on the control clock.
    pub at: InstantMs,
    /// The blob of its decision record.
    pub decision: Digest,
    /// Blobs that the record names.
    pub inputs: Vec<Digest>,
}

/// The saved state of a bound policy: where a new leader goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The binding's role.
    pub role: Role,
    /// The binding's scope.
    pub keyspace: Option<KeyspaceId>,
    /// The revision that saved.
    pub revision: Digest,
    /// What it saved.
    pub blob: Digest,
    /// The end of the last step it had observed: re-observe from here.
    pub observed_until: InstantMs,
}

/// A plan that waits for an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldPlan {
    /// The tick that made it.
    pub tick: u64,
    /// When, on the control clock.
    pub at: InstantMs,
    /// Whether an operator has released it. The loop then checks it anew, carries it out and drops it.
    pub released: bool,
    /// Its moves.
    #[serde(with = "json")]
    pub moves: Vec<CheckedMove>,
}

impl ControlState {
    pub(super) fn record_tick(
        &mut self,
        tick: u64,
        history: Option<HistoryBlob>,
        decision: Digest,
        inputs: Vec<Digest>,
        saved: Vec<SavedState>,
    ) -> Result<ControlReply, Refusal> {
        if tick <= self.tick {
            return Err(Refusal::conflict(format!(
                "tick {tick} comes after tick {}: another leader was faster; read the state again",
                self.tick
            )));
        }
        if inputs.len() > MAX_DECISION_INPUTS || saved.len() > MAX_SAVED_A_TICK {
            return Err(Refusal::invalid(format!(
                "a tick may name {MAX_DECISION_INPUTS} blobs and {MAX_SAVED_A_TICK} saved states, not {} and {}",
                inputs.len(),
                saved.len()
            )));
        }
        if let Some(blob) = history {
            match self.history.with(&[blob], self.settings.step_ms) {
                Ok(history) => self.history = history,
                // The last leader, or an import, was faster. The loop must not stop over it: what is known stays.
                Err(refusal) if refusal.kind == RefusalKind::Conflict => {
                    self.event(EventKind::History, refusal.message, &[("digest", blob.digest.to_string())]);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        self.tick = tick;
        for state in saved {
            self.saved.insert((state.role, state.keyspace), state);
        }
        self.decisions.push_back(DecisionEntry { tick, at: self.now, decision, inputs });
        if self.decisions.len() > MAX_DECISIONS {
            self.decisions.pop_front();
        }
        let fields = [("tick", tick.to_string()), ("decision", decision.to_string())];
        self.event(EventKind::Tick, format!("tick {tick} is through"), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn import_history(&mut self, blobs: &[HistoryBlob]) -> Result<ControlReply, Refusal> {
        self.history = self.history.with(blobs, self.settings.step_ms)?;
        // It has not seen these steps, which lie before those that it has.
        self.saved.retain(|(role, _), _| *role != Role::Forecast);
        let fields = [("blobs", blobs.len().to_string())];
        self.event(EventKind::History, format!("{} blobs of history imported", blobs.len()), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn compact_history(
        &mut self,
        merged: HistoryBlob,
        replaced: &[Digest],
    ) -> Result<ControlReply, Refusal> {
        self.history = self.history.compacted(merged, replaced, self.settings.step_ms)?;
        let fields = [("digest", merged.digest.to_string()), ("replaced", replaced.len().to_string())];
        self.event(EventKind::History, format!("{} blobs of history merged into one", replaced.len()), &fields);
        Ok(ControlReply::Done)
    }

    pub(super) fn hold_moves(&mut self, tick: u64, moves: Vec<CheckedMove>) -> Result<ControlReply, Refusal> {
        if moves.is_empty() || moves.len() > MAX_HELD_MOVES {
            return Err(Refusal::invalid(format!("a held plan has 1 to {MAX_HELD_MOVES} moves, not {}", moves.len())));
        }
        if let Some(last) = self.held.back().filter(|last| last.tick >= tick) {
            return Err(Refusal::conflict(format!("tick {tick} comes after the plan held at tick {}", last.tick)));
        }
        let fields = [("tick", tick.to_string()), ("moves", moves.len().to_string())];
        self.event(EventKind::Plan, format!("the plan of tick {tick} waits for an operator"), &fields);
        self.held.push_back(HeldPlan { tick, at: self.now, released: false, moves });
        if self.held.len() > MAX_HELD_PLANS {
            self.held.pop_front();
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn release_moves(&mut self, tick: u64) -> Result<ControlReply, Refusal> {
        let plan = self.held.iter_mut().find(|plan| plan.tick == tick).ok_or_else(|| no_plan(tick))?;
        if !plan.released {
            plan.released = true;
            let fields = [("tick", tick.to_string())];
            self.event(EventKind::Plan, format!("the plan of tick {tick} is released"), &fields);
        }
        Ok(ControlReply::Done)
    }

    pub(super) fn drop_held_moves(&mut self, tick: u64) -> Result<ControlReply, Refusal> {
        let at = self.held.iter().position(|plan| plan.tick == tick).ok_or_else(|| no_plan(tick))?;
        self.held.remove(at);
        let fields = [("tick", tick.to_string())];
        self.event(EventKind::Plan, format!("the plan of tick {tick} waits no longer"), &fields);
        Ok(ControlReply::Done)
    }
}

fn no_plan(tick: u64) -> Refusal {
    Refusal::not_found(format!(
        "no plan of tick {tick} waits: list the held plans; the newest {MAX_HELD_PLANS} are kept"
    ))
}
