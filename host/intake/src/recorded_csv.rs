//! Recorded load as CSV: long (`time,shard,value`, and `metric` where there are several) or wide (`time`, then a column a shard).

use crate::columns::MAX_COLUMNS;
use crate::delimited::{delimiter_of, names};
use crate::error::{BadField, IntakeError, shown};
use crate::input::{Input, Line, Progress};
use crate::load_record::{LoadRecord, ShardNames};
use crate::long_csv::metric_named;
use crate::reading::{ReadReport, Reading};
use crate::time_text::{TimeUnit, Times, decimal};
use isobar_model::{InstantMs, Metric};
use std::path::PathBuf;

/// Where a file has its values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A value a line.
    Long {
        /// Column of the time.
        time: usize,
        /// Of the shard.
        shard: usize,
        /// Of the value.
        value: usize,
        /// Of the metric, where there is one.
        metric: Option<usize>,
    },
    /// A step a line; the columns but that of the time are shards.
    Wide {
        /// Column of the time.
        time: usize,
    },
}

impl Shape {
    /// The shape that a header tells.
    pub(crate) fn of(header: &[String]) -> Result<Self, String> {
        let find =
            |aliases: &[&str]| header.iter().position(|name| aliases.iter().any(|a| a.eq_ignore_ascii_case(name)));
        let time = find(&["time", "timestamp", "ts", "at", "datetime", "date"]).ok_or_else(|| {
            format!(
                "no column is the time; its header has {}: name one `time`",
                header[..header.len().min(12)].join(", ")
            )
        })?;
        match (find(&["shard", "shard_id"]), find(&["value", "load"])) {
            (Some(shard), Some(value)) => Ok(Self::Long { time, shard, value, metric: find(&["metric"]) }),
            _ if header.len() > 1 => Ok(Self::Wide { time }),
            _ => {
                Err("there is no column but the time: a column a shard, or the columns `shard` and `value` are wanted"
                    .into())
            }
        }
    }
}

/// The metric of a name in a file.
pub(crate) fn metric_of(name: &str) -> Result<Metric, String> {
    metric_named(name.trim()).ok_or_else(|| {
        format!("{} is no metric: they are load, read-ops, write-ops, read-bytes, write-bytes, storage-iops, cpu-millicores, memory-bytes", shown(name.as_bytes()))
    })
}

/// Reads files into a record; values are of `metric` where the file does not say.
pub fn read_csv(
    files: &[PathBuf],
    metric: Metric,
    time_unit: Option<TimeUnit>,
    max_bad_lines: u64,
    record: &mut LoadRecord,
    shards: &mut ShardNames,
    progress: &mut dyn FnMut(Progress),
) -> Result<ReadReport, IntakeError> {
    let mut times = Times::new(time_unit);
    let mut reading = Reading::new(files, max_bad_lines, progress);
    for file in files {
        let mut input = Input::open(file)?;
        let mut header: Option<(Vec<String>, Shape, u8)> = None;
        loop {
            let (number, bytes) = (input.line + 1, input.consumed());
            let line = match input.next_line()? {
                Line::Text([]) => continue,
                Line::Text(line) => line,
                Line::TooLong => return Err(IntakeError::not_that(file, format!("line {number} is over 1 MiB long"))),
                Line::End => break,
            };
            let Some((columns, shape, delimiter)) = &header else {
                let delimiter = delimiter_of(line);
                let columns =
                    names(line, delimiter, MAX_COLUMNS).map_err(|b| IntakeError::not_that(file, b.problem))?;
                let shape = Shape::of(&columns).map_err(|problem| IntakeError::not_that(file, problem))?;
                header = Some((columns, shape, delimiter));
                continue;
            };
            let values = names(line, *delimiter, MAX_COLUMNS)
                .and_then(|texts| line_values(&texts, columns, shape, metric, &mut times, shards, record));
            let taken = values.map(|values| reading.events += values);
            reading.line(file, number, taken, bytes)?;
        }
        reading.file_done(input.consumed());
    }
    Ok(reading.finish())
}

