//! `isobar demo`: the whole loop on a real trace.
//!
//! 1. A scenario is made of the trace: tenants, shards, six nodes with declared capacities, one seeded random start placement for all arms.
//! 2. The arms that need no cluster (`static`, `packed`, `clairvoyant`) are run by the planner alone.
//! 3. The trace is replayed as HTTP requests against a fresh cluster bound to `reactive`, then against another bound to `predictive`, where the
//!    forecaster is swapped under load and at last a node is drained.
//! 4. Every key is read back, replicas are compared by digest, and every arm's overload is computed by one function.

mod cluster;
mod replay;
mod report;
mod schedule;
mod traffic;

use crate::embedded::policy_host;
use crate::run::told_to_stop;
use anyhow::{Context as _, ensure};
use clap::Args;
use cluster::items;
use isobar_model::Digest;
use isobar_ports::PolicyHost;
use isobar_sim::{Arms, CLAIRVOYANT_CONFIG, MakeForecaster, MakePlacer, Scenario, ScenarioSpec, Trace, overload};
use replay::{Played, Plot, Stage};
use report::{ArmFigures, Report};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Offered operations per second of the control clock, all tenants together, on average over the history: some 1 200 real requests a second
/// at the demo's speed, so that two cores serve them with room to spare and both replays send over 100 000.
const MEAN_OPS_PER_S: f64 = 2.4;
/// Steps into the second replay at which the forecaster is swapped, and swapped back.
const SWAP_STEPS: [usize; 2] = [48, 96];
/// A drained node is empty within this time.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// Run the whole loop on a real trace
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  isobar demo\n  isobar demo --windows 5      five further half-days, by the planner alone\n  isobar demo --keep           leave the cluster up afterwards"
)]
pub(crate) struct DemoArgs {
    /// Further half-days to run by the planner alone
    #[arg(long, default_value_t = 0)]
    windows: usize,
    /// Leave the cluster up at the end
    #[arg(long)]
    keep: bool,
    /// Seed of the start placement and of the policies' chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All capacity over the load that the history stayed below 95 % of the time
    #[arg(long, default_value_t = ScenarioSpec::default().headroom)]
    headroom: f64,
    /// Wall time of one five-minute step, milliseconds
    #[arg(long, default_value_t = 600)]
    step_wall_ms: u64,
    /// Steps to replay; half a day where left out
    #[arg(long, hide = true)]
    steps: Option<usize>,
    /// Where data and the report go; emptied first
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
    /// Port of the first node's API, the others' following
    #[arg(long, default_value_t = 7400)]
    port: u16,
}

