//! All runs, on threads. Which thread a run falls to changes nothing.

use super::super::output::Output;
use anyhow::{Context, anyhow};
use isobar_sim::{Assessment, Findings, SeedRun};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Steps that are timed before the estimate is given.
const TIMED_STEPS: usize = 4;
/// Starts run together, sharing their forecasts, at most: each holds the brains and policies of all arms, which measured 1.2 GiB with 250 shards,
/// three headrooms and three lead times.
const TOGETHER: usize = 4;

pub(super) fn all(assessment: &Assessment, threads: usize, output: &Output) -> anyhow::Result<Findings> {
    let (seeds, facts) = (&assessment.spec().seeds, assessment.facts());
    let spec = assessment.spec();
    let arms = spec.headrooms.len() * (2 + 3 * spec.leads.len());
    let all_steps = seeds.len().div_ceil(TOGETHER) * facts.window_steps;
    let mut outcomes = Vec::with_capacity(seeds.len());
    let (mut done, mut stepping) = (0, Duration::ZERO);
    for seeds in seeds.chunks(TOGETHER) {
        let runs = assessment.begin_together(seeds).context("the arms can't be set up")?;
        let mut runs: Vec<Mutex<SeedRun>> = runs.into_iter().map(Mutex::new).collect();
        loop {
            let began = Instant::now();
            let goes_on = step_all(&mut runs, threads)?;
            stepping += began.elapsed();
            done += 1;
            let left = stepping.mul_f64(all_steps.saturating_sub(done) as f64 / done as f64);
            if done == TIMED_STEPS {
                eprintln!(
                    "{} starts x {arms} arms x {} steps of {} shards: about {}{}",
                    spec.seeds.len(),
                    facts.window_steps,
                    facts.shards,
                    in_words(left),
                    if left > Duration::from_secs(300) && spec.seeds.len() > 3 {
                        " (--quick: three starts)"
                    } else {
                        ""
                    },
                );
            }
            output.progress(&format!("{:.0} % done, {} left", 100.0 * done as f64 / all_steps as f64, in_words(left)));
            if !goes_on {
                break;
            }
        }
        for run in runs {
            outcomes.push(run.into_inner().map_err(|_| panicked())?.outcome());
        }
    }
    output.progress_done();
    Ok(assessment.conclude(&outcomes))
}

/// Lets one step pass for all starts; false once there is none left.
fn step_all(runs: &mut [Mutex<SeedRun>], threads: usize) -> anyhow::Result<bool> {
    let next = AtomicUsize::new(0);
    let runs = &*runs;
    let work = || -> anyhow::Result<bool> {
        let mut goes_on = false;
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            goes_on |= run.lock().map_err(|_| panicked())?.step()?;
        }
        Ok(goes_on)
    };
    let ended: Vec<anyhow::Result<bool>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, runs.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let mut goes_on = false;
    for ended in ended {
        goes_on |= ended.context("an arm could not be run to its end")?;
    }
    Ok(goes_on)
}

fn panicked() -> anyhow::Error {
    anyhow!("a thread of the assessment panicked")
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        0..120 => format!("{:.0} s", time.as_secs_f64().max(1.0)),
        seconds @ 120..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}
