//! Readable scenarios in, the plan and its reasons out, as text: `tests/golden/*.toml` and the `.txt` beside each. A change of a policy, of a
//! rule or of the simulator shows as a difference to be read. After reading it:
//!
//!     ISOBAR_BLESS=1 cargo test -p isobar-sim --test golden

#![expect(clippy::unwrap_used, reason = "a failure is the test's")]

mod native;

use isobar_model::{Action, CheckedMove, Verdict};
use isobar_sim::{Arm, ArmReport, MoveEnd, Round, ScenarioFile, Simulation, Standing, Trace};
use native::Forecasters;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Refused moves told of one step; policies that don't know a rule propose the same again and again.
const REFUSED_TOLD: usize = 3;

fn time(simulation: &Simulation, steps: f64) -> String {
    let minutes = (steps - simulation.scenario.window(0).start as f64) * 5.0;
    format!("{:02}:{:04.1}", (minutes / 60.0).floor(), minutes % 60.0)
}

fn told(checked: &CheckedMove) -> String {
    let proposed = &checked.proposed;
    let what = match proposed.action {
        Action::MoveReplica { source, target } => {
            format!("move shard {} from node {source} to node {target}", proposed.shard)
        }
        Action::TransferLeader(target) => format!("shard {} is led by node {target}", proposed.shard),
        Action::AddReplica(_) | Action::RemoveReplica(_) | Action::Split | Action::MergeWith(_) => {
            format!("shard {}: {:?}", proposed.shard, proposed.action)
        }
    };
    match &checked.verdict {
        Verdict::Accepted => format!("{what}: {}", proposed.reason),
        Verdict::Held { rule } => format!("{what}: held by {rule:?}"),
        Verdict::Refused { rule, detail } => format!("{what}: refused, {rule:?}: {detail}"),
    }
}

fn lines(round: &Round) -> Vec<String> {
    let is_refused = |m: &&CheckedMove| matches!(m.verdict, Verdict::Refused { .. });
    let refused = round.moves.iter().filter(is_refused);
    let mut lines: Vec<String> = round.moves.iter().filter(|m| !is_refused(m)).map(told).collect();
    lines.extend(refused.clone().take(REFUSED_TOLD).map(told));
    if let Some(more @ 1..) = refused.count().checked_sub(REFUSED_TOLD) {
        lines.push(format!("{more} more are refused"));
    }
    lines.extend(round.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn write_arm(out: &mut String, simulation: &Simulation, arm: Arm, report: &ArmReport) {
    let scenario = &simulation.scenario;
    let limits = simulation.config.limits;
    let standing = Standing::of(scenario, scenario.window(0), report, &simulation.queue, limits.cool_down_ms);
    let figures = &standing.figures;
    writeln!(out, "\n== {arm}").unwrap();
    // What is said again and again is told once.
    for same in report.rounds.chunk_by(|a, b| b.step == a.step + 1 && lines(a) == lines(b)) {
        let (first, last) = (time(simulation, same[0].step as f64), time(simulation, same[same.len() - 1].step as f64));
        let at = if first == last { first } else { format!("{first} to {last}") };
        for line in lines(&same[0]) {
            writeln!(out, "{at}  {line}").unwrap();
        }
    }
    for record in &report.moves {
        let how = match record.end {
            MoveEnd::Done(at) => format!("in effect at {}", time(simulation, at)),
            MoveEnd::GivenUp(at) => format!("given up at {}", time(simulation, at)),
            MoveEnd::InFlight => "still in flight".to_owned(),
        };
        let what = if record.leader_only { "leadership" } else { "replica" };
        let (shard, source, target) = (record.shard, record.source, record.target);
        writeln!(out, "shard {shard}: {what} from node {source} to node {target}, {how}").unwrap();
    }
    writeln!(
        out,
        "overload {:.0} node-seconds, {} leader transfers, {} moves of data, {} MiB, {} failovers, thrash {}, p99 {:.1} ms",
        figures.overload_node_s,
        figures.leader_transfers,
        figures.data_moves,
        figures.moved_bytes >> 20,
        figures.failovers,
        figures.thrash,
        figures.p99_ms.unwrap_or(f64::NAN)
    )
    .unwrap();
}

fn script(text: &str) -> String {
    let file = ScenarioFile::parse(text).unwrap();
    let simulation = file.build(file.seed, |_| Trace::worldwide()).unwrap();
    let scenario = &simulation.scenario;
    let mut out = format!("{}\n\n", file.about);
    for (index, node) in scenario.nodes.nodes.iter().enumerate() {
        let led: Vec<String> = (0..scenario.shards.len())
            .filter(|&s| scenario.start[s][0].0 as usize == index + 1)
            .map(|s| format!("{} ({})", s + 1, scenario.shards[s].tenant))
            .collect();
        let (zone, capacity) = (node.zone, scenario.capacity_of(index));
        writeln!(out, "node {} in zone {zone}, {capacity:.0} load units/s, leads {}", index + 1, led.join(", "))
            .unwrap();
    }
    for outage in &scenario.nodes.outages {
        let (from, to) = (time(&simulation, outage.steps.start as f64), time(&simulation, outage.steps.end as f64));
        writeln!(out, "node {} is away from {from} to {to}", outage.node + 1).unwrap();
    }
    for drain in &scenario.nodes.drains {
        writeln!(out, "node {} is drained from {} on", drain.node + 1, time(&simulation, drain.from_step as f64))
            .unwrap();
    }
    let arms = native::arms(Arc::clone(scenario), Forecasters::default(), "", "");
    let arms = arms.with_settings(simulation.times, simulation.config.clone());
    for arm in [Arm::Static, Arm::Reactive, Arm::Predictive] {
        write_arm(&mut out, &simulation, arm, &arms.run(arm, 0).unwrap());
    }
    out
}

#[test]
fn plans_and_their_reasons_are_as_they_were_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    scripts.sort();
    assert!(scripts.len() >= 3, "{scripts:?}");
    let mut changed = Vec::new();
    for path in scripts {
        let (got, golden) = (script(&std::fs::read_to_string(&path).unwrap()), path.with_extension("txt"));
        if std::env::var_os("ISOBAR_BLESS").is_some() {
            std::fs::write(&golden, &got).unwrap();
        }
        let want = std::fs::read_to_string(&golden).unwrap_or_default();
        if got != want {
            let lines = got.lines().zip(want.lines());
            let first = lines.enumerate().find(|(_, (got, want))| got != want);
            changed.push(format!("{}: {first:?}", golden.display()));
        }
    }
    assert!(changed.is_empty(), "read the differences, then bless: see the top of this file\n{}", changed.join("\n"));
}
