//! What the placer `predictive` makes of large clusters, as a component in the real host, beside Meta's Rebalancer: `make bench-plan`.
//!
//! Every plan is followed by a checker of the bench's own, and up to 200 000 shards by the host's plan check. Small cases run through the brain, in
//! virtual time. Its figures go into `placement.json`, flat.
//!
//! `cargo run --example bench_plan -- --out target/bench [--python VENV/bin/python] [--rounds 3] [--seed 1] [--skip 1m]...`

mod checker;
mod clusters;
mod cost;
mod peer;
mod placing;
mod problem;

use anyhow::{Context as _, anyhow, bail};
use cost::{costed, median};
use isobar_policy::{Compiler, Limits, WasmHost, WasmHostConfig};
use isobar_ports::{Placer, PolicyHost as _};
use peer::Peer;
use placing::{even_within, settle};
use problem::{COPIES, Problem};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shifts judged in one round: enough that none of these clusters is short of them.
const BUDGET: u64 = 50_000_000;
/// Shards whose load changes before a warm plan.
const CHANGED: usize = 100;
/// Warm plans measured.
const WARM_RUNS: usize = 5;
/// Time that the peer is given on the small and on the large cluster, seconds.
const PEER_LIMITS_S: (u32, u32) = (60, 100);

/// Most wall time of a call: ten times a node's, so that a busy machine does not break off a measurement of CPU time.
const MAX_WALL_MS: u64 = 600_000;

struct Options {
    out: PathBuf,
    python: Option<PathBuf>,
    rounds: u64,
    seed: u64,
    skip: Vec<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self { out: "target/bench".into(), python: None, rounds: 3, seed: 1, skip: Vec::new() };
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--out" => options.out = value.into(),
                "--python" => options.python = Some(value.into()),
                "--rounds" => options.rounds = value.parse().context("--rounds wants a number")?,
                "--seed" => options.seed = value.parse().context("--seed wants a number")?,
                "--skip" => options.skip.push(value),
                other => {
                    bail!("no option {other}; there are --out, --python, --rounds, --seed, --skip 10k|100k|1m|clusters")
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.skip.iter().all(|skipped| skipped != part)
    }
}

/// The figures, and how they are shown.
#[derive(Default)]
struct Figures(BTreeMap<&'static str, f64>);

impl Figures {
    fn put(&mut self, name: &'static str, value: f64) {
        println!("  {name:<28} {value:>10.3}");
        self.0.insert(name, value);
    }
}

impl Figures {
    /// Into the file that all parts of the bench write: what others found stays.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut all: BTreeMap<String, serde_json::Value> = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("{} can't be read", path.display())),
        };
        all.extend(self.0.iter().map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value))));
        std::fs::write(path, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("{} can't be written", path.display()))
    }
}

fn pct(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of as f64
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    std::fs::create_dir_all(&options.out).with_context(|| format!("{} can't be made", options.out.display()))?;
    let folder = tempfile::tempdir().context("no folder for compiled policies can be made")?;
    let host = Arc::new(WasmHost::new(WasmHostConfig {
        cache_dir: folder.path().to_owned(),
        compiler: Compiler::InProcess,
        limits: Limits { max_wall_ms: MAX_WALL_MS, ..Limits::default() },
        builtin_forecaster: Box::new(isobar_bundle::builtin_forecaster),
        builtin_placer: Box::new(isobar_bundle::builtin_placer),
    })?);
    let digest = placing::predictive(&host)?;
    let open = |config: &str| -> anyhow::Result<Box<dyn Placer>> {
        host.placer(&digest, config, None).map_err(|failure| anyhow!("the placer can't be opened: {failure}"))
    };
    let peer = Peer::new(options.python.clone())?;
    if peer.is_none() {
        eprintln!(
            "Rebalancer is skipped: it needs Python 3.12 or later and its package, `python3.12 -m venv V && V/bin/pip install rebalancer`, then --python V/bin/python"
        );
    }
    let mut figures = Figures::default();
    if options.wants("10k") {
        small(&open, peer.as_ref(), &options, &mut figures)?;
    }
    if options.wants("100k") {
        large(&open, peer.as_ref(), &options, &mut figures)?;
    }
    if options.wants("clusters") {
        println!("small clusters in virtual time, as configured by default");
        let leaders = clusters::leaders_on_one_node(&host, digest)?;
        figures.put("crdb_case_s", leaders.seconds);
        figures.put("crdb_case_thrash_pct", leaders.thrash_pct);
        figures.put("crdb_case_moves", leaders.moves as f64);
        figures.put("crdb_case_max_mean", leaders.max_mean);
        figures.put("static_moves_24h", clusters::static_day(&host, digest)? as f64);
    }
    if options.wants("1m") {
        vast(&open, &options, &mut figures)?;
    }
    let path = options.out.join("placement.json");
    figures.write(&path)?;
    println!("figures: {}", path.display());
    Ok(())
}

