//! How to show a burst that nobody foresaw to a forecaster: as it was, as missing, or clipped to what was feared? Plants bursts in real series,
//! and scores what is forecast after them beside the same forecasts where no burst ever was.
//!
//! usage: fed_bursts POLICY TRACE.csv.gz
//!
//! A trace has a header of names and one row a 5-minute step, such as `examples/traces/worldwide.csv.gz`.

use flate2::read::GzDecoder;
use forecasting_kit::{Forecaster, SeriesModel};
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};

const DAY: usize = 288;
const HOUR: usize = 12;
const LEVELS: [f32; 7] = [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.97];
/// Load above this level's forecast is clipped to it.
const FEARED: usize = 6;
/// A burst is no burst any more after so long: from then on the load is shown as it is.
const LONGEST: usize = 2 * HOUR;
/// Bursts planted in each series, in the days from the 14th on.
const BURSTS: usize = 4;
/// Lengths and heights that take turns: five minutes to an hour, and for ever.
const LENGTHS: [usize; 4] = [1, 3, 6, 12];
const FACTORS: [f32; 4] = [3.0, 5.0, 10.0, 20.0];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    Never,
    Raw,
    Missing,
    Clipped,
}

const ALL: [Shown; 4] = [Shown::Never, Shown::Raw, Shown::Missing, Shown::Clipped];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [policy, trace] = args.as_slice() else { return Err("usage: fed_bursts POLICY TRACE.csv.gz".into()) };
    let series = read(trace)?;
    match policy.as_str() {
        "best" => run::<best::Series>(&series),
        "holt-winters" => run::<holt_winters::Series>(&series),
        "seasonal-naive" => run::<seasonal_naive::Series>(&series),
        "spar" => run::<spar::Series>(&series),
        other => Err(format!("no policy {other:?}: best, holt-winters, seasonal-naive or spar").into()),
    }
}

fn read(path: &str) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let mut series: Vec<Vec<f32>> = Vec::new();
    for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines().skip(1) {
        for (column, value) in line?.split(',').enumerate() {
            if series.len() <= column {
                series.push(Vec::new());
            }
            series[column].push(value.trim().parse()?);
        }
    }
    Ok(series)
}

fn run<M: SeriesModel>(all: &[Vec<f32>]) -> Result<(), Box<dyn Error>> {
    let after = "over the next day        ";
    let tomorrow = "same time tomorrow       ";
    for (what, lasting) in [("burst over", false), ("twice the load for ever", true)] {
        let mut sums = [[0.0f64; 2]; ALL.len()];
        for (number, y) in all.iter().enumerate() {
            for burst in 0..BURSTS {
                let start = 14 * DAY + burst * DAY * 2 + (number * 101 + burst * 67) % DAY;
                let (length, factor) = if lasting {
                    (y.len() - start, 2.0)
                } else {
                    (LENGTHS[(number + burst) % 4], FACTORS[(number / 4 + burst) % 4])
                };
                let scale = scale(&y[..start]);
                for (place, shown) in ALL.iter().enumerate() {
                    let losses = case::<M>(y, start, length, factor, *shown, lasting)?;
                    for (sum, loss) in sums[place].iter_mut().zip(losses) {
                        *sum += loss / scale;
                    }
                }
            }
        }
        let cases = (all.len() * BURSTS) as f64;
        println!("{what}: {cases} cases, scaled pinball loss");
        for (index, name) in [after, tomorrow].iter().enumerate() {
            let mean = |place: usize| sums[place][index] / cases;
            let [never, raw, missing, clipped] = [0, 1, 2, 3].map(mean);
            println!("  {name} never {never:.4}  raw {raw:.4}  missing {missing:.4}  clipped {clipped:.4}");
        }
    }
    Ok(())
}

/// The mean difference from a day before.
fn scale(past: &[f32]) -> f64 {
    let differences = past.iter().skip(DAY).zip(past).map(|(now, before)| f64::from((now - before).abs()));
    (differences.sum::<f64>() / (past.len() - DAY) as f64).max(1e-9)
}

/// Loss over the day after the burst, and around its time tomorrow. A lasting one is judged when it has been shown as it is
/// for an hour.
fn case<M: SeriesModel>(
    y: &[f32],
    start: usize,
    length: usize,
    factor: f32,
    shown: Shown,
    lasting: bool,
) -> Result<[f64; 2], Box<dyn Error>> {
    let truth = |step: usize| if lasting && step >= start { y[step] * factor } else { y[step] };
    let mut policy = Forecaster::<M>::new("")?;
    observe(&mut policy, 0, &y[..start])?;
    let over = start + length.min(LONGEST);
    for (step, usual) in (start..over).zip(&y[start..]) {
        let load = usual * factor;
        let feared = policy.predict(&request(1))?.values[FEARED];
        let seen = match shown {
            Shown::Never => truth(step),
            Shown::Raw => load,
            Shown::Missing => f32::NAN,
            Shown::Clipped => load.min(feared),
        };
        observe(&mut policy, step, &[seen])?;
    }
    let judged = over + if lasting { HOUR } else { 0 };
    observe(&mut policy, over, &(over..judged).map(truth).collect::<Vec<_>>())?;
    let after = loss(&policy, judged, DAY, truth)?;
    observe(&mut policy, judged, &(judged..start + DAY - HOUR).map(truth).collect::<Vec<_>>())?;
    Ok([after, loss(&policy, start + DAY - HOUR, 3 * HOUR, truth)?])
}

fn loss<M: SeriesModel>(
    policy: &Forecaster<M>,
    origin: usize,
    horizon: usize,
    truth: impl Fn(usize) -> f32,
) -> Result<f64, Box<dyn Error>> {
    let request = request(horizon);
    let forecast = policy.predict(&request)?;
    let mut sum = 0.0;
    for (q, level) in LEVELS.iter().enumerate() {
        for (step, value) in forecast.path(&request, 0, q).iter().enumerate() {
            let miss = truth(origin + step) - value;
            sum += 2.0 * f64::from((level * miss).max((level - 1.0) * miss));
        }
    }
    Ok(sum / (LEVELS.len() * horizon) as f64)
}

fn observe<M: SeriesModel>(policy: &mut Forecaster<M>, from: usize, values: &[f32]) -> Result<(), Box<dyn Error>> {
    if values.is_empty() {
        return Ok(());
    }
    let batch = LoadBatch {
        metric: Metric::Load,
        start: InstantMs(from as u64 * 300_000),
        step_ms: 300_000,
        steps: values.len() as u32,
        shards: vec![ShardId(1)],
        values: values.to_vec(),
    };
    Ok(policy.observe(&batch)?)
}

fn request(horizon: usize) -> ForecastRequest {
    let (shards, quantiles) = (vec![ShardId(1)], LEVELS.to_vec());
    ForecastRequest { metric: Metric::Load, shards, horizon: horizon as u32, quantiles, peak_steps: 0 }
}
