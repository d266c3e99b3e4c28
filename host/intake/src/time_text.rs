//! Times as people and programs write them.

use isobar_model::ids::MAX_ID;

/// What a bare number of a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    /// The unit that makes a number since 1970 a date of our days: below 10^11 seconds, below 10^14 milliseconds, and so on.
    pub(crate) fn guess(number: f64) -> Self {
        match number.abs() {
            n if n < 1e11 => Self::S,
            n if n < 1e14 => Self::Ms,
            n if n < 1e17 => Self::Us,
            _ => Self::Ns,
        }
    }

    fn per_second(self) -> u64 {
        match self {
            Self::S => 1,
            Self::Ms => 1_000,
            Self::Us => 1_000_000,
            Self::Ns => 1_000_000_000,
        }
    }

    /// So many of this unit in milliseconds, rounded down.
    fn ms(self, count: u64) -> u64 {
        match self {
            Self::S => count.saturating_mul(1_000),
            Self::Ms | Self::Us | Self::Ns => count / (self.per_second() / 1_000),
        }
    }

    /// So many of this unit in microseconds.
    pub(crate) fn us(self, count: f64) -> f64 {
        count * 1e6 / self.per_second() as f64
    }
}

/// Reads times of one column; the unit is guessed from the first number unless it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    unit: Option<TimeUnit>,
}

impl Times {
    pub(crate) fn new(unit: Option<TimeUnit>) -> Self {
        Self { unit }
    }

    /// Milliseconds since the epoch: a number, or a date such as `2024-11-15 16:57:50.25+01:00` (UTC where no offset stands there).
    pub(crate) fn ms(&mut self, text: &[u8]) -> Option<u64> {
        let ms = match whole(text) {
            Some(number) => self.unit_for(number as f64).ms(number),
            None => match date_ms(text) {
                Some(ms) => ms,
                None => {
                    let number = decimal(text).filter(|number| *number >= 0.0)?;
                    let unit = self.unit_for(number);
                    (unit.us(number) / 1_000.0 + 1e-6).floor() as u64
                }
            },
        };
        (ms < MAX_ID).then_some(ms)
    }

    fn unit_for(&mut self, number: f64) -> TimeUnit {
        *self.unit.get_or_insert_with(|| TimeUnit::guess(number))
    }
}

/// A number of digits only.
pub(crate) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut number = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

/// Any finite number.
pub(crate) fn decimal(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn date_ms(text: &[u8]) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| whole(text.get(range)?);
    let sign = |at: usize, signs: &[u8]| text.get(at).filter(|byte| signs.contains(byte)).map(|_| ());
    sign(4, b"-/")?;
    sign(7, b"-/")?;
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let days = days_from_civil(year, month, day)?;
    let mut ms = days.checked_mul(86_400_000)?;
    if text.len() == 10 {
        return Some(ms);
    }
    sign(10, b" T")?;
    sign(13, b":")?;
    sign(16, b":")?;
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // A leap second is the next one.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    ms += ((hour * 60 + minute) * 60 + second) * 1_000;
    let mut rest = &text[19..];
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = &fraction[..digits.min(3)];
        ms += whole(kept)? * 10u64.pow(3 - kept.len() as u32);
        rest = &fraction[digits..];
    }
    match rest {
        [] | b"Z" | b" UTC" => Some(ms),
        [sign @ (b'+' | b'-'), a, b, colon_and @ ..] => {
            let minutes = match colon_and {
                [] => &b"00"[..],
                [b':', minutes @ ..] => minutes,
                minutes => minutes,
            };
            let offset = (whole(&[*a, *b])? * 60 + whole(minutes).filter(|m| *m < 60 && minutes.len() == 2)?) * 60_000;
            if *sign == b'+' { ms.checked_sub(offset) } else { Some(ms + offset) }
        }
        _ => None,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's `days_from_civil`); none: no such date, or before it.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day == 0 || day > longest || year < 1970 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<u64> {
        Times::new(None).ms(text.as_bytes())
    }

    #[test]
    fn dates_are_read_in_the_forms_they_come_in() {
        let cases = [
            ("2024-11-15 16:57:50", Some(1_731_689_870_000)),
            ("2024-11-15T16:57:50Z", Some(1_731_689_870_000)),
            ("2024-11-15T17:57:50.25+01:00", Some(1_731_689_870_250)),
            ("2024-11-15T12:27:50.123456-0430", Some(1_731_689_870_123)),
            ("2024-02-29", Some(1_709_164_800_000)),
            ("1970-01-01", Some(0)),
            ("2023-02-29", None),
            ("2024-11-15 24:00:00", None),
            ("2024-11-15 16:57", None),
            ("2024-11-15 16:57:50x", None),
            ("1969-12-31", None),
            ("yesterday", None),
            ("", None),
            ("-5", None),
            ("NaN", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(ms(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_unit_of_numbers_is_guessed_once_or_given() {
        for text in ["1731689870", "1731689870000", "1731689870000000", "1731689870000000000", "1731689870.0"] {
            assert_eq!(ms(text), Some(1_731_689_870_000), "{text}");
        }
        let mut times = Times::new(None);
        assert_eq!((times.ms(b"0"), times.ms(b"1731689870000")), (Some(0), Some(1_731_689_870_000_000)));
        assert_eq!(Times::new(Some(TimeUnit::Ms)).ms(b"1500"), Some(1_500));
        assert_eq!(ms("5633898.25"), Some(5_633_898_250));
    }

    #[test]
    fn times_that_no_clock_shows_are_refused() {
        assert_eq!(Times::new(Some(TimeUnit::S)).ms(b"99999999999999"), None);
        assert_eq!(ms("99999999999999999999999"), None);
    }
}
