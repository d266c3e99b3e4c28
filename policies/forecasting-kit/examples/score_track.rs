//! Forecasts every origin of a track with a first-party policy and writes one line of JSON for each, to be scored; then says how far off
//! its medians are 6 and 12 steps ahead, all along the series' last days, beside two that need no model.
//!
//! usage: score_track POLICY TRACK.jsonl.gz OUT.jsonl [CONFIG]
//!
//! A track has one series a line: `id`, `start` (seconds since the epoch), `step_s`, `horizons`, `origins`, `y`.

use flate2::read::GzDecoder;
use forecasting_kit::ForecastingPolicy;
use isobar_model::{ForecastRequest, InstantMs, LoadBatch, Metric, ShardId};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Instant;

const LEVELS: [(&str, f32); 5] = [("0.05", 0.05), ("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99)];
const MEDIAN: usize = 1;
const PEAK_LEVEL: usize = 3;
/// The median is judged at these leads, over so many days before the last origin, every so many steps.
const LEADS: [usize; 2] = [6, 12];
const JUDGED_DAYS: usize = 7;
const JUDGED_EVERY: usize = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [policy, track, out, config @ ..] = args.as_slice() else {
        return Err("usage: score_track POLICY TRACK.jsonl.gz OUT.jsonl [CONFIG]".into());
    };
    let config = config.first().map_or("", String::as_str);
    match policy.as_str() {
        "arima" => run::<arima::Arima>(track, out, config),
        "best" => run::<best::Best>(track, out, config),
        "holt-winters" => run::<holt_winters::HoltWinters>(track, out, config),
        "lstm" => run::<lstm::Lstm>(track, out, config),
        "pooled" => run::<pooled::Pooled>(track, out, config),
        "prophet" => run::<prophet::Prophet>(track, out, config),
        "seasonal-naive" => run::<seasonal_naive::SeasonalNaive>(track, out, config),
        "spar" => run::<spar::Spar>(track, out, config),
        other => Err(format!(
            "no policy {other:?}: arima, best, holt-winters, lstm, pooled, prophet, seasonal-naive or spar"
        )
        .into()),
    }
}

struct Series {
    id: Value,
    start_ms: u64,
    step_ms: u32,
    horizons: Vec<u32>,
    origins: Vec<usize>,
    y: Vec<f32>,
}

fn series(line: &str) -> Result<Series, Box<dyn Error>> {
    let row: Value = serde_json::from_str(line)?;
    let list = |key: &str| row[key].as_array().cloned().unwrap_or_default();
    let integers = |key: &str| list(key).iter().filter_map(Value::as_u64).collect::<Vec<_>>();
    Ok(Series {
        id: row["id"].clone(),
        start_ms: row["start"].as_u64().ok_or("no start")? * 1000,
        step_ms: row["step_s"].as_u64().ok_or("no step_s")? as u32 * 1000,
        horizons: integers("horizons").into_iter().map(|horizon| horizon as u32).collect(),
        origins: integers("origins").into_iter().map(|origin| origin as usize).collect(),
        y: list("y").iter().map(|value| value.as_f64().unwrap_or(f64::NAN) as f32).collect(),
    })
}

/// The sum of absolute errors of ours, of the last value, of yesterday's; and of the loads.
type Misses = [[f64; 4]; LEADS.len()];

fn run<P: ForecastingPolicy>(track: &str, out: &str, config: &str) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(File::create(out)?);
    let (mut observing, mut predicting) = (Cost::default(), Cost::default());
    let (mut pooled, mut means, mut count): (Misses, Misses, f64) = Default::default();
    for line in BufReader::new(GzDecoder::new(File::open(track)?)).lines() {
        let series = series(&line?)?;
        let mut policy = P::new(config)?;
        let mut seen = 0;
        for &origin in &series.origins {
            observing.of((origin - seen) as u64, || policy.observe(&batch(&series, seen, origin)))?;
            seen = origin;
            let mut request = request(series.horizons.iter().copied().max().unwrap_or(1));
            let mut peaks = Map::new();
            let mut ms = 0.0;
            for horizon in &series.horizons {
                request.peak_steps = *horizon;
                let clock = Instant::now();
                let forecast = policy.predict(&request)?;
                ms = clock.elapsed().as_secs_f64() * 1e3;
                peaks.insert(horizon.to_string(), json!({ "0.95": forecast.peaks[PEAK_LEVEL] }));
            }
            let forecast = predicting.of(1, || policy.predict(&request))?;
            let paths = LEVELS
                .iter()
                .enumerate()
                .map(|(q, (name, _))| ((*name).to_owned(), json!(forecast.path(&request, 0, q))));
            let paths: Map<_, _> = paths.collect();
            writeln!(out, "{}", json!({ "id": series.id, "origin": origin, "q": paths, "peak": peaks, "ms": ms }))?;
        }
        let misses = judge::<P>(&series, config)?;
        count += 1.0;
        for ((miss, pooled), mean) in misses.iter().zip(&mut pooled).zip(&mut means) {
            for i in 0..4 {
                pooled[i] += miss[i] / misses[0][3].max(1e-9);
                mean[i] += miss[i];
            }
        }
    }
    println!("observe {:.2} us a step, predict {:.1} us a shard", observing.us(), predicting.us());
    println!("median, mean over series of sum |error| / sum load:   ours  last value  yesterday");
    for (lead, [ours, last, yesterday, _]) in LEADS.iter().zip(pooled) {
        println!("  lead {lead:2}: {:.4}  {:.4}  {:.4}", ours / count, last / count, yesterday / count);
    }
    Ok(())
}

