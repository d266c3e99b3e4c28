//! A forecast of one series at one origin, as files of forecasts hold it.

use super::field::{BadField, Line, list, number_or_missing};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The quantiles that are scored, as files name them and as numbers.
pub const LEVELS: [(&str, f32); 5] = [("0.05", 0.05), ("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99)];
/// The level that peaks are forecast at: its place in [`LEVELS`].
pub const PEAK_LEVEL: usize = 3;
/// A lower one that they are forecast at, too.
pub const LOWER_PEAK_LEVEL: usize = 2;
/// Values of one path: as far as tracks reach.
const MAX_PATH_STEPS: usize = 8_064;
/// Bytes of an id.
const MAX_ID_BYTES: usize = 200;
/// The latest origin.
const MAX_ORIGIN: u64 = 1 << 20;

/// What was expected at one origin.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackForecast {
    /// The series.
    pub id: String,
    /// The first step forecast.
    pub origin: usize,
    /// By place in [`LEVELS`], one value a step; NaN: none.
    pub paths: [Vec<f64>; LEVELS.len()],
    /// The 0.95 quantile of the maximum over the first so many steps.
    pub peaks: BTreeMap<usize, f64>,
    /// The 0.9 quantile of it, for those who would rather run short now and then than keep so much in reserve.
    pub lower_peaks: BTreeMap<usize, f64>,
    /// Time that the forecast took, milliseconds.
    pub ms: Option<f64>,
}

impl TrackForecast {
    /// Reads a line: `id`, `origin`, `q` (a path for each of [`LEVELS`], others are passed over); `peak` (`{"12": {"0.9": 1.2, "0.95": 1.5}}`) and
    /// `ms` may be there.
    ///
    /// # Errors
    /// The field that is wrong and what it must be.
    pub fn parse(line: &str) -> Result<Self, BadField> {
        let line = Line::parse(line)?;
        let id = line.text("id", MAX_ID_BYTES)?;
        let origin = line.whole("origin", 0, MAX_ORIGIN)? as usize;
        let q = line.get("q")?;
        let mut paths = [const { Vec::new() }; LEVELS.len()];
        for (path, (name, _)) in paths.iter_mut().zip(LEVELS) {
            let field = format!("q.{name}");
            let values = q.get(name).ok_or_else(|| BadField::new(field.as_str(), "is not there"))?;
            let values = list(values, &field, 0..=MAX_PATH_STEPS)?;
            let read = |(at, value)| number_or_missing(value, || format!("{field}[{at}]"));
            *path = values.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        }
        let (mut peaks, mut lower_peaks) = (BTreeMap::new(), BTreeMap::new());
        if let Some(given) = line.optional("peak") {
            let given = given.as_object().ok_or_else(|| BadField::new("peak", "is no object"))?;
            for (steps, levels) in given {
                let field = || format!("peak.{steps}");
                let steps = steps.parse().map_err(|_| BadField::new(field(), "its name is no number of steps"))?;
                for (level, peaks) in [(PEAK_LEVEL, &mut peaks), (LOWER_PEAK_LEVEL, &mut lower_peaks)] {
                    if let Some(value) = levels.get(LEVELS[level].0) {
                        peaks.insert(steps, number_or_missing(value, field)?);
                    }
                }
            }
        }
        Ok(Self { id, origin, paths, peaks, lower_peaks, ms: line.optional("ms").and_then(Value::as_f64) })
    }

    /// The line that [`parse`](Self::parse) reads, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let paths = LEVELS.iter().zip(&self.paths).map(|((name, _), path)| ((*name).to_owned(), json!(path)));
        let mut peaks = Map::new();
        for (level, given) in [(PEAK_LEVEL, &self.peaks), (LOWER_PEAK_LEVEL, &self.lower_peaks)] {
            for (steps, peak) in given {
                let levels = peaks.entry(steps.to_string()).or_insert_with(|| json!({}));
                levels[LEVELS[level].0] = json!(peak);
            }
        }
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("origin".to_owned(), json!(self.origin)),
            ("q".to_owned(), Value::Object(paths.collect())),
            ("peak".to_owned(), Value::Object(peaks)),
        ]);
        if let Some(ms) = self.ms {
            fields.insert("ms".to_owned(), json!(ms));
        }
        Value::Object(fields).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let forecast = TrackForecast {
            id: "a".into(),
            origin: 7,
            paths: [vec![0.1, 0.2], vec![0.3, 1e9], vec![0.7, 2e9], vec![1.0 / 3.0, 3e9], vec![5.0, 6e9]],
            peaks: BTreeMap::from([(12, 0.5), (288, 3.25)]),
            lower_peaks: BTreeMap::from([(12, 0.25)]),
            ms: Some(0.125),
        };
        assert_eq!(TrackForecast::parse(&forecast.to_line()), Ok(forecast));
    }

    #[test]
    fn a_level_that_is_not_there_is_named() {
        let line = r#"{"id": "a", "origin": 1, "q": {"0.05": [1], "0.5": [1]}}"#;
        assert_eq!(TrackForecast::parse(line).unwrap_err().field, "q.0.9");
        let line = r#"{"id": "a", "origin": 1, "q": {"0.05": [1, null, "x"]}}"#;
        assert_eq!(TrackForecast::parse(line).unwrap_err().field, "q.0.05[2]");
    }
}
