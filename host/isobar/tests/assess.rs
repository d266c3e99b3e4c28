//! `isobar assess` as a person runs it: a log of any store in, a verdict and a page out.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// A Monday, 00:00 UTC, in seconds.
const MONDAY_S: u64 = 1_704_067_200;
const UNITS: usize = 12;
/// Three days of half-hours.
const STEPS: usize = 144;

/// Load of a unit: busy at hours of its own.
fn load(unit: usize, step: usize) -> f64 {
    if (step / 6 + unit * unit) % 8 < 4 { 10.0 } else { 1.0 }
}

fn assess(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isobar"));
    command.current_dir(dir).env_remove("ISOBAR_ENDPOINT").arg("assess").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Few starts and one cell: enough to see that all works together.
const SMALL: [&str; 8] = ["--headroom", "1.3", "--lead", "1", "--seeds", "2", "--threads", "2"];

fn report(dir: &Path, args: &[&str]) -> serde_json::Value {
    let output = assess(dir, &[args, &SMALL[..], &["--out", "report.json", "--html", "report.html"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("2 starts x 5 arms"), "an estimate comes first: {}", text(&output.stderr));
    let html = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.matches("<svg").count() >= 5, "{} bytes", html.len());
    assert!(!dir.join("report.html.part").exists() && !dir.join("report.json.part").exists());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap();
    let sentence = report["findings"]["verdict"]["sentence"].as_str().unwrap();
    assert!(text(&output.stdout).starts_with(sentence), "{}", text(&output.stdout));
    assert!(html.contains(&sentence[..40]), "{sentence}");
    report
}

fn csv() -> String {
    let mut csv = "time".to_owned();
    (0..UNITS).for_each(|unit| write!(csv, ",tenant{unit}").unwrap());
    for step in 0..STEPS {
        write!(csv, "\n{}", MONDAY_S + step as u64 * 1_800).unwrap();
        (0..UNITS).for_each(|unit| write!(csv, ",{}", load(unit, step)).unwrap());
    }
    csv
}

#[test]
fn recorded_load_says_the_same_in_all_formats() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("load.csv"), csv()).unwrap();

    let schema = Arc::new(
        parse_message_type(
            "message m { required int64 time (TIMESTAMP(MILLIS,true)); required int64 shard; required double value; }",
        )
        .unwrap(),
    );
    let file = std::fs::File::create(dir.path().join("load.parquet")).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let cells = || (0..STEPS).flat_map(|step| (0..UNITS).map(move |unit| (step, unit)));
    let times: Vec<i64> = cells().map(|(step, _)| (MONDAY_S as i64 + step as i64 * 1_800) * 1_000).collect();
    let shards: Vec<i64> = cells().map(|(_, unit)| unit as i64).collect();
    for longs in [times, shards] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&longs, None, None).unwrap();
        column.close().unwrap();
    }
    let values: Vec<f64> = cells().map(|(step, unit)| load(unit, step)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    let series: Vec<serde_json::Value> = (0..UNITS)
        .map(|unit| {
            let values: Vec<_> = (0..STEPS)
                .map(|step| serde_json::json!([MONDAY_S + step as u64 * 1_800, load(unit, step).to_string()]))
                .collect();
            serde_json::json!({"metric": {"table": format!("tenant{unit}")}, "values": values})
        })
        .collect();
    let answer = serde_json::json!({"status": "success", "data": {"resultType": "matrix", "result": series}});
    std::fs::write(dir.path().join("range.json"), answer.to_string()).unwrap();

    let of_csv = report(dir.path(), &["load.csv"]);
    assert_eq!(of_csv["record"]["units"], UNITS);
    assert_eq!(of_csv["record"]["step_ms"], 1_800_000, "a value every half-hour makes steps of half an hour");
    let cells = |report: &serde_json::Value| report["findings"]["cells"].to_string();
    let of_parquet = report(dir.path(), &["load.parquet"]);
    assert_eq!(cells(&of_csv), cells(&of_parquet));
    let of_prometheus = report(dir.path(), &["--shard-label", "table", "range.json"]);
    assert_eq!(cells(&of_csv), cells(&of_prometheus));
    assert_eq!(of_csv["findings"]["cells"][0]["arms"].as_array().unwrap().len(), 5);
}

#[test]
fn a_query_log_of_minutes_gets_short_steps_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = "time_ms,op,key,size\n".to_owned();
    // A minute, forty keys, busy one after the other.
    for tick in 0..600_u64 {
        let at = MONDAY_S * 1_000 + tick * 100;
        for of in 0..3 {
            let key = (tick / 60 * 7 + tick % 5 + of * 13) % 40;
            writeln!(log, "{at},{},key{key},100", if of == 0 { "set" } else { "get" }).unwrap();
        }
    }
    std::fs::write(dir.path().join("queries.csv"), &log).unwrap();
    for partitioning in ["hash", "range"] {
        let report = report(dir.path(), &["--shards", "12", "--partitioning", partitioning, "queries.csv"]);
        assert_eq!(report["record"]["events"], 1_800);
        let step_ms = report["record"]["step_ms"].as_u64().unwrap();
        assert!(step_ms <= 1_000, "{step_ms}");
        let remarks = report["remarks"].to_string();
        assert!(remarks.contains("instead of 5 min") && remarks.contains("no daily pattern"), "{remarks}");
        assert!(report["record"]["hottest_key_share"].as_f64().unwrap() > 0.0);
        assert!(report["findings"]["cells"][0]["arms"][3]["moved_bytes"].is_object(), "sizes are in the log");
    }
}

#[test]
fn a_record_too_short_says_how_much_is_needed_and_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let short: String = csv().lines().take(21).collect::<Vec<_>>().join("\n");
    std::fs::write(dir.path().join("load.csv"), short).unwrap();
    let output = assess(dir.path(), &["load.csv", "--html", "report.html"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("No placement was tried") && said.contains("at least 48"), "{said}");
    assert!(std::fs::read_to_string(dir.path().join("report.html")).unwrap().contains("Load of all units"));
}

#[test]
fn what_can_not_be_done_is_said_before_it_takes_time() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("load.csv"), csv()).unwrap();
    std::fs::write(dir.path().join("odd.txt"), "1 2 3\n").unwrap();
    for (args, word) in [
        (&["none.csv"][..], "none.csv"),
        (&["odd.txt"], "say --format"),
        (&["load.csv", "--nodes", "1"], "nodes"),
        (&["load.csv", "--headroom", "0"], "headrooms"),
        (&["load.csv", "--lead", "9999"], "lead times"),
        (&["load.csv", "--forecaster", "oracle"], "seasonal-naive"),
        (&["load.csv", "--placer", "best"], "forecasts load"),
        (&["load.csv", "--step", "0s"], "5m"),
        (&["load.csv", "--format", "querylog"], "key"),
    ] {
        let output = assess(dir.path(), args);
        assert!(!output.status.success() && text(&output.stderr).contains(word), "{args:?}: {}", text(&output.stderr));
    }
}
