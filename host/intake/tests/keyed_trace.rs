//! The sketches against exact counts, on an excerpt of a real keyed trace.
//!
//! `cargo run -p isobar-intake --example query_log_check` does the same for whole traces.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

mod exact;

use exact::{Query, compare};
use isobar_analyzer::stream::{DistinctKeys, Operation, QueryEvent, Sharding};
use isobar_intake::{ColumnMap, QueryLog, QueryLogSpec, TimeUnit};
use isobar_model::Partitioning;
use std::collections::HashSet;
use std::path::PathBuf;

fn excerpt() -> Vec<Query> {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mooncake_conversation.jsonl.gz"));
    let spec = QueryLogSpec {
        columns: ColumnMap::parse("key=hash_ids,bytes=input_length").unwrap(),
        time_unit: Some(TimeUnit::Ms),
        ..QueryLogSpec::default()
    };
    let mut queries = Vec::new();
    let mut seen = HashSet::new();
    let each = |event: &QueryEvent<'_>| {
        // A block that was never seen is written, later it is read.
        let operation = if seen.insert(event.key.to_vec()) { Operation::Put } else { Operation::Get };
        queries.push(Query { at_ms: event.at.0, operation, key: event.key.to_vec(), bytes: event.bytes });
    };
    let report = QueryLog::new(spec).read(&[file], each, &mut |_| {}).unwrap();
    assert_eq!((report.lines, report.bad_lines), (700, 0));
    queries
}

fn holds(errors: &exact::Errors) {
    assert!(errors.cells > 0 && errors.heavy > 0, "{errors:?}");
    assert_eq!((errors.wrong_cells, errors.wrong_mixes), (0, 0), "{errors:?}");
    assert_eq!((errors.cuts_out_of_bounds, errors.hitters_out_of_bounds), (0, 0), "{errors:?}");
    assert_eq!(errors.heavy, errors.heavy_found, "{errors:?}");
    assert!(errors.split_excess_worst < 0.03, "{errors:?}");
    assert!(errors.distinct_worst < 4.0 * DistinctKeys::STANDARD_ERROR, "{errors:?}");
}

#[test]
fn hashed_shards_are_told_as_they_are() {
    for shards in [1, 8] {
        holds(&compare(&excerpt(), &Sharding::even(shards).unwrap(), 10_000));
    }
}

#[test]
fn ranges_are_told_as_they_are() {
    let boundaries = ["12", "3", "5", "7"].map(|key| key.as_bytes().to_vec()).into();
    holds(&compare(&excerpt(), &Sharding::bounded(Partitioning::Range, boundaries).unwrap(), 10_000));
}
