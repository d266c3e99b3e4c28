//! A policy run over a whole track, in the sandbox that a node would run it in.

use anyhow::{Context as _, anyhow, bail};
use isobar_analyzer::track::{Series, TrackForecast};
use isobar_bundle::first_party;
use isobar_model::policy::MAX_ARTIFACT_BYTES;
use isobar_model::{Digest, Role, ShardId};
use isobar_policy::{Compiler, Limits, WasmHost, WasmHostConfig};
use isobar_ports::{Inspection, PolicyHost};
use isobar_sim::{Backtested, backtest};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What came of a track.
#[derive(Clone, Debug, Default)]
pub struct TrackRun {
    /// The policy's forecasts.
    pub raw: Vec<TrackForecast>,
    /// The same with the host's fallback; empty where it was not asked for.
    pub guarded: Vec<TrackForecast>,
    /// Horizons at origins that the fallback answered for.
    pub gated: usize,
    /// Why forecasts are missing, in words that name series and origin.
    pub failures: Vec<String>,
}

/// A policy host with nothing in it, for tools; what it compiles is gone with the folder.
pub fn tool_host() -> anyhow::Result<(WasmHost, tempfile::TempDir)> {
    let folder = tempfile::tempdir().context("no folder for compiled policies can be made")?;
    let host = WasmHost::new(WasmHostConfig {
        cache_dir: folder.path().to_owned(),
        compiler: Compiler::InProcess,
        limits: Limits::default(),
        builtin_forecaster: Box::new(isobar_bundle::builtin_forecaster),
        builtin_placer: Box::new(isobar_bundle::builtin_placer),
    })?;
    Ok((host, folder))
}

/// Compiles the forecaster that `policy` names: one that comes with Isobar, or a component's file.
pub fn forecaster(host: &WasmHost, policy: &str) -> anyhow::Result<Digest> {
    let inspection = artifact(host, policy, Role::Forecast)?;
    match inspection.role {
        Role::Forecast => Ok(inspection.digest),
        Role::Place => bail!("{policy} places shards; only forecasters are scored on a track"),
    }
}

/// Compiles what `policy` names: a policy that comes with Isobar, or a component's file. Where it is neither, those of this role are named.
pub fn artifact(host: &WasmHost, policy: &str, role: Role) -> anyhow::Result<Inspection> {
    let known = first_party().iter().find(|known| known.name == policy);
    let read;
    let component = match known {
        Some(known) => known.component,
        None => {
            let path = Path::new(policy);
            let names = || {
                let of_role = first_party().iter().filter(|known| known.role == role);
                of_role.map(|known| known.name).collect::<Vec<_>>().join(", ")
            };
            let size = std::fs::metadata(path).with_context(|| {
                format!("{policy} is neither a policy that comes with Isobar ({}) nor a file that can be read", names())
            })?;
            if size.len() > MAX_ARTIFACT_BYTES as u64 {
                bail!("{policy} has {} bytes; a policy may have {MAX_ARTIFACT_BYTES} at most", size.len());
            }
            read = std::fs::read(path).with_context(|| format!("{policy} can't be read"))?;
            &read
        }
    };
    host.inspect(component).map_err(|why| anyhow!("{policy} is no policy: {why}"))
}

/// Runs the policy over every series, each in an instance of its own, on as many threads as there are cores; `progress` is told how many are done.
pub fn run(
    host: &WasmHost,
    policy: &Digest,
    config: &str,
    track: &[Series],
    guarded: bool,
    progress: impl Fn(usize) + Sync,
) -> anyhow::Result<TrackRun> {
    // A configuration that does not fit is one error, not one a series.
    host.forecaster(policy, config, None)?;
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(vec![None; track.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(series) = track.get(at) else { return };
            let result = of_series(host, policy, config, ShardId(at as u64 + 1), series, guarded);
            if let Ok(mut results) = results.lock() {
                results[at] = Some(result);
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(track.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let results = results.into_inner().map_err(|_| anyhow!("a thread of the run panicked"))?;
    let mut run = TrackRun::default();
    for (series, result) in track.iter().zip(results) {
        let result = result.with_context(|| format!("series {} was not run", series.id))?;
        run.raw.extend(result.raw);
        run.guarded.extend(result.guarded);
        run.gated += result.gated;
        let words = |(origin, failure)| format!("series {}, origin {origin}: {failure}", series.id);
        run.failures.extend(result.failures.into_iter().map(words));
    }
    Ok(run)
}

fn of_series(
    host: &WasmHost,
    policy: &Digest,
    config: &str,
    shard: ShardId,
    series: &Series,
    guarded: bool,
) -> Backtested {
    match host.forecaster(policy, config, None) {
        Ok(mut forecaster) => {
            let mut gate = guarded.then(|| host.builtin_forecaster());
            match &mut gate {
                Some(gate) => backtest(series, shard, forecaster.as_mut(), Some(gate.as_mut())),
                None => backtest(series, shard, forecaster.as_mut(), None),
            }
        }
        Err(failure) => Backtested {
            failures: series.origins.iter().map(|origin| (*origin, failure.clone())).collect(),
            ..Backtested::default()
        },
    }
}
