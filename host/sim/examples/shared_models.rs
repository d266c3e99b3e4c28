//! What it is worth to learn across shards: the policy `pooled`, told what the analyzer finds of shards together and not told, beside others that
//! know each shard by itself.
//!
//!     cargo run -p isobar-sim --example shared_models -- --days 3
//!
//! The tenants of the trace `worldwide` are forecast a day ahead, knowing so many days of each: scaled pinball loss over the first 12, 48 and
//! 288 steps, means over tenants and origins. `--copies N`: instead, N shards made of each of eight series, of any size and with noise of
//! their own. `--links SETS`: instead, planted followers, over as many steps as their leaders lead.

use forecasting_kit::ForecastingPolicy;
use isobar_analyzer::{History, HistorySpec, InsightsSpec, find_insights};
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, Relations, ShardId};
use isobar_sim::{
    CovariateGain, DAY_STEPS, PlantedSet, PlantedSpec, Question, Regions, SCORED_QUANTILES, STEP_MS, Trace,
    follower_losses,
};
use pooled::Pooled;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use seasonal_naive::SeasonalNaive;
use spar::Spar;
use std::error::Error;

/// When traces begin: a Monday, 00:00 UTC.
const START_MS: u64 = 1_375_660_800_000;
const HORIZONS: [usize; 3] = [12, 48, 288];
/// Days between two origins: not a divisor of the week, and with hours left over, so that they fall on all times of day.
const ORIGIN_STEPS: usize = 3 * DAY_STEPS + 61;
/// Days before an origin whose daily naive error is the unit of loss.
const SCALE_DAYS: usize = 14;
/// Series that copies are made of, and how far the noise of a copy goes on from step to step, and its size beside the load.
const COPIED: usize = 8;
const NOISE_KEEPS: f32 = 0.9;
const NOISE: f32 = 0.1;
/// Days in which links are looked for.
const SEARCH_DAYS: usize = 14;
const MAX_LOSS: f64 = 10.0;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut days, mut copies, mut links) = (7usize, 0usize, 0u64);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|v| v.parse::<usize>().ok()).ok_or(format!("{arg} wants a number"))?;
        match arg.as_str() {
            "--days" => days = number,
            "--copies" => copies = number,
            "--links" => links = number as u64,
            other => return Err(format!("unknown option {other}: see the top of this file").into()),
        }
    }
    let trace = Trace::worldwide()?;
    if links > 0 {
        return followers(&trace, links);
    }
    let loads: Vec<Vec<f32>> = if copies > 0 {
        (0..COPIED * copies).map(|number| copy(trace.series(number % COPIED), number as u64)).collect()
    } else {
        trace.tenants(Regions::default(), trace.steps()).into_iter().map(|tenant| tenant.load).collect()
    };
    compare(&loads, days)
}

/// A series at a size of its own, with noise of its own that lasts some steps.
fn copy(series: &[f32], number: u64) -> Vec<f32> {
    let mut chance = StdRng::seed_from_u64(number);
    let size = chance.random_range(0.2f32..5.0);
    let mut noise = 0.0;
    let noisy = |value: &f32| {
        noise = NOISE_KEEPS * noise + NOISE * chance.random_range(-1.0f32..1.0);
        (value * size * (1.0 + noise)).max(0.0)
    };
    series.iter().map(noisy).collect()
}

fn batch(loads: &[&[f32]], from: usize, to: usize) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(START_MS + from as u64 * u64::from(STEP_MS)),
        step_ms: STEP_MS,
        steps: (to - from) as u32,
        shards: (1..=loads.len() as u64).map(ShardId).collect(),
        values: loads.iter().flat_map(|load| load[from..to].iter().copied()).collect(),
    }
}

/// What the analyzer finds in a batch.
fn found(batch: &LoadBatch) -> Result<Relations, Box<dyn Error>> {
    let keep_steps = batch.steps as usize;
    let mut history = History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps });
    history.import(batch)?;
    Ok(find_insights(&history, Vec::new(), InsightsSpec::default()).relations())
}

