//! What is kept while files are read one after the other: lines and values, those that are bad, and how far it is.

use crate::error::{BadField, BadLine, BadLines, IntakeError};
use crate::input::{Progress, total_bytes};
use std::path::{Path, PathBuf};

/// Lines between two reports of progress: often enough to be watched, too seldom to cost.
const PROGRESS_LINES: u64 = 1 << 14;

/// What came of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Lines, headers and empty ones not counted.
    pub lines: u64,
    /// Queries, or values.
    pub events: u64,
    /// Lines passed over.
    pub bad_lines: u64,
    /// The first of them.
    pub examples: Vec<BadLine>,
}

/// Reading under way.
pub(crate) struct Reading<'a> {
    pub(crate) lines: u64,
    pub(crate) events: u64,
    bad: BadLines,
    /// Bytes of the files that are done.
    done_bytes: u64,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Reading<'a> {
    /// Nothing read yet of these files. So many bad lines are passed over; more are an error.
    pub(crate) fn new(files: &[PathBuf], max_bad_lines: u64, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let bad = BadLines::new(max_bad_lines);
        Self { lines: 0, events: 0, bad, done_bytes: 0, total_bytes: total_bytes(files), progress }
    }

    /// A line was read, or is passed over for a reason. `bytes` of its file are read by then.
    pub(crate) fn line(
        &mut self,
        file: &Path,
        number: u64,
        taken: Result<(), BadField>,
        bytes: u64,
    ) -> Result<(), IntakeError> {
        self.lines += 1;
        if let Err(bad) = taken {
            self.bad.add(file, number, bad)?;
        }
        if self.lines.is_multiple_of(PROGRESS_LINES) {
            self.tell(bytes);
        }
        Ok(())
    }

    /// A file is done, of so many bytes.
    pub(crate) fn file_done(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        self.tell(0);
    }

    /// All files are done.
    pub(crate) fn finish(self) -> ReadReport {
        let (bad_lines, examples) = self.bad.into_parts();
        ReadReport { lines: self.lines, events: self.events, bad_lines, examples }
    }

    /// Says how far it is; `bytes` of the file under way are read.
    pub(crate) fn tell(&mut self, bytes: u64) {
        let Self { done_bytes, total_bytes, lines, .. } = *self;
        (self.progress)(Progress { bytes: done_bytes + bytes, total_bytes, lines });
    }
}
