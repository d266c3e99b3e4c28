//! All runs, on threads. Each run is a function of its seed: which thread it falls to changes nothing.

use super::super::output::Output;
use anyhow::{Context, anyhow};
use isobar_sim::{Assessment, Findings, SeedOutcome, SeedRun};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Steps that are timed before the estimate is given.
const TIMED_STEPS: usize = 8;
/// Runs at once at most: each holds the brains of all arms, some 300 MiB with as many shards as there may be.
const MAX_THREADS: usize = 16;
/// Steps between two pictures of the progress.
const SHOW_EVERY: usize = 8;

pub(super) fn all(assessment: &Assessment, threads: usize, output: &Output) -> anyhow::Result<Findings> {
    let seeds = &assessment.spec().seeds;
    let threads = threads.clamp(1, MAX_THREADS).min(seeds.len());
    // The first run begins before the others, to be timed.
    let began = Instant::now();
    let mut first = assessment.begin(seeds[0]).context("the arms can't be set up")?;
    let readied = began.elapsed();
    let timed = TIMED_STEPS.min(first.steps_left());
    for _ in 0..timed {
        first.step()?;
    }
    let step = (began.elapsed() - readied).div_f64(timed.max(1) as f64);
    let run = readied + step.mul_f64(assessment.facts().window_steps as f64);
    let estimate = run.mul_f64(seeds.len().div_ceil(threads) as f64);
    let spec = assessment.spec();
    let arms = spec.headrooms.len() * (2 + 3 * spec.leads.len());
    eprintln!(
        "{} starts x {arms} arms x {} steps of {} shards: about {} on {threads} {}{}",
        seeds.len(),
        assessment.facts().window_steps,
        assessment.facts().shards,
        in_words(estimate),
        if threads == 1 { "thread" } else { "threads" },
        if estimate > Duration::from_secs(120) && seeds.len() > 3 { " (--quick: three starts)" } else { "" },
    );

    let first = Mutex::new(Some(first));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(timed));
    let outcomes: Mutex<Vec<Option<SeedOutcome>>> = Mutex::new(vec![None; seeds.len()]);
    let failure = Mutex::new(None);
    let all_steps = seeds.len() * assessment.facts().window_steps;
    let work = || -> anyhow::Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&seed) = seeds.get(at) else { return Ok(()) };
            let begun = if at == 0 { first.lock().map_err(|_| panicked())?.take() } else { None };
            let mut run: SeedRun = match begun {
                Some(run) => run,
                None => assessment.begin(seed)?,
            };
            while run.step()? {
                let steps = done.fetch_add(1, Ordering::Relaxed) + 1;
                if steps.is_multiple_of(SHOW_EVERY) {
                    let left = began.elapsed().mul_f64((all_steps - steps.min(all_steps)) as f64 / steps as f64);
                    output.progress(&format!(
                        "{:.0} % done, {} left",
                        100.0 * steps as f64 / all_steps as f64,
                        in_words(left)
                    ));
                }
                if failure.lock().map_err(|_| panicked())?.is_some() {
                    return Ok(());
                }
            }
            outcomes.lock().map_err(|_| panicked())?[at] = Some(run.outcome());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                if let Err(error) = work()
                    && let Ok(mut failure) = failure.lock()
                {
                    failure.get_or_insert(error);
                }
            });
        }
    });
    output.progress_done();
    if let Some(error) = failure.into_inner().map_err(|_| panicked())? {
        return Err(error.context("an arm could not be run to its end"));
    }
    let outcomes = outcomes.into_inner().map_err(|_| panicked())?;
    let outcomes: Option<Vec<SeedOutcome>> = outcomes.into_iter().collect();
    Ok(assessment.conclude(&outcomes.ok_or_else(panicked)?))
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
