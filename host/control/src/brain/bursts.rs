//! What the brain makes of bursts: planners and operators see them as they are measured, forecasters do not see them.

use super::forecasts::Forecasts;
use super::{Brain, BrainEvent};
use isobar_analyzer::{Burst, BurstChange, TickLoad, Usual};
use isobar_model::{InstantMs, LoadBatch, ShardId};
use isobar_ports::Observation;

/// Bursts beginning or ending in one tick that are told one by one; of a surge of the whole cluster the rest is counted.
const MAX_TOLD: usize = 16;

impl Brain {
    /// Looks for bursts in a tick, by the forecasts in force while it was measured. Gives notes for the decision record.
    pub(super) fn note_bursts(&mut self, observation: &Observation, events: &mut Vec<BrainEvent>) -> Vec<String> {
        let Some(bursts) = &mut self.bursts else { return Vec::new() };
        let loads: Vec<TickLoad> =
            observation.shards.iter().map(|s| TickLoad { shard: s.id, load: s.leader_load }).collect();
        let middle = observation.now.0.saturating_sub(observation.span_ms / 2);
        let step_ms = u64::from(self.config.step_ms.max(1));
        let (bound, native) = (&self.forecasts, &self.builtin_forecasts);
        // No model foresaw it: neither the one in force nor the native one.
        let feared = |shard: ShardId| {
            let of = |forecasts: &Forecasts| {
                let step = middle.checked_sub(forecasts.start.0)? / step_ms;
                forecasts.feared(shard, usize::try_from(step).ok()?)
            };
            of(bound).into_iter().chain(of(native)).reduce(f32::max)
        };
        let history = &self.history;
        let step = history.step_at(InstantMs(middle));
        let usual = |shard| Usual::of(history, shard, step);
        let changes = bursts.record(observation.now, observation.span_ms, &loads, feared, usual);
        let mut notes = Vec::new();
        for change in changes.iter().take(MAX_TOLD) {
            match *change {
                BurstChange::Began { shard, burst } => {
                    let (load, feared) = (burst.level, burst.level - burst.excess);
                    notes
                        .push(format!("shard {shard} is in a burst: {load:.1} where {feared:.1} at most was foreseen"));
                    events.push(BrainEvent::BurstBegan { shard, since: burst.since, load, feared });
                }
                BurstChange::Ended { shard, lasted_ms, lasting } => {
                    let seconds = lasted_ms / 1_000;
                    notes.push(if lasting {
                        format!("the burst of shard {shard} lasts, after {seconds} s it is the shard's new level")
                    } else {
                        format!("the burst of shard {shard} is over, it lasted {seconds} s")
                    });
                    events.push(BrainEvent::BurstEnded { shard, lasted_ms, lasting });
                }
            }
        }
        if let Some(more @ 1..) = changes.len().checked_sub(MAX_TOLD) {
            notes.push(format!("{more} more bursts began or ended"));
        }
        notes
    }

    /// Keeps the steps just closed from forecasters where a burst was on: by what is planted in real load, they forecast up to twelve times worse for
    /// a day after one that they have seen (`policies/forecasting-kit/examples/fed_bursts.rs`).
    pub(super) fn withhold_bursts(&mut self, closed: &LoadBatch) {
        let Some(bursts) = &self.bursts else { return };
        let first = self.history.step_at(closed.start);
        for step in first..first + u64::from(closed.steps) {
            let (from, to) = (self.history.start_of(step), self.history.start_of(step + 1));
            for &shard in closed.shards.iter().filter(|shard| bursts.overlaps(**shard, from, to)) {
                self.history.withhold(shard, step);
            }
        }
    }

    /// Steps withheld from `start` on, by their start.
    pub(super) fn withheld_from(&self, start: InstantMs) -> Vec<(ShardId, InstantMs)> {
        let withheld = self.history.withheld(self.history.step_at(start));
        withheld.map(|(shard, step)| (shard, self.history.start_of(step))).collect()
    }

    /// The shard's burst, while one is on.
    pub(super) fn burst_of(&self, shard: ShardId) -> Option<Burst> {
        self.bursts.as_ref()?.of(shard)
    }

    /// Raises paths of a forecast to what the shard's burst will be: whoever looks ahead, planner or operator, sees the same.
    pub(super) fn raise(&self, forecasts: &Forecasts, shard: ShardId, quantiles: &[f32], paths: &mut [f32]) {
        if let Some(bursts) = &self.bursts {
            bursts.raise(shard, forecasts.start, self.config.step_ms, quantiles, paths);
        }
    }
}
