//! Numbers and moments as people read them.

const DAY_MS: i64 = 86_400_000;
/// The last millisecond of the year 9999: later ones are no dates that anybody reads.
const LAST_MS: f64 = 253_402_300_799_999.0;

/// A number in three or four digits: `1 234`, `12.3`, `0.0456`, `1.2e9`. What is no number is a dash.
#[must_use]
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let text = match size {
        0.0 => "0".to_owned(),
        _ if !(1e-4..1e7).contains(&size) => {
            let text = format!("{value:.2e}");
            match text.split_once('e') {
                Some((digits, exponent)) => format!("{}e{exponent}", without_zeros(digits)),
                None => text,
            }
        }
        _ if size >= 999.5 => grouped(value.round()),
        _ => {
            // Three digits that count.
            let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
            without_zeros(&format!("{value:.decimals$}"))
        }
    };
    // A minus sign as wide as a plus, which a screen reader says as well.
    if let Some(rest) = text.strip_prefix('-') { format!("−{rest}") } else { text }
}

fn without_zeros(digits: &str) -> String {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.').to_owned() } else { digits.to_owned() }
}

/// Thousands apart, by a narrow space that does not break.
fn grouped(whole: f64) -> String {
    let digits = format!("{:.0}", whole.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if whole < 0.0 { format!("-{text}") } else { text }
}

/// `YYYY-MM-DD hh:mm:ss` UTC of a moment in milliseconds since 1970, without the seconds where they are none. What is no moment of the years 1970
/// to 9999 is told as a number.
#[must_use]
pub fn date_time(at_ms: f64) -> String {
    let Some(moment) = Moment::of(at_ms) else { return short(at_ms) };
    let Moment { year, month, day, hour, minute, second } = moment;
    if second == 0 {
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// A moment by the calendar, UTC.
pub(crate) struct Moment {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Moment {
    /// By the proleptic Gregorian calendar; Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    pub(crate) fn of(at_ms: f64) -> Option<Self> {
        if !(0.0..=LAST_MS).contains(&at_ms) {
            return None;
        }
        let ms = at_ms.round() as i64;
        let (days, rest) = (ms / DAY_MS + 719_468, ms % DAY_MS / 1_000);
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Some(Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (12.345, "12.3"),
            (123.45, "123"),
            (999.7, "1\u{202f}000"),
            (1234.4, "1\u{202f}234"),
            (-9_876_543.0, "−9\u{202f}876\u{202f}543"),
            (0.045678, "0.0457"),
            (12_345_678.0, "1.23e7"),
            (0.00001, "1e-5"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
            (f64::MAX, "1.8e308"),
        ] {
            assert_eq!(short(value), text, "{value:?}");
        }
    }

    #[test]
    fn moments_are_told_by_the_calendar() {
        for (at_ms, text) in [
            (0.0, "1970-01-01 00:00"),
            (951_827_696_000.0, "2000-02-29 12:34:56"),
            (1_704_067_200_000.0, "2024-01-01 00:00"),
            (1_798_761_599_000.0, "2026-12-31 23:59:59"),
            (LAST_MS, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(date_time(at_ms), text);
        }
        assert_eq!((date_time(-1.0).as_str(), date_time(f64::NAN).as_str()), ("−1", "–"));
    }
}
