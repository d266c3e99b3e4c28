use crate::refit::history_steps;

/// A model is renewed so many times, and then fitted anew in place of being renewed once more.
const RENEWALS: u64 = 7;
/// A series younger than this has a new day, or a quarter of one, change most of what is known of it: nothing that was found before is kept for
/// long, and models come so many times as often.
const YOUNG_DAYS: u64 = 7;
/// With fewer steps a day it is always young: a fit looks at few values there and costs little, and hourly loads whose model was renewed were
/// forecast up to a fifth worse, by the hour at which that fell.
const LEAST_DAY_STEPS: u64 = 96;
const YOUNG_OFTEN: u64 = 4;

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A new model, of nothing but the history.
    Fit,
    /// The model brought up to date.
    Renewal,
}

/// When a series' model is fitted or renewed, by steps counted from an origin that differs from shard to shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Steps from one fit or renewal to the next.
    every: u64,
    /// A series of fewer steps is young.
    grown: u64,
}

impl Schedule {
    pub(crate) fn new(every: u64, day: u64) -> Self {
        let grown = if day < LEAST_DAY_STEPS { u64::MAX } else { (YOUNG_DAYS * day).min(history_steps(day) as u64) };
        Self { every, grown }
    }

    /// Steps from one fit to the next of a young series.
    fn young_every(self) -> u64 {
        (self.every / YOUNG_OFTEN).max(1)
    }

    /// At step `now` of a series with `since` steps of history.
    pub(crate) fn due(self, now: u64, since: u64) -> Option<Due> {
        if now.is_multiple_of(RENEWALS * self.every) || (since < self.grown && now.is_multiple_of(self.young_every())) {
            Some(Due::Fit)
        } else if since >= self.grown && now.is_multiple_of(self.every) {
            Some(Due::Renewal)
        } else {
            None
        }
    }

    /// Whether a fit is due within the next `steps` steps.
    pub(crate) fn fits_within(self, now: u64, since: u64, steps: u64) -> bool {
        let until = |every: u64| every - now % every;
        let young = until(self.young_every());
        until(RENEWALS * self.every) <= steps || (young <= steps && since.saturating_add(young) < self.grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_is_seen_coming_as_many_steps_before_as_it_comes() {
        for (every, day) in [(1, 96), (5, 96), (24, 96), (96, 96), (24, 24)] {
            let schedule = Schedule::new(every, day);
            for now in 0..2 * RENEWALS * every {
                let since = |ahead: u64| 100 + now + ahead;
                let first = (1..).find(|ahead| schedule.due(now + ahead, since(*ahead)) == Some(Due::Fit));
                let first = first.unwrap_or_else(|| panic!("there is always another"));
                assert!(schedule.fits_within(now, since(0), first), "every {every}, at {now}: in {first}");
                assert!(!schedule.fits_within(now, since(0), first - 1), "every {every}, at {now}: not before {first}");
            }
        }
    }

    #[test]
    fn a_grown_series_is_fitted_weekly_and_renewed_daily_a_young_one_fitted_four_times_a_day() {
        let schedule = Schedule::new(96, 96);
        let count = |due: Due, since: u64| (0..672).filter(|now| schedule.due(*now, since) == Some(due)).count();
        assert_eq!((count(Due::Fit, 1000), count(Due::Renewal, 1000)), (1, 6));
        assert_eq!((count(Due::Fit, 671), count(Due::Renewal, 671)), (28, 0));
        let hours = Schedule::new(24, 24);
        assert!((0..168).all(|now| hours.due(now, 1000) != Some(Due::Renewal)), "few steps a day: always young");
    }
}
