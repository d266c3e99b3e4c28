//! `isobar history import` as a person runs it: no cluster, files in, files out.

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

/// Ten minutes of two keys: `hot` is read ten times a second, `cold` written once.
fn log() -> String {
    let mut log = "time_ms,op,key,bytes,latency_us\n".to_owned();
    for tenth in 0..6_000u64 {
        let at = 1_731_689_700_000 + tenth * 100;
        writeln!(log, "{at},get,hot,100,{}", 200 + tenth % 10).unwrap();
        if tenth % 10 == 0 {
            writeln!(log, "{at},put,cold,50,900").unwrap();
        }
    }
    log
}

fn import(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isobar"));
    command.current_dir(dir).env_remove("ISOBAR_ENDPOINT").args(["history", "import"]).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_query_log_becomes_load_and_profiles() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.csv"), log()).unwrap();
    let args = [
        "--format",
        "querylog",
        "--shards",
        "4",
        "--step",
        "1m",
        "--out",
        "load.csv",
        "--profile",
        "p.json",
        "log.csv",
    ];
    let output = import(dir.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("6600 queries"), "{}", text(&output.stdout));

    let load = std::fs::read_to_string(dir.path().join("load.csv")).unwrap();
    let mut sum = 0.0;
    for line in load.lines().filter(|line| line.contains(",load,") && line.starts_with("1731689760000,")) {
        sum += line.rsplit(',').next().unwrap().parse::<f64>().unwrap();
    }
    // Ten reads a second weigh 10, one write 2.
    assert!((sum - 12.0).abs() < 1e-3, "{sum}\n{load}");

    let profiles: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("p.json")).unwrap()).unwrap();
    let shards = profiles["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 4);
    let hottest = |shard: &serde_json::Value| shard["heavy_hitters"][0]["key"] == "hot";
    let hot = shards.iter().find(|shard| hottest(shard)).unwrap();
    assert!(hot["latency"]["p50_us"].as_f64().unwrap() > 190.0);
    assert!(!dir.path().join("load.csv.part").exists());
}

#[test]
fn what_was_written_can_be_imported_as_recorded_load() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.csv"), log()).unwrap();
    let first = [
        "--format",
        "querylog",
        "--partitioning",
        "range",
        "--shards",
        "2",
        "--step",
        "1m",
        "--out",
        "a.csv",
        "log.csv",
    ];
    assert!(import(dir.path(), &first).status.success());
    let again = import(dir.path(), &["--format", "csv", "--step", "1m", "--out", "b.csv", "a.csv"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let sorted = |name: &str| {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("a.csv"), sorted("b.csv"));
}

#[test]
fn wrong_use_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.csv"), log()).unwrap();
    std::fs::write(dir.path().join("bad.csv"), "time,op,key\n1,get,a\nsoon,get,a\n2,shrug,a\n").unwrap();
    let said = |args: &[&str]| {
        let output = import(dir.path(), args);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    assert!(said(&["--format", "querylog", "log.csv"]).contains("--out FILE.csv"));
    let bad = said(&["--format", "querylog", "--max-bad-lines", "1", "--out", "x.csv", "bad.csv"]);
    assert!(bad.contains("bad.csv:3: time") && bad.contains("bad.csv:4: operation") && bad.contains("--ops"), "{bad}");
    assert!(!dir.path().join("x.csv").exists());
    let profile = said(&["--format", "csv", "--profile", "p.json", "--out", "x.csv", "log.csv"]);
    assert!(profile.contains("only query logs have profiles"), "{profile}");
    let hash = said(&["--format", "querylog", "--boundaries", "log.csv", "--out", "x.csv", "log.csv"]);
    assert!(hash.contains("--partitioning range"), "{hash}");
}