type Open<'a> = &'a dyn Fn(&str) -> anyhow::Result<Box<dyn Placer>>;

/// 10 000 replicas on 100 nodes: to 1.05 of the mean, and for as few moves as can be to 1.10. In turn with the peer, so that a busy moment of the
/// machine meets both alike.
fn small(open: Open<'_>, peer: Option<&Peer>, options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    const SHARDS: usize = 10_000 / COPIES + 1;
    println!("{} replicas on 100 nodes", SHARDS * COPIES);
    let (mut tight, mut loose, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let problem = Problem::new(SHARDS, 100, options.seed + round);
        tight.push(settle(open(&even_within(1.05, BUDGET))?.as_mut(), &mut problem.clone())?);
        if let Some(peer) = peer {
            theirs.extend(peer.solve(&problem, PEER_LIMITS_S.0)?);
        }
        loose.push(settle(open(&even_within(1.1, BUDGET))?.as_mut(), &mut problem.clone())?);
    }
    let replicas = SHARDS * COPIES;
    figures.put("plan_10k_start_max_mean", Problem::new(SHARDS, 100, options.seed).max_over_mean());
    figures.put("plan_10k_cpu_s", median(tight.iter().map(|plan| plan.cost.cpu_s)));
    figures.put("plan_10k_max_mean", median(tight.iter().map(|plan| plan.max_mean)));
    figures.put("plan_10k_moved_pct", median(tight.iter().map(|plan| pct(plan.moved.data, replicas))));
    figures.put("plan_10k_transfers_pct", median(tight.iter().map(|plan| pct(plan.moved.transfers, replicas))));
    figures.put("plan_10k_rounds", median(tight.iter().map(|plan| plan.rounds as f64)));
    figures.put("plan_10k_to110_cpu_s", median(loose.iter().map(|plan| plan.cost.cpu_s)));
    figures.put("plan_10k_to110_max_mean", median(loose.iter().map(|plan| plan.max_mean)));
    figures.put("plan_10k_to110_moved_pct", median(loose.iter().map(|plan| pct(plan.moved.data, replicas))));
    figures.put("plan_10k_to110_transfers_pct", median(loose.iter().map(|plan| pct(plan.moved.transfers, replicas))));
    if !theirs.is_empty() {
        figures.put("rebalancer_10k_cpu_s", median(theirs.iter().map(|solved| solved.cpu_s)));
        figures.put("rebalancer_10k_max_mean", median(theirs.iter().map(|solved| solved.max_mean)));
        figures.put("rebalancer_10k_moved_pct", median(theirs.iter().map(|solved| solved.moved_pct)));
    }
    Ok(())
}

