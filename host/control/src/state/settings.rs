//! Settings of the whole cluster.

use crate::command::Refusal;
use isobar_model::{LoadWeights, PlacementLimits};
use serde::{Deserialize, Serialize};

/// A day: the longest step, and so the longest tick.
const MAX_STEP_MS: u32 = 86_400_000;

/// What an operator can tune about the loop and its moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Rules that every plan is checked by.
    pub limits: PlacementLimits,
    /// What operations cost.
    pub weights: LoadWeights,
    /// The loop's beat, milliseconds of the control clock.
    pub tick_ms: u32,
    /// Length of one forecast value, milliseconds of the control clock; a multiple of the tick. Fixed once history is recorded.
    pub step_ms: u32,
    /// Pace of a copy in bytes per second of wall time; 0: unthrottled.
    pub copy_bytes_per_s: u64,
    /// Steps that a move of data is declared to take: it does not switch before; 0: as fast as the pace lets it.
    pub move_steps: u32,
}

impl Default for Settings {
    /// A tick of 10 s and a step of 5 min (the length of most monitoring series). A copy at 32 MiB/s leaves most of a 1 Gbit/s link to
    /// clients. Half an hour of cool-down is six steps: longer than a spike that a move would chase in vain.
    fn default() -> Self {
        Self {
            limits: PlacementLimits {
                moves_per_node: 2,
                moves_per_round: 16,
                cool_down_ms: 30 * 60_000,
                max_utilisation: 0.9,
                leader_steps: 0.1,
            },
            weights: LoadWeights::default(),
            tick_ms: 10_000,
            step_ms: 300_000,
            copy_bytes_per_s: 32 << 20,
            move_steps: 0,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Self { limits, weights, tick_ms, step_ms, copy_bytes_per_s: _, move_steps } = *self;
        let invalid = |message: String| Err(Refusal::invalid(message));
        if tick_ms == 0 || step_ms > MAX_STEP_MS || step_ms == 0 || step_ms % tick_ms != 0 {
            return invalid(format!(
                "a tick of {tick_ms} ms does not fit a step of {step_ms} ms: give a step of at most a day and a tick that divides it"
            ));
        }
        if limits.moves_per_node == 0 || limits.moves_per_round == 0 {
            return invalid(
                "moves_per_node and moves_per_round must be at least 1; to stop all moves use `halt`".into(),
            );
        }
        if !(limits.max_utilisation > 0.0 && limits.max_utilisation <= 1.0) {
            return invalid(format!("max_utilisation must be above 0 and at most 1, not {}", limits.max_utilisation));
        }
        if !(limits.leader_steps >= 0.0 && limits.leader_steps.is_finite()) {
            return invalid(format!("leader_steps must be a number of steps from 0, not {}", limits.leader_steps));
        }
        let weights = [weights.read, weights.write_leader, weights.write_follower];
        if !weights.iter().all(|w| w.is_finite() && *w >= 0.0) || weights.iter().all(|w| *w == 0.0) {
            return invalid(format!("load weights must be finite, not negative and not all zero, not {weights:?}"));
        }
        if move_steps > 10_000 {
            return invalid(format!("a move of {move_steps} steps would never end: give at most 10 000"));
        }
        Ok(())
    }
}
