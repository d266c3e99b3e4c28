//! `isobar simulate`: what each way of placing shards makes of a scenario, in virtual time, with the control loop that drives a live cluster.

mod contender;
mod figures_table;
mod page;
mod policies;
mod report;

use crate::cli::{Output, Target};
use anyhow::{Context as _, bail};
use clap::Args;
use contender::Contender;
use isobar_sim::{Arm, Arms, ScenarioFile, Simulation, Standing, Trace};
use policies::Policies;
use report::{Report, Run};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most seeds of one run: each holds a scenario's loads while it runs, and a hundred are more than any mean needs.
const MOST_SEEDS: u64 = 100;
/// The largest scenario's text: a megabyte is ten thousand lines.
const MOST_BYTES: u64 = 1 << 20;

/// What is run.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Scenarios are documented in examples/scenarios/README.md. Policies by name run natively; with --wasm, and from files, as components\nin the sandbox that a node runs them in.\n\nExamples:\n  isobar simulate examples/scenarios/diurnal.toml\n  isobar simulate examples/scenarios/node-loss.toml --arms static,reactive,predictive --seeds 5 --out report.json\n  isobar simulate my.toml --policy mine.wasm --policy-config '{\"max_moves\": 4}' --forecaster best"
)]
pub struct SimulateArgs {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// Ways of placing shards, to be compared
    #[arg(
        long,
        value_name = "ARM,...",
        value_delimiter = ',',
        default_value = "static,packed,reactive,predictive,clairvoyant"
    )]
    arms: Vec<Arm>,
    /// Also run this placement policy: one that comes with Isobar, or a component's file
    #[arg(long, value_name = "NAME|FILE.wasm")]
    policy: Option<String>,
    /// Its configuration
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "policy")]
    policy_config: String,
    /// The forecaster of all arms but the clairvoyant
    #[arg(long, value_name = "NAME|FILE.wasm", default_value = "seasonal-naive")]
    forecaster: String,
    /// Its configuration
    #[arg(long, value_name = "JSON", default_value = "{}")]
    forecaster_config: String,
    /// Start placements, and generators' chance: so many seeds, from the scenario's on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Run the policies that come with Isobar as components in the sandbox, too
    #[arg(long)]
    wasm: bool,
    /// Write the report here, as JSON
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Write the report here as a page with plots, in one file
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
}

impl SimulateArgs {
    /// Runs it. What it has to say goes to standard output, progress to standard error.
    pub fn run(&self, target: &Target) -> anyhow::Result<()> {
        let output = Output::new(target.json);
        let file = read(&self.scenario)?;
        output.progress("opening the policies ...");
        let policies = Policies::open(self)?;
        let contenders = self.contenders();
        let folder = self.scenario.parent().unwrap_or(Path::new("."));
        let mut runs = Vec::new();
        let mut first = None;
        for seed in file.seed..file.seed.saturating_add(self.seeds) {
            output.progress(&format!("seed {seed}: building the scenario ..."));
            let simulation = file.build(seed, |name| trace(folder, name)).with_context(|| self.named())?;
            let arms = policies.arms(&simulation);
            let mut more = self.race(&contenders, &simulation, &arms, &policies, seed, &output)?;
            if first.is_some() {
                more.iter_mut().for_each(|run| run.course = None);
            }
            runs.append(&mut more);
            first.get_or_insert(simulation);
        }
        output.progress_done();
        let first = first.context("no seed was run")?;
        let facts = report::Facts::of(&file, &first);
        let report = Report::new(self.name(), self.forecaster.clone(), policies.is_sandboxed(), facts, runs);
        if let Some(out) = &self.out {
            write(out, |file| serde_json::to_writer_pretty(file, &report).map_err(std::io::Error::from))?;
        }
        if let Some(path) = &self.html {
            let page = page::html(&report, &first.scenario, &self.command(), path);
            write(path, |file| file.write_all(page.as_bytes()))?;
        }
        output.show(&report, |out| figures_table::write(&report, out))
    }

    fn name(&self) -> String {
        self.scenario.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn named(&self) -> String {
        self.scenario.display().to_string()
    }

    /// What was typed, but for where the report goes.
    fn command(&self) -> String {
        let arms: Vec<&str> = self.arms.iter().map(|arm| arm.name()).collect();
        let mut text = format!("isobar simulate {} --arms {} --seeds {}", self.named(), arms.join(","), self.seeds);
        text.push_str(&format!(" --forecaster {} --forecaster-config '{}'", self.forecaster, self.forecaster_config));
        if let Some(policy) = &self.policy {
            text.push_str(&format!(" --policy {policy} --policy-config '{}'", self.policy_config));
        }
        if self.wasm {
            text.push_str(" --wasm");
        }
        text
    }

    fn contenders(&self) -> Vec<Contender> {
        let mut all: Vec<Contender> = Vec::new();
        for arm in self.arms.iter().map(|arm| Contender::Arm(*arm)).chain(self.policy.clone().map(Contender::Policy)) {
            if !all.contains(&arm) {
                all.push(arm);
            }
        }
        all
    }

    /// Runs all contenders from one start, on as many threads as there are cores.
    fn race(
        &self,
        contenders: &[Contender],
        simulation: &Simulation,
        arms: &Arms,
        policies: &Policies,
        seed: u64,
        output: &Output,
    ) -> anyhow::Result<Vec<Run>> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = Mutex::new((0..contenders.len()).map(|_| None).collect::<Vec<_>>());
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(contender) = contenders.get(at) else { return };
                let run = one(contender, simulation, arms, policies, seed);
                if let Ok(mut results) = results.lock() {
                    results[at] = Some(run);
                }
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                output.progress(&format!("seed {seed}: {done} of {} arms ...", contenders.len()));
            }
        };
        output.progress(&format!("seed {seed}: running {} arms ...", contenders.len()));
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(contenders.len());
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let Ok(results) = results.into_inner() else { bail!("a thread of the simulation panicked") };
        let named = |(contender, run): (&Contender, Option<anyhow::Result<Run>>)| {
            run.with_context(|| format!("{contender} was not run"))?.with_context(|| contender.to_string())
        };
        contenders.iter().zip(results).map(named).collect()
    }
}

