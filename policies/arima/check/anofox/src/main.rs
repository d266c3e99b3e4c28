//! Writes `../anofox.json`: seeded simulated series and two real ones, and what the crate `anofox-forecast` (a port of R's `arima` and `auto.arima`) makes
//! of them. Run by hand, so that its forty dependencies are none of ours: `cargo run --release` here.

use anofox_forecast::core::TimeSeries;
use anofox_forecast::models::Forecaster;
use anofox_forecast::models::arima::{ARIMA, AutoARIMA, AutoARIMAConfig};
use chrono::DateTime;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::error::Error;
use std::io::Read;

const LENGTH: usize = 600;
const LAGS: usize = 5;
const AHEAD: usize = 12;
const MEAN: f64 = 10.0;

fn main() -> Result<(), Box<dyn Error>> {
    // Models whose coefficients can be told: no lag on one side undoes one on the other.
    let models: [(&[f64], &[f64]); 5] =
        [(&[0.7], &[]), (&[], &[0.6]), (&[0.8], &[0.5]), (&[1.1, -0.4], &[]), (&[0.5, 0.3], &[-0.6])];
    let mut series = Vec::new();
    for (seed, (ar, ma)) in models.iter().enumerate() {
        series.push(described(&simulated(ar, ma, seed as u64), Some((ar.len(), ma.len())))?);
    }
    for values in real()? {
        series.push(described(&values, None)?);
    }
    std::fs::write("../anofox.json", serde_json::to_string(&json!({ "series": series }))? + "\n")?;
    Ok(())
}

/// Values, the order they were made by, fits of some orders, and the order chosen.
fn described(values: &[f64], order: Option<(usize, usize)>) -> Result<Value, Box<dyn Error>> {
    let values: Vec<f64> = values.iter().map(|value| (value * 1e4).round() / 1e4).collect();
    let times: Option<Vec<_>> = (0..LENGTH as i64).map(|step| DateTime::from_timestamp(300 * step, 0)).collect();
    let series = TimeSeries::univariate(times.ok_or("no such time")?, values.clone())?;
    let mut orders = vec![(1, 0), (0, 1), (1, 1), (2, 1)];
    orders.extend(order.filter(|order| !orders.contains(order)));
    let mut fits = Vec::new();
    for (p, q) in orders {
        let mut model = ARIMA::new(p, 0, q);
        model.fit(&series)?;
        let ahead = model.predict(AHEAD)?;
        fits.push(json!({
            "p": p, "q": q, "ar": model.ar_coefficients(), "ma": model.ma_coefficients(), "ahead": ahead.primary(),
        }));
    }
    let mut chosen = AutoARIMA::with_config(AutoARIMAConfig::default().with_max_orders(LAGS, 0, LAGS));
    chosen.fit(&series)?;
    let (p, _, q) = chosen.selected_order().ok_or("no order was chosen")?;
    let made_by = order.map(|(p, q)| json!({ "p": p, "q": q }));
    Ok(json!({ "values": values, "made_by": made_by, "fits": fits, "chosen": { "p": p, "q": q } }))
}

/// A series whose innovations are bells of standard deviation 1 (sums of twelve uniform numbers).
fn simulated(ar: &[f64], ma: &[f64], seed: u64) -> Vec<f64> {
    /// Steps before the first one kept: what was before them is forgotten.
    const RUN_UP: usize = 500;
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut deviations, mut innovations) = (vec![0.0; LAGS], vec![0.0; LAGS]);
    for _ in 0..RUN_UP + LENGTH {
        let innovation = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let of = |lags: &[f64], past: &[f64]| -> f64 { lags.iter().zip(past.iter().rev()).map(|(a, b)| a * b).sum() };
        deviations.push(of(ar, &deviations) + of(ma, &innovations) + innovation);
        innovations.push(innovation);
    }
    deviations[deviations.len() - LENGTH..].iter().map(|deviation| MEAN + deviation).collect()
}

/// What two real loads are more or less than a day before, on the scale of the square root: those of a web site and of a group of machines.
fn real() -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    const DAY: usize = 288;
    let packed: &[u8] = include_bytes!("../../../../../examples/tracks/5min_public.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text)?;
    let mut all = Vec::new();
    for line in [text.lines().next(), text.lines().last()].into_iter().flatten() {
        let row: Value = serde_json::from_str(line)?;
        let loads = row["y"].as_array().cloned().unwrap_or_default();
        let roots: Vec<f64> = loads.iter().filter_map(Value::as_f64).map(f64::sqrt).collect();
        all.push((DAY..DAY + LENGTH).map(|step| roots[step] - roots[step - DAY]).collect());
    }
    Ok(all)
}