/// 100 000 replicas on 1 000 nodes, to 1.10 of the mean; then again with a few loads changed.
fn large(open: Open<'_>, peer: Option<&Peer>, options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    const SHARDS: usize = 100_000 / COPIES + 1;
    println!("{} replicas on 1 000 nodes", SHARDS * COPIES);
    let mut plans = Vec::new();
    let mut warm = Vec::new();
    for round in 0..options.rounds {
        let mut problem = Problem::new(SHARDS, 1_000, options.seed + round);
        let mut placer = open(&even_within(1.1, BUDGET))?;
        plans.push(settle(placer.as_mut(), &mut problem)?);
        warm.extend(warm_plans(placer.as_mut(), &mut problem)?);
    }
    figures.put("plan_100k_start_max_mean", Problem::new(SHARDS, 1_000, options.seed).max_over_mean());
    figures.put("plan_100k_cpu_s", median(plans.iter().map(|plan| plan.cost.cpu_s)));
    figures.put("plan_100k_max_mean", median(plans.iter().map(|plan| plan.max_mean)));
    figures.put("plan_100k_moved_pct", median(plans.iter().map(|plan| pct(plan.moved.data, SHARDS * COPIES))));
    figures.put("plan_100k_transfers_pct", median(plans.iter().map(|plan| pct(plan.moved.transfers, SHARDS * COPIES))));
    figures.put("plan_100k_rounds", median(plans.iter().map(|plan| plan.rounds as f64)));
    figures.put("plan_100k_warm_ms", median(warm.iter().map(|(cpu_s, _)| cpu_s * 1e3)));
    figures.put("plan_100k_warm_wall_ms", median(warm.iter().map(|(_, wall_s)| wall_s * 1e3)));
    let shards = 100_000;
    let mut problem = Problem::new(shards, 1_000, options.seed);
    let mut placer = open(&even_within(1.1, BUDGET))?;
    let plan = settle(placer.as_mut(), &mut problem)?;
    let warm = warm_plans(placer.as_mut(), &mut problem)?;
    println!("100 000 shards, {} replicas", shards * COPIES);
    figures.put("plan_100k_shards_cpu_s", plan.cost.cpu_s);
    figures.put("plan_100k_shards_max_mean", plan.max_mean);
    figures.put("plan_100k_shards_warm_ms", median(warm.iter().map(|(cpu_s, _)| cpu_s * 1e3)));
    if let Some(peer) = peer {
        let problem = Problem::new(SHARDS, 1_000, options.seed);
        if let Some(solved) = peer.solve(&problem, PEER_LIMITS_S.1)? {
            figures.put("rebalancer_100k_cpu_s", solved.cpu_s);
            figures.put("rebalancer_100k_max_mean", solved.max_mean);
            figures.put("rebalancer_100k_moved_pct", solved.moved_pct);
            if solved.max_mean > 1.1 {
                println!("  Rebalancer was stopped after {} s, unfinished", PEER_LIMITS_S.1);
            }
        }
    }
    Ok(())
}

/// A million shards on 10 000 nodes, to 1.10 of the mean; then again with a few loads changed.
fn vast(open: Open<'_>, options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    println!("1 000 000 shards, {} replicas on 10 000 nodes", 1_000_000 * COPIES);
    let mut problem = Problem::new(1_000_000, 10_000, options.seed);
    let mut placer = open(&even_within(1.1, BUDGET))?;
    let plan = settle(placer.as_mut(), &mut problem)?;
    let warm = warm_plans(placer.as_mut(), &mut problem)?;
    figures.put("plan_1m_cold_cpu_s", plan.cost.cpu_s);
    figures.put("plan_1m_rounds", plan.rounds as f64);
    figures.put("plan_1m_moved_pct", pct(plan.moved.data, 1_000_000 * COPIES));
    figures.put("plan_1m_transfers_pct", pct(plan.moved.transfers, 1_000_000 * COPIES));
    figures.put("plan_1m_max_mean", problem.max_over_mean());
    figures.put("plan_1m_warm_s", median(warm.iter().map(|(_, wall_s)| *wall_s)));
    figures.put("plan_1m_warm_cpu_s", median(warm.iter().map(|(cpu_s, _)| *cpu_s)));
    figures.put("plan_1m_guest_gib", plan.guest_bytes as f64 / f64::from(1 << 30));
    figures.put("plan_1m_rss_gib", cost::peak_rss_gib());
    Ok(())
}

/// Plans after a few loads have changed, each carried out before the next: CPU and wall seconds.
fn warm_plans(placer: &mut dyn Placer, problem: &mut Problem) -> anyhow::Result<Vec<(f64, f64)>> {
    (0..WARM_RUNS)
        .map(|run| {
            problem.change(CHANGED, run as u64);
            let (plan, cost) = costed(|| placer.propose(&problem.view));
            let plan = plan.map_err(|failure| anyhow!("the placer failed: {failure}"))?;
            checker::follow(problem, &plan.moves)?;
            problem.apply(&plan.moves);
            Ok((cost.cpu_s, cost.wall_s))
        })
        .collect()
}
