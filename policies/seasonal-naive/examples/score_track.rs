//! Forecasts every origin of a track and writes one line of JSON for each, to be scored.
//! usage: score_track TRACK.jsonl.gz OUT.jsonl [CONFIG.json text]

use flate2::read::GzDecoder;
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use seasonal_naive::SeasonalNaive;
use serde_json::{Value, json};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Instant;

const LEVELS: [(&str, f32); 6] =
    [("0.05", 0.05), ("0.5", 0.5), ("0.75", 0.75), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(track), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: score_track TRACK.jsonl.gz OUT.jsonl [CONFIG]".into());
    };
    let config = args.next().unwrap_or_default();
    let mut out = BufWriter::new(File::create(out)?);
    let (mut observe_s, mut predict_s, mut steps, mut calls) = (0.0, 0.0, 0u64, 0u64);
    let mut wape: [(f64, f64); 3] = Default::default();
    for line in BufReader::new(GzDecoder::new(File::open(track)?)).lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let numbers = |key: &str| row[key].as_array().cloned().unwrap_or_default();
        let y: Vec<f32> = numbers("y").iter().map(|v| v.as_f64().unwrap_or(f64::NAN) as f32).collect();
        let step_ms = row["step_s"].as_u64().unwrap_or(300) as u32 * 1000;
        let start = row["start"].as_u64().unwrap_or(0) * 1000;
        let horizons: Vec<u32> = numbers("horizons").iter().filter_map(Value::as_u64).map(|h| h as u32).collect();
        let horizon = horizons.iter().copied().max().unwrap_or(1);
        let mut policy = SeasonalNaive::new(&config)?;
        let mut seen = 0;
        for origin in numbers("origins").iter().filter_map(Value::as_u64).map(|o| o as usize) {
            let clock = Instant::now();
            policy.observe(&LoadBatch {
                metric: Metric::Load,
                start: InstantMs(start + seen as u64 * u64::from(step_ms)),
                step_ms,
                steps: (origin - seen) as u32,
                shards: vec![ShardId(1)],
                values: y[seen..origin].to_vec(),
            })?;
            observe_s += clock.elapsed().as_secs_f64();
            steps += (origin - seen) as u64;
            seen = origin;
            let mut request = ForecastRequest {
                metric: Metric::Load,
                shards: vec![ShardId(1)],
                horizon,
                quantiles: LEVELS.map(|(_, level)| level).to_vec(),
                peak_steps: horizon,
            };
            let clock = Instant::now();
            let forecast = policy.predict(&request)?;
            predict_s += clock.elapsed().as_secs_f64();
            calls += 1;
            let q: serde_json::Map<_, _> = LEVELS
                .iter()
                .enumerate()
                .map(|(q, (name, _))| ((*name).to_owned(), json!(forecast.path(&request, 0, q))))
                .collect();
            for (sums, lead) in wape.iter_mut().zip([1, 6, 12]) {
                let truth = f64::from(y[origin + lead - 1]);
                sums.0 += (truth - f64::from(forecast.path(&request, 0, 1)[lead - 1])).abs()
                    / f64::from(y[..origin].iter().sum::<f32>() / origin as f32).max(1e-9);
                sums.1 += 1.0;
            }
            let mut peak = serde_json::Map::new();
            for h in &horizons {
                request.peak_steps = *h;
                peak.insert(h.to_string(), json!({ "0.95": policy.predict(&request)?.peaks[4] }));
            }
            writeln!(out, "{}", json!({ "id": row["id"], "origin": origin, "q": q, "peak": peak }))?;
        }
    }
    println!(
        "observe {:.2} us a step, predict {:.1} us a shard; mean error at lead 1, 6, 12, over the mean load: {:?}",
        observe_s * 1e6 / steps as f64,
        predict_s * 1e6 / calls as f64,
        wape.map(|(error, weight)| error / weight)
    );
    Ok(())
}
