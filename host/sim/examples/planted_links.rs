//! How many planted links the analyzer finds, how many it makes up, and what they cut of a plain regression's loss on the followers.
//!
//!     cargo run --release -p isobar-sim --example planted_links -- --seeds 100
//!
//! `--first N` begins with another seed, `--verbose` names what was missed and made up, `--loss` forecasts the followers, too.

use isobar_analyzer::{History, HistorySpec, InsightsSpec, find_insights};
use isobar_model::{Link, Metric};
use isobar_sim::{
    CovariateGain, DAY_STEPS, PlantedLink, PlantedSet, PlantedSpec, STEP_MS, Trace, follower_losses, lead_regression,
};

/// Days in which links are looked for; the rest is forecast.
const SEARCH_DAYS: usize = 14;
/// Steps between origins: a day and three hours, so that they fall on all times of day.
const ORIGIN_STEPS: usize = DAY_STEPS + 37;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut first, mut seeds, mut verbose, mut loss) = (0, 20, false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|v| v.parse::<u64>().ok()).ok_or(format!("{arg} wants a number"));
        match arg.as_str() {
            "--first" => first = number()?,
            "--seeds" => seeds = number()?,
            "--verbose" => verbose = true,
            "--loss" => loss = true,
            other => return Err(format!("unknown option {other}: see the top of this file").into()),
        }
    }
    let trace = Trace::worldwide()?;
    let (mut planted, mut found, mut made_up, mut all_found) = (0usize, 0usize, 0usize, 0usize);
    let mut losses = Vec::new();
    for seed in first..first + seeds {
        let set = PlantedSet::new(&trace, &PlantedSpec::new(seed))?;
        let mut history =
            History::new(HistorySpec { metric: Metric::Load, step_ms: STEP_MS, keep_steps: SEARCH_DAYS * DAY_STEPS });
        history.import(&set.batch(0, SEARCH_DAYS * DAY_STEPS))?;
        let links = find_insights(&history, Vec::new(), InsightsSpec::default()).links;
        let hits = |planted: &&PlantedLink| links.iter().any(|link| planted.is(link));
        let hit = set.links.iter().filter(hits).count();
        let is_planted = |link: &&Link| set.links.iter().any(|planted| planted.is(link));
        if verbose {
            set.links.iter().filter(|planted| !hits(planted)).for_each(|link| println!("{seed}: missed {link:?}"));
            links.iter().filter(|link| !is_planted(link)).for_each(|link| println!("{seed}: made up {link:?}"));
        }
        planted += set.links.len();
        found += hit;
        made_up += links.iter().filter(|link| !is_planted(link)).count();
        all_found += usize::from(hit == set.links.len());
        if loss {
            let origins: Vec<usize> = (SEARCH_DAYS * DAY_STEPS..set.steps()).step_by(ORIGIN_STEPS).collect();
            losses.extend(follower_losses(seed, &set, &links, &origins, lead_regression));
        }
    }
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    println!("{planted} links planted, {found} found ({:.1} %)", percent(found, planted));
    println!("{made_up} made up ({:.1} % of all that were named)", percent(made_up, made_up + found));
    println!("{all_found} of {seeds} sets with every link found");
    if let Some(gain) = CovariateGain::of(&losses) {
        println!(
            "loss of the followers' forecasts {:.4} without links, {:.4} with: {:.1} % less [{:.1}, {:.1}]",
            gain.without,
            gain.with,
            100.0 * gain.cut,
            100.0 * gain.interval.0,
            100.0 * gain.interval.1
        );
    }
    Ok(())
}
