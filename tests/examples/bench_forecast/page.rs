//! The tables, on the terminal and as a page with plots.

use crate::entrant::{Entrant, Kind, Track};
use crate::plots;
use crate::speed::Speed;
use anyhow::Context as _;
use isobar_analyzer::track::{TaskScore, compare};
use std::fmt::Write as _;
use std::path::Path;

/// How much worse than the daily naive a guarded policy may be, on any track.
const NEVER_WORSE: f64 = 1.02;
/// The gate that nobody may be worse than.
const GATE: &str = "daily-naive";
/// Fewer origins than these say nothing: such peers are among the figures, but not on the page.
const LEAST_ORIGINS: usize = 5;
/// The policy whose forecast is shown, where it is there; else the one with the least loss.
const SHOWN: &str = "best";

fn figures(entrant: &Entrant, track: &Track, pick: impl Fn(&TaskScore) -> f64, digits: usize) -> String {
    let Some(entry) = entrant.by_track.get(&track.name) else { return "–".to_owned() };
    let of = |task: &TaskScore| {
        let value = pick(task);
        if value.is_nan() { "–".to_owned() } else { format!("{value:.digits$}") }
    };
    entry.score.horizons.values().map(of).collect::<Vec<_>>().join(" / ")
}

fn near_loss(entrant: &Entrant, track: &Track) -> f64 {
    let horizons = entrant.by_track.get(&track.name).map(|entry| entry.score.horizons.values());
    horizons.map_or(f64::NAN, |tasks| tasks.map(|task| task.spl).sum())
}

/// Markdown: a table a track, one against the peers that forecast some origins only, one of speeds.
pub(crate) fn tables(tracks: &[Track], entrants: &[Entrant], speeds: &[Speed]) -> String {
    let mut text = String::new();
    for track in tracks {
        write_track(&mut text, track, entrants);
    }
    write_partial(&mut text, tracks, entrants);
    let _ = writeln!(
        text,
        "### Speed\n\nMicroseconds a shard, in WebAssembly: a forecast of a day in five quantiles with the day's peak, 200 shards in one call; one new"
    );
    let _ =
        writeln!(text, "step, 1 000 shards in one call: the median, and the mean with what is done now and then.\n");
    let _ = writeln!(text, "| policy | forecast | new step | new step, mean |\n|---|---|---|---|");
    for speed in speeds {
        let _ = writeln!(
            text,
            "| `{}` | {:.1} | {:.2} | {:.2} |",
            speed.policy, speed.predict_us, speed.observe_us, speed.observe_mean_us
        );
    }
    text.push('\n');
    text
}

fn write_track(text: &mut String, track: &Track, entrants: &[Entrant]) {
    let all = track.origins();
    let horizons: Vec<String> = track.horizons().iter().map(usize::to_string).collect();
    let _ = writeln!(
        text,
        "### {}: {} series, {all} origins, {} steps ahead\n",
        track.name,
        track.series.len(),
        horizons.join(" / ")
    );
    let _ = writeln!(
        text,
        "| | SPL | MASE | in the 90 % interval | peaks above the 0.95 quantile | that over the true peak | above the 0.9 quantile | that over the true peak |\n|---|---|---|---|---|---|---|---|"
    );
    let mut rows: Vec<&Entrant> =
        entrants.iter().filter(|e| e.by_track.get(&track.name).is_some_and(|entry| entry.origins == all)).collect();
    rows.sort_by(|a, b| near_loss(a, track).total_cmp(&near_loss(b, track)));
    for entrant in rows {
        let name = match entrant.kind {
            Kind::Policy | Kind::Guarded => format!("`{}`", entrant.name),
            Kind::Peer => format!("peer: {}", entrant.name.replace('_', " ")),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            figures(entrant, track, |task| task.spl, 3),
            figures(entrant, track, |task| task.mase, 3),
            figures(entrant, track, |task| task.cov90, 2),
            figures(entrant, track, |task| task.miss, 2),
            figures(entrant, track, |task| task.over, 2),
            figures(entrant, track, |task| task.miss90, 2),
            figures(entrant, track, |task| task.over90, 2),
        );
    }
    text.push('\n');
}

