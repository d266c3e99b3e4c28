//! Recorded load as Parquet: the same two shapes as CSV.
//!
//! Rows are read through the record interface, so that only one row group is open at a time and arrow is not needed. Packed by Snappy or not
//! at all, which is what most writers do by themselves.

use crate::error::{BadField, IntakeError, shown};
use crate::input::Progress;
use crate::load_record::{LoadRecord, ShardNames};
use crate::reading::{ReadReport, Reading};
use crate::recorded_csv::{Shape, metric_of};
use crate::time_text::{TimeUnit, Times};
use isobar_model::{InstantMs, Metric};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as ParquetUnit, TimestampType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::ColumnDescriptor;
use std::fs::File;
use std::path::PathBuf;

/// Reads files into a record; values are of `metric` where the file does not say.
pub fn read_parquet(
    files: &[PathBuf],
    metric: Metric,
    time_unit: Option<TimeUnit>,
    max_bad_lines: u64,
    record: &mut LoadRecord,
    shards: &mut ShardNames,
    progress: &mut dyn FnMut(Progress),
) -> Result<ReadReport, IntakeError> {
    let mut reading = Reading::new(files, max_bad_lines, progress);
    for path in files {
        let wrong = |error: ParquetError| {
            IntakeError::not_that(
                path,
                format!("not readable as Parquet ({error}): write it with Snappy or without compression"),
            )
        };
        let file = File::open(path).map_err(|error| IntakeError::unreadable(path, error))?;
        let file_bytes = file.metadata().map_or(0, |data| data.len());
        let reader = SerializedFileReader::new(file).map_err(wrong)?;
        let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        let names: Vec<String> = columns.iter().map(|column| column.name().to_owned()).collect();
        if reader.metadata().file_metadata().schema().get_fields().len() != names.len() {
            return Err(IntakeError::not_that(path, "it has columns within columns: write plain ones"));
        }
        let shape = Shape::of(&names).map_err(|problem| IntakeError::not_that(path, problem))?;
        let (Shape::Long { time, .. } | Shape::Wide { time }) = shape;
        let unit = time_unit.or_else(|| unit_of(&columns[time]));
        let mut target =
            Target { times: Times::new(unit), metric, shape, names, record: &mut *record, shards: &mut *shards };
        let rows = reader.metadata().file_metadata().num_rows().max(1) as u64;
        for (number, row) in (1..).zip(reader.get_row_iter(None).map_err(wrong)?) {
            let taken = target.take(&row.map_err(wrong)?).map(|values| reading.events += values);
            let share = (file_bytes as f64 * number as f64 / rows as f64) as u64;
            reading.line(path, number, taken, share)?;
        }
        reading.file_done(file_bytes);
    }
    Ok(reading.finish())
}

/// What a column of times counts by its type; none: it does not say.
fn unit_of(column: &ColumnDescriptor) -> Option<TimeUnit> {
    if let Some(LogicalType::Timestamp(TimestampType { unit, .. })) = column.logical_type_ref() {
        return Some(match unit {
            ParquetUnit::MILLIS => TimeUnit::Ms,
            ParquetUnit::MICROS => TimeUnit::Us,
            ParquetUnit::NANOS => TimeUnit::Ns,
        });
    }
    let old = column.converted_type();
    let of = |kind, unit| (old == kind).then_some(unit);
    of(ConvertedType::TIMESTAMP_MILLIS, TimeUnit::Ms).or_else(|| of(ConvertedType::TIMESTAMP_MICROS, TimeUnit::Us))
}

struct Target<'a> {
    times: Times,
    metric: Metric,
    shape: Shape,
    names: Vec<String>,
    record: &'a mut LoadRecord,
    shards: &'a mut ShardNames,
}

impl Target<'_> {
    fn take(&mut self, row: &Row) -> Result<u64, BadField> {
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or(&Field::Null);
        match self.shape {
            Shape::Long { time, shard, value, metric } => {
                let metric = match metric {
                    Some(at) => metric_of(&text(field(at))).map_err(|problem| BadField::new("metric", problem))?,
                    None => self.metric,
                };
                let at = self.at(field(time))?;
                self.add(metric, &text(field(shard)), at, field(value))?;
                Ok(1)
            }
            Shape::Wide { time } => {
                let at = self.at(field(time))?;
                for column in (0..self.names.len()).filter(|column| *column != time) {
                    let name = self.names[column].clone();
                    self.add(self.metric, &name, at, field(column))?;
                }
                Ok(self.names.len() as u64 - 1)
            }
        }
    }

    fn at(&mut self, field: &Field) -> Result<InstantMs, BadField> {
        let text = text(field);
        let ms = if let Field::TimestampMillis(ms) = field {
            u64::try_from(*ms).ok()
        } else if let Field::TimestampMicros(us) = field {
            u64::try_from(*us).ok().map(|us| us / 1000)
        } else {
            self.times.ms(text.as_bytes())
        };
        ms.map(InstantMs).ok_or_else(|| BadField::new("time", format!("{} is no time", shown(text.as_bytes()))))
    }

    fn add(&mut self, metric: Metric, shard: &str, at: InstantMs, field: &Field) -> Result<(), BadField> {
        let value = number(field)
            .ok_or_else(|| BadField::new("value", format!("{} is no number", shown(text(field).as_bytes()))))?;
        let shard = self.shards.shard(shard).map_err(|problem| BadField::new("shard", problem))?;
        self.record.add(metric, shard, at, value).map_err(|problem| BadField::new("value", problem))
    }
}

/// A field as text, without quotes.
fn text(field: &Field) -> String {
    if let Field::Str(text) = field {
        text.clone()
    } else if let Field::Bytes(bytes) = field {
        String::from_utf8_lossy(bytes.data()).into_owned()
    } else {
        field.to_string()
    }
}

/// A field as a number; NaN where it is null.
fn number(field: &Field) -> Option<f64> {
    if let Field::Double(value) = field {
        Some(*value)
    } else if let Field::Float(value) = field {
        Some(f64::from(*value))
    } else if *field == Field::Null {
        Some(f64::NAN)
    } else {
        field.to_string().parse().ok()
    }
}

#[cfg(test)]
mod tests;
