//! Query logs: one query a line, with its time, operation, key, bytes and latency.
//!
//! Delimited text (comma, tab, semicolon or bar; quotes as in RFC 4180, but no line break within a field) with a header, or without one where
//! columns are given by position; or JSON, an object a line. Packed by gzip or not. Each file of a log may have a form of its own.
//!
//! | column | names known without [`ColumnMap`] | what stands there | where it is missing |
//! |---|---|---|---|
//! | time | `time`, also with `_s`, `_ms`, `_us`, `timestamp`, `ts`, `at`, `datetime`, `date` | a number since 1970, its unit told or guessed from the file's first, or a date with or without offset | refused |
//! | operation | `operation`, `op`, `command`, `cmd`, `method`, `verb`, `type` | a word of [`OperationWords`] | get |
//! | key | `key`, `object`, `object_id`, `obj_id`, `id` | at most 4 KiB; in JSON also a list of keys, each a query | refused |
//! | bytes | `bytes`, `size`, `length`, `value_size`, `bytes_sent` | read or written | 0 |
//! | latency | `latency`, `duration`, each also with `_s`, `_ms`, `_us`, `_ns` | how long it took, microseconds if no unit is told | not known |

use crate::columns::{ColumnMap, Layout, MAX_COLUMNS};
use crate::delimited::{delimiter_of, names, split};
use crate::error::{BadField, IntakeError};
use crate::event_fields::{EventReader, Fields};
use crate::input::{Input, Line, Progress};
use crate::json_line::JsonLine;
use crate::operation_words::OperationWords;
use crate::reading::{ReadReport, Reading};
use crate::time_text::{TimeUnit, Times};
use isobar_analyzer::stream::QueryEvent;
use std::path::{Path, PathBuf};

/// How a log is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryLogSpec {
    /// Which column is what.
    pub columns: ColumnMap,
    /// What operations are called.
    pub words: OperationWords,
    /// What bare numbers of the time count; none: guessed from the first.
    pub time_unit: Option<TimeUnit>,
    /// What latencies count; none: by the column's name, else microseconds.
    pub latency_unit: Option<TimeUnit>,
    /// What stands between fields; none: the likeliest by the first line.
    pub delimiter: Option<u8>,
    /// Bad lines that are passed over; more are an error.
    pub max_bad_lines: u64,
}

/// Reads logs.
#[derive(Debug)]
pub struct QueryLog {
    spec: QueryLogSpec,
    reader: EventReader,
}

impl QueryLog {
    /// A reader of logs that are written so.
    #[must_use]
    pub fn new(spec: QueryLogSpec) -> Self {
        let unit = spec.latency_unit.unwrap_or(TimeUnit::Us);
        let reader = EventReader::new(Times::new(spec.time_unit), spec.words.clone(), unit);
        Self { spec, reader }
    }

    /// Reads files one after the other as one log; `each` sees every query, `progress` how far it is, now and then.
    pub fn read(
        mut self,
        files: &[PathBuf],
        mut each: impl FnMut(&QueryEvent<'_>),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ReadReport, IntakeError> {
        let mut reading = Reading::new(files, self.spec.max_bad_lines, progress);
        for file in files {
            let mut input = Input::open(file)?;
            if input.peek(1)?.first() == Some(&b'{') {
                self.json(&mut input, &mut each, &mut reading)?;
            } else {
                self.delimited(&mut input, &mut each, &mut reading)?;
            }
            reading.file_done(input.consumed());
        }
        Ok(reading.finish())
    }

    fn delimited(
        &mut self,
        input: &mut Input,
        each: &mut impl FnMut(&QueryEvent<'_>),
        reading: &mut Reading<'_>,
    ) -> Result<(), IntakeError> {
        let path = input.path.clone();
        let mut layout: Option<(Layout, u8)> = None;
        loop {
            let number = input.line + 1;
            let bytes = input.consumed();
            let line = match input.next_line()? {
                Line::Text([]) => continue,
                Line::Text(line) => line,
                Line::TooLong => {
                    reading.line(&path, number, Err(BadField::new("line", "over 1 MiB long")), bytes)?;
                    continue;
                }
                Line::End => break,
            };
            let (known, delimiter) = match &layout {
                Some((known, delimiter)) => (known, *delimiter),
                None => {
                    let delimiter = self.spec.delimiter.unwrap_or_else(|| delimiter_of(line));
                    let found = self.layout(&path, line, delimiter)?;
                    let is_header = found.1;
                    let (known, delimiter) = layout.insert((found.0, delimiter));
                    if is_header {
                        continue;
                    }
                    (&*known, *delimiter)
                }
            };
            let mut fields = Fields::default();
            let event = split(line, delimiter, &known.roles, &mut fields).and_then(|()| {
                let key = fields.key().ok_or_else(|| BadField::new("key", "there is none"))?;
                self.reader.event(&fields, key)
            });
            let taken = event.map(|event| {
                reading.events += 1;
                each(&event);
            });
            reading.line(&path, number, taken, bytes)?;
        }
        Ok(())
    }

    /// The layout that the first line tells, and whether that line is a header.
    fn layout(&mut self, path: &Path, line: &[u8], delimiter: u8) -> Result<(Layout, bool), IntakeError> {
        let found = match self.spec.columns.without_header() {
            Some(layout) => (layout, false),
            None => {
                let header = names(line, delimiter, MAX_COLUMNS)
                    .map_err(|bad| IntakeError::not_that(path, format!("its header can't be read: {}", bad.problem)))?;
                let layout = self.spec.columns.layout(&header);
                (layout.map_err(|problem| IntakeError::not_that(path, problem))?, true)
            }
        };
        self.reader.times = Times::new(self.spec.time_unit.or(found.0.time_unit));
        self.reader.latency_unit = self.spec.latency_unit.or(found.0.latency_unit).unwrap_or(TimeUnit::Us);
        Ok(found)
    }

    fn json(
        &mut self,
        input: &mut Input,
        each: &mut impl FnMut(&QueryEvent<'_>),
        reading: &mut Reading<'_>,
    ) -> Result<(), IntakeError> {
        let path = input.path.clone();
        let mut object = JsonLine::default();
        loop {
            let number = input.line + 1;
            let bytes = input.consumed();
            let read = match input.next_line()? {
                Line::Text(line) if line.trim_ascii().is_empty() => continue,
                Line::Text(line) => object.read(line, &self.spec.columns),
                Line::TooLong => Err(BadField::new("line", "over 1 MiB long")),
                Line::End => break,
            };
            let taken = read.and_then(|()| self.events_of(&object, each, &mut reading.events));
            reading.line(&path, number, taken, bytes)?;
        }
        Ok(())
    }

    fn events_of(
        &mut self,
        object: &JsonLine,
        each: &mut impl FnMut(&QueryEvent<'_>),
        events: &mut u64,
    ) -> Result<(), BadField> {
        self.reader.latency_unit = self.spec.latency_unit.or(object.latency_unit).unwrap_or(TimeUnit::Us);
        let fields = object.fields();
        let mut any = false;
        for key in object.keys() {
            if key.is_empty() {
                return Err(BadField::new("key", "it is empty"));
            }
            let event = self.reader.event(&fields, key)?;
            *events += 1;
            each(&event);
            any = true;
        }
        if any { Ok(()) } else { Err(BadField::new("key", "there is none")) }
    }
}

#[cfg(test)]
mod tests;