/// Runs it.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let say = |text: String| println!("{:>6.1} s  {text}", began.elapsed().as_secs_f64());
    ensure!(args.step_wall_ms >= 100, "--step-wall-ms must be at least 100: a move needs time to be carried out");
    prepare_folder(&args.out)?;

    let spec = ScenarioSpec {
        mean_ops_per_s: MEAN_OPS_PER_S,
        headroom: args.headroom,
        seed: args.seed,
        ..ScenarioSpec::default()
    };
    let scenario = Arc::new(Scenario::new(&Trace::worldwide()?, spec)?);
    say(format!(
        "trace: {} tenants in {} shards, {} nodes of {:.2} load units/s each, headroom {}",
        scenario.shards.iter().filter(|s| s.part == 0).count(),
        scenario.shards.len(),
        scenario.spec.nodes,
        scenario.capacity,
        args.headroom
    ));
    let host = policy_host(&args.out.join("compiled"))?;
    let arms = arms(&host, &scenario).await?;
    let planned = {
        let arms = arms.clone();
        tokio::task::spawn_blocking(move || arms.window(0)).await??
    };
    say("planner alone: static, packed, reactive, predictive and clairvoyant placement of the window are known".into());

    let window = scenario.window(0);
    let steps = args.steps.unwrap_or(window.len()).min(window.len());
    let step_wall = Duration::from_millis(args.step_wall_ms);

    // The reactive arm.
    let plot =
        Plot { scenario: Arc::clone(&scenario), window: 0, step_wall, out: args.out.clone(), port: args.port, host };
    let mut stage = Stage::set(&plot, "reactive", &say).await?;
    stage.bind("forecast", "seasonal-naive", json!({})).await?;
    stage.bind("place", "reactive", json!({})).await?;
    say("replaying 12 hours, bound to `reactive`".into());
    for step in 0..steps {
        let sent = stage.play_step().await;
        progress(&say, &stage, step, steps, sent);
    }
    stage.traffic.settle().await;
    let reactive = stage.played().await?;
    let mut mismatches = stage.verify(&say).await?;
    stage.stop().await;

    // The predictive arm, with the forecaster swapped under load.
    let mut stage = Stage::set(&plot, "predictive", &say).await?;
    stage.bind("forecast", "seasonal-naive", json!({})).await?;
    stage.bind("place", "predictive", json!({})).await?;
    say("replaying the same 12 hours, bound to `predictive`".into());
    let mut swaps = Vec::new();
    for step in 0..steps {
        let swap = SWAP_STEPS.iter().position(|at| *at * steps / window.len() == step);
        let (client, policies) = (stage.client.clone(), stage.policies.clone());
        let swapping = swap.map(|turn| {
            let name = if turn.is_multiple_of(2) { "holt-winters" } else { "seasonal-naive" };
            tokio::spawn(async move {
                let digest = policies.get(name).with_context(|| format!("no policy {name} in this build"))?;
                client.bind("forecast", digest, json!({})).await.map(|ms| (name, ms))
            })
        });
        let sent = stage.play_step().await;
        progress(&say, &stage, step, steps, sent);
        if let Some(swapping) = swapping {
            let (name, ms) = swapping.await??;
            say(format!("forecaster swapped to `{name}` under load: {ms:.1} ms from request to serving"));
            swaps.push(ms);
        }
    }
    stage.traffic.settle().await;
    let predictive = stage.played().await?;
    let forecast_wape = forecast_wape(&stage).await;

    // A node is emptied under load.
    let node = scenario.spec.nodes as u64;
    say(format!("draining node {node} under load"));
    let drained = drain(&mut stage, node, &say).await?;
    stage.traffic.settle().await;
    let all = stage.played().await?;
    mismatches += stage.verify(&say).await?;

    let end = window.start + steps;
    let judge = |played: &Played| ArmFigures {
        overload_node_s: overload(&scenario, window.start..end, &played.timeline),
        data_moves: played.data_moves,
        leader_transfers: played.leader_transfers,
    };
    let migrations = items(&stage.client.get("/v1/migrations?limit=1000").await?).cloned().unwrap_or_default();
    let report = Report::new(
        &scenario,
        &planned,
        (judge(&reactive), &reactive),
        (judge(&predictive), &predictive, &all),
        &migrations,
        &swaps,
        mismatches,
        drained,
        forecast_wape,
        began.elapsed(),
    );
    report.print();
    let path = args.out.join("report.json");
    std::fs::write(&path, report.to_json()).with_context(|| format!("can't write {}", path.display()))?;
    let course = args.out.join("overload.csv");
    let timelines = [
        &planned.still.timeline,
        &planned.packed.timeline,
        &reactive.timeline,
        &predictive.timeline,
        &planned.clairvoyant.timeline,
    ];
    std::fs::write(&course, report::course(&scenario, window.start..end, timelines))
        .with_context(|| format!("can't write {}", course.display()))?;
    say(format!("report written to {}, overload step by step to {}", path.display(), course.display()));

    if args.windows > 0 {
        further_windows(&arms, &scenario, args.windows, &say).await?;
    }
    if args.keep {
        println!("\nThe cluster stays up. Try, in another terminal:");
        let endpoint = &stage.cluster.endpoints()[0];
        for command in
            ["status", "node list", "shard list", "migration list", "heatmap", "decisions", "policy list", "ranking"]
        {
            println!("  isobar --endpoint {endpoint} {command}");
        }
        println!("Stop with Ctrl-C.");
        told_to_stop().await?;
    }
    stage.stop().await;
    report.check()
}

/// Empties the folder of an earlier demo, and nothing that is not one's.
fn prepare_folder(out: &std::path::Path) -> anyhow::Result<()> {
    let mark = out.join(".isobar-demo");
    if out.exists() {
        let is_empty =
            std::fs::read_dir(out).with_context(|| format!("can't read {}", out.display()))?.next().is_none();
        ensure!(
            is_empty || mark.exists(),
            "{} holds something that is no earlier demo's: name another folder with --out",
            out.display()
        );
        for arm in ["reactive", "predictive"] {
            let old = out.join(arm);
            if old.exists() {
                std::fs::remove_dir_all(&old).with_context(|| format!("can't empty {}", old.display()))?;
            }
        }
    }
    std::fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
    std::fs::write(&mark, b"made by `isobar demo`\n").with_context(|| format!("can't write into {}", out.display()))
}