/// Peers that forecast a part: each with ours on that part.
fn write_partial(text: &mut String, tracks: &[Track], entrants: &[Entrant]) {
    let mut rows = String::new();
    for track in tracks {
        for peer in entrants.iter().filter(|e| e.kind == Kind::Peer) {
            let Some(theirs) = peer.by_track.get(&track.name) else { continue };
            if theirs.origins < LEAST_ORIGINS || theirs.origins == track.origins() {
                continue;
            }
            let peer_name = peer.name.replace('_', " ");
            let ms = theirs.score.ms.map_or("–".to_owned(), |ms| format!("{ms:.0}"));
            for ours in entrants.iter().filter(|e| e.kind == Kind::Policy) {
                let Some(entry) = ours.by_track.get(&track.name) else { continue };
                let differences = compare(&entry.tasks, &theirs.tasks);
                let less = differences.values().map(|d| format!("{:+.3} [{:+.3}, {:+.3}]", d.mean, d.low, d.high));
                let less: Vec<String> = less.collect();
                let _ = writeln!(
                    rows,
                    "| {} | {peer_name} | {} | {ms} | {} | `{}` | {} |",
                    track.name,
                    theirs.origins,
                    figures(peer, track, |task| task.spl, 3),
                    ours.name,
                    less.join(" / ")
                );
            }
        }
    }
    if !rows.is_empty() {
        let _ = writeln!(
            text,
            "### Peers that take up to a second a fit, on as many origins as there was time for\n\nThe difference is ours less theirs on the same origins, with its 95 % interval (bootstrap over series): below zero ours is better.\n"
        );
        let _ = writeln!(
            text,
            "| track | peer | origins | ms a fit | its SPL | ours | difference of SPL |\n|---|---|---|---|---|---|---|\n{rows}"
        );
    }
}

/// Whether the bar of the guarded policies holds.
pub(crate) fn bar(tracks: &[Track], entrants: &[Entrant]) -> String {
    let mut broken = Vec::new();
    for track in tracks {
        let find = |e: &&Entrant| e.name == GATE && e.by_track.contains_key(&track.name);
        let Some(gate) = entrants.iter().find(find).and_then(|e| e.by_track.get(&track.name)) else { continue };
        for entrant in entrants.iter().filter(|e| e.kind == Kind::Guarded) {
            let Some(entry) = entrant.by_track.get(&track.name) else { continue };
            for (horizon, task) in &entry.score.horizons {
                let naive = gate.score.horizons.get(horizon).map_or(f64::NAN, |task| task.spl);
                if task.spl > NEVER_WORSE * naive {
                    broken.push(format!(
                        "`{}` on {} at {horizon}: {:.3}, daily naive {naive:.3}",
                        entrant.name, track.name, task.spl
                    ));
                }
            }
        }
    }
    let bar = "No guarded policy is more than 2 % worse than the daily naive, on any track and horizon";
    if broken.is_empty() { format!("{bar}: held.") } else { format!("{bar}: BROKEN by\n- {}", broken.join("\n- ")) }
}

/// Writes `forecasts.md` and its plots into the folder.
pub(crate) fn write(docs: &Path, tracks: &[Track], entrants: &[Entrant], speeds: &[Speed]) -> anyhow::Result<()> {
    let folder = docs.join("forecasts");
    let put = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let mut text = String::from(concat!(
        "# How good the forecasts are\n\n",
        "Every forecaster that comes with Isobar, as the component that a node runs, over recorded load (`examples/tracks`), each origin seeing its past\n",
        "alone; `NAME.guarded` with the host's fallback. Made by\n\n    make bench-forecast DOCS=docs\n\n",
        "SPL is the scaled pinball loss: twice the pinball loss averaged over the quantiles 0.5, 0.9, 0.99, in units of the daily naive's mean error over\n",
        "four weeks before the origin. Lower is better; a difference under 0.05 is noise. The daily naive forecasts yesterday's value with the\n",
        "empirical quantiles of its past errors.\n\n",
    ));
    let _ = writeln!(text, "{}\n", bar(tracks, entrants));
    for track in tracks {
        put(&folder.join(format!("loss-{}.svg", track.name)), plots::loss_bars(track, entrants))?;
        let _ = writeln!(text, "![Scaled pinball loss on {0}](forecasts/loss-{0}.svg)\n", track.name);
    }
    text.push_str(&tables(tracks, entrants, speeds));
    for track in tracks {
        put(&folder.join(format!("reliability-{}.svg", track.name)), plots::reliability(track, entrants))?;
        let _ = writeln!(text, "![Reliability on {0}](forecasts/reliability-{0}.svg)\n", track.name);
    }
    let finest = tracks.iter().min_by_key(|track| track.series.iter().map(|series| series.step_s).min());
    if let Some(track) = finest {
        let policies = || entrants.iter().filter(|e| e.kind == Kind::Policy);
        let least = || policies().min_by(|a, b| near_loss(a, track).total_cmp(&near_loss(b, track)));
        let shown = policies().find(|e| e.name == SHOWN).or_else(least);
        if let Some(svg) = shown.and_then(|policy| plots::fan(track, policy)) {
            put(&folder.join("fan.svg"), svg)?;
            text.push_str("![A forecast of a day and what then occurred](forecasts/fan.svg)\n");
        }
    }
    put(&docs.join("forecasts.md"), text)
}
