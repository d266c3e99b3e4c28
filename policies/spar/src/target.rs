use crate::lead::Shares;
use forecasting_kit::{GUESSES, Guesses, Ring, Season, width};
use serde::{Deserialize, Serialize};

/// Averages of the offset at present: the last one, and over about two steps, an hour, four hours.
const OFFSETS: usize = 4;
/// Guesses, each above the season's expectation: the usual load, the median of the days, yesterday, the weekday.
const PERIODIC: usize = 4;
/// Offsets at the same minute of the newest hour, and of the three newest hours.
const HOURLY: usize = 2;
/// What is regressed on, in this order.
pub(crate) const FEATURES: usize = OFFSETS + PERIODIC + HOURLY;
/// Numbers of a [`Known`].
const KNOWN: usize = OFFSETS + 2;
/// What one step counts in the average over two steps, which is also the most in those over hours, where steps are long.
const TWO_STEPS: f32 = 0.4;
/// Steps of a day, to those that an average over an hour, and over four hours, amounts to.
const HOUR_OF_DAY: f32 = 23.0;
const FOUR_HOURS_OF_DAY: f32 = 6.0;
/// What one step counts in the unrest.
const UNREST_SHARE: f32 = 0.15;
/// For the unrest, an accident counts as so many usual errors.
const ACCIDENT: f32 = 20.0;
/// A guess further than so many usual errors from the season's expectation is taken to be so far.
const GUESS_LIMIT: f32 = 6.0;
/// The offset of an earlier hour is carried on up to so many usual errors: beyond, it was an accident of that hour.
const HOURLY_LIMIT: f32 = 12.0;
/// The same minute of earlier hours says something only where an hour has so many steps.
const LEAST_STEPS_AN_HOUR: u64 = 4;
const HOURS_OF_DAY: u64 = 24;

/// What is known at one step, beside the history.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    /// How far the load is above what the season expected of it: averages.
    offsets: [f32; OFFSETS],
    /// The usual load, whatever the time of day.
    pub(crate) usual: f32,
    /// The mean size of the last offsets, in usual ones.
    unrest: f32,
}

/// What was known at each step of the last day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Past([Ring; KNOWN]);

/// What can be said of a step beside what is [`Known`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) guesses: Guesses,
    /// From [`Past::hourly`].
    pub(crate) hourly: [f32; HOURLY],
    /// The usual size of an error.
    pub(crate) size: f32,
}

/// What the season expects of a step, and what is known beyond that, in usual sizes.
#[derive(Debug)]
pub(crate) struct Outset {
    pub(crate) season: f32,
    pub(crate) features: [f32; FEATURES],
}

/// An expectation, and the usual size of its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) point: f32,
    pub(crate) size: f32,
}

impl Known {
    /// Before anything was seen.
    pub(crate) fn new() -> Self {
        Self { offsets: [0.0; OFFSETS], usual: 0.0, unrest: 1.0 }
    }

    /// Takes in the `seen`th value, `offset` above what the season expected; `size`: the usual size of that.
    pub(crate) fn push(&mut self, day: u64, value: f32, offset: f32, size: f32, seen: u32) {
        let over = |steps: f32| (steps / day as f32).min(TWO_STEPS);
        let shares: [f32; OFFSETS] = [1.0, TWO_STEPS, over(HOUR_OF_DAY), over(FOUR_HOURS_OF_DAY)];
        for (mean, share) in self.offsets.iter_mut().zip(shares) {
            *mean += share * (offset - *mean);
        }
        self.unrest += UNREST_SHARE * ((offset.abs() / size).min(ACCIDENT) - self.unrest);
        self.usual += (value - self.usual) / (seen as f32).min(day as f32);
    }

    /// The unrest, as widths take it.
    pub(crate) fn unrest(&self) -> f32 {
        width::unrest(self.unrest)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.offsets.iter().chain([&self.usual, &self.unrest]).all(|number| number.is_finite())
    }
}

impl Past {
    /// Before anything was seen; the next step is `first`.
    pub(crate) fn new(day: u64, first: u64) -> Self {
        Self(std::array::from_fn(|_| Ring::new(day as usize + 1, first)))
    }

    /// Adds what is known at the next step; `None`: nothing was seen yet.
    pub(crate) fn push(&mut self, known: Option<&Known>) {
        let parts = known.map_or([f32::NAN; KNOWN], |known| {
            let [last, two, hour, four_hours] = known.offsets;
            [last, two, hour, four_hours, known.usual, known.unrest]
        });
        for (ring, part) in self.0.iter_mut().zip(parts) {
            ring.push(part);
        }
    }

