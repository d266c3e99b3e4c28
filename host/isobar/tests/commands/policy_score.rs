//! `isobar policy score`, which asks no node: nothing listens at the endpoint given here.

use crate::Cli;
use clap::Parser;
use isobar::track_file::read_forecasts;
use std::fmt::Write as _;
use std::path::Path;

async fn run(words: &[&str]) -> anyhow::Result<()> {
    let cli =
        Cli::try_parse_from(["isobar", "--endpoint", "http://127.0.0.1:1", "policy", "score"].iter().chain(words))?;
    cli.command.run(&cli.target).await
}

/// Two series of a fortnight's hours, one with missing loads.
fn write_track(path: &Path) {
    let mut text = String::new();
    for id in ["a", "b"] {
        let load = |step: usize| {
            let wave = 50.0 + 30.0 * (step as f64 / 24.0 * std::f64::consts::TAU).sin() + (step * 7919 % 13) as f64;
            if id == "b" && step.is_multiple_of(10) { "null".to_owned() } else { format!("{wave:.1}") }
        };
        let y: Vec<String> = (0..14 * 24).map(load).collect();
        writeln!(
            text,
            r#"{{"id":"{id}","start":1789948800,"step_s":3600,"seasons":[24,168],"horizons":[6,24],"origins":[200,300],"y":[{}]}}"#,
            y.join(",")
        )
        .unwrap();
    }
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_policy_is_scored_on_a_track_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let (track, out) = (folder.path().join("track.jsonl"), folder.path().join("out.jsonl.gz"));
    write_track(&track);
    let (track, out_text) = (track.to_str().unwrap(), out.to_str().unwrap());
    run(&["--track", track, "--policy", "seasonal-naive", "--out", out_text]).await.unwrap();
    let raw = read_forecasts(&out).unwrap();
    let whose: Vec<_> = raw.iter().map(|forecast| (forecast.id.as_str(), forecast.origin)).collect();
    assert_eq!(whose, [("a", 200), ("a", 300), ("b", 200), ("b", 300)]);
    for forecast in &raw {
        assert!(forecast.paths.iter().all(|path| path.len() == 24));
        assert_eq!(forecast.peaks.keys().copied().collect::<Vec<_>>(), [6, 24]);
    }
    // Guarded by its own like it says the same, and compares as equal.
    run(&["--track", track, "--policy", "seasonal-naive", "--guarded", "--compare", out_text, "--json"]).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let track = folder.path().join("track.jsonl");
    write_track(&track);
    let path = track.to_str().unwrap();
    let fails = async |words: &[&str]| format!("{:#}", run(words).await.unwrap_err());
    assert!(fails(&["--track", path, "--policy", "nobody"]).await.contains("neither a policy that comes with Isobar"));
    assert!(fails(&["--track", path, "--policy", "reactive"]).await.contains("places shards"));
    assert!(fails(&["--track", path, "--policy", path]).await.contains("is no policy"));
    let config = ["--track", path, "--policy", "seasonal-naive", "--config", "{\"weeks\": 99}"];
    assert!(fails(&config).await.contains("weeks"));
    assert!(fails(&["--track", "/nowhere", "--policy", "seasonal-naive"]).await.contains("/nowhere can't be read"));
    let bad = std::fs::read_to_string(&track).unwrap().replacen("\"origins\":[200,300]", "\"origins\":[900]", 1);
    std::fs::write(&track, bad).unwrap();
    let said = fails(&["--track", path, "--policy", "seasonal-naive"]).await;
    assert!(said.contains("line 1: field `origins`: 900 + 24 steps lie beyond"), "{said}");
}
