//! Prometheus: the answer of `/api/v1/query_range` (a matrix), or the lines of `promtool tsdb dump`.
//!
//! Each series is a shard, by one of its labels. The matrix is read series by series and never held whole.

use crate::error::{BadField, IntakeError, shown};
use crate::input::{Input, Line, Progress};
use crate::load_record::{LoadRecord, ShardNames};
use crate::reading::{ReadReport, Reading};
use crate::time_text::decimal;
use isobar_model::{InstantMs, Metric, ShardId};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Reads exports into a record: each series is the shard that `label` names, its values are of `metric`.
pub fn read_prometheus(
    files: &[PathBuf],
    metric: Metric,
    label: &str,
    max_bad_lines: u64,
    record: &mut LoadRecord,
    shards: &mut ShardNames,
    progress: &mut dyn FnMut(Progress),
) -> Result<ReadReport, IntakeError> {
    let mut reading = Reading::new(files, max_bad_lines, progress);
    for file in files {
        let mut input = Input::open(file)?;
        let mut taker = Taker { metric, label, record: &mut *record, shards: &mut *shards, reading: &mut reading };
        // A dump's braces hold labels, an answer's a name in quotes.
        let head: Vec<u8> =
            input.peek(CHUNK_PEEK)?.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if head.starts_with(b"{\"") {
            let mut reader = serde_json::Deserializer::from_reader(std::io::BufReader::new(&mut input));
            Answer(&mut taker)
                .deserialize(&mut reader)
                .map_err(|error| IntakeError::not_that(file, format!("no answer of /api/v1/query_range: {error}")))?;
        } else {
            loop {
                let (number, bytes) = (input.line + 1, input.consumed());
                let taken = match input.next_line()? {
                    Line::Text(line) if line.trim_ascii().is_empty() || line.starts_with(b"#") => continue,
                    Line::Text(line) => taker.dump_line(line),
                    Line::TooLong => Err(BadField::new("line", "over 1 MiB long")),
                    Line::End => break,
                };
                taker.reading.line(file, number, taken, bytes)?;
            }
        }
        reading.file_done(input.consumed());
    }
    Ok(reading.finish())
}

/// Bytes looked at to tell the two forms apart.
const CHUNK_PEEK: usize = 64;

struct Taker<'a, 'p> {
    metric: Metric,
    label: &'a str,
    record: &'a mut LoadRecord,
    shards: &'a mut ShardNames,
    reading: &'a mut Reading<'p>,
}

impl Taker<'_, '_> {
    fn shard(&mut self, labels: &BTreeMap<String, String>) -> Result<ShardId, String> {
        let name = labels.get(self.label).ok_or_else(|| {
            let there = labels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!(
                "a series has no label {:?}; it has {there}: say which tells shards apart with --shard-label",
                self.label
            )
        })?;
        self.shards.shard(name)
    }

    fn add(&mut self, shard: ShardId, at_s: f64, value: &str) -> Result<(), String> {
        // Prometheus writes what is not a number as NaN, +Inf and -Inf.
        let value = match value {
            "NaN" => f64::NAN,
            text => decimal(text.as_bytes()).ok_or_else(|| format!("{} is no load", shown(text.as_bytes())))?,
        };
        if !(0.0..=9e12).contains(&at_s) {
            return Err(format!("{at_s} is no time in seconds since 1970"));
        }
        self.reading.events += 1;
        self.record.add(self.metric, shard, InstantMs((at_s * 1000.0).round() as u64), value)
    }

    /// `{__name__="load", shard="7"} 12.5 1700000000000`
    fn dump_line(&mut self, line: &[u8]) -> Result<(), BadField> {
        let bad = || BadField::new("line", format!("{} is not `{{label=\"value\"}} value milliseconds`", shown(line)));
        let text = std::str::from_utf8(line).map_err(|_| bad())?;
        let (labels, rest) = labels_of(text).ok_or_else(bad)?;
        let mut words = rest.split_ascii_whitespace();
        let (value, at) = (words.next().ok_or_else(bad)?, words.next().ok_or_else(bad)?);
        let at_ms = decimal(at.as_bytes()).filter(|_| words.next().is_none()).ok_or_else(bad)?;
        let shard = self.shard(&labels).map_err(|problem| BadField::new("labels", problem))?;
        self.add(shard, at_ms / 1000.0, value).map_err(|problem| BadField::new("value", problem))
    }
}

/// The labels of a series in text, and what follows them.
fn labels_of(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let (name, mut rest) = text.split_once('{')?;
    let mut labels = BTreeMap::new();
    if !name.trim().is_empty() {
        labels.insert("__name__".to_owned(), name.trim().to_owned());
    }
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (label, quoted) = rest.split_once('=')?;
        let mut value = String::new();
        let mut chars = quoted.strip_prefix('"')?.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    rest = &quoted[at + 2..];
                    break;
                }
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        }
        labels.insert(label.trim().to_owned(), value);
    }
}

