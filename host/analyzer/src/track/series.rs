//! One series of a track.

use super::field::{BadField, Line, list, number_or_missing};

/// Bytes of one line: a million values of sixteen characters each.
pub const MAX_LINE_BYTES: usize = 16 << 20;
/// Series of one track: all shards of a large cluster.
pub const MAX_TRACK_SERIES: usize = 10_000;
/// Values of all series of one track together: 256 MiB of them.
pub const MAX_TRACK_VALUES: usize = 32 << 20;
/// Values of one series: nine years of 5-minute steps, four months of 10-second ones.
const MAX_STEPS: usize = 1 << 20;
/// Origins of one series: each costs a forecast.
const MAX_ORIGINS: usize = 10_000;
/// Horizons: each is a column of the score.
const MAX_HORIZONS: usize = 16;
/// The furthest step ahead: as far as first-party forecasters reach, four weeks of 5-minute steps.
const MAX_HORIZON_STEPS: usize = 8_064;
/// Bytes of an id.
const MAX_ID_BYTES: usize = 200;
/// Length of a step, seconds: a week.
const MAX_STEP_S: u64 = 7 * 86_400;
/// The latest start, seconds since the epoch: the year 9999.
const MAX_START_S: u64 = 253_402_300_799;

/// A load series and where it is forecast from. Steps are counted from its start; at origin `o` only `y[..o]` has occurred.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name, unique in the track.
    pub id: String,
    /// What it is one of: `web`, `tweets`.
    pub group: String,
    /// Start of the first step, seconds since the epoch.
    pub start_s: u64,
    /// Length of a step, seconds.
    pub step_s: u32,
    /// Steps of a day: the season that errors are scaled by.
    pub day_steps: usize,
    /// Steps ahead that are scored, ascending.
    pub horizons: Vec<usize>,
    /// Ascending.
    pub origins: Vec<usize>,
    /// The loads; NaN: missing.
    pub y: Vec<f64>,
}

impl Series {
    /// Reads one line of a track: `id`, `start`, `step_s`, `seasons` (steps of a day, of a week), `horizons`, `origins`, `y`, where null
    /// is a missing load; `group` may be there.
    ///
    /// # Errors
    /// The field that is wrong and what it must be.
    pub fn parse(line: &str) -> Result<Self, BadField> {
        let line = Line::parse(line)?;
        let id = line.text("id", MAX_ID_BYTES)?;
        let group = if line.optional("group").is_some() { line.text("group", MAX_ID_BYTES)? } else { String::new() };
        let start_s = line.whole("start", 0, MAX_START_S)?;
        let step_s = line.whole("step_s", 1, MAX_STEP_S)? as u32;
        let day_steps = line.wholes("seasons", 1..=MAX_HORIZONS, (1, MAX_STEPS as u64))?[0];
        let mut horizons = line.wholes("horizons", 1..=MAX_HORIZONS, (1, MAX_HORIZON_STEPS as u64))?;
        horizons.sort_unstable();
        horizons.dedup();
        let y = list(line.get("y")?, "y", 1..=MAX_STEPS)?;
        let y = y.iter().enumerate().map(|(at, value)| number_or_missing(value, || format!("y[{at}]")));
        let y = y.collect::<Result<Vec<f64>, _>>()?;
        let furthest = horizons.last().copied().unwrap_or(0);
        let mut origins = line.wholes("origins", 1..=MAX_ORIGINS, (1, MAX_STEPS as u64))?;
        origins.sort_unstable();
        origins.dedup();
        if let Some(late) = origins.iter().find(|origin| **origin + furthest > y.len()) {
            return Err(BadField::new(
                "origins",
                format!("{late} + {furthest} steps lie beyond the {} values of `y`: nothing to score against", y.len()),
            ));
        }
        Ok(Self { id, group, start_s, step_s, day_steps, horizons, origins, y })
    }

    /// The furthest step ahead that is scored.
    #[must_use]
    pub fn horizon(&self) -> usize {
        self.horizons.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> String {
        let y: Vec<f64> = (0..12).map(f64::from).collect();
        let value = serde_json::json!({
            "id": "a", "group": "web", "unit": "req", "start": 60, "step_s": 300, "seasons": [4, 28], "horizons": [3, 2],
            "origins": [9, 8], "y": y,
        });
        let serde_json::Value::Object(mut fields) = value else { unreachable!("it is an object") };
        change(&mut fields);
        serde_json::Value::Object(fields).to_string()
    }

    #[test]
    fn a_line_is_read_with_its_lists_in_order_and_null_for_missing() {
        let series = Series::parse(&line(|fields| fields["y"][2] = serde_json::Value::Null)).unwrap();
        assert_eq!((series.id.as_str(), series.group.as_str(), series.day_steps), ("a", "web", 4));
        assert_eq!((series.horizons.as_slice(), series.origins.as_slice()), ([2, 3].as_slice(), [8, 9].as_slice()));
        assert!(series.y[2].is_nan() && series.y[3] == 3.0);
    }

    #[test]
    fn bad_lines_are_refused_with_the_field_named() {
        type Change = fn(&mut serde_json::Map<String, serde_json::Value>);
        let cases: [(Change, &str); 9] = [
            (|fields| drop(fields.remove("id")), "`id`: is not there"),
            (|fields| fields["id"] = 7.into(), "`id`: 7 is no text"),
            (|fields| fields["step_s"] = 0.into(), "`step_s`: 0 is no whole number from 1"),
            (|fields| fields["start"] = "now".into(), "`start`: \"now\" is no whole number"),
            (|fields| fields["seasons"] = serde_json::json!([]), "`seasons`: holds 0 values"),
            (|fields| fields["horizons"] = serde_json::json!([1, 2.5]), "`horizons[1]`: 2.5 is no whole number"),
            (|fields| fields["origins"] = serde_json::json!([10]), "`origins`: 10 + 3 steps lie beyond the 12 values"),
            (|fields| fields["y"][4] = "x".into(), "`y[4]`: \"x\" is neither a number nor null"),
            (|fields| fields["y"] = 1.into(), "`y`: 1 is no list"),
        ];
        for (change, expected) in cases {
            let error = Series::parse(&line(change)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
        assert!(Series::parse("[1]").unwrap_err().to_string().contains("no JSON object"));
        assert!(Series::parse("{").unwrap_err().to_string().contains("no JSON"));
    }
}
