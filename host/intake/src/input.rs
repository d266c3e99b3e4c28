//! A file as a stream of lines, unpacked on the way, with a count of how far it is.

use crate::error::IntakeError;
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Longest line taken: no key is longer than 4 KiB, and lists of keys fit as well. A longer one is a bad line.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Read at a time: beyond it larger reads gain nothing.
const CHUNK_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How far reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files read so far, packed as they are.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Lines, rows or series so far.
    pub lines: u64,
}

/// Counts what is read from the file itself.
struct Counted {
    file: File,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// An open file, unpacked if it is gzip.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    reader: Box<dyn Read>,
    read: Rc<Cell<u64>>,
    buffer: Vec<u8>,
    /// What of the buffer is not consumed yet.
    start: usize,
    end: usize,
    over: bool,
    /// Lines begun so far.
    pub(crate) line: u64,
}

/// What comes next in a file.
pub(crate) enum Line<'a> {
    /// A line, without its end.
    Text(&'a [u8]),
    /// One over the limit; it was skipped.
    TooLong,
    /// Nothing.
    End,
}

/// Bytes of all files together; those that can't be asked count as none.
pub(crate) fn total_bytes(paths: &[PathBuf]) -> u64 {
    paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|data| data.len()).sum()
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, IntakeError> {
        let unreadable = |error| IntakeError::unreadable(path, error);
        let mut file = File::open(path).map_err(unreadable)?;
        let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
        let read = Rc::new(Cell::new(magic.len() as u64));
        let packed = magic == GZIP_MAGIC;
        let whole = io::Cursor::new(magic).chain(Counted { file, read: Rc::clone(&read) });
        let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        let buffer = vec![0; CHUNK_BYTES];
        Ok(Self { path: path.to_owned(), reader, read, buffer, start: 0, end: 0, over: false, line: 0 })
    }

    /// Bytes of the file read so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.read.get()
    }

    /// The first bytes that are not white space, as many as are asked for and there; nothing is consumed.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8], IntakeError> {
        loop {
            let seen = &self.buffer[self.start..self.end];
            let blank = seen.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if seen.len() - blank >= count || self.over || self.end - self.start >= CHUNK_BYTES / 2 {
                let from = self.start + blank;
                return Ok(&self.buffer[from..self.end.min(from + count)]);
            }
            self.fill()?;
        }
    }

    /// The next line.
    pub(crate) fn next_line(&mut self) -> Result<Line<'_>, IntakeError> {
        let mut searched = self.start;
        let mut skipping = false;
        self.line += 1;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let (from, to) = (self.start, searched + at);
                self.start = to + 1;
                if skipping {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Text(without_return(&self.buffer[from..to])));
            }
            if self.over {
                let (from, to) = (self.start, self.end);
                self.start = to;
                return Ok(match (skipping, from < to) {
                    (true, _) => Line::TooLong,
                    (false, true) => Line::Text(without_return(&self.buffer[from..to])),
                    (false, false) => {
                        self.line -= 1;
                        Line::End
                    }
                });
            }
            if self.end - self.start > MAX_LINE_BYTES {
                skipping = true;
                self.start = self.end;
            }
            let before = self.start;
            let seen = self.end - self.start;
            self.fill()?;
            debug_assert!(self.start <= before);
            searched = self.start + seen;
        }
    }

    /// Reads on; what is not consumed moves to the front of the buffer.
    fn fill(&mut self) -> Result<(), IntakeError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            self.buffer.resize(self.buffer.len() + CHUNK_BYTES, 0);
        }
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(IntakeError::unreadable(&self.path, error)),
            }
        };
        self.over = read == 0;
        self.end += read;
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start < self.end {
            let count = buffer.len().min(self.end - self.start);
            buffer[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            return Ok(count);
        }
        self.reader.read(buffer)
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn lines(content: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut input = Input::open(file.path()).unwrap();
        let mut lines = Vec::new();
        loop {
            match input.next_line().unwrap() {
                Line::Text(text) => lines.push(Some(text.to_vec())),
                Line::TooLong => lines.push(None),
                Line::End => break,
            }
        }
        assert_eq!((input.line, input.consumed()), (lines.len() as u64, content.len() as u64));
        lines
    }

    #[test]
    fn lines_end_as_they_may() {
        let text = |lines: &[&str]| lines.iter().map(|l| Some(l.as_bytes().to_vec())).collect::<Vec<_>>();
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\r\n\nb"), text(&["a", "", "b"]));
        assert_eq!(lines(b"a\nb\n"), text(&["a", "b"]));
    }

    #[test]
    fn long_files_and_long_lines_are_read_whole_and_too_long_ones_skipped() {
        let mut content = Vec::new();
        for i in 0..40_000 {
            writeln!(content, "line {i} of many").unwrap();
        }
        content.extend(vec![b'x'; CHUNK_BYTES * 3]);
        content.push(b'\n');
        content.extend(vec![b'y'; MAX_LINE_BYTES * 2]);
        content.extend(b"\nlast");
        let lines = lines(&content);
        assert_eq!(lines.len(), 40_003);
        assert_eq!(lines[39_999].as_deref(), Some(&b"line 39999 of many"[..]));
        assert_eq!(lines[40_000].as_ref().map(Vec::len), Some(CHUNK_BYTES * 3));
        assert_eq!((&lines[40_001], lines[40_002].as_deref()), (&None, Some(&b"last"[..])));
    }

    #[test]
    fn gzip_is_unpacked_also_where_several_were_put_together() {
        let mut packed = Vec::new();
        for part in ["a\nb", "c\n"] {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        assert_eq!(lines(&packed), [Some(b"a".to_vec()), Some(b"bc".to_vec())]);
    }
}
