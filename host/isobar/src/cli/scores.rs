//! `isobar forecast --scores`.

use super::output::{Output, Table, or_dash};
use crate::client::Client;
use isobar_api::{ForecasterScoreInfo, ScoresInfo, ScoresQuery};
use isobar_model::ShardId;
use std::io::{self, Write};

pub(super) async fn show(client: &Client, output: &Output, shard: Option<ShardId>) -> anyhow::Result<()> {
    let scores = client.forecast_scores(&ScoresQuery { shard }).await?;
    output.show(&scores, |out| draw(&scores, out))
}

fn draw(scores: &ScoresInfo, out: &mut dyn Write) -> io::Result<()> {
    let of = scores.shard.map_or_else(|| "all shards".to_owned(), |shard| format!("shard {shard}"));
    writeln!(out, "{of}, steps of {} min", f64::from(scores.step_ms) / 60_000.0)?;
    let forecasters: Vec<&ForecasterScoreInfo> = scores.bound.iter().chain(&scores.native).collect();
    if forecasters.is_empty() {
        writeln!(out, "nothing scored yet: a forecast is once the load it spoke of has occurred")?;
    }
    let mut table = Table::new(&["forecaster", "steps ahead", "wape", "pinball", "bias", "coverage", "scored"]);
    for forecaster in &forecasters {
        for horizon in &forecaster.horizons {
            let coverage = scores.quantiles.iter().zip(&horizon.coverage);
            table.row([
                forecaster.policy.clone(),
                horizon.horizon.to_string(),
                percent(horizon.wape),
                percent(horizon.pinball),
                percent(horizon.bias),
                coverage.map(|(q, share)| format!("{q}:{share:.2}")).collect::<Vec<_>>().join(" "),
                horizon.steps.to_string(),
            ]);
        }
    }
    table.write(out)?;
    for forecaster in &forecasters {
        if let Some(peaks) = &forecaster.peaks {
            writeln!(
                out,
                "{}: {} of {} peaks over {} steps were above quantile {}",
                forecaster.policy,
                percent(peaks.misses),
                peaks.windows,
                peaks.steps,
                peaks.quantile
            )?;
        }
    }
    if !scores.guard.is_empty() {
        let mut table = Table::new(&["up to step", "judged", "built-in answers", "loss", "built-in's loss"]);
        for band in &scores.guard {
            let mean = |sum: f64| (band.evidence > 0.0).then(|| format!("{:.3}", sum / band.evidence));
            table.row([
                band.end_step.to_string(),
                band.judged.to_string(),
                band.yielded.to_string(),
                or_dash(mean(band.policy_loss)),
                or_dash(mean(band.native_loss)),
            ]);
        }
        table.write(out)?;
    }
    let ranking = &scores.ranking;
    writeln!(
        out,
        "ranking {} steps ahead: {} of those said to be the hottest {} were; by the last load {} ({} steps)",
        ranking.horizon,
        percent(ranking.precision),
        percent(Some(ranking.share)),
        percent(ranking.baseline),
        ranking.steps
    )
}

fn percent(share: Option<f64>) -> String {
    or_dash(share.map(|share| format!("{:.1} %", share * 100.0)))
}
