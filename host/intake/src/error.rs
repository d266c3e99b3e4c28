//! What can be wrong with a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Examples of bad lines that are kept to be shown.
const MAX_EXAMPLES: usize = 3;
/// Characters of a bad field that are shown.
const SHOWN_CHARS: usize = 40;

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file.display(), self.line, self.field, self.problem)
    }
}

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It can't be read.
    #[error("can't read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it is said to be.
    #[error("{}: {problem}", file.display())]
    NotThat {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Too much of it could not be read.
    #[error(
        "{count} bad lines are more than the {most} allowed, the first of them:\n{}\nmend the file or its description, or allow more with --max-bad-lines",
        list(examples)
    )]
    BadLines {
        /// How many there were until it was given up.
        count: u64,
        /// How many are allowed.
        most: u64,
        /// The first of them.
        examples: Vec<BadLine>,
    },
}

fn list(examples: &[BadLine]) -> String {
    examples.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

impl IntakeError {
    pub(crate) fn unreadable(file: &Path, source: io::Error) -> Self {
        Self::Unreadable { file: file.to_owned(), source }
    }

    pub(crate) fn not_that(file: &Path, problem: impl Into<String>) -> Self {
        Self::NotThat { file: file.to_owned(), problem: problem.into() }
    }
}

/// A field that can't be read, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) field: &'static str,
    pub(crate) problem: String,
}

impl BadField {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Text of a field, short enough to be shown.
pub(crate) fn shown(text: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_CHARS)]).chars().take(SHOWN_CHARS).collect();
    format!("{text:?}")
}

/// Bad lines so far: counted, the first kept, too many refused.
#[derive(Debug)]
pub(crate) struct BadLines {
    most: u64,
    count: u64,
    examples: Vec<BadLine>,
}

impl BadLines {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, count: 0, examples: Vec::new() }
    }

    pub(crate) fn add(&mut self, file: &Path, line: u64, bad: BadField) -> Result<(), IntakeError> {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(BadLine { file: file.to_owned(), line, field: bad.field, problem: bad.problem });
        }
        if self.count > self.most {
            let (count, most, examples) = (self.count, self.most, std::mem::take(&mut self.examples));
            return Err(IntakeError::BadLines { count, most, examples });
        }
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (u64, Vec<BadLine>) {
        (self.count, self.examples)
    }
}
