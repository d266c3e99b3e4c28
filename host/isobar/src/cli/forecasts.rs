//! `isobar forecast`, how good forecasts were (`--scores`), and `isobar ranking`.

use super::output::{Output, Table, instant, load, or_dash};
use super::scores;
use crate::client::Client;
use clap::Args;
use isobar_api::{ForecastQuery, RankingQuery};
use isobar_model::{ForecastAnswerer, NodeId, ShardId};

/// What to forecast.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  isobar forecast --shard 7,8\n  isobar forecast --horizon 24\n  isobar forecast --scores --shard 7"
)]
pub struct Forecast {
    /// A shard, or several with commas; all where left out
    #[arg(long, value_delimiter = ',', value_name = "SHARD,SHARD")]
    shard: Vec<ShardId>,
    /// Steps ahead
    #[arg(long, default_value_t = 12)]
    horizon: u32,
    /// How good past forecasts were, over all shards or of the one named, in place of the forecast
    #[arg(long, conflicts_with = "horizon")]
    scores: bool,
}

impl Forecast {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        if self.scores {
            anyhow::ensure!(self.shard.len() <= 1, "scores are of one shard or of all: name at most one");
            return scores::show(client, output, self.shard.first().copied()).await;
        }
        let shards: Vec<_> = self.shard.iter().map(ToString::to_string).collect();
        let shard = (!shards.is_empty()).then(|| shards.join(","));
        let forecast = client.forecast(&ForecastQuery { shard, horizon: Some(self.horizon) }).await?;
        output.show(&forecast, |out| {
            let steps = f64::from(forecast.step_ms) / 60_000.0;
            writeln!(out, "from {}, steps of {steps} min, by {}", instant(forecast.start), forecast.policy)?;
            if let Some(why) = &forecast.fallback {
                writeln!(out, "the bound policy did not answer: {why}")?;
            }
            let count = |by| forecast.shards.iter().filter(|shard| shard.answerer == by).count();
            for (by, why) in [
                (ForecastAnswerer::Guarded, "its recent forecasts of them were worse"),
                (
                    ForecastAnswerer::Unasked,
                    "it serves the hottest shards alone, as many as the tick's fuel and its saved state allow",
                ),
            ] {
                match count(by) {
                    0 => {}
                    shards => writeln!(
                        out,
                        "{shards} shards forecast by the built-in policy, for some horizons or all: {why}"
                    )?,
                }
            }
            match count(ForecastAnswerer::Burst) {
                0 => {}
                shards => {
                    writeln!(out, "{shards} shards in a burst that no forecast foresaw: what is measured, carried on")?
                }
            }
            let mut table = Table::new(&["shard", "quantile", "load a step", "peak"]);
            for shard in &forecast.shards {
                for (q, path) in shard.paths.iter().enumerate() {
                    table.row([
                        shard.shard.to_string(),
                        or_dash(forecast.quantiles.get(q)),
                        path.iter().map(|&v| load(v)).collect::<Vec<_>>().join(" "),
                        load(shard.peaks.get(q).copied().flatten()),
                    ]);
                }
            }
            table.write(out)
        })
    }
}

/// How many to rank.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  isobar ranking --limit 5")]
pub struct Ranking {
    /// Most shards
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

impl Ranking {
    pub(super) async fn run(self, client: &Client, output: &Output) -> anyhow::Result<()> {
        let ranking = client.ranking(&RankingQuery { limit: Some(self.limit) }).await?;
        output.show(&ranking, |out| {
            let mut table = Table::new(&[
                "rank",
                "shard",
                "keyspace",
                "nodes",
                "load",
                "peak",
                "between",
                "peak at",
                "urgency",
                "start by",
                "recommended",
            ]);
            let nodes = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
            for r in &ranking {
                let after = r.recommended_replicas.as_deref().map(nodes);
                let recommended = r.recommended.as_ref().map(|m| format!("{} to {}", m.action, or_dash(after)));
                table.row([
                    r.rank.to_string(),
                    r.shard.to_string(),
                    r.keyspace.clone(),
                    nodes(&r.replicas),
                    load(r.load),
                    load(r.predicted_peak),
                    format!("{}..{}", load(r.peak_interval.low), load(r.peak_interval.high)),
                    instant(r.peak_at),
                    load(r.urgency),
                    instant(r.latest_start),
                    or_dash(recommended),
                ]);
            }
            table.write(out)
        })
    }
}
