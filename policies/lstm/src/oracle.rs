//! The guest against the network as trained: what `train/export.py` wrote down.

use crate::features::Features;
use crate::series::{Config, Series};
use crate::window::Window;
use forecasting_kit::{Ask, Ring, Scratch, Seasons, SeriesModel};
use serde_json::Value;

const DAY_MS: u64 = 86_400_000;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().map_or(f32::NAN, |number| number as f32)).collect()
}

/// Where the two part: half the digits of an f32, or so much of the size of the whole.
fn assert_near(ours: &[f32], theirs: &[f32], size: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= 2e-3 * b.abs() + 1e-3 * size, "{what}, place {i}: {a}, not {b}");
    }
}

#[test]
fn the_guest_forecasts_what_the_trained_network_does() {
    let file: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let levels = numbers(&file["levels"]);
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let day = case["day"].as_u64().unwrap();
        let values = numbers(&case["values"]);
        let window = Window::new(values.clone(), day as i64);
        let features = Features::of(&window);
        assert_near(&features.once, &numbers(&case["once"]), 1.0, &format!("{name}: once"));
        let seasons = Seasons::new((DAY_MS / day) as u32, 7.0);
        let mut series = Series::new(&Config {}, &seasons, 0, 0);
        let mut history = Ring::new(Series::history_steps(&Config {}, &seasons), 0);
        for value in &values {
            history.push(*value);
            series.push(&Config {}, &seasons, &history, *value, 0);
        }
        let mut ask = Ask {
            config: &Config {},
            seasons: &seasons,
            history: &history,
            first: 1,
            horizon: 288,
            levels: &levels,
            peak_steps: 0,
            leaders: &[],
        };
        let mut paths = vec![0.0; 288 * levels.len()];
        series.forecast(&ask, &mut Scratch::default(), &mut paths, &mut []);
        let unit = features.scale.unit;
        for (i, lead) in case["leads"].as_array().unwrap().iter().enumerate() {
            let lead = lead.as_u64().unwrap();
            let ahead = features.ahead(&window, lead as i64);
            assert_near(&ahead.inputs, &numbers(&case["inputs"][i]), 1.0, &format!("{name}: inputs at {lead}"));
            let ours: Vec<f32> =
                (0..levels.len()).map(|level| paths[level * 288 + lead as usize - 1].max(0.0)).collect();
            // Below a day the guest is more cautious than the network.
            if values.len() as u64 >= day {
                assert_near(&ours, &numbers(&case["quantiles"][i]), unit, &format!("{name}: quantiles at {lead}"));
            }
        }
        for (steps, theirs) in case["peaks"].as_object().unwrap() {
            ask.peak_steps = steps.parse().unwrap();
            let mut ours = vec![0.0; levels.len()];
            series.forecast(&ask, &mut Scratch::default(), &mut paths, &mut ours);
            let ours: Vec<f32> = ours.into_iter().map(|peak| peak.max(0.0)).collect();
            if values.len() as u64 >= day {
                assert_near(&ours, &numbers(theirs), unit, &format!("{name}: peak of {steps}"));
            }
        }
    }
}