/// The arms, run by the very components that the clusters run.
async fn arms(host: &Arc<dyn PolicyHost>, scenario: &Arc<Scenario>) -> anyhow::Result<Arms> {
    let compile = |name: &'static str| {
        let host = Arc::clone(host);
        async move {
            let first_party = isobar_bundle::first_party().iter().find(|policy| policy.name == name);
            let component = first_party.with_context(|| format!("no policy {name} in this build"))?.component;
            let inspected = tokio::task::spawn_blocking(move || host.inspect(component)).await??;
            anyhow::Ok(inspected.digest)
        }
    };
    let (forecaster, reactive, predictive) =
        (compile("seasonal-naive").await?, compile("reactive").await?, compile("predictive").await?);
    let placer = |digest: Digest, config: &'static str| -> MakePlacer {
        let host = Arc::clone(host);
        Arc::new(move || host.placer(&digest, config, None))
    };
    let forecasting: MakeForecaster = {
        let host = Arc::clone(host);
        Arc::new(move || host.forecaster(&forecaster, "{}", None))
    };
    let arms = Arms::new(Arc::clone(scenario), forecasting, placer(reactive, "{}"), placer(predictive, "{}"));
    Ok(arms.with_clairvoyant(placer(predictive, CLAIRVOYANT_CONFIG)))
}

fn progress(say: &impl Fn(String), stage: &Stage, step: usize, steps: usize, sent: usize) {
    if (step + 1).is_multiple_of(24) || step + 1 == steps {
        let traffic = stage.traffic.report();
        say(format!(
            "  step {:>3}/{steps}: {sent} requests in the last, {} so far, p99 {:.1} ms, {} failed",
            step + 1,
            traffic.requests,
            traffic.latency_us.value_at_quantile(0.99) as f64 / 1000.0,
            traffic.failed_ops
        ));
    }
}

/// Drains a node while requests go on; gives how many replicas it had and how many are left.
async fn drain(stage: &mut Stage, node: u64, say: &impl Fn(String)) -> anyhow::Result<(u64, u64)> {
    let replicas = |stage: &Stage| {
        let map = stage.cluster.nodes[0].map();
        map.shards.values().filter(|shard| shard.is_on(isobar_model::NodeId(node))).count() as u64
    };
    let before = replicas(stage);
    stage.client.post(&format!("/v1/nodes/{node}/drain"), &json!({})).await?;
    let began = Instant::now();
    while replicas(stage) > 0 && began.elapsed() < DRAIN_PATIENCE {
        stage.play_step().await;
    }
    let left = replicas(stage);
    say(format!(
        "node {node}: {} of {before} replicas moved away in {:.1} s",
        before - left,
        began.elapsed().as_secs_f64()
    ));
    Ok((before, left))
}

/// WAPE of the forecasts made during the predictive replay, an hour ahead; none where nothing was scored.
async fn forecast_wape(stage: &Stage) -> Option<f64> {
    for node in &stage.cluster.nodes {
        if let Some(score) = node.forecast_score().await {
            return score;
        }
    }
    None
}

async fn further_windows(
    arms: &Arms,
    scenario: &Arc<Scenario>,
    wanted: usize,
    say: &impl Fn(String),
) -> anyhow::Result<()> {
    println!("\nFurther half-days, by the planner alone (overload in node-seconds / moves):");
    println!(
        "  {:>6}  {:>14} {:>14} {:>14} {:>14} {:>14} {:>8}",
        "window", "static", "packed", "reactive", "predictive", "clairvoyant", "skill %"
    );
    for k in 1..=wanted.min(scenario.windows().saturating_sub(1)) {
        let arms = arms.clone();
        let report = tokio::task::spawn_blocking(move || arms.window(k)).await??;
        let cell = |arm: &isobar_sim::ArmReport| format!("{:.0} / {}", arm.overload_node_s, arm.moves());
        println!(
            "  {k:>6}  {:>14} {:>14} {:>14} {:>14} {:>14} {:>8}",
            cell(&report.still),
            cell(&report.packed),
            cell(&report.reactive),
            cell(&report.predictive),
            cell(&report.clairvoyant),
            report.skill_pct().map_or("-".into(), |skill| format!("{skill:.0}"))
        );
    }
    say("done".into());
    Ok(())
}