/// The whole answer: `{"status": …, "data": {"resultType": "matrix", "result": […]}}`.
struct Answer<'a, 'b, 'p>(&'a mut Taker<'b, 'p>);

impl<'de> DeserializeSeed<'de> for Answer<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with status and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_data = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "error" => return Err(A::Error::custom(format!("it is an error: {}", map.next_value::<String>()?))),
                "data" => {
                    has_data = true;
                    map.next_value_seed(Data(&mut *self.0))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_data { Ok(()) } else { Err(A::Error::custom("it has no data")) }
    }
}

struct Data<'a, 'b, 'p>(&'a mut Taker<'b, 'p>);

impl<'de> DeserializeSeed<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with resultType and result")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "resultType" => {
                    let kind = map.next_value::<String>()?;
                    if kind != "matrix" {
                        return Err(A::Error::custom(format!(
                            "its resultType is {kind}, not matrix: ask /api/v1/query_range, or for a range such as load[1d]"
                        )));
                    }
                }
                "result" => map.next_value_seed(Matrix(&mut *self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Matrix<'a, 'b, 'p>(&'a mut Taker<'b, 'p>);

/// One series of a matrix.
#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl<'de> DeserializeSeed<'de> for Matrix<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Matrix<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series, each with metric and values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(series) = list.next_element::<Series>()? {
            let taker = &mut *self.0;
            taker.reading.lines += 1;
            let shard = taker.shard(&series.metric).map_err(A::Error::custom)?;
            for (at_s, value) in &series.values {
                taker.add(shard, *at_s, value).map_err(|problem| {
                    A::Error::custom(format!("series {}, time {at_s}: {problem}", taker.reading.lines))
                })?;
            }
            taker.reading.tell(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_record::LoadRecordSpec;
    use isobar_model::LoadBatch;
    use std::io::Write;

    fn read(content: &str, label: &str, counters: bool) -> Result<Vec<LoadBatch>, IntakeError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 60_000, counters });
        let mut shards = ShardNames::default();
        let files = [file.path().to_owned()];
        read_prometheus(&files, Metric::Load, label, 0, &mut record, &mut shards, &mut |_| {})?;
        let mut batches = Vec::new();
        record.give(&mut |batch| batches.push(batch));
        Ok(batches)
    }

    const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"__name__":"load","shard":"7"},"values":[[1700000040,"1.5"],[1700000100,"NaN"],[1700000160,"3"]]},
        {"metric":{"shard":"8"},"values":[[1700000040.5,"2"]]}]}}"#;

    #[test]
    fn a_matrix_is_read_series_by_series() {
        let batches = read(MATRIX, "shard", false).unwrap();
        assert_eq!((batches[0].start, batches[0].shards.len()), (InstantMs(1_700_000_040_000), 2));
        assert_eq!(format!("{:?}", batches[0].values), "[1.5, NaN, 3.0, 2.0, NaN, NaN]");
    }

    #[test]
    fn a_dump_says_the_same() {
        let dump = "{__name__=\"load\", shard=\"7\"} 1.5 1700000040000\n{shard=\"7\",x=\"a\\\"}\"} 3 1700000160000\nload{shard=\"8\"} 2 1700000040500\n";
        assert_eq!(
            format!("{:?}", read(dump, "shard", false).unwrap()),
            format!("{:?}", read(MATRIX, "shard", false).unwrap())
        );
    }

    #[test]
    fn counters_give_rates() {
        let dump = "{i=\"a\"} 0 1700000040000\n{i=\"a\"} 600 1700000100000\n{i=\"a\"} 1800 1700000160000\n";
        assert_eq!(read(dump, "i", true).unwrap()[0].values, [10.0, 20.0]);
    }

    #[test]
    fn wrong_answers_are_refused_with_what_to_do() {
        let error = |content: &str| read(content, "shard", false).unwrap_err().to_string();
        assert!(error(r#"{"status":"error","error":"too old"}"#).contains("it is an error: too old"));
        assert!(error(&MATRIX.replace("matrix", "vector")).contains("query_range"));
        assert!(error(&MATRIX.replace("\"shard\"", "\"pod\"")).contains("--shard-label"));
        assert!(
            error(r#"{"data":{"resultType":"matrix","result":[{"metric":{"shard":"1"},"values":[[1,"+Inf"]]}]}}"#)
                .contains("series 1, time 1")
        );
        assert!(error("{\"status\":\"success\"}").contains("no data"));
        assert!(error("up 1\n").contains(":1: line"));
    }
}