fn one(
    contender: &Contender,
    simulation: &Simulation,
    arms: &Arms,
    policies: &Policies,
    seed: u64,
) -> anyhow::Result<Run> {
    let arm = match contender {
        Contender::Arm(arm) => arms.run(*arm, 0)?,
        Contender::Policy(name) => arms.placed_by(0, &policies.own(name)?)?,
    };
    let (scenario, cool_down_ms) = (&simulation.scenario, simulation.config.limits.cool_down_ms);
    let standing = Standing::of(scenario, scenario.window(0), &arm, &simulation.queue, cool_down_ms);
    Ok(Run::new(contender.clone(), seed, standing, &arm))
}

fn read(path: &Path) -> anyhow::Result<ScenarioFile> {
    let named = || path.display().to_string();
    let size = std::fs::metadata(path).with_context(|| format!("{}: can't be read", named()))?.len();
    if size > MOST_BYTES {
        bail!("{}: {size} bytes are no scenario; {MOST_BYTES} are allowed", named());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: can't be read", named()))?;
    ScenarioFile::parse(&text).with_context(named)
}

/// A trace by its name in a scenario: the bundled one, or a file beside the scenario.
fn trace(folder: &Path, name: &str) -> Result<Trace, isobar_sim::TraceError> {
    if name == "worldwide" {
        return Trace::worldwide();
    }
    let file =
        std::fs::File::open(folder.join(name)).map_err(|error| isobar_sim::TraceError::Unreadable(error.into()))?;
    Trace::read(std::io::BufReader::new(file))
}

fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<()> {
    let failed = || format!("can't write {}", path.display());
    let mut file = BufWriter::new(std::fs::File::create(path).with_context(failed)?);
    content(&mut file).with_context(failed)?;
    file.flush().with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SimulateArgs,
    }

    const SMALL: &str = "history_days = 1\ndays = 0.1\nhorizon_steps = 12\n[nodes]\ncount = 4\n[[load]]\ntenants = 12\nshapes = [{ kind = \"noise\" }]\n";

    fn target() -> Target {
        Target { endpoint: String::new(), token: None, json: false }
    }

    /// Runs the text with these options; gives the JSON and the page.
    fn run(text: &str, options: &[&str]) -> anyhow::Result<(String, String)> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("small.toml"), text)?;
        let (scenario, json, html) = (path("small.toml"), path("report.json"), path("report.html"));
        let words = ["simulate", &scenario, "--out", &json, "--html", &html];
        let cli = Cli::try_parse_from(words.iter().chain(options))?;
        cli.args.run(&target())?;
        Ok((std::fs::read_to_string(json)?, std::fs::read_to_string(html)?))
    }

    #[test]
    fn the_same_seed_gives_the_same_report() {
        let options = ["--arms", "static,reactive", "--seeds", "2"];
        let (json, html) = run(SMALL, &options).unwrap();
        assert_eq!(json, run(SMALL, &options).unwrap().0);
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report["arms"].as_array().unwrap().len(), 2);
        assert_eq!(report["runs"].as_array().unwrap().len(), 4);
        assert_eq!(report["seeds"], serde_json::json!([1, 2]));
        assert_eq!(report["runs"][0]["arm"], "static");
        assert!(report["runs"][0]["p99_ms"].as_f64().unwrap() > 0.0);
        assert!(report["arms"][1]["skill_pct"].is_null(), "no clairvoyant arm to measure by");
        assert!(html.contains("<svg") && html.contains("reactive") && !html.contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn a_policy_by_name_stands_beside_the_arms() {
        let options = ["--arms", "static", "--policy", "reactive", "--policy-config", "{\"max_moves\": 1}"];
        let (json, _) = run(SMALL, &options).unwrap();
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report["arms"][1]["arm"], "policy reactive");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_cause() {
        let refused = |text: &str, options: &[&str]| format!("{:#}", run(text, options).unwrap_err());
        assert!(refused("tenants = 3", &[]).contains("unknown field `tenants`"));
        let message = refused(&SMALL.replace("count", "cuont"), &[]);
        assert!(message.contains("did you mean `count`?") && message.contains("small.toml"), "{message}");
        assert!(refused(SMALL, &["--arms", "psychic"]).contains("no arm `psychic`"));
        assert!(refused(SMALL, &["--forecaster-config", "{\"wrong\": 1}"]).contains("wrong"));
        assert!(
            refused(SMALL, &["--policy", "nothing.wasm"])
                .contains("consolidate, predictive, published-rules, reactive, spread")
        );
        let traced = "days = 1\n[[load]]\ntrace = \"none.csv.gz\"\n";
        assert!(refused(traced, &[]).contains("trace none.csv.gz"));
    }
}