fn line_values(
    texts: &[String],
    columns: &[String],
    shape: &Shape,
    metric: Metric,
    times: &mut Times,
    shards: &mut ShardNames,
    record: &mut LoadRecord,
) -> Result<u64, BadField> {
    let text =
        |at: usize, field| texts.get(at).map(String::as_str).ok_or_else(|| BadField::new(field, "there is none"));
    let mut time = |at: usize| {
        let text = text(at, "time")?;
        let ms = times.ms(text.as_bytes());
        ms.map(InstantMs).ok_or_else(|| BadField::new("time", format!("{} is no time", shown(text.as_bytes()))))
    };
    let mut add = |metric, shard: &str, at, text: &str| {
        let shard = shards.shard(shard).map_err(|problem| BadField::new("shard", problem))?;
        let value =
            if text.is_empty() || text.eq_ignore_ascii_case("nan") { Some(f64::NAN) } else { decimal(text.as_bytes()) };
        let value = value.ok_or_else(|| BadField::new("value", format!("{} is no number", shown(text.as_bytes()))))?;
        record.add(metric, shard, at, value).map_err(|problem| BadField::new("value", problem))
    };
    match shape {
        Shape::Long { time: at, shard, value, metric: named } => {
            let metric = match named {
                Some(column) => metric_of(text(*column, "metric")?).map_err(|p| BadField::new("metric", p))?,
                None => metric,
            };
            add(metric, text(*shard, "shard")?, time(*at)?, text(*value, "value")?)?;
            Ok(1)
        }
        Shape::Wide { time: at } => {
            let instant = time(*at)?;
            if texts.len() != columns.len() {
                return Err(BadField::new(
                    "line",
                    format!("{} fields where the header has {}", texts.len(), columns.len()),
                ));
            }
            for (i, (column, text)) in columns.iter().zip(texts).enumerate().filter(|(i, _)| i != at) {
                debug_assert_ne!(i, *at);
                add(metric, column, instant, text)?;
            }
            Ok(columns.len() as u64 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_record::LoadRecordSpec;
    use crate::long_csv::LongCsv;
    use isobar_model::LoadBatch;
    use std::io::Write;

    fn read(content: &[u8]) -> Result<(Vec<LoadBatch>, ReadReport), IntakeError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut record = LoadRecord::new(LoadRecordSpec { step_ms: 1_000, counters: false });
        let mut shards = ShardNames::default();
        let files = [file.path().to_owned()];
        let report = read_csv(&files, Metric::Load, None, 1, &mut record, &mut shards, &mut |_| {})?;
        let mut batches = Vec::new();
        record.give(&mut |batch| batches.push(batch));
        Ok((batches, report))
    }

    #[test]
    fn long_and_wide_say_the_same() {
        let long = read(b"time,shard,value\n1,7,2.5\n1,8,1\n2,8,4\n").unwrap().0;
        let wide = read(b"timestamp,7,8\n1,2.5,1\n2,,4\n").unwrap().0;
        assert_eq!(format!("{long:?}"), format!("{wide:?}"));
        assert_eq!((long[0].shards.len(), long[0].start), (2, InstantMs(1_000)));
    }

    #[test]
    fn what_is_written_long_is_read_again() {
        let batch = |metric, values: [f32; 4]| LoadBatch {
            metric,
            start: InstantMs(1_731_689_870_000),
            step_ms: 1_000,
            steps: 2,
            shards: vec![1.into_shard(), 2.into_shard()],
            values: values.into(),
        };
        let written = [batch(Metric::Load, [0.1, 2.0, 3.5, 1e9]), batch(Metric::ReadOps, [0.0, 7.25, 1.0, 0.3])];
        let mut csv = LongCsv::new(Vec::new()).unwrap();
        written.iter().for_each(|batch| csv.write(batch).unwrap());
        assert_eq!(read(&csv.finish().unwrap()).unwrap().0, written);
    }

    trait IntoShard {
        fn into_shard(self) -> isobar_model::ShardId;
    }

    impl IntoShard for u64 {
        fn into_shard(self) -> isobar_model::ShardId {
            isobar_model::ShardId(self)
        }
    }

    #[test]
    fn wrong_files_are_refused_with_the_place() {
        let error = |content: &str| read(content.as_bytes()).unwrap_err().to_string();
        assert!(error("shard,value\n").contains("name one `time`"));
        assert!(error("time\n1\n").contains("a column a shard"));
        let bad = error("time,shard,metric,value\n1,1,load,x\n2,1,weight,3\n");
        assert!(bad.contains(":2: value: \"x\" is no number") && bad.contains(":3: metric: \"weight\""), "{bad}");
        assert_eq!(read(b"time,a,b\n1,2,3\n2,1\n").unwrap().1.bad_lines, 1);
    }
}
