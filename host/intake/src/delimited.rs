//! Lines of fields with a delimiter between them: CSV and its kin, by hand on bytes, nothing allocated.

use crate::columns::Role;
use crate::error::BadField;
use crate::event_fields::Fields;
use std::borrow::Cow;

/// Delimiters looked for, the likeliest first where counts are equal.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// The delimiter that a line has most of.
pub(crate) fn delimiter_of(line: &[u8]) -> u8 {
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// The next field from `at` on, and where the one after it begins; no next one: the line is over.
fn field(line: &[u8], at: usize, delimiter: u8) -> Result<(Cow<'_, [u8]>, Option<usize>), BadField> {
    let rest = &line[at..];
    if rest.first() == Some(&b'"') {
        return quoted(line, at + 1, delimiter);
    }
    match rest.iter().position(|byte| *byte == delimiter) {
        Some(length) => Ok((Cow::Borrowed(&rest[..length]), Some(at + length + 1))),
        None => Ok((Cow::Borrowed(rest), None)),
    }
}

/// A field in quotes, from behind the first one on. A quote within stands there twice (RFC 4180).
fn quoted(line: &[u8], at: usize, delimiter: u8) -> Result<(Cow<'_, [u8]>, Option<usize>), BadField> {
    let mut text = Cow::Borrowed(&line[at..at]);
    let mut from = at;
    loop {
        let Some(length) = memchr::memchr(b'"', &line[from..]) else {
            return Err(BadField::new("line", "a quote is not closed; fields over several lines are not read"));
        };
        let piece = &line[from..from + length];
        if text.is_empty() {
            text = Cow::Borrowed(piece)
        } else {
            text.to_mut().extend_from_slice(piece)
        }
        from += length + 1;
        match line.get(from) {
            Some(b'"') => {
                text.to_mut().push(b'"');
                from += 1;
            }
            None => return Ok((text, None)),
            Some(byte) if *byte == delimiter => return Ok((text, Some(from + 1))),
            Some(_) => return Err(BadField::new("line", "something stands between a closing quote and the delimiter")),
        }
    }
}

/// Splits a line into the fields that have a role.
pub(crate) fn split<'a>(
    line: &'a [u8],
    delimiter: u8,
    roles: &[Option<Role>],
    fields: &mut Fields<'a>,
) -> Result<(), BadField> {
    let mut at = Some(0);
    for role in roles {
        let Some(from) = at else { break };
        let (text, next) = field(line, from, delimiter)?;
        if let Some(role) = role {
            fields.set(*role, text);
        }
        at = next;
    }
    Ok(())
}

/// All fields of a line as text: a header.
pub(crate) fn names(line: &[u8], delimiter: u8, most: usize) -> Result<Vec<String>, BadField> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let mut names = Vec::new();
    let mut at = Some(0);
    while let Some(from) = at {
        if names.len() == most {
            return Err(BadField::new("header", format!("more than {most} columns")));
        }
        let (text, next) = field(line, from, delimiter)?;
        names.push(String::from_utf8_lossy(&text).trim().to_owned());
        at = next;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What the csv crate writes is read as it was.
        #[test]
        fn fields_come_back_from_the_csv_writer(
            fields in prop::collection::vec("[a\",;\t é]{0,6}", 2..6),
            delimiter in prop::sample::select(&DELIMITERS),
        ) {
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
            writer.write_record(&fields).unwrap();
            let line = writer.into_inner().unwrap();
            let trimmed: Vec<_> = fields.iter().map(|field| field.trim().to_owned()).collect();
            prop_assert_eq!(names(line.strip_suffix(b"\n").unwrap(), delimiter, 10), Ok(trimmed));
        }
    }

    #[test]
    fn the_delimiter_is_the_one_there_is_most_of() {
        for (line, delimiter) in [("a,b;c,d", b','), ("a\tb\tc,d", b'\t'), ("a;b", b';'), ("a", b',')] {
            assert_eq!(delimiter_of(line.as_bytes()), delimiter, "{line}");
        }
    }

    #[test]
    fn broken_quotes_are_said() {
        assert!(names(b"\"a,b", b',', 9).unwrap_err().problem.contains("not closed"));
        assert!(names(b"\"a\"b,c", b',', 9).unwrap_err().problem.contains("between"));
    }
}
