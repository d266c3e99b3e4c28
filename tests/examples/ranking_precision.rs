//! How good a ranking by forecasts is, against ranking by the last value: precision of the hottest tenth of the bundled trace's tenants, one shard
//! each, forecast every hour of the days after the history by policies in the sandbox.
//!
//! `cargo run -p isobar-tests --example ranking_precision -- best seasonal-naive`

use anyhow::{Context, bail};
use isobar::track_run::tool_host;
use isobar_analyzer::{PrecisionSpec, RankScorer, top_precision};
use isobar_bundle::first_party;
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, Role, ShardId};
use isobar_ports::{Forecaster, PolicyHost};
use isobar_sim::{DAY_STEPS, Regions, STEP_MS, Tenant, Trace};

/// Known before the first forecast.
const HISTORY_DAYS: usize = 14;
/// Steps ahead: an hour.
const HORIZON: usize = 12;
/// Share of the shards that are the hottest.
const SHARE: f64 = 0.1;
/// A Monday, 00:00 UTC.
const START: InstantMs = InstantMs(1_704_067_200_000);

fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        bail!("name one or more forecasting policies, as in `best seasonal-naive`");
    }
    let (host, _folder) = tool_host()?;
    let tenants = Trace::worldwide()?.tenants(Regions::default(), HISTORY_DAYS * DAY_STEPS);
    let (shards, steps) = (tenants.len(), tenants.first().map_or(0, |tenant| tenant.load.len()));
    println!("{shards} shards, {} days after {HISTORY_DAYS} of history", steps / DAY_STEPS - HISTORY_DAYS);
    println!("{:<16} {:>6}  step an hour ahead: precision, by last value   peak of the hour", "policy", "hours");
    for name in names {
        let policy = first_party().iter().find(|policy| policy.role == Role::Forecast && policy.name == name);
        let policy = policy.with_context(|| format!("there is no first-party forecaster {name}"))?;
        let inspection = host.inspect(policy.component)?;
        let mut forecaster = host.forecaster(&inspection.digest, "{}", None)?;
        let [step, peak] = run(forecaster.as_mut(), &tenants, steps)?;
        println!(
            "{name:<16} {:>6} {:>29.3} {:>15.3} {:>10.3} {:>8.3}",
            step.hours, step.precision, step.baseline, peak.precision, peak.baseline
        );
    }
    Ok(())
}

struct Figures {
    hours: u64,
    precision: f64,
    baseline: f64,
}

/// By the load of the step an hour ahead, and by the highest of the hour.
fn run(forecaster: &mut dyn Forecaster, tenants: &[Tenant], steps: usize) -> anyhow::Result<[Figures; 2]> {
    let shards: Vec<ShardId> = (1..=tenants.len() as u64).map(ShardId).collect();
    let request = ForecastRequest {
        metric: Metric::Load,
        shards: shards.clone(),
        horizon: HORIZON as u32,
        quantiles: vec![0.1, 0.5, 0.9],
        peak_steps: HORIZON as u32,
    };
    let quantiles = request.quantiles.len();
    // All hours weigh the same.
    let mut scorer =
        RankScorer::new(PrecisionSpec { horizon: HORIZON as u32, share: SHARE, half_life_steps: f32::INFINITY });
    let (mut by_peak, mut by_last, mut hours) = (0.0, 0.0, 0u64);
    let mut seen = 0;
    for now in (HISTORY_DAYS * DAY_STEPS..=steps - HORIZON).step_by(HORIZON) {
        // A day at a time, as stored history is shown.
        while seen < now {
            let to = now.min(seen + DAY_STEPS);
            forecaster.observe(&LoadBatch {
                metric: Metric::Load,
                start: START.plus_ms(seen as u64 * u64::from(STEP_MS)),
                step_ms: STEP_MS,
                steps: (to - seen) as u32,
                shards: shards.clone(),
                values: tenants.iter().flat_map(|tenant| tenant.load[seen..to].iter().copied()).collect(),
            })?;
            seen = to;
        }
        let batch = forecaster.predict(&request)?;
        let median = |row: usize| (row * quantiles + 1) * HORIZON + HORIZON - 1;
        let ahead = (0..shards.len()).map(|row| batch.values[median(row)]).collect();
        let last: Vec<f32> = tenants.iter().map(|tenant| tenant.load[now - 1]).collect();
        scorer.expect(now as u64, shards.clone(), ahead, last.clone());
        let target = now + HORIZON - 1;
        scorer.occurred(target as u64, |shard| tenants[shard.0 as usize - 1].load[target]);

        let peaks: Vec<f32> = (0..shards.len()).map(|row| batch.peaks[row * quantiles + 1]).collect();
        let highest = |tenant: &Tenant| tenant.load[now..now + HORIZON].iter().copied().fold(0.0, f32::max);
        let truth: Vec<f32> = tenants.iter().map(highest).collect();
        if let (Some(ours), Some(theirs)) = (top_precision(&peaks, &truth, SHARE), top_precision(&last, &truth, SHARE))
        {
            (by_peak, by_last, hours) = (by_peak + ours, by_last + theirs, hours + 1);
        }
    }
    let score = scorer.score();
    let none = "nothing was scored";
    Ok([
        Figures {
            hours: score.steps,
            precision: score.precision.context(none)?,
            baseline: score.baseline.context(none)?,
        },
        Figures { hours, precision: by_peak / hours as f64, baseline: by_last / hours as f64 },
    ])
}
