//! A forecaster that misbehaves as its configuration says: `{"misbehave": "spin", "when": "predict"}`. Without, it is a good one: it
//! forecasts the last value it saw.

wit_bindgen::generate!({ path: "../../../wit", world: "forecasting-policy" });

use exports::isobar::policy::forecasting::{Failure, ForecastBatch, Guest, Link, LoadBatch, Metric, Request};
use exports::isobar::policy::lifecycle::{self, Description};
use isobar::policy::logging::{self, Level};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;

thread_local! {
    static LAST: RefCell<BTreeMap<u64, f32>> = const { RefCell::new(BTreeMap::new()) };
    static CONFIG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The text of `"key": "value"` in the configuration.
fn setting(key: &str) -> String {
    CONFIG.with_borrow(|config| {
        let Some((_, rest)) = config.split_once(&format!("\"{key}\"")) else { return String::new() };
        rest.split('"').nth(1).unwrap_or_default().to_owned()
    })
}

/// What any call can do wrong.
fn misbehave(call: &str) {
    let when = setting("when");
    if !when.is_empty() && when != call {
        return;
    }
    match setting("misbehave").as_str() {
        "spin" => loop {
            black_box(());
        },
        "memory-bomb" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 16 << 20]));
            }
        }
        // On the engine's stack alone: nothing here has an address.
        "recurse" => {
            fn deeper(depth: u64) -> u64 {
                if depth == u64::MAX { 0 } else { deeper(depth + 1).wrapping_mul(3) ^ depth }
            }
            black_box(deeper(black_box(0)));
        }
        // On the stack that the guest keeps in its own memory.
        "recurse-in-memory" => {
            fn deeper(depth: u64) -> u64 {
                let here = black_box([depth; 64]);
                if black_box(depth) == u64::MAX { 0 } else { deeper(depth + 1) + here[7] }
            }
            black_box(deeper(0));
        }
        "panic" => panic!("I give up in {call}"),
        "log-flood" => {
            for i in 0..100_000 {
                logging::log(Level::Debug, &format!("line {i}"));
            }
        }
        "log-huge" => logging::log(Level::Info, &"é".repeat(1 << 20)),
        _ => {}
    }
}

struct Hostile;

impl lifecycle::Guest for Hostile {
    fn describe() -> Description {
        Description {
            name: "hostile-forecaster".into(),
            version: "1".into(),
            config_schema: r#"{"type":"object"}"#.into(),
        }
    }

    fn open(config: String, saved: Option<Vec<u8>>) -> Result<(), Failure> {
        CONFIG.set(config);
        misbehave("open");
        match setting("misbehave").as_str() {
            "config" => return Err(Failure::Config("misbehave: must not be \"config\"".into())),
            "huge-text" => return Err(Failure::Other("x".repeat(1 << 20))),
            _ => {}
        }
        let rows = saved.as_deref().unwrap_or_default().chunks_exact(12);
        if !rows.remainder().is_empty() {
            return Err(Failure::Other("the saved state is not mine".into()));
        }
        LAST.set(
            rows.map(|row| {
                let (id, value) = row.split_at(8);
                (u64::from_le_bytes(id.try_into().unwrap()), f32::from_le_bytes(value.try_into().unwrap()))
            })
            .collect(),
        );
        Ok(())
    }

    fn save() -> Result<Vec<u8>, Failure> {
        misbehave("save");
        if setting("misbehave") == "huge-save" {
            return Ok(vec![7; (64 << 20) + 1]);
        }
        Ok(LAST.with_borrow(|last| {
            last.iter().flat_map(|(id, value)| id.to_le_bytes().into_iter().chain(value.to_le_bytes())).collect()
        }))
    }
}

impl Guest for Hostile {
    fn observe(batch: LoadBatch) -> Result<(), Failure> {
        misbehave("observe");
        let steps = batch.steps as usize;
        LAST.with_borrow_mut(|last| {
            for (row, &shard) in batch.shards.iter().enumerate() {
                let values = &batch.values[row * steps..(row + 1) * steps];
                if let Some(&value) = values.iter().rev().find(|value| !value.is_nan()) {
                    last.insert(shard, value);
                }
            }
        });
        Ok(())
    }

    fn predict(request: Request) -> Result<ForecastBatch, Failure> {
        misbehave("predict");
        let (horizon, quantiles) = (request.horizon as usize, request.quantiles.len());
        let mut forecast = ForecastBatch { values: Vec::new(), peaks: Vec::new() };
        for shard in &request.shards {
            let Some(last) = LAST.with_borrow(|last| last.get(shard).copied()) else {
                return Err(Failure::NotReady(format!("shard {shard} was never observed")));
            };
            forecast.values.extend(vec![last; horizon * quantiles]);
            forecast.peaks.extend(vec![last; if request.peak_steps > 0 { quantiles } else { 0 }]);
        }
        match setting("misbehave").as_str() {
            "nan" => forecast.values[1] = f32::NAN,
            "infinite" => forecast.values[1] = f32::INFINITY,
            "negative" => forecast.values[1] = -1.0,
            "nan-peak" => forecast.peaks[0] = f32::NAN,
            "falling-quantiles" => forecast.values[0] *= 2.0,
            "falling-peaks" => forecast.peaks[0] *= 2.0,
            "short" => drop(forecast.values.pop()),
            "long" => forecast.values.push(0.0),
            "no-peaks" => forecast.peaks.clear(),
            "huge-return" => forecast.values = vec![0.0; 100 << 20],
            _ => {}
        }
        Ok(forecast)
    }

    fn relate(_: Metric, _: Vec<Link>, _: Vec<Vec<u64>>) -> Result<(), Failure> {
        misbehave("relate");
        Ok(())
    }

    fn forget(shards: Vec<u64>) {
        misbehave("forget");
        LAST.with_borrow_mut(|last| shards.iter().for_each(|shard| _ = last.remove(shard)));
    }
}

export!(Hostile);
