//! The placer as a component in the real host, on synthetic clusters.

use crate::checker::{self, Moved};
use crate::cost::{Cost, costed};
use crate::problem::{COPIES, Problem};
use anyhow::{Context as _, anyhow, ensure};
use isobar_bundle::first_party;
use isobar_model::{Digest, KeyspaceId, Mode, Move, Verdict};
use isobar_planner::{CheckSettings, KeyspaceRule, Origin, PlanCheck, RoundInput, Spent};
use isobar_policy::WasmHost;
use isobar_ports::{Placer, PolicyHost};
use std::collections::BTreeMap;

/// More rounds than any plan here should come in.
const MAX_ROUNDS: usize = 200;
/// The host's plan check keeps sets of all that moved: beyond so many shards the checker alone looks.
const JUDGED_SHARDS: usize = 200_000;

/// The placer, compiled.
pub(crate) fn predictive(host: &WasmHost) -> anyhow::Result<Digest> {
    let policy = first_party().iter().find(|policy| policy.name == "predictive").context("no policy `predictive`")?;
    Ok(host.inspect(policy.component).map_err(|rejection| anyhow!("{}", rejection.0))?.digest)
}

/// A configuration that asks for evenness and nothing less; for small gains too, since a node can hold thousands of small replicas.
pub(crate) fn even_within(within: f64, budget: u64) -> String {
    format!(
        r#"{{"even_start": {within}, "even_within": {within}, "even_above": 0, "even_min_gain": 0.0001, "max_moves": 10000, "budget": {budget}}}"#
    )
}

/// A plan in as many rounds as it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) rounds: usize,
    pub(crate) cost: Cost,
    pub(crate) moved: Moved,
    pub(crate) max_mean: f64,
    /// The placer's linear memory, bytes.
    pub(crate) guest_bytes: u64,
}

/// Plans and carries out until nothing more is proposed.
pub(crate) fn settle(placer: &mut dyn Placer, problem: &mut Problem) -> anyhow::Result<Planned> {
    let mut planned = Planned::default();
    loop {
        let (plan, cost) = costed(|| placer.propose(&problem.view));
        let plan = plan.map_err(|failure| anyhow!("the placer failed: {failure}"))?;
        planned.rounds += 1;
        planned.cost.cpu_s += cost.cpu_s;
        planned.cost.wall_s += cost.wall_s;
        planned.guest_bytes = placer.usage().memory_bytes;
        let moved = checker::follow(problem, &plan.moves)?;
        judge(problem, &plan.moves)?;
        planned.moved.data += moved.data;
        planned.moved.transfers += moved.transfers;
        if plan.moves.is_empty() {
            break;
        }
        problem.apply(&plan.moves);
        ensure!(planned.rounds < MAX_ROUNDS, "the placer proposes moves without end");
    }
    planned.max_mean = problem.max_over_mean();
    Ok(planned)
}

/// The host's own rules have the last word here too: none may refuse a move.
fn judge(problem: &Problem, moves: &[Move]) -> anyhow::Result<()> {
    if problem.view.shards.ids.len() > JUDGED_SHARDS {
        return Ok(());
    }
    let rule = KeyspaceRule { mode: Mode::Auto, replication_factor: COPIES as u32 };
    let keyspaces = BTreeMap::from([(KeyspaceId(1), rule)]);
    let unbounded = CheckSettings { moves_per_hour: u64::MAX, bytes_per_hour: u64::MAX, ..CheckSettings::default() };
    let input = RoundInput {
        settings: unbounded,
        keyspaces: &keyspaces,
        halted: false,
        spent: Spent::default(),
        expected: &[],
    };
    let mut check = PlanCheck::new(&problem.view, input);
    let (judged, dropped) = check.judge_plan(moves.to_vec(), Origin::Policy);
    ensure!(dropped == 0, "{dropped} moves over the bound of a plan");
    for checked in judged {
        if let Verdict::Refused { rule, detail } = checked.verdict {
            anyhow::bail!("the plan check refuses {:?}: {rule:?}, {detail}", checked.proposed);
        }
    }
    Ok(())
}