/// The medians all along the last days.
fn judge<P: ForecastingPolicy>(series: &Series, config: &str) -> Result<Misses, Box<dyn Error>> {
    let day = (86_400_000 / series.step_ms) as usize;
    let end = series.origins.last().copied().unwrap_or(0);
    let start = end.saturating_sub(JUDGED_DAYS * day).max(day);
    let mut policy = P::new(config)?;
    policy.observe(&batch(series, 0, start))?;
    let mut misses = Misses::default();
    let request = request(LEADS.into_iter().max().unwrap_or(1) as u32);
    let mut now = start;
    while now + JUDGED_EVERY <= end {
        let forecast = policy.predict(&request)?;
        for (miss, lead) in misses.iter_mut().zip(LEADS) {
            let Some(&truth) = series.y.get(now + lead - 1) else { continue };
            let off = |guess: f32| f64::from((truth - guess).abs());
            miss[0] += off(forecast.path(&request, 0, MEDIAN)[lead - 1]);
            miss[1] += off(series.y[now - 1]);
            miss[2] += off(series.y[now + lead - 1 - day]);
            miss[3] += f64::from(truth);
        }
        policy.observe(&batch(series, now, now + JUDGED_EVERY))?;
        now += JUDGED_EVERY;
    }
    Ok(misses)
}

fn batch(series: &Series, from: usize, to: usize) -> LoadBatch {
    LoadBatch {
        metric: Metric::Load,
        start: InstantMs(series.start_ms + from as u64 * u64::from(series.step_ms)),
        step_ms: series.step_ms,
        steps: (to - from) as u32,
        shards: vec![ShardId(1)],
        values: series.y[from..to].to_vec(),
    }
}

fn request(horizon: u32) -> ForecastRequest {
    ForecastRequest {
        metric: Metric::Load,
        shards: vec![ShardId(1)],
        horizon,
        quantiles: LEVELS.map(|(_, level)| level).to_vec(),
        peak_steps: 0,
    }
}

#[derive(Default)]
struct Cost {
    seconds: f64,
    units: u64,
}

impl Cost {
    fn of<T>(&mut self, units: u64, call: impl FnOnce() -> T) -> T {
        let clock = Instant::now();
        let result = call();
        self.seconds += clock.elapsed().as_secs_f64();
        self.units += units;
        result
    }

    fn us(&self) -> f64 {
        self.seconds * 1e6 / self.units as f64
    }
}
