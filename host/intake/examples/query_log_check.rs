//! Holds the sketches against exact counts on whole traces, or measures how many log lines a second one core takes:
//!
//! ```text
//! cargo run --release -p isobar-intake --example query_log_check -- cloudphysics cloudphysicsIO.csv.gz
//! cargo run --release -p isobar-intake --example query_log_check -- mooncake conversation_trace.jsonl.gz
//! cargo run --release -p isobar-intake --example query_log_check -- lora lora_request_trace.csv.gz
//! cargo run --release -p isobar-intake --example query_log_check -- blocks w106.trace
//! cargo run --release -p isobar-intake --example query_log_check -- speed 4000000
//! ```
//!
//! `blocks` is a file of 32-bit little-endian block numbers without times; each gets the millisecond of its number.

#[path = "../tests/exact/mod.rs"]
mod exact;

use exact::{Query, compare};
use isobar_analyzer::stream::{
    KeyHistogram, KeyPrefix, LoadMilli, Operation, QueryEvent, QueryStream, QueryStreamSpec, Sharding,
};
use isobar_intake::{ColumnMap, OperationWords, QueryLog, QueryLogSpec, TimeUnit};
use isobar_model::{LoadWeights, Partitioning};
use std::collections::HashSet;
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, of] = args.as_slice() else { return Err("say which trace, and where it is".into()) };
    let file = PathBuf::from(of);
    let (queries, step_ms) = match what.as_str() {
        "cloudphysics" => (log(&file, "time=time,op=op,bytes=size,key=lbn", None)?, 60_000),
        "mooncake" => (first_written(log(&file, "key=hash_ids,bytes=input_length", Some(TimeUnit::Ms))?), 10_000),
        "lora" => (log(&file, "time=gmt_create,key=groupId,latency=exec_time_seconds", None)?, 3_600_000),
        "blocks" => (blocks(&std::fs::read(&file)?), 60_000),
        "speed" => return speed(of.parse()?),
        other => return Err(format!("{other} is none of cloudphysics, mooncake, lora, blocks, speed").into()),
    };
    println!("{} queries; shares in per cent", queries.len());
    println!(
        "sharding    cells wrong  mix wrong  split off (best) excess mean/worst  top20  heavy found/all  distinct mean/worst  out of bounds"
    );
    for (name, sharding) in [
        ("hash 1", Sharding::even(1)?),
        ("hash 16", Sharding::even(16)?),
        ("hash 64", Sharding::even(64)?),
        ("range 16", learned(&queries, 16)?),
    ] {
        let e = compare(&queries, &sharding, step_ms);
        println!(
            "{name:9} {:7} {:5} {:10} {:10.2} ({:.2}) {:12.2} / {:.2} {:8} {:10} / {:<6} {:9.2} / {:.2} {:8} + {}",
            e.cells,
            e.wrong_cells,
            e.wrong_mixes,
            e.split_worst * 100.0,
            e.split_best_possible * 100.0,
            e.split_excess_mean * 100.0,
            e.split_excess_worst * 100.0,
            e.top20,
            e.heavy_found,
            e.heavy,
            e.distinct_mean * 100.0,
            e.distinct_worst * 100.0,
            e.cuts_out_of_bounds,
            e.hitters_out_of_bounds,
        );
    }
    Ok(())
}

/// Boundaries between which the load is even, as `isobar history import --partitioning range` learns them.
fn learned(queries: &[Query], shards: usize) -> Outcome<Sharding> {
    let milli = LoadMilli::new(&LoadWeights::default());
    let mut keys = KeyHistogram::new(64 * shards);
    queries.iter().for_each(|q| keys.record(KeyPrefix::new(None, &q.key), milli.of(q.operation)));
    let boundaries = keys.cuts(shards).into_iter().map(|cut| cut.boundary).collect();
    Ok(Sharding::bounded(Partitioning::Range, boundaries)?)
}