fn compare(loads: &[Vec<f32>], days: usize) -> Result<(), Box<dyn Error>> {
    let loads: Vec<&[f32]> = loads.iter().map(Vec::as_slice).collect();
    let steps = loads.first().map_or(0, |load| load.len());
    let mut rows: Vec<[Losses; 5]> = Vec::new();
    let mut clusters = 0;
    for origin in (SCALE_DAYS.max(days) * DAY_STEPS..steps - DAY_STEPS).step_by(ORIGIN_STEPS) {
        let known = batch(&loads, origin - days * DAY_STEPS, origin);
        let relations = found(&known)?;
        clusters += relations.clusters.len();
        let alike = Relations { links: vec![], clusters: relations.clusters.clone() };
        let arms = [
            forecast::<SeasonalNaive>(&known, None)?,
            forecast::<Spar>(&known, None)?,
            forecast::<Pooled>(&known, None)?,
            forecast::<Pooled>(&known, Some(&alike))?,
            forecast::<Pooled>(&known, Some(&relations))?,
        ];
        for (number, load) in loads.iter().enumerate() {
            rows.push(arms.each_ref().map(|paths| losses(load, origin, &paths[number])));
        }
    }
    println!(
        "{} forecasts, {:.1} clusters found on average",
        rows.len(),
        clusters as f64 * loads.len() as f64 / rows.len() as f64
    );
    println!("{:32} {:>7} {:>7} {:>7}", "loss over steps", HORIZONS[0], HORIZONS[1], HORIZONS[2]);
    let names =
        ["seasonal-naive", "spar", "pooled, told nothing", "pooled, told clusters", "pooled, told clusters and links"];
    for (arm, name) in names.iter().enumerate() {
        let mean = |h: usize| rows.iter().map(|row| row[arm][h]).sum::<f64>() / rows.len() as f64;
        println!("{name:32} {:7.3} {:7.3} {:7.3}", mean(0), mean(1), mean(2));
    }
    Ok(())
}

/// Scaled pinball losses, for each of [`HORIZONS`].
type Losses = [f64; 3];
/// For each of [`SCORED_QUANTILES`].
type Paths = [Vec<f32>; 3];

fn forecast<P: ForecastingPolicy>(known: &LoadBatch, told: Option<&Relations>) -> Result<Vec<Paths>, Box<dyn Error>> {
    let mut policy = P::new("")?;
    policy.observe(known)?;
    if let Some(told) = told {
        policy.relate(Metric::Load, told)?;
    }
    let request = request(known.shards.clone(), DAY_STEPS);
    let forecast = policy.predict(&request)?;
    let paths = |row| std::array::from_fn(|q| forecast.path(&request, row, q).to_vec());
    Ok((0..known.shards.len()).map(paths).collect())
}

fn request(shards: Vec<ShardId>, horizon: usize) -> ForecastRequest {
    let quantiles = SCORED_QUANTILES.to_vec();
    ForecastRequest { metric: Metric::Load, shards, horizon: horizon as u32, quantiles, peak_steps: 0 }
}

fn losses(load: &[f32], origin: usize, paths: &Paths) -> Losses {
    let past = &load[origin - SCALE_DAYS * DAY_STEPS..origin];
    let days = past.iter().zip(&past[DAY_STEPS..]);
    let unit = days.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / (past.len() - DAY_STEPS) as f64;
    HORIZONS.map(|horizon| {
        let mut sum = 0.0;
        for (path, level) in paths.iter().zip(SCORED_QUANTILES) {
            for (said, truth) in path[..horizon].iter().zip(&load[origin..]) {
                let above = f64::from(truth - said);
                sum += 2.0 * (f64::from(level) * above).max((f64::from(level) - 1.0) * above);
            }
        }
        (sum / (3 * horizon) as f64 / unit.max(1e-9)).min(MAX_LOSS)
    })
}

/// Planted followers, with and without the links found.
fn followers(trace: &Trace, sets: u64) -> Result<(), Box<dyn Error>> {
    for (name, own) in [("pooled", by::<Pooled> as fn(&Question<'_>, &[&[f32]]) -> Paths), ("spar", by::<Spar>)] {
        let mut losses = Vec::new();
        for seed in 0..sets {
            let set = PlantedSet::new(trace, &PlantedSpec::new(seed))?;
            let loads: Vec<&[f32]> = set.loads.iter().map(Vec::as_slice).collect();
            let relations = found(&batch(&loads, 0, SEARCH_DAYS * DAY_STEPS))?;
            let origins: Vec<usize> = (SEARCH_DAYS * DAY_STEPS..set.steps()).step_by(2 * DAY_STEPS + 37).collect();
            losses.extend(follower_losses(seed, &set, &relations.links, &origins, |question| own(question, &loads)));
        }
        println!("{name}: {:?}", CovariateGain::of(&losses));
    }
    Ok(())
}

fn by<P: ForecastingPolicy>(question: &Question<'_>, loads: &[&[f32]]) -> Paths {
    let answer = || -> Result<Paths, Box<dyn Error>> {
        let mut policy = P::new("")?;
        policy.observe(&batch(loads, 0, question.origin))?;
        policy.relate(Metric::Load, &Relations { links: question.links.to_vec(), clusters: vec![] })?;
        let request = request(vec![question.follower], question.horizon);
        let forecast = policy.predict(&request)?;
        Ok(std::array::from_fn(|q| forecast.path(&request, 0, q).to_vec()))
    };
    // One that fails scores the most a loss can be.
    answer().unwrap_or_default()
}
