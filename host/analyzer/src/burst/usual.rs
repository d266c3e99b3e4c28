//! What a shard does without a forecast having said so: what it did just now, and what is its habit at this time of day.

use crate::History;
use isobar_model::ShardId;

const DAY_MS: u64 = 86_400_000;
/// A week: what is done on working days was done yesterday or a week ago, and on two of the last seven days.
const HABIT_DAYS: u64 = 7;
/// Jobs start so much earlier or later than the day before.
const HABIT_AROUND_MS: u64 = 5 * 60_000;
/// Steps that were measured last.
const RECENT_STEPS: usize = 2;
/// What is older is not what a shard does now, where nothing newer is known.
const RECENT_MS: u64 = 3_600_000;
/// Most steps of a window, whatever their length: two minutes of seconds.
const MOST_STEPS: usize = 121;

/// A shard's own measure of what is unusual, in load units per second; 0 where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// The higher one of the last two steps, those withheld not left out: a load that goes on does not begin.
    pub recent: f32,
    /// What was reached within five minutes of this time, or within a step, yesterday, a week ago, or on two of the last seven days.
    pub habit: f32,
}

impl Usual {
    /// As the closed steps before `step` show it, `step` being the one under way.
    #[must_use]
    pub fn of(history: &History, shard: ShardId, step: u64) -> Self {
        let step_ms = u64::from(history.spec().step_ms);
        let mut window = [f32::NAN; MOST_STEPS];
        let steps =
            |ms: u64, least: usize| usize::try_from(ms / step_ms).unwrap_or(MOST_STEPS).clamp(least, MOST_STEPS);

        let lately = &mut window[..steps(RECENT_MS, RECENT_STEPS).min(usize::try_from(step).unwrap_or(MOST_STEPS))];
        history.read(shard, step - lately.len() as u64, lately);
        let known = lately.iter().rev().copied().filter(|load| load.is_finite());
        let recent = known.take(RECENT_STEPS).fold(0.0, f32::max);

        let around = steps(HABIT_AROUND_MS, 1).min(MOST_STEPS / 2);
        let (mut highest, mut second, mut habit) = (0.0f32, 0.0f32, 0.0f32);
        for day in 1..=HABIT_DAYS {
            let Some(first) = step.checked_sub(day * DAY_MS / step_ms + around as u64) else { break };
            let about = &mut window[..2 * around + 1];
            history.read(shard, first, about);
            let reached = about.iter().copied().fold(0.0, f32::max);
            (highest, second) = (highest.max(reached), second.max(highest.min(reached)));
            if day == 1 || day == HABIT_DAYS {
                habit = reached.max(habit);
            }
        }
        Self { recent, habit: habit.max(second) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistorySpec;
    use isobar_model::{InstantMs, LoadBatch, Metric};
    use proptest::prelude::*;

    const A: ShardId = ShardId(1);
    const STEP_MS: u32 = 300_000;
    const DAY: u64 = 288;

    /// Ten days of load 1, but for these steps.
    fn history(others: &[(u64, f32)]) -> History {
        let mut values = vec![1.0; 10 * DAY as usize];
        others.iter().for_each(|&(step, load)| values[step as usize] = load);
        let mut history =
            History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: values.len() });
        let steps = values.len() as u32;
        let batch =
            LoadBatch { metric: Metric::Load, start: InstantMs(0), step_ms: STEP_MS, steps, shards: vec![A], values };
        history.import(&batch).unwrap();
        history
    }

    #[test]
    fn what_was_done_yesterday_a_week_ago_or_twice_is_a_habit() {
        let now = 10 * DAY;
        let habit = |others: &[(u64, f32)]| Usual::of(&history(others), A, now).habit;
        let days_ago = |days: u64| now - days * DAY;
        assert_eq!(habit(&[]), 1.0);
        assert_eq!(habit(&[(days_ago(1), 9.0)]), 9.0);
        assert_eq!(habit(&[(days_ago(7) + 1, 9.0)]), 9.0);
        assert_eq!(habit(&[(days_ago(3), 9.0)]), 1.0, "once is chance");
        assert_eq!(habit(&[(days_ago(3) - 1, 9.0), (days_ago(5) + 1, 8.0)]), 8.0);
        assert_eq!(habit(&[(days_ago(3) - 2, 9.0), (days_ago(5) + 2, 8.0)]), 1.0, "at another time");
    }

    #[test]
    fn what_was_done_just_now_is_known_across_a_short_gap() {
        let now = 10 * DAY;
        let recent = |others: &[(u64, f32)]| Usual::of(&history(others), A, now).recent;
        assert_eq!(recent(&[(now - 1, 3.0), (now - 2, 5.0), (now - 3, 7.0)]), 5.0);
        assert_eq!(recent(&[(now - 1, f32::NAN), (now - 2, 5.0), (now - 3, 7.0)]), 7.0);
        let silent: Vec<(u64, f32)> = (1..=12).map(|back| (now - back, f32::NAN)).collect();
        assert_eq!(recent(&silent), 0.0, "an hour ago is not now");
        assert_eq!(Usual::of(&history(&[]), ShardId(2), now), Usual::default());
    }

    proptest! {
        #[test]
        fn any_step_of_any_length_is_taken(step_ms in 1u32.., step in any::<u32>(), end in 0u64..2_000_000_000_000) {
            let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms, keep_steps: 100 });
            let start = InstantMs(end / u64::from(step_ms) * u64::from(step_ms));
            let batch = LoadBatch { metric: Metric::Load, start, step_ms, steps: 1, shards: vec![A], values: vec![2.0] };
            history.import(&batch).unwrap();
            let usual = Usual::of(&history, A, u64::from(step));
            prop_assert!(usual.recent.is_finite() && usual.habit.is_finite());
        }
    }
}