    /// What was known at `step`, a day ago at most.
    pub(crate) fn at(&self, step: u64) -> Option<Known> {
        let [last, two, hour, four_hours, usual, unrest] = self.0.each_ref().map(|ring| ring.at(step));
        (!usual.is_nan()).then_some(Known { offsets: [last, two, hour, four_hours], usual, unrest })
    }

    /// Offsets at the same minute as `step`: of the newest hour that is over `lead` steps before it, and of the three newest, on average.
    pub(crate) fn hourly(&self, day: u64, step: u64, lead: u64) -> [f32; HOURLY] {
        let hour = day / HOURS_OF_DAY;
        if hour < LEAST_STEPS_AN_HOUR {
            return [0.0; HOURLY];
        }
        let newest = lead.div_ceil(hour) * hour;
        let [last, ..] = &self.0;
        let hours = [0, 1, 2].map(|ago| {
            let offset = last.before(step, newest + ago * hour);
            if offset.is_nan() { 0.0 } else { offset }
        });
        [hours[0], hours.iter().sum::<f32>() / hours.len() as f32]
    }

    pub(crate) fn fits(&self, day: u64, next: u64) -> bool {
        self.0.iter().all(|ring| ring.fits(day as usize + 1, next))
    }
}

impl Target {
    /// As seen from where this was known.
    pub(crate) fn from(&self, season: &Season, known: &Known) -> Outset {
        let mut guesses = self.guesses;
        guesses[GUESSES - 1] = known.usual;
        let expected = season.mix(&guesses);
        let unit = 1.0 / self.size;
        let above = |guess: f32| {
            let above = ((guess - expected) * unit).clamp(-GUESS_LIMIT, GUESS_LIMIT);
            if above.is_nan() { 0.0 } else { above }
        };
        let [yesterday, _, median, weekday, usual] = guesses.map(above);
        let [last, two, hour, four_hours] = known.offsets.map(|offset| offset * unit);
        let [minute, minutes] = self.hourly.map(|offset| (offset * unit).clamp(-HOURLY_LIMIT, HOURLY_LIMIT));
        Outset {
            season: expected,
            features: [last, two, hour, four_hours, usual, median, yesterday, weekday, minute, minutes],
        }
    }

    /// What is expected with such shares. `unrest`: [`Known::unrest`].
    pub(crate) fn expect(&self, outset: &Outset, shares: &Shares, unrest: f32, usual: f32) -> Expected {
        let above: f32 = outset.features.iter().zip(shares.features).map(|(feature, share)| feature * share).sum();
        let point = outset.season + above * self.size;
        let [of_unrest, of_level] = shares.powers;
        let widening = of_unrest * unrest + of_level * width::level(point, usual);
        Expected { point, size: width::widened(self.size, widening) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_minute_of_earlier_hours_is_found_and_none_that_is_to_come() {
        // Hours of twelve steps; the offset at step s is s.
        let mut past = Past::new(288, 0);
        let mut known = Known::new();
        for step in 0..100u32 {
            known.push(288, 0.0, step as f32, 1.0, step + 1);
            past.push(Some(&known));
        }
        assert_eq!(past.hourly(288, 100, 1), [88.0, 76.0]);
        assert_eq!(past.hourly(288, 111, 12), [99.0, 87.0]);
        assert_eq!(past.hourly(288, 112, 13), [88.0, 76.0], "step 100 is not known yet");
        assert_eq!(past.hourly(24, 100, 1), [0.0, 0.0], "an hour is one step");
    }

    #[test]
    fn offsets_are_averaged_over_longer_and_longer() {
        let mut known = Known::new();
        for seen in 1..=20 {
            known.push(288, 10.0, 10.0, 1.0, seen);
        }
        assert_eq!(known.offsets[0], 10.0);
        assert!(known.offsets.is_sorted_by(|a, b| a > b), "{:?}", known.offsets);
        assert!(known.unrest > 5.0 && known.usual == 10.0);
    }

    #[test]
    fn before_anything_was_seen_nothing_is_known() {
        let mut past = Past::new(24, 7);
        past.push(None);
        past.push(Some(&Known::new()));
        assert!(past.at(7).is_none() && past.at(8).is_some() && past.at(9).is_none());
        assert!(past.fits(24, 9) && !past.fits(24, 8));
    }
}
