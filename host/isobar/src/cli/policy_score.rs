//! `isobar policy score`: needs no running node.

use super::output::{Output, Table};
use crate::{track_file, track_run};
use anyhow::{Context as _, bail};
use clap::Args;
use isobar_analyzer::track::{self, PairedDifference, TrackScore};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Failures that are told one by one; of more, their number says enough.
const FAILURES_SHOWN: usize = 5;

/// What is scored, and on what.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A track has one JSON object a line, plain or gzipped: id, start (seconds since the epoch), step_s, seasons (steps of a day, of a week),\nhorizons, origins, y (null: missing). At origin o the policy has seen y[..o] and nothing else.\n\nExamples:\n  isobar policy score --track examples/tracks/5min_public.jsonl.gz --policy holt-winters --out holt-winters.jsonl\n  isobar policy score --track my.jsonl --policy mine.wasm --config '{\"weeks\": 4}' --guarded --compare holt-winters.jsonl"
)]
pub struct Score {
    /// The track: a file of series
    #[arg(long, value_name = "FILE")]
    track: PathBuf,
    /// A forecaster that comes with Isobar, or a component's file
    #[arg(long, value_name = "NAME|FILE.wasm")]
    policy: String,
    /// Its configuration
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Write its forecasts here; gzipped where the name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With the host's fallback: the built-in forecaster answers where the policy was worse before
    #[arg(long)]
    guarded: bool,
    /// Compare with these forecasts of the same track
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// The answer.
#[derive(Serialize)]
struct Scored {
    policy: String,
    track: PathBuf,
    guarded: bool,
    series: usize,
    forecasts: usize,
    /// Of the horizons at origins, those that the fallback answered for.
    gated: usize,
    #[serde(flatten)]
    score: TrackScore,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<BTreeMap<usize, PairedDifference>>,
}

impl Score {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        // Guests run for minutes: not on a thread that serves.
        tokio::task::spawn_blocking(move || self.run_blocking(&output)).await.context("the run did not end")?
    }

    fn run_blocking(&self, output: &Output) -> anyhow::Result<()> {
        output.progress("reading the track ...");
        let track = track_file::read_track(&self.track)?;
        let other = self.compare.as_deref().map(track_file::read_forecasts).transpose()?;
        output.progress("compiling the policy ...");
        let (host, _folder) = track_run::tool_host()?;
        let digest = track_run::forecaster(&host, &self.policy)?;
        let progress = |done| output.progress(&format!("{done} of {} series forecast ...", track.len()));
        let run = track_run::run(&host, &digest, &self.config, &track, self.guarded, progress)?;
        output.progress_done();
        let forecasts = if self.guarded { &run.guarded } else { &run.raw };
        if let Some(out) = &self.out {
            track_file::write_forecasts(out, forecasts)?;
        }
        let everywhere = |_, _| true;
        let tasks = track::score(&track, forecasts, everywhere);
        let compared = other.map(|other| track::compare(&tasks, &track::score(&track, &other, everywhere)));
        let scored = Scored {
            policy: self.policy.clone(),
            track: self.track.clone(),
            guarded: self.guarded,
            series: track.len(),
            forecasts: forecasts.len(),
            gated: run.gated,
            score: TrackScore::of(&tasks, forecasts),
            compared,
        };
        output.show(&scored, |out| {
            write_scores(&scored.score, out)?;
            if scored.guarded {
                writeln!(out, "the built-in forecaster answered {} times in its place", scored.gated)?;
            }
            for (horizon, compared) in scored.compared.iter().flatten() {
                writeln!(
                    out,
                    "h {horizon}: SPL difference {:+.3} [{:+.3}, {:+.3}], better on {:.0} % of {} series",
                    compared.mean,
                    compared.low,
                    compared.high,
                    100.0 * compared.better,
                    compared.series
                )?;
            }
            Ok(())
        })?;
        if run.failures.is_empty() {
            return Ok(());
        }
        let shown =
            run.failures.iter().take(FAILURES_SHOWN).map(|failure| format!("\n  {failure}")).collect::<String>();
        let count = run.failures.len();
        let more = if count > FAILURES_SHOWN { "\n  ..." } else { "" };
        bail!("the policy gave no forecast {count} times; each is scored as badly as possible:{shown}{more}")
    }
}

fn write_scores(score: &TrackScore, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "horizon",
        "SPL",
        "MASE",
        "WQL",
        "in 90 %",
        "below 99 %",
        "peaks missed",
        "peak over",
        "ms",
        "missing",
    ]);
    for (horizon, task) in &score.horizons {
        let figure = |value: f64, digits: usize| {
            if value.is_nan() { "-".to_owned() } else { format!("{value:.digits$}") }
        };
        table.row([
            horizon.to_string(),
            figure(task.spl, 3),
            figure(task.mase, 3),
            figure(task.wql, 3),
            figure(task.cov90, 2),
            figure(task.c99, 3),
            figure(task.miss, 2),
            figure(task.over, 2),
            score.ms.map_or("-".to_owned(), |ms| figure(ms, 2)),
            score.missing.get(horizon).copied().unwrap_or(0).to_string(),
        ]);
    }
    table.write(out)
}
