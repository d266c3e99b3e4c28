//! How good the forecasters that come with Isobar are, as components in the real host, beside what people use today: `make bench-forecast`.
//!
//! Every forecaster forecasts every origin of every track, raw and with the host's fallback (`NAME.guarded`); files of other forecasts are scored
//! beside them. Writes `forecast.json`, flat, the forecasts themselves, and with `--docs` a page with plots.
//!
//! `cargo run -p isobar-tests --example bench_forecast -- --tracks examples/tracks --out target/bench [--peers DIR]... [--docs docs] [--only NAME]...`

mod chart;
mod daily_naive;
mod entrant;
mod figures;
mod page;
mod plots;
mod speed;

use anyhow::{Context as _, bail, ensure};
use entrant::{Entrant, Kind, Track};
use isobar::{track_file, track_run};
use isobar_bundle::first_party;
use isobar_model::{Digest, Role};
use isobar_policy::WasmHost;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Forecasts that came out of order or not at all and are told one by one.
const FAILURES_SHOWN: usize = 3;

struct Options {
    tracks: PathBuf,
    out: PathBuf,
    peers: Vec<PathBuf>,
    docs: Option<PathBuf>,
    only: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            tracks: "examples/tracks".into(),
            out: "target/bench".into(),
            peers: Vec::new(),
            docs: None,
            only: Vec::new(),
        };
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--tracks" => options.tracks = value.into(),
                "--out" => options.out = value.into(),
                "--peers" => options.peers.push(value.into()),
                "--docs" => options.docs = Some(value.into()),
                "--only" => options.only.push(value),
                other => bail!("no option {other}; there are --tracks, --out, --peers, --docs, --only"),
            }
        }
        Ok(options)
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let tracks = tracks(&options.tracks)?;
    let forecasts_dir = options.out.join("forecasts");
    std::fs::create_dir_all(&forecasts_dir).with_context(|| format!("{} can't be made", forecasts_dir.display()))?;

    let (host, _folder) = track_run::tool_host()?;
    let policies = policies(&host, &options.only)?;
    let mut entrants = vec![Entrant::new("daily-naive", Kind::Peer)];
    for track in &tracks {
        entrants[0].add(track, daily_naive::forecasts(&track.series));
    }
    for (name, digest) in &policies {
        let (raw, guarded) = run(&host, name, digest, &tracks, &forecasts_dir)?;
        entrants.extend([raw, guarded]);
    }
    for folder in &options.peers {
        for mut peer in peers(folder, &tracks)? {
            // The same model forecast by two: both are shown.
            let name = peer.name.clone();
            let mut others = 1;
            while entrants.iter().any(|entrant| entrant.name == peer.name) {
                others += 1;
                peer.name = format!("{name}_{others}");
            }
            entrants.push(peer);
        }
    }

    eprintln!("measuring the speed ...");
    let speeds = speed::measure(&host, &policies, &tracks)?;

    let figures = figures::flat(&tracks, &entrants, &speeds);
    let path = options.out.join("forecast.json");
    std::fs::write(&path, serde_json::to_string_pretty(&figures)?)
        .with_context(|| format!("{} can't be written", path.display()))?;
    print!("{}", page::tables(&tracks, &entrants, &speeds));
    println!("{}", page::bar(&tracks, &entrants));
    println!("figures: {}", path.display());
    if let Some(docs) = &options.docs {
        page::write(docs, &tracks, &entrants, &speeds)?;
        println!("page: {}", docs.join("forecasts.md").display());
    }
    Ok(())
}

/// All tracks of a folder, by name.
fn tracks(folder: &Path) -> anyhow::Result<Vec<Track>> {
    let mut tracks = Vec::new();
    for path in files(folder)? {
        let Some(name) = stem(&path) else { continue };
        tracks.push(Track { name, series: track_file::read_track(&path)? });
    }
    ensure!(!tracks.is_empty(), "{} holds no tracks: files named NAME.jsonl or NAME.jsonl.gz", folder.display());
    Ok(tracks)
}

fn policies(host: &WasmHost, only: &[String]) -> anyhow::Result<Vec<(&'static str, Digest)>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let known = first_party().iter().filter(|policy| policy.role == Role::Forecast && wanted(policy.name));
    let policies: Vec<_> = known
        .map(|policy| Ok((policy.name, track_run::forecaster(host, policy.name)?)))
        .collect::<anyhow::Result<_>>()?;
    ensure!(!policies.is_empty(), "no forecaster that comes with Isobar is named {}", only.join(" or "));
    Ok(policies)
}

/// One policy over all tracks, raw and guarded.
fn run(
    host: &WasmHost,
    name: &str,
    digest: &Digest,
    tracks: &[Track],
    forecasts_dir: &Path,
) -> anyhow::Result<(Entrant, Entrant)> {
    let mut raw = Entrant::new(name, Kind::Policy);
    let mut guarded = Entrant::new(&format!("{name}.guarded"), Kind::Guarded);
    for track in tracks {
        let started = Instant::now();
        let done = track_run::run(host, digest, "{}", &track.series, true, |_| ())?;
        let origins: usize = track.series.iter().map(|series| series.origins.len() * series.horizons.len()).sum();
        eprintln!(
            "{name} on {}: {:.1} s, the gate answered {} times of {origins}",
            track.name,
            started.elapsed().as_secs_f64(),
            done.gated
        );
        for failure in done.failures.iter().take(FAILURES_SHOWN) {
            eprintln!("  no forecast: {failure}");
        }
        for (entrant, forecasts) in [(&mut raw, done.raw), (&mut guarded, done.guarded)] {
            let file = forecasts_dir.join(format!("{}__{}.jsonl.gz", entrant.name, track.name));
            track_file::write_forecasts(&file, &forecasts)?;
            entrant.add(track, forecasts);
        }
    }
    Ok((raw, guarded))
}

/// The forecasts of a folder, named NAME__TRACK.jsonl or .jsonl.gz, of the tracks at hand.
fn peers(folder: &Path, tracks: &[Track]) -> anyhow::Result<Vec<Entrant>> {
    let mut by_name = BTreeMap::<String, Entrant>::new();
    for path in files(folder)? {
        let Some(stem) = stem(&path) else { continue };
        let Some((name, of)) = stem.split_once("__") else { continue };
        let Some(track) = tracks.iter().find(|track| track.name == of) else { continue };
        // A dot stands between the parts of a figure's name.
        let name = name.replace('.', "_");
        let entrant = by_name.entry(name.clone()).or_insert_with(|| Entrant::new(&name, Kind::Peer));
        entrant.add(track, track_file::read_forecasts(&path)?);
    }
    Ok(by_name.into_values().collect())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// What stands before `.jsonl` or `.jsonl.gz`.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    Some(name.strip_suffix(".jsonl")?.to_owned())
}
