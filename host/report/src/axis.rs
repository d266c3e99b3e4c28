//! Axes: which range they show, where their ticks stand and what these say.

use crate::number::{Moment, short};

/// Larger values are no measurement of anything, and differences of them would be infinite.
const LARGEST: f64 = 1e100;
/// Distances of ticks of time that people read easily, milliseconds: seconds to years.
const TIME_STEPS_MS: [f64; 21] = [
    1e3, 5e3, 15e3, 30e3, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 12096e5,
    24192e5, 78624e5, 314496e5,
];
const DAY_MS: f64 = 864e5;

/// Whether a value is one that can be drawn.
pub(crate) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// What an axis counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub(crate) label: String,
    pub(crate) time: bool,
    pub(crate) zero: bool,
}

impl Axis {
    /// Numbers; the label names the unit.
    #[must_use]
    pub fn number(label: impl Into<String>) -> Self {
        Self { label: label.into(), time: false, zero: false }
    }

    /// Moments in milliseconds since 1970, told as UTC.
    #[must_use]
    pub fn time(label: impl Into<String>) -> Self {
        Self { label: label.into(), time: true, zero: false }
    }

    /// The axis always shows zero: sizes can be compared by eye only so.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.zero = true;
        self
    }

    /// The range that holds all these values, widened to whole ticks where it counts numbers.
    pub(crate) fn range(&self, values: impl Iterator<Item = f64>, ticks: usize) -> Range {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let zero = self.zero.then_some(0.0);
        for value in values.filter(|value| drawable(*value)).chain(zero) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if low == high {
            // One value stands in the middle; zero at the bottom.
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
            (low, high) = if low == 0.0 && !self.time { (0.0, 1.0) } else { (low - room, high + room) };
        }
        let step = self.step(high - low, ticks);
        if !self.time {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        Range { low, high, step, time: self.time }
    }

    fn step(&self, span: f64, ticks: usize) -> f64 {
        let least = span / ticks.max(1) as f64;
        if self.time
            && let Some(step) = TIME_STEPS_MS.iter().find(|step| **step >= least)
        {
            return *step;
        }
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0].map(|factor| factor * power).into_iter().find(|step| *step >= least * 0.999);
        step.unwrap_or(10.0 * power)
    }
}

/// The range that an axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) step: f64,
    time: bool,
}

impl Range {
    /// Where a value stands, 0 being the low and 1 the high end; values beyond stand at the end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Ticks and what they say.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil();
        let count = ((self.high - self.low) / self.step + 1e-9).floor().clamp(0.0, 40.0) as usize;
        let mut ticks = Vec::with_capacity(count + 1);
        let mut day = (0, 0, 0);
        for at in 0..=count {
            let value = (first + at as f64) * self.step;
            if value > self.high + self.step * 1e-6 {
                break;
            }
            let text = if self.time { self.moment(value, &mut day) } else { self.number(value) };
            ticks.push((value, text));
        }
        ticks
    }

    fn number(&self, value: f64) -> String {
        // 0.30000000000000004 is 0.3.
        let rounded = (value / self.step).round() * self.step;
        let decimals = (-self.step.log10().floor()).max(0.0) as usize + usize::from(self.step_has_half());
        if rounded != 0.0 && (self.step < 1e-4 || self.high.abs().max(self.low.abs()) >= 1e7) {
            return short(rounded);
        }
        if self.step >= 1.0 || decimals > 6 {
            return short(rounded);
        }
        let text = format!("{rounded:.decimals$}");
        if let Some(rest) = text.strip_prefix('-') { format!("−{rest}") } else { text }
    }

    fn step_has_half(&self) -> bool {
        let digits = self.step / 10f64.powf(self.step.log10().floor());
        (digits - 2.5).abs() < 1e-6
    }

    /// The hour within a day, the day where it is another than the one before.
    fn moment(&self, value: f64, last: &mut (i64, i64, i64)) -> String {
        let Some(moment) = Moment::of(value) else { return short(value) };
        let Moment { year, month, day, hour, minute, second } = moment;
        let before = std::mem::replace(last, (year, month, day));
        if self.step >= DAY_MS {
            return if before.0 == year {
                format!("{month:02}-{day:02}")
            } else {
                format!("{year}-{month:02}-{day:02}")
            };
        }
        let time =
            if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") };
        if before == *last { time } else { format!("{month:02}-{day:02} {time}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.range(values.iter().copied(), 5).ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let axis = Axis::number("");
        assert_eq!(said(&axis, &[0.0, 0.97]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(said(&axis, &[-3.0, 7.0]), ["−4", "−2", "0", "2", "4", "6", "8"]);
        assert_eq!(
            said(&axis.clone().from_zero(), &[900.0, 1_900.0]),
            ["0", "500", "1\u{202f}000", "1\u{202f}500", "2\u{202f}000"]
        );
        assert_eq!(said(&Axis::number("").from_zero(), &[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(said(&axis, &[0.0, 0.11]), ["0.000", "0.025", "0.050", "0.075", "0.100", "0.125"]);
    }

    #[test]
    fn days_and_hours_are_told_apart() {
        let monday = 1_704_067_200_000.0;
        let axis = Axis::time("");
        assert_eq!(
            said(&axis, &[monday, monday + 86_400e3]),
            ["01-01 00:00", "06:00", "12:00", "18:00", "01-02 00:00"]
        );
        assert_eq!(
            said(&axis, &[monday - 86_400e3, monday + 4.0 * 86_400e3]),
            ["2023-12-31", "2024-01-01", "01-02", "01-03", "01-04", "01-05"]
        );
    }

    proptest! {
        #[test]
        fn any_values_give_a_bounded_number_of_ticks(values in prop::collection::vec(any::<f64>(), 0..20), time: bool, zero: bool) {
            let axis = Axis { label: String::new(), time, zero };
            let range = axis.range(values.iter().copied(), 5);
            prop_assert!(range.low < range.high && range.step > 0.0, "{:?}", range);
            prop_assert!(range.ticks().len() <= 41);
            for value in values {
                prop_assert!(!drawable(value) || (0.0..=1.0).contains(&range.share(value)));
            }
        }
    }
}
