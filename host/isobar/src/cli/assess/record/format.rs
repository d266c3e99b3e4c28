//! What a file is, by its beginning.

use super::super::Format;
use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// Bytes looked at.
const LOOKED_AT: u64 = 64 << 10;
/// Names of a column of keys: where there is one, each line is a query.
const KEY_NAMES: [&str; 5] = ["key", "object", "object_id", "obj_id", "id"];
/// Names of a column of times.
const TIME_NAMES: [&str; 7] = ["time", "timestamp", "ts", "at", "datetime", "date", "time_ms"];

/// What the file is; `columns` were told by position or name, which only query logs have.
pub(super) fn of(path: &Path, columns: bool) -> anyhow::Result<Format> {
    let cant = || format!("can't read {}", path.display());
    let mut file = File::open(path).with_context(cant)?;
    let mut head = Vec::new();
    file.by_ref().take(LOOKED_AT).read_to_end(&mut head).with_context(cant)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        // What is cut off at the end of the part looked at is no matter.
        let _ = MultiGzDecoder::new(Cursor::new(head)).take(LOOKED_AT).read_to_end(&mut unpacked);
        head = unpacked;
    }
    match by_head(&head, columns) {
        Some(format) => Ok(format),
        None => bail!(
            "{}: it can't be told what it is by its first line: say --format querylog, csv, parquet or prometheus",
            path.display()
        ),
    }
}

fn by_head(head: &[u8], columns: bool) -> Option<Format> {
    if head.starts_with(b"PAR1") {
        return Some(Format::Parquet);
    }
    if columns {
        return Some(Format::Querylog);
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let line = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    if let Some(rest) = text.strip_prefix('{') {
        let quoted = rest.trim_start().starts_with('"');
        // An answer may be spread over lines; a log has an object a line.
        let answer = text.contains("\"resultType\"") || text.starts_with("{\"status\"");
        return Some(if quoted && !answer { Format::Querylog } else { Format::Prometheus });
    }
    if line.contains('{') && line.contains("=\"") {
        return Some(Format::Prometheus);
    }
    let names: Vec<String> =
        line.split([',', '\t', ';', '|']).map(|name| name.trim().trim_matches('"').to_ascii_lowercase()).collect();
    if names.iter().any(|name| KEY_NAMES.contains(&name.as_str())) {
        return Some(Format::Querylog);
    }
    names.iter().any(|name| TIME_NAMES.contains(&name.as_str())).then_some(Format::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_how_they_begin() {
        for (head, format) in [
            ("time,op,key,size\n", Some(Format::Querylog)),
            ("ts\tobject_id\n", Some(Format::Querylog)),
            ("{\"time\": 1, \"key\": \"a\"}\n", Some(Format::Querylog)),
            ("time,shard,value\n", Some(Format::Csv)),
            ("timestamp;a;b\n", Some(Format::Csv)),
            ("PAR1...", Some(Format::Parquet)),
            ("{\"status\":\"success\",\"data\":{", Some(Format::Prometheus)),
            ("{\n \"data\": {\"resultType\": \"matrix\"", Some(Format::Prometheus)),
            ("# HELP\nload{shard=\"1\"} 2 1700000000000\n", Some(Format::Prometheus)),
            ("{__name__=\"load\", shard=\"1\"} 2 17\n", Some(Format::Prometheus)),
            ("1,2,3\n", None),
            ("", None),
        ] {
            assert_eq!(by_head(head.as_bytes(), false), format, "{head}");
        }
        assert_eq!(by_head(b"1,2,3\n", true), Some(Format::Querylog));
    }
}