fn log(file: &PathBuf, columns: &str, time_unit: Option<TimeUnit>) -> Outcome<Vec<Query>> {
    let words = OperationWords::with("28=get,2a=put")?;
    let spec = QueryLogSpec { columns: ColumnMap::parse(columns)?, words, time_unit, ..QueryLogSpec::default() };
    let mut queries = Vec::new();
    let each = |event: &QueryEvent<'_>| {
        let (at_ms, operation, bytes) = (event.at.0, event.operation, event.bytes);
        queries.push(Query { at_ms, operation, key: event.key.to_vec(), bytes });
    };
    QueryLog::new(spec).read(std::slice::from_ref(file), each, &mut |_| {})?;
    // A trace may be a little out of order; how that is dealt with is tested elsewhere.
    queries.sort_by_key(|query| query.at_ms);
    Ok(queries)
}

/// A block of a cache is written when it is first seen, and read later.
fn first_written(mut queries: Vec<Query>) -> Vec<Query> {
    let mut seen = HashSet::new();
    for query in &mut queries {
        query.operation = if seen.insert(query.key.clone()) { Operation::Put } else { Operation::Get };
    }
    queries
}

fn blocks(bytes: &[u8]) -> Vec<Query> {
    let numbers = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let query = |(at, number): (usize, u32)| Query {
        at_ms: at as u64,
        operation: Operation::Get,
        key: number.to_be_bytes().to_vec(),
        bytes: 4096,
    };
    numbers.enumerate().map(query).collect()
}

/// Seconds that this thread has had a core for, so that what else runs on the machine does not count (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: f64 = stat.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(f64::NAN);
    ns / 1e9
}

/// Lines a second of one core: reading alone, and with all that is made of them, for 64 shards.
fn speed(lines: u64) -> Outcome<()> {
    let path = std::env::temp_dir().join(format!("isobar-query-log-{}.csv", std::process::id()));
    let mut out = BufWriter::new(std::fs::File::create(&path)?);
    writeln!(out, "time,operation,key,bytes,latency_us")?;
    let mut state = 1u64;
    for line in 0..lines {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
        // Rank 1 to a million, density falling as one over the rank: a Zipf of exponent 1.
        let rank = (1e6f64.ln() * uniform).exp() as u64;
        let operation = if state % 10 < 8 { "get" } else { "put" };
        let at_ms = 1_731_689_870_000 + line / 20;
        writeln!(
            out,
            "{at_ms},{operation},tenant/{:06}/row/{rank:08},{},{}",
            rank % 977,
            100 + rank % 900,
            200 + state % 5_000
        )?;
    }
    out.flush()?;
    let bytes = std::fs::metadata(&path)?.len();
    let report = |what: &str, began: f64| {
        let seconds = cpu_seconds() - began;
        println!("{what}: {:.2} M lines/s, {:.0} MB/s", lines as f64 / seconds / 1e6, bytes as f64 / seconds / 1e6);
    };
    let files = [path.clone()];
    let began = cpu_seconds();
    let mut sum = 0;
    QueryLog::new(QueryLogSpec::default()).read(&files, |event| sum += event.bytes, &mut |_| {})?;
    report("parse", began);
    for (what, profiles) in [("parse, load", false), ("parse, load, profiles", true)] {
        let began = cpu_seconds();
        let mut stream = QueryStream::new(QueryStreamSpec {
            sharding: Sharding::even(64)?,
            step_ms: 10_000,
            lateness_ms: 60_000,
            gap_ms: 3_600_000,
            ahead_ms: 86_400_000,
            weights: LoadWeights::default(),
            sample_rate: 1.0,
            profiles,
        });
        let mut batches = 0;
        QueryLog::new(QueryLogSpec::default()).read(
            &files,
            |event| stream.record(event, &mut |_| batches += 1),
            &mut |_| {},
        )?;
        stream.finish(&mut |_| batches += 1);
        report(what, began);
        assert!(batches > 0 && sum > 0);
    }
    std::fs::remove_file(&path)?;
    Ok(())
}
