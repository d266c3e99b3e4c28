//! What a forecaster says at an origin depends on what came before it, and on nothing else: through the real components, with the runner that makes the
//! figures of `make bench-forecast`.

use isobar::track_run;
use isobar_analyzer::track::{Series, TrackForecast};
use isobar_bundle::first_party;
use isobar_model::{Role, ShardId};
use isobar_ports::PolicyHost;
use isobar_sim::{Backtested, backtest};

const DAY: usize = 288;
const ORIGINS: [usize; 3] = [9 * DAY + 17, 10 * DAY, 11 * DAY + 100];
const LENGTH: usize = 13 * DAY;

/// A daily wave with bursts, holes and a trend.
fn load(step: usize) -> f64 {
    if (step * 31).is_multiple_of(97) {
        return f64::NAN;
    }
    let phase = (step % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let burst = if (step * 7919) % 211 < 3 { 60.0 } else { 0.0 };
    40.0 + 25.0 * phase.sin() + ((step * 104_729) % 100) as f64 / 10.0 + step as f64 / 500.0 + burst
}

fn series(origins: &[usize], y: Vec<f64>) -> Series {
    Series {
        id: "s".into(),
        group: String::new(),
        start_s: 1_789_948_800,
        step_s: 300,
        day_steps: DAY,
        horizons: vec![12, 288],
        origins: origins.to_vec(),
        y,
    }
}

/// All but the time it took.
fn said(forecasts: &[TrackForecast]) -> Vec<TrackForecast> {
    forecasts.iter().map(|forecast| TrackForecast { ms: None, ..forecast.clone() }).collect()
}

fn assert_same(name: &str, what: &str, a: &[TrackForecast], b: &[TrackForecast]) {
    for (a, b) in said(a).iter().zip(&said(b)) {
        assert!(a == b, "{name}, at origin {}: {what} changes the forecast", a.origin);
    }
}

#[test]
fn a_forecast_depends_on_the_past_alone() {
    let (host, _folder) = track_run::tool_host().unwrap();
    let whole: Vec<f64> = (0..LENGTH).map(load).collect();
    for policy in first_party().iter().filter(|policy| policy.role == Role::Forecast) {
        let digest = host.inspect(policy.component).unwrap().digest;
        let run = |series: &Series| -> Backtested {
            let mut forecaster = host.forecaster(&digest, "{}", None).unwrap();
            let done = backtest(series, ShardId(1), forecaster.as_mut(), Some(host.builtin_forecaster().as_mut()));
            assert!(done.failures.is_empty(), "{}: {:?}", policy.name, done.failures);
            done
        };
        let full = run(&series(&ORIGINS, whole.clone()));
        assert_eq!((full.raw.len(), full.guarded.len()), (3, 3));
        for count in 1..=ORIGINS.len() {
            // The series ends where the last origin is: there is no future that could be looked at.
            let last = ORIGINS[count - 1];
            let past_only = run(&series(&ORIGINS[..count], whole[..last].to_vec()));
            assert_same(policy.name, "having no future", &past_only.raw, &full.raw[..count]);
            assert_same(policy.name, "having no future", &past_only.guarded, &full.guarded[..count]);
        }
        let mut altered = whole.clone();
        for load in &mut altered[ORIGINS[1]..] {
            *load = 500.0 - *load;
        }
        let altered = run(&series(&ORIGINS, altered));
        assert_same(policy.name, "another future", &altered.raw[..2], &full.raw[..2]);
        assert_same(policy.name, "another future", &altered.guarded[..2], &full.guarded[..2]);
        // Or the test could not fail.
        assert_ne!(said(&altered.raw[2..]), said(&full.raw[2..]), "{}: another past changes nothing", policy.name);
    }
}
